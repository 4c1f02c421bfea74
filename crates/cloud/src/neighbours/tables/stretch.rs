//! A stretch of items in the order of their keys: what a query or a scan reads at a time, filtered and projected, until a limit, a
//! megabyte or the end. Whence it comes and what it is for is told by whoever asks.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde_json::Value;
use store::{Direction, Edge, Fault, Key};
use wire::dynamodb::ConsumedCapacity;

use super::attribute::{Item, item_json, item_size};
use super::capacity::{self, Units};
use super::expression::condition::Condition;
use super::path::{Path, project};
use super::record::{ENTRIES, ITEMS, Index, Kept, Projection, TableRecord, index_parts, item_at};
use super::refusal::invalid;
use super::schema::{Field, Place, Schema};
use crate::operation::Answer;
use crate::scope::Read;

/// Bytes of items after which a page ends.
const PAGE_BYTES: usize = 1 << 20;

/// What of each item is wanted.
pub(crate) enum Wanted {
    /// How many there are.
    Count,
    /// All that the table has.
    All,
    /// All that the index has.
    Projected,
    /// These.
    Paths(Vec<Path>),
}

/// What is read.
pub(crate) struct Stretch<'t> {
    pub(crate) table: &'t TableRecord,
    pub(crate) index: Option<&'t Index>,
    pub(crate) from: Edge,
    pub(crate) to: Edge,
    pub(crate) direction: Direction,
    pub(crate) limit: Option<usize>,
    pub(crate) filter: Option<Condition>,
    pub(crate) wanted: Wanted,
    pub(crate) is_consistent: bool,
}

/// What was read.
#[derive(Default)]
pub(crate) struct Page {
    /// In DynamoDB's JSON; not there if only their number was wanted.
    pub(crate) items: Vec<Value>,
    /// How many passed the filter, and how many there were.
    pub(crate) count: i64,
    pub(crate) scanned: i64,
    /// The key of the last, if there may be more.
    pub(crate) last: Option<Item>,
    bytes: usize,
    /// Units of what a local index did not hold and the table had to give.
    fetched: f64,
}

impl Page {
    /// The units that it took, as the request wants to be told.
    pub(crate) fn capacity(&self, stretch: &Stretch, wanted: Option<&str>, table: &str) -> Option<ConsumedCapacity> {
        let units = capacity::reading(self.bytes, stretch.is_consistent);
        let units = match stretch.index {
            Some(index) => Units { table: self.fetched, indexes: vec![(index.name.clone(), index.is_local, units)] },
            None => Units::of_table(units),
        };
        units.told(wanted, table)
    }
}

impl Stretch<'_> {
    /// Reads a page.
    pub(crate) fn read(&self, db: Read) -> Answer<Page> {
        let mut page = Page::default();
        let edges = (&self.from, &self.to);
        match self.index {
            None => db.visit(&ITEMS, edges, self.direction, &mut |_, Kept(item)| self.see(&mut page, item))?,
            Some(index) => {
                let mut outcome = Ok(());
                db.visit(&ENTRIES, edges, self.direction, &mut |entry, ()| match self.indexed(db, index, &entry) {
                    Ok(Some(item)) => self.see(&mut page, item),
                    Ok(None) => ControlFlow::Continue(()),
                    Err(fault) => {
                        outcome = Err(fault);
                        ControlFlow::Break(())
                    }
                })?;
                outcome?;
            }
        }
        Ok(page)
    }

    /// The item of an entry. There is one, since both are written together.
    fn indexed(&self, db: Read, index: &Index, entry: &Key) -> Result<Option<Item>, Fault> {
        item_at(db, self.table, &index.place_in_entry(self.table, entry)?)
    }

    /// Whether more is wanted than a local index holds; of a global one it is refused before.
    fn must_fetch(&self) -> bool {
        let Some(index) = self.index.filter(|index| index.projection != Projection::All) else { return false };
        match &self.wanted {
            Wanted::All => true,
            Wanted::Paths(paths) => paths.iter().any(|path| !index.holds(self.table, &path.root)),
            Wanted::Count | Wanted::Projected => false,
        }
    }

    fn see(&self, page: &mut Page, whole: Item) -> ControlFlow<()> {
        let held = match self.index {
            Some(index) => index.project(self.table, &whole),
            None => whole.clone(),
        };
        page.scanned += 1;
        page.bytes += item_size(&held);
        let item = if self.must_fetch() {
            page.fetched += capacity::reading(item_size(&whole), self.is_consistent);
            whole
        } else {
            held
        };
        let is_full = page.bytes >= PAGE_BYTES
            || self.limit.is_some_and(|limit| page.scanned >= i64::try_from(limit).unwrap_or(i64::MAX));
        if is_full {
            page.last = Some(self.key_of(&item));
        }
        if self.filter.as_ref().is_none_or(|filter| filter.holds(&item)) {
            page.count += 1;
            match &self.wanted {
                Wanted::Count => {}
                Wanted::All | Wanted::Projected => page.items.push(item_json(&item)),
                Wanted::Paths(paths) => page.items.push(item_json(&project(&item, paths))),
            }
        }
        if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// The key of an item, and in an index the key there beside it.
    fn key_of(&self, item: &Item) -> Item {
        let mut key = self.table.schema.key_of(item);
        key.extend(self.index.map(|index| index.schema.key_of(item)).into_iter().flatten());
        key
    }
}

