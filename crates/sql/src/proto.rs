//! Protocol Buffers for `decode(…, 'proto', …)`: a message and the descriptor set that `protoc` made of its file become JSON,
//! by the JSON mapping that Protocol Buffers define. Both come from outside and are bounded in every direction. Where they
//! come from is not known here.

mod json;
mod message;
mod schema;
mod wire;

use schema::Schema;

/// The largest descriptor set that is read, in bytes (rules.md §3).
pub(crate) const MAX_DESCRIPTORS: usize = 32 * 1024;
/// The largest message that is decoded, in bytes.
pub(crate) const MAX_MESSAGE: usize = 128 * 1024;
/// The largest JSON text that comes of it, in bytes.
pub(crate) const MAX_JSON: usize = 128 * 1024;
/// How deep messages and their JSON may nest. unconfirmed: Java's own bound is 100; AWS names none.
const NESTING: usize = 64;

/// A type of message, ready to decode messages of it.
#[derive(Debug)]
pub(crate) struct Decoder {
    schema: Schema,
    message: usize,
}

impl Decoder {
    /// Finds a type of message in a descriptor set. The file is named with or without its extension and directories; the
    /// message with or without its package. What it cannot find it says with what there is.
    pub(crate) fn new(descriptors: &[u8], file: &str, message: &str) -> Result<Decoder, String> {
        if descriptors.len() > MAX_DESCRIPTORS {
            let found = descriptors.len();
            return Err(format!("the descriptor set has {found} bytes; the most are {MAX_DESCRIPTORS}"));
        }
        let schema = Schema::read(descriptors).map_err(|error| format!("not a descriptor set: {error}"))?;
        let message = schema.find(file, message)?;
        Ok(Decoder { schema, message })
    }

    /// Decodes a message: its JSON text.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<String, String> {
        if bytes.len() > MAX_MESSAGE {
            return Err(format!("the message has {} bytes; the most are {MAX_MESSAGE}", bytes.len()));
        }
        let message = message::decode(&self.schema, self.message, bytes, NESTING).map_err(|error| error.to_string())?;
        json::print(&self.schema, &message, MAX_JSON)
    }
}

#[cfg(test)]
mod tests {
    //! Messages against what Google's own library makes of them (`proto/vectors`), and every way to be refused.

    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use serde_json::{Value, json};

    use super::*;

    /// The three files of `proto/vectors`, as `protoc --include_imports` makes a descriptor set of them.
    const LAB: &[u8] = include_bytes!("proto/vectors/lab.desc");

    fn decode(file: &str, message: &str, bytes: &[u8]) -> Result<String, String> {
        Decoder::new(LAB, file, message)?.decode(bytes)
    }

    fn decoded(file: &str, message: &str, hex: &str) -> Value {
        serde_json::from_str(&decode(file, message, &unhex(hex)).unwrap()).unwrap()
    }

    fn refused(file: &str, message: &str, hex: &str) -> String {
        decode(file, message, &unhex(hex)).unwrap_err()
    }

    fn unhex(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// A field of bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length > 0x7f {
            out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        out.push(u8::try_from(length).unwrap());
        out.extend_from_slice(bytes);
        out
    }

    #[test]
    fn googles_own_library_says_the_same() {
        for line in include_str!("proto/vectors/lab.tsv").lines().filter(|line| !line.starts_with('#')) {
            let [file, message, hex, json] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let decoded = decode(file, message, &unhex(hex));
            match json {
                "-" => assert!(decoded.is_err(), "{line}"),
                json => {
                    let decoded: Value = serde_json::from_str(&decoded.expect(line)).unwrap();
                    assert_eq!(decoded, serde_json::from_str::<Value>(json).unwrap(), "{line}");
                }
            }
        }
    }

