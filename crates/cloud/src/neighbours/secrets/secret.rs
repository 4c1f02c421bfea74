//! What is known of a secret beside its values: its name and its ARN, its tags, and which version carries which labels. Where
//! any of it is stored is unknown here.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::json_record;
use wire::Refusal;
use wire::secretsmanager::Tag;

use crate::operation::Answer;
use crate::scope::{Read, Write};

/// The label of the present version, and of the one before it.
pub(super) const CURRENT: &str = "AWSCURRENT";
pub(super) const PREVIOUS: &str = "AWSPREVIOUS";

/// Letters at the end of an ARN, which tell a secret from an earlier one of the same name.
pub(super) const SUFFIX: usize = 6;
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A secret.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Secret {
    pub(super) name: String,
    pub(super) suffix: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// As it was given; what is stored is sealed with the house's own key all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kms_key_id: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<(String, String)>,
    /// Whether it ever had any: until then nothing is told of them.
    /// unconfirmed: that AWS tells of none once they are gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) was_tagged: bool,
    pub(super) created: i64,
    pub(super) changed: i64,
    /// When it is gone for good, once it is marked for deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ends: Option<i64>,
    /// In the order in which they came.
    pub(super) versions: Vec<Version>,
}
json_record!(Secret, version 1);

/// A version: its value is kept apart.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) id: String,
    pub(super) created: i64,
    pub(super) stages: Vec<String>,
}

/// What the ARN of every secret of a scope begins with.
pub(super) fn arn_prefix(db: Read) -> String {
    let scope = &db.cx.scope;
    format!("arn:aws:secretsmanager:{}:{}:secret:", scope.region, scope.account)
}

/// unconfirmed: the error.
pub(super) fn check_name(name: &str) -> Answer<()> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-/_+=.@!".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_good) {
        let message = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: \
                       -/_+=.@!";
        return Err(Refusal::new("ValidationException", message).into());
    }
    Ok(())
}

impl Secret {
    /// A new one without a version.
    pub(super) fn new(db: &Write, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            suffix: db.cx.entropy.secret().text(LETTERS, SUFFIX),
            description: None,
            kms_key_id: None,
            tags: Vec::new(),
            was_tagged: false,
            created: db.now(),
            changed: db.now(),
            ends: None,
            versions: Vec::new(),
        }
    }

    pub(super) fn arn(&self, db: Read) -> String {
        format!("{}{}-{}", arn_prefix(db), self.name, self.suffix)
    }

    /// Whether it has been gone since then, though its rows may still be there.
    pub(super) fn is_over(&self, now: i64) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }

    pub(super) fn version(&self, id: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.id == id)
    }

    /// The version that carries a label.
    pub(super) fn of_stage(&self, stage: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.stages.iter().any(|one| one == stage))
    }

    /// Puts a label on one version, and takes it from whichever had it.
    pub(super) fn label(&mut self, stage: &str, id: &str) {
        for version in &mut self.versions {
            version.stages.retain(|one| one != stage);
            if version.id == id {
                version.stages.push(stage.to_owned());
            }
        }
    }

    /// Its tags, if there is anything to tell of them.
    pub(super) fn listed_tags(&self) -> Option<Vec<Tag>> {
        let listed = || self.tags.iter().map(|(key, value)| Tag::new().with_key(key).with_value(value)).collect();
        (self.was_tagged || !self.tags.is_empty()).then(listed)
    }

    /// Labels by version, without the versions that have none.
    pub(super) fn versions_to_stages(&self) -> Map<String, Value> {
        let labelled = self.versions.iter().filter(|version| !version.stages.is_empty());
        labelled.map(|version| (version.id.clone(), Value::from(version.stages.clone()))).collect()
    }
}
