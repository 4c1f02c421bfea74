//! The values of secrets as they lie in the store: sealed, each under the ARN of its secret and the id of its version, so that
//! none can be put in the place of another. Which version is meant is decided elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use store::{Fault, Table};
use wire::Refusal;

use super::secret::Secret;
use super::{invalid_parameter, no_value};
use crate::operation::Answer;
use crate::scope::{Read, Write};

/// By name of the secret and id of the version.
const VALUES: Table<Vec<u8>> = Table::new("secret_values");

/// Bytes of a value.
const LONGEST: usize = 65_536;

/// What a secret keeps. It is never printed.
#[derive(PartialEq, Serialize, Deserialize)]
pub(crate) enum Value {
    /// `SecretString`.
    Text(String),
    /// `SecretBinary`, in base64.
    Binary(String),
}

/// The value of a request, if it has one.
pub(super) fn given(text: Option<&str>, binary: Option<&serde_json::Value>) -> Answer<Option<Value>> {
    let binary = binary.and_then(serde_json::Value::as_str).filter(|binary| !binary.is_empty());
    let (value, length) = match (text, binary) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            let message = "You can't specify both a binary secret value and a string secret value in the same secret.";
            return Err(invalid_parameter(message));
        }
        (Some(text), None) => (Value::Text(text.to_owned()), text.len()),
        (None, Some(base64)) => {
            let decoded = STANDARD.decode(base64).map_err(|_| invalid_parameter("SecretBinary is not base64."))?;
            (Value::Binary(base64.to_owned()), decoded.len())
        }
    };
    if length > LONGEST {
        return Err(invalid_parameter(format!("A secret value has at most {LONGEST} bytes.")));
    }
    Ok(Some(value))
}

fn label(db: Read, secret: &Secret, version: &str) -> String {
    format!("secret {} {version}", secret.arn(db))
}

/// Keeps the value of a version.
pub(super) fn seal(db: &mut Write, secret: &Secret, version: &str, value: &Value) -> Result<(), Fault> {
    let clear = serde_json::to_vec(value).map_err(|cause| Fault::because("write a secret value", cause))?;
    let label = label(db.view(), secret, version);
    let sealed = db.cx.settings.vault.seal(&db.cx.entropy, &label, &clear)?;
    db.put(&VALUES, [&*secret.name, version], &sealed)
}

/// The value of a version that there is.
pub(super) fn open(db: Read, secret: &Secret, version: &str) -> Answer<Value> {
    let sealed =
        db.get(&VALUES, [&*secret.name, version])?.ok_or_else(|| no_value(&format!("VersionId: {version}")))?;
    let clear = db.cx.settings.vault.open(&label(db, secret, version), &sealed);
    let value = clear.and_then(|clear| serde_json::from_slice(&clear).ok());
    value.ok_or_else(|| {
        let message = "Secrets Manager can't decrypt the protected secret text: it was sealed with another key than the \
                       vault.key of this server.";
        Refusal::new("DecryptionFailure", message).into()
    })
}

/// Forgets the value of a version.
pub(super) fn erase(db: &mut Write, secret: &Secret, version: &str) -> Result<(), Fault> {
    db.delete(&VALUES, [&*secret.name, version])
}

/// Forgets all values of a secret.
pub(super) fn erase_all(db: &mut Write, secret: &Secret) -> Result<(), Fault> {
    secret.versions.iter().try_for_each(|version| erase(db, secret, &version.id))
}
