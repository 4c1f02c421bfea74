//! A JSON tree whose leaves carry the time they were last written, with the merge (§3.2) and the difference (§3.4)
//! that make a shadow.
//!
//! Leaves and keys are slices of the text they were read from. Members are kept in the order of their keys, which AWS
//! leaves open (§3.2.10): merge and difference are then one walk along both sides, whatever the sizes. A value and its
//! time are one node, so the metadata cannot fall out of step with the state, and no key name can be mistaken for
//! metadata (§3.2.11). The tree does not know how it was read nor how it is printed.

use crate::number;

/// A JSON value.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Leaf(Leaf<'a>),
    Array(Vec<Value<'a>>),
    Object(Object<'a>),
}

/// A string, number, boolean or null as its JSON text, and when it was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) at: i64,
}

/// Members in strictly rising order of their keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object<'a>(Vec<Member<'a>>);

/// A key, with its quotes and in the one spelling `escape` gives it, and a value.
#[derive(Debug, Clone)]
pub(crate) struct Member<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: Value<'a>,
}

pub(crate) const DESIRED: &[u8] = b"\"desired\"";
pub(crate) const REPORTED: &[u8] = b"\"reported\"";

impl<'a> Object<'a> {
    /// Takes members in the order they were read; of equal keys the last wins (§3.2.10).
    pub(crate) fn from_members(mut members: Vec<Member<'a>>) -> Object<'a> {
        if !members.is_sorted_by(|one, next| one.key < next.key) {
            members.sort_by_key(|member| member.key);
            members.dedup_by(|later, kept| {
                let same = later.key == kept.key;
                if same {
                    std::mem::swap(later, kept);
                }
                same
            });
        }
        Object(members)
    }

    pub(crate) fn members(&self) -> &[Member<'a>] {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Value<'a>> {
        self.0.iter().find(|member| member.key == key).map(|member| &member.value)
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<Value<'a>> {
        let at = self.0.iter().position(|member| member.key == key)?;
        Some(self.0.remove(at).value)
    }

    /// Applies a patch: null deletes, an object merges into an object, anything else replaces (§3.2.4).
    pub(crate) fn merge(&mut self, patch: Object<'a>) {
        let mut added = Vec::new();
        let mut removed = false;
        let mut at = 0;
        for Member { key, mut value } in patch.0 {
            at += self.0[at..].iter().take_while(|member| member.key < key).count();
            match self.0.get_mut(at) {
                Some(member) if member.key == key => {
                    member.value.merge(value);
                    removed |= member.value.is_null();
                }
                _ if value.strip_nulls() => added.push(Member { key, value }),
                _ => {}
            }
        }
        if removed {
            self.0.retain(|member| !member.value.is_null());
        }
        if !added.is_empty() {
            self.0.append(&mut added);
            self.0.sort_by_key(|member| member.key);
        }
    }

    /// Gives the time of every leaf, in the order of the text.
    pub(crate) fn each_time(&self, visit: &mut dyn FnMut(i64)) {
        self.0.iter().for_each(|member| member.value.each_time(visit));
    }

    /// Drops the members that are empty objects.
    pub(crate) fn drop_empty(&mut self) {
        self.0.retain(|member| !matches!(&member.value, Value::Object(object) if object.is_empty()));
    }

    /// What desired holds and reported does not, where this object is a whole shadow (§3.4).
    pub(crate) fn delta(&self) -> Object<'a> {
        match (self.get(DESIRED), self.get(REPORTED)) {
            (Some(Value::Object(desired)), Some(Value::Object(reported))) => desired.difference(reported),
            (Some(Value::Object(desired)), None) => desired.clone(),
            _ => Object::default(),
        }
    }

    /// The bytes of the sections alone, where this object is a whole shadow that prints as `bytes` bytes.
    ///
    /// unconfirmed: each section counts with its own braces; the braces, the keys and the comma around the two do not.
    pub(crate) fn section_bytes(&self, bytes: usize) -> usize {
        let around: usize = self.0.iter().map(|member| member.key.len() + 2).sum();
        bytes.saturating_sub(around + 1)
    }

    fn difference(&self, reported: &Object<'a>) -> Object<'a> {
        let mut rest = reported.0.iter().peekable();
        let differs = |Member { key, value }: &Member<'a>| {
            while rest.next_if(|member| member.key < *key).is_some() {}
            let value = match rest.next_if(|member| member.key == *key) {
                Some(member) => value.difference(&member.value)?,
                None => value.clone(),
            };
            Some(Member { key, value })
        };
        Object(self.0.iter().filter_map(differs).collect())
    }
}

impl<'a> Value<'a> {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Value::Leaf(leaf) if leaf.text.first() == Some(&b'n'))
    }

    /// How many steps, by key or by index, the deepest value lies below this one (§3.7).
    pub(crate) fn depth(&self) -> usize {
        match self {
            Value::Leaf(_) => 0,
            Value::Array(elements) => elements.iter().map(|element| 1 + element.depth()).max().unwrap_or(0),
            Value::Object(object) => object.0.iter().map(|member| 1 + member.value.depth()).max().unwrap_or(0),
        }
    }

    /// Whether an array in this value holds a null.
    ///
    /// unconfirmed: a null in an object in an array counts too. Arrays are replaced whole, so such a null could neither
    /// delete a key nor be dropped without changing what the caller sent.
    pub(crate) fn has_null_in_array(&self) -> bool {
        match self {
            Value::Leaf(_) => false,
            Value::Array(elements) => elements.iter().any(Value::has_null),
            Value::Object(object) => object.0.iter().any(|member| member.value.has_null_in_array()),
        }
    }

    fn has_null(&self) -> bool {
        match self {
            Value::Leaf(_) => self.is_null(),
            Value::Array(elements) => elements.iter().any(Value::has_null),
            Value::Object(object) => object.0.iter().any(|member| member.value.has_null()),
        }
    }

    fn each_time(&self, visit: &mut dyn FnMut(i64)) {
        match self {
            Value::Leaf(leaf) => visit(leaf.at),
            Value::Array(elements) => elements.iter().for_each(|element| element.each_time(visit)),
            Value::Object(object) => object.each_time(visit),
        }
    }

    /// Applies a patch in place; a value that is thereby deleted becomes null.
    ///
    /// unconfirmed: a subtree of nulls alone is not created (§3.2.7), yet it replaces what it does not merge with
    /// (§3.2.4), so the old value goes and nothing comes.
    fn merge(&mut self, patch: Value<'a>) {
        match (self, patch) {
            (Value::Object(object), Value::Object(patch)) => object.merge(patch),
            (value, mut patch) => {
                let created = patch.strip_nulls();
                *value = if created { patch } else { Value::Leaf(Leaf { text: b"null", at: 0 }) };
            }
        }
    }

    /// Removes the nulls of a new subtree (§3.2.7) and says whether anything is left to create.
    fn strip_nulls(&mut self) -> bool {
        match self {
            Value::Leaf(_) => !self.is_null(),
            Value::Array(_) => true,
            Value::Object(object) if object.is_empty() => true,
            Value::Object(object) => {
                object.0.retain_mut(|member| member.value.strip_nulls());
                !object.is_empty()
            }
        }
    }

    fn difference(&self, reported: &Value<'a>) -> Option<Value<'a>> {
        match (self, reported) {
            (Value::Object(desired), Value::Object(reported)) => {
                let difference = desired.difference(reported);
                (!difference.is_empty()).then_some(Value::Object(difference))
            }
            _ => (!self.equals(reported)).then(|| self.clone()),
        }
    }

    /// Equality of what the texts mean, whenever they were written: 1 equals 1.0 (§3.2.9).
    fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Leaf(one), Value::Leaf(two)) => one.text == two.text || number::equal(one.text, two.text),
            (Value::Array(one), Value::Array(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.equals(two))
            }
            (Value::Object(one), Value::Object(two)) => {
                let same = |(one, two): (&Member<'_>, &Member<'_>)| one.key == two.key && one.value.equals(&two.value);
                one.0.len() == two.0.len() && one.0.iter().zip(&two.0).all(same)
            }
            _ => false,
        }
    }
}
