//! `TransactWriteItems` and `TransactGetItems`: all or nothing, which the store gives for free. What is DynamoDB's own is how a
//! transaction that is cancelled says why, action by action, and that a token makes a second attempt the first.

use std::collections::HashSet;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::{Table, json_record};
use wire::Refusal;
use wire::dynamodb::{
    ConditionCheck, ConsumedCapacity, Delete, Get, ItemResponse, Put, TransactGetItem, TransactGetItemsInput,
    TransactGetItemsOutput, TransactWriteItem, TransactWriteItemsInput, TransactWriteItemsOutput,
    Update as UpdateAction,
};

use super::attribute::{Item, item_json, item_size};
use super::capacity::{self, Purpose, Units};
use super::expression::update::{self, Update};
use super::items::{check_index_keys, check_keys, check_size, updated};
use super::path::project;
use super::record::{TableRecord, item_at, table, write_item};
use super::refusal::invalid;
use super::request::{Guard, Together, attributes, check_table, collection, paths};
use super::schema::{Place, is_of_empty_key};
use crate::operation::{Answer, Failure, Op, ops};
use crate::scope::{NO_PARTS, Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    write transact_write_items on any;
    read  transact_get_items on any;
};

/// By client token: transactions that a second attempt must not make again.
const TOKENS: Table<Token> = Table::new("dynamodb_tokens");
/// By when it was made and client token, so that those that are forgotten can go.
const TOKENS_BY_TIME: Table<()> = Table::new("dynamodb_tokens_by_time");

/// Forgotten tokens that go when another comes: more than come, so that they never pile up.
const FORGOTTEN_TOGETHER: usize = 4;

/// Milliseconds for which a token is remembered.
const REMEMBERED: i64 = 10 * 60 * 1000;

/// Bytes of all the items of a transaction.
const MAX_BYTES: usize = 4 << 20;

/// A transaction that was made.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    fingerprint: Vec<u8>,
    at: i64,
}
json_record!(Token, version 1);

/// What an action does with its item, if the guard lets it.
enum Deed {
    /// Nothing: the key is that of the item to be looked at.
    Check(Item),
    Put(Item),
    Update(Item, Update),
    Delete(Item),
}

struct Action {
    table: String,
    deed: Deed,
    guard: Guard,
}

fn transact_write_items(db: &mut Write, input: &TransactWriteItemsInput) -> Answer<TransactWriteItemsOutput> {
    let items = input.transact_items().unwrap_or_default();
    let actions = items.iter().map(|item| action(db.view(), item)).collect::<Answer<Vec<_>>>()?;
    let token = input.client_request_token().map(|token| (token, fingerprint(&items)));
    if let Some((token, fingerprint)) = &token
        && let Some(known) = db.view().get(&TOKENS, [token])?.filter(|known| db.now() - known.at < REMEMBERED)
    {
        return again(db.view(), input, &actions, known.fingerprint == *fingerprint);
    }
    let planned = plan(db.view(), &actions)?;
    check_conditions(&planned)?;
    let mut done = Done::default();
    for (index, one) in planned.iter().enumerate() {
        carry_out(db, one, &mut done, input).map_err(|failure| cancelled_by(failure, index, planned.len()))?;
    }
    if done.bytes > MAX_BYTES {
        return Err(invalid(
            "Collection size of items exceeded, which can also be caused by the aggregate size of the items in the \
             transaction exceeding the 4MB limit",
        ));
    }
    if let Some((token, fingerprint)) = token {
        remember(db, token, fingerprint)?;
    }
    let told = done.told(input.return_consumed_capacity(), Purpose::Writing);
    let mut answer = TransactWriteItemsOutput::new();
    if !done.metrics.is_empty() {
        answer = answer.with_item_collection_metrics(done.metrics);
    }
    Ok(if told.is_empty() { answer } else { answer.with_consumed_capacity(told) })
}

