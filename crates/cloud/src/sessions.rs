//! What is kept on disk of sessions that outlive their connections: who they are, what they subscribed to, the messages
//! they are owed, the QoS 2 messages they have sent. The broker decides what is to be kept; here it is written, and found
//! again after a restart. Knows nothing of packets on a wire beyond how a message is written down.
//!
//! All but the session itself is filed under the session's own key, a number that is never used again: what is left of a
//! session that has ended is swept at leisure and can never be taken for another's.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU16;
use std::sync::Arc;

use broker::{Held, Kept, Planned, Restored, Session, Settled};
use bytes::{Bytes, BytesMut};
use mqtt::{Decoder, Filter, Packet, Publish, QoS, RetainHandling, Subscription, SubscriptionId, Topic, Version, Will};
use serde::{Deserialize, Serialize};
use store::{Fault, Key, Table, json_record};

use crate::house::{House, Job, Space};
use crate::scope::{Read, Scope, Write, each};

/// By client id.
const SESSIONS: Table<Record> = Table::new("sessions");
/// By session key and filter.
const SUBSCRIPTIONS: Table<Options> = Table::new("session_subscriptions");
/// By session key and number: a message as [`write_message`] writes it.
const MESSAGES: Table<Vec<u8>> = Table::new("session_messages");
/// By session key and packet identifier: QoS 2 messages received and not yet released.
const RECEIVED: Table<()> = Table::new("session_received");

/// Rows that are swept or restored at a time.
const STRETCH: usize = 1000;

/// A session on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The key of everything else that belongs to it.
    pub(crate) key: u64,
    /// Seconds it outlives its connection.
    pub(crate) expiry: u32,
    /// When its last connection ended; nothing while one is there, or if the server ended first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<i64>,
    /// The will of its connection, as a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) will: Option<Vec<u8>>,
    /// Seconds the will waits.
    #[serde(default)]
    pub(crate) will_delay: u32,
}
json_record!(Record, version 1);

#[derive(Debug, Serialize, Deserialize)]
struct Options {
    qos: u8,
    no_local: bool,
    retain_as_published: bool,
    retain_handling: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
}
json_record!(Options, version 1);

/// The session of a client, as it was last written.
pub(crate) fn record(db: Read, client_id: &str) -> Result<Option<Record>, Fault> {
    db.get(&SESSIONS, [client_id])
}

/// Writes a session down: it has a connection, and this will.
pub(crate) fn open(db: &mut Write, client_id: &str, key: u64, expiry: u32, will: Option<&Will>) -> Result<(), Fault> {
    let will_delay = will.and_then(|will| will.properties.will_delay_interval).unwrap_or(0);
    let will = will.map(|will| write_message(&Publish::from(will.clone()), db.now())).transpose()?;
    db.put(&SESSIONS, [client_id], &Record { key, expiry, since: None, will, will_delay })
}

/// A session's connection has ended and it waits for another; what of the will is still to come waits with it.
pub(crate) fn leave(db: &mut Write, session: &Session, will: Option<&Will>) -> Result<(), Fault> {
    let (Some(key), (expiry, Some(since))) = (session.stored(), session.expiry()) else { return Ok(()) };
    let current = record(db.view(), session.client_id())?;
    if current.is_none_or(|current| current.key != key) {
        return Ok(());
    }
    let will_delay = will.and_then(|will| will.properties.will_delay_interval).unwrap_or(0);
    let will = will.map(|will| write_message(&Publish::from(will.clone()), since)).transpose()?;
    let record = Record { key, expiry, since: Some(since), will, will_delay };
    db.put(&SESSIONS, [session.client_id()], &record)
}

/// A session is no more: its client will not find it again.
pub(crate) fn end(db: &mut Write, client_id: &str, key: u64) -> Result<(), Fault> {
    if record(db.view(), client_id)?.is_some_and(|current| current.key == key) {
        db.delete(&SESSIONS, [client_id])?;
    }
    Ok(())
}

