//! Topic rules: a statement over what is published, and the actions for what it selects (rules.md §5, §9). Here is what a rule
//! is, how it is made, changed and listed. How messages come to it is `rules/engine`'s affair, what one message leads to
//! `rules/execution`'s; what the statement means is the `sql` crate's, and what actions do `actions`'.

use std::str::FromStr as _;
use std::sync::Arc;

use mqtt::Filter;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sql::{Statement, Template, Version};
use store::{Fault, Table, json_record};
use wire::Refusal;
use wire::iot::{
    CreateTopicRuleRequest, DeleteTopicRuleRequest, DisableTopicRuleRequest, EnableTopicRuleRequest,
    GetTopicRuleRequest, GetTopicRuleResponse, ListTopicRulesRequest, ListTopicRulesResponse, ReplaceTopicRuleRequest,
    TopicRule, TopicRuleListItem, TopicRulePayload,
};

use crate::actions::{Action, Targets};
use crate::destinations;
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::quotas::{self, Stand};
use crate::scope::{Asked, NO_PARTS, Read, Scope, Write, paged};
use crate::tags::{self, Tags, tagged};

mod engine;
mod errors;
mod execution;
mod gathering;
mod heard;
mod told;
mod trial;
mod world;

pub use engine::{Ask, Deed, Errand, Ticket, Turn};
pub(crate) use engine::{Engine, Rules, must_not_be_lost};
pub(crate) use heard::Heard;
pub use trial::Published;
pub(crate) use trial::Recent;

pub(crate) const OPS: &[Op] = ops! {
    write create_topic_rule on rule(rule_name);
    write replace_topic_rule on rule(rule_name);
    read  get_topic_rule on rule(rule_name);
    read  list_topic_rules on any;
    write enable_topic_rule on rule(rule_name);
    write disable_topic_rule on rule(rule_name);
    write delete_topic_rule on rule(rule_name);
};

pub(crate) const TAGGED: tags::Kind = tagged!("rule" in RULES);

/// By name.
const RULES: Table<Rule> = Table::new("rules");

/// The version of the language where a rule names none (rules.md §1).
const DEFAULT_VERSION: &str = "2015-10-08";

/// A rule on disk: as it was given.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rule {
    sql: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    created: i64,
    actions: Vec<Value>,
    disabled: bool,
    version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error_action: Option<Value>,
    #[serde(default, deserialize_with = "tags::stored", skip_serializing_if = "Vec::is_empty")]
    tags: Tags,
}
json_record!(Rule, version 1);

/// A rule that is ready to act.
pub(crate) struct Ready {
    pub(crate) name: Arc<str>,
    pub(crate) statement: Statement,
    /// The filter of its statement; without one it is reached by basic ingest only.
    pub(crate) filter: Option<Filter>,
    pub(crate) actions: Vec<Action>,
    pub(crate) error_action: Option<Action>,
}

impl Rule {
    fn new(payload: &TopicRulePayload, created: i64, tags: Tags) -> Self {
        Self {
            sql: payload.sql().to_owned(),
            description: payload.description().map(str::to_owned),
            created,
            actions: payload.actions().unwrap_or_default().into_iter().map(Value::from).collect(),
            disabled: payload.rule_disabled().unwrap_or(false),
            version: payload.aws_iot_sql_version().unwrap_or(DEFAULT_VERSION).to_owned(),
            error_action: payload.error_action().map(Value::from),
            tags,
        }
    }

