//! The platform's own logs: how much of what it does is told in log groups, set as on AWS with the V2 operations and the older
//! pair, and the way of an entry from where it happens to its group. Nothing is logged until somebody asks for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use store::{Fault, Table, json_record};
use wire::Refusal;
use wire::iot::{
    DeleteV2LoggingLevelRequest, GetLoggingOptionsRequest, GetLoggingOptionsResponse, GetV2LoggingOptionsRequest,
    GetV2LoggingOptionsResponse, ListV2LoggingLevelsRequest, ListV2LoggingLevelsResponse, LogEventConfiguration,
    LogTarget, LogTargetConfiguration, SetLoggingOptionsRequest, SetV2LoggingLevelRequest, SetV2LoggingOptionsRequest,
};

use crate::events::{Event, Kind};
use crate::house::{Books, House, Job};
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::scope::{Asked, Context, NO_PARTS, Read, Scope, Write, paged};

mod journal;
mod record;

pub(crate) use journal::{Journal, Logging};
pub(crate) use record::{Level, Record};

use journal::{Levels, Target};

pub(crate) const OPS: &[Op] = ops! {
    write set_v2_logging_options on any;
    read  get_v2_logging_options on any;
    write set_v2_logging_level on any;
    read  list_v2_logging_levels on any;
    write delete_v2_logging_level on any;
    write set_logging_options on any;
    read  get_logging_options on any;
};

/// At the only key.
const OPTIONS: Table<Options> = Table::new("logging_options");
/// By type and name of the target: the name of a level.
const LEVELS: Table<Vec<u8>> = Table::new("logging_levels");

/// Levels of one scope.
const MOST_LEVELS: usize = 1_000;

/// Lines that are written in one transaction.
const TOGETHER: usize = 1_000;

/// Events that are told. Others can be configured only once they are.
const EVENTS: [&str; 15] = [
    "Connect",
    "Disconnect",
    "Publish-In",
    "Publish-Out",
    "Subscribe",
    "Unsubscribe",
    "GetThingShadow",
    "UpdateThingShadow",
    "DeleteThingShadow",
    "RuleMatch",
    "StartingRuleExecution",
    "RuleExecution",
    "FunctionExecution",
    "RuleNotFound",
    "RuleMessageThrottled",
];

/// What is set for a whole scope.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Options {
    role_arn: String,
    /// The name of a level.
    default: String,
    #[serde(default)]
    off: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    events: Vec<EventOptions>,
}
json_record!(Options, version 1);

/// What is set for one event.
#[derive(Debug, Serialize, Deserialize)]
struct EventOptions {
    event: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    level: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
}

const DISABLED: &str = "DISABLED";

fn options(db: Read) -> Answer<Options> {
    let not =
        || Refusal::new("NotConfiguredException", "Logging has not been configured: call SetV2LoggingOptions first.");
    Ok(db.get(&OPTIONS, [""])?.ok_or_else(not)?)
}

fn put(db: &mut Write, options: &Options) -> Answer<()> {
    db.put(&OPTIONS, [""], options)?;
    db.tell(News::Logging);
    Ok(())
}

/// What is not given stays as it is. unconfirmed: that a role is needed the first time, and a level not.
fn set_v2_logging_options(db: &mut Write, input: &SetV2LoggingOptionsRequest) -> Answer<()> {
    let known = db.view().get(&OPTIONS, [""])?;
    if known.is_none() && input.role_arn().is_none() {
        return Err(Refusal::invalid_request("roleArn is required to configure logging").into());
    }
    let mut options = known.unwrap_or_else(|| Options { default: DISABLED.to_owned(), ..Options::default() });
    if let Some(role) = input.role_arn() {
        role.clone_into(&mut options.role_arn);
    }
    if let Some(level) = input.default_log_level() {
        level.clone_into(&mut options.default);
    }
    options.off = input.disable_all_logs().unwrap_or(options.off);
    if let Some(events) = input.event_configurations() {
        options.events = events.iter().map(EventOptions::asked).collect::<Result<_, _>>()?;
    }
    put(db, &options)
}

