//! What a value of one type is as another, by the tables of AWS's data types, and when two values are equal. `None` is
//! Undefined. What a function does with it is not known here.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::json::Kind;
use crate::number::{Number, Spelling};
use crate::value::{Member, Value, View, print_number};

impl<'d> Value<'d> {
    /// As a Decimal or Int: numbers, and strings that are written like one.
    pub(crate) fn to_number(&self) -> Option<Number> {
        match self.view() {
            View::Number(number) => Some(number),
            View::Text(text) => Number::read(&text, Spelling::Converted),
            _ => None,
        }
    }

    /// As a Boolean: Booleans, and strings that say true or false.
    pub(crate) fn to_bool(&self) -> Option<bool> {
        match self.view() {
            View::Bool(value) => Some(value),
            View::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            View::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// As a String: anything but Null and Undefined; arrays and objects as their JSON. `whole` says that 10.0 is 10.
    pub(crate) fn into_text(self, whole: bool) -> Option<Cow<'d, str>> {
        match self {
            Value::Text(text) => return Some(text),
            Value::Node(node) => match node.kind() {
                Kind::Plain | Kind::Escaped => return Some(node.text()),
                Kind::Array | Kind::Object if node.is_exact() && node.prints_whole() == whole => {
                    return Some(Cow::Borrowed(node.source()));
                }
                _ => {}
            },
            _ => {}
        }
        match self.view() {
            View::Undefined | View::Null | View::Raw(_) => None,
            View::Bool(value) => Some(Cow::Borrowed(if value { "true" } else { "false" })),
            View::Number(number) => {
                let mut out = String::new();
                print_number(number, whole, &mut out);
                Some(Cow::Owned(out))
            }
            View::Text(_) | View::Array | View::Object => {
                let mut out = String::new();
                self.print(whole, &mut out);
                Some(Cow::Owned(out))
            }
        }
    }

    /// Whether two values are equal: numbers by value, objects in any order, values of different types never.
    /// `cost` counts the comparisons, which objects can make many.
    pub(crate) fn equals(&self, other: &Value<'d>, cost: &mut u64) -> Option<bool> {
        *cost += 1;
        Some(match (self.view(), other.view()) {
            (View::Undefined | View::Raw(_), _) | (_, View::Undefined | View::Raw(_)) => return None,
            (View::Null, View::Null) => true,
            (View::Bool(one), View::Bool(two)) => one == two,
            (View::Number(one), View::Number(two)) => one.compare(two) == Ordering::Equal,
            (View::Text(one), View::Text(two)) => one == two,
            (View::Array, View::Array) => equal_arrays(self, other, cost),
            (View::Object, View::Object) => equal_objects(self, other, cost),
            _ => false,
        })
    }
}

fn equal_arrays<'d>(one: &Value<'d>, two: &Value<'d>, cost: &mut u64) -> bool {
    let (mut one, mut two) = (one.elements(), two.elements());
    loop {
        match (one.next(), two.next()) {
            (None, None) => return true,
            (Some(one), Some(two)) if one.equals(&two, cost) == Some(true) => {}
            _ => return false,
        }
    }
}

fn equal_objects<'d>(one: &Value<'d>, two: &Value<'d>, cost: &mut u64) -> bool {
    let (mut one, mut two) = (one.members(), two.members());
    for members in [&mut one, &mut two] {
        // The sort is stable, so that of members of one name the last stands last, and it counts.
        members.sort_by(|(one, _), (two, _)| one.cmp(two));
        members.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
    }
    *cost += one.len() as u64 + two.len() as u64;
    let same = |((one_key, one), (two_key, two)): (&Member<'d>, &Member<'d>)| {
        one_key == two_key && one.equals(two, cost) == Some(true)
    };
    one.len() == two.len() && one.iter().zip(&two).all(same)
}
