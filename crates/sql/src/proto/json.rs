//! Printing a decoded message by the JSON mapping of Protocol Buffers: names in camel case, 64-bit numbers as strings, bytes
//! in base64, and the types that Google defines (times, wrappers, `Struct`, `Any`) in forms of their own. What has no
//! presence and its default value is left out.

use std::fmt::{Debug, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, civil};

use super::NESTING;
use super::message::{self, Key, Message, Value};
use super::schema::{Kind, Schema, camel_case};

/// Prints a message in at most so many bytes.
pub(super) fn print(schema: &Schema, message: &Message<'_>, most: usize) -> Result<String, String> {
    let mut printer = Printer { schema, out: String::new(), most, depth: 0 };
    printer.message(message)?;
    Ok(printer.out)
}

struct Printer<'s> {
    schema: &'s Schema,
    out: String,
    most: usize,
    depth: usize,
}

/// The form of a type of message.
enum Form {
    Plain,
    Timestamp,
    Duration,
    /// As field 1 alone, or as this text if that is not set.
    Inner(&'static str),
    /// As whatever is set.
    Variant,
    FieldMask,
    Any,
}

impl Form {
    fn of(name: &str) -> Form {
        match name.strip_prefix("google.protobuf.").unwrap_or_default() {
            "Timestamp" => Form::Timestamp,
            "Duration" => Form::Duration,
            "DoubleValue" | "FloatValue" => Form::Inner("0.0"),
            "Int64Value" | "UInt64Value" => Form::Inner("\"0\""),
            "Int32Value" | "UInt32Value" => Form::Inner("0"),
            "BoolValue" => Form::Inner("false"),
            "StringValue" | "BytesValue" => Form::Inner("\"\""),
            "Struct" => Form::Inner("{}"),
            "ListValue" => Form::Inner("[]"),
            "Value" => Form::Variant,
            "FieldMask" => Form::FieldMask,
            "Any" => Form::Any,
            _ => Form::Plain,
        }
    }
}

impl Printer<'_> {
    fn push(&mut self, text: &str) -> Result<(), String> {
        if self.out.len() + text.len() > self.most {
            return Err(format!("its JSON has more than {} bytes", self.most));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn open(&mut self, bracket: &str) -> Result<(), String> {
        self.depth += 1;
        if self.depth > NESTING {
            return Err("its JSON nests too deep".to_owned());
        }
        self.push(bracket)
    }

    fn close(&mut self, bracket: &str) -> Result<(), String> {
        self.depth -= 1;
        self.push(bracket)
    }

    /// A comma before every member but the first.
    fn separate(&mut self, is_first: &mut bool) -> Result<(), String> {
        if std::mem::take(is_first) { Ok(()) } else { self.push(",") }
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        // A text cannot fail to become JSON.
        let quoted = serde_json::to_string(text).unwrap_or_default();
        self.push(&quoted)
    }

    fn message(&mut self, message: &Message<'_>) -> Result<(), String> {
        let of = &self.schema.messages[message.of];
        match Form::of(&of.name) {
            Form::Plain => {
                self.open("{")?;
                self.fields(message, true)?;
                self.close("}")
            }
            Form::Timestamp => self.timestamp(message),
            Form::Duration => self.duration(message),
            Form::Inner(unset) => match (message.fields.get(&1), of.fields.get(&1)) {
                (Some(value), Some(field)) => self.value(value, field.kind),
                _ => self.push(unset),
            },
            Form::Variant => {
                match message.fields.iter().next().and_then(|(at, value)| Some((value, of.fields.get(at)?))) {
                    Some((Value::Double(number), _)) if !number.is_finite() => {
                        Err(format!("a google.protobuf.Value cannot be {number}"))
                    }
                    Some((value, field)) => self.value(value, field.kind),
                    None => self.push("null"),
                }
            }
            Form::FieldMask => self.field_mask(message),
            Form::Any => self.any(message),
        }
    }

    fn fields(&mut self, message: &Message<'_>, mut is_first: bool) -> Result<(), String> {
        let of = &self.schema.messages[message.of];
        for (number, value) in &message.fields {
            let Some(field) = of.fields.get(number) else { continue };
            if value.is_default() && (field.is_repeated() || !field.has_presence) {
                continue;
            }
            self.separate(&mut is_first)?;
            self.text(&field.json_name)?;
            self.push(":")?;
            self.value(value, field.kind)?;
        }
        Ok(())
    }

    fn value(&mut self, value: &Value<'_>, kind: Kind) -> Result<(), String> {
        match value {
            Value::Bool(value) => self.push(if *value { "true" } else { "false" }),
            Value::Int32(value) => self.push(&value.to_string()),
            Value::Uint32(value) => self.push(&value.to_string()),
            Value::Int64(value) => self.push(&format!("\"{value}\"")),
            Value::Uint64(value) => self.push(&format!("\"{value}\"")),
            Value::Float(value) => self.float(value, f64::from(*value)),
            Value::Double(value) => self.float(value, *value),
            Value::Text(text) => self.text(text),
            Value::Bytes(bytes) => self.push(&format!("\"{}\"", STANDARD.encode(bytes))),
            Value::Enum(number) => self.enumerated(*number, kind),
            Value::Message(message) => self.message(message),
            Value::List(list) => {
                self.open("[")?;
                let mut is_first = true;
                for value in list {
                    self.separate(&mut is_first)?;
                    self.value(value, kind)?;
                }
                self.close("]")
            }
            Value::Map(map) => {
                self.open("{")?;
                let mut is_first = true;
                let kind = self.value_kind(kind);
                for (key, value) in map {
                    self.separate(&mut is_first)?;
                    self.key(key)?;
                    self.push(":")?;
                    self.value(value, kind)?;
                }
                self.close("}")
            }
        }
    }

    /// The kind of a map's values, by the kind of its entries.
    fn value_kind(&self, entry: Kind) -> Kind {
        let Kind::Message(of) = entry else { return entry };
        self.schema.messages[of].fields.get(&2).map_or(entry, |field| field.kind)
    }

    fn key(&mut self, key: &Key<'_>) -> Result<(), String> {
        match key {
            Key::Bool(key) => self.push(if *key { "\"true\"" } else { "\"false\"" }),
            Key::Signed(key) => self.push(&format!("\"{key}\"")),
            Key::Unsigned(key) => self.push(&format!("\"{key}\"")),
            Key::Text(key) => self.text(key),
        }
    }

    /// A number in its shortest form.
    fn float(&mut self, shortest: &dyn Debug, value: f64) -> Result<(), String> {
        match value {
            value if value.is_nan() => self.push("\"NaN\""),
            f64::INFINITY => self.push("\"Infinity\""),
            f64::NEG_INFINITY => self.push("\"-Infinity\""),
            _ => self.push(&format!("{shortest:?}")),
        }
    }

    /// A value of an enumeration by its name, or by its number if it has none.
    fn enumerated(&mut self, number: i32, kind: Kind) -> Result<(), String> {
        let schema = self.schema;
        let Kind::Enum(of) = kind else { return self.push(&number.to_string()) };
        let of = &schema.enums[of];
        match of.values.get(&number) {
            _ if of.name == "google.protobuf.NullValue" => self.push("null"),
            Some(name) => self.text(name),
            None => self.push(&number.to_string()),
        }
    }

    fn timestamp(&mut self, message: &Message<'_>) -> Result<(), String> {
        let (seconds, nanos) = seconds_and_nanos(message);
        let local = civil::date(1970, 1, 1).at(0, 0, 0, 0).checked_add(SignedDuration::from_secs(seconds)).ok();
        let local = local.filter(|local| local.year() >= 1 && (0..1_000_000_000).contains(&nanos));
        let local = local.ok_or_else(|| format!("a google.protobuf.Timestamp cannot be {seconds} s and {nanos} ns"))?;
        let fraction = fraction(nanos.unsigned_abs());
        self.push(&format!("\"{}T{}{fraction}Z\"", local.date(), local.time()))
    }

    fn duration(&mut self, message: &Message<'_>) -> Result<(), String> {
        const MOST: u64 = 315_576_000_000;
        let (seconds, nanos) = seconds_and_nanos(message);
        let is_whole = seconds.unsigned_abs() <= MOST && nanos.unsigned_abs() < 1_000_000_000;
        if !is_whole || i128::from(seconds) * i128::from(nanos) < 0 {
            return Err(format!("a google.protobuf.Duration cannot be {seconds} s and {nanos} ns"));
        }
        let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
        self.push(&format!("\"{sign}{}{}s\"", seconds.unsigned_abs(), fraction(nanos.unsigned_abs())))
    }

    fn field_mask(&mut self, message: &Message<'_>) -> Result<(), String> {
        let mut paths = String::new();
        if let Some(Value::List(list)) = message.fields.get(&1) {
            for path in list {
                let Value::Text(path) = path else { continue };
                let comma = if paths.is_empty() { "" } else { "," };
                // Writing to a String cannot fail.
                let _ = write!(paths, "{comma}{}", camel_case(path));
            }
        }
        self.text(&paths)
    }

    /// A message with its type beside it.
    fn any(&mut self, message: &Message<'_>) -> Result<(), String> {
        let (url, bytes) = match (message.fields.get(&1), message.fields.get(&2)) {
            (Some(Value::Text(url)), Some(Value::Bytes(bytes))) => (url.as_ref(), *bytes),
            (Some(Value::Text(url)), _) => (url.as_ref(), &[][..]),
            _ => return self.push("{}"),
        };
        let name = url.rsplit('/').next().unwrap_or_default();
        let of = self.schema.message(name);
        let of = of.ok_or_else(|| format!("type {name} of a google.protobuf.Any is not in the descriptor set"))?;
        self.open("{")?;
        self.push("\"@type\":")?;
        self.text(url)?;
        let left = NESTING.saturating_sub(self.depth);
        let inner = message::decode(self.schema, of, bytes, left).map_err(|error| error.to_string())?;
        if matches!(Form::of(name), Form::Plain) && name != "google.protobuf.Empty" {
            self.fields(&inner, false)?;
        } else {
            self.push(",\"value\":")?;
            self.message(&inner)?;
        }
        self.close("}")
    }
}

fn seconds_and_nanos(message: &Message<'_>) -> (i64, i32) {
    let seconds = if let Some(Value::Int64(seconds)) = message.fields.get(&1) { *seconds } else { 0 };
    let nanos = if let Some(Value::Int32(nanos)) = message.fields.get(&2) { *nanos } else { 0 };
    (seconds, nanos)
}

/// Three, six or nine digits, or none.
fn fraction(nanos: u32) -> String {
    match nanos {
        0 => String::new(),
        _ if nanos.is_multiple_of(1_000_000) => format!(".{:03}", nanos / 1_000_000),
        _ if nanos.is_multiple_of(1000) => format!(".{:06}", nanos / 1000),
        _ => format!(".{nanos:09}"),
    }
}
