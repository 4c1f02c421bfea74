//! What the functions of the language that look outside ask for, and what can be answered. Asking is all that happens
//! here: who answers, and when, is the caller's business.

use std::fmt;

use bytes::Bytes;

/// Answers calls. The same call may come again, within one evaluation and when a message is evaluated again; it should be
/// answered as before, or the result is not the one that was begun.
pub trait World {
    /// Answers one call, or says that the answer comes later.
    fn call(&mut self, call: &Call) -> Reply;

    /// Hears that the payload was wanted as JSON and is no object or array, which makes all its members Undefined.
    fn not_json(&mut self) {}
}

/// A world in which every call fails, for statements that are to do without.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nowhere;

impl World for Nowhere {
    fn call(&mut self, _: &Call) -> Reply {
        Reply::Failed("nobody answers here".to_owned())
    }
}

/// One question to the world. Equal calls are the same question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// `aws_lambda`: invoke a function and wait; the reply is the JSON it returns.
    Lambda {
        /// The function's ARN, as the statement has it.
        arn: String,
        /// The payload, as JSON text.
        payload: Bytes,
    },
    /// `get_thing_shadow`: the reply is the whole shadow document.
    ThingShadow {
        /// The thing.
        thing: String,
        /// The shadow's name; the classic shadow without one.
        shadow: Option<String>,
        /// The ARN of the role that may.
        role: String,
    },
    /// `get_registry_data`: the reply has the shape of the API's.
    RegistryData {
        /// Which API.
        api: RegistryApi,
        /// The thing.
        thing: String,
        /// The ARN of the role that may.
        role: String,
    },
    /// `get_dynamodb`: the reply is the item as plain JSON.
    DynamoDb {
        /// The table.
        table: String,
        /// The partition key.
        partition: Key,
        /// The sort key, if the table has one.
        sort: Option<Key>,
        /// The ARN of the role that may.
        role: String,
    },
    /// `get_secret`: the reply is the secret as it is stored, text or bytes. Taking a key out of it is the language's.
    Secret {
        /// The secret's name or ARN.
        id: String,
        /// Which of the secret's two forms.
        kind: SecretKind,
        /// The ARN of the role that may.
        role: String,
    },
    /// An object of a bucket, such as the descriptor set of `decode(…, 'proto', …)`: the reply is its bytes.
    Object {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
    },
}

impl Call {
    /// The function of the language that asks.
    pub fn function(&self) -> &'static str {
        match self {
            Call::Lambda { .. } => "aws_lambda",
            Call::ThingShadow { .. } => "get_thing_shadow",
            Call::RegistryData { .. } => "get_registry_data",
            Call::DynamoDb { .. } => "get_dynamodb",
            Call::Secret { .. } => "get_secret",
            Call::Object { .. } => "decode",
        }
    }
}

/// One attribute of an item's key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The attribute's name.
    pub name: String,
    /// Its value.
    pub value: KeyValue,
}

/// The value of a key, of the type it had in the statement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyValue {
    /// A string.
    Text(String),
    /// A number, as text.
    Number(String),
}

/// What `get_registry_data` can ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegistryApi {
    /// `DescribeThing`.
    DescribeThing,
    /// `ListThingGroupsForThing`.
    ListThingGroupsForThing,
}

impl fmt::Display for RegistryApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RegistryApi::DescribeThing => "DescribeThing",
            RegistryApi::ListThingGroupsForThing => "ListThingGroupsForThing",
        })
    }
}

/// The forms a secret has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecretKind {
    /// `SecretString`.
    Text,
    /// `SecretBinary`.
    Binary,
}

/// What the world says to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The answer: JSON text, or an object's bytes.
    Value(Bytes),
    /// There is none, and why.
    Failed(String),
    /// Not yet: the evaluation stops as suspended, and is begun again once the answer is there.
    Later,
}