/// Notes a transaction that was made, and takes some of those away that need not be known any longer.
fn remember(db: &mut Write, token: &str, fingerprint: Vec<u8>) -> Answer<()> {
    let at = db.now();
    for (key, ()) in db.view().some(&TOKENS_BY_TIME, NO_PARTS, FORGOTTEN_TOGETHER)? {
        let made = i64::try_from(key.u64_at(2)?).unwrap_or(i64::MAX);
        if at - made < REMEMBERED {
            break;
        }
        let old = key.text_at(3)?;
        db.delete_at(&TOKENS_BY_TIME, &key)?;
        if db.view().get(&TOKENS, [&old])?.is_some_and(|known| known.at == made) {
            db.delete(&TOKENS, [&old])?;
        }
    }
    let by_time = db.view().key(NO_PARTS).and_u64(u64::try_from(at).unwrap_or_default()).and(token);
    db.put_global(&TOKENS_BY_TIME, &by_time, &())?;
    Ok(db.put(&TOKENS, [token], &Token { fingerprint, at })?)
}

/// What an action of a request asks for, as far as that is sound without its table.
fn action(db: Read, item: &TransactWriteItem) -> Answer<Action> {
    let given = (item.put(), item.update(), item.delete(), item.condition_check());
    let action = match given {
        (Some(put), None, None, None) => put_action(&put),
        (None, Some(update), None, None) => update_action(&update),
        (None, None, Some(delete), None) => delete_action(&delete),
        (None, None, None, Some(check)) => check_action(&check),
        _ => Err(invalid("TransactItems can only contain one of Check, Put, Update or Delete")),
    }?;
    check_table(db, &action.table)?;
    Ok(action)
}

/// Reads the names, values and condition of an action, and whatever else `read` makes of them.
fn guarded<T>(
    (condition, names, values): (Option<&str>, Option<&Value>, Option<&Value>),
    on_failure: Option<&str>,
    update: Option<&str>,
    read: impl FnOnce(Option<Update>) -> Answer<T>,
) -> Answer<(T, Guard)> {
    let together = Together {
        expressions: &[("UpdateExpression", update.is_some()), ("ConditionExpression", condition.is_some())],
        older: &[],
        names,
        values,
    };
    together.check()?;
    let placeholders = together.placeholders()?;
    let update = update.map(|text| update::read(text, &placeholders)).transpose().map_err(invalid)?;
    let guard = Guard::read(condition, &placeholders, on_failure)?;
    placeholders.check_used().map_err(invalid)?;
    Ok((read(update)?, guard))
}

fn put_action(put: &Put) -> Answer<Action> {
    let expressions = (put.condition_expression(), put.expression_attribute_names(), put.expression_attribute_values());
    let on_failure = put.return_values_on_condition_check_failure();
    let (deed, guard) = guarded(expressions, on_failure, None, |_| Ok(Deed::Put(attributes(put.item())?)))?;
    Ok(Action { table: put.table_name().to_owned(), deed, guard })
}

fn update_action(update: &UpdateAction) -> Answer<Action> {
    let expressions =
        (update.condition_expression(), update.expression_attribute_names(), update.expression_attribute_values());
    let on_failure = update.return_values_on_condition_check_failure();
    let (deed, guard) = guarded(expressions, on_failure, Some(update.update_expression()), |read| {
        Ok(Deed::Update(attributes(update.key())?, read.unwrap_or_default()))
    })?;
    Ok(Action { table: update.table_name().to_owned(), deed, guard })
}

fn delete_action(delete: &Delete) -> Answer<Action> {
    let expressions =
        (delete.condition_expression(), delete.expression_attribute_names(), delete.expression_attribute_values());
    let on_failure = delete.return_values_on_condition_check_failure();
    let (deed, guard) = guarded(expressions, on_failure, None, |_| Ok(Deed::Delete(attributes(delete.key())?)))?;
    Ok(Action { table: delete.table_name().to_owned(), deed, guard })
}

fn check_action(check: &ConditionCheck) -> Answer<Action> {
    let expressions =
        (Some(check.condition_expression()), check.expression_attribute_names(), check.expression_attribute_values());
    let on_failure = check.return_values_on_condition_check_failure();
    let (deed, guard) = guarded(expressions, on_failure, None, |_| Ok(Deed::Check(attributes(check.key())?)))?;
    Ok(Action { table: check.table_name().to_owned(), deed, guard })
}

/// An action whose item has been found.
struct Planned<'a> {
    action: &'a Action,
    table: TableRecord,
    place: Place,
    before: Option<Item>,
}

