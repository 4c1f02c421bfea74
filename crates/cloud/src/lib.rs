//! The nouns of AWS IoT (things, certificates, policies, shadows …), what their operations do, and the way of one message.
//! Synchronous and pure: a clock, sockets, TLS, randomness and threads are unknown here; they are passed in by the doors.

mod authority;

pub use authority::{Authority, Issued, KeyPair, NotIssued};
