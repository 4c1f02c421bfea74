//! What is kept of tables: their records, the items of each under its own id, an entry for each index that an item stands in, and
//! a count of both. Every change of an item goes through [`write_item`], so that indexes and counts follow.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::{Fault, Key, Table, json_record};

use super::attribute::{Attribute, Item, Type, item_size};
use super::path::{Path, project};
use super::refusal::{invalid, no_such_resource};
use super::schema::{Field, Place, Schema};
use crate::operation::Answer;
use crate::scope::{Read, Write};

/// By name.
pub(crate) const TABLES: Table<TableRecord> = Table::new("dynamodb_tables");

/// By id of the table, spread, partition key and sort key. An id is never used again, so that what a deleted table leaves
/// behind until it is swept belongs to nobody.
pub(crate) const ITEMS: Table<Kept> = Table::new("dynamodb_items");

/// By id of the table, number of the index, spread, key in the index, and key in the table.
pub(crate) const ENTRIES: Table<()> = Table::new("dynamodb_entries");

/// By id of the table and, for an index, its number.
pub(crate) const COUNTS: Table<Count> = Table::new("dynamodb_counts");

/// By the second in which it expires, account, region, id of the table and key: the names of the tables of items that do.
pub(crate) const EXPIRIES: Table<Vec<u8>> = Table::new("dynamodb_expiries");

/// A table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TableRecord {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created: i64,
    pub(crate) schema: Schema,
    pub(crate) billing: Billing,
    /// When it was last paid for by request, if it is otherwise now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) was_on_demand: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) indexes: Vec<Index>,
    /// The number of the next index.
    #[serde(default)]
    pub(crate) next_index: u32,
    /// What is kept only to be told again, as the request had it.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub(crate) settings: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    pub(crate) deletion_protection: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
    /// The attribute that says when an item expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_by: Option<String>,
}
json_record!(TableRecord, version 1);

/// How capacity is paid for; nothing here is limited by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Billing {
    /// So many units of reading and writing each second.
    Provisioned { read: i64, write: i64 },
    /// By request, since this moment if it was otherwise before.
    OnDemand { since: Option<i64> },
}

/// A secondary index.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Index {
    pub(crate) name: String,
    /// Under which its entries are kept.
    pub(crate) number: u32,
    pub(crate) is_local: bool,
    pub(crate) schema: Schema,
    pub(crate) projection: Projection,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) throughput: Option<(i64, i64)>,
    /// What is kept only to be told again, as the request had it.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub(crate) settings: serde_json::Map<String, serde_json::Value>,
}

/// Which attributes an index holds beside the keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Projection {
    All,
    KeysOnly,
    Include(Vec<String>),
}

/// An item as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Kept(pub(crate) Item);
json_record!(Kept, version 1);

/// How many items there are and how many bytes they count for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) items: i64,
    pub(crate) bytes: i64,
}
json_record!(Count, version 1);

impl Count {
    fn change(&mut self, before: Option<usize>, after: Option<usize>) {
        let bytes = |size: Option<usize>| size.map_or(0, |size| i64::try_from(size).unwrap_or(i64::MAX));
        self.items += i64::from(after.is_some()) - i64::from(before.is_some());
        self.bytes += bytes(after) - bytes(before);
    }
}

impl TableRecord {
    /// The index of this name.
    pub(crate) fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| index.name == name)
    }

    /// The indexes of one kind.
    pub(crate) fn indexes_that(&self, are_local: bool) -> impl Iterator<Item = &Index> {
        self.indexes.iter().filter(move |index| index.is_local == are_local)
    }

    /// Every attribute that is a key of the table or of an index, each once.
    pub(crate) fn key_attributes(&self) -> BTreeMap<&str, &Field> {
        let of_indexes = self.indexes.iter().flat_map(|index| index.schema.fields());
        self.schema.fields().chain(of_indexes).map(|field| (field.name.as_str(), field)).collect()
    }

    /// The parts of the key under which an item is kept.
    pub(crate) fn key_parts(&self, place: &Place) -> Vec<Vec<u8>> {
        let mut parts = vec![self.id.clone().into_bytes()];
        push_place(&mut parts, place);
        parts
    }

    /// The parts of the key under which an item at `place` has its entry in an index.
    pub(crate) fn entry_parts(&self, index: &Index, in_index: &Place, place: &Place) -> Vec<Vec<u8>> {
        let mut parts = index_parts(self, index);
        push_place(&mut parts, in_index);
        parts.push(place.hash.clone());
        parts.extend(place.range.clone());
        parts
    }
}

/// The parts of the keys under which all entries of an index are kept.
pub(crate) fn index_parts(table: &TableRecord, index: &Index) -> Vec<Vec<u8>> {
    vec![table.id.clone().into_bytes(), index.number.to_be_bytes().to_vec()]
}

