//! What one rule does with one message: the statement, the actions, and the error action when some of them have failed
//! (rules.md §4, §7). How messages come here and deeds are carried out is unknown.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sql::{Call, Message, Properties, Reply, Selected};

use super::Ready;
use super::engine::{Deed, Ticket, Turn};
use super::heard::Heard;
use super::world::{self, RuleWorld};
use crate::actions::{
    Action, Cause, ERROR_ACTION, Effect, Failure, Lane, Outcome, Prepared, Service, Unprepared, Work,
};
use crate::destinations;
use crate::house::{House, Job};
use crate::message;
use crate::quotas::PAYLOAD;
use crate::scope::Read;

/// Rules that a message may go through one after the other; what a rule of rules would publish beyond is refused, since AWS
/// leaves loops to whoever makes them and we would rather not.
const HOPS: u8 = 10;

/// A message on its way through a rule.
pub(super) struct Run {
    pub(super) heard: Arc<Heard>,
    pub(super) rule: Arc<Ready>,
    /// How many rules have not done with the message yet.
    open: Arc<AtomicU64>,
    /// What the outside has answered so far.
    pub(super) answers: HashMap<Call, Reply>,
    trace_id: String,
}

/// Actions of a rule for one message, of which not all are done.
pub(super) struct Execution {
    run: Run,
    selected: Selected,
    remaining: AtomicUsize,
    failures: Mutex<Vec<FailedAction>>,
}

/// An action that failed, as error actions hear of it.
#[expect(clippy::struct_field_names, reason = "AWS's names, in snake case")]
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FailedAction {
    failed_action: &'static str,
    failed_resource: String,
    error_message: String,
}

/// What an error action gets (rules.md §7).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorMessage<'a> {
    rule_name: &'a str,
    topic: &'a str,
    cloudwatch_trace_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ip: Option<&'a str>,
    base64_original_payload: String,
    failures: &'a [FailedAction],
}

impl Run {
    pub(super) fn new(heard: Arc<Heard>, rule: Arc<Ready>, open: Arc<AtomicU64>) -> Self {
        let trace_id = heard.trace_id();
        Self { heard, rule, open, answers: HashMap::new(), trace_id }
    }

    /// The message as the language sees it. Each action has chance of its own, or two that ask for an id would get the same.
    fn with_message<T>(&self, action: u8, see: impl FnOnce(&Message<'_>) -> T) -> T {
        let Heard { message, origin, scope, .. } = &*self.heard;
        let given = message.properties.as_deref();
        let user: Vec<(&str, &str)> = given.map_or_else(Vec::new, |given| {
            given.user_properties.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
        });
        let properties = Properties {
            content_type: given.and_then(|given| given.content_type.as_ref()).map(mqtt::Text::as_str),
            response_topic: given.and_then(|given| given.response_topic.as_ref()).map(mqtt::Topic::as_str),
            correlation_data: given.and_then(|given| given.correlation_data.as_ref()).map(|data| &data.as_bytes()[..]),
            utf8: given.and_then(|given| given.payload_format_indicator) == Some(true),
            user: &user,
        };
        see(&Message {
            topic: self.heard.topic(),
            payload: &message.payload,
            client_id: origin.client_id.as_deref(),
            principal: origin.principal.as_deref(),
            source_ip: origin.source_ip.as_deref(),
            trace_id: Some(&self.trace_id),
            account: &scope.account,
            region: &scope.region,
            now: self.heard.at,
            seed: self.heard.seed.rotate_left(u32::from(action)),
            properties,
        })
    }

    /// Prepares an action; `Err` with nothing when something is to be asked first.
    fn prepare(
        &self,
        (place, action): (u8, &Action),
        selected: &Selected,
        db: Read,
        world: &mut RuleWorld<'_>,
    ) -> Result<Result<Effect, Failure>, ()> {
        self.with_message(place, |message| {
            let prepared = action.prepare(&mut Prepared {
                scope: &self.heard.scope,
                rule: &self.rule.name,
                message,
                selected,
                world,
                is_confirmed: &|url| destinations::is_confirmed(db, url),
                influx: &|arn| destinations::influx(db, arn),
            });
            match prepared {
                Ok(effect) => Ok(permitted(db, &self.rule.name, effect)),
                Err(Unprepared::Failed(failure)) => Ok(Err(failure)),
                Err(Unprepared::Suspended) => Err(()),
            }
        })
    }
}

/// An effect that its target lets this rule have: a function is invoked by whom its own policy names.
fn permitted(db: Read, rule: &str, effect: Effect) -> Result<Effect, Failure> {
    let is_function = matches!(&effect.work, Work::Aws(request) if request.service == Service::Lambda);
    match is_function.then(|| world::may_invoke(db, rule, &effect.resource)) {
        Some(Err(failure)) => Err(Failure::new(Cause::Refused, world::in_words(failure))),
        Some(Ok(())) | None => Ok(effect),
    }
}

impl House {
    /// Brings a message to a rule; what must be asked before that can go on.
    pub(super) fn evaluate(&self, run: Run, now: i64, entropy: u128, turn: &mut Turn) -> Option<(Run, Call)> {
        let view = self.store.read();
        let cx = self.context(&run.heard.scope, now, entropy ^ run.heard.seed);
        let db = Read::new(&view, &cx);
        let mut world = RuleWorld::new(db, Some(&run.rule.name), &run.answers);
        if run.answers.is_empty() {
            self.tell_match(&run, now);
        }
        let outcome = run.with_message(0, |message| run.rule.statement.evaluate(message, &mut world));
        let selected = match outcome {
            sql::Outcome::Selected(selected) => selected,
            sql::Outcome::Unmatched => {
                self.done_with(&run);
                return None;
            }
            sql::Outcome::Failed(failed) => {
                self.tell_statement_failed(&run, now, &failed);
                self.done_with(&run);
                return None;
            }
            sql::Outcome::Suspended => {
                let asked = world.into_asked();
                return self.waiting(run, asked, now);
            }
        };
        let actions = (0..ERROR_ACTION).zip(&run.rule.actions);
        let effects: Result<Vec<_>, ()> =
            actions.map(|action| run.prepare(action, &selected, db, &mut world)).collect();
        if let Ok(effects) = effects {
            self.act(run, selected, effects, now, entropy, turn);
            return None;
        }
        let asked = world.into_asked();
        self.waiting(run, asked, now)
    }