/// Finds the item of each action; no two may be one.
fn plan<'a>(db: Read, actions: &'a [Action]) -> Answer<Vec<Planned<'a>>> {
    let mut planned = Vec::new();
    let mut wrong = Vec::new();
    for action in actions {
        let table = table(db, &action.table)?;
        let place = match &action.deed {
            Deed::Put(item) => table.schema.place_of_item(item),
            Deed::Check(key) | Deed::Update(key, _) | Deed::Delete(key) => table.schema.place_of_key(key),
        };
        wrong.push(reason(place.as_ref().err())?);
        if let Ok(place) = place {
            let before = item_at(db, &table, &place)?;
            planned.push(Planned { action, table, place, before });
        }
    }
    if wrong.iter().any(Option::is_some) {
        return Err(cancelled(&wrong));
    }
    let all: HashSet<_> = planned.iter().map(|one| (&one.table.id, &one.place)).collect();
    if all.len() < planned.len() {
        return Err(invalid("Transaction request cannot include multiple operations on one item"));
    }
    Ok(planned)
}

/// What is wrong with a key as a reason of its action; that it is empty is the whole request's fault.
fn reason(wrong: Option<&String>) -> Answer<Option<Reason>> {
    match wrong {
        Some(message) if is_of_empty_key(message) => Err(invalid(message.as_str())),
        wrong => Ok(wrong.map(|message| Reason::invalid(message))),
    }
}

/// Why one action did not let the transaction be.
struct Reason {
    code: &'static str,
    message: String,
    item: Option<Value>,
}

impl Reason {
    fn invalid(message: &str) -> Self {
        Self { code: "ValidationError", message: message.to_owned(), item: None }
    }

    fn told(reason: Option<&Self>) -> Value {
        let Some(reason) = reason else { return json!({"Code": "None"}) };
        let mut told = json!({"Code": reason.code, "Message": reason.message});
        if let Some(item) = &reason.item {
            told["Item"] = item.clone();
        }
        told
    }
}

/// The refusal of a transaction, with a reason for each action or none.
fn cancelled(reasons: &[Option<Reason>]) -> Failure {
    let codes: Vec<&str> = reasons.iter().map(|reason| reason.as_ref().map_or("None", |reason| reason.code)).collect();
    let message =
        format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes.join(", "));
    let told: Vec<Value> = reasons.iter().map(|reason| Reason::told(reason.as_ref())).collect();
    Refusal::new("TransactionCanceledException", message).with("CancellationReasons", told).into()
}

/// The same for an action that turned out to be wrong; a fault stays one.
fn cancelled_by(failure: Failure, index: usize, count: usize) -> Failure {
    match failure {
        Failure::Refusal(refusal) if !is_of_empty_key(refusal.message()) => {
            let reason = |at| (at == index).then(|| Reason::invalid(refusal.message()));
            cancelled(&(0..count).map(reason).collect::<Vec<_>>())
        }
        other => other,
    }
}

fn check_conditions(planned: &[Planned]) -> Answer<()> {
    let reason = |one: &Planned| {
        let guard = &one.action.guard;
        let item = || one.before.as_ref().filter(|_| guard.is_told).map(item_json);
        (!guard.holds(one.before.as_ref())).then(|| Reason {
            code: "ConditionalCheckFailed",
            message: "The conditional request failed".to_owned(),
            item: item(),
        })
    };
    let reasons: Vec<Option<Reason>> = planned.iter().map(reason).collect();
    if reasons.iter().any(Option::is_some) { Err(cancelled(&reasons)) } else { Ok(()) }
}

/// What has been done so far: bytes, and by table units and what is told of collections.
#[derive(Default)]
struct Done {
    bytes: usize,
    units: Vec<(String, Units)>,
    metrics: Map<String, Value>,
}

impl Done {
    fn add(&mut self, table: &str, units: Units) {
        match self.units.iter_mut().find(|(known, _)| known == table) {
            Some((_, sum)) => sum.add(units),
            None => self.units.push((table.to_owned(), units)),
        }
    }

    fn told(&self, wanted: Option<&str>, purpose: Purpose) -> Vec<ConsumedCapacity> {
        self.units.iter().filter_map(|(table, units)| units.told_for(wanted, table, purpose)).collect()
    }
}

