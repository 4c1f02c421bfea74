//! Decoding a message by its type into a tree of values. Fields that the type does not know are passed over; what a value
//! looks like in JSON is not known here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::schema::{Field, Kind, Label, MessageType, Schema, int32};
use super::wire::{Malformed, Raw, Reader};

/// A decoded message. It borrows texts and bytes from what it was decoded from.
#[derive(Debug)]
pub(super) struct Message<'b> {
    /// Its type, in the schema.
    pub(super) of: usize,
    pub(super) fields: BTreeMap<u32, Value<'b>>,
}

#[derive(Debug)]
pub(super) enum Value<'b> {
    Bool(bool),
    /// Signed, of 32 bits.
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    Uint64(u64),
    Float(f32),
    Double(f64),
    Text(Cow<'b, str>),
    Bytes(&'b [u8]),
    /// The number of an enumeration's value.
    Enum(i32),
    Message(Message<'b>),
    List(Vec<Value<'b>>),
    /// In the order of the keys. unconfirmed: AWS may keep the order in which they came.
    Map(BTreeMap<Key<'b>, Value<'b>>),
}

/// The key of a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key<'b> {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Text(Cow<'b, str>),
}

/// Decodes a message of a type.
pub(super) fn decode<'b>(
    schema: &Schema,
    of: usize,
    bytes: &'b [u8],
    nesting: usize,
) -> Result<Message<'b>, Malformed> {
    let mut message = Message::empty(of);
    Decoding { schema, reader: &mut Reader::new(bytes), nesting }.merge(&mut message, None)?;
    Ok(message)
}

/// A message being decoded.
struct Decoding<'s, 'r, 'b> {
    schema: &'s Schema,
    reader: &'r mut Reader<'b>,
    /// How many messages may still nest in this one.
    nesting: usize,
}

/// One field of it, as it lies there.
struct Part<'s, 'b> {
    number: u32,
    field: &'s Field,
    raw: Raw<'b>,
}

impl<'s, 'b> Decoding<'s, '_, 'b> {
    /// Adds all fields to the end of the bytes, or of the group of that number.
    fn merge(mut self, into: &mut Message<'b>, group: Option<u32>) -> Result<(), Malformed> {
        self.nesting = self.nesting.checked_sub(1).ok_or(Malformed::Nesting)?;
        let of = &self.schema.messages[into.of];
        while let Some((number, raw)) = self.reader.field()? {
            if raw == Raw::EndGroup && group == Some(number) {
                return into.check(of);
            }
            match of.fields.get(&number) {
                Some(field) => self.add(into, &Part { number, field, raw })?,
                None => self.reader.skip(number, raw, self.nesting)?,
            }
        }
        if group.is_none() { into.check(of) } else { Err(Malformed::Truncated) }
    }

    fn add(&mut self, into: &mut Message<'b>, part: &Part<'s, 'b>) -> Result<(), Malformed> {
        match (part.field.kind, part.raw) {
            (Kind::Message(of), Raw::Bytes(_) | Raw::Group) => self.add_message(into, part, of)?,
            (kind, Raw::Bytes(bytes)) if part.field.is_repeated() && !matches!(kind, Kind::Text | Kind::Bytes) => {
                let mut packed = Reader::new(bytes);
                while !packed.is_done() {
                    let raw = element(kind, &mut packed)?;
                    if let Some(value) = scalar(self.schema, part.field, raw)? {
                        into.push(part.number, value);
                    }
                }
            }
            (_, raw) => match scalar(self.schema, part.field, raw)? {
                Some(value) if part.field.is_repeated() => into.push(part.number, value),
                Some(value) => into.put(self.schema, part, value),
                // What has the shape of another type, or a number that a closed enumeration lacks, is not known.
                None => self.reader.skip(part.number, raw, self.nesting)?,
            },
        }
        Ok(())
    }

    fn add_message(&mut self, into: &mut Message<'b>, part: &Part<'s, 'b>, of: usize) -> Result<(), Malformed> {
        // A second value of a field that is not repeated adds to the first.
        let before = if part.field.is_repeated() { None } else { into.fields.remove(&part.number) };
        let mut message = match before {
            Some(Value::Message(message)) => message,
            _ => Message::empty(of),
        };
        let (schema, nesting) = (self.schema, self.nesting);
        match part.raw {
            Raw::Bytes(bytes) => {
                Decoding { schema, reader: &mut Reader::new(bytes), nesting }.merge(&mut message, None)?;
            }
            _ => Decoding { schema, reader: &mut *self.reader, nesting }.merge(&mut message, Some(part.number))?,
        }
        if !part.field.is_repeated() {
            into.put(schema, part, Value::Message(message));
        } else if schema.messages[of].is_map_entry {
            let (key, value) = entry(&schema.messages[of], message);
            into.insert(part.number, key, value);
        } else {
            into.push(part.number, Value::Message(message));
        }
        Ok(())
    }
}

