//! What a request or an answer holds once it is off the wire: a JSON document and a payload of raw bytes beside it,
//! and the typed views that handlers use. A view is a name for a document, no more: getters read it, setters write it.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::model::Operation;

/// A bound and validated request.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The members, by key.
    pub(crate) fields: Map<String, Value>,
    /// The body, where the operation takes it as it is.
    pub(crate) payload: Bytes,
}

/// An answer on its way to the wire.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// The members, by key.
    pub(crate) fields: Map<String, Value>,
    /// The body, where the operation answers with bytes.
    pub(crate) payload: Option<Bytes>,
}

impl Input {
    /// An input made by hand, as tests and callers inside the house do; nothing is validated.
    pub fn of(fields: Value, payload: Bytes) -> Self {
        let fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        Self { fields, payload }
    }

    /// The members, by key.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }
}

impl Output {
    /// The members, by key.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The raw body, if the operation answers with one.
    pub fn payload(&self) -> Option<&Bytes> {
        self.payload.as_ref()
    }
}

impl From<()> for Output {
    fn from((): ()) -> Self {
        Self::default()
    }
}

/// The input of an operation. The type is the operation: route, binding and constraints follow from it.
pub trait Request: Send + Sized + 'static {
    /// The model.
    const OPERATION: &'static Operation;
    /// What it answers.
    type Response: Into<Output>;
    /// Takes a bound input.
    fn from_input(input: Input) -> Self;
}

/// Seconds with a fraction, as AWS writes timestamps, from milliseconds.
pub(crate) fn seconds(milliseconds: i64) -> Value {
    // A double holds every millisecond until the year 287396.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are enough for milliseconds")]
    let seconds = milliseconds as f64 / 1000.0;
    Value::from(seconds)
}

pub(crate) fn text<'v>(fields: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    fields.get(key).and_then(Value::as_str)
}

pub(crate) fn texts<'v>(fields: &'v Map<String, Value>, key: &str) -> Option<Vec<&'v str>> {
    let list = fields.get(key)?.as_array()?;
    Some(list.iter().filter_map(Value::as_str).collect())
}

pub(crate) fn integer(fields: &Map<String, Value>, key: &str) -> Option<i64> {
    fields.get(key).and_then(Value::as_i64)
}

pub(crate) fn double(fields: &Map<String, Value>, key: &str) -> Option<f64> {
    fields.get(key).and_then(Value::as_f64)
}

pub(crate) fn boolean(fields: &Map<String, Value>, key: &str) -> Option<bool> {
    fields.get(key).and_then(Value::as_bool)
}

pub(crate) fn object(fields: &Map<String, Value>, key: &str) -> Option<Map<String, Value>> {
    fields.get(key).and_then(Value::as_object).cloned()
}

pub(crate) fn value<'v>(fields: &'v Map<String, Value>, key: &str) -> Option<&'v Value> {
    fields.get(key)
}