fn push_place(parts: &mut Vec<Vec<u8>>, place: &Place) {
    parts.push(place.spread().to_vec());
    parts.push(place.hash.clone());
    parts.extend(place.range.clone());
}

impl Index {
    /// What the index holds of an item.
    pub(crate) fn project(&self, table: &TableRecord, item: &Item) -> Item {
        let keys = || table.schema.fields().chain(self.schema.fields()).map(|field| field.name.as_str());
        let take = |names: Vec<&str>| -> Item {
            let paths: Vec<Path> = names.into_iter().map(Path::of).collect();
            project(item, &paths)
        };
        match &self.projection {
            Projection::All => item.clone(),
            Projection::KeysOnly => take(keys().collect()),
            Projection::Include(others) => take(keys().chain(others.iter().map(String::as_str)).collect()),
        }
    }

    /// Whether it holds an attribute of items that have it.
    pub(crate) fn holds(&self, table: &TableRecord, name: &str) -> bool {
        let is_named = match &self.projection {
            Projection::All => true,
            Projection::KeysOnly => false,
            Projection::Include(names) => names.iter().any(|held| held == name),
        };
        is_named || table.schema.has(name) || self.schema.has(name)
    }

    /// Where in the key of an entry the key in the table begins.
    pub(crate) fn place_in_entry(&self, table: &TableRecord, entry: &Key) -> Result<Place, Fault> {
        // Account, region, table, index, spread, and the key in the index.
        let first = 5 + self.schema.fields().count();
        let range = table.schema.range.as_ref().map(|_| entry.bytes_at(first + 1)).transpose()?;
        Ok(Place { hash: entry.bytes_at(first)?, range })
    }
}

/// The table that a request names, by its name or its ARN.
pub(crate) fn table(db: Read, given: &str) -> Answer<TableRecord> {
    find(db, given)?.ok_or_else(|| no_such_resource("Requested resource not found"))
}

/// The same, if there is one.
pub(crate) fn find(db: Read, given: &str) -> Answer<Option<TableRecord>> {
    Ok(db.get(&TABLES, [name_of(db, given)?])?)
}

/// The name in a name or an ARN. What names a table of another account or region names none here.
pub(crate) fn name_of<'n>(db: Read, given: &'n str) -> Answer<&'n str> {
    let name = if given.starts_with("arn:") {
        let prefix = arn(db, "");
        given.strip_prefix(&prefix).ok_or_else(|| no_such_resource("Requested resource not found"))?
    } else {
        given
    };
    check_name(name).map_err(invalid)?;
    Ok(name)
}

/// Whether a table may have this name.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let broken = [
        (!name.bytes().all(is_sound), "satisfy regular expression pattern: [a-zA-Z0-9_.-]+"),
        (name.len() < 3, "have length greater than or equal to 3"),
        (name.len() > 255, "have length less than or equal to 255"),
    ];
    let broken: Vec<String> = broken
        .iter()
        .filter(|(is_broken, _)| *is_broken)
        .map(|(_, must)| format!("Value '{name}' at 'tableName' failed to satisfy constraint: Member must {must}"))
        .collect();
    match broken.len() {
        0 => Ok(()),
        1 => Err(format!("1 validation error detected: {}", broken.join("; "))),
        count => Err(format!("{count} validation errors detected: {}", broken.join("; "))),
    }
}

/// The ARN of the table of this name.
pub(crate) fn arn(db: Read, name: &str) -> String {
    format!("arn:aws:dynamodb:{}:{}:table/{name}", db.cx.scope.region, db.cx.scope.account)
}

/// The item at a place.
pub(crate) fn item_at(db: Read, table: &TableRecord, place: &Place) -> Result<Option<Item>, Fault> {
    Ok(db.get(&ITEMS, table.key_parts(place))?.map(|Kept(item)| item))
}

/// How many items a table has.
pub(crate) fn count(db: Read, table: &TableRecord, index: Option<&Index>) -> Result<Count, Fault> {
    Ok(db.get(&COUNTS, count_parts(table, index))?.unwrap_or_default())
}

fn count_parts(table: &TableRecord, index: Option<&Index>) -> Vec<Vec<u8>> {
    let number = index.map(|index| index.number.to_be_bytes().to_vec());
    std::iter::once(table.id.clone().into_bytes()).chain(number).collect()
}

fn recount(
    db: &mut Write,
    table: &TableRecord,
    index: Option<&Index>,
    before: Option<usize>,
    after: Option<usize>,
) -> Result<(), Fault> {
    let mut counted = count(db.view(), table, index)?;
    counted.change(before, after);
    db.put(&COUNTS, count_parts(table, index), &counted)
}

/// What a write has cost: the bytes of the item, the greater of before and after, and those of each index it changed.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    pub(crate) item: usize,
    pub(crate) indexes: Vec<(String, bool, Vec<usize>)>,
}

