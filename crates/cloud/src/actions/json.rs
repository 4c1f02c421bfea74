//! JSON as sinks want it: opened one level at a time, members in order, numbers with every digit they came with. What sinks make of
//! it is their files' affair.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One value, opened.
pub(super) enum Json<'a> {
    Null,
    Boolean(bool),
    /// As it was written.
    Number(&'a str),
    Text(String),
    Array(Vec<&'a RawValue>),
    Object(Vec<(String, &'a RawValue)>),
}

impl<'a> Json<'a> {
    /// Opens a whole document; nothing if it is not JSON.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Json<'a>> {
        Json::open(serde_json::from_slice(bytes).ok()?)
    }

    /// Opens a value inside another; nothing if it is no JSON after all, as text with half a character is.
    pub(super) fn open(raw: &'a RawValue) -> Option<Json<'a>> {
        let text = raw.get();
        Some(match text.as_bytes().first()? {
            b'n' => Json::Null,
            b't' => Json::Boolean(true),
            b'f' => Json::Boolean(false),
            b'"' => Json::Text(serde_json::from_str(text).ok()?),
            b'[' => Json::Array(serde_json::from_str(text).ok()?),
            b'{' => Json::Object(serde_json::from_str::<Members>(text).ok()?.0),
            _ => Json::Number(text),
        })
    }
}

/// The members of an object in the order they came.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_order_are_kept() {
        let Some(Json::Object(members)) = Json::read(br#"{"b":1.50,"a":12345678901234567890123}"#) else { panic!() };
        let text: Vec<_> = members.iter().map(|(name, raw)| (name.as_str(), raw.get())).collect();
        assert_eq!(text, [("b", "1.50"), ("a", "12345678901234567890123")]);
    }

    #[test]
    fn what_is_not_json_is_nothing() {
        for bytes in [&b"{"[..], b"", b"\xff", b"{} x"] {
            assert!(Json::read(bytes).is_none(), "{bytes:?}");
        }
    }
}
