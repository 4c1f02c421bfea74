//! Destinations of rules: URLs whose owners have confirmed that they want what rules send, and databases that are known by ARN
//! (rules.md §6). Who sends what there is unknown here.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Fault, Key, Table, json_record};
use wire::Refusal;
use wire::iot::{
    ConfirmTopicRuleDestinationRequest, ConfirmTopicRuleDestinationResponse, CreateTopicRuleDestinationRequest,
    CreateTopicRuleDestinationResponse, DeleteTopicRuleDestinationRequest, DeleteTopicRuleDestinationResponse,
    GetTopicRuleDestinationRequest, GetTopicRuleDestinationResponse, ListTopicRuleDestinationsRequest,
    ListTopicRuleDestinationsResponse, TopicRuleDestination, TopicRuleDestinationSummary,
    UpdateTopicRuleDestinationRequest, UpdateTopicRuleDestinationResponse,
};

use crate::actions::{Effect, InfluxDestination};
use crate::house::House;
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::scope::{Asked, NO_PARTS, Read, Scope, Write, paged};

pub(crate) const OPS: &[Op] = ops! {
    write create_topic_rule_destination on any;
    read  get_topic_rule_destination on destination(arn);
    read  list_topic_rule_destinations on any;
    write update_topic_rule_destination on destination(arn);
    write delete_topic_rule_destination on destination(arn);
    write confirm_topic_rule_destination on any;
};

/// By the part of the ARN after `ruledestination/`: `http/{uuid}`, `influxdb/{uuid}`.
const DESTINATIONS: Table<Destination> = Table::new("rule_destinations");

/// Of a challenge that is not answered yet, by its token alone: whoever has it need not say where it belongs.
const TOKENS: Table<Token> = Table::new("rule_destination_tokens");

/// Destinations of a scope (rules.md §10).
const MOST: usize = 1_000;

#[derive(Debug, Serialize, Deserialize)]
struct Destination {
    kind: Kind,
    status: Status,
    created: i64,
    updated: i64,
    /// The token of the challenge that was sent last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}
json_record!(Destination, version 1);

/// The destination that a token confirms.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    account: String,
    region: String,
    place: String,
}
json_record!(Token, version 1);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Http {
        confirmation_url: String,
    },
    /// The members of `influxDBConfiguration` as they were given.
    Influx(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    InProgress,
    Enabled,
    Disabled,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
        }
    }
}

impl Destination {
    /// What clients see of it, in full or as an element of a list.
    fn document(&self, db: Read, place: &str, http: &str, influx: &str) -> Value {
        let mut shown = json!({
            "arn": arn(db, place),
            "status": self.status.name(),
            "createdAt": seconds(self.created),
            "lastUpdatedAt": seconds(self.updated),
        });
        if self.status == Status::InProgress {
            shown["statusReason"] =
                Value::from("Awaiting confirmation: open the enableUrl that was sent to the confirmationUrl.");
        }
        match &self.kind {
            Kind::Http { confirmation_url } => shown[http] = json!({ "confirmationUrl": confirmation_url }),
            Kind::Influx(given) => shown[influx] = given.clone(),
        }
        shown
    }

    fn shown(&self, db: Read, place: &str) -> TopicRuleDestination {
        TopicRuleDestination::from_value(self.document(db, place, "httpUrlProperties", "influxDBProperties"))
    }
}

/// AWS's timestamps, from milliseconds.
#[expect(clippy::cast_precision_loss, reason = "53 bits are enough for milliseconds")]
fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn arn(db: Read, place: &str) -> String {
    db.arn(format_args!("ruledestination/{place}"))
}

/// The place that an ARN names, if it is one of this scope.
fn place<'a>(db: Read, arn: &'a str) -> Option<&'a str> {
    db.cx.scope.resource(arn)?.strip_prefix("ruledestination/")
}

fn named(db: Read, arn: &str) -> Answer<(String, Destination)> {
    let place = place(db, arn).ok_or_else(|| Refusal::invalid_request(format!("Invalid destination ARN: {arn}")))?;
    // unconfirmed: the operations have no ResourceNotFoundException in the model, and rules answer Unauthorized.
    let found =
        db.get(&DESTINATIONS, [place])?.ok_or_else(|| Refusal::unauthorized(format!("Access to {arn} was denied")))?;
    Ok((place.to_owned(), found))
}

/// Whether a confirmed destination covers a URL.
pub(crate) fn is_confirmed(db: Read, url: &str) -> bool {
    let all = db.all(&DESTINATIONS, NO_PARTS).unwrap_or_default();
    all.iter().any(|(_, destination)| match &destination.kind {
        Kind::Http { confirmation_url } => destination.status == Status::Enabled && covers(confirmation_url, url),
        Kind::Influx(_) => false,
    })
}