    #[test]
    fn a_file_is_found_by_name_stem_or_path_and_a_message_with_or_without_its_package() {
        for file in ["kinds", "kinds.proto"] {
            for message in ["Person", "lab.v1.Person"] {
                assert_eq!(decode(file, message, b"\x0a\x03Ann").unwrap(), r#"{"name":"Ann"}"#);
            }
        }
        assert_eq!(decode("timestamp", "Timestamp", b"\x08\x01").unwrap(), r#""1970-01-01T00:00:01Z""#);
        assert_eq!(decode("google/protobuf/timestamp.proto", "Timestamp", b"").unwrap(), r#""1970-01-01T00:00:00Z""#);
        assert_eq!(decode("kinds", "Tree.Leaf", b"\x08\x02").unwrap(), r#"{"size":2}"#);
    }

    #[test]
    fn what_is_not_found_is_named_with_what_there_is() {
        let refused = decode("kind", "Person", b"").unwrap_err();
        assert!(refused.starts_with("no file kind in the descriptor set, which has google/protobuf/"), "{refused}");
        assert_eq!(decode("kinds", "Old", b"").unwrap_err(), "no message Old in file kinds.proto");
        assert_eq!(decode("kinds", "lab.older.Old", b"").unwrap_err(), "no message lab.older.Old in file kinds.proto");
        assert_eq!(decode("kinds", "Mode", b"").unwrap_err(), "no message Mode in file kinds.proto");
        let refused = Decoder::new(b"{}", "kinds", "Person").unwrap_err();
        assert!(refused.starts_with("not a descriptor set: "), "{refused}");
    }

    #[test]
    fn a_descriptor_set_without_its_imports_says_how_to_make_one() {
        // A file whose one message has a field of type .a.B.
        let of = [field(1, b"b"), vec![0x18, 1, 0x28, 11], field(6, b".a.B")].concat();
        let message = [field(1, b"M"), field(2, &of)].concat();
        let set = field(1, &[field(1, b"f.proto"), field(4, &message)].concat());
        let refused = Decoder::new(&set, "f", "M").unwrap_err();
        assert_eq!(
            refused,
            "not a descriptor set: type a.B is not in the descriptor set; make it with protoc --include_imports"
        );
    }

    #[test]
    fn a_map_entry_that_is_none_is_a_list_of_messages() {
        // A repeated field of a message that says to be an entry, but whose key is a float.
        let entry_field = |number: u8, of: u8| [field(1, b"f"), vec![0x18, number, 0x20, 1, 0x28, of]].concat();
        let entry =
            [field(1, b"E"), field(2, &entry_field(1, 2)), field(2, &entry_field(2, 5)), field(7, &[0x38, 1])].concat();
        let map = [field(1, b"m"), vec![0x18, 1, 0x20, 3, 0x28, 11], field(6, b".M.E")].concat();
        let message = [field(1, b"M"), field(2, &map), field(3, &entry)].concat();
        let set = field(1, &[field(1, b"f.proto"), field(4, &message)].concat());
        let decoder = Decoder::new(&set, "f", "M").unwrap();
        assert_eq!(decoder.decode(&[0x0a, 2, 0x10, 9]).unwrap(), r#"{"m":[{"f":9}]}"#);
    }

    #[test]
    fn what_is_not_a_message_says_why() {
        assert_eq!(refused("kinds", "Person", "0a05416e6e"), "the bytes end within a field");
        assert_eq!(refused("kinds", "Person", "0a01ff"), "field name is not valid UTF-8");
        assert_eq!(refused("kinds", "Person", "10ffffffffffffffffffff01"), "a number has more than 64 bits");
        assert_eq!(refused("kinds", "Person", "0f"), "a field has a wire type that there is not");
        assert_eq!(refused("kinds", "Person", "00"), "a field has a number that no field can have");
        assert_eq!(refused("older", "Old", "1005"), "required field name of lab.older.Old is missing");
    }

    #[test]
    fn proto2_tells_what_is_there_from_what_is_not() {
        // A default that was sent, a colour that there is not, and a text that is not UTF-8.
        let old = decoded("older", "Old", "0a02ff41100018092001200920022b08002c");
        assert_eq!(
            old,
            json!({"name": "\u{fffd}A", "size": 0, "colours": ["RED", "GREEN"], "inside": {"open": false}})
        );
    }

    #[test]
    fn of_a_oneof_the_last_counts() {
        assert_eq!(decoded("kinds", "Kinds", "9a010161a00105"), json!({"figure": 5}));
        assert_eq!(decoded("kinds", "Kinds", "a001059a010161"), json!({"word": "a"}));
        assert_eq!(decoded("kinds", "Kinds", "aa01031a0161aa01021001"), json!({"someone": {"email": "a", "id": 1}}));
    }

    #[test]
    fn any_needs_its_type_in_the_descriptor_set() {
        let any = field(3, &[field(1, b"x/lab.Nowhere"), field(2, b"")].concat());
        let refused = decode("kinds", "Known", &any).unwrap_err();
        assert_eq!(refused, "type lab.Nowhere of a google.protobuf.Any is not in the descriptor set");
    }

    #[test]
    fn times_and_numbers_that_json_cannot_tell_are_refused() {
        assert!(refused("kinds", "Known", "0a0a08ffffffffffffffff7f").contains("Timestamp cannot be"));
        assert!(refused("kinds", "Known", "1204080110ff").contains("end within"));
        assert!(
            refused("kinds", "Known", "120d080110ffffffffffffffffff01").contains("Duration cannot be 1 s and -1 ns")
        );
        assert!(refused("kinds", "Known", "2a0911000000000000f87f").contains("Value cannot be NaN"));
    }

    #[test]
    fn sizes_have_bounds() {
        let person = |length: usize| field(1, &vec![b'a'; length]);
        assert!(decode("kinds", "Person", &person(MAX_JSON - 11)).is_ok());
        assert_eq!(
            decode("kinds", "Person", &person(MAX_JSON - 10)).unwrap_err(),
            "its JSON has more than 131072 bytes"
        );
        let refused = decode("kinds", "Person", &vec![0; MAX_MESSAGE + 1]).unwrap_err();
        assert_eq!(refused, "the message has 131073 bytes; the most are 131072");
        let refused = Decoder::new(&vec![0; MAX_DESCRIPTORS + 1], "kinds", "Person").unwrap_err();
        assert_eq!(refused, "the descriptor set has 32769 bytes; the most are 32768");
        // Bytes grow by a third, and messages of no bytes to two brackets and a comma.
        assert!(decode("kinds", "Kinds", &field(15, &vec![0; 100_000])).unwrap_err().contains("more than"));
        assert!(decode("kinds", "Many", &field(6, b"").repeat(60_000)).unwrap_err().contains("more than"));
    }

    #[test]
    fn nesting_has_a_bound() {
        let nested = |levels: usize| (1..levels).fold(Vec::new(), |inner, _| field(2, &inner));
        assert!(decode("kinds", "Tree", &nested(NESTING / 2)).is_ok());
        assert_eq!(decode("kinds", "Tree", &nested(NESTING)).unwrap_err(), "its JSON nests too deep");
        assert_eq!(decode("kinds", "Tree", &nested(NESTING + 1)).unwrap_err(), "messages nest too deep");
        assert_eq!(decode("kinds", "Tree", &nested(20_000)).unwrap_err(), "messages nest too deep");
        assert_eq!(decode("kinds", "Person", &vec![0x7b; 1000]).unwrap_err(), "messages nest too deep");
        let any = |inner: Vec<u8>| [field(1, b"x/google.protobuf.Any"), field(2, &inner)].concat();
        let anys = (0..2000).fold(Vec::new(), |inner, _| any(inner));
        let refused = decode("kinds", "Known", &field(3, &anys)).unwrap_err();
        assert!(refused.contains("too deep"), "{refused}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_json_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64), message in 0_usize..6) {
            let (file, message) = [
                ("kinds", "Kinds"), ("kinds", "Many"), ("kinds", "Known"), ("kinds", "Tree"), ("older", "Old"), ("newer", "New"),
            ][message];
            if let Ok(text) = decode(file, message, &bytes) {
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
            }
        }

        #[test]
        fn a_damaged_descriptor_set_panics_nowhere(
            at in 0..LAB.len(), byte in any::<u8>(), cut in 0..LAB.len() * 4, bytes in prop::collection::vec(any::<u8>(), 0..48),
        ) {
            let mut damaged = LAB.to_vec();
            damaged[at] = byte;
            damaged.truncate(cut.max(1));
            for (file, message) in [("kinds", "Kinds"), ("kinds", "Many"), ("kinds", "Known"), ("older", "Old")] {
                if let Ok(decoder) = Decoder::new(&damaged, file, message) {
                    let _ = decoder.decode(&bytes);
                }
            }
        }
    }
}