/// A client starts anew and keeps nothing: whatever session it had is no more.
pub(crate) fn forget(db: &mut Write, client_id: &str) -> Result<(), Fault> {
    db.delete(&SESSIONS, [client_id])
}

/// Takes away what is left of a session that has ended.
pub(crate) fn sweep(db: &mut Write, key: u64) -> Result<(), Fault> {
    sweep_table(db, &SUBSCRIPTIONS, key)?;
    sweep_table(db, &MESSAGES, key)?;
    sweep_table(db, &RECEIVED, key)
}

fn sweep_table<R: store::Record>(db: &mut Write, table: &Table<R>, key: u64) -> Result<(), Fault> {
    let key = key.to_be_bytes();
    loop {
        let found = db.view().some(table, [key], STRETCH)?;
        for (row, _) in &found {
            db.delete(table, [&key[..], &row.bytes_at(3)?])?;
        }
        if found.len() < STRETCH {
            return Ok(());
        }
    }
}

/// Writes a subscription down.
pub(crate) fn subscribe(db: &mut Write, key: u64, kept: &Kept) -> Result<(), Fault> {
    let subscription = &kept.subscription;
    let options = Options {
        qos: subscription.qos.number(),
        no_local: subscription.no_local,
        retain_as_published: subscription.retain_as_published,
        retain_handling: subscription.retain_handling as u8,
        id: kept.id.map(SubscriptionId::get),
    };
    db.put(&SUBSCRIPTIONS, [&key.to_be_bytes()[..], subscription.filter.as_str().as_bytes()], &options)
}

/// Takes a subscription off.
pub(crate) fn unsubscribe(db: &mut Write, key: u64, filter: &Filter) -> Result<(), Fault> {
    db.delete(&SUBSCRIPTIONS, [&key.to_be_bytes()[..], filter.as_str().as_bytes()])
}

/// Writes a message down for every stored session of a plan.
pub(crate) fn keep<'p>(
    db: &mut Write,
    recipients: impl Iterator<Item = &'p Planned>,
    message: &Publish,
) -> Result<(), Fault> {
    for planned in recipients {
        let (Some(key), Some(seq)) = (planned.session.stored(), planned.seq) else { continue };
        let mut own = Publish { qos: planned.qos, retain: planned.retain, ..message.clone() };
        if !planned.ids.is_empty() {
            own.properties.get_or_insert_default().subscription_identifiers.clone_from(&planned.ids);
        }
        let bytes = write_message(&own, db.now())?;
        db.put(&MESSAGES, [key.to_be_bytes(), seq.to_be_bytes()], &bytes)?;
    }
    Ok(())
}

/// Notes that a QoS 2 message has been received from this client; whether it had been before.
pub(crate) fn receive(db: &mut Write, key: u64, packet_id: NonZeroU16) -> Result<bool, Fault> {
    let (key, packet_id) = (key.to_be_bytes(), packet_id.get().to_be_bytes());
    let known = db.view().contains(&RECEIVED, [&key[..], &packet_id])?;
    db.put(&RECEIVED, [&key[..], &packet_id], &())?;
    Ok(known)
}

/// Forgets it again, since the client has.
pub(crate) fn release(db: &mut Write, key: u64, packet_id: NonZeroU16) -> Result<(), Fault> {
    db.delete(&RECEIVED, [&key.to_be_bytes()[..], &packet_id.get().to_be_bytes()])
}

/// Writes what a client has acknowledged.
pub(crate) fn settle(db: &mut Write, key: u64, settled: &[Settled]) -> Result<(), Fault> {
    for settled in settled {
        match settled {
            Settled::Done(seq) => db.delete(&MESSAGES, [key.to_be_bytes(), seq.to_be_bytes()])?,
            // An empty record: nothing but the release is owed.
            Settled::Released(seq) => db.put(&MESSAGES, [key.to_be_bytes(), seq.to_be_bytes()], &Vec::new())?,
        }
    }
    Ok(())
}

