//! What an item holds: attributes in DynamoDB's ten types, read from its JSON with its own words for what is wrong, kept as the
//! same JSON, and counted in bytes as it counts them. Knows nothing of tables, keys or expressions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use super::number::{NotANumber, Number};

/// Attributes by name.
pub(crate) type Item = BTreeMap<String, Attribute>;

/// The most bytes of an item, names included.
pub(crate) const MAX_ITEM_BYTES: usize = 400 * 1024;

/// The longest name of an attribute, in bytes.
const MAX_NAME_BYTES: usize = 65535;

/// How many maps and lists may stand around a value.
const MAX_DEPTH: usize = 32;

/// A value of one of the ten types. Sets are kept in order, since theirs has no meaning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::upper_case_acronyms, reason = "DynamoDB's own names")]
pub(crate) enum Attribute {
    S(String),
    N(Number),
    B(Binary),
    SS(BTreeSet<String>),
    NS(BTreeSet<Number>),
    BS(BTreeSet<Binary>),
    M(Item),
    L(Vec<Attribute>),
    NULL(bool),
    BOOL(bool),
}

/// Bytes, written as base64.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Binary(pub(crate) Vec<u8>);

/// The type of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::upper_case_acronyms, reason = "DynamoDB's own names")]
pub(crate) enum Type {
    S,
    N,
    B,
    SS,
    NS,
    BS,
    M,
    L,
    NULL,
    BOOL,
}

impl Type {
    const ALL: [Self; 10] =
        [Self::S, Self::N, Self::B, Self::SS, Self::NS, Self::BS, Self::M, Self::L, Self::NULL, Self::BOOL];

    /// The type of this name, if there is one.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// `S`, `N` and so on.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
            Self::SS => "SS",
            Self::NS => "NS",
            Self::BS => "BS",
            Self::M => "M",
            Self::L => "L",
            Self::NULL => "NULL",
            Self::BOOL => "BOOL",
        }
    }

    /// The name that messages about ADD and DELETE use.
    pub(crate) fn long_name(self) -> &'static str {
        match self {
            Self::S => "STRING",
            Self::N => "NUMBER",
            Self::B => "BINARY",
            Self::SS => "STRING_SET",
            Self::NS => "NUMBER_SET",
            Self::BS => "BINARY_SET",
            Self::M => "MAP",
            Self::L => "LIST",
            Self::NULL => "NULL",
            Self::BOOL => "BOOLEAN",
        }
    }

    /// Whether it is one of the three sets.
    pub(crate) fn is_set(self) -> bool {
        matches!(self, Self::SS | Self::NS | Self::BS)
    }
}

impl Attribute {
    /// Its type.
    pub(crate) fn kind(&self) -> Type {
        match self {
            Self::S(_) => Type::S,
            Self::N(_) => Type::N,
            Self::B(_) => Type::B,
            Self::SS(_) => Type::SS,
            Self::NS(_) => Type::NS,
            Self::BS(_) => Type::BS,
            Self::M(_) => Type::M,
            Self::L(_) => Type::L,
            Self::NULL(_) => Type::NULL,
            Self::BOOL(_) => Type::BOOL,
        }
    }

    /// Reads `{"S": "text"}` and its like, or says what DynamoDB would of it.
    pub(crate) fn read(value: &Value) -> Result<Self, String> {
        read(value, 0)
    }

    /// How many bytes it counts for.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::S(text) => text.len(),
            Self::N(number) => number.size(),
            Self::B(Binary(bytes)) => bytes.len(),
            Self::SS(set) => set.iter().map(String::len).sum(),
            Self::NS(set) => set.iter().map(|number| number.size()).sum(),
            Self::BS(set) => set.iter().map(|Binary(bytes)| bytes.len()).sum(),
            // Three bytes for being a map or a list, and one for each element.
            Self::M(map) => 3 + item_size(map) + map.len(),
            Self::L(list) => 3 + list.iter().map(|element| element.size() + 1).sum::<usize>(),
            Self::NULL(_) | Self::BOOL(_) => 1,
        }
    }

    /// How many maps and lists stand around what lies deepest in it.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::M(map) => 1 + map.values().map(Self::depth).max().unwrap_or(0),
            Self::L(list) => 1 + list.iter().map(Self::depth).max().unwrap_or(0),
            _ => 0,
        }
    }
}

