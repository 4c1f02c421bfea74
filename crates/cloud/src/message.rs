//! The way of one message: which topics are reserved and where they lead. A plain message goes to whoever
//! subscribed; one on a shadow's topic also to the shadow; a retained one is kept first. Policies have been
//! asked before, and who subscribed is the broker's affair.

use mqtt::Publish;

use crate::logging::Record;
use crate::news::News;
use crate::operation::Answer;
use crate::retained;
use crate::scope::Write;
use crate::shadows;

/// Why a topic cannot be published on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unsuited {
    /// The word of the refusal event.
    pub(crate) decision: &'static str,
    /// The same for a person.
    pub(crate) reason: String,
}

/// Where a topic leads.
#[derive(Debug, PartialEq, Eq)]
enum Lead<'t> {
    /// To whoever subscribed.
    Plain,
    /// Also to a shadow.
    Shadow(shadows::Ask<'t>),
    /// To one rule, and to nobody else: its name, and the topic that it sees.
    Rule(&'t str, &'t str),
    /// To a feature that is not built; its name.
    NotBuilt(&'static str),
    /// Nowhere: `$` begins AWS's own topics (mqtt.md §7).
    Unknown,
}

/// Reserved topics whose features are not built, by the words that tell them: refused by name, never swallowed.
const NOT_BUILT: [(&str, &str); 4] = [
    ("$aws/certificates/", "fleet provisioning"),
    ("$aws/provisioning-templates/", "fleet provisioning"),
    ("$aws/device_location/", "device location"),
    ("$aws/commands/", "commands"),
];

/// The same below `$aws/things/{thing}/`.
const NOT_BUILT_OF_THINGS: [(&str, &str); 4] =
    [("jobs", "jobs over MQTT"), ("defender", "Device Defender"), ("streams", "file streams"), ("tunnels", "tunnels")];

fn lead(topic: &str) -> Lead<'_> {
    if !topic.starts_with('$') {
        return Lead::Plain;
    }
    if let Some(rest) = topic.strip_prefix("$aws/rules/") {
        return match rest.split_once('/') {
            Some((rule, rest)) if !rule.is_empty() && !rest.is_empty() => Lead::Rule(rule, rest),
            _ => Lead::Unknown,
        };
    }
    if let Some((_, feature)) = NOT_BUILT.iter().find(|(prefix, _)| topic.starts_with(prefix)) {
        return Lead::NotBuilt(feature);
    }
    let Some((_, rest)) = topic.strip_prefix("$aws/things/").and_then(|rest| rest.split_once('/')) else {
        return Lead::Unknown;
    };
    let family = rest.split('/').next().unwrap_or_default();
    if let Some((_, feature)) = NOT_BUILT_OF_THINGS.iter().find(|(name, _)| *name == family) {
        return Lead::NotBuilt(feature);
    }
    match shadows::Ask::of_topic(topic) {
        Some(ask) => Lead::Shadow(ask),
        // The service's own answers: who may publish there is heard, and the shadow takes no notice.
        None if family == "shadow" && shadows::is_answer(topic) => Lead::Plain,
        None => Lead::Unknown,
    }
}

/// Whether a topic can be published on at all. `free` opens the topics with `$` that are not AWS's own: the specification
/// leaves them to the server [MQTT-4.7.2-1].
pub(crate) fn examine(topic: &str, retain: bool, free: bool) -> Result<(), Unsuited> {
    let unsuited = |decision, reason| Err(Unsuited { decision, reason });
    match lead(topic) {
        Lead::Unknown if free && !topic.starts_with("$aws/") => Ok(()),
        Lead::NotBuilt(feature) => unsuited("NOT_BUILT", format!("{feature} is not built yet")),
        Lead::Unknown => unsuited("RESERVED_TOPIC", "topics that begin with $ are reserved".to_owned()),
        // unconfirmed: AWS "may" end the connection for this; it is refused as an invalid topic.
        _ if retain && topic.starts_with('$') => {
            unsuited("RESERVED_TOPIC", "nothing is retained on reserved topics".to_owned())
        }
        Lead::Plain | Lead::Shadow(_) | Lead::Rule(..) => Ok(()),
    }
}