/// Finds messages by their numbers, for a session whose turn has come to send them.
pub(crate) fn fetch(db: Read, key: u64, wanted: &[u64]) -> Result<Vec<(u64, Option<Held>)>, Fault> {
    let find = |seq: &u64| {
        let bytes = db.get(&MESSAGES, [key.to_be_bytes(), seq.to_be_bytes()])?;
        let held = bytes.filter(|bytes| !bytes.is_empty()).map(|bytes| read_message(&bytes)).transpose()?;
        Ok((*seq, held))
    };
    wanted.iter().map(find).collect()
}

/// A message as it is written down: when it came, then an MQTT 5 PUBLISH.
pub(crate) fn write_message(message: &Publish, arrived: i64) -> Result<Vec<u8>, Fault> {
    let packet_id = (message.qos > QoS::AtMostOnce).then_some(NonZeroU16::MIN);
    let packet = Packet::Publish(Publish { packet_id, dup: false, ..message.clone() });
    let mut bytes = BytesMut::with_capacity(message.payload.len() + 64);
    bytes.extend_from_slice(&arrived.to_be_bytes());
    mqtt::encode(&packet, Version::V5, usize::MAX, &mut bytes).map_err(|no| Fault::because("write a message", no))?;
    Ok(bytes.to_vec())
}

pub(crate) fn read_message(bytes: &[u8]) -> Result<Held, Fault> {
    let torn = || Fault::new("a stored message cannot be read");
    let (arrived, packet) = bytes.split_first_chunk().ok_or_else(torn)?;
    let mut packet = BytesMut::from(packet);
    let decoded = Decoder::for_version(Version::V5, usize::MAX).decode(&mut packet);
    match decoded.map_err(|bad| Fault::because("read a stored message", bad))? {
        Some(Packet::Publish(message)) => Ok(Held { message, arrived: i64::from_be_bytes(*arrived), shared: None }),
        _ => Err(torn()),
    }
}

impl House {
    /// Brings back every session and rule that was on disk, and what is to be written about it; before anybody is let in.
    pub fn restore(&self, now: i64) -> Result<Vec<Job>, Fault> {
        let view = self.store.read();
        let mut found = Found::new();
        let mut jobs = Vec::new();
        each(&view, &SESSIONS, |key, record: Record| {
            let scope = Scope::new(&key.text_at(0)?, &key.text_at(1)?);
            let space = self.space(&scope);
            let will = record.will.as_deref().map(read_will).transpose()?.flatten();
            let since = record.since.unwrap_or(now);
            let due = since.saturating_add(i64::from(record.will_delay.min(record.expiry)) * 1000);
            let client_id = key.text_at(2)?;
            let will = will.map(|will| (will, due));
            let session = space.broker.restore(&client_id, record.key, record.expiry, since, will);
            if record.since.is_none() {
                jobs.push(self.job_of_leaving(&scope, &session, now));
            }
            found.insert((scope, record.key), (space, session));
            Ok(())
        })?;
        let lost = restore_rows(&view, &found)?;
        self.restore_rules(now)?;
        jobs.extend(lost.into_iter().map(|(scope, key)| self.job_of_sweeping(&scope, key, now)));
        Ok(jobs)
    }

    fn job_of_leaving(&self, scope: &Scope, session: &Arc<Session>, now: i64) -> Job {
        let session = Arc::clone(session);
        Job::new(self.context(scope, now, u128::from(session.number())), move |db| {
            if let Some(mut record) = record(db.view(), session.client_id())? {
                record.since = Some(db.now());
                db.put(&SESSIONS, [session.client_id()], &record)?;
            }
            Ok(())
        })
    }

    /// A job that takes away what is left of a session.
    pub(crate) fn job_of_sweeping(&self, scope: &Scope, key: u64, now: i64) -> Job {
        Job::new(self.context(scope, now, u128::from(key)), move |db| Ok(sweep(db, key)?))
    }
}

