//! The properties of MQTT 5: which packet has which, and how each looks as bytes.
//!
//! One table per packet says it all; reading, writing and the rules "only there" and "only once" follow from it.
//! What a property means is not known here.

use std::num::{NonZeroU16, NonZeroU32};

use crate::packet::QoS;
use crate::reader::{Malformed, Reader};
use crate::reason::ReasonCode;
use crate::sink::{Count, Sink};
use crate::text::{Binary, Text};
use crate::topic::Topic;

/// The number that stands for a topic on one connection and in one direction; never zero [MQTT-3.3.2-8].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicAlias(pub NonZeroU16);

/// The number a client gives to a subscription: 1 to 268,435,455.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(u32);

impl SubscriptionId {
    /// The identifier with this number, unless it is zero or too large for a variable byte integer.
    pub fn new(number: u32) -> Option<SubscriptionId> {
        (1..=268_435_455).contains(&number).then_some(SubscriptionId(number))
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// A set of properties as it stands in one kind of packet.
pub(crate) trait Properties: Default {
    /// Reads the value of the property with that identifier, if this packet has it.
    fn read_value(&mut self, id: u32, reader: &mut Reader) -> Result<(), Malformed>;

    /// Writes all properties, without the length in front.
    fn write_all(&self, sink: &mut impl Sink);

    /// Reads the length and all properties.
    fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        let mut properties = Self::default();
        let length = reader.varint()?;
        let mut own = Reader::new(reader.bytes(length as usize)?);
        while !own.is_empty() {
            let id = own.varint()?;
            properties.read_value(id, &mut own)?;
        }
        Ok(properties)
    }

    /// Writes the length, zero included [MQTT-2.2.2-1], and all properties.
    fn write(&self, sink: &mut impl Sink) {
        let mut count = Count::default();
        self.write_all(&mut count);
        sink.varint(count.0);
        self.write_all(sink);
    }
}

/// Reads one value into its field, or says that it does not belong there or was there before.
trait Field {
    fn read(&mut self, reader: &mut Reader) -> Result<(), Malformed>;
    fn write(&self, id: u8, sink: &mut impl Sink);
}

/// How one value looks as bytes.
trait Value: Sized {
    fn read(reader: &mut Reader) -> Result<Self, Malformed>;
    fn write(&self, sink: &mut impl Sink);
}

impl<T: Value> Field for Option<T> {
    fn read(&mut self, reader: &mut Reader) -> Result<(), Malformed> {
        if self.is_some() {
            return Err(Malformed::protocol("a property is included more than once"));
        }
        *self = Some(T::read(reader)?);
        Ok(())
    }

    fn write(&self, id: u8, sink: &mut impl Sink) {
        if let Some(value) = self {
            sink.byte(id);
            value.write(sink);
        }
    }
}

impl<T: Value> Field for Vec<T> {
    fn read(&mut self, reader: &mut Reader) -> Result<(), Malformed> {
        self.push(T::read(reader)?);
        Ok(())
    }

    fn write(&self, id: u8, sink: &mut impl Sink) {
        for value in self {
            sink.byte(id);
            value.write(sink);
        }
    }
}

impl Value for bool {
    fn read(reader: &mut Reader) -> Result<bool, Malformed> {
        match reader.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::protocol("a property is neither 0 nor 1")),
        }
    }

    fn write(&self, sink: &mut impl Sink) {
        sink.byte(u8::from(*self));
    }
}

impl Value for QoS {
    /// Only the maximum QoS is a property, and it is never 2: that is said by leaving it out.
    fn read(reader: &mut Reader) -> Result<QoS, Malformed> {
        Ok(if bool::read(reader)? { QoS::AtLeastOnce } else { QoS::AtMostOnce })
    }

    fn write(&self, sink: &mut impl Sink) {
        sink.byte(self.number());
    }
}

impl Value for u16 {
    fn read(reader: &mut Reader) -> Result<u16, Malformed> {
        reader.two()
    }

