//! The members of an action as its kind reads them: texts with templates, choices, flags. What is missing or cannot be meant is
//! refused with the member's name. The model has been held against them before, where a request brought them; a file of
//! tests has not.

use serde_json::{Map, Value};
use sql::Version;
use wire::Refusal;

use super::effect::{Service, Targets};
use super::not_built;
use super::text::Text;

/// The members of one action.
pub(super) struct Fields<'a> {
    action: &'a str,
    members: &'a Map<String, Value>,
    version: Version,
    targets: &'a Targets,
}

impl<'a> Fields<'a> {
    pub(super) fn new(
        action: &'a str,
        members: &'a Map<String, Value>,
        version: Version,
        targets: &'a Targets,
    ) -> Self {
        Self { action, members, version, targets }
    }

    /// The members of an object inside.
    pub(super) fn inner(&self, name: &str) -> Result<Option<Fields<'a>>, Refusal> {
        match self.member(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Fields { members, ..*self })),
            Some(_) => Err(self.invalid(name, "it must be an object")),
        }
    }

    /// The objects of a list inside.
    pub(super) fn list(&self, name: &str) -> Result<Vec<Fields<'a>>, Refusal> {
        let items = match self.member(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter(),
            Some(_) => return Err(self.invalid(name, "it must be a list")),
        };
        let objects = items.map(|item| match item {
            Value::Object(members) => Ok(Fields { members, ..*self }),
            _ => Err(self.invalid(name, "it must be a list of objects")),
        });
        objects.collect()
    }

    /// The names of the members, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.members.keys().map(String::as_str)
    }

    /// A text that must be there, with its templates.
    pub(super) fn text(&self, name: &str) -> Result<Text, Refusal> {
        self.optional_text(name)?.ok_or_else(|| self.invalid(name, "it is required"))
    }

    /// A text that may be there.
    pub(super) fn optional_text(&self, name: &str) -> Result<Option<Text>, Refusal> {
        let Some(written) = self.written(name)? else { return Ok(None) };
        // unconfirmed: that a template which cannot be read is a SqlParseException too.
        let parsed = Text::parse(written, self.version);
        parsed.map(Some).map_err(|error| {
            Refusal::new("SqlParseException", format!("The {name} of the action {} is not valid: {error}", self.action))
        })
    }

    /// A text in which nothing is replaced.
    pub(super) fn written(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        match self.member(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(name, "it must be a string")),
        }
    }

    /// The role that the action is done as, which all but a few kinds must name.
    pub(super) fn role(&self) -> Result<String, Refusal> {
        let role = self.written("roleArn")?.ok_or_else(|| self.invalid("roleArn", "it is required"))?;
        if role.starts_with("arn:aws") {
            return Ok(role.to_owned());
        }
        Err(self.invalid("roleArn", "it must be an ARN"))
    }

    /// True or false; false if it is not there.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.member(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.invalid(name, "it must be true or false")),
        }
    }

    /// A number within bounds.
    pub(super) fn number(&self, name: &str, least: u64, most: u64, default: u64) -> Result<u64, Refusal> {
        let Some(value) = self.member(name) else { return Ok(default) };
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| self.invalid(name, &format!("it must be a number from {least} to {most}")))
    }

    /// A text that is one of a few, unless templates decide which.
    pub(super) fn choice(&self, name: &str, choices: &[&str]) -> Result<Option<Text>, Refusal> {
        let text = self.optional_text(name)?;
        match text.as_ref().and_then(Text::literal) {
            Some(written) if !choices.contains(&written) => {
                Err(self.invalid(name, &format!("it must be one of {}", choices.join(", "))))
            }
            _ => Ok(text),
        }
    }

    /// Refuses an action on a service that nobody answers for.
    pub(super) fn need(&self, service: Service) -> Result<(), Refusal> {
        if self.targets.answers(service) {
            return Ok(());
        }
        let (action, name) = (self.action, service.name());
        Err(not_built(&format!(
            "The rule action {action} has nobody to answer it: {name} is not part of this server, and no \
             --aws-endpoint {name}=URL says where it is.",
        )))
    }

    /// A refusal that names a member.
    pub(super) fn invalid(&self, name: &str, why: &str) -> Refusal {
        Refusal::invalid_request(format!("The {name} of the action {} is not valid: {why}.", self.action))
    }

    /// A refusal of something that is not built.
    pub(super) fn not_built(&self, name: &str, what: &str) -> Refusal {
        not_built(&format!("The {name} of the action {} asks for what is not implemented yet: {what}.", self.action))
    }

    fn member(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }
}
