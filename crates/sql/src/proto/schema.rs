//! The types of a descriptor set, as far as decoding needs them: messages with their fields, and enumerations. A descriptor
//! set is itself a message of Protocol Buffers; its field numbers stand here as numbers. Messages are not decoded here.

use std::collections::{BTreeMap, HashMap};

use super::NESTING;
use super::wire::{Malformed, Raw, Reader};

/// Every type of a descriptor set.
#[derive(Debug, Default)]
pub(super) struct Schema {
    pub(super) messages: Vec<MessageType>,
    pub(super) enums: Vec<EnumType>,
    /// Where each full name leads.
    names: HashMap<String, Named>,
    files: Vec<File>,
}

#[derive(Clone, Copy, Debug)]
enum Named {
    Message(usize),
    Enum(usize),
}

#[derive(Debug)]
struct File {
    name: String,
    package: String,
}

/// A type of message.
#[derive(Debug)]
pub(super) struct MessageType {
    /// With its package, without a leading dot.
    pub(super) name: String,
    file: usize,
    pub(super) fields: BTreeMap<u32, Field>,
    /// Whether it is what `protoc` makes of a `map<…>`: pairs of field 1 and field 2.
    pub(super) is_map_entry: bool,
}

impl MessageType {
    fn has_key_and_value(&self) -> bool {
        let is_one = |number, may_be: fn(Kind) -> bool| {
            self.fields.get(&number).is_some_and(|field| !field.is_repeated() && may_be(field.kind))
        };
        is_one(1, Kind::may_be_key) && is_one(2, |_| true)
    }
}

/// An enumeration.
#[derive(Debug)]
pub(super) struct EnumType {
    pub(super) name: String,
    /// The first of several names for one number counts.
    pub(super) values: HashMap<i32, String>,
    /// Whether numbers without a name are left out, as in proto2.
    pub(super) is_closed: bool,
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) json_name: String,
    pub(super) kind: Kind,
    pub(super) label: Label,
    /// Whether the default value, when it is there, is told from none.
    pub(super) has_presence: bool,
    /// Whether texts must be UTF-8.
    pub(super) is_strict: bool,
    /// Of the fields with the same number here at most one is set.
    pub(super) oneof: Option<u64>,
}

/// How often a field may or must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Optional,
    Required,
    Repeated,
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    Text,
    Bytes,
    Enum(usize),
    Message(usize),
}

/// What a file says that holds for all within, unless it is said anew.
#[derive(Clone, Copy, Debug)]
struct Features {
    has_presence: bool,
    is_closed: bool,
    is_strict: bool,
}

/// A field whose type is still a name.
struct Unresolved {
    message: usize,
    number: u32,
    type_name: String,
}

impl Schema {
    /// Reads a descriptor set.
    pub(super) fn read(bytes: &[u8]) -> Result<Schema, Malformed> {
        let mut schema = Schema::default();
        let mut unresolved = Vec::new();
        for file in parts(bytes)?.all(1) {
            schema.read_file(&parts(file)?, &mut unresolved)?;
        }
        for Unresolved { message, number, type_name } in unresolved {
            let name = type_name.trim_start_matches('.');
            let kind = match schema.names.get(name) {
                Some(Named::Message(at)) => Kind::Message(*at),
                Some(Named::Enum(at)) => Kind::Enum(*at),
                None => return Err(Malformed::Type(name.to_owned())),
            };
            if let Some(field) = schema.messages[message].fields.get_mut(&number) {
                field.has_presence |= matches!(kind, Kind::Message(_));
                field.kind = kind;
            }
        }
        for message in &mut schema.messages {
            message.is_map_entry &= message.has_key_and_value();
        }
        Ok(schema)
    }

