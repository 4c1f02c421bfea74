//! Key schemas: which attributes make up the key of an item in a table or an index, what such an attribute may hold, and the key
//! as bytes that sort as DynamoDB sorts. Knows nothing of where items are kept.

use serde::{Deserialize, Serialize};

use super::attribute::{Attribute, Binary, Item, Type};

/// The longest partition key and the longest sort key, in bytes.
const MAX_HASH_BYTES: usize = 2048;
const MAX_RANGE_BYTES: usize = 1024;

/// The type of a key attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Scalar {
    S,
    N,
    B,
}

impl Scalar {
    /// The type of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "S" => Some(Self::S),
            "N" => Some(Self::N),
            "B" => Some(Self::B),
            _ => None,
        }
    }

    /// Among the types of attributes.
    pub(crate) fn kind(self) -> Type {
        match self {
            Self::S => Type::S,
            Self::N => Type::N,
            Self::B => Type::B,
        }
    }
}

/// A key attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Scalar,
}

impl Field {
    /// Refuses as its value what is empty.
    pub(crate) fn check_not_empty(&self, value: &Attribute) -> Result<(), String> {
        let Some(empty) = empty_kind(value) else { return Ok(()) };
        Err(format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty {empty} \
             value. Key: {}",
            self.name
        ))
    }
}

/// The partition key and, in some schemas, the sort key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Schema {
    pub(crate) hash: Field,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) range: Option<Field>,
}

/// A key as bytes. What is compared as bytes is in the order of the attributes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) hash: Vec<u8>,
    pub(crate) range: Option<Vec<u8>>,
}

impl Place {
    /// Two bytes that the partition key decides: items are spread by them, so that a scan can be cut into even segments.
    pub(crate) fn spread(&self) -> [u8; 2] {
        spread(&self.hash)
    }
}

/// The same for a partition key alone. What is stored depends on it: FNV-1a, folded.
pub(crate) fn spread(hash: &[u8]) -> [u8; 2] {
    let sum = hash
        .iter()
        .fold(0xCBF2_9CE4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3));
    let folded = sum ^ (sum >> 32);
    let [.., high, low] = (folded ^ (folded >> 16)).to_be_bytes();
    [high, low]
}

/// The bytes of a key attribute that has been checked.
pub(crate) fn sort_bytes(attribute: &Attribute) -> Vec<u8> {
    match attribute {
        Attribute::S(text) => text.clone().into_bytes(),
        Attribute::N(number) => number.sort_bytes(),
        Attribute::B(Binary(bytes)) => bytes.clone(),
        // No other type passes as a key.
        _ => Vec::new(),
    }
}

impl Schema {
    /// The key attributes, the partition key first.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &Field> {
        std::iter::once(&self.hash).chain(&self.range)
    }

    /// Whether an attribute of this name is part of the key.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields().any(|field| field.name == name)
    }

    /// The key attributes of an item that has them.
    pub(crate) fn key_of(&self, item: &Item) -> Item {
        let named = |field: &Field| item.get(&field.name).map(|value| (field.name.clone(), value.clone()));
        self.fields().filter_map(named).collect()
    }

    /// Where an item that is to be put belongs.
    pub(crate) fn place_of_item(&self, item: &Item) -> Result<Place, String> {
        for field in self.fields() {
            let value = item.get(&field.name).ok_or_else(|| {
                format!("One or more parameter values were invalid: Missing the key {} in the item", field.name)
            })?;
            if value.kind() != field.kind.kind() {
                return Err(format!(
                    "One or more parameter values were invalid: Type mismatch for key {} expected: {} actual: {}",
                    field.name,
                    field.kind.kind().name(),
                    value.kind().name()
                ));
            }
        }
        self.place(item)
    }

    /// Where the item with this key is, if the key has just the attributes it should have.
    pub(crate) fn place_of_key(&self, key: &Item) -> Result<Place, String> {
        let fits = |field: &Field| key.get(&field.name).is_some_and(|value| value.kind() == field.kind.kind());
        if key.len() != self.fields().count() || !self.fields().all(fits) {
            return Err("The provided key element does not match the schema".to_owned());
        }
        self.place(key)
    }

    /// The key of attributes whose types are known to be right.
    fn place(&self, item: &Item) -> Result<Place, String> {
        for field in self.fields() {
            item.get(&field.name).map_or(Ok(()), |value| field.check_not_empty(value))?;
        }
        let place = self.bytes(item);
        check_sizes(&place)?;
        Ok(place)
    }

    /// The key of attributes that have been checked.
    pub(crate) fn bytes(&self, item: &Item) -> Place {
        let bytes = |field: &Field| item.get(&field.name).map(sort_bytes).unwrap_or_default();
        Place { hash: bytes(&self.hash), range: self.range.as_ref().map(bytes) }
    }

    /// Where an item stands in the index of this name; nowhere, if it has not all of the index's key attributes.
    pub(crate) fn place_in_index(&self, index: &str, item: &Item) -> Result<Option<Place>, String> {
        let mut is_complete = true;
        for field in self.fields() {
            let Some(value) = item.get(&field.name) else {
                is_complete = false;
                continue;
            };
            if value.kind() != field.kind.kind() {
                return Err(format!(
                    "One or more parameter values were invalid: Type mismatch for Index Key {} Expected: {} Actual: {} \
                     IndexName: {index}",
                    field.name,
                    field.kind.kind().name(),
                    value.kind().name()
                ));
            }
            if let Some(empty) = empty_kind(value) {
                return Err(format!(
                    "One or more parameter values are not valid. A value specified for a secondary index key is not \
                     supported. The AttributeValue for a key attribute cannot contain an empty {empty} value. IndexName: \
                     {index}, IndexKey: {}",
                    field.name
                ));
            }
        }
        if !is_complete {
            return Ok(None);
        }
        let place = self.bytes(item);
        check_sizes(&place)?;
        Ok(Some(place))
    }
}