fn carry_out(db: &mut Write, one: &Planned, done: &mut Done, input: &TransactWriteItemsInput) -> Answer<()> {
    let Planned { action, table, place, before } = one;
    let before = before.as_ref();
    let (after, key) = match &action.deed {
        // What is only looked at costs as much as if it were written.
        Deed::Check(key) => (before.cloned(), key),
        Deed::Put(item) => {
            check_size(item)?;
            (Some(item.clone()), item)
        }
        Deed::Update(key, update) => {
            check_keys(table, update)?;
            let after = updated(update, key, before)?;
            check_index_keys(table, update, after.as_ref())?;
            (after, key)
        }
        Deed::Delete(key) => (None, key),
    };
    let cost = write_item(db, table, place, before, after.as_ref())?;
    done.bytes += cost.item;
    done.add(&action.table, Units::of_write(&cost).times(2.0));
    if let Some(told) = collection(input.return_item_collection_metrics(), table, key)
        && let Value::Array(of_table) = done.metrics.entry(action.table.as_str()).or_insert_with(|| json!([]))
    {
        of_table.push(told);
    }
    Ok(())
}

/// What tells one set of actions from another.
fn fingerprint(items: &[TransactWriteItem]) -> Vec<u8> {
    let text = Value::Array(items.iter().cloned().map(Value::from).collect()).to_string();
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

/// The answer to a second attempt: it is done already, and only what is there was read.
fn again(
    db: Read,
    input: &TransactWriteItemsInput,
    actions: &[Action],
    is_same: bool,
) -> Answer<TransactWriteItemsOutput> {
    if !is_same {
        let message = "The request uses the same client token as a previous, but non-identical request. Do not reuse a client \
                       token with different requests, unless the requests are identical";
        return Err(Refusal::new("IdempotentParameterMismatchException", message).into());
    }
    let mut done = Done::default();
    for one in plan(db, actions)? {
        let units = capacity::reading(one.before.as_ref().map_or(0, item_size), true);
        done.add(&one.action.table, Units::of_table(units).times(2.0));
    }
    let told = done.told(input.return_consumed_capacity(), Purpose::Reading);
    let answer = TransactWriteItemsOutput::new();
    Ok(if told.is_empty() { answer } else { answer.with_consumed_capacity(told) })
}

fn transact_get_items(db: Read, input: &TransactGetItemsInput) -> Answer<TransactGetItemsOutput> {
    let gets: Vec<Get> = input.transact_items().unwrap_or_default().iter().filter_map(TransactGetItem::get).collect();
    let mut done = Done::default();
    let (mut responses, mut seen, mut wrong) = (Vec::new(), HashSet::new(), Vec::new());
    for get in &gets {
        check_table(db, get.table_name())?;
        let together = Together {
            expressions: &[("ProjectionExpression", get.projection_expression().is_some())],
            older: &[],
            names: get.expression_attribute_names(),
            values: None,
        };
        together.check()?;
        let placeholders = together.placeholders()?;
        let key = attributes(get.key())?;
        let paths = paths(get.projection_expression(), None, &placeholders)?;
        placeholders.check_used().map_err(invalid)?;
        let table = table(db, get.table_name())?;
        let place = match table.schema.place_of_key(&key) {
            Ok(place) => place,
            Err(message) => {
                wrong.push(reason(Some(&message))?);
                continue;
            }
        };
        wrong.push(None);
        let item = item_at(db, &table, &place)?;
        let size = item.as_ref().map_or(0, item_size);
        done.bytes += size;
        done.add(get.table_name(), Units::of_table(capacity::reading(size, true)).times(2.0));
        if !seen.insert((table.id, place)) {
            return Err(invalid("Transaction request cannot include multiple operations on one item"));
        }
        let item = item.map(|item| paths.map_or(item.clone(), |paths| project(&item, &paths)));
        responses.push(item.map_or_else(ItemResponse::new, |item| ItemResponse::new().with_item(item_json(&item))));
    }
    if wrong.iter().any(Option::is_some) {
        return Err(cancelled(&wrong));
    }
    if done.bytes > MAX_BYTES {
        return Err(invalid(
            "Collection size of items exceeded, which can also be caused by the aggregate size of the items in the \
             transaction exceeding the 4MB limit",
        ));
    }
    let told = done.told(input.return_consumed_capacity(), Purpose::Reading);
    let answer = TransactGetItemsOutput::new().with_responses(responses);
    Ok(if told.is_empty() { answer } else { answer.with_consumed_capacity(told) })
}