    /// A run that waits for an answer. One that waits and asks nothing would wait for ever, so it has failed.
    fn waiting(&self, run: Run, asked: Option<Call>, now: i64) -> Option<(Run, Call)> {
        if let Some(call) = asked {
            return Some((run, call));
        }
        let reason = "it waits for an answer to nothing".to_owned();
        self.tell_statement_failed(&run, now, &sql::Failed { function: "rule", reason });
        self.done_with(&run);
        None
    }

    /// Hands the effects out, and notes the actions that came to none.
    fn act(
        &self,
        run: Run,
        selected: Selected,
        effects: Vec<Result<Effect, Failure>>,
        now: i64,
        entropy: u128,
        turn: &mut Turn,
    ) {
        self.tell_start(&run, now);
        let remaining = AtomicUsize::new(effects.len() + 1);
        let execution = Arc::new(Execution { run, selected, remaining, failures: Mutex::default() });
        for (action, effect) in (0..ERROR_ACTION).zip(effects) {
            match effect {
                Ok(effect) => self.hand_out(&execution, action, effect, now, entropy, turn),
                Err(failure) => {
                    let resource = String::new();
                    self.note(&execution, action, resource, Err(failure), now);
                    execution.remaining.fetch_sub(1, Ordering::AcqRel);
                }
            }
        }
        // The one more is for this function, so that nothing is done before everything has been handed out.
        self.one_less(&execution, now, entropy, turn);
    }

    fn hand_out(
        &self,
        execution: &Arc<Execution>,
        action: u8,
        effect: Effect,
        now: i64,
        entropy: u128,
        turn: &mut Turn,
    ) {
        let heard = &execution.run.heard;
        let ticket = Ticket {
            engine: Arc::clone(&self.engine),
            execution: Arc::clone(execution),
            action,
            resource: effect.resource.clone(),
        };
        if let Work::Republish(publish) = effect.work {
            let entropy = entropy ^ heard.seed.rotate_left(u32::from(action) + 1);
            turn.jobs.extend(self.republish(publish, ticket, now, entropy));
            return;
        }
        let lane = Lane { scope: heard.scope.clone(), rule: execution.run.rule.name.to_string(), action };
        turn.deeds.push(Deed { lane, effect, ticket });
    }