/// Whether a URL begins with one that was confirmed. What a template adds from a message must not lead to another host:
/// `http://a.example` covers neither `http://a.example.org` nor `http://a.example@b`.
fn covers(confirmed: &str, url: &str) -> bool {
    let ends_host = ['/', '?', '#'];
    let names_host = confirmed.split_once("://").is_some_and(|(_, rest)| rest.contains(ends_host));
    url.strip_prefix(confirmed).is_some_and(|rest| names_host || rest.is_empty() || rest.starts_with(ends_host))
}

/// The database behind an ARN, if it is enabled.
pub(crate) fn influx(db: Read, arn: &str) -> Option<InfluxDestination> {
    let destination = db.get(&DESTINATIONS, [place(db, arn)?]).ok().flatten()?;
    let Kind::Influx(given) = &destination.kind else { return None };
    let text = |key: &str| given[key].as_str().map(str::to_owned);
    (destination.status == Status::Enabled).then_some(())?;
    Some(InfluxDestination {
        endpoint: text("endpoint")?,
        version: if given["influxDBVersion"] == "V3" { 3 } else { 2 },
        secret_id: text("secretId")?,
        is_binary: given["secretType"] == "SecretBinary",
        secret_key: text("secretKey"),
    })
}

/// Makes the destination that an action asks for, unless there is one.
pub(crate) fn ensure(db: &mut Write, confirmation_url: &str) -> Answer<()> {
    let all = db.view().all(&DESTINATIONS, NO_PARTS)?;
    let known = all
        .iter()
        .any(|(_, known)| matches!(&known.kind, Kind::Http { confirmation_url: url } if url == confirmation_url));
    if !known {
        create(db, Kind::Http { confirmation_url: confirmation_url.to_owned() })?;
    }
    Ok(())
}

impl House {
    /// Where the destination belongs that a token confirms: the token is all that its owner shows.
    pub fn scope_of_token(&self, token: &str) -> Result<Option<Scope>, Fault> {
        let token = self.store.read().get(&TOKENS, &Key::of([token]))?;
        Ok(token.map(|token| Scope::new(&token.account, &token.region)))
    }
}

fn create(db: &mut Write, kind: Kind) -> Answer<(String, Destination)> {
    if db.view().some(&DESTINATIONS, NO_PARTS, MOST)?.len() == MOST {
        return Err(Refusal::invalid_request(format!("An account has at most {MOST} rule destinations")).into());
    }
    let id = db.uuid();
    let (place, status) = match kind {
        Kind::Http { .. } => (format!("http/{id}"), Status::InProgress),
        // AWS asks the database first; here the first message shows whether it is there.
        Kind::Influx(_) => (format!("influxdb/{id}"), Status::Enabled),
    };
    let mut destination = Destination { kind, status, created: db.now(), updated: db.now(), token: None };
    if status == Status::InProgress {
        challenge(db, &place, &mut destination)?;
    }
    db.put(&DESTINATIONS, [&place], &destination)?;
    Ok((place, destination))
}

/// Sends a token to the confirmation URL: whoever can read it there owns the URL.
fn challenge(db: &mut Write, place: &str, destination: &mut Destination) -> Result<(), Fault> {
    forget_token(db, destination)?;
    let Kind::Http { confirmation_url } = &destination.kind else { return Ok(()) };
    let token = format!("{}{}", db.uuid(), db.uuid()).replace('-', "");
    let enable_url = format!("{}/confirmdestination/{token}", db.cx.settings.api);
    let effect = Effect::challenge(confirmation_url, &arn(db.view(), place), &token, &enable_url);
    let (account, region) = (db.cx.scope.account.to_string(), db.cx.scope.region.to_string());
    db.put_global(&TOKENS, &Key::of([&token]), &Token { account, region, place: place.to_owned() })?;
    db.tell(News::Challenge(Box::new(effect)));
    destination.token = Some(token);
    destination.status = Status::InProgress;
    Ok(())
}

fn forget_token(db: &mut Write, destination: &mut Destination) -> Result<(), Fault> {
    match destination.token.take() {
        Some(token) => db.delete_global(&TOKENS, &Key::of([&token])),
        None => Ok(()),
    }
}

fn create_topic_rule_destination(
    db: &mut Write,
    input: &CreateTopicRuleDestinationRequest,
) -> Answer<CreateTopicRuleDestinationResponse> {
    let given = input.destination_configuration().unwrap_or_default();
    let kinds = [
        given.http_url_configuration().is_some(),
        given.vpc_configuration().is_some(),
        given.influx_db_configuration().is_some(),
    ];
    if kinds.iter().filter(|given| **given).count() != 1 {
        return Err(Refusal::invalid_request("A destination is exactly one of httpUrl, vpc and influxDB").into());
    }
    let kind = if let Some(http) = given.http_url_configuration() {
        Kind::Http { confirmation_url: checked(http.confirmation_url())?.to_owned() }
    } else if let Some(influx) = given.influx_db_configuration() {
        Kind::Influx(Value::from(influx))
    } else {
        let message = "vpcConfiguration is not implemented: there is no VPC here; Kafka is reached by its own address.";
        return Err(Refusal::new("NotImplementedException", message).into());
    };
    let (place, destination) = create(db, kind)?;
    Ok(CreateTopicRuleDestinationResponse::new().with_topic_rule_destination(destination.shown(db.view(), &place)))
}