    /// Parses and checks all of it: what cannot act is refused when the rule is made.
    fn ready(&self, name: &str, targets: &Targets) -> Result<Ready, Refusal> {
        let version = Version::from_str(&self.version).map_err(|unknown| {
            Refusal::invalid_request(format!("The awsIotSqlVersion {} is not known: {unknown}", self.version))
        })?;
        let statement = Statement::parse(&self.sql, version)
            .map_err(|error| Refusal::new("SqlParseException", error.to_string()))?;
        let filter = statement.filter().map(Filter::try_from).transpose().map_err(|invalid| {
            Refusal::new("SqlParseException", format!("Expected a topic filter after FROM: {invalid}"))
        })?;
        let action = |action: &Value| match action {
            Value::Object(members) => Action::parse(members, version, targets),
            _ => Err(Refusal::invalid_request("An action must be an object.")),
        };
        let templates = self.templates(version);
        statement.check_templates(&templates).map_err(|error| Refusal::new("SqlParseException", error.to_string()))?;
        Ok(Ready {
            name: name.into(),
            filter,
            actions: self.actions.iter().map(action).collect::<Result<_, _>>()?,
            error_action: self.error_action.as_ref().map(action).transpose()?,
            statement,
        })
    }

    /// Everything in the actions that may be a template; what cannot be one is for the action itself to refuse.
    fn templates(&self, version: Version) -> Vec<Template> {
        let mut left: Vec<&Value> = self.actions.iter().chain(&self.error_action).collect();
        let mut found = Vec::new();
        while let Some(value) = left.pop() {
            match value {
                Value::String(text) => found.extend(Template::parse(text, version)),
                Value::Array(list) => left.extend(list),
                Value::Object(members) => left.extend(members.values()),
                _ => {}
            }
        }
        found
    }

    fn filter(&self) -> Option<String> {
        let version = Version::from_str(&self.version).ok()?;
        Statement::parse(&self.sql, version).ok()?.filter().map(str::to_owned)
    }
}

/// The rule of this name. AWS does not tell whether a rule is missing or forbidden (rules.md §9).
fn named(db: Read, name: &str) -> Answer<Rule> {
    let rule = db.get(&RULES, [name])?;
    // unconfirmed: the text.
    rule.ok_or_else(|| Refusal::unauthorized(format!("Access to topic rule '{name}' was denied")).into())
}

/// The rule of this name, ready to act; none if there is none or it is disabled.
pub(crate) fn ready(db: Read, name: &str) -> Result<Option<Ready>, Fault> {
    let Some(rule) = db.get(&RULES, [name])?.filter(|rule| !rule.disabled) else { return Ok(None) };
    let ready = rule.ready(name, &db.cx.settings.targets);
    ready.map(Some).map_err(|refusal| Fault::because(format_args!("rule {name} no longer holds"), refusal))
}

/// Every rule there is, with its scope: for the start.
pub(crate) fn all(view: &store::Read) -> Result<Vec<(Scope, String)>, Fault> {
    let mut found = Vec::new();
    crate::scope::each(view, &RULES, |key, _: Rule| {
        found.push((Scope::new(&key.text_at(0)?, &key.text_at(1)?), key.text_at(2)?));
        Ok(())
    })?;
    Ok(found)
}

/// Keeps a rule that can act, and makes the destinations that its actions ask for.
fn put(db: &mut Write, name: &str, rule: &Rule) -> Answer<()> {
    let ready = rule.ready(name, &db.cx.settings.targets)?;
    for action in ready.actions.iter().chain(&ready.error_action) {
        if let Some(url) = action.confirmation_url() {
            destinations::ensure(db, url)?;
        }
    }
    db.put(&RULES, [name], rule)?;
    db.tell(News::Rule(name.to_owned()));
    Ok(())
}

fn create_topic_rule(db: &mut Write, input: &CreateTopicRuleRequest) -> Answer<()> {
    let name = input.rule_name();
    if db.view().contains(&RULES, [name])? {
        let message = format!("Rule {name} already exists in current account");
        let refusal = Refusal::resource_already_exists(message);
        let arn = arn(db.view(), name);
        return Err(refusal.with("resourceId", name).with("resourceArn", arn).into());
    }
    match quotas::RULES.stand_if(db.cx.settings.quotas, is_full(db.view())?) {
        Stand::Within => {}
        Stand::Warned(limit) => db.tell(News::OverQuota(limit.words)),
        // unconfirmed: the error, which the model does not have for this operation.
        Stand::Refused(limit) => return Err(Refusal::limit_exceeded(limit.words).with_status(410).into()),
    }
    let tags = tags::of_header(input.tags().unwrap_or_default())?;
    let rule = Rule::new(&input.topic_rule_payload().unwrap_or_default(), db.now(), tags);
    put(db, name, &rule)
}