/// How many bytes an item counts for: its names and its values.
pub(crate) fn item_size(item: &Item) -> usize {
    item.iter().map(|(name, attribute)| name.len() + attribute.size()).sum()
}

/// Whether an item is nested deeper than may be stored; only updates can build such a thing of what was read.
pub(crate) fn check_depth(item: &Item) -> Result<(), String> {
    let too_deep = item.values().any(|attribute| attribute.depth() > MAX_DEPTH);
    if too_deep { Err(TOO_DEEP.to_owned()) } else { Ok(()) }
}

const TOO_DEEP: &str = "Nesting Levels have exceeded supported limits: \
    Attributes in the item have nested levels beyond supported limit";

/// What stands before most of what is wrong with a value.
const INVALID: &str = "One or more parameter values were invalid: ";

/// Reads a map of attributes.
pub(crate) fn read_item(value: &Value) -> Result<Item, String> {
    read_map(value, 0)
}

/// An item in DynamoDB's JSON.
pub(crate) fn item_json(item: &Item) -> Value {
    // Nothing in an item fails to be JSON.
    serde_json::to_value(item).unwrap_or_default()
}

fn read(value: &Value, depth: usize) -> Result<Attribute, String> {
    let empty = Map::new();
    let members = value.as_object().unwrap_or(&empty);
    let mut read = None;
    let mut count = 0;
    for (name, inner) in members.iter().filter(|(_, inner)| !inner.is_null()) {
        let Some(kind) = Type::named(name) else { continue };
        count += 1;
        read = Some(read_as(kind, inner, depth)?);
    }
    match read {
        Some(attribute) if count == 1 => Ok(attribute),
        Some(_) => Err("Supplied AttributeValue has more than one datatypes set, \
             must contain exactly one of the supported datatypes"
            .to_owned()),
        None => Err("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes".to_owned()),
    }
}

fn read_as(kind: Type, inner: &Value, depth: usize) -> Result<Attribute, String> {
    match kind {
        Type::S => Ok(Attribute::S(text(inner).to_owned())),
        Type::N => number(text(inner)).map(Attribute::N),
        Type::B => binary(text(inner)).map(Attribute::B),
        Type::BOOL => Ok(Attribute::BOOL(inner.as_bool().unwrap_or_default())),
        Type::NULL if inner.as_bool() == Some(true) => Ok(Attribute::NULL(true)),
        Type::NULL => Err(format!("{INVALID}Null attribute value types must have the value of true")),
        Type::SS | Type::NS | Type::BS => read_set(kind, inner),
        Type::M | Type::L if depth >= MAX_DEPTH => Err(TOO_DEEP.to_owned()),
        Type::M => read_map(inner, depth + 1).map(Attribute::M),
        Type::L => list(inner).map(|element| read(element, depth + 1)).collect::<Result<_, _>>().map(Attribute::L),
    }
}

fn read_map(value: &Value, depth: usize) -> Result<Item, String> {
    let mut item = Item::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        if name.is_empty() && depth == 0 {
            return Err("One or more parameter values were invalid: Empty attribute name".to_owned());
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(too_long_a_name());
        }
        item.insert(name.clone(), read(value, depth)?);
    }
    Ok(item)
}

/// What is said of a name that is too long.
/// unconfirmed: the words; that the bound is named is known.
pub(crate) fn too_long_a_name() -> String {
    format!("{INVALID}Attribute name is too large, must be less than {} bytes", MAX_NAME_BYTES + 1)
}

/// Whether a name given beside an expression is too long to be one.
pub(crate) fn is_too_long_a_name(name: &str) -> bool {
    name.len() > MAX_NAME_BYTES
}

