//! `BatchGetItem` and `BatchWriteItem`: many items of many tables in one request. A batch of writes is one transaction here, which
//! AWS does not promise; what of a batch of reads is more than an answer may hold is left for the next.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};
use wire::dynamodb::{
    BatchGetItemInput, BatchGetItemOutput, BatchWriteItemInput, BatchWriteItemOutput, ConsumedCapacity,
    KeysAndAttributes, WriteRequest,
};

use super::attribute::{Item, item_json, item_size};
use super::capacity::{self, Units};
use super::items::check_size;
use super::path::project;
use super::record::{TableRecord, item_at, table, write_item};
use super::refusal::invalid;
use super::request::{Together, attributes, check_scalars, check_table, collection, listed, paths};
use super::schema::Place;
use crate::operation::{Answer, Op, ops};
use crate::scope::{Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    read  batch_get_item on any;
    write batch_write_item on any;
};

/// The most items that one request reads, and writes.
const MAX_READS: usize = 100;
const MAX_WRITES: usize = 25;

/// Bytes of items after which an answer holds no more.
const ANSWER_BYTES: usize = 16 << 20;

const DUPLICATES: &str = "Provided list of item keys contains duplicates";

/// The requests of each table.
fn by_table(requests: Option<&Value>) -> Vec<(&str, &Value)> {
    let tables = requests.and_then(Value::as_object).into_iter().flatten();
    tables.map(|(name, of)| (name.as_str(), of)).collect()
}

/// What is read of one table.
struct Reads<'r> {
    name: &'r str,
    asked: KeysAndAttributes,
    keys: Vec<Item>,
}

fn batch_get_item(db: Read, input: &BatchGetItemInput) -> Answer<BatchGetItemOutput> {
    let mut all = Vec::new();
    let mut count = 0;
    for (name, of) in by_table(input.request_items()) {
        check_table(db, name)?;
        let asked = KeysAndAttributes::from_value(of.clone());
        let keys = asked.keys().and_then(Value::as_array).cloned().unwrap_or_default();
        count += keys.len();
        if count > MAX_READS {
            return Err(invalid("Too many items requested for the BatchGetItem call"));
        }
        let keys = keys.iter().map(|key| attributes(Some(key))).collect::<Answer<Vec<_>>>()?;
        all.push(Reads { name, asked, keys });
    }
    let mut answer = Answered::default();
    for reads in &all {
        read_table(db, reads, input.return_consumed_capacity(), &mut answer)?;
    }
    let told = BatchGetItemOutput::new().with_responses(answer.responses).with_unprocessed_keys(answer.left);
    Ok(if answer.capacity.is_empty() { told } else { told.with_consumed_capacity(answer.capacity) })
}

/// What has been read so far.
#[derive(Default)]
struct Answered {
    responses: Map<String, Value>,
    left: Map<String, Value>,
    capacity: Vec<ConsumedCapacity>,
    bytes: usize,
}

fn read_table(db: Read, reads: &Reads, wanted: Option<&str>, answer: &mut Answered) -> Answer<()> {
    let asked = &reads.asked;
    let together = Together {
        expressions: &[("ProjectionExpression", asked.projection_expression().is_some())],
        older: &[("AttributesToGet", asked.attributes_to_get().is_some())],
        names: asked.expression_attribute_names(),
        values: None,
    };
    together.check()?;
    let listed = listed(asked.attributes_to_get())?;
    let placeholders = together.placeholders()?;
    let paths = paths(asked.projection_expression(), listed, &placeholders)?;
    placeholders.check_used().map_err(invalid)?;
    let table = table(db, reads.name)?;
    check_scalars(&table, paths.iter().flatten())?;
    let places = reads.keys.iter().map(|key| table.schema.place_of_key(key).map_err(invalid));
    let places = places.collect::<Answer<Vec<Place>>>()?;
    if places.iter().collect::<HashSet<_>>().len() < places.len() {
        return Err(invalid(DUPLICATES));
    }
    let is_consistent = asked.consistent_read().unwrap_or_default();
    let (mut items, mut left, mut units) = (Vec::new(), Vec::new(), Units::default());
    for (key, place) in reads.keys.iter().zip(&places) {
        if answer.bytes >= ANSWER_BYTES {
            left.push(item_json(key));
            continue;
        }
        let item = item_at(db, &table, place)?;
        let size = item.as_ref().map_or(0, item_size);
        answer.bytes += size;
        units.add(Units::of_table(capacity::reading(size, is_consistent)));
        items.extend(item.map(|item| item_json(&paths.as_ref().map_or(item.clone(), |paths| project(&item, paths)))));
    }
    if !left.is_empty() {
        let rest = Value::from(asked.clone().with_keys(left));
        answer.left.insert(reads.name.to_owned(), rest);
    }
    answer.responses.insert(reads.name.to_owned(), Value::Array(items));
    answer.capacity.extend(units.told(wanted, reads.name));
    Ok(())
}