fn is_full(db: Read) -> Result<bool, Fault> {
    let most = quotas::RULES.size();
    Ok(db.some(&RULES, NO_PARTS, most)?.len() == most)
}

/// All of it is replaced but when it was made and its tags.
fn replace_topic_rule(db: &mut Write, input: &ReplaceTopicRuleRequest) -> Answer<()> {
    let name = input.rule_name();
    let known = named(db.view(), name)?;
    let payload = input.topic_rule_payload().unwrap_or_default();
    let rule = Rule::new(&payload, known.created, known.tags);
    put(db, name, &rule)
}

fn get_topic_rule(db: Read, input: &GetTopicRuleRequest) -> Answer<GetTopicRuleResponse> {
    let name = input.rule_name();
    let rule = named(db, name)?;
    let mut fields = Map::new();
    fields.insert("actions".to_owned(), Value::Array(rule.actions));
    if let Some(action) = rule.error_action {
        fields.insert("errorAction".to_owned(), action);
    }
    let mut shown = TopicRule::from_value(Value::Object(fields))
        .with_rule_name(name)
        .with_sql(rule.sql)
        .with_created_at(rule.created)
        .with_rule_disabled(rule.disabled)
        .with_aws_iot_sql_version(rule.version);
    if let Some(description) = rule.description {
        shown = shown.with_description(description);
    }
    Ok(GetTopicRuleResponse::new().with_rule_arn(arn(db, name)).with_rule(shown))
}

fn list_topic_rules(db: Read, input: &ListTopicRulesRequest) -> Answer<ListTopicRulesResponse> {
    let asked = Asked::new(input.next_token(), input.max_results());
    let page = db.page(&RULES, NO_PARTS, asked, |_, rule| {
        // unconfirmed: the topic given is the rules' filter to the letter.
        let of_topic = input.topic().is_none_or(|topic| rule.filter().as_deref() == Some(topic));
        of_topic && input.rule_disabled().is_none_or(|disabled| disabled == rule.disabled)
    })?;
    let listed = page.items.iter().map(|(key, rule)| {
        let name = key.text_at(2)?;
        let item = TopicRuleListItem::new()
            .with_rule_arn(arn(db, &name))
            .with_rule_name(name)
            .with_created_at(rule.created)
            .with_rule_disabled(rule.disabled);
        Ok(match rule.filter() {
            Some(filter) => item.with_topic_pattern(filter),
            None => item,
        })
    });
    let answer = ListTopicRulesResponse::new().with_rules(listed.collect::<Result<Vec<_>, Fault>>()?);
    Ok(paged(answer, page.next, ListTopicRulesResponse::with_next_token))
}

fn enable_topic_rule(db: &mut Write, input: &EnableTopicRuleRequest) -> Answer<()> {
    set_disabled(db, input.rule_name(), false)
}

fn disable_topic_rule(db: &mut Write, input: &DisableTopicRuleRequest) -> Answer<()> {
    set_disabled(db, input.rule_name(), true)
}

fn set_disabled(db: &mut Write, name: &str, disabled: bool) -> Answer<()> {
    let rule = Rule { disabled, ..named(db.view(), name)? };
    db.put(&RULES, [name], &rule)?;
    db.tell(News::Rule(name.to_owned()));
    Ok(())
}

fn delete_topic_rule(db: &mut Write, input: &DeleteTopicRuleRequest) -> Answer<()> {
    let name = input.rule_name();
    named(db.view(), name)?;
    db.delete(&RULES, [name])?;
    db.tell(News::Rule(name.to_owned()));
    Ok(())
}

/// How policies and events name a rule.
pub(crate) fn arn(db: Read, name: &str) -> String {
    db.arn(format_args!("rule/{name}"))
}
