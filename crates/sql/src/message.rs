//! What a statement is evaluated against: one message, and what is known of its sender. All of it is borrowed, and time and
//! entropy are part of it, so that the same message always gives the same result. Who sent it how is not known here.

use std::sync::OnceLock;

use bytes::Bytes;

use crate::json::{Document, Outline};

/// A payload. Whoever brings one message to several statements and templates brings the same one, and it is read as JSON no
/// more than once for each way of writing numbers, and not at all while nobody asks.
#[derive(Debug)]
pub struct Payload {
    bytes: Bytes,
    /// As versions of the language see it that leave 10.0 as it is, and as those do that write 10.
    outlines: [OnceLock<Option<Outline>>; 2],
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Payload {
        Payload { bytes, outlines: Default::default() }
    }
}

impl Payload {
    /// The payload as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The payload as JSON, if it is.
    pub(crate) fn document(&self, whole: bool) -> Option<Document<'_>> {
        let text = std::str::from_utf8(&self.bytes).ok()?;
        let outline = self.outlines[usize::from(whole)].get_or_init(|| Outline::read(text, whole));
        outline.as_ref().map(|outline| outline.document(text))
    }
}

/// One message and its circumstances.
#[derive(Clone, Copy, Debug)]
pub struct Message<'m> {
    /// The topic it was published to. `topic()` leaves out a leading `$aws/rules/NAME/`.
    pub topic: &'m str,
    /// The payload.
    pub payload: &'m Payload,
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

#[cfg(test)]
mod tests {
    use crate::{Nowhere, Outcome, Statement, Variables, Version};

    use super::*;

    fn message(payload: &Payload) -> Message<'_> {
        Message {
            topic: "a/b",
            payload,
            client_id: None,
            principal: None,
            source_ip: None,
            trace_id: None,
            account: "000000000000",
            region: "us-east-1",
            now: 0,
            seed: 0,
            properties: Properties::default(),
        }
    }

    fn selects(sql: &str, version: Version, payload: &Payload) -> bool {
        let statement = Statement::parse(sql, version).unwrap();
        matches!(statement.evaluate(&message(payload), &mut Nowhere), Outcome::Selected(_))
    }

    /// Where what was read of a payload lies, by the way of writing numbers.
    fn places(payload: &Payload) -> [Option<*const Option<Outline>>; 2] {
        [0, 1].map(|way: usize| payload.outlines[way].get().map(std::ptr::from_ref))
    }

    #[test]
    fn a_payload_is_read_once_for_all_and_not_before_somebody_asks() {
        let payload = Payload::from(Bytes::from_static(br#"{"a":1}"#));
        for sql in ["SELECT * FROM 'a/b'", "SELECT topic(1) AS t, encode(*, 'base64') AS p FROM 'a/b' WHERE TRUE"] {
            assert!(selects(sql, Version::V20160323, &payload), "{sql}");
        }
        assert_eq!(places(&payload), [None, None]);
        assert!(selects("SELECT a FROM 'a/b'", Version::V20160323, &payload));
        let [None, Some(read)] = places(&payload) else { panic!() };
        assert!(selects("SELECT b FROM 'a/b' WHERE a = 1", Version::V20160323, &payload));
        let template = crate::Template::parse("${a}", Version::V20160323).unwrap();
        assert_eq!(template.render(&message(&payload), &Variables::default(), &mut Nowhere).unwrap(), "1");
        assert_eq!(places(&payload), [None, Some(read)]);
        assert!(selects("SELECT a FROM 'a/b'", Version::V20151008, &payload));
        assert!(matches!(places(&payload), [Some(_), Some(again)] if again == read));
    }

    #[test]
    fn what_is_no_text_is_no_json_and_that_is_remembered_too() {
        let payload = Payload::from(Bytes::from_static(b"\"\xff\""));
        assert!(payload.document(true).is_none());
        let payload = Payload::from(Bytes::from_static(b"nothing"));
        assert!(payload.document(true).is_none());
        assert!(matches!(payload.outlines[1].get(), Some(None)));
    }
}
