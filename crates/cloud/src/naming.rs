//! How a request names something of the registry: by name, by ARN, or by both if they agree (registry.md §7). Which
//! nouns there are is unknown here.

use store::{Record, Table};
use wire::Refusal;

use crate::operation::Answer;
use crate::scope::Read;

/// What is named.
pub(crate) struct Noun {
    /// In an ARN: `thinggroup`.
    pub(crate) resource: &'static str,
    /// In members of requests: `thingGroup`.
    pub(crate) member: &'static str,
    /// In AWS's messages: `ThingGroup`.
    pub(crate) title: &'static str,
    /// For people: `thing group`.
    pub(crate) words: &'static str,
    /// What AWS's message begins with if neither is given: a blank, now and then.
    pub(crate) blank: &'static str,
}

impl Noun {
    /// The ARN of the one with this name.
    pub(crate) fn arn(&self, db: Read, name: &str) -> String {
        db.arn(format_args!("{}/{name}", self.resource))
    }

    /// The name in the ARN of one in this scope, whether there is one or not.
    pub(crate) fn name_of_arn<'a>(&self, db: Read, arn: &'a str) -> Option<&'a str> {
        db.cx.scope.resource(arn)?.strip_prefix(self.resource)?.strip_prefix('/')
    }

    /// The record that a request asks for, with its name.
    pub(crate) fn asked<R: Record>(
        &self,
        db: Read,
        table: &Table<R>,
        name: Option<&str>,
        arn: Option<&str>,
    ) -> Answer<(String, R)> {
        let Self { member, title, words, blank, .. } = self;
        match (name, arn) {
            (None, None) => {
                let message =
                    format!("{blank}Both {member}Arn and {member}Name are empty. Need to specify at least one of them");
                Err(Refusal::invalid_request(message).into())
            }
            (Some(name), arn) => {
                let found = db.named(table, [name])?;
                if arn.is_some_and(|arn| arn != self.arn(db, name)) {
                    let message = format!("{title}Name {member}Arn does not match specified {member}Name in request");
                    return Err(Refusal::invalid_request(message).into());
                }
                Ok((name.to_owned(), found))
            }
            (None, Some(arn)) => {
                let name = self.name_of_arn(db, arn);
                match (name, name.map(|name| db.get(table, [name])).transpose()?.flatten()) {
                    (Some(name), Some(found)) => Ok((name.to_owned(), found)),
                    _ => Err(Refusal::invalid_request(format!("No {words} with ARN {arn} exists")).into()),
                }
            }
        }
    }
}