    fn write(&self, sink: &mut impl Sink) {
        sink.two(*self);
    }
}

impl Value for u32 {
    fn read(reader: &mut Reader) -> Result<u32, Malformed> {
        reader.four()
    }

    fn write(&self, sink: &mut impl Sink) {
        sink.four(*self);
    }
}

impl Value for NonZeroU16 {
    fn read(reader: &mut Reader) -> Result<NonZeroU16, Malformed> {
        NonZeroU16::new(reader.two()?).ok_or(Malformed::protocol("receive maximum is zero"))
    }

    fn write(&self, sink: &mut impl Sink) {
        sink.two(self.get());
    }
}

impl Value for NonZeroU32 {
    fn read(reader: &mut Reader) -> Result<NonZeroU32, Malformed> {
        NonZeroU32::new(reader.four()?).ok_or(Malformed::protocol("maximum packet size is zero"))
    }

    fn write(&self, sink: &mut impl Sink) {
        sink.four(self.get());
    }
}

impl Value for TopicAlias {
    fn read(reader: &mut Reader) -> Result<TopicAlias, Malformed> {
        match NonZeroU16::new(reader.two()?) {
            Some(alias) => Ok(TopicAlias(alias)),
            None => Err(Malformed::new(ReasonCode::TopicAliasInvalid, "topic alias is zero")),
        }
    }

    fn write(&self, sink: &mut impl Sink) {
        sink.two(self.0.get());
    }
}

impl Value for SubscriptionId {
    fn read(reader: &mut Reader) -> Result<SubscriptionId, Malformed> {
        SubscriptionId::new(reader.varint()?).ok_or(Malformed::protocol("subscription identifier is zero"))
    }

    fn write(&self, sink: &mut impl Sink) {
        sink.varint(self.0 as usize);
    }
}

impl Value for Text {
    fn read(reader: &mut Reader) -> Result<Text, Malformed> {
        reader.text()
    }

    fn write(&self, sink: &mut impl Sink) {
        sink.prefixed(self.as_bytes());
    }
}

impl Value for Binary {
    fn read(reader: &mut Reader) -> Result<Binary, Malformed> {
        reader.binary()
    }

    fn write(&self, sink: &mut impl Sink) {
        sink.prefixed(self.as_bytes());
    }
}

impl Value for Topic {
    /// A response topic, which is UTF-8 [MQTT-3.3.2-13] and has no wildcards [MQTT-3.3.2-14].
    fn read(reader: &mut Reader) -> Result<Topic, Malformed> {
        reader.topic()
    }

    fn write(&self, sink: &mut impl Sink) {
        sink.prefixed(self.as_bytes());
    }
}

impl Value for (Text, Text) {
    /// A user property, both halves of which are UTF-8 [MQTT-1.5.7-1].
    fn read(reader: &mut Reader) -> Result<(Text, Text), Malformed> {
        Ok((reader.text()?, reader.text()?))
    }

    fn write(&self, sink: &mut impl Sink) {
        self.0.write(sink);
        self.1.write(sink);
    }
}