/// Puts an item in the place of what was there, or takes that away, and brings the indexes after it.
pub(crate) fn write_item(
    db: &mut Write,
    table: &TableRecord,
    place: &Place,
    before: Option<&Item>,
    after: Option<&Item>,
) -> Answer<Cost> {
    let sizes = [before, after].map(|item| item.map(item_size));
    let mut cost = Cost { item: sizes.into_iter().flatten().max().unwrap_or(0), indexes: Vec::new() };
    if before == after {
        return Ok(cost);
    }
    for index in &table.indexes {
        let written = write_entry(db, table, index, place, (before, after))?;
        if !written.is_empty() {
            cost.indexes.push((index.name.clone(), index.is_local, written));
        }
    }
    move_expiry(db, table, place, (before, after))?;
    let parts = table.key_parts(place);
    match after {
        Some(item) => db.put(&ITEMS, parts, &Kept(item.clone()))?,
        None => db.delete(&ITEMS, parts)?,
    }
    recount(db, table, None, sizes[0], sizes[1])?;
    Ok(cost)
}

/// Brings one index after a change of an item; the bytes of each entry that was written or taken away.
fn write_entry(
    db: &mut Write,
    table: &TableRecord,
    index: &Index,
    place: &Place,
    (before, after): (Option<&Item>, Option<&Item>),
) -> Answer<Vec<usize>> {
    let in_index = |item: Option<&Item>| match item {
        Some(item) => index.schema.place_in_index(&index.name, item).map_err(invalid),
        None => Ok(None),
    };
    // What was kept before an index was made may not fit it, or not be in it yet, and then has no entry.
    let mut was = in_index(before).unwrap_or_default();
    if let Some(place_before) = &was
        && !db.view().contains(&ENTRIES, table.entry_parts(index, place_before, place))?
    {
        was = None;
    }
    let is = in_index(after)?;
    let held = |at: &Option<Place>, item: Option<&Item>| at.as_ref().and(item).map(|item| index.project(table, item));
    let (held_before, held_after) = (held(&was, before), held(&is, after));
    if held_before == held_after {
        return Ok(Vec::new());
    }
    let sizes = [&held_before, &held_after].map(|item| item.as_ref().map(item_size));
    recount(db, table, Some(index), sizes[0], sizes[1])?;
    if was == is {
        return Ok(sizes.into_iter().flatten().max().into_iter().collect());
    }
    if let Some(was) = &was {
        db.delete(&ENTRIES, table.entry_parts(index, was, place))?;
    }
    if let Some(is) = &is {
        db.put(&ENTRIES, table.entry_parts(index, is, place), &())?;
    }
    Ok(sizes.into_iter().flatten().collect())
}

/// Writes down, or no longer, when an item expires.
pub(crate) fn move_expiry(
    db: &mut Write,
    table: &TableRecord,
    place: &Place,
    (before, after): (Option<&Item>, Option<&Item>),
) -> Result<(), Fault> {
    let Some(attribute) = &table.expires_by else { return Ok(()) };
    let second = |item: Option<&Item>| item.and_then(|item| expiry(item, attribute));
    let (was, is) = (second(before), second(after));
    if was == is {
        return Ok(());
    }
    let scope = &db.cx.scope;
    let key = |second: u64| {
        let scoped = Key::all().and_u64(second).and(&*scope.account).and(&*scope.region);
        table.key_parts(place).into_iter().fold(scoped, Key::and)
    };
    if let Some(was) = was {
        db.delete_global(&EXPIRIES, &key(was))?;
    }
    if let Some(is) = is {
        db.put_global(&EXPIRIES, &key(is), &table.name.clone().into_bytes())?;
    }
    Ok(())
}

/// The second in which an item expires, if its attribute is a number that could be one.
pub(crate) fn expiry(item: &Item, attribute: &str) -> Option<u64> {
    let value = item.get(attribute).filter(|value| value.kind() == Type::N)?;
    let Attribute::N(number) = value else { return None };
    let text = number.to_string();
    text.split('.').next()?.parse().ok()
}

/// Makes the entry of an item in an index that is new, if it belongs there and has none yet.
pub(crate) fn fill(db: &mut Write, table: &TableRecord, index: &Index, item: &Item) -> Result<(), Fault> {
    let place = table.schema.bytes(item);
    if let Ok(Some(in_index)) = index.schema.place_in_index(&index.name, item) {
        let parts = table.entry_parts(index, &in_index, &place);
        if db.view().contains(&ENTRIES, &parts)? {
            return Ok(());
        }
        db.put(&ENTRIES, &parts, &())?;
        recount(db, table, Some(index), None, Some(item_size(&index.project(table, item))))?;
    }
    Ok(())
}