impl<'b> Message<'b> {
    fn empty(of: usize) -> Message<'b> {
        Message { of, fields: BTreeMap::new() }
    }

    fn check(&self, of: &MessageType) -> Result<(), Malformed> {
        let missing = of
            .fields
            .iter()
            .find(|(number, field)| field.label == Label::Required && !self.fields.contains_key(number));
        missing.map_or(Ok(()), |(_, field)| Err(Malformed::Missing(format!("{} of {}", field.json_name, of.name))))
    }

    /// Sets a field, and unsets those that exclude it.
    fn put(&mut self, schema: &Schema, part: &Part<'_, 'b>, value: Value<'b>) {
        if let Some(oneof) = part.field.oneof {
            let fields = &schema.messages[self.of].fields;
            self.fields.retain(|number, _| fields.get(number).is_none_or(|field| field.oneof != Some(oneof)));
        }
        self.fields.insert(part.number, value);
    }

    /// Adds to a repeated field, which is never anything but a list.
    fn push(&mut self, number: u32, value: Value<'b>) {
        if let Value::List(list) = self.fields.entry(number).or_insert_with(|| Value::List(Vec::new())) {
            list.push(value);
        }
    }

    /// Adds to a map, which is never anything but a map.
    fn insert(&mut self, number: u32, key: Key<'b>, value: Value<'b>) {
        if let Value::Map(map) = self.fields.entry(number).or_insert_with(|| Value::Map(BTreeMap::new())) {
            map.insert(key, value);
        }
    }
}

/// The key and the value of a map's entry; what is missing has its default.
fn entry<'b>(of: &MessageType, mut message: Message<'b>) -> (Key<'b>, Value<'b>) {
    let mut take = |number| {
        let missing = || of.fields.get(&number).map_or(Value::Bool(false), |field| default(field.kind));
        message.fields.remove(&number).unwrap_or_else(missing)
    };
    let key = match take(1) {
        Value::Text(text) => Key::Text(text),
        Value::Int32(value) => Key::Signed(value.into()),
        Value::Int64(value) => Key::Signed(value),
        Value::Uint32(value) => Key::Unsigned(value.into()),
        Value::Uint64(value) => Key::Unsigned(value),
        // The schema lets no other type be a key.
        other => Key::Bool(matches!(other, Value::Bool(true))),
    };
    (key, take(2))
}

/// One element of a packed field.
fn element<'b>(kind: Kind, packed: &mut Reader<'b>) -> Result<Raw<'b>, Malformed> {
    Ok(match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Raw::Fixed64(packed.fixed()?),
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Raw::Fixed32(packed.fixed()?),
        _ => Raw::Varint(packed.varint()?),
    })
}

