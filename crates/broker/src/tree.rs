//! Who subscribed to what: filters as a tree of levels, so that a topic finds its subscribers in steps that grow
//! with its levels and its matches, not with the number of filters. Knows nothing of sessions beyond a number.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Filters and what hangs on them. `S` is what a match yields; `id` tells subscribers apart.
pub(crate) struct Tree<S> {
    root: Node<S>,
}

/// One level. A subscriber of `a/b` hangs on the node of `b`; one of `a/#` in `below` of the node of `a`.
struct Node<S> {
    children: HashMap<Box<str>, Node<S>>,
    any: Option<Box<Node<S>>>,
    here: Subscribers<S>,
    below: Subscribers<S>,
}

/// The subscribers of one filter: each for itself, and groups that share.
struct Subscribers<S> {
    /// In the order of their ids, so that one is found and taken out by bisection.
    single: Vec<(u64, S)>,
    groups: Vec<Arc<Group<S>>>,
}

/// The members of `$share/{name}/{filter}`, who take messages in turn. A change makes a new one, so that whoever is
/// choosing from the old one is not disturbed.
#[derive(Debug)]
pub(crate) struct Group<S> {
    name: Box<str>,
    members: Vec<(u64, S)>,
    turn: AtomicUsize,
}

impl<S> Group<S> {
    /// Whether any member is like that.
    pub(crate) fn any(&self, like: impl Fn(&S) -> bool) -> bool {
        self.members.iter().any(|(_, member)| like(member))
    }

    /// The members, beginning with the one whose turn it is.
    pub(crate) fn in_turn(&self) -> impl Iterator<Item = &S> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.members.len().max(1);
        let (before, after) = self.members.split_at(turn);
        after.iter().chain(before).map(|(_, member)| member)
    }
}

/// What a topic finds.
pub(crate) enum Found<'t, S> {
    /// A subscriber for itself.
    One(&'t S),
    /// A group of which one member gets the message.
    Group(&'t Arc<Group<S>>),
}

impl<S> Default for Node<S> {
    fn default() -> Self {
        Self { children: HashMap::new(), any: None, here: Subscribers::default(), below: Subscribers::default() }
    }
}

impl<S> Default for Subscribers<S> {
    fn default() -> Self {
        Self { single: Vec::new(), groups: Vec::new() }
    }
}

impl<S> Default for Tree<S> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}

impl<S: Clone> Tree<S> {
    /// Hangs `subscriber` on `filter` (without its `$share` prefix), in place of what `id` had there.
    /// Returns whether there was something in that place.
    pub(crate) fn insert(&mut self, group: Option<&str>, filter: &str, id: u64, subscriber: S) -> bool {
        let mut node = &mut self.root;
        for level in filter.split('/') {
            node = match level {
                "#" => return node.below.insert(group, id, subscriber),
                "+" => node.any.get_or_insert_default(),
                _ => {
                    // Looked up before it is put in, so that a known level costs no allocation.
                    if !node.children.contains_key(level) {
                        node.children.insert(level.into(), Node::default());
                    }
                    match node.children.get_mut(level) {
                        Some(child) => child,
                        None => return false,
                    }
                }
            };
        }
        node.here.insert(group, id, subscriber)
    }

    /// Takes `id` off `filter`, and with it every level that nothing hangs on any more.
    pub(crate) fn remove(&mut self, group: Option<&str>, filter: &str, id: u64) -> bool {
        self.root.remove(group, filter.split('/'), id)
    }

    /// Visits each match of `topic`. `parent` says whether `a/#` matches `a` itself: the specification says yes
    /// [MQTT-4.7.1-2], AWS says no. A leading wildcard never matches a leading `$` [MQTT-4.7.2-1].
    pub(crate) fn visit(&self, topic: &str, parent: bool, visit: &mut impl FnMut(Found<'_, S>)) {
        let hidden = topic.starts_with('$');
        if !hidden {
            self.root.below.visit(visit);
        }
        self.root.descend(topic, hidden, parent, visit);
    }
}

impl<S: Clone> Node<S> {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.any.is_none() && self.here.is_empty() && self.below.is_empty()
    }

