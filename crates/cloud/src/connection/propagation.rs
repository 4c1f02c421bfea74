//! What is added to the messages of a device by the type of its thing (registry.md §5): user properties with attributes of
//! the thing. They are found when the device publishes first, and again after the thing or its type have changed. What
//! becomes of the messages is unknown here.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use mqtt::{Publish, Text};
use store::Fault;

use super::Connection;
use crate::house::House;
use crate::identity::{self, Principal};
use crate::scope::Read;
use crate::thing_types::THING_TYPES;

/// User properties.
type Pairs = Arc<[(Text, Text)]>;

/// What is added to the messages of one connection.
pub(super) struct Propagated {
    /// How often types have changed in its scope.
    types: Arc<AtomicU64>,
    /// How often its thing may have changed.
    things: AtomicU64,
    /// The sum of both at which nothing was to be added: the way of nearly every message.
    nothing: AtomicU64,
    /// The sum of both that the pairs are of.
    found: AtomicU64,
    pairs: RwLock<Pairs>,
}

impl Propagated {
    pub(super) fn new(types: &Arc<AtomicU64>) -> Self {
        Self {
            types: Arc::clone(types),
            things: AtomicU64::new(0),
            nothing: AtomicU64::new(0),
            found: AtomicU64::new(0),
            pairs: RwLock::new(Arc::default()),
        }
    }

    /// The thing may be another, or have other attributes.
    pub(super) fn forget(&self) {
        self.things.fetch_add(1, Ordering::SeqCst);
    }

    /// What to add now, if anything; `find` is asked if something may have changed.
    fn get(&self, find: impl FnOnce() -> Result<Vec<(Text, Text)>, Fault>) -> Result<Option<Pairs>, Fault> {
        // Both only grow, so their sum is the same only if both are; and it is never zero.
        let now = self.types.load(Ordering::SeqCst) + self.things.load(Ordering::SeqCst);
        if self.nothing.load(Ordering::Acquire) == now {
            return Ok(None);
        }
        if self.found.load(Ordering::Acquire) != now {
            let found = find()?;
            if found.is_empty() {
                self.nothing.store(now, Ordering::Release);
                return Ok(None);
            }
            *self.pairs.write().unwrap_or_else(PoisonError::into_inner) = found.into();
            self.found.store(now, Ordering::Release);
        }
        Ok(Some(Arc::clone(&self.pairs.read().unwrap_or_else(PoisonError::into_inner))))
    }
}

impl House {
    /// A message as it goes on from its device.
    /// unconfirmed: that what is added stands behind what the device says itself, and does not count towards its quota; that
    /// wills are left as they are.
    pub(super) fn propagate<'p>(
        &self,
        of: &Connection,
        publish: &'p Publish,
        now: i64,
        entropy: u128,
    ) -> Cow<'p, Publish> {
        let found = of.propagated.get(|| {
            let (view, cx) = (self.store.read(), of.context(self, now, entropy));
            pairs(Read::new(&view, &cx), &of.peer.principal, of.client_id())
        });
        let pairs = match found {
            Ok(None) => return Cow::Borrowed(publish),
            Ok(Some(pairs)) => pairs,
            Err(fault) => {
                // The message is worth more than what would be added to it.
                self.tell_fault(now, &fault);
                return Cow::Borrowed(publish);
            }
        };
        let mut message = publish.clone();
        message.properties.get_or_insert_default().user_properties.extend(pairs.iter().cloned());
        Cow::Owned(message)
    }
}

/// The pairs for a device that is connected under this client id.
fn pairs(db: Read, principal: &Principal, client_id: &str) -> Result<Vec<(Text, Text)>, Fault> {
    let Principal::Certificate(id) = principal else { return Ok(Vec::new()) };
    let Some((name, thing)) = identity::thing_of(db, id, client_id)? else { return Ok(Vec::new()) };
    let Some(type_name) = &thing.type_name else { return Ok(Vec::new()) };
    let Some(type_) = db.get(&THING_TYPES, [type_name])? else { return Ok(Vec::new()) };
    let mut pairs = Vec::new();
    for propagating in type_.propagating() {
        let value = match (propagating.thing_attribute(), propagating.connection_attribute()) {
            (Some(attribute), _) => thing.attributes.get(attribute).map(String::as_str),
            (None, Some("iot:ClientId")) => Some(client_id),
            (None, Some("iot:Thing.ThingName")) => Some(&*name),
            (None, _) => None,
        };
        // What a thing does not have is left out.
        if let (Some(key), Some(value)) = (propagating.user_property_key(), value)
            && let (Ok(key), Ok(value)) = (Text::try_from(key), Text::try_from(value))
        {
            pairs.push((key, value));
        }
    }
    Ok(pairs)
}
