//! A message on its way to many: encoded once for each wire form that is asked for, and the bytes shared. Knows nothing
//! of who gets it.

use std::num::NonZeroU16;

use bytes::BytesMut;
use mqtt::{EncodeError, Packet, Publish, PublishFrame, QoS, SubscriptionId, Topic, TopicAlias, Version};

/// A message and the forms made of it so far.
pub(crate) struct Frames<'m> {
    message: &'m Publish,
    /// Seconds since it came in, which its expiry has already spent [MQTT-3.3.2-6].
    age: u32,
    made: [Option<PublishFrame>; 12],
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
    /// A message that has just come in.
    pub(crate) fn new(message: &'m Publish) -> Self {
        Self::aged(message, 0)
    }

    /// A message that came in some seconds ago.
    pub(crate) fn aged(message: &'m Publish, age: u32) -> Self {
        Self { message, age, made: [const { None }; 12] }
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
        let slot = usize::from(form.version == Version::V5)
            | usize::from(form.retain) << 1
            | usize::from(form.qos.number()) << 2;
        let Some(made) = self.made.get_mut(slot) else { return Ok(()) };
        let frame = if let Some(frame) = made {
            frame
        } else {
            // Sharing the message's bytes; only what differs from the form at hand is set.
            let own = Publish { qos: form.qos, retain: form.retain, ..self.message.clone() };
            made.insert(PublishFrame::new(&own, form.version)?)
        };
        if frame.len() > form.at_most {
            return Err(EncodeError::TooLarge);
        }
        frame.write(form.packet_id, form.dup, out)
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
