//! What takes longer than one transaction should: a new index is filled and what a deleted one leaves behind is swept a stretch at
//! a time, and items whose time is over go. The first stretch is done at once, so that a small table never waits.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use store::{Direction, Edge, Fault, Key, Table, json_record};

use super::attribute::item_size;
use super::record::{
    COUNTS, ENTRIES, EXPIRIES, ITEMS, Index, Kept, TABLES, TableRecord, expiry, fill, item_at, move_expiry, write_item,
};
use super::schema::Place;
use crate::house::{House, Job};
use crate::operation::Answer;
use crate::scope::{Read, Scope, Write};

/// By account, region, id of the table and, if it is about an index, its number.
const CHORES: Table<Chore> = Table::new("dynamodb_chores");

/// Items, where only their keys are wanted.
const ITEM_KEYS: Table<()> = Table::new(ITEMS.name());

/// How much is done in one transaction.
const STRETCH_ITEMS: usize = 500;
const STRETCH_BYTES: usize = 1 << 20;

/// How many chores get a stretch each time, and how many items expire.
const AT_A_TIME: usize = 4;
const EXPIRED_AT_A_TIME: usize = 500;

/// Items that expired longer ago stay, as they do with AWS: whoever wrote such a time hardly meant it.
const FORGOTTEN: u64 = 5 * 365 * 24 * 3600;

/// What is still to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Chore {
    /// Take away what is left of a table or an index.
    Sweep,
    /// Bring the items of a table into an index or, without one, among those that expire.
    Fill { table: String, index: Option<u32>, after: Option<String> },
}
json_record!(Chore, version 1);

/// Does the first stretch, and remembers what is left.
pub(crate) fn begin(db: &mut Write, table: &TableRecord, index: Option<u32>, chore: Chore) -> Answer<()> {
    // Filling looks the table up, whose record may not be written yet.
    let rest = match chore {
        Chore::Sweep => sweep(db, &table.id, index)?,
        Chore::Fill { table: name, index, after } => fill_stretch(db, table, name, index, after.as_deref())?,
    };
    remember(db, &table.id, index, rest.as_ref())
}

fn key(scope: &Scope, id: &str, index: Option<u32>) -> Key {
    let key = Key::of([&*scope.account, &*scope.region, id]);
    match index {
        Some(number) => key.and(number.to_be_bytes()),
        None => key,
    }
}

fn remember(db: &mut Write, id: &str, index: Option<u32>, rest: Option<&Chore>) -> Answer<()> {
    let key = key(&db.cx.scope, id, index);
    match rest {
        Some(chore) => db.put_global(&CHORES, &key, chore)?,
        None => db.delete_global(&CHORES, &key)?,
    }
    Ok(())
}

/// Whether an index has not got all items yet.
pub(crate) fn is_filling(db: Read, table: &TableRecord, index: &Index) -> Result<bool, Fault> {
    Ok(db.get_global(&CHORES, &key(&db.cx.scope, &table.id, Some(index.number)))?.is_some())
}

/// Goes on with a chore, if it is still there.
fn go_on(db: &mut Write, id: &str, index: Option<u32>) -> Answer<()> {
    let Some(chore) = db.view().get_global(&CHORES, &key(&db.cx.scope, id, index))? else { return Ok(()) };
    let rest = match chore {
        Chore::Sweep => sweep(db, id, index)?,
        Chore::Fill { table: name, index, after } => match db.view().get(&TABLES, [&name])? {
            Some(table) if table.id == id => fill_stretch(db, &table, name, index, after.as_deref())?,
            _ => None,
        },
    };
    remember(db, id, index, rest.as_ref())
}

/// Takes away a stretch of what a table or an index has left behind.
fn sweep(db: &mut Write, id: &str, index: Option<u32>) -> Answer<Option<Chore>> {
    let under: Vec<Vec<u8>> =
        std::iter::once(id.as_bytes().to_vec()).chain(index.map(|number| number.to_be_bytes().to_vec())).collect();
    let mut left = STRETCH_ITEMS;
    if index.is_none() {
        left -= take(db, &ITEM_KEYS, &under, left)?;
    }
    left -= take(db, &ENTRIES, &under, left)?;
    if left == 0 {
        return Ok(Some(Chore::Sweep));
    }
    for (key, _) in db.view().all(&COUNTS, &under)? {
        db.delete_at(&COUNTS, &key)?;
    }
    Ok(None)
}

fn take(db: &mut Write, table: &Table<()>, under: &[Vec<u8>], most: usize) -> Result<usize, Fault> {
    let found = db.view().some(table, under, most)?;
    for (key, ()) in &found {
        db.delete_at(table, key)?;
    }
    Ok(found.len())
}