/// Whether a message that may be published needs nothing but its subscribers: no transaction.
pub(crate) fn is_plain(publish: &Publish) -> bool {
    !publish.retain
        && publish.topic.as_ref().is_some_and(|topic| matches!(lead(topic.as_str()), Lead::Plain | Lead::Unknown))
}

/// Whether a payload that is declared to be text is [MQTT-3.3.2-4].
pub(crate) fn is_as_declared(publish: &Publish) -> bool {
    let declared = publish.properties.as_ref().and_then(|properties| properties.payload_format_indicator);
    declared != Some(true) || std::str::from_utf8(&publish.payload).is_ok()
}

/// A log entry about a message that went through.
pub(crate) fn record(event: &'static str, message: &Publish) -> Record {
    let topic = message.topic.as_ref().map_or("", mqtt::Topic::as_str);
    let record = Record::success(event).with("topicName", topic);
    // As AWS writes it, and only then.
    if message.retain { record.with("retain", "True") } else { record }
}

/// The topic that rules see of one that leads to a rule by basic ingest: its prefix is left out (rules.md §8).
pub(crate) fn ingested(topic: &str) -> Option<&str> {
    match lead(topic) {
        Lead::Rule(_, rest) => Some(rest),
        _ => None,
    }
}

/// Takes a message in: keeps it if it is retained, tells it to its subscribers, and asks the shadow it is for.
pub(crate) fn publish(db: &mut Write, message: &Publish, from: Option<u64>) -> Answer<()> {
    broadcast(db, message, from)?;
    match lead(message.topic.as_ref().map_or("", mqtt::Topic::as_str)) {
        Lead::Shadow(ask) => shadows::by_message(db, &ask, &message.payload),
        _ => Ok(()),
    }
}

/// Takes a message in for its subscribers and rules only, as a will is.
pub(crate) fn broadcast(db: &mut Write, message: &Publish, from: Option<u64>) -> Answer<()> {
    if let Lead::Rule(rule, _) = lead(message.topic.as_ref().map_or("", mqtt::Topic::as_str)) {
        // Nobody may subscribe there (rules.md §8): the rule alone gets it.
        db.tell(News::Ingested(rule.into(), message.clone()));
        return Ok(());
    }
    if message.retain {
        retained::keep(db, message)?;
    }
    db.tell(News::Publication(message.clone(), from));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shadows::AskKind::{Delete, Get, Update};

    #[test]
    fn reserved_topics_lead_where_their_table_says() {
        let shadow = |thing, shadow, kind| Lead::Shadow(shadows::Ask { thing, shadow, kind });
        let cases = [
            ("a/b", Lead::Plain),
            ("$aws/things/t/shadow/update", shadow("t", "", Update)),
            ("$aws/things/t/shadow/get", shadow("t", "", Get)),
            ("$aws/things/t/shadow/name/s/delete", shadow("t", "s", Delete)),
            ("$aws/things/t/shadow/update/accepted", Lead::Plain),
            ("$aws/things/t/shadow/name/s/update/delta", Lead::Plain),
            ("$aws/things/t/shadow/elsewhere", Lead::Unknown),
            ("$aws/things/t/jobs/get", Lead::NotBuilt("jobs over MQTT")),
            ("$aws/rules/r/a/b", Lead::Rule("r", "a/b")),
            ("$aws/rules/r", Lead::Unknown),
            ("$aws/events/presence/connected/c", Lead::Unknown),
            ("$SYS/uptime", Lead::Unknown),
            ("$aws/things/a b/shadow/update", Lead::Unknown),
        ];
        for (topic, expected) in cases {
            assert_eq!(lead(topic), expected, "{topic}");
        }
    }

    #[test]
    fn nothing_is_retained_on_reserved_topics() {
        assert!(examine("$aws/things/t/shadow/update", false, false).is_ok());
        let retained = examine("$aws/things/t/shadow/update", true, false);
        assert_eq!(retained.map_err(|no| no.decision), Err("RESERVED_TOPIC"));
        assert!(examine("a", true, false).is_ok());
    }

    #[test]
    fn a_dollar_is_free_only_where_it_is_not_awss_own() {
        assert!(examine("$mine", true, true).is_ok());
        assert!(examine("$mine", false, false).is_err());
        assert!(examine("$aws/mine", false, true).is_err());
    }
}