impl EventOptions {
    fn asked(given: &LogEventConfiguration) -> Result<Self, Refusal> {
        let event = given.event_type();
        if !EVENTS.contains(&event) {
            let message = format!("Logs of {event} are not implemented yet; the events are {}.", EVENTS.join(", "));
            return Err(Refusal::new("NotImplementedException", message));
        }
        let own = |text: Option<&str>| text.map(str::to_owned);
        Ok(Self { event: event.to_owned(), level: own(given.log_level()), group: own(given.log_destination()) })
    }

    fn configuration(&self) -> LogEventConfiguration {
        let configuration = LogEventConfiguration::new().with_event_type(&self.event);
        let configuration = match &self.level {
            Some(level) => configuration.with_log_level(level),
            None => configuration,
        };
        match &self.group {
            Some(group) => configuration.with_log_destination(group),
            None => configuration,
        }
    }
}

fn get_v2_logging_options(db: Read, input: &GetV2LoggingOptionsRequest) -> Answer<GetV2LoggingOptionsResponse> {
    let options = options(db)?;
    let mut events: Vec<LogEventConfiguration> = options.events.iter().map(EventOptions::configuration).collect();
    if input.verbose() == Some(true) {
        let others = EVENTS.iter().filter(|event| options.events.iter().all(|known| known.event != **event));
        events.extend(
            others.map(|event| LogEventConfiguration::new().with_event_type(*event).with_log_level(&options.default)),
        );
    }
    let answer = GetV2LoggingOptionsResponse::new()
        .with_role_arn(options.role_arn)
        .with_default_log_level(options.default)
        .with_disable_all_logs(options.off);
    Ok(if events.is_empty() { answer } else { answer.with_event_configurations(events) })
}

fn set_v2_logging_level(db: &mut Write, input: &SetV2LoggingLevelRequest) -> Answer<()> {
    let mut options = options(db.view())?;
    let target = input.log_target().unwrap_or_default();
    let (kind, level) = (target.target_type(), input.log_level());
    if kind == "DEFAULT" {
        level.clone_into(&mut options.default);
        return put(db, &options);
    }
    if kind == "THING_GROUP" {
        let message = "Log levels of thing groups are not implemented yet.";
        return Err(Refusal::new("NotImplementedException", message).into());
    }
    let name = target.target_name().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Refusal::invalid_request(format!("targetName is required for {kind}")))?;
    if !db.view().contains(&LEVELS, [kind, name])?
        && db.view().some(&LEVELS, NO_PARTS, MOST_LEVELS)?.len() == MOST_LEVELS
    {
        return Err(Refusal::limit_exceeded(format!("There are {MOST_LEVELS} logging levels already")).into());
    }
    db.put(&LEVELS, [kind, name], &level.as_bytes().to_vec())?;
    db.tell(News::Logging);
    Ok(())
}

/// The default first, as in AWS's example, then targets by type and name.
fn list_v2_logging_levels(db: Read, input: &ListV2LoggingLevelsRequest) -> Answer<ListV2LoggingLevelsResponse> {
    let options = options(db)?;
    let wanted = input.target_type();
    let asked = Asked::new(input.next_token(), input.max_results());
    let page = db.page(&LEVELS, NO_PARTS, asked, |key, _| {
        wanted.is_none_or(|wanted| key.text_at(2).is_ok_and(|kind| kind == wanted))
    })?;
    let mut listed = Vec::new();
    if asked.token.is_none() && wanted.is_none_or(|wanted| wanted == "DEFAULT") {
        let target = LogTarget::new().with_target_type("DEFAULT");
        listed.push(LogTargetConfiguration::new().with_log_target(target).with_log_level(options.default));
    }
    for (key, level) in page.items {
        let target = LogTarget::new().with_target_type(key.text_at(2)?).with_target_name(key.text_at(3)?);
        let level = String::from_utf8_lossy(&level);
        listed.push(LogTargetConfiguration::new().with_log_target(target).with_log_level(level));
    }
    let answer = ListV2LoggingLevelsResponse::new().with_log_target_configurations(listed);
    Ok(paged(answer, page.next, ListV2LoggingLevelsResponse::with_next_token))
}