const INVALID: &str = "The provided starting key is invalid";

/// Where what is read is kept: the table itself, or an index.
#[derive(Clone, Copy)]
pub(crate) struct Source<'t> {
    pub(crate) table: &'t TableRecord,
    pub(crate) index: Option<&'t Index>,
}

impl<'t> Source<'t> {
    /// The index of this name, or the table.
    pub(crate) fn of(db: Read, table: &'t TableRecord, index: Option<&str>, is_consistent: bool) -> Answer<Self> {
        let Some(name) = index else { return Ok(Self { table, index: None }) };
        let found = table.index(name);
        let index = found.ok_or_else(|| invalid(format!("The table does not have the specified index: {name}")))?;
        if is_consistent && !index.is_local {
            return Err(invalid("Consistent reads are not supported on global secondary indexes"));
        }
        if super::chores::is_filling(db, table, index)? {
            return Err(invalid(format!("Cannot read from backfilling global secondary index: {name}")));
        }
        Ok(Self { table, index: Some(index) })
    }

    /// The schema by which it is ordered.
    pub(crate) fn schema(&self) -> &'t Schema {
        self.index.map_or(&self.table.schema, |index| &index.schema)
    }

    /// The parts under which all of it is kept.
    pub(crate) fn parts(&self) -> Vec<Vec<u8>> {
        match self.index {
            Some(index) => index_parts(self.table, index),
            None => vec![self.table.id.clone().into_bytes()],
        }
    }

    /// The key under which an item is kept there, from a key that has been checked.
    pub(crate) fn key(&self, db: Read, key: &Item) -> Key {
        let place: Place = self.table.schema.bytes(key);
        db.key(match self.index {
            Some(index) => self.table.entry_parts(index, &index.schema.bytes(key), &place),
            None => self.table.key_parts(&place),
        })
    }

    /// Whether a starting key has just the attributes of a key there.
    pub(crate) fn check_names(&self, start: &Item) -> Result<(), String> {
        let fields = self.table.schema.fields().chain(self.schema().fields());
        let names: BTreeSet<&str> = fields.map(|field| field.name.as_str()).collect();
        if start.len() != names.len() || !names.iter().all(|name| start.contains_key(*name)) {
            return Err(INVALID.to_owned());
        }
        Ok(())
    }

    /// Whether their types are right.
    pub(crate) fn check_start(&self, start: &Item) -> Result<(), String> {
        let fits = |field: &Field| start.get(&field.name).is_some_and(|value| value.kind() == field.kind.kind());
        if !self.schema().fields().all(fits) {
            return Err("The provided key element does not match the schema".to_owned());
        }
        self.check_key(start)
    }

    /// Whether the key of the table in it is one.
    pub(crate) fn check_key(&self, start: &Item) -> Result<(), String> {
        let own = &self.table.schema;
        own.place_of_key(&own.key_of(start)).map(drop).map_err(|wrong| format!("{INVALID}: {wrong}"))
    }

    /// What of each item is wanted, from the parameters of a query or a scan.
    pub(crate) fn wanted(
        &self,
        select: Option<&str>,
        paths: Option<Vec<Path>>,
        (projecting, verb): (&str, &str),
    ) -> Answer<Wanted> {
        let has_paths = paths.is_some();
        if has_paths && !matches!(select, None | Some("SPECIFIC_ATTRIBUTES")) {
            let target = match select {
                Some("COUNT") => "only the Count",
                Some("ALL_ATTRIBUTES") => "ALL_ATTRIBUTES",
                _ => "ALL_PROJECTED_ATTRIBUTES",
            };
            return Err(invalid(format!("Cannot specify the {projecting} when choosing to get {target}")));
        }
        match (select, paths) {
            (_, Some(paths)) => self.reach(paths),
            (Some("COUNT"), None) => Ok(Wanted::Count),
            (Some("SPECIFIC_ATTRIBUTES"), None) => Err(invalid(
                "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
            )),
            (Some("ALL_PROJECTED_ATTRIBUTES"), None) if self.index.is_none() => {
                Err(invalid(format!("ALL_PROJECTED_ATTRIBUTES can be used only when {verb} using an IndexName")))
            }
            (Some("ALL_ATTRIBUTES"), None) => match self.index {
                Some(index) if !index.is_local && index.projection != Projection::All => Err(invalid(format!(
                    "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global \
                         secondary index {} because its projection type is not ALL",
                    index.name
                ))),
                _ => Ok(Wanted::All),
            },
            _ if self.index.is_some() => Ok(Wanted::Projected),
            _ => Ok(Wanted::All),
        }
    }

    /// Paths that an index does not hold are fetched for a local one and refused for a global one.
    fn reach(&self, paths: Vec<Path>) -> Answer<Wanted> {
        let Some(index) = self.index.filter(|index| !index.is_local) else { return Ok(Wanted::Paths(paths)) };
        let roots = paths.iter().map(|path| path.root.as_str());
        let lacking: Vec<&str> = roots.filter(|name| !index.holds(self.table, name)).collect();
        if lacking.is_empty() {
            return Ok(Wanted::Paths(paths));
        }
        Err(invalid(format!(
            "One or more parameter values were invalid: Global secondary index {} does not project [{}]",
            index.name,
            lacking.join(", ")
        )))
    }
}
