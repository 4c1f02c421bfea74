//! What one rule does with one message: the statement, the actions, and the error action when some of them have failed
//! (rules.md §4, §7). How messages come here and deeds are carried out is unknown.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sql::{Call, Message, Payload, Properties, Reply, Selected};

use super::Ready;
use super::engine::{Deed, Ticket, Turn};
use super::errors::{self, Entry, Failed, FailedAction};
use super::heard::Heard;
use super::world::{self, RuleWorld};
use crate::actions::{
    Action, Cause, ERROR_ACTION, Effect, FailedBatch, Failure, Lane, Outcome, Prepared, Service, Unprepared, Work,
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
    /// The batches in which actions of it failed.
    batches: Mutex<Vec<FailedBatch>>,
}

impl Run {
    pub(super) fn new(heard: Arc<Heard>, rule: Arc<Ready>, open: Arc<AtomicU64>) -> Self {
        let trace_id = heard.trace_id();
        Self { heard, rule, open, answers: HashMap::new(), trace_id }
    }

    /// The message as the language sees it. Each action has chance of its own, or two that ask for an id would get the same.
    fn with_message<T>(&self, payload: &Payload, action: u8, see: impl FnOnce(&Message<'_>) -> T) -> T {
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
            payload,
            client_id: origin.client_id.as_deref(),
            principal: origin.principal.as_deref(),
            source_ip: origin.source_ip.as_deref(),
            // What did not come over MQTT has none that a statement could see; logs and error actions name it all the same.
            trace_id: origin.client_id.as_ref().map(|_| self.trace_id.as_str()),
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
        (payload, selected): (&Payload, &Selected),
        db: Read,
        world: &mut RuleWorld<'_>,
    ) -> Result<Result<Effect, Failure>, ()> {
        self.with_message(payload, place, |message| {
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
    /// Brings a message to a rule; what must be asked before that can go on. The payload is the message's, and all rules that are
    /// asked one after the other are given the same one.
    pub(super) fn evaluate(
        &self,
        run: Run,
        payload: &Payload,
        (now, entropy): (i64, u128),
        turn: &mut Turn,
    ) -> Option<(Run, Call)> {
        let view = self.store.read();
        let cx = self.context(&run.heard.scope, now, entropy ^ run.heard.seed);
        let db = Read::new(&view, &cx);
        let mut world = RuleWorld::new(db, Some(&run.rule.name), &run.answers);
        if run.answers.is_empty() {
            self.tell_match(&run, now);
        }
        let outcome = run.with_message(payload, 0, |message| run.rule.statement.evaluate(message, &mut world));
        if world.is_not_json && run.answers.is_empty() {
            self.tell_not_json(&run);
        }
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
            actions.map(|action| run.prepare(action, (payload, &selected), db, &mut world)).collect();
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
        let (failures, batches) = (Mutex::default(), Mutex::default());
        let execution = Arc::new(Execution { run, selected, remaining, failures, batches });
        for (action, effect) in (0..ERROR_ACTION).zip(effects) {
            match effect {
                Ok(effect) => self.hand_out(&execution, Vec::new(), action, effect, now, entropy, turn),
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

    #[expect(clippy::too_many_arguments, reason = "of one deed, at one moment of one turn")]
    fn hand_out(
        &self,
        execution: &Arc<Execution>,
        also: Vec<Arc<Execution>>,
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
            also,
            action,
            resource: effect.resource.clone(),
        };
        if let Work::Republish(publish, role) = effect.work {
            let entropy = entropy ^ heard.seed.rotate_left(u32::from(action) + 1);
            turn.jobs.extend(self.republish(publish, &role, ticket, (now, entropy)));
            return;
        }
        let lane = Lane { scope: heard.scope.clone(), rule: execution.run.rule.name.to_string(), action };
        turn.deeds.push(Deed { lane, effect, ticket });
    }

    /// Publishes what a rule has made, which other rules may hear.
    fn republish(
        &self,
        publish: mqtt::Publish,
        role: &str,
        ticket: Ticket,
        (now, entropy): (i64, u128),
    ) -> Option<Job> {
        let heard = &ticket.execution.run.heard;
        let topic = publish.topic.as_ref().map_or("", mqtt::Topic::as_str);
        let unsuited = message::examine(topic, false, self.settings.follows_specification());
        let refused = match unsuited {
            Err(unsuited) => Some(unsuited.reason),
            Ok(()) if publish.payload.len() > PAYLOAD.size() => Some(PAYLOAD.words.to_owned()),
            Ok(()) if heard.origin.hops >= HOPS => {
                Some(format!("the message has gone through {HOPS} rules already, which looks like a loop"))
            }
            Ok(()) => self.role_may_publish(&heard.scope, role, topic, now).err(),
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
        let Ticket { execution, also, action, resource, .. } = ticket;
        self.note(&execution, action, resource, outcome, now);
        if action == ERROR_ACTION {
            [execution].iter().chain(&also).for_each(|execution| self.done_with(&execution.run));
        } else {
            self.one_less(&execution, now, entropy, turn);
        }
    }

    fn one_less(&self, execution: &Arc<Execution>, now: i64, entropy: u128, turn: &mut Turn) {
        if execution.remaining.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        if execution.failures().is_empty() {
            return self.done_with(&execution.run);
        }
        let batches = execution.batches().clone();
        for together in self.engine.failed.gather(execution, &batches) {
            self.tell_errors(together, now, entropy, turn);
        }
    }

    /// Lets the error action have one message about all of these: one execution, or those of a batch.
    fn tell_errors(&self, together: Vec<Arc<Execution>>, now: i64, entropy: u128, turn: &mut Turn) {
        // A rule may have been replaced between two messages of a batch.
        let has_action = |execution: &Arc<Execution>| execution.run.rule.error_action.is_some();
        let (told, untold): (Vec<_>, Vec<_>) = together.into_iter().partition(has_action);
        for execution in &untold {
            self.done_with(&execution.run);
        }
        let mut told = told.into_iter();
        let Some(first) = told.next() else { return };
        let others: Vec<Arc<Execution>> = told.collect();
        match self.error_effect(&first, &others, now, entropy) {
            Ok(effect) => self.hand_out(&first, others, ERROR_ACTION, effect, now, entropy, turn),
            Err(failure) => {
                self.note(&first, ERROR_ACTION, String::new(), Err(failure), now);
                [first].iter().chain(&others).for_each(|execution| self.done_with(&execution.run));
            }
        }
    }

    /// What the error action has to do. Its templates see the first of the messages.
    fn error_effect(
        &self,
        first: &Arc<Execution>,
        others: &[Arc<Execution>],
        now: i64,
        entropy: u128,
    ) -> Result<Effect, Failure> {
        let run = &first.run;
        let unusable = |why: &str| Failure::new(Cause::Unusable, why);
        let action = run.rule.error_action.as_ref().ok_or_else(|| unusable("there is no error action"))?;
        let is_batch = !first.batches().is_empty();
        let failed: Vec<Failed<'_>> = [first].into_iter().chain(others).map(|execution| execution.failed()).collect();
        let told =
            if is_batch { errors::of_batch(&run.rule.name, failed) } else { errors::of_one(&run.rule.name, failed) };
        let selected = first.selected.instead(told.into());
        let view = self.store.read();
        let cx = self.context(&run.heard.scope, now, entropy ^ run.heard.seed);
        let db = Read::new(&view, &cx);
        let mut world = RuleWorld::new(db, Some(&run.rule.name), &run.answers);
        let payload = Payload::from(run.heard.message.payload.clone());
        let prepared = run.prepare((ERROR_ACTION, action), (&payload, &selected), db, &mut world);
        prepared.unwrap_or_else(|()| Err(unusable("the templates of an error action cannot wait for a function")))
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
            execution.batches().extend(failure.batch);
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
    /// The message and what failed of it, for the error action.
    fn failed(&self) -> Failed<'_> {
        let Run { heard, trace_id, .. } = &self.run;
        let entry = Entry {
            cloudwatch_trace_id: trace_id,
            client_id: heard.origin.client_id.as_deref(),
            source_ip: heard.origin.source_ip.as_deref(),
            base64_original_payload: STANDARD.encode(&heard.message.payload),
        };
        Failed { topic: heard.topic(), entry, failures: self.failures().clone() }
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, Vec<FailedAction>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn batches(&self) -> std::sync::MutexGuard<'_, Vec<FailedBatch>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