/// unconfirmed: that a level which is not there can be deleted too.
fn delete_v2_logging_level(db: &mut Write, input: &DeleteV2LoggingLevelRequest) -> Answer<()> {
    db.delete(&LEVELS, [input.target_type(), input.target_name()])?;
    db.tell(News::Logging);
    Ok(())
}

/// The older pair sets the same role and default level. unconfirmed: AWS keeps the two apart.
fn set_logging_options(db: &mut Write, input: &SetLoggingOptionsRequest) -> Answer<()> {
    let given = input.logging_options_payload().unwrap_or_default();
    let mut options = db.view().get(&OPTIONS, [""])?.unwrap_or_default();
    given.role_arn().clone_into(&mut options.role_arn);
    given.log_level().unwrap_or(DISABLED).clone_into(&mut options.default);
    put(db, &options)
}

fn get_logging_options(db: Read, _: &GetLoggingOptionsRequest) -> Answer<GetLoggingOptionsResponse> {
    let answer = GetLoggingOptionsResponse::new();
    Ok(match db.get(&OPTIONS, [""])? {
        Some(options) => answer.with_role_arn(options.role_arn).with_log_level(options.default),
        None => answer.with_log_level(DISABLED),
    })
}

/// Everything that is set, as it is looked at.
fn levels(db: Read) -> Result<Levels, Fault> {
    let Some(options) = db.get(&OPTIONS, [""])?.filter(|options| !options.off) else { return Ok(Levels::default()) };
    let default = Level::of_name(&options.default);
    let event = |it: EventOptions| (it.event, (it.level.map_or(default, |level| Level::of_name(&level)), it.group));
    let mut levels = Levels { default, events: options.events.into_iter().map(event).collect(), ..Levels::default() };
    for (key, level) in db.all(&LEVELS, NO_PARTS)? {
        let target = match key.text_at(2)?.as_str() {
            "CLIENT_ID" => Target::Client,
            "SOURCE_IP" => Target::Address,
            "PRINCIPAL_ID" => Target::Principal,
            _ => continue,
        };
        levels.targets.insert((target, key.text_at(3)?), std::str::from_utf8(&level).ok().and_then(Level::of_name));
    }
    Ok(levels)
}

impl House {
    /// New books of a scope, which log as it was last set.
    pub(crate) fn books_of(&self, scope: &Scope) -> Books {
        let logging = Arc::new(Logging::new(scope.clone(), Arc::clone(&self.journal)));
        let books = Books { logging, figures: Arc::default() };
        let now = self.clock().load(Ordering::Relaxed);
        self.set_logging(&self.context_of(scope, &books, now, 0));
        books
    }

    /// What is logged has been set anew.
    pub(crate) fn set_logging(&self, cx: &Context) {
        let view = self.store.read();
        match levels(Read::new(&view, cx)) {
            Ok(levels) => cx.logging.set(levels),
            Err(fault) => self.tell_fault(cx.now, &fault),
        }
    }

    /// What has been noted since the last time, for the desk.
    pub(crate) fn write_down_logs(&self, now: i64, entropy: u128) -> Vec<Job> {
        let lost = self.journal.take_lost();
        if lost > 0 {
            let kind = Kind::LogsLost { lines: lost };
            self.witness.event(Event { at: now, account: String::new(), region: String::new(), kind });
        }
        // One stream for each day. unconfirmed: AWS names streams of this group by numbers of its own.
        let stream = jiff::Timestamp::from_millisecond(now).unwrap_or_default().strftime("%Y-%m-%d").to_string();
        let mut jobs = Vec::new();
        for ((scope, group), mut lines) in self.journal.take() {
            while !lines.is_empty() {
                let rest = lines.split_off(lines.len().min(TOGETHER));
                let entropy = entropy.wrapping_add(jobs.len() as u128);
                jobs.push(self.log(&scope, &group, &stream, std::mem::replace(&mut lines, rest), now, entropy));
            }
        }
        jobs
    }
}