    /// Finds the message of a file.
    pub(super) fn find(&self, file: &str, message: &str) -> Result<usize, String> {
        let at = self.find_file(file).ok_or_else(|| {
            let known: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).take(8).collect();
            format!("no file {file} in the descriptor set, which has {}", known.join(", "))
        })?;
        let File { name, package } = &self.files[at];
        let qualified = if package.is_empty() { message.to_owned() } else { format!("{package}.{message}") };
        let found = [qualified.as_str(), message].into_iter().find_map(|name| match self.names.get(name) {
            Some(Named::Message(message)) if self.messages[*message].file == at => Some(*message),
            _ => None,
        });
        found.ok_or_else(|| format!("no message {message} in file {name}"))
    }

    /// The message of a full name.
    pub(super) fn message(&self, name: &str) -> Option<usize> {
        match self.names.get(name) {
            Some(Named::Message(at)) => Some(*at),
            _ => None,
        }
    }

    /// A file by its name; by its name without `.proto`; or by the last part of it, if only one file is so called.
    fn find_file(&self, wanted: &str) -> Option<usize> {
        let stem = |name: &str| name.strip_suffix(".proto").unwrap_or(name).to_owned();
        let wanted = stem(wanted);
        let find = |is: &dyn Fn(&str) -> bool| {
            let mut found = (0..self.files.len()).filter(|at| is(&stem(&self.files[*at].name)));
            found.next().filter(|_| found.next().is_none())
        };
        find(&|name| name == wanted).or_else(|| find(&|name| name.rsplit('/').next() == Some(&wanted)))
    }

    fn read_file(&mut self, file: &Parts<'_>, unresolved: &mut Vec<Unresolved>) -> Result<(), Malformed> {
        let syntax = file.text(12)?;
        // Without a syntax a file is proto2; from the edition of 2023 on, fields have presence and enumerations are open.
        let features = match syntax.as_str() {
            "proto3" => Features { has_presence: false, is_closed: false, is_strict: true },
            "editions" => Features { has_presence: true, is_closed: false, is_strict: true },
            _ => Features { has_presence: true, is_closed: true, is_strict: false },
        };
        let features = features.of(file, 8, 50)?;
        let package = file.text(2)?;
        self.files.push(File { name: file.text(1)?, package: package.clone() });
        for message in file.all(4) {
            self.read_message(&package, &parts(message)?, features, NESTING, unresolved)?;
        }
        for of in file.all(5) {
            self.read_enum(&package, &parts(of)?, features)?;
        }
        Ok(())
    }

    fn read_message(
        &mut self,
        scope: &str,
        message: &Parts<'_>,
        features: Features,
        nesting: usize,
        unresolved: &mut Vec<Unresolved>,
    ) -> Result<(), Malformed> {
        let nesting = nesting.checked_sub(1).ok_or(Malformed::Nesting)?;
        let features = features.of(message, 7, 12)?;
        let name = join(scope, &message.text(1)?);
        let at = self.messages.len();
        let is_map_entry = message.part(7)?.number(7).is_some_and(|value| value != 0);
        let mut fields = BTreeMap::new();
        for field in message.all(2) {
            let field = parts(field)?;
            let number = field.number(3).and_then(|number| u32::try_from(number).ok()).ok_or(Malformed::FieldNumber)?;
            let type_name = field.text(6)?;
            let read = Field::read(&field, features)?;
            if read.kind == UNRESOLVED {
                unresolved.push(Unresolved { message: at, number, type_name });
            }
            fields.insert(number, read);
        }
        let file = self.files.len().saturating_sub(1);
        self.messages.push(MessageType { name: name.clone(), file, fields, is_map_entry });
        for nested in message.all(3) {
            self.read_message(&name, &parts(nested)?, features, nesting, unresolved)?;
        }
        for of in message.all(4) {
            self.read_enum(&name, &parts(of)?, features)?;
        }
        self.names.insert(name, Named::Message(at));
        Ok(())
    }

    fn read_enum(&mut self, scope: &str, of: &Parts<'_>, features: Features) -> Result<(), Malformed> {
        let features = features.of(of, 3, 7)?;
        let mut values = HashMap::new();
        for value in of.all(2) {
            let value = parts(value)?;
            values.entry(int32(value.number(2).unwrap_or(0))).or_insert(value.text(1)?);
        }
        let name = join(scope, &of.text(1)?);
        self.names.insert(name.clone(), Named::Enum(self.enums.len()));
        self.enums.push(EnumType { name, values, is_closed: features.is_closed });
        Ok(())
    }
}

impl Features {
    /// The features within: the options are the field `options` of `of`, and the features the field `features` of these.
    fn of(self, of: &Parts<'_>, options: u32, features: u32) -> Result<Features, Malformed> {
        let features = of.part(options)?.part(features)?;
        let said = |number, meaning: u64| features.number(number).map(|value| value == meaning);
        Ok(Features {
            has_presence: said(1, 2).map_or(self.has_presence, |is_implicit| !is_implicit),
            is_closed: said(2, 2).unwrap_or(self.is_closed),
            is_strict: said(4, 2).unwrap_or(self.is_strict),
        })
    }
}