/// The value of a field that is no message; none if its shape is another type's.
fn scalar<'b>(schema: &Schema, field: &Field, raw: Raw<'b>) -> Result<Option<Value<'b>>, Malformed> {
    Ok(Some(match (field.kind, raw) {
        (Kind::Double, Raw::Fixed64(bytes)) => Value::Double(f64::from_le_bytes(bytes)),
        (Kind::Fixed64, Raw::Fixed64(bytes)) => Value::Uint64(u64::from_le_bytes(bytes)),
        (Kind::Sfixed64, Raw::Fixed64(bytes)) => Value::Int64(i64::from_le_bytes(bytes)),
        (Kind::Float, Raw::Fixed32(bytes)) => Value::Float(f32::from_le_bytes(bytes)),
        (Kind::Fixed32, Raw::Fixed32(bytes)) => Value::Uint32(u32::from_le_bytes(bytes)),
        (Kind::Sfixed32, Raw::Fixed32(bytes)) => Value::Int32(i32::from_le_bytes(bytes)),
        (Kind::Int32, Raw::Varint(value)) => Value::Int32(int32(value)),
        (Kind::Int64, Raw::Varint(value)) => Value::Int64(value.cast_signed()),
        (Kind::Uint32, Raw::Varint(value)) => Value::Uint32(int32(value).cast_unsigned()),
        (Kind::Uint64, Raw::Varint(value)) => Value::Uint64(value),
        (Kind::Sint32, Raw::Varint(value)) => {
            let value = int32(value).cast_unsigned();
            Value::Int32((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
        }
        (Kind::Sint64, Raw::Varint(value)) => Value::Int64((value >> 1).cast_signed() ^ -(value & 1).cast_signed()),
        (Kind::Bool, Raw::Varint(value)) => Value::Bool(value != 0),
        (Kind::Enum(of), Raw::Varint(value)) => {
            let of = &schema.enums[of];
            if of.is_closed && !of.values.contains_key(&int32(value)) {
                return Ok(None);
            }
            Value::Enum(int32(value))
        }
        (Kind::Text, Raw::Bytes(bytes)) => match String::from_utf8_lossy(bytes) {
            Cow::Owned(_) if field.is_strict => return Err(Malformed::Text(field.json_name.clone())),
            text => Value::Text(text),
        },
        (Kind::Bytes, Raw::Bytes(bytes)) => Value::Bytes(bytes),
        _ => return Ok(None),
    }))
}

/// What a field is while it is not set. unconfirmed: an enumeration's default is taken to be its number 0, which proto2 leaves
/// open; it shows only in maps.
fn default<'b>(kind: Kind) -> Value<'b> {
    match kind {
        Kind::Double => Value::Double(0.0),
        Kind::Float => Value::Float(0.0),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::Int32(0),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::Int64(0),
        Kind::Uint32 | Kind::Fixed32 => Value::Uint32(0),
        Kind::Uint64 | Kind::Fixed64 => Value::Uint64(0),
        Kind::Bool => Value::Bool(false),
        Kind::Text => Value::Text(Cow::Borrowed("")),
        Kind::Bytes => Value::Bytes(&[]),
        Kind::Enum(_) => Value::Enum(0),
        Kind::Message(of) => Value::Message(Message::empty(of)),
    }
}

impl Value<'_> {
    /// Whether it is what a field of its type is while it is not set.
    pub(super) fn is_default(&self) -> bool {
        match self {
            Value::Bool(value) => !value,
            Value::Int32(value) | Value::Enum(value) => *value == 0,
            Value::Uint32(value) => *value == 0,
            Value::Int64(value) => *value == 0,
            Value::Uint64(value) => *value == 0,
            // Minus zero is not.
            Value::Float(value) => value.to_bits() == 0,
            Value::Double(value) => value.to_bits() == 0,
            Value::Text(text) => text.is_empty(),
            Value::Bytes(bytes) => bytes.is_empty(),
            Value::Message(_) => false,
            Value::List(list) => list.is_empty(),
            Value::Map(map) => map.is_empty(),
        }
    }
}
