//! The operations on one item: put, get, update, delete. What an item may be and what may be asked of it is told beside this file.

use serde_json::Value;
use wire::dynamodb::{
    DeleteItemInput, DeleteItemOutput, GetItemInput, GetItemOutput, ItemCollectionMetrics, PutItemInput, PutItemOutput,
    UpdateItemInput, UpdateItemOutput,
};

use super::attribute::{Item, MAX_ITEM_BYTES, item_json, item_size};
use super::capacity::{self, Units};
use super::expression::update::{self, Source, Update};
use super::legacy;
use super::path::{Path, project};
use super::record::{TableRecord, item_at, table, write_item};
use super::refusal::{detected, invalid};
use super::request::{Guard, Together, attributes, check_scalars, check_table, collection, listed, paths};
use super::schema::{Field, Place, empty_kind};
use crate::operation::{Answer, Op, ops};
use crate::scope::{Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    write put_item on any;
    read  get_item on any;
    write update_item on any;
    write delete_item on any;
};

fn put_item(db: &mut Write, input: &PutItemInput) -> Answer<PutItemOutput> {
    check_table(db.view(), input.table_name())?;
    let Asked { item, guard, wants_old, .. } = read_put(input).map_err(detected)?;
    let table = table(db.view(), input.table_name())?;
    check_scalars(&table, guard.paths())?;
    let place = table.schema.place_of_item(&item).map_err(invalid)?;
    let before = item_at(db.view(), &table, &place)?;
    guard.check(before.as_ref())?;
    let cost = write_item(db, &table, &place, before.as_ref(), Some(&item))?;
    let mut answer = PutItemOutput::new();
    if let Some(before) = before.filter(|_| wants_old) {
        answer = answer.with_attributes(item_json(&before));
    }
    if let Some(told) = Units::of_write(&cost).told(input.return_consumed_capacity(), input.table_name()) {
        answer = answer.with_consumed_capacity(told);
    }
    if let Some(told) = collection(input.return_item_collection_metrics(), &table, &item) {
        answer = answer.with_item_collection_metrics(ItemCollectionMetrics::from_value(told));
    }
    Ok(answer)
}

/// What a write asks for, as far as that is sound without its table.
struct Asked {
    /// The item, or the key of one.
    item: Item,
    guard: Guard,
    update: Update,
    /// Whether the answer is to show the item as it was.
    wants_old: bool,
}

fn read_put(input: &PutItemInput) -> Answer<Asked> {
    let together = Together {
        expressions: &[("ConditionExpression", input.condition_expression().is_some())],
        older: &older(input.expected(), input.conditional_operator()),
        names: input.expression_attribute_names(),
        values: input.expression_attribute_values(),
    };
    together.check()?;
    let item = attributes(input.item())?;
    let wants_old = wants_old(input.return_values())?;
    check_size(&item)?;
    let expected = legacy::expected(input.expected(), input.conditional_operator()).map_err(invalid)?;
    let placeholders = together.placeholders()?;
    let on_failure = input.return_values_on_condition_check_failure();
    let guard = Guard::read(input.condition_expression(), &placeholders, on_failure)?.or(expected);
    placeholders.check_used().map_err(invalid)?;
    Ok(Asked { item, guard, update: Update::default(), wants_old })
}

/// Whether the answer is to show the item as it was.
fn wants_old(return_values: Option<&str>) -> Answer<bool> {
    match return_values {
        None | Some("NONE") => Ok(false),
        Some("ALL_OLD") => Ok(true),
        Some(_) => Err(invalid("ReturnValues can only be ALL_OLD or NONE")),
    }
}