    fn remove<'f>(&mut self, group: Option<&str>, mut levels: impl Iterator<Item = &'f str>, id: u64) -> bool {
        match levels.next() {
            None => self.here.remove(group, id),
            Some("#") => self.below.remove(group, id),
            Some("+") => {
                let Some(child) = &mut self.any else { return false };
                let found = child.remove_boxed(group, &mut levels, id);
                if child.is_empty() {
                    self.any = None;
                }
                found
            }
            Some(level) => {
                let Some(child) = self.children.get_mut(level) else { return false };
                let found = child.remove_boxed(group, &mut levels, id);
                if child.is_empty() {
                    self.children.remove(level);
                }
                found
            }
        }
    }

    /// The same through a trait object, or the compiler would make one function per level.
    fn remove_boxed(&mut self, group: Option<&str>, levels: &mut dyn Iterator<Item = &str>, id: u64) -> bool {
        self.remove(group, levels, id)
    }

    /// `rest` is what follows this node in the topic; the depth is bounded by the levels of the topic.
    fn descend(&self, rest: &str, hidden: bool, parent: bool, visit: &mut impl FnMut(Found<'_, S>)) {
        let (level, rest) = match rest.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        let any = if hidden { None } else { self.any.as_deref() };
        for child in [self.children.get(level), any].into_iter().flatten() {
            if rest.is_some() || parent {
                child.below.visit(visit);
            }
            match rest {
                Some(rest) => child.descend(rest, false, parent, visit),
                None => child.here.visit(visit),
            }
        }
    }
}

impl<S: Clone> Subscribers<S> {
    fn is_empty(&self) -> bool {
        self.single.is_empty() && self.groups.is_empty()
    }

    fn insert(&mut self, group: Option<&str>, id: u64, subscriber: S) -> bool {
        let Some(name) = group else { return put(&mut self.single, id, subscriber) };
        let Some(group) = self.groups.iter_mut().find(|group| *group.name == *name) else {
            let members = vec![(id, subscriber)];
            self.groups.push(Arc::new(Group { name: name.into(), members, turn: 0.into() }));
            return false;
        };
        group.change(|members| put(members, id, subscriber))
    }

    fn remove(&mut self, group: Option<&str>, id: u64) -> bool {
        let Some(name) = group else { return take(&mut self.single, id) };
        let Some(at) = self.groups.iter().position(|group| *group.name == *name) else { return false };
        let found = self.groups[at].change(|members| take(members, id));
        if self.groups[at].members.is_empty() {
            self.groups.swap_remove(at);
        }
        found
    }

