//! The nouns of AWS IoT (things, certificates, policies, shadows …), what their operations do, and the way of one message.
//!
//! A [`House`] is the whole platform behind one door: operations and packets come in with a time and some entropy,
//! answers and messages go out. Synchronous and pure: a clock, sockets, TLS, randomness and threads are unknown here;
//! the doors (`server`) pass in what they know. One noun, one file: record, table, operations, tests.

mod house;

// The way of a request and of a message.
mod caller;
mod connection;
mod entropy;
mod figures;
mod identity;
mod left_behind;
mod lifecycle;
mod logging;
mod message;
mod operation;
mod origin;
mod permissions;
mod quotas;
mod scope;
mod signer;
pub mod why;

// The nouns.
pub mod actions;
mod attributes;
mod authorizations;
mod billing_groups;
mod ca_certificates;
mod certificates;
mod destinations;
mod domain_configurations;
mod endpoints;
mod event_configurations;
mod naming;
mod neighbours;
mod policies;
mod principals;
mod publish;
mod retained;
mod role_aliases;
mod rules;
mod sessions;
mod shadows;
mod tags;
mod thing_groups;
mod thing_types;
mod things;

// What is said to the outside, and what is brought in.
mod authority;
mod events;
mod news;
mod settings;
mod vault;
mod x509;

pub use authority::{Authority, Issued, KeyPair, NotIssued};
pub use caller::{Caller, IamUser, Identity, Whence};
pub use certificates::Introduced;
pub use connection::{Arrived, Connection, MAXIMUM_PACKET_SIZE, NotConnected, Peer};
pub use domain_configurations::{ApplicationProtocol, Authentication, Domain, SecurityPolicy};
pub use entropy::uuid;
pub use events::{Event, Kind, Refused, Rival, Witness};
pub use figures::Total;
pub use house::{Fetch, House, Job, Plan, Wait};
pub use identity::{Principal, Turned};
pub use neighbours::functions::{Code, Due, Entry, Function, Invocation, Invoked, KEYS_LAST, Keys, Outcome, Package};
pub use neighbours::objects;
pub use neighbours::sts::NotForRules;
pub use neighbours::sts::session::RoleSession;
pub use operation::Failure;
pub use rules::{Ask, Deed, Errand, Published, Ticket, Turn};
pub use scope::Scope;
pub use settings::{LogBounds, Quotas, Settings};
pub use signer::{NotASigner, Secret, Signer};
pub use vault::{KEY_BYTES, Vault};
pub use x509::certificate_id;

/// The operations of every noun: what is not in one of these lists answers 501 by name.
const NOUNS: &[&[operation::Op]] = &[
    authorizations::OPS,
    ca_certificates::OPS,
    billing_groups::OPS,
    certificates::OPS,
    certificates::REGISTRATION,
    certificates::TRANSFERS,
    connection::OPS,
    destinations::OPS,
    domain_configurations::OPS,
    endpoints::OPS,
    event_configurations::OPS,
    logging::OPS,
    neighbours::iam::aliases::OPS,
    neighbours::iam::attached::OPS,
    neighbours::iam::groups::OPS,
    neighbours::iam::inline::OPS,
    neighbours::iam::keys::OPS,
    neighbours::iam::lacking::OPS,
    neighbours::iam::policies::OPS,
    neighbours::iam::roles::OPS,
    neighbours::iam::users::OPS,
    neighbours::logs::OPS,
    neighbours::secrets::OPS,
    neighbours::secrets::batch::OPS,
    neighbours::secrets::listing::OPS,
    neighbours::secrets::password::OPS,
    neighbours::secrets::stages::OPS,
    neighbours::metrics::OPS,
    neighbours::functions::OPS,
    neighbours::functions::FURTHER[0],
    neighbours::functions::FURTHER[1],
    neighbours::functions::FURTHER[2],
    neighbours::functions::FURTHER[3],
    neighbours::sts::OPS,
    neighbours::tables::OPS,
    neighbours::tables::batches::OPS,
    neighbours::tables::items::OPS,
    neighbours::tables::labels::OPS,
    neighbours::tables::query::OPS,
    neighbours::tables::scan::OPS,
    neighbours::tables::transactions::OPS,
    policies::OPS,
    policies::targets::OPS,
    principals::OPS,
    publish::OPS,
    retained::OPS,
    role_aliases::OPS,
    rules::OPS,
    shadows::OPS,
    tags::OPS,
    thing_groups::OPS,
    thing_groups::dynamic::OPS,
    thing_groups::members::OPS,
    thing_types::OPS,
    things::OPS,
];
