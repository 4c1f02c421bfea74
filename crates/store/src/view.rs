//! What a transaction sees and does: a snapshot of the engine, and over it the changes that are not yet
//! committed. Knows nothing of when or whether they will be.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::{ControlFlow, Deref};

use crate::engine::{Bounds, Change, Changes, Direction, Snapshot, Visit};
use crate::{Edge, Fault, Key, Record, Table};

/// A consistent view: the store as it was when the view was taken, and in a [`Write`] its own changes too.
pub struct Read {
    snapshot: Box<dyn Snapshot>,
    changes: Changes,
}

impl Read {
    pub(crate) fn new(snapshot: Box<dyn Snapshot>) -> Self {
        Self { snapshot, changes: BTreeMap::new() }
    }

    /// The record at `key`, if there is one.
    pub fn get<R: Record>(&self, table: &Table<R>, key: &Key) -> Result<Option<R>, Fault> {
        let mut found = None;
        self.find(&table.place(key)?, &mut |bytes| {
            found = Some(table.decode(key, bytes));
        })?;
        found.transpose()
    }

    /// Whether there is a record at `key`.
    pub fn contains<R: Record>(&self, table: &Table<R>, key: &Key) -> Result<bool, Fault> {
        let mut found = false;
        self.find(&table.place(key)?, &mut |_| found = true)?;
        Ok(found)
    }

    /// Up to `limit` records whose keys are or continue `prefix`, in order of their keys.
    ///
    /// `after` is the last key already seen; it need not exist (any more), and one from outside `prefix`
    /// cannot lead out of it.
    pub fn range<R: Record>(
        &self,
        table: &Table<R>,
        prefix: &Key,
        after: Option<&Key>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Key, R)>, Fault> {
        let mut bounds = table.under(prefix)?;
        if let Some(after) = after {
            bounds.resume(table.place(after)?, direction);
        }
        let mut records = Vec::new();
        if limit == 0 {
            return Ok(records);
        }
        self.each(table, &bounds, direction, &mut |key, record| {
            records.push((key, record));
            if records.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(records)
    }

    /// Shows the records between two edges one by one, in order of their keys, until `seen` breaks: for whoever stops at
    /// something else than a number of records.
    pub fn visit<R: Record>(
        &self,
        table: &Table<R>,
        (from, to): (&Edge, &Edge),
        direction: Direction,
        seen: &mut dyn FnMut(Key, R) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let bounds = Bounds { from: table.edge(from)?, to: table.edge(to)? };
        self.each(table, &bounds, direction, seen)
    }

    fn each<R: Record>(
        &self,
        table: &Table<R>,
        bounds: &Bounds,
        direction: Direction,
        seen: &mut dyn FnMut(Key, R) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        if bounds.is_empty() {
            return Ok(());
        }
        let mut outcome = Ok(());
        self.scan(bounds, direction, &mut |place, bytes| {
            let key = table.key(place);
            match table.decode(&key, bytes) {
                Ok(record) => seen(key, record),
                Err(fault) => {
                    outcome = Err(fault);
                    ControlFlow::Break(())
                }
            }
        })?;
        outcome
    }

    fn find(&self, place: &[u8], found: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
        match self.changes.get(place) {
            Some(Some(bytes)) => found(bytes),
            Some(None) => {}
            None => self.snapshot.get(place, found)?,
        }
        Ok(())
    }

    fn scan(&self, bounds: &Bounds, direction: Direction, visit: &mut Visit<'_>) -> Result<(), Fault> {
        if self.changes.is_empty() {
            return self.snapshot.range(bounds, direction, visit);
        }
        let changed = self.changes.range::<[u8], _>(bounds.as_range());
        match direction {
            Direction::Ascending => self.merge(changed.peekable(), bounds, direction, visit),
            Direction::Descending => self.merge(changed.rev().peekable(), bounds, direction, visit),
        }
    }

    /// Visits the snapshot's pairs with the changed ones put in, put over or left out, where they belong.
    fn merge<'c>(
        &self,
        mut changed: Peekable<impl Iterator<Item = (&'c Vec<u8>, &'c Change)>>,
        bounds: &Bounds,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), Fault> {
        let mut flow = ControlFlow::Continue(());
        self.snapshot.range(bounds, direction, &mut |place, bytes| {
            flow = (|| {
                while let Some(change) = changed.next_if(|(changed, _)| direction.puts_first(changed, place)) {
                    visit_change(change, visit)?;
                }
                match changed.next_if(|(changed, _)| *changed == place) {
                    Some(change) => visit_change(change, visit),
                    None => visit(place, bytes),
                }
            })();
            flow
        })?;
        if flow.is_continue() {
            // The answer is dropped because there is nothing left to stop.
            let _ = changed.try_for_each(|change| visit_change(change, visit));
        }
        Ok(())
    }
}

fn visit_change(change: (&Vec<u8>, &Change), visit: &mut Visit<'_>) -> ControlFlow<()> {
    match change {
        (place, Some(bytes)) => visit(place, bytes),
        (_, None) => ControlFlow::Continue(()),
    }
}

/// A view that may also change: it reads its own changes, and whatever takes `&Read` takes it too.
pub struct Write {
    view: Read,
    /// What each change of the present unit replaced among the changes, newest last.
    replaced: Vec<(Vec<u8>, Option<Change>)>,
}

impl Write {
    pub(crate) fn new(snapshot: Box<dyn Snapshot>) -> Self {
        Self { view: Read::new(snapshot), replaced: Vec::new() }
    }

    /// Puts `record` at `key`, over whatever was there.
    pub fn put<R: Record>(&mut self, table: &Table<R>, key: &Key, record: &R) -> Result<(), Fault> {
        let bytes = table.encode(key, record)?;
        self.change(table.place(key)?, Some(bytes));
        Ok(())
    }

    /// Takes away what is at `key`, if anything is.
    pub fn delete<R: Record>(&mut self, table: &Table<R>, key: &Key) -> Result<(), Fault> {
        self.change(table.place(key)?, None);
        Ok(())
    }

    fn change(&mut self, place: Vec<u8>, change: Change) {
        let replaced = self.view.changes.insert(place.clone(), change);
        self.replaced.push((place, replaced));
    }

    /// Ends a unit: its changes stay, and the next one sees them.
    pub(crate) fn keep(&mut self) {
        self.replaced.clear();
    }

    /// Ends a unit: its changes, and only its, are gone.
    pub(crate) fn undo(&mut self) {
        for (place, replaced) in self.replaced.drain(..).rev() {
            match replaced {
                Some(change) => self.view.changes.insert(place, change),
                None => self.view.changes.remove(&place),
            };
        }
    }

    /// Lets the snapshot go, since engines keep old versions for its sake, and leaves the changes.
    pub(crate) fn into_changes(self) -> Changes {
        self.view.changes
    }
}

impl Deref for Write {
    type Target = Read;

    fn deref(&self) -> &Read {
        &self.view
    }
}