/// The sessions there are, by scope and key.
type Found = HashMap<(Scope, u64), (Arc<Space>, Arc<Session>)>;

/// Gives each session what is filed under its key; the keys under which something is filed that belongs to none.
fn restore_rows(view: &store::Read, found: &Found) -> Result<HashSet<(Scope, u64)>, Fault> {
    let mut lost = HashSet::new();
    let owner = |key: &Key| -> Result<(Scope, u64), Fault> {
        let bytes = key.bytes_at(2)?;
        let number = bytes.try_into().map_err(|_| Fault::new("a key of a session has eight bytes"))?;
        Ok((Scope::new(&key.text_at(0)?, &key.text_at(1)?), u64::from_be_bytes(number)))
    };
    each(view, &SUBSCRIPTIONS, |key, options: Options| {
        let owner = owner(key)?;
        let Some((space, session)) = found.get(&owner) else {
            lost.insert(owner);
            return Ok(());
        };
        if let Some(kept) = options.into_kept(&key.text_at(3)?) {
            space.broker.subscribe(session, kept);
        }
        Ok(())
    })?;
    each(view, &MESSAGES, |key, bytes: Vec<u8>| {
        let owner = owner(key)?;
        let Some((_, session)) = found.get(&owner) else {
            lost.insert(owner);
            return Ok(());
        };
        let seq = key.bytes_at(3)?.try_into().map_err(|_| Fault::new("a message's number has eight bytes"))?;
        let seq = u64::from_be_bytes(seq);
        let released = bytes.is_empty();
        let (qos, size) = if released {
            (QoS::ExactlyOnce, 0)
        } else {
            let message = read_message(&bytes)?.message;
            (message.qos, message.weight())
        };
        session.restore(Restored { seq, qos, size, released });
        Ok(())
    })?;
    each(view, &RECEIVED, |key, ()| {
        let owner = owner(key)?;
        let Some((_, session)) = found.get(&owner) else {
            lost.insert(owner);
            return Ok(());
        };
        let number = key.bytes_at(3)?.try_into().map_err(|_| Fault::new("a packet identifier has two bytes"))?;
        if let Some(packet_id) = NonZeroU16::new(u16::from_be_bytes(number)) {
            session.keep_received(packet_id);
        }
        Ok(())
    })?;
    Ok(lost)
}

impl Options {
    fn into_kept(self, filter: &str) -> Option<Kept> {
        let retain_handling = match self.retain_handling {
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => RetainHandling::Send,
        };
        let subscription = Subscription {
            no_local: self.no_local,
            retain_as_published: self.retain_as_published,
            retain_handling,
            ..Subscription::new(Filter::try_from(filter).ok()?, QoS::from_number(self.qos)?)
        };
        Some(Kept { subscription, id: self.id.and_then(SubscriptionId::new) })
    }
}

/// A will as it was written down.
fn read_will(bytes: &[u8]) -> Result<Option<Will>, Fault> {
    let Publish { topic, qos, retain, payload, properties, .. } = read_message(bytes)?.message;
    let Some(topic) = topic.as_ref().map(Topic::compact) else { return Ok(None) };
    let properties = properties.map(|properties| *properties).unwrap_or_default();
    let properties = mqtt::WillProperties {
        will_delay_interval: None,
        payload_format_indicator: properties.payload_format_indicator,
        message_expiry_interval: properties.message_expiry_interval,
        content_type: properties.content_type,
        response_topic: properties.response_topic,
        correlation_data: properties.correlation_data,
        user_properties: properties.user_properties,
    };
    let payload = mqtt::Binary::new(Bytes::copy_from_slice(&payload));
    let payload = payload.map_err(|bad| Fault::because("read a stored will", bad))?;
    Ok(Some(Will { topic, payload, qos, retain, properties }))
}
