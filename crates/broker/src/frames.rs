//! A message on its way to many: encoded once for each wire form that is asked for, and the bytes shared. Knows nothing
//! of who gets it.

use std::num::NonZeroU16;

use bytes::BytesMut;
use mqtt::{EncodeError, Packet, Publish, PublishForm, PublishFrame, QoS, SubscriptionId, Topic, TopicAlias, Version};

/// A message and the forms made of it so far.
pub(crate) struct Frames<'m> {
    message: &'m Publish,
    /// Seconds since it came in, which its expiry has already spent [MQTT-3.3.2-6].
    age: u32,
    /// Whether it has so many recipients that making forms for sharing pays.
    shared: bool,
    made: Vec<(u8, PublishFrame)>,
}

/// What is one recipient's own in a message.
#[derive(Clone, Copy)]
pub(crate) struct Form<'a> {
    pub(crate) version: Version,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) ids: &'a [SubscriptionId],
    pub(crate) alias: Option<Alias>,
    pub(crate) packet_id: Option<NonZeroU16>,
    pub(crate) dup: bool,
    pub(crate) at_most: usize,
}

/// The number that stands for the topic on a connection, and whether the client knows it already.
#[derive(Clone, Copy)]
pub(crate) struct Alias {
    pub(crate) number: NonZeroU16,
    pub(crate) known: bool,
}

impl<'m> Frames<'m> {
    /// A message that has just come in and goes to so many.
    pub(crate) fn new(message: &'m Publish, recipients: usize) -> Self {
        Self { message, age: 0, shared: recipients > 1, made: Vec::new() }
    }

    /// A message that came in some seconds ago, for one recipient.
    pub(crate) fn aged(message: &'m Publish, age: u32) -> Self {
        Self { message, age, shared: false, made: Vec::new() }
    }

    pub(crate) fn message(&self) -> &'m Publish {
        self.message
    }

    pub(crate) fn topic(&self) -> &'m str {
        self.message.topic.as_ref().map_or("", Topic::as_str)
    }

    /// Appends the message in a recipient's form; nothing is appended if it is longer than the recipient takes.
    pub(crate) fn write(&mut self, form: Form<'_>, out: &mut BytesMut) -> Result<(), EncodeError> {
        if !form.ids.is_empty() || form.alias.is_some() || self.age > 0 && self.expires() {
            return self.write_alone(form, out);
        }
        let Form { version, qos, retain, packet_id, dup, .. } = form;
        if !self.shared {
            let own = PublishForm { version, qos, retain, packet_id, dup };
            return mqtt::encode_publish(self.message, own, form.at_most, out);
        }
        let kind = u8::from(version == Version::V5) | u8::from(retain) << 1 | qos.number() << 2;
        let known = self.made.iter().position(|(made, _)| *made == kind);
        let frame = if let Some(at) = known {
            &self.made[at].1
        } else {
            // Sharing the message's bytes; only what differs from the form at hand is set.
            let own = Publish { qos, retain, ..self.message.clone() };
            &self.made.push_mut((kind, PublishFrame::new(&own, version)?)).1
        };
        if frame.len() > form.at_most {
            return Err(EncodeError::TooLarge);
        }
        frame.write(packet_id, dup, out)
    }

    fn expires(&self) -> bool {
        self.message.properties.as_ref().is_some_and(|properties| properties.message_expiry_interval.is_some())
    }

    /// A form that nobody shares: with subscription identifiers, an alias, or what is left of its time.
    fn write_alone(&self, form: Form<'_>, out: &mut BytesMut) -> Result<(), EncodeError> {
        let mut own = Publish {
            qos: form.qos,
            retain: form.retain,
            packet_id: form.packet_id,
            dup: form.dup,
            ..self.message.clone()
        };
        if form.version == Version::V5 {
            let properties = own.properties.get_or_insert_default();
            properties.subscription_identifiers = form.ids.to_vec();
            if let Some(seconds) = &mut properties.message_expiry_interval {
                *seconds = seconds.saturating_sub(self.age);
            }
            if let Some(alias) = form.alias {
                properties.topic_alias = Some(TopicAlias(alias.number));
                if alias.known {
                    own.topic = None;
                }
            }
        }
        mqtt::encode(&Packet::Publish(own), form.version, form.at_most, out)
    }
}