/// The older parameters of a condition.
fn older(expected: Option<&Value>, operator: Option<&str>) -> [(&'static str, bool); 2] {
    [("Expected", expected.is_some()), ("ConditionalOperator", operator.is_some())]
}

/// Refuses an item that is larger than any may be.
pub(crate) fn check_size(item: &Item) -> Answer<()> {
    if item_size(item) > MAX_ITEM_BYTES {
        return Err(invalid("Item size has exceeded the maximum allowed size"));
    }
    Ok(())
}

fn get_item(db: Read, input: &GetItemInput) -> Answer<GetItemOutput> {
    check_table(db, input.table_name())?;
    let together = Together {
        expressions: &[("ProjectionExpression", input.projection_expression().is_some())],
        older: &[("AttributesToGet", input.attributes_to_get().is_some())],
        names: input.expression_attribute_names(),
        values: None,
    };
    together.check()?;
    let key = attributes(input.key())?;
    let listed = listed(input.attributes_to_get())?;
    let placeholders = together.placeholders()?;
    let paths = paths(input.projection_expression(), listed, &placeholders)?;
    placeholders.check_used().map_err(invalid)?;
    let table = table(db, input.table_name())?;
    check_scalars(&table, paths.iter().flatten())?;
    let place = table.schema.place_of_key(&key).map_err(invalid)?;
    let item = item_at(db, &table, &place)?;
    let size = item.as_ref().map_or(0, item_size);
    let mut answer = GetItemOutput::new();
    if let Some(item) = item {
        answer = answer.with_item(item_json(&match paths {
            Some(paths) => project(&item, &paths),
            None => item,
        }));
    }
    let units = Units::of_table(capacity::reading(size, input.consistent_read().unwrap_or_default()));
    Ok(match units.told(input.return_consumed_capacity(), input.table_name()) {
        Some(told) => answer.with_consumed_capacity(told),
        None => answer,
    })
}

fn update_item(db: &mut Write, input: &UpdateItemInput) -> Answer<UpdateItemOutput> {
    check_table(db.view(), input.table_name())?;
    let Asked { item: key, guard, update, .. } = read_update(input).map_err(detected)?;
    let table = table(db.view(), input.table_name())?;
    check_scalars(&table, guard.paths())?;
    let place = table.schema.place_of_key(&key).map_err(invalid)?;
    check_keys(&table, &update)?;
    check_scalars(&table, update.paths())?;
    let before = item_at(db.view(), &table, &place)?;
    guard.check(before.as_ref())?;
    let after = updated(&update, &key, before.as_ref())?;
    check_index_keys(&table, &update, after.as_ref())?;
    let cost = write_item(db, &table, &place, before.as_ref(), after.as_ref())?;
    let mut answer = UpdateItemOutput::new();
    let shown = shown(input.return_values(), &update, before.as_ref(), after.as_ref());
    if let Some(shown) = shown {
        answer = answer.with_attributes(item_json(&shown));
    }
    if let Some(told) = Units::of_write(&cost).told(input.return_consumed_capacity(), input.table_name()) {
        answer = answer.with_consumed_capacity(told);
    }
    if let Some(told) = collection(input.return_item_collection_metrics(), &table, &key) {
        answer = answer.with_item_collection_metrics(ItemCollectionMetrics::from_value(told));
    }
    Ok(answer)
}

fn read_update(input: &UpdateItemInput) -> Answer<Asked> {
    let [expected, operator] = older(input.expected(), input.conditional_operator());
    let together = Together {
        expressions: &[
            ("UpdateExpression", input.update_expression().is_some()),
            ("ConditionExpression", input.condition_expression().is_some()),
        ],
        older: &[("AttributeUpdates", input.attribute_updates().is_some()), expected, operator],
        names: input.expression_attribute_names(),
        values: input.expression_attribute_values(),
    };
    together.check()?;
    let item = attributes(input.key())?;
    let older = input.attribute_updates().map(legacy::attribute_updates).transpose().map_err(invalid)?;
    let expected = legacy::expected(input.expected(), input.conditional_operator()).map_err(invalid)?;
    let placeholders = together.placeholders()?;
    let update = match input.update_expression() {
        Some(text) => update::read(text, &placeholders).map_err(invalid)?,
        None => older.unwrap_or_default(),
    };
    let on_failure = input.return_values_on_condition_check_failure();
    let guard = Guard::read(input.condition_expression(), &placeholders, on_failure)?.or(expected);
    placeholders.check_used().map_err(invalid)?;
    Ok(Asked { item, guard, update, wants_old: false })
}

/// Refuses an update of what says which item it is.
pub(crate) fn check_keys(table: &TableRecord, update: &Update) -> Answer<()> {
    match update.paths().into_iter().find(|path| table.schema.has(&path.root)) {
        Some(Path { root, .. }) => Err(invalid(format!(
            "One or more parameter values were invalid: Cannot update attribute {root}. This attribute is part of the key"
        ))),
        None => Ok(()),
    }
}

/// Refuses an update that makes of an index key what it cannot be. What the request itself gives for one is told of as a put is.
pub(crate) fn check_index_keys(table: &TableRecord, update: &Update, after: Option<&Item>) -> Answer<()> {
    let Some(after) = after else { return Ok(()) };
    let keys = || table.key_attributes().into_values();
    let empty = keys().find_map(|field| empty_kind(after.get(&field.name)?));
    if let Some(empty) = empty.filter(|_| !update.is_older) {
        return Err(invalid(format!(
            "One or more parameter values are not valid. The update expression attempted to update a secondary index key to a \
             value that is not supported. The AttributeValue for a key attribute cannot contain an empty {empty} value."
        )));
    }
    let is_given = |name: &str| {
        let set = update.set.iter().find(|(path, _)| path.root == name);
        matches!(set, Some((_, Source::Value(_)))) || update.is_older
    };
    let fits = |field: &Field| after.get(&field.name).is_none_or(|value| value.kind() == field.kind.kind());
    if keys().all(|field| fits(field) || is_given(&field.name)) {
        return Ok(());
    }
    Err(invalid("The update expression attempted to update the secondary index key to unsupported type"))
}

/// The item after an update; none where there was none and nothing is added.
pub(crate) fn updated(update: &Update, key: &Item, before: Option<&Item>) -> Answer<Option<Item>> {
    let after = update.apply(before.unwrap_or(key)).map_err(invalid)?;
    if before.is_none() && update.only_takes() {
        return Ok(None);
    }
    if item_size(&after) > MAX_ITEM_BYTES {
        return Err(invalid("Item size to update has exceeded the maximum allowed size"));
    }
    Ok(Some(after))
}

/// What an update shows of the item; nothing where there is nothing to show.
fn shown(wanted: Option<&str>, update: &Update, before: Option<&Item>, after: Option<&Item>) -> Option<Item> {
    let changed = |item: &Item| -> Item {
        let paths: Vec<Path> = update.paths().into_iter().cloned().collect();
        project(item, &paths)
    };
    let shown = match wanted? {
        "ALL_OLD" => before?.clone(),
        "ALL_NEW" => after?.clone(),
        "UPDATED_OLD" => changed(before?),
        "UPDATED_NEW" => changed(after?),
        _ => return None,
    };
    (!shown.is_empty()).then_some(shown)
}

fn delete_item(db: &mut Write, input: &DeleteItemInput) -> Answer<DeleteItemOutput> {
    check_table(db.view(), input.table_name())?;
    let Asked { item: key, guard, wants_old, .. } = read_delete(input).map_err(detected)?;
    let table = table(db.view(), input.table_name())?;
    check_scalars(&table, guard.paths())?;
    let place = table.schema.place_of_key(&key).map_err(invalid)?;
    let (before, units) = deleted(db, &table, &place, &guard)?;
    let mut answer = DeleteItemOutput::new();
    if let Some(before) = before.filter(|_| wants_old) {
        answer = answer.with_attributes(item_json(&before));
    }
    if let Some(told) = units.told(input.return_consumed_capacity(), input.table_name()) {
        answer = answer.with_consumed_capacity(told);
    }
    if let Some(told) = collection(input.return_item_collection_metrics(), &table, &key) {
        answer = answer.with_item_collection_metrics(ItemCollectionMetrics::from_value(told));
    }
    Ok(answer)
}

fn read_delete(input: &DeleteItemInput) -> Answer<Asked> {
    let together = Together {
        expressions: &[("ConditionExpression", input.condition_expression().is_some())],
        older: &older(input.expected(), input.conditional_operator()),
        names: input.expression_attribute_names(),
        values: input.expression_attribute_values(),
    };
    together.check()?;
    let item = attributes(input.key())?;
    let wants_old = wants_old(input.return_values())?;
    let expected = legacy::expected(input.expected(), input.conditional_operator()).map_err(invalid)?;
    let placeholders = together.placeholders()?;
    let on_failure = input.return_values_on_condition_check_failure();
    let guard = Guard::read(input.condition_expression(), &placeholders, on_failure)?.or(expected);
    placeholders.check_used().map_err(invalid)?;
    Ok(Asked { item, guard, update: Update::default(), wants_old })
}

/// Takes an item away, if it may be: what it was, and what that cost.
fn deleted(db: &mut Write, table: &TableRecord, place: &Place, guard: &Guard) -> Answer<(Option<Item>, Units)> {
    let before = item_at(db.view(), table, place)?;
    guard.check(before.as_ref())?;
    let cost = write_item(db, table, place, before.as_ref(), None)?;
    Ok((before, Units::of_write(&cost)))
}