macro_rules! properties {
    ($( $(#[$doc:meta])* $name:ident { $( $(#[$field_doc:meta])* $field:ident: $type:ty = $id:literal, )* } )*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name { $( $(#[$field_doc])* pub $field: $type, )* }

        impl Properties for $name {
            fn read_value(&mut self, id: u32, reader: &mut Reader) -> Result<(), Malformed> {
                match id {
                    $( $id => Field::read(&mut self.$field, reader), )*
                    // Section 2.2.2.2: an identifier that is not valid for its packet type.
                    _ => Err(Malformed::packet("a property does not belong in the packet")),
                }
            }

            fn write_all(&self, sink: &mut impl Sink) {
                $( Field::write(&self.$field, $id, sink); )*
            }
        }
    )* };
}

properties! {
    /// The properties of CONNECT.
    ConnectProperties {
        /// Seconds the session outlives the connection; none is 0, `u32::MAX` is for ever.
        session_expiry_interval: Option<u32> = 0x11,
        /// How many QoS 1 and 2 messages the client takes at once; none is 65,535.
        receive_maximum: Option<NonZeroU16> = 0x21,
        /// The largest packet the client takes [MQTT-3.1.2-24].
        maximum_packet_size: Option<NonZeroU32> = 0x27,
        /// The highest topic alias the client takes [MQTT-3.1.2-26]; none is 0.
        topic_alias_maximum: Option<u16> = 0x22,
        /// Whether the client wants response information [MQTT-3.1.2-28]; none is no.
        request_response_information: Option<bool> = 0x19,
        /// Whether the client wants diagnostics in every packet [MQTT-3.1.2-29]; none is yes.
        request_problem_information: Option<bool> = 0x17,
        /// Name and value pairs.
        user_properties: Vec<(Text, Text)> = 0x26,
        /// The method of an enhanced authentication.
        authentication_method: Option<Text> = 0x15,
        /// The first data of the method.
        authentication_data: Option<Binary> = 0x16,
    }

    /// The properties of CONNACK.
    ConnAckProperties {
        /// The session expiry interval, where it is not the one asked for.
        session_expiry_interval: Option<u32> = 0x11,
        /// How many QoS 1 and 2 messages the server takes at once; none is 65,535.
        receive_maximum: Option<NonZeroU16> = 0x21,
        /// The highest QoS the server supports, 0 or 1 [MQTT-3.2.2-9]; none is 2.
        maximum_qos: Option<QoS> = 0x24,
        /// Whether the server retains messages; none is yes.
        retain_available: Option<bool> = 0x25,
        /// The largest packet the server takes [MQTT-3.2.2-15].
        maximum_packet_size: Option<NonZeroU32> = 0x27,
        /// The identifier given to a client that had none [MQTT-3.2.2-16].
        assigned_client_identifier: Option<Text> = 0x12,
        /// The highest topic alias the server takes [MQTT-3.2.2-17]; none is 0.
        topic_alias_maximum: Option<u16> = 0x22,
        /// Diagnostics in words [MQTT-3.2.2-19].
        reason_string: Option<Text> = 0x1F,
        /// Name and value pairs [MQTT-3.2.2-20].
        user_properties: Vec<(Text, Text)> = 0x26,
        /// Whether wildcards may be subscribed to; none is yes.
        wildcard_subscription_available: Option<bool> = 0x28,
        /// Whether subscription identifiers are supported; none is yes.
        subscription_identifiers_available: Option<bool> = 0x29,
        /// Whether shared subscriptions are supported; none is yes.
        shared_subscription_available: Option<bool> = 0x2A,
        /// The keep alive the client must use instead of its own [MQTT-3.2.2-21].
        server_keep_alive: Option<u16> = 0x13,
        /// What response topics are made from.
        response_information: Option<Text> = 0x1A,
        /// Another server to use.
        server_reference: Option<Text> = 0x1C,
        /// The method of the enhanced authentication.
        authentication_method: Option<Text> = 0x15,
        /// The last data of the method.
        authentication_data: Option<Binary> = 0x16,
    }

    /// The properties of PUBLISH.
    PublishProperties {
        /// Whether the payload is UTF-8 text; none and no are the same.
        payload_format_indicator: Option<bool> = 0x01,
        /// Seconds until the message is worth nothing.
        message_expiry_interval: Option<u32> = 0x02,
        /// The number that stands for the topic, or will from now on.
        topic_alias: Option<TopicAlias> = 0x23,
        /// Where an answer is expected.
        response_topic: Option<Topic> = 0x08,
        /// What the answer is recognised by.
        correlation_data: Option<Binary> = 0x09,
        /// Name and value pairs, in order [MQTT-3.3.2-18].
        user_properties: Vec<(Text, Text)> = 0x26,
        /// The subscriptions that the message is delivered for [MQTT-3.3.4-3]; never from a client [MQTT-3.3.4-6].
        subscription_identifiers: Vec<SubscriptionId> = 0x0B,
        /// What the payload is, in words of the application.
        content_type: Option<Text> = 0x03,
    }

    /// The properties of the will in CONNECT.
    WillProperties {
        /// Seconds between the end of the connection and the will [MQTT-3.1.3-9]; none is 0.
        will_delay_interval: Option<u32> = 0x18,
        /// Whether the payload is UTF-8 text; none and no are the same.
        payload_format_indicator: Option<bool> = 0x01,
        /// Seconds until the message is worth nothing.
        message_expiry_interval: Option<u32> = 0x02,
        /// What the payload is, in words of the application.
        content_type: Option<Text> = 0x03,
        /// Where an answer is expected.
        response_topic: Option<Topic> = 0x08,
        /// What the answer is recognised by.
        correlation_data: Option<Binary> = 0x09,
        /// Name and value pairs, in order [MQTT-3.1.3-10].
        user_properties: Vec<(Text, Text)> = 0x26,
    }

    /// The properties of PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK.
    AckProperties {
        /// Diagnostics in words.
        reason_string: Option<Text> = 0x1F,
        /// Name and value pairs.
        user_properties: Vec<(Text, Text)> = 0x26,
    }

    /// The properties of SUBSCRIBE.
    SubscribeProperties {
        /// The number that comes back with each message of these subscriptions.
        subscription_identifier: Option<SubscriptionId> = 0x0B,
        /// Name and value pairs.
        user_properties: Vec<(Text, Text)> = 0x26,
    }

    /// The properties of UNSUBSCRIBE.
    UnsubscribeProperties {
        /// Name and value pairs.
        user_properties: Vec<(Text, Text)> = 0x26,
    }

    /// The properties of DISCONNECT.
    DisconnectProperties {
        /// A new session expiry interval; never from a server [MQTT-3.14.2-2].
        session_expiry_interval: Option<u32> = 0x11,
        /// Diagnostics in words [MQTT-3.14.2-3].
        reason_string: Option<Text> = 0x1F,
        /// Name and value pairs [MQTT-3.14.2-4].
        user_properties: Vec<(Text, Text)> = 0x26,
        /// Another server to use.
        server_reference: Option<Text> = 0x1C,
    }

    /// The properties of AUTH.
    AuthProperties {
        /// The method; it may not be missing.
        authentication_method: Option<Text> = 0x15,
        /// The data of this step.
        authentication_data: Option<Binary> = 0x16,
        /// Diagnostics in words [MQTT-3.15.2-2].
        reason_string: Option<Text> = 0x1F,
        /// Name and value pairs [MQTT-3.15.2-3].
        user_properties: Vec<(Text, Text)> = 0x26,
    }
}

impl PublishProperties {
    /// What they take in memory. A packet can hold thousands of pairs of user properties, and each takes more there than on the wire.
    pub(crate) fn weight(&self) -> usize {
        const PAIR: usize = 96;
        let pairs = self.user_properties.iter().map(|(name, value)| name.len() + value.len() + PAIR);
        let texts = [
            self.content_type.as_ref().map(Text::len),
            self.response_topic.as_ref().map(|topic| topic.as_str().len()),
            self.correlation_data.as_ref().map(|data| data.as_bytes().len()),
        ];
        pairs.chain(texts.into_iter().flatten()).sum()
    }

    /// The same properties in bytes of their own.
    pub(crate) fn compact(&self) -> PublishProperties {
        PublishProperties {
            response_topic: self.response_topic.as_ref().map(Topic::compact),
            correlation_data: self.correlation_data.as_ref().map(Binary::compact),
            user_properties: self.user_properties.iter().map(|(n, v)| (n.compact(), v.compact())).collect(),
            content_type: self.content_type.as_ref().map(Text::compact),
            subscription_identifiers: self.subscription_identifiers.clone(),
            ..*self
        }
    }
}