/// Brings a stretch of a table's items to where they are wanted.
fn fill_stretch(
    db: &mut Write,
    table: &TableRecord,
    name: String,
    index: Option<u32>,
    after: Option<&str>,
) -> Answer<Option<Chore>> {
    let all = db.view().key([table.id.as_bytes()]);
    let from = match after.map(wire::page::decode).transpose()? {
        Some(bytes) => Edge::Past(Key::from_bytes(&bytes).ok_or_else(|| Fault::new("a chore without a place"))?),
        None => Edge::Before(all.clone()),
    };
    let (mut found, mut bytes) = (Vec::new(), 0);
    db.view().visit(&ITEMS, (&from, &Edge::Past(all)), Direction::Ascending, &mut |key, Kept(item)| {
        bytes += item_size(&item);
        found.push((key, item));
        let is_full = found.len() == STRETCH_ITEMS || bytes >= STRETCH_BYTES;
        if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let wanted = index.and_then(|number| table.indexes.iter().find(|index| index.number == number));
    for (_, item) in &found {
        match wanted {
            Some(index) => fill(db, table, index, item)?,
            None => move_expiry(db, table, &table.schema.bytes(item), (None, Some(item)))?,
        }
    }
    let is_done = found.len() < STRETCH_ITEMS && bytes < STRETCH_BYTES || (index.is_some() && wanted.is_none());
    let last = found.last().filter(|_| !is_done);
    Ok(last.map(|(key, _)| Chore::Fill { table: name, index, after: Some(wire::page::encode(key.as_bytes())) }))
}

/// An item whose time is over: when it was, whose table it is in, and where.
struct Expired {
    key: Key,
    table: String,
}

impl House {
    /// The stretches of chores and the items whose time is over, to be brought to the desk. To be asked every second or so.
    pub(crate) fn work_on_tables(&self, now: i64, entropy: u128) -> Vec<Job> {
        self.try_work(now, entropy).unwrap_or_else(|fault| {
            self.tell_fault(now, &fault);
            Vec::new()
        })
    }

    fn try_work(&self, now: i64, entropy: u128) -> Result<Vec<Job>, Fault> {
        let view = self.store.read();
        let mut jobs = Vec::new();
        for (at, (key, _)) in (1..).zip(view.range(&CHORES, &Key::all(), None, Direction::Ascending, AT_A_TIME)?) {
            let scope = Scope::new(&key.text_at(0)?, &key.text_at(1)?);
            let (id, index) = (key.text_at(2)?, key.bytes_at(3).ok());
            let index = index.and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
            let cx = self.context(&scope, now, entropy.wrapping_add(at));
            jobs.push(Job::new(cx, move |db| go_on(db, &id, index)));
        }
        for (scope, expired) in self.expired(now)? {
            let cx = self.context(&scope, now, entropy);
            jobs.push(Job::new(cx, move |db| expired.iter().try_for_each(|one| expire(db, one))));
        }
        Ok(jobs)
    }

    fn expired(&self, now: i64) -> Result<BTreeMap<Scope, Vec<Expired>>, Fault> {
        let second = u64::try_from(now / 1000).unwrap_or_default();
        let from = Edge::Before(Key::all().and_u64(second.saturating_sub(FORGOTTEN)));
        let to = Edge::Before(Key::all().and_u64(second));
        let mut found = Vec::new();
        self.store.read().visit(&EXPIRIES, (&from, &to), Direction::Ascending, &mut |key, table| {
            found.push((key, table));
            if found.len() == EXPIRED_AT_A_TIME { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let mut by_scope: BTreeMap<Scope, Vec<Expired>> = BTreeMap::new();
        for (key, table) in found {
            let scope = Scope::new(&key.text_at(1)?, &key.text_at(2)?);
            let table = String::from_utf8_lossy(&table).into_owned();
            by_scope.entry(scope).or_default().push(Expired { key, table });
        }
        Ok(by_scope)
    }
}

/// Takes an item away, if it is still there and its time is still over.
fn expire(db: &mut Write, expired: &Expired) -> Answer<()> {
    let Expired { key, table: name } = expired;
    // Second, account, region, table, spread, partition key, sort key.
    let (second, id) = (key.u64_at(0)?, key.text_at(3)?);
    db.delete_global(&EXPIRIES, key)?;
    let Some(table) = db.view().get(&TABLES, [name])?.filter(|table| table.id == id) else { return Ok(()) };
    let range = table.schema.range.as_ref().map(|_| key.bytes_at(6)).transpose()?;
    let place = Place { hash: key.bytes_at(5)?, range };
    let Some(item) = item_at(db.view(), &table, &place)? else { return Ok(()) };
    let is_due = table.expires_by.as_ref().is_some_and(|attribute| expiry(&item, attribute) == Some(second));
    if is_due {
        write_item(db, &table, &place, Some(&item), None)?;
    }
    Ok(())
}
