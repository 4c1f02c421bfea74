//! What deleted groups leave behind: rows that say which things were in them. They are filed by the id of their group, so they
//! mean nothing once it is gone, and go a stretch at a time; a small group leaves none behind. What the rows look like is known by
//! the groups.

use serde::{Deserialize, Serialize};
use store::{Direction, Fault, Key, Table, json_record};

use crate::billing_groups;
use crate::house::{House, Job};
use crate::operation::Answer;
use crate::scope::{Read, Scope, Write};
use crate::thing_groups::members;

/// By the group's id.
const LEFT_BEHIND: Table<Left> = Table::new("left_behind");

/// Things that are let go in one transaction.
const STRETCH: usize = 500;
/// Groups that get a stretch each time.
const AT_A_TIME: usize = 4;

/// Where the rows of a deleted group lie.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Left {
    /// A thing group: its name, and the ids from the root down to it.
    ThingGroup { name: String, ids: Vec<String> },
    /// A billing group.
    BillingGroup,
}
json_record!(Left, version 1);

/// Lets the first things of a deleted group go, and remembers if there are more.
pub(crate) fn begin(db: &mut Write, id: &str, left: &Left) -> Result<(), Fault> {
    if sweep(db, id, left)? {
        return db.put(&LEFT_BEHIND, [id], left);
    }
    db.delete(&LEFT_BEHIND, [id])
}

/// Whether rows filed by this id are of a group that is gone.
pub(crate) fn is_of(db: Read, id: &str) -> Result<bool, Fault> {
    db.contains(&LEFT_BEHIND, [id])
}

/// Whether there may be more.
fn sweep(db: &mut Write, id: &str, left: &Left) -> Result<bool, Fault> {
    let gone = match left {
        Left::ThingGroup { name, ids } => members::release(db, name, ids, STRETCH)?,
        Left::BillingGroup => billing_groups::release(db, id, STRETCH)?,
    };
    Ok(gone == STRETCH)
}

fn go_on(db: &mut Write, id: &str) -> Answer<()> {
    let Some(left) = db.view().get(&LEFT_BEHIND, [id])? else { return Ok(()) };
    Ok(begin(db, id, &left)?)
}

impl House {
    /// The next stretches, to be brought to the desk. To be asked every second or so.
    pub(crate) fn sweep_groups(&self, now: i64, entropy: u128) -> Vec<Job> {
        self.try_sweep_groups(now, entropy).unwrap_or_else(|fault| {
            self.tell_fault(now, &fault);
            Vec::new()
        })
    }

    fn try_sweep_groups(&self, now: i64, entropy: u128) -> Result<Vec<Job>, Fault> {
        let found = self.store.read().range(&LEFT_BEHIND, &Key::all(), None, Direction::Ascending, AT_A_TIME)?;
        let job = |(key, _): (Key, Left)| {
            let (scope, id) = (Scope::new(&key.text_at(0)?, &key.text_at(1)?), key.text_at(2)?);
            Ok(Job::new(self.context(&scope, now, entropy), move |db| go_on(db, &id)))
        };
        found.into_iter().map(job).collect()
    }
}