    /// Publishes what a rule has made, which other rules may hear.
    fn republish(&self, publish: mqtt::Publish, ticket: Ticket, now: i64, entropy: u128) -> Option<Job> {
        let heard = &ticket.execution.run.heard;
        let topic = publish.topic.as_ref().map_or("", mqtt::Topic::as_str);
        let unsuited = message::examine(topic, false, self.settings.follows_specification());
        let refused = match unsuited {
            Err(unsuited) => Some(unsuited.reason),
            Ok(()) if publish.payload.len() > PAYLOAD.size() => Some(PAYLOAD.words.to_owned()),
            Ok(()) if heard.origin.hops >= HOPS => {
                Some(format!("the message has gone through {HOPS} rules already, which looks like a loop"))
            }
            Ok(()) => None,
        };
        if let Some(reason) = refused {
            ticket.settle(Err(Failure::new(Cause::Refused, reason)));
            return None;
        }
        let cx = self.context(&heard.scope, now, entropy).from(Arc::new(heard.origin.of_rule()));
        let job = Job::new(cx, move |db| message::publish(db, &publish, None));
        Some(job.after(move |_, _, outcome| {
            ticket.settle(outcome.map_err(|refused| Failure::new(Cause::Refused, refused.message())));
            Vec::new()
        }))
    }

    /// A deed is done, or has failed for good.
    pub(super) fn settled(&self, ticket: Ticket, outcome: Outcome, now: i64, entropy: u128, turn: &mut Turn) {
        let Ticket { execution, action, resource, .. } = ticket;
        self.note(&execution, action, resource, outcome, now);
        if action == ERROR_ACTION {
            self.done_with(&execution.run);
        } else {
            self.one_less(&execution, now, entropy, turn);
        }
    }

    fn one_less(&self, execution: &Arc<Execution>, now: i64, entropy: u128, turn: &mut Turn) {
        if execution.remaining.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        match self.error_effect(execution, now, entropy) {
            None => self.done_with(&execution.run),
            Some(Ok(effect)) => self.hand_out(execution, ERROR_ACTION, effect, now, entropy, turn),
            Some(Err(failure)) => {
                self.note(execution, ERROR_ACTION, String::new(), Err(failure), now);
                self.done_with(&execution.run);
            }
        }
    }

    /// What the error action has to do, if there is one and something has failed.
    fn error_effect(&self, execution: &Execution, now: i64, entropy: u128) -> Option<Result<Effect, Failure>> {
        let failures = execution.failures().clone();
        let run = &execution.run;
        let action = run.rule.error_action.as_ref().filter(|_| !failures.is_empty())?;
        let payload = ErrorMessage {
            rule_name: &run.rule.name,
            topic: run.heard.topic(),
            cloudwatch_trace_id: &run.trace_id,
            client_id: run.heard.origin.client_id.as_deref(),
            source_ip: run.heard.origin.source_ip.as_deref(),
            base64_original_payload: STANDARD.encode(&run.heard.message.payload),
            failures: &failures,
        };
        let payload = serde_json::to_vec(&payload).unwrap_or_default();
        let selected = execution.selected.instead(payload.into());
        let view = self.store.read();
        let cx = self.context(&run.heard.scope, now, entropy ^ run.heard.seed);
        let db = Read::new(&view, &cx);
        let mut world = RuleWorld::new(db, Some(&run.rule.name), &run.answers);
        let prepared = run.prepare((ERROR_ACTION, action), &selected, db, &mut world);
        Some(prepared.unwrap_or_else(|()| {
            let reason = "the templates of an error action cannot wait for a function";
            Err(Failure::new(Cause::Unusable, reason))
        }))
    }

    /// Notes what became of an action.
    fn note(&self, execution: &Execution, action: u8, resource: String, outcome: Outcome, now: i64) {
        let rule = &execution.run.rule;
        let kind = match action {
            ERROR_ACTION => rule.error_action.as_ref(),
            place => rule.actions.get(usize::from(place)),
        };
        let name = kind.map_or("Action", Action::name);
        self.count_action(&execution.run, name, action == ERROR_ACTION, &outcome);
        self.tell_action(&execution.run, now, name, &resource, &outcome);
        if let Err(failure) = outcome {
            let failed =
                FailedAction { failed_action: name, failed_resource: resource, error_message: failure.message };
            execution.failures().push(failed);
        }
    }

    /// A rule has done with a message; after the last one it need not be kept any longer.
    fn done_with(&self, run: &Run) {
        if run.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.engine.finish(&run.heard);
        }
    }
}

impl Execution {
    fn failures(&self) -> std::sync::MutexGuard<'_, Vec<FailedAction>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
