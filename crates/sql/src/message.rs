//! What a statement is evaluated against: one message, and what is known of its sender. All of it is borrowed, and time and
//! entropy are part of it, so that the same message always gives the same result. Who sent it how is not known here.

use bytes::Bytes;

/// One message and its circumstances.
#[derive(Clone, Copy, Debug)]
pub struct Message<'m> {
    /// The topic it was published to. `topic()` leaves out a leading `$aws/rules/NAME/`.
    pub topic: &'m str,
    /// The payload as it came.
    pub payload: &'m Bytes,
    /// `clientid()`; without one the function says `n/a`.
    pub client_id: Option<&'m str>,
    /// `principal()`: a certificate's id, or what stands for another kind of identity.
    pub principal: Option<&'m str>,
    /// `sourceip()`.
    pub source_ip: Option<&'m str>,
    /// `traceid()`.
    pub trace_id: Option<&'m str>,
    /// `accountid()`.
    pub account: &'m str,
    /// The region it was published in, which no function tells.
    pub region: &'m str,
    /// `timestamp()`: milliseconds since 1970.
    pub now: i64,
    /// What `rand()` and `newuuid()` are made of: equal seeds, equal results. A statement and a template, or two different
    /// templates, make different values of one seed.
    pub seed: u128,
    /// MQTT 5's properties.
    pub properties: Properties<'m>,
}

/// The properties of an MQTT 5 message that the language can read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Properties<'m> {
    /// `get_mqtt_property('content_type')`.
    pub content_type: Option<&'m str>,
    /// `get_mqtt_property('response_topic')`.
    pub response_topic: Option<&'m str>,
    /// `get_mqtt_property('correlation_data')`, which is answered in base64.
    pub correlation_data: Option<&'m [u8]>,
    /// `get_mqtt_property('format_indicator')`: whether the payload is said to be UTF-8.
    pub utf8: bool,
    /// `get_user_properties(…)`, in order.
    pub user: &'m [(&'m str, &'m str)],
}