fn read_set(kind: Type, inner: &Value) -> Result<Attribute, String> {
    let members: Vec<&str> = list(inner).map(text).collect();
    match kind {
        Type::SS if members.is_empty() => Err(format!("{INVALID}An string set  may not be empty")),
        Type::NS if members.is_empty() => Err(format!("{INVALID}An number set  may not be empty")),
        _ if members.is_empty() => Err(format!("{INVALID}Binary sets should not be empty")),
        Type::SS => match set_of(members.iter().map(|text| (*text).to_owned()).collect()) {
            Ok(set) => Ok(Attribute::SS(set)),
            Err(told) => {
                let all: Vec<String> = told.iter().map(|text| format!("\"{text}\"")).collect();
                Err(format!("{INVALID}Input collection [{}] contains duplicates.", all.join(", ")))
            }
        },
        Type::NS => match set_of(members.iter().map(|text| number(text)).collect::<Result<_, _>>()?) {
            Ok(set) => Ok(Attribute::NS(set)),
            Err(_) => Err(format!("{INVALID}Input collection contains duplicates.")),
        },
        _ => match set_of(members.iter().map(|text| binary(text)).collect::<Result<_, _>>()?) {
            Ok(set) => Ok(Attribute::BS(set)),
            Err(told) => {
                let all: Vec<String> = told.iter().map(|bytes| format!("\"{bytes}\"")).collect();
                Err(format!("{INVALID}Input collection [{}]of type BS contains duplicates.", all.join(",")))
            }
        },
    }
}

/// The members as a set; if one comes twice, all of them as DynamoDB tells them: in order up to the first that does, then it and
/// the rest as they came.
fn set_of<T: Ord + Clone>(members: Vec<T>) -> Result<BTreeSet<T>, Vec<T>> {
    let mut set = BTreeSet::new();
    for (at, member) in members.iter().enumerate() {
        if !set.insert(member.clone()) {
            return Err(set.into_iter().chain(members.into_iter().skip(at)).collect());
        }
    }
    Ok(set)
}

// The door has made sure of the kinds of JSON, so that what is of another kind here came from inside and is empty.

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn number(text: &str) -> Result<Number, String> {
    text.parse().map_err(|not: NotANumber| not.message(text))
}

fn binary(text: &str) -> Result<Binary, String> {
    // unconfirmed: the words; the door refuses most of it before.
    STANDARD.decode(text).map(Binary).map_err(|_| format!("{INVALID}A binary value is not base64"))
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|not: NotANumber| de::Error::custom(not.message(&text)))
    }
}

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Self).map_err(de::Error::custom)
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(&self.0))
    }
}

/// An item as plain JSON text, for whoever has no use for types: sets are lists, bytes base64, and numbers keep all their digits.
pub(crate) fn plain(item: &Item) -> String {
    let mut text = String::new();
    write_item(&mut text, item);
    text
}

/// An attribute as plain JSON text.
pub(crate) fn write_plain(into: &mut String, attribute: &Attribute) {
    match attribute {
        Attribute::S(text) => into.push_str(&quoted(text)),
        Attribute::N(number) => into.push_str(&number.to_string()),
        Attribute::B(bytes) => into.push_str(&quoted(&bytes.to_string())),
        Attribute::SS(set) => write_list(into, set.iter().map(|text| quoted(text))),
        Attribute::NS(set) => write_list(into, set.iter().map(Number::to_string)),
        Attribute::BS(set) => write_list(into, set.iter().map(|bytes| quoted(&bytes.to_string()))),
        Attribute::M(map) => write_item(into, map),
        Attribute::L(list) => {
            write_list(
                into,
                list.iter().map(|element| {
                    let mut text = String::new();
                    write_plain(&mut text, element);
                    text
                }),
            );
        }
        Attribute::NULL(_) => into.push_str("null"),
        Attribute::BOOL(it) => into.push_str(if *it { "true" } else { "false" }),
    }
}

fn write_item(into: &mut String, item: &Item) {
    into.push('{');
    for (index, (name, attribute)) in item.iter().enumerate() {
        into.push_str(if index > 0 { "," } else { "" });
        into.push_str(&quoted(name));
        into.push(':');
        write_plain(into, attribute);
    }
    into.push('}');
}