/// One write of a batch.
enum Change {
    Put(Item),
    Delete(Item),
}

fn batch_write_item(db: &mut Write, input: &BatchWriteItemInput) -> Answer<BatchWriteItemOutput> {
    let all = read_writes(db.view(), input.request_items())?;
    let mut metrics: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut told = Vec::new();
    let mut planned = Vec::new();
    for (name, changes) in &all {
        let table = table(db.view(), name)?;
        let places = places(&table, changes)?;
        planned.push((*name, table, places, changes));
    }
    for (name, table, places, changes) in planned {
        let mut units = Units::default();
        for (change, place) in changes.iter().zip(&places) {
            let before = item_at(db.view(), &table, place)?;
            let (after, key) = match change {
                Change::Put(item) => (Some(item), item),
                Change::Delete(key) => (None, key),
            };
            units.add(Units::of_write(&write_item(db, &table, place, before.as_ref(), after)?));
            let of = collection(input.return_item_collection_metrics(), &table, key);
            metrics.entry(name).or_default().extend(of);
        }
        told.extend(units.told(input.return_consumed_capacity(), name));
    }
    let mut answer = BatchWriteItemOutput::new().with_unprocessed_items(Map::new());
    metrics.retain(|_, of| !of.is_empty());
    if !metrics.is_empty() {
        let metrics: Map<String, Value> =
            metrics.into_iter().map(|(name, of)| (name.to_owned(), Value::Array(of))).collect();
        answer = answer.with_item_collection_metrics(metrics);
    }
    Ok(if told.is_empty() { answer } else { answer.with_consumed_capacity(told) })
}

/// The writes of each table, as far as they are sound without it.
fn read_writes<'r>(db: Read, requests: Option<&'r Value>) -> Answer<Vec<(&'r str, Vec<Change>)>> {
    let mut all = Vec::new();
    let mut count = 0;
    for (name, of) in by_table(requests) {
        check_table(db, name)?;
        let mut changes = Vec::new();
        for request in of.as_array().into_iter().flatten() {
            let request = WriteRequest::from_value(request.clone());
            changes.push(match (request.put_request(), request.delete_request()) {
                (Some(put), None) => {
                    let item = attributes(put.item())?;
                    check_size(&item)?;
                    Change::Put(item)
                }
                (None, Some(delete)) => Change::Delete(attributes(delete.key())?),
                (Some(_), Some(_)) => {
                    return Err(invalid(
                        "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported \
                         datatypes",
                    ));
                }
                (None, None) => {
                    return Err(invalid(
                        "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
                    ));
                }
            });
        }
        count += changes.len();
        if count > MAX_WRITES {
            return Err(invalid("Too many items requested for the BatchWriteItem call"));
        }
        all.push((name, changes));
    }
    Ok(all)
}

/// Where the items of these writes are, each once.
fn places(table: &TableRecord, changes: &[Change]) -> Answer<Vec<Place>> {
    // An item without its table's key is told of as a key would be.
    let place = |change: &Change| match change {
        Change::Put(item) => table.schema.place_of_key(&table.schema.key_of(item)),
        Change::Delete(key) => table.schema.place_of_key(key),
    };
    let places = changes.iter().map(|change| place(change).map_err(invalid)).collect::<Answer<Vec<_>>>()?;
    if places.iter().collect::<HashSet<_>>().len() < places.len() {
        return Err(invalid(DUPLICATES));
    }
    Ok(places)
}
