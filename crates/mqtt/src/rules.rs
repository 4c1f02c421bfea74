//! The rules that a packet's fields must obey together, asked of what was decoded and of what is to be encoded.
//!
//! What a single field can be is said by its type; what a session allows is not known here.

use crate::packet::{Auth, Packet, Publish, QoS, Subscribe, Version};
use crate::property::AuthProperties;
use crate::reader::Malformed;
use crate::reason::{Place, ReasonCode};
use crate::text::{Binary, Text};

/// Whether the packet may be sent at all in that version.
pub(crate) fn check(packet: &Packet, version: Version) -> Result<(), Malformed> {
    match packet {
        Packet::Connect(p) => {
            // 3.1.1: [MQTT-3.1.2-22]; MQTT 5 allows a password alone.
            if version == Version::V311 && p.password.is_some() && p.username.is_none() {
                return Err(Malformed::packet("password without user name"));
            }
            check_method(p.properties.authentication_method.as_ref(), p.properties.authentication_data.as_ref())
        }
        Packet::ConnAck(p) => {
            if p.session_present && p.reason != ReasonCode::Success {
                // [MQTT-3.2.2-6] (3.1.1: [MQTT-3.2.2-4])
                return Err(Malformed::protocol("session present in a refusal"));
            }
            if p.properties.maximum_qos == Some(QoS::ExactlyOnce) {
                return Err(Malformed::protocol("maximum QoS is neither 0 nor 1"));
            }
            check_reason(p.reason, Place::ConnAck)?;
            check_method(p.properties.authentication_method.as_ref(), p.properties.authentication_data.as_ref())
        }
        Packet::Publish(p) => check_publish(p, version),
        Packet::PubAck(p) | Packet::PubRec(p) => check_reason(p.reason, Place::Publish),
        Packet::PubRel(p) | Packet::PubComp(p) => check_reason(p.reason, Place::Release),
        Packet::Subscribe(p) => check_subscribe(p),
        Packet::SubAck(p) => check_reasons(&p.reasons, Place::SubAck),
        // [MQTT-3.10.3-2]
        Packet::Unsubscribe(p) if p.filters.is_empty() => Err(Malformed::protocol("UNSUBSCRIBE has no topic filter")),
        Packet::UnsubAck(p) if version == Version::V5 => check_reasons(&p.reasons, Place::UnsubAck),
        Packet::Disconnect(p) => check_reason(p.reason, Place::Disconnect),
        Packet::Auth(p) => {
            if version == Version::V311 {
                return Err(Malformed::packet("AUTH does not exist in MQTT 3.1.1"));
            }
            check_reason(p.reason, Place::Auth)?;
            check_auth(p)
        }
        Packet::Unsubscribe(_) | Packet::UnsubAck(_) | Packet::PingReq | Packet::PingResp => Ok(()),
    }
}

/// The method may only be missing from the short form: success and no properties (section 3.15.2.1).
fn check_auth(auth: &Auth) -> Result<(), Malformed> {
    let short = auth.reason == ReasonCode::Success && auth.properties == AuthProperties::default();
    if auth.properties.authentication_method.is_none() && !short {
        return Err(Malformed::protocol("AUTH has no authentication method"));
    }
    Ok(())
}

fn check_publish(publish: &Publish, version: Version) -> Result<(), Malformed> {
    if publish.qos == QoS::AtMostOnce {
        // [MQTT-3.3.1-2]
        if publish.dup {
            return Err(Malformed::packet("DUP with QoS 0"));
        }
        // [MQTT-2.2.1-2] (3.1.1: [MQTT-2.3.1-5])
        if publish.packet_id.is_some() {
            return Err(Malformed::packet("packet identifier with QoS 0"));
        }
    } else if publish.packet_id.is_none() {
        // [MQTT-2.2.1-3], [MQTT-2.2.1-4] (3.1.1: [MQTT-2.3.1-1])
        return Err(Malformed::protocol("no packet identifier with QoS 1 or 2"));
    }
    check_topic_or_alias(publish, version)
}

/// [MQTT-4.7.3-1]; in MQTT 5 a topic alias may stand for the topic (section 3.3.2.1).
pub(crate) fn check_topic_or_alias(publish: &Publish, version: Version) -> Result<(), Malformed> {
    let has_alias = || publish.properties.as_ref().is_some_and(|p| p.topic_alias.is_some());
    if publish.topic.is_some() || (version == Version::V5 && has_alias()) {
        return Ok(());
    }
    Err(Malformed::protocol("PUBLISH has neither topic name nor topic alias"))
}

fn check_subscribe(subscribe: &Subscribe) -> Result<(), Malformed> {
    if subscribe.subscriptions.is_empty() {
        // [MQTT-3.8.3-2] (3.1.1: [MQTT-3.8.3-3])
        return Err(Malformed::protocol("SUBSCRIBE has no topic filter"));
    }
    if subscribe.subscriptions.iter().any(|s| s.no_local && s.filter.share_name().is_some()) {
        // [MQTT-3.8.3-4]
        return Err(Malformed::protocol("no local on a shared subscription"));
    }
    Ok(())
}

/// Sections 3.1.2.11.10 and 3.2.2.3.18: data means nothing without a method.
fn check_method(method: Option<&Text>, data: Option<&Binary>) -> Result<(), Malformed> {
    if data.is_some() && method.is_none() {
        return Err(Malformed::protocol("authentication data without authentication method"));
    }
    Ok(())
}

fn check_reason(reason: ReasonCode, place: Place) -> Result<(), Malformed> {
    if reason.may_stand_in(place) {
        return Ok(());
    }
    Err(Malformed::protocol("reason code does not belong in the packet"))
}

/// One reason code for each filter asked about, and there was at least one: [MQTT-3.8.4-6], [MQTT-3.11.3-1].
fn check_reasons(reasons: &[ReasonCode], place: Place) -> Result<(), Malformed> {
    if reasons.is_empty() {
        return Err(Malformed::protocol("acknowledgement has no reason code"));
    }
    reasons.iter().try_for_each(|reason| check_reason(*reason, place))
}
