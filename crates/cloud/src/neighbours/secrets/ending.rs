//! The end of secrets that were deleted with time to think it over: filed by date, so that the house finds whose time has come
//! without looking at the others. What is erased with a secret is known elsewhere.

use store::{Direction, Fault, Key, Table};

use super::secret::Secret;
use super::{SECRETS, erase, put};
use crate::house::{House, Job};
use crate::scope::{Scope, Write, date_part};

/// By date, account, region and name.
const ENDS: Table<()> = Table::new("secret_ends");

/// Secrets that are erased at a time.
const AT_ONCE: usize = 100;

impl House {
    /// Erases the secrets whose time is over.
    pub(crate) fn erase_secrets(&self, now: i64, entropy: u128) -> Vec<Job> {
        let ends = self.store.read().range(&ENDS, &Key::all(), None, Direction::Ascending, AT_ONCE);
        let due = ends.and_then(|ends| ends.iter().map(|(key, ())| due(key, now)).collect::<Result<Vec<_>, _>>());
        let due = due.unwrap_or_else(|fault| {
            self.tell_fault(now, &fault);
            Vec::new()
        });
        let jobs = due.into_iter().flatten().zip(0_u128..);
        let job = |((scope, name), index): ((Scope, String), u128)| {
            Job::new(self.context(&scope, now, entropy.wrapping_add(index)), move |db| {
                match db.view().get(&SECRETS, [&name])?.filter(|secret| secret.is_over(db.now())) {
                    Some(secret) => Ok(erase(db, &secret)?),
                    None => Ok(()),
                }
            })
        };
        jobs.map(job).collect()
    }
}

/// Where a secret is whose time is over, and its name.
fn due(key: &Key, now: i64) -> Result<Option<(Scope, String)>, Fault> {
    if key.text_at(0)? > date_part(now) {
        return Ok(None);
    }
    Ok(Some((Scope::new(&key.text_at(1)?, &key.text_at(2)?), key.text_at(3)?)))
}

fn key(db: &Write, secret: &Secret, ends: i64) -> Key {
    let scope = &db.cx.scope;
    Key::of([&*date_part(ends), &*scope.account, &*scope.region, &*secret.name])
}

/// Sets when a secret ends, or that it does not.
pub(super) fn set(db: &mut Write, secret: &mut Secret, ends: Option<i64>) -> Result<(), Fault> {
    forget(db, secret)?;
    secret.ends = ends;
    if let Some(ends) = ends {
        db.put_global(&ENDS, &key(db, secret, ends), &())?;
    }
    put(db, secret)
}

/// A secret that is erased ends no more.
pub(super) fn forget(db: &mut Write, secret: &Secret) -> Result<(), Fault> {
    match secret.ends {
        Some(ends) => db.delete_global(&ENDS, &key(db, secret, ends)),
        None => Ok(()),
    }
}