impl Field {
    pub(super) fn is_repeated(&self) -> bool {
        self.label == Label::Repeated
    }

    fn read(field: &Parts<'_>, features: Features) -> Result<Field, Malformed> {
        const REQUIRED: u64 = 2;
        const REPEATED: u64 = 3;
        const LEGACY_REQUIRED: u64 = 3;
        let presence = field.part(8)?.part(21)?.number(1);
        let label = match field.number(4) {
            Some(REPEATED) => Label::Repeated,
            Some(REQUIRED) => Label::Required,
            _ if presence == Some(LEGACY_REQUIRED) => Label::Required,
            _ => Label::Optional,
        };
        let oneof = field.number(9);
        let json_name = match field.text(10)? {
            name if name.is_empty() => camel_case(&field.text(1)?),
            name => name,
        };
        Ok(Field {
            json_name,
            kind: Kind::of(field.number(5).unwrap_or_default())?,
            label,
            has_presence: oneof.is_some() || features.of(field, 8, 21)?.has_presence,
            is_strict: features.is_strict,
            oneof,
        })
    }
}

const UNRESOLVED: Kind = Kind::Message(usize::MAX);

impl Kind {
    /// The type of a number; which message or enumeration it is follows by name.
    fn of(number: u64) -> Result<Kind, Malformed> {
        Ok(match number {
            1 => Kind::Double,
            2 => Kind::Float,
            3 => Kind::Int64,
            4 => Kind::Uint64,
            5 => Kind::Int32,
            6 => Kind::Fixed64,
            7 => Kind::Fixed32,
            8 => Kind::Bool,
            9 => Kind::Text,
            12 => Kind::Bytes,
            13 => Kind::Uint32,
            15 => Kind::Sfixed32,
            16 => Kind::Sfixed64,
            17 => Kind::Sint32,
            18 => Kind::Sint64,
            // Groups, messages and enumerations, until their names are resolved.
            10 | 11 | 14 => UNRESOLVED,
            _ => return Err(Malformed::Type(format!("number {number}"))),
        })
    }

    /// Whether it may be the key of a map.
    fn may_be_key(self) -> bool {
        !matches!(self, Kind::Double | Kind::Float | Kind::Bytes | Kind::Enum(_) | Kind::Message(_))
    }
}

/// The fields of a message of a descriptor set, in order.
#[derive(Default)]
struct Parts<'b>(Vec<(u32, Raw<'b>)>);

fn parts(bytes: &[u8]) -> Result<Parts<'_>, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut parts = Vec::new();
    while let Some((number, raw)) = reader.field()? {
        reader.skip(number, raw, NESTING)?;
        parts.push((number, raw));
    }
    Ok(Parts(parts))
}

impl<'b> Parts<'b> {
    /// Every part of a number, where they are bytes.
    fn all(&self, number: u32) -> impl Iterator<Item = &'b [u8]> {
        self.0.iter().filter_map(move |(found, raw)| match raw {
            Raw::Bytes(bytes) if *found == number => Some(*bytes),
            _ => None,
        })
    }

    /// The message of a number; an empty one if there is none.
    fn part(&self, number: u32) -> Result<Parts<'b>, Malformed> {
        self.all(number).last().map_or(Ok(Parts::default()), parts)
    }

    fn text(&self, number: u32) -> Result<String, Malformed> {
        let bytes = self.all(number).last().unwrap_or_default();
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Text("of the descriptor set".to_owned()))?;
        Ok(text.to_owned())
    }

    fn number(&self, number: u32) -> Option<u64> {
        self.0.iter().rev().find_map(|(found, raw)| match raw {
            Raw::Varint(value) if *found == number => Some(*value),
            _ => None,
        })
    }
}

/// The lower 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "a negative number has its sign in all 64 bits")]
pub(super) fn int32(value: u64) -> i32 {
    value as i32
}

fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

/// `device_id` as `deviceId`.
pub(super) fn camel_case(name: &str) -> String {
    let mut after_underscore = false;
    let characters = name.chars().filter_map(|character| {
        if character == '_' {
            after_underscore = true;
            return None;
        }
        let is_upper = std::mem::take(&mut after_underscore);
        Some(if is_upper { character.to_ascii_uppercase() } else { character })
    });
    characters.collect()
}
