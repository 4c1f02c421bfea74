//! MQTT 3.1.1 and 5: packets, topics and filters, as values and as bytes.
//!
//! Bytes from a connection go through a [`Decoder`] and come out as [`Packet`]s; [`encode`] is the way back,
//! and a [`PublishFrame`] is a PUBLISH encoded once for many recipients. Strings, payloads and topics of a
//! decoded packet are slices of the read buffer: nothing is copied, and whoever keeps a small piece for long
//! should copy it (see [`Publish::compact`]).
//!
//! The crate knows nothing of sockets, sessions, storage, clocks, or of who may do what. Rules are cited by the
//! identifiers of the MQTT 5 specification; where 3.1.1 numbers the same rule differently both are given.

mod text;

mod reason;

mod topic;

mod property;

mod packet;

mod rules;

mod reader;

mod decode;

mod encode;

mod sink;

pub use decode::Decoder;
pub use encode::{EncodeError, PublishForm, PublishFrame, encode, encode_publish, encoded_len};
pub use packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, Publish, QoS, RetainHandling, SubAck, Subscribe, Subscription,
    UnsubAck, Unsubscribe, Version, Will,
};
pub use property::{
    AckProperties, AuthProperties, ConnAckProperties, ConnectProperties, DisconnectProperties, PublishProperties,
    SubscribeProperties, SubscriptionId, TopicAlias, UnsubscribeProperties, WillProperties,
};
pub use reader::Malformed;
pub use reason::ReasonCode;
pub use text::{Binary, InvalidText, Text};
pub use topic::{Filter, InvalidFilter, InvalidTopic, Topic};
