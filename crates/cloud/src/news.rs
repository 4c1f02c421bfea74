//! What a transaction wants told once it is on disk: messages to route, principals to ask again. It does not know
//! who listens, nor whether the commit will succeed.

use std::sync::Arc;

use broker::Plan;
use mqtt::Publish;

use crate::actions::Effect;
use crate::rules::Heard;

use crate::events::Kind;
use crate::figures::{Count, ShadowUpdate};
use crate::logging::Record;
use crate::neighbours::functions::Due;

/// Released after the commit, in order; never if the transaction was refused or failed.
pub(crate) enum News {
    /// A message to route. The session it came from, if it wants none of its own messages back.
    Publication(Publish, Option<u64>),
    /// A message whose recipients are known: what stored sessions get of it is part of the transaction.
    Planned(Publish, Arc<Plan>),
    /// A message for one rule alone, by basic ingest.
    Ingested(Arc<str>, Publish),
    /// A message that rules have heard; what must not be lost of it is part of the transaction.
    Heard(Box<Heard>),
    /// A rule has been made, changed or taken away.
    Rule(String),
    /// A challenge to whoever owns a destination of rules.
    Challenge(Box<Effect>),
    /// Whatever decides what this principal may do has changed: its certificate, policies or things.
    Identity(String),
    /// What a thing type adds to the messages of its things has changed.
    Propagation,
    /// What this policy says has changed, or that it is there: whoever it reaches is asked again.
    Policy(String),
    /// The policies of this thing group have changed: whoever it reaches is asked again.
    Group(String),
    /// What a user, a role or the holder of a root's key may do has changed, in every region: its ARN, or the key's id.
    Permissions(String),
    /// What is logged has been set anew.
    Logging,
    /// One more of this.
    Count(Count),
    /// A shadow has been updated.
    ShadowUpdated(Box<ShadowUpdate>),
    /// An entry of the platform's own logs.
    Log(Box<Record>),
    /// An event waits for its function.
    Due(Due),
    /// Something to tell the witness.
    Event(Kind),
    /// AWS would have refused this for the limit in these words.
    OverQuota(&'static str),
}
