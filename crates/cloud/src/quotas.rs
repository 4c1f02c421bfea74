//! AWS's quotas of the message broker (mqtt.md §6): one table of limits, how an amount stands to one of them, and the
//! buckets in which rates are counted. Where a limit is asked about, and who is told, is unknown here.
//!
//! `aws` keeps every limit, `warn` lets pass and tells, `off` does not look; some are kept always, for our own sake.

use std::sync::atomic::{AtomicI64, Ordering};

use mqtt::{ReasonCode, Text};

use crate::settings::Quotas;

/// A limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Of what.
    pub(crate) name: &'static str,
    pub(crate) value: u64,
    pub(crate) unit: &'static str,
    /// The limit as a sentence, for events and reason strings.
    pub(crate) words: &'static str,
    /// What an MQTT 5 client is told beyond it.
    pub(crate) reason: ReasonCode,
    /// What happens beyond it.
    pub(crate) beyond: &'static str,
    /// Whether it is kept whatever the profile says.
    pub(crate) always: bool,
}

/// Makes the limits and the table of them all, in this order.
macro_rules! limits {
    ($($id:ident: $name:literal, $value:expr, $unit:literal, $words:literal, $reason:ident, $kept:ident $beyond:literal;)*) => {
        $(pub(crate) static $id: Limit = Limit {
            name: $name,
            value: $value,
            unit: $unit,
            words: $words,
            reason: ReasonCode::$reason,
            beyond: $beyond,
            always: limits!(@ $kept),
        };)*
        #[cfg(test)]
        const TABLE: &[&Limit] = &[$(&$id),*];
    };
    (@ always) => { true };
    (@ asked) => { false };
}

// unconfirmed: what AWS does beyond most of them; where it only says that more "may" be refused, it is.
limits! {
    PAYLOAD: "Payload of a message", 131_072, "bytes", "a payload has at most 131072 bytes", PacketTooLarge,
        always "the connection is closed (0x95); 413 over HTTP";
    CLIENT_ID: "Client id", 128, "bytes", "a client id has at most 128 bytes and does not start with $",
        ClientIdentifierNotValid, always "CONNACK 0x85";
    QOS: "Quality of service", 1, "", "AWS has no QoS above 1", QoSNotSupported,
        asked "the connection is closed (0x9B); CONNACK 0x9B for a will; subscriptions are granted QoS 1";
    TOPIC_BYTES: "Topic or filter", 256, "bytes", "a topic has at most 256 bytes", TopicNameInvalid,
        asked "PUBACK 0x90, SUBACK 0x8F, CONNACK 0x90 for a will; 3.1.1 is closed or told 0x80; 400 over HTTP";
    TOPIC_SLASHES: "Topic or filter", 7, "slashes", "a topic has at most 7 slashes", TopicNameInvalid,
        asked "the same";
    SHARE_NAME: "Group of a shared subscription", 128, "bytes", "the name of a group has at most 128 bytes",
        TopicFilterInvalid, asked "SUBACK 0x8F (0x80 in 3.1.1)";
    FILTERS: "Filters of one SUBSCRIBE", 8, "filters", "a SUBSCRIBE has at most 8 filters", QuotaExceeded,
        asked "SUBACK 0x97 (0x80 in 3.1.1) for each of them";
    SUBSCRIPTIONS: "Subscriptions of one connection", 50, "filters", "a connection has at most 50 subscriptions",
        QuotaExceeded, asked "SUBACK 0x97 (0x80 in 3.1.1)";
    USER_PROPERTIES: "User properties of a message", 8_192, "bytes", "user properties have at most 8192 bytes",
        QuotaExceeded, asked "PUBACK 0x97; with QoS 0 the connection is closed (0x97); always 400 over HTTP";
    CONNECTS: "Connections of one client id", 1, "per second", "a client id connects at most 1 time in a second",
        QuotaExceeded, asked "CONNACK 0x97 (3.1.1 is closed)";
    PUBLISHES_IN: "Messages that one connection publishes", 100, "per second",
        "a connection publishes at most 100 messages in a second", QuotaExceeded,
        asked "PUBACK 0x97; with QoS 0, and in 3.1.1, dropped without a word";
    BYTES_IN: "Bytes that one connection publishes", 524_288, "per second",
        "a connection publishes at most 524288 bytes in a second", QuotaExceeded, asked "the same";
    RETAINED: "Retained messages of an account and region", 5_000, "messages",
        "an account retains at most 5000 messages", QuotaExceeded,
        asked "PUBACK 0x97; with QoS 0, and in 3.1.1, dropped without a word; 429 over HTTP";
    RULES: "Topic rules of an account and region", 1_000, "rules", "an account has at most 1000 topic rules",
        QuotaExceeded, asked "LimitExceededException";
}

