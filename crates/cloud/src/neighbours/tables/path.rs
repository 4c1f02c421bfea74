//! Where in an item something is: an attribute, and within maps and lists what stands below it. Reads and writes there; knows
//! nothing of how paths are written in expressions.

use std::fmt;

use super::attribute::{Attribute, Item};

/// One step down from a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into a map.
    Field(String),
    /// Into a list.
    Index(usize),
}

/// The name of an attribute and the steps from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) root: String,
    pub(crate) steps: Vec<Step>,
}

/// How two paths that may not be used together meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clash {
    /// One is the other or leads to it.
    Overlap,
    /// One takes for a map what the other takes for a list.
    Conflict,
}

/// A path that leads nowhere a value could be put.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoSuchPlace;

impl Path {
    /// The path of a whole attribute.
    pub(crate) fn of(root: impl Into<String>) -> Self {
        Self { root: root.into(), steps: Vec::new() }
    }

    /// What stands there.
    pub(crate) fn get<'i>(&self, item: &'i Item) -> Option<&'i Attribute> {
        self.steps.iter().try_fold(item.get(&self.root)?, |at, step| match (step, at) {
            (Step::Field(name), Attribute::M(map)) => map.get(name),
            (Step::Index(index), Attribute::L(list)) => list.get(*index),
            _ => None,
        })
    }

    /// Puts a value there, over what there was. An index beyond the end of a list appends.
    pub(crate) fn set(&self, item: &mut Item, value: Attribute) -> Result<(), NoSuchPlace> {
        let Some((last, before)) = self.steps.split_last() else {
            item.insert(self.root.clone(), value);
            return Ok(());
        };
        match (last, self.above(item, before)) {
            (Step::Field(name), Some(Attribute::M(map))) => {
                map.insert(name.clone(), value);
            }
            (Step::Index(index), Some(Attribute::L(elements))) => match elements.get_mut(*index) {
                Some(place) => *place = value,
                None => elements.push(value),
            },
            _ => return Err(NoSuchPlace),
        }
        Ok(())
    }

    /// Takes away what is there, if anything is; that there could be something is asked for.
    pub(crate) fn remove(&self, item: &mut Item) -> Result<(), NoSuchPlace> {
        let Some((last, before)) = self.steps.split_last() else {
            item.remove(&self.root);
            return Ok(());
        };
        match (last, self.above(item, before)) {
            (Step::Field(name), Some(Attribute::M(map))) => {
                map.remove(name);
            }
            (Step::Index(index), Some(Attribute::L(elements))) => {
                if *index < elements.len() {
                    elements.remove(*index);
                }
            }
            _ => return Err(NoSuchPlace),
        }
        Ok(())
    }

    fn above<'i>(&self, item: &'i mut Item, steps: &[Step]) -> Option<&'i mut Attribute> {
        steps.iter().try_fold(item.get_mut(&self.root)?, |at, step| match (step, at) {
            (Step::Field(name), Attribute::M(map)) => map.get_mut(name),
            (Step::Index(index), Attribute::L(list)) => list.get_mut(*index),
            _ => None,
        })
    }

    /// How this and another path are at odds, if they are.
    pub(crate) fn clash(&self, other: &Self) -> Option<Clash> {
        if self.root != other.root {
            return None;
        }
        for (one, two) in self.steps.iter().zip(&other.steps) {
            match (one, two) {
                (Step::Field(_), Step::Index(_)) | (Step::Index(_), Step::Field(_)) => return Some(Clash::Conflict),
                (one, two) if one != two => return None,
                _ => {}
            }
        }
        Some(Clash::Overlap)
    }
}

/// As messages write it: `[root, field, [0]]`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}", self.root)?;
        for step in &self.steps {
            match step {
                Step::Field(name) => write!(f, ", {name}")?,
                Step::Index(index) => write!(f, ", [{index}]")?,
            }
        }
        f.write_str("]")
    }
}

/// What of an item stands at the paths, where it stood; of lists only the elements that were asked for, close together.
pub(crate) fn project(item: &Item, paths: &[Path]) -> Item {
    let mut projected = Branch::default();
    for path in paths {
        if let Some(value) = path.get(item) {
            projected.put(&Step::Field(path.root.clone()), &path.steps, value);
        }
    }
    projected.into_item()
}

/// What has been asked for below one place. Fields and indices never meet at one place, since such paths conflict.
#[derive(Default)]
struct Branch {
    fields: std::collections::BTreeMap<String, Twig>,
    elements: std::collections::BTreeMap<usize, Twig>,
}

enum Twig {
    Leaf(Attribute),
    Branch(Branch),
}

