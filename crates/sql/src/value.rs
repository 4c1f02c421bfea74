//! The values of the language while a statement is evaluated. What comes from a payload stays where it is, and is looked
//! at when somebody asks. Conversions between types are in `convert`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::evaluate::LONGEST;
use crate::json::{Children, Kind, Node, Outline, print_text};
use crate::number::Number;

/// Printing stops beyond so many bytes.
const ENOUGH: usize = 4 * LONGEST;

/// A value. Those of JSON that are still in their text are `Node`s, whatever their type.
#[derive(Clone, Debug)]
pub(crate) enum Value<'d> {
    Undefined,
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'d, str>),
    Node(Node<'d>),
    /// Shared, since a variable may be read often.
    Array(Arc<Vec<Value<'d>>>),
    Object(Arc<Members<'d>>),
    /// A payload that is no JSON object or array.
    Raw(&'d [u8]),
}

/// What a value is. What an array or an object holds is asked of the value.
#[derive(Debug)]
pub(crate) enum View<'v> {
    Undefined,
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'v, str>),
    Array,
    Object,
    Raw(&'v [u8]),
}

/// A name and a value.
pub(crate) type Member<'d> = (Cow<'d, str>, Value<'d>);

/// The members of an object, in order; those that are Undefined are not there for anybody.
pub(crate) type Members<'d> = Vec<Member<'d>>;

impl<'d> Value<'d> {
    pub(crate) fn text(text: impl Into<Cow<'d, str>>) -> Value<'d> {
        Value::Text(text.into())
    }

    pub(crate) fn array(elements: Vec<Value<'d>>) -> Value<'d> {
        Value::Array(Arc::new(elements))
    }

    pub(crate) fn object(members: Members<'d>) -> Value<'d> {
        Value::Object(Arc::new(members))
    }

    /// What the value is, wherever it lies.
    pub(crate) fn view(&self) -> View<'_> {
        match self {
            Value::Undefined => View::Undefined,
            Value::Null => View::Null,
            Value::Bool(value) => View::Bool(*value),
            Value::Number(number) => View::Number(*number),
            Value::Text(text) => View::Text(Cow::Borrowed(text)),
            Value::Raw(bytes) => View::Raw(bytes),
            Value::Array(_) => View::Array,
            Value::Object(_) => View::Object,
            Value::Node(node) => match node.kind() {
                Kind::Null => View::Null,
                Kind::True => View::Bool(true),
                Kind::False => View::Bool(false),
                // unconfirmed: a number beyond the bounds of the language has no value, but passes if nobody asks for it.
                Kind::Number => node.number().map_or(View::Undefined, View::Number),
                Kind::Plain | Kind::Escaped => View::Text(node.text()),
                Kind::Array => View::Array,
                Kind::Object => View::Object,
            },
        }
    }

    pub(crate) fn is_undefined(&self) -> bool {
        matches!(self, Value::Undefined)
    }

    pub(crate) fn is_null(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Node(node) => node.kind() == Kind::Null,
            _ => false,
        }
    }

    pub(crate) fn is_array(&self) -> bool {
        match self {
            Value::Array(_) => true,
            Value::Node(node) => node.kind() == Kind::Array,
            _ => false,
        }
    }

    pub(crate) fn is_object(&self) -> bool {
        match self {
            Value::Object(_) => true,
            Value::Node(node) => node.kind() == Kind::Object,
            _ => false,
        }
    }

    pub(crate) fn is_text(&self) -> bool {
        match self {
            Value::Text(_) => true,
            Value::Node(node) => matches!(node.kind(), Kind::Plain | Kind::Escaped),
            _ => false,
        }
    }

    /// The member of an object; Undefined if there is none.
    pub(crate) fn member(&self, name: &str) -> Value<'d> {
        let found = match self {
            Value::Node(node) => node.member(name).map(Value::Node),
            Value::Object(members) => members.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone()),
            _ => None,
        };
        found.unwrap_or(Value::Undefined)
    }

    /// The elements of an array, in order; of anything else none.
    pub(crate) fn elements(&self) -> Elements<'_, 'd> {
        match self {
            Value::Node(node) => Elements::Node(node.elements()),
            Value::Array(elements) => Elements::Array(elements.iter()),
            _ => Elements::Array([].iter()),
        }
    }

    /// How many elements or members an array or object has, and for a string how many pieces copying it takes.
    pub(crate) fn breadth(&self) -> usize {
        match self {
            Value::Node(node) => node.breadth(),
            Value::Array(elements) => elements.len(),
            Value::Object(members) => members.len(),
            Value::Text(Cow::Owned(text)) => text.len() / 32,
            _ => 0,
        }
    }

    /// The members of an object in order; of those of one name the last counts.
    pub(crate) fn members(&self) -> Members<'d> {
        let mut members = Members::new();
        match self {
            Value::Node(node) => node.members().for_each(|(key, value)| members.push((key.text(), Value::Node(value)))),
            Value::Object(own) => members.extend(own.iter().filter(|(_, value)| !value.is_undefined()).cloned()),
            _ => {}
        }
        members
    }

    /// The same value, independent of what it was taken from.
    pub(crate) fn owned(&self) -> Value<'static> {
        match self.view() {
            View::Undefined => Value::Undefined,
            View::Null => Value::Null,
            View::Bool(value) => Value::Bool(value),
            View::Number(number) => Value::Number(number),
            View::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            View::Raw(bytes) => Value::Text(Cow::Owned(encode(bytes))),
            View::Array => Value::array(self.elements().map(|element| element.owned()).collect()),
            View::Object => {
                let members = self.members().into_iter();
                Value::object(members.map(|(key, value)| (Cow::Owned(key.into_owned()), value.owned())).collect())
            }
        }
    }

    /// Reads a JSON text into a value of its own; `None` if it is none.
    pub(crate) fn read(json: &[u8]) -> Option<Value<'static>> {
        let text = std::str::from_utf8(json).ok()?;
        // The text is printed from the value anyway, so whether whole numbers keep their point is decided then.
        let outline = Outline::read(text, false)?;
        Some(Value::Node(outline.document(text).root()).owned())
    }

    /// Appends the value as JSON; `whole` says that `10.0` is printed as `10`. Nothing if it is Undefined. It stops somewhere
    /// beyond the bound that everybody sets to what they print, and says nothing of it.
    pub(crate) fn print(&self, whole: bool, out: &mut String) {
        match self {
            Value::Undefined => {}
            Value::Null => out.push_str("null"),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Number(number) => print_number(*number, whole, out),
            Value::Text(text) => print_text(text, out),
            Value::Node(node) => node.print(out),
            // unconfirmed: a payload that is no JSON becomes a string in base64 where only JSON can stand.
            Value::Raw(bytes) => print_text(&encode(bytes), out),
            Value::Array(elements) => {
                out.push('[');
                let mut between = "";
                for element in elements.iter().filter(|element| !element.is_undefined()) {
                    if out.len() > ENOUGH {
                        break;
                    }
                    out.push_str(between);
                    element.print(whole, out);
                    between = ",";
                }
                out.push(']');
            }
            Value::Object(members) => {
                out.push('{');
                let mut between = "";
                for (key, value) in members.iter().filter(|(_, value)| !value.is_undefined()) {
                    if out.len() > ENOUGH {
                        break;
                    }
                    out.push_str(between);
                    print_text(key, out);
                    out.push(':');
                    value.print(whole, out);
                    between = ",";
                }
                out.push('}');
            }
        }
    }
}

/// Appends a number as a version of the language writes it.
pub(crate) fn print_number(number: Number, whole: bool, out: &mut String) {
    let number = if whole { number.whole().unwrap_or(number) } else { number };
    // Writing to a string does not fail.
    let _ = write!(out, "{number}");
}

/// The elements of an array.
pub(crate) enum Elements<'v, 'd> {
    Node(Children<'d>),
    Array(std::slice::Iter<'v, Value<'d>>),
}

impl<'d> Iterator for Elements<'_, 'd> {
    type Item = Value<'d>;

    fn next(&mut self) -> Option<Value<'d>> {
        match self {
            Elements::Node(children) => children.next().map(Value::Node),
            Elements::Array(elements) => elements.next().cloned(),
        }
    }
}

/// Bytes in base64.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