/// Whether a refusal says that a key is empty. A transaction says so of its own, before it looks at anything else.
pub(crate) fn is_of_empty_key(message: &str) -> bool {
    message.starts_with("One or more parameter values are not valid.")
}

/// What of text and bytes is empty, if it is.
pub(crate) fn empty_kind(value: &Attribute) -> Option<&'static str> {
    match value {
        Attribute::S(text) if text.is_empty() => Some("string"),
        Attribute::B(Binary(bytes)) if bytes.is_empty() => Some("binary"),
        _ => None,
    }
}

fn check_sizes(place: &Place) -> Result<(), String> {
    if place.hash.len() > MAX_HASH_BYTES {
        return Err("One or more parameter values were invalid: \
             Size of hashkey has exceeded the maximum size limit of2048 bytes"
            .to_owned());
    }
    if place.range.as_ref().is_some_and(|range| range.len() > MAX_RANGE_BYTES) {
        return Err("One or more parameter values were invalid: \
             Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
            .to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::attribute::read_item;
    use super::super::expression::condition::order;
    use super::*;

    fn schema() -> Schema {
        let field = |name: &str, kind| Field { name: name.to_owned(), kind };
        Schema { hash: field("pk", Scalar::S), range: Some(field("sk", Scalar::N)) }
    }

    #[test]
    fn an_item_needs_the_key_of_its_table() {
        let invalid = "One or more parameter values were invalid:";
        for (item, wrong) in [
            (json!({"pk": {"S": "a"}}), format!("{invalid} Missing the key sk in the item")),
            (
                json!({"pk": {"N": "1"}, "sk": {"N": "1"}}),
                format!("{invalid} Type mismatch for key pk expected: S actual: N"),
            ),
            (
                json!({"pk": {"S": ""}, "sk": {"N": "1"}}),
                "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty \
                 string value. Key: pk"
                    .to_owned(),
            ),
            (
                json!({"pk": {"S": "a".repeat(2049)}, "sk": {"N": "1"}}),
                format!("{invalid} Size of hashkey has exceeded the maximum size limit of2048 bytes"),
            ),
        ] {
            assert_eq!(schema().place_of_item(&read_item(&item).unwrap()), Err(wrong), "{item}");
        }
        let item = json!({"pk": {"S": "a".repeat(2048)}, "sk": {"N": "1"}, "more": {"BOOL": true}});
        let item = read_item(&item).unwrap();
        assert!(schema().place_of_item(&item).is_ok());
        let mismatch = Err("The provided key element does not match the schema".to_owned());
        assert_eq!(schema().place_of_key(&item), mismatch, "a key holds nothing else");
        assert_eq!(schema().place_of_key(&schema().key_of(&item)), schema().place_of_item(&item));
    }

    #[test]
    fn an_item_stands_in_an_index_only_with_all_of_its_key() {
        let place = |item| schema().place_in_index("by", &read_item(&item).unwrap());
        assert_eq!(place(json!({"pk": {"S": "a"}})), Ok(None));
        assert!(place(json!({"pk": {"S": "a"}, "sk": {"N": "1"}})).unwrap().is_some());
        assert!(place(json!({"sk": {"S": "a"}})).unwrap_err().ends_with("Expected: N Actual: S IndexName: by"));
        assert!(place(json!({"pk": {"S": ""}})).unwrap_err().ends_with("IndexName: by, IndexKey: pk"));
    }

    #[test]
    fn partition_keys_are_spread_evenly_and_always_alike() {
        assert_eq!(spread(b"device-1"), spread(b"device-1"));
        assert_eq!(spread(b""), [0xF0, 0x11], "what is stored depends on it");
        let halves = (0..1000).filter(|number| spread(format!("device-{number}").as_bytes())[0] < 0x80).count();
        assert!((450..550).contains(&halves), "{halves}");
    }

    fn scalars() -> impl Strategy<Value = Attribute> {
        let number = (-1_000_000_i64..1_000_000, -3_i32..3).prop_map(|(digits, power)| format!("{digits}e{power}"));
        prop_oneof![
            ".{0,6}".prop_map(Attribute::S),
            number.prop_map(|text| Attribute::N(text.parse().unwrap())),
            prop::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| Attribute::B(Binary(bytes))),
        ]
    }

    proptest! {
        #[test]
        fn bytes_sort_as_attributes_of_one_type_do(one in scalars(), two in scalars()) {
            if let Some(order) = order(&one, &two) {
                prop_assert_eq!(sort_bytes(&one).cmp(&sort_bytes(&two)), order);
            }
        }
    }
}