fn write_list(into: &mut String, elements: impl Iterator<Item = String>) {
    into.push('[');
    for (index, element) in elements.enumerate() {
        into.push_str(if index > 0 { "," } else { "" });
        into.push_str(&element);
    }
    into.push(']');
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn json(attribute: &Attribute) -> Value {
        serde_json::to_value(attribute).unwrap()
    }

    fn nested(levels: usize) -> Value {
        (0..levels).fold(json!({"S": "x"}), |inner, _| json!({"L": [inner]}))
    }

    #[test]
    fn an_attribute_is_kept_as_it_came_but_for_what_means_nothing() {
        for (given, kept) in [
            (json!({"S": ""}), json!({"S": ""})),
            (json!({"N": "1.50e1"}), json!({"N": "15"})),
            (json!({"B": "AQI="}), json!({"B": "AQI="})),
            (json!({"SS": ["b", "a"]}), json!({"SS": ["a", "b"]})),
            (json!({"NS": ["10", "9", "-1"]}), json!({"NS": ["-1", "9", "10"]})),
            (json!({"BS": ["Ag==", "AQ=="]}), json!({"BS": ["AQ==", "Ag=="]})),
            (json!({"NULL": true}), json!({"NULL": true})),
            (json!({"BOOL": false}), json!({"BOOL": false})),
            (json!({"L": [{"M": {"": {"L": []}}}]}), json!({"L": [{"M": {"": {"L": []}}}]})),
        ] {
            let attribute = Attribute::read(&given).unwrap();
            assert_eq!(json(&attribute), kept);
            assert_eq!(serde_json::from_value::<Attribute>(kept).unwrap(), attribute);
        }
    }

    #[test]
    fn what_is_wrong_is_told_in_the_words_of_dynamodb() {
        for (value, message) in [
            (json!({}), "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
            (
                json!({"S": "a", "BOOL": true}),
                "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported \
                 datatypes",
            ),
            (json!({"S": "a", "N": ""}), "The parameter cannot be converted to a numeric value: "),
            (json!({"N": "b"}), "The parameter cannot be converted to a numeric value: b"),
            (
                json!({"NULL": false}),
                "One or more parameter values were invalid: Null attribute value types must have the value of true",
            ),
            (json!({"SS": []}), "One or more parameter values were invalid: An string set  may not be empty"),
            (
                json!({"SS": ["a", "b", "a"]}),
                "One or more parameter values were invalid: Input collection [\"a\", \"b\", \"a\"] contains duplicates.",
            ),
            (
                json!({"NS": ["1", "1.0"]}),
                "One or more parameter values were invalid: Input collection contains duplicates.",
            ),
            (
                json!({"BS": ["Yg==", "Yg=="]}),
                "One or more parameter values were invalid: Input collection [\"Yg==\",\"Yg==\"]of type BS contains \
                 duplicates.",
            ),
            (json!({"L": [{"M": {"a": {"N": "x"}}}]}), "The parameter cannot be converted to a numeric value: x"),
        ] {
            assert_eq!(Attribute::read(&value).unwrap_err(), message, "{value}");
        }
    }

    #[test]
    fn values_are_nested_up_to_32_levels() {
        assert_eq!(Attribute::read(&nested(32)).unwrap().depth(), 32);
        assert!(Attribute::read(&nested(33)).unwrap_err().starts_with("Nesting Levels have exceeded"));
        let item = Item::from([("a".to_owned(), Attribute::read(&nested(32)).unwrap())]);
        assert!(check_depth(&item).is_ok());
        let deeper = Item::from([("a".to_owned(), Attribute::L(item.into_values().collect()))]);
        assert!(check_depth(&deeper).is_err());
    }

    #[test]
    fn names_and_values_count_in_bytes() {
        for (item, size) in [
            (json!({}), 0),
            (json!({"pk": {"S": "ä"}}), 4),
            (json!({"n": {"N": "-123"}}), 5),
            (json!({"b": {"B": "AQI="}, "t": {"BOOL": true}, "z": {"NULL": true}}), 7),
            (json!({"l": {"L": [{"S": "ab"}, {"L": []}]}}), 1 + 3 + 3 + 4),
            (json!({"m": {"M": {"k": {"S": "v"}}}}), 1 + 3 + 2 + 1),
            (json!({"s": {"SS": ["ab", "c"]}}), 4),
        ] {
            assert_eq!(item_size(&read_item(&item).unwrap()), size, "{item}");
        }
    }

    #[test]
    fn plain_json_has_no_types() {
        let item = json!({
            "s": {"S": "x\"y"}, "n": {"N": "12345678901234567890.5"}, "b": {"B": "AQI="}, "ns": {"NS": ["2", "1"]},
            "m": {"M": {"l": {"L": [{"NULL": true}, {"BOOL": true}, {"SS": ["a"]}]}}}, "e": {"M": {}},
        });
        let expected =
            r#"{"b":"AQI=","e":{},"m":{"l":[null,true,["a"]]},"n":12345678901234567890.5,"ns":[1,2],"s":"x\"y"}"#;
        assert_eq!(plain(&read_item(&item).unwrap()), expected);
    }
}