/// Makes the types of a service. Three kinds of rows: an input with getters, an output with setters, and a
/// structure inside either with whatever is used of it.
macro_rules! documents {
    ($( $kind:ident $name:ident $(= $operation:literal -> $response:ty)? { $($rows:tt)* } )*) => {
        $( $crate::document::documents!(@$kind $name $(= $operation -> $response)? { $($rows)* }); )*
    };
    (@input $name:ident = $operation:literal -> $response:ty { $($get:ident $must:tt $field:ident $key:literal $($nested:ident)?,)* }) => {
        #[doc = concat!("The input of `", stringify!($name), "`.")]
        #[derive(Clone, Debug)]
        pub struct $name(Input);
        impl $crate::Request for $name {
            const OPERATION: &'static Operation = &OPERATIONS[$operation];
            type Response = $response;
            fn from_input(input: Input) -> Self {
                Self(input)
            }
        }
        impl $name {
            $( $crate::document::documents!(@get input $get $must $field $key $($nested)?); )*
        }
    };
    (@output $name:ident { $($set:ident $must:tt $field:ident $key:literal $($nested:ident)?,)* }) => {
        #[doc = concat!("`", stringify!($name), "`, to be filled in.")]
        #[derive(Clone, Debug, Default)]
        pub struct $name(Output);
        impl $name {
            /// With nothing in it.
            pub fn new() -> Self {
                Self::default()
            }
            $( $crate::document::documents!(@set output $set $field $key $($nested)?); )*
        }
        impl From<$name> for Output {
            fn from(filled: $name) -> Self {
                filled.0
            }
        }
        impl From<$name> for Value {
            fn from(filled: $name) -> Self {
                Value::Object(filled.0.fields)
            }
        }
    };
    (@part $name:ident { get { $($get:ident $must:tt $field:ident $key:literal $($nested:ident)?,)* } set { $($set:ident $m:tt $sfield:ident $skey:literal $($snested:ident)?,)* } }) => {
        #[doc = concat!("The structure `", stringify!($name), "`.")]
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name(Map<String, Value>);
        impl $name {
            /// With nothing in it.
            pub fn new() -> Self {
                Self::default()
            }
            /// Over a document that was one of these.
            pub fn from_value(value: Value) -> Self {
                Self(if let Value::Object(fields) = value { fields } else { Map::new() })
            }
            $( $crate::document::documents!(@get part $get $must $field $key $($nested)?); )*
            $( $crate::document::documents!(@set part $set $sfield $skey $($snested)?); )*
        }
        impl From<$name> for Value {
            fn from(filled: $name) -> Self {
                Value::Object(filled.0)
            }
        }
    };
    (@fields input $s:ident) => { $s.0.fields };
    (@fields output $s:ident) => { $s.0.fields };
    (@fields part $s:ident) => { $s.0 };
    // Getters: `!` for members that validation has made sure of, `?` for the others.
    (@get $of:ident text ! $field:ident $key:literal) => {
        #[doc = concat!("`", $key, "`.")]
        pub fn $field(&self) -> &str { document::text(&$crate::document::documents!(@fields $of self), $key).unwrap_or_default() }
    };
    (@get $of:ident text ? $field:ident $key:literal) => {
        #[doc = concat!("`", $key, "`, if given.")]
        pub fn $field(&self) -> Option<&str> { document::text(&$crate::document::documents!(@fields $of self), $key) }
    };
    (@get $of:ident texts $must:tt $field:ident $key:literal) => {
        #[doc = concat!("`", $key, "`, if given.")]
        pub fn $field(&self) -> Option<Vec<&str>> { document::texts(&$crate::document::documents!(@fields $of self), $key) }
    };
    (@get $of:ident integer $must:tt $field:ident $key:literal) => {
        #[doc = concat!("`", $key, "`, if given.")]
        pub fn $field(&self) -> Option<i64> { document::integer(&$crate::document::documents!(@fields $of self), $key) }
    };
    (@get $of:ident double $must:tt $field:ident $key:literal) => {
        #[doc = concat!("`", $key, "`, if given.")]
        pub fn $field(&self) -> Option<f64> { document::double(&$crate::document::documents!(@fields $of self), $key) }
    };
    (@get $of:ident timestamp $must:tt $field:ident $key:literal) => {
        #[doc = concat!("`", $key, "` in seconds, if given.")]
        pub fn $field(&self) -> Option<f64> { document::double(&$crate::document::documents!(@fields $of self), $key) }
    };
    (@get $of:ident boolean $must:tt $field:ident $key:literal) => {
        #[doc = concat!("`", $key, "`, if given.")]
        pub fn $field(&self) -> Option<bool> { document::boolean(&$crate::document::documents!(@fields $of self), $key) }
    };
    (@get $of:ident structure $must:tt $field:ident $key:literal $nested:ident) => {
        #[doc = concat!("`", $key, "`, if given.")]
        pub fn $field(&self) -> Option<$nested> { document::object(&$crate::document::documents!(@fields $of self), $key).map($nested) }
    };
    (@get $of:ident value $must:tt $field:ident $key:literal) => {
        #[doc = concat!("`", $key, "`, if given.")]
        pub fn $field(&self) -> Option<&Value> { document::value(&$crate::document::documents!(@fields $of self), $key) }
    };
    (@get input payload $must:tt $field:ident $key:literal) => {
        #[doc = concat!("`", $key, "`: the body as it came.")]
        pub fn $field(&self) -> &Bytes { &self.0.payload }
    };
    // Setters: one more member each.
    (@set $of:ident text $field:ident $key:literal) => {
        $crate::document::documents!(@put $of $field $key impl Into<String>, |it: _| Value::String(it.into()));
    };
    (@set $of:ident texts $field:ident $key:literal) => {
        $crate::document::documents!(@put $of $field $key impl IntoIterator<Item: Into<String>>, |it: _| Value::Array(it.into_iter().map(|item| Value::String(item.into())).collect()));
    };
    (@set $of:ident integer $field:ident $key:literal) => {
        $crate::document::documents!(@put $of $field $key i64, |it: i64| Value::from(it));
    };
    (@set $of:ident double $field:ident $key:literal) => {
        $crate::document::documents!(@put $of $field $key f64, |it: f64| Value::from(it));
    };
    (@set $of:ident timestamp $field:ident $key:literal) => {
        $crate::document::documents!(@put $of $field $key i64, |it: i64| document::seconds(it));
    };
    (@set $of:ident boolean $field:ident $key:literal) => {
        $crate::document::documents!(@put $of $field $key bool, |it: bool| Value::Bool(it));
    };
    (@set $of:ident structure $field:ident $key:literal $nested:ident) => {
        $crate::document::documents!(@put $of $field $key $nested, |it: $nested| Value::from(it));
    };
    (@set $of:ident structures $field:ident $key:literal $nested:ident) => {
        $crate::document::documents!(@put $of $field $key impl IntoIterator<Item = $nested>, |it: _| Value::Array(it.into_iter().map(Value::from).collect()));
    };
    (@set $of:ident value $field:ident $key:literal) => {
        $crate::document::documents!(@put $of $field $key impl Into<Value>, |it: _| it.into());
    };
    (@set output payload $field:ident $key:literal) => {
        #[doc = concat!("Answers with these bytes as `", $key, "`.")]
        pub fn $field(mut self, it: impl Into<Bytes>) -> Self { self.0.payload = Some(it.into()); self }
    };
    (@get $of:ident structures $must:tt $field:ident $key:literal $nested:ident) => {
        #[doc = concat!("`", $key, "`, if given.")]
        pub fn $field(&self) -> Option<Vec<$nested>> {
            let list = document::value(&$crate::document::documents!(@fields $of self), $key)?.as_array()?;
            Some(list.iter().cloned().map($nested::from_value).collect())
        }
    };
    (@put $of:ident $field:ident $key:literal $type:ty, |$it:ident: $as:ty| $make:expr) => {
        #[doc = concat!("With this `", $key, "`.")]
        pub fn $field(mut self, $it: $type) -> Self {
            let value = $make;
            $crate::document::documents!(@fields $of self).insert($key.to_owned(), value);
            self
        }
    };
}
pub(crate) use documents;