/// How an amount stands to a limit in a house that keeps limits this strictly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// Nothing is to be said.
    Within,
    /// It goes through, and is told.
    Warned(&'static Limit),
    /// It is refused, as AWS refuses it.
    Refused(&'static Limit),
}

impl Limit {
    /// How an amount stands to it.
    pub(crate) fn stand(&'static self, quotas: Quotas, amount: usize) -> Stand {
        self.stand_if(quotas, amount as u64 > self.value)
    }

    /// The same where somebody else has counted.
    pub(crate) fn stand_if(&'static self, quotas: Quotas, is_beyond: bool) -> Stand {
        match quotas {
            _ if !is_beyond => Stand::Within,
            Quotas::Aws => Stand::Refused(self),
            _ if self.always => Stand::Refused(self),
            Quotas::Warn => Stand::Warned(self),
            Quotas::Off => Stand::Within,
        }
    }

    /// The limit as a size.
    pub(crate) fn size(&self) -> usize {
        usize::try_from(self.value).unwrap_or(usize::MAX)
    }
}

/// How a topic stands, or a filter without the prefix of its group; the prefix of basic ingest does not count.
pub(crate) fn of_topic(quotas: Quotas, topic: &str) -> Stand {
    let counted = match topic.strip_prefix("$aws/rules/") {
        Some(rest) => rest.split_once('/').map_or("", |(_, rest)| rest),
        None => topic,
    };
    match TOPIC_BYTES.stand(quotas, counted.len()) {
        Stand::Within => TOPIC_SLASHES.stand(quotas, counted.bytes().filter(|byte| *byte == b'/').count()),
        beyond => beyond,
    }
}

/// Bytes of user properties.
pub(crate) fn bytes_of(properties: &[(Text, Text)]) -> usize {
    properties.iter().map(|(key, value)| key.len() + value.len()).sum()
}

/// A bucket that holds as much as a rate brings in a second; it is kept as the moment when it will be full again.
#[derive(Default)]
struct Bucket(AtomicI64);

impl Bucket {
    /// Takes an amount out of the bucket of this limit at this time, in milliseconds; whether there was so much in it.
    fn take(&self, limit: &Limit, amount: u64, now: i64) -> bool {
        const SECOND: u32 = 1_000_000_000;
        let now = now.saturating_mul(1_000_000);
        let takes = i64::try_from(amount.saturating_mul(u64::from(SECOND)) / limit.value.max(1));
        let second = i64::from(SECOND);
        // One connection is read by one thread: nobody else takes between the two. A clock that was set back leaves it empty, and
        // not for longer than a second.
        let before = self.0.load(Ordering::Relaxed).clamp(now, now.saturating_add(second));
        let full = before.saturating_add(takes.unwrap_or(i64::MAX));
        let fits = full.saturating_sub(now) <= second;
        self.0.store(if fits { full } else { before }, Ordering::Relaxed);
        fits
    }
}

/// Milliseconds for which a rate that was told is not told again.
const TOLD_EVERY: i64 = 60_000;

/// What one connection publishes, by rate.
#[derive(Default)]
pub(crate) struct Meter {
    publishes: Bucket,
    bytes: Bucket,
    told: AtomicI64,
}

impl Meter {
    /// Counts a message, and says how it stands.
    pub(crate) fn take(&self, quotas: Quotas, bytes: usize, now: i64) -> Stand {
        if quotas == Quotas::Off {
            return Stand::Within;
        }
        match PUBLISHES_IN.stand_if(quotas, !self.publishes.take(&PUBLISHES_IN, 1, now)) {
            Stand::Within => BYTES_IN.stand_if(quotas, !self.bytes.take(&BYTES_IN, bytes as u64, now)),
            beyond => beyond,
        }
    }

    /// Whether this is to be told, or has been a short while ago.
    pub(crate) fn is_to_be_told(&self, now: i64) -> bool {
        let told = self.told.load(Ordering::Relaxed);
        let is_due = told == 0 || !(told..told.saturating_add(TOLD_EVERY)).contains(&now);
        if is_due {
            self.told.store(now, Ordering::Relaxed);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/quotas.md");

    /// The page, from the table.
    fn page() -> String {
        let mut page = String::from(
            "# Quotas\n\nPrinted from the table of limits; `OMBRA_WRITE=1 cargo nextest run -p cloud quotas` writes it \
             anew.\n`--quotas aws` keeps every limit as AWS does, `warn` lets everything pass and tells it as an event \
             `quota`, `off` does not\nlook. Limits that are kept always are kept for the server's own sake.\n\n\
             | limit | value | beyond it | kept |\n|---|---|---|---|\n",
        );
        for Limit { name, value, unit, beyond, always, .. } in TABLE {
            let kept = if *always { "always" } else { "`aws`" };
            writeln!(page, "| {name} | {value} {unit} | {beyond} | {kept} |").unwrap();
        }
        page + "\nBeside these, and not refusals: a keep alive is put between 30 and 1200 s and a session's expiry at 7 days at \
                most, unless quotas\nare `off`; 100 messages may be unacknowledged each way (beyond it MQTT 5 clients are \
                closed with 0x93, and messages to the\nclient wait).\n\n\
                Not kept: the rates of delivery to one connection (100 messages and 512 KiB per second), what AWS bounds for \
                a whole account\n(connections, connects, publishes and subscriptions per second, members of a group), and \
                the pace at which a stored session\ngets what it missed. They protect a service shared by many; here they \
                would only slow a test down.\n"
    }

    #[test]
    fn the_page_of_quotas_is_the_table() {
        if std::env::var_os("OMBRA_WRITE").is_some() {
            std::fs::write(PAGE, page()).unwrap();
        }
        let written = std::fs::read_to_string(PAGE).unwrap_or_default();
        assert!(written == page(), "docs/quotas.md is not current: run with OMBRA_WRITE=1");
    }

    #[test]
    fn the_words_of_a_limit_name_its_value() {
        for limit in TABLE {
            assert!(limit.words.contains(&limit.value.to_string()), "{}", limit.words);
        }
    }

    #[test]
    fn every_profile_stands_below_at_and_above_a_limit() {
        for limit in TABLE {
            let value = limit.size();
            for quotas in [Quotas::Off, Quotas::Warn, Quotas::Aws] {
                let beyond = match quotas {
                    _ if limit.always => Stand::Refused(limit),
                    Quotas::Off => Stand::Within,
                    Quotas::Warn => Stand::Warned(limit),
                    Quotas::Aws => Stand::Refused(limit),
                };
                let stands = [value - 1, value, value + 1].map(|amount| limit.stand(quotas, amount));
                assert_eq!(stands, [Stand::Within, Stand::Within, beyond], "{} {quotas:?}", limit.name);
            }
        }
    }

    #[test]
    fn a_topic_is_counted_without_the_prefix_of_basic_ingest() {
        let is_within = |topic: &str| of_topic(Quotas::Aws, topic) == Stand::Within;
        assert!(is_within("a/b/c/d/e/f/g/h"));
        assert!(!is_within("a/b/c/d/e/f/g/h/i"));
        assert!(is_within("$aws/rules/r/a/b/c/d/e/f/g/h"));
        assert!(is_within(&"a".repeat(256)));
        assert!(!is_within(&"a".repeat(257)));
    }

    #[test]
    fn a_bucket_holds_a_second_and_fills_as_time_passes() {
        let bucket = Bucket::default();
        let take = |count: usize, now| (0..count).filter(|_| bucket.take(&PUBLISHES_IN, 1, now)).count();
        assert_eq!(take(101, 1000), 100);
        assert_eq!(take(2, 1009), 0);
        assert_eq!(take(2, 1010), 1);
        assert_eq!(take(200, 1510), 50);
        assert_eq!(take(200, 9000), 100, "it overflows");
        assert_eq!(take(1, 0), 0, "a clock that goes back brings nothing");
        assert_eq!(take(200, 1000), 100, "and takes nothing away for longer than a second");
    }

    #[test]
    fn a_rate_is_told_again_after_a_minute_or_when_the_clock_was_set_back() {
        let meter = Meter::default();
        let told: Vec<bool> =
            [5_000_000, 5_000_001, 5_060_000, 1_000, 60_999, 61_000].map(|now| meter.is_to_be_told(now)).to_vec();
        assert_eq!(told, [true, false, true, true, false, true]);
    }
}