    fn visit(&self, visit: &mut impl FnMut(Found<'_, S>)) {
        for (_, subscriber) in &self.single {
            visit(Found::One(subscriber));
        }
        for group in &self.groups {
            visit(Found::Group(group));
        }
    }
}

/// A group in its place in the tree.
trait Change<S> {
    fn change(&mut self, change: impl FnOnce(&mut Vec<(u64, S)>) -> bool) -> bool;
}

impl<S: Clone> Change<S> for Arc<Group<S>> {
    fn change(&mut self, change: impl FnOnce(&mut Vec<(u64, S)>) -> bool) -> bool {
        let mut members = self.members.clone();
        let answer = change(&mut members);
        let turn = self.turn.load(Ordering::Relaxed).into();
        *self = Arc::new(Group { name: self.name.clone(), members, turn });
        answer
    }
}

fn put<S>(entries: &mut Vec<(u64, S)>, id: u64, subscriber: S) -> bool {
    match entries.binary_search_by_key(&id, |(id, _)| *id) {
        Ok(at) => {
            entries[at].1 = subscriber;
            true
        }
        Err(at) => {
            entries.insert(at, (id, subscriber));
            false
        }
    }
}

fn take<S>(entries: &mut Vec<(u64, S)>, id: u64) -> bool {
    let found = entries.binary_search_by_key(&id, |(id, _)| *id);
    if let Ok(at) = found {
        entries.remove(at);
    }
    found.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(tree: &Tree<u64>, topic: &str, parent: bool) -> Vec<u64> {
        let mut found = Vec::new();
        tree.visit(topic, parent, &mut |what| match what {
            Found::One(id) => found.push(*id),
            Found::Group(group) => found.extend(group.in_turn().next()),
        });
        found.sort_unstable();
        found
    }

    #[test]
    fn a_topic_finds_the_filters_that_match_it() {
        let filters = ["a/b", "a/+", "a/#", "+/b", "#", "+/+", "a/b/#", "$aws/#", "$aws/+", "+/c"];
        let mut tree = Tree::default();
        for (id, filter) in (0..).zip(filters) {
            tree.insert(None, filter, id, id);
        }
        let by = |topic, parent| {
            let found = matches(&tree, topic, parent);
            (0..).zip(filters).filter(|(id, _)| found.contains(id)).map(|(_, filter)| filter).collect::<Vec<_>>()
        };
        assert_eq!(by("a/b", false), ["a/b", "a/+", "a/#", "+/b", "#", "+/+"]);
        assert_eq!(by("a/b", true), ["a/b", "a/+", "a/#", "+/b", "#", "+/+", "a/b/#"]);
        assert_eq!(by("$aws/c", false), ["$aws/#", "$aws/+"]);
        assert_eq!(by("x", false), ["#"]);
    }

    #[test]
    fn members_of_a_group_take_turns() {
        let mut tree = Tree::default();
        for id in 0..3 {
            tree.insert(Some("g"), "t", id, id);
        }
        let taken: Vec<_> = (0..6).flat_map(|_| matches(&tree, "t", false)).collect();
        assert_eq!(taken, [0, 1, 2, 0, 1, 2]);
        assert!(tree.remove(Some("g"), "t", 1));
        assert_eq!(matches(&tree, "t", false).len(), 1);
    }

    #[test]
    fn what_is_taken_off_leaves_nothing_behind() {
        let mut tree = Tree::default();
        for filter in ["a/b/c", "a/+/c", "a/#", "#"] {
            assert!(!tree.insert(None, filter, 1, 1));
            assert!(tree.insert(None, filter, 1, 1), "a second time replaces");
        }
        assert!(!tree.remove(None, "a/b/c", 2), "somebody else's stays");
        for filter in ["a/b/c", "a/+/c", "a/#", "#"] {
            assert!(tree.remove(None, filter, 1));
            assert!(!tree.remove(None, filter, 1));
        }
        assert!(tree.root.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

        #[test]
        fn the_tree_agrees_with_the_filters_one_by_one(
            filters in proptest::collection::vec("(([ab+]|\\$a)(/[ab+]){0,3}(/#)?|#)", 1..12),
            topic in "(\\$a|[ab])(/[ab]){0,4}",
            parent: bool,
        ) {
            let mut tree = Tree::default();
            for (id, filter) in (0..).zip(&filters) {
                tree.insert(None, filter, id, id);
            }
            let naive: Vec<u64> = (0..).zip(&filters).filter(|(_, filter)| naive(filter, &topic, parent)).map(|(id, _)| id).collect();
            prop_assert_eq!(matches(&tree, &topic, parent), naive);
        }
    }

    fn naive(filter: &str, topic: &str, parent: bool) -> bool {
        if topic.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#')) {
            return false;
        }
        let (filter, topic): (Vec<_>, Vec<_>) = (filter.split('/').collect(), topic.split('/').collect());
        let hash = filter.last() == Some(&"#");
        let fixed = if hash { &filter[..filter.len() - 1] } else { &filter[..] };
        let level = |(f, t): (&&str, &&str)| *f == "+" || f == t;
        let long_enough = if hash {
            topic.len() > fixed.len() || (parent && topic.len() == fixed.len())
        } else {
            topic.len() == fixed.len()
        };
        long_enough && fixed.iter().zip(&topic).all(level)
    }
}