/// AWS takes https only; a sink on a plant's own network may have no certificate, so http is taken too.
fn checked(url: &str) -> Result<&str, Refusal> {
    let known = ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme));
    if known && !url.contains("${") { Ok(url) } else { Err(Refusal::invalid_request("Invalid confirmationUrl")) }
}

fn get_topic_rule_destination(
    db: Read,
    input: &GetTopicRuleDestinationRequest,
) -> Answer<GetTopicRuleDestinationResponse> {
    let (place, destination) = named(db, input.arn())?;
    Ok(GetTopicRuleDestinationResponse::new().with_topic_rule_destination(destination.shown(db, &place)))
}

fn list_topic_rule_destinations(
    db: Read,
    input: &ListTopicRuleDestinationsRequest,
) -> Answer<ListTopicRuleDestinationsResponse> {
    let asked = Asked::new(input.next_token(), input.max_results());
    let page = db.page(&DESTINATIONS, NO_PARTS, asked, |_, _| true)?;
    let listed = page.items.iter().map(|(key, destination)| {
        let shown = destination.document(db, &key.text_at(2)?, "httpUrlSummary", "influxDBSummary");
        Ok(TopicRuleDestinationSummary::from_value(shown))
    });
    let listed = listed.collect::<Result<Vec<_>, Fault>>()?;
    let answer = ListTopicRuleDestinationsResponse::new().with_destination_summaries(listed);
    Ok(paged(answer, page.next, ListTopicRuleDestinationsResponse::with_next_token))
}

/// Enables and disables what has been confirmed; `IN_PROGRESS` sends the challenge once more.
fn update_topic_rule_destination(
    db: &mut Write,
    input: &UpdateTopicRuleDestinationRequest,
) -> Answer<UpdateTopicRuleDestinationResponse> {
    let (place, mut destination) = named(db.view(), input.arn())?;
    match input.status() {
        "IN_PROGRESS" => challenge(db, &place, &mut destination)?,
        "ENABLED" | "DISABLED" if destination.status == Status::InProgress => {
            return Err(Refusal::invalid_request("The destination has not been confirmed yet").into());
        }
        "ENABLED" => destination.status = Status::Enabled,
        "DISABLED" => destination.status = Status::Disabled,
        other => return Err(Refusal::invalid_request(format!("A destination cannot be set to {other}")).into()),
    }
    destination.updated = db.now();
    db.put(&DESTINATIONS, [&place], &destination)?;
    Ok(UpdateTopicRuleDestinationResponse::new())
}

fn delete_topic_rule_destination(
    db: &mut Write,
    input: &DeleteTopicRuleDestinationRequest,
) -> Answer<DeleteTopicRuleDestinationResponse> {
    let (place, mut destination) = named(db.view(), input.arn())?;
    forget_token(db, &mut destination)?;
    db.delete(&DESTINATIONS, [&place])?;
    Ok(DeleteTopicRuleDestinationResponse::new())
}

fn confirm_topic_rule_destination(
    db: &mut Write,
    input: &ConfirmTopicRuleDestinationRequest,
) -> Answer<ConfirmTopicRuleDestinationResponse> {
    let unknown = || Refusal::invalid_request("Invalid confirmation token");
    let token = db.view().get_global(&TOKENS, &Key::of([input.confirmation_token()]))?.ok_or_else(unknown)?;
    let place = token.place;
    let mut destination = db.view().get(&DESTINATIONS, [&place])?.ok_or_else(unknown)?;
    forget_token(db, &mut destination)?;
    destination.status = Status::Enabled;
    destination.updated = db.now();
    db.put(&DESTINATIONS, [&place], &destination)?;
    Ok(ConfirmTopicRuleDestinationResponse::new())
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn what_a_template_adds_to_a_confirmed_url_leads_to_no_other_host() {
        for (confirmed, url, expected) in [
            ("http://a.example", "http://a.example", true),
            ("http://a.example", "http://a.example/x", true),
            ("http://a.example", "http://a.example?x", true),
            ("http://a.example", "http://a.example.org/x", false),
            ("http://a.example", "http://a.example:81/", false),
            ("http://a.example", "http://a.example@b.example/", false),
            ("http://a.example", "http://b.example/", false),
            ("http://a.example/", "http://a.example/x", true),
            ("http://a.example/x", "http://a.example/xyz", true),
            ("http://a.example?x=", "http://a.example?x=1", true),
            ("http://a.example/x", "http://a.example/y", false),
        ] {
            assert_eq!(covers(confirmed, url), expected, "{confirmed} {url}");
        }
    }
}