impl Branch {
    fn put(&mut self, step: &Step, below: &[Step], value: &Attribute) {
        let Some((next, below)) = below.split_first() else {
            let leaf = Twig::Leaf(value.clone());
            match step {
                Step::Field(name) => self.fields.insert(name.clone(), leaf),
                Step::Index(index) => self.elements.insert(*index, leaf),
            };
            return;
        };
        let branch = || Twig::Branch(Self::default());
        let twig = match step {
            Step::Field(name) => self.fields.entry(name.clone()).or_insert_with(branch),
            Step::Index(index) => self.elements.entry(*index).or_insert_with(branch),
        };
        if let Twig::Branch(branch) = twig {
            branch.put(next, below, value);
        }
    }

    fn into_item(self) -> Item {
        self.fields.into_iter().map(|(name, twig)| (name, twig.into_attribute())).collect()
    }
}

impl Twig {
    fn into_attribute(self) -> Attribute {
        match self {
            Self::Leaf(attribute) => attribute,
            Self::Branch(branch) if branch.elements.is_empty() => Attribute::M(branch.into_item()),
            Self::Branch(branch) => Attribute::L(branch.elements.into_values().map(Self::into_attribute).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::attribute::{item_json, read_item};
    use super::*;

    /// `a.b[0]` as a path.
    fn path(text: &str) -> Path {
        let mut parts = text.split('.');
        let mut path = Path::of("");
        for part in parts.by_ref() {
            let (name, indices) = part.split_once('[').unwrap_or((part, ""));
            if path.root.is_empty() {
                name.clone_into(&mut path.root);
            } else {
                path.steps.push(Step::Field(name.to_owned()));
            }
            let digits = indices.split(['[', ']']).filter(|text| !text.is_empty());
            path.steps.extend(digits.map(|index| Step::Index(index.parse().unwrap())));
        }
        path
    }

    fn item() -> Item {
        read_item(&json!({
            "a": {"M": {"b": {"L": [{"S": "0"}, {"S": "1"}, {"M": {"c": {"S": "2"}}}]}, "d": {"S": "d"}}},
            "s": {"S": "s"},
        }))
        .unwrap()
    }

    #[test]
    fn a_path_leads_through_maps_and_lists() {
        for (text, found) in [
            ("s", Some(json!({"S": "s"}))),
            ("a.b[0]", Some(json!({"S": "0"}))),
            ("a.b[2].c", Some(json!({"S": "2"}))),
            ("a.b[3]", None),
            ("a[0]", None),
            ("s.t", None),
            ("x", None),
        ] {
            assert_eq!(path(text).get(&item()).map(|found| serde_json::to_value(found).unwrap()), found, "{text}");
        }
    }

    #[test]
    fn a_value_is_put_where_there_is_a_place_for_it() {
        let set = |text: &str| {
            let mut item = item();
            path(text).set(&mut item, Attribute::BOOL(true)).map(|()| item)
        };
        assert_eq!(set("x").unwrap()["x"], Attribute::BOOL(true));
        let appended = set("a.b[17]").unwrap();
        assert_eq!(path("a.b[3]").get(&appended), Some(&Attribute::BOOL(true)));
        for nowhere in ["x.y", "s.t", "a[0]", "a.b.c", "a.b[3].c"] {
            assert_eq!(set(nowhere), Err(NoSuchPlace), "{nowhere}");
        }
    }

    #[test]
    fn removing_what_is_not_there_is_no_mistake_but_a_place_there_must_be() {
        let remove = |text: &str| {
            let mut item = item();
            path(text).remove(&mut item).map(|()| item)
        };
        assert_eq!(remove("x").unwrap(), item());
        assert_eq!(remove("a.x").unwrap(), item());
        assert_eq!(remove("a.b[9]").unwrap(), item());
        assert_eq!(path("a.b[0]").get(&remove("a.b[0]").unwrap()), Some(&Attribute::S("1".to_owned())));
        assert_eq!(remove("s.t"), Err(NoSuchPlace));
        assert_eq!(remove("x.t"), Err(NoSuchPlace));
    }

    #[test]
    fn paths_clash_where_one_leads_to_the_other_or_they_disagree_on_what_is_there() {
        for (one, two, clash) in [
            ("a", "b", None),
            ("a.b", "a.c", None),
            ("a[0]", "a[1]", None),
            ("a", "a", Some(Clash::Overlap)),
            ("a", "a.b", Some(Clash::Overlap)),
            ("a.b[0]", "a.b", Some(Clash::Overlap)),
            ("a.b", "a[0]", Some(Clash::Conflict)),
        ] {
            assert_eq!(path(one).clash(&path(two)), clash, "{one} {two}");
        }
    }

    #[test]
    fn a_projection_keeps_the_shape_of_what_it_takes() {
        let paths: Vec<Path> = ["a.b[2].c", "a.b[0]", "a.d", "x", "s"].into_iter().map(path).collect();
        assert_eq!(
            item_json(&project(&item(), &paths)),
            json!({
                "a": {"M": {"b": {"L": [{"S": "0"}, {"M": {"c": {"S": "2"}}}]}, "d": {"S": "d"}}},
                "s": {"S": "s"},
            })
        );
        assert!(project(&item(), &[path("s.t")]).is_empty());
    }
}
