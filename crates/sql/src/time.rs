//! Times as texts: what `parse_time` prints by the patterns of Joda-Time, and what `time_to_epoch` reads by those of
//! Java's own formatter. All texts are English and the rules of the time zones are part of the binary, so the result
//! depends on nothing but the arguments.

mod jdk;
mod joda;
mod names;
mod resolve;
mod zone;

pub(crate) use jdk::Parser;
pub(crate) use joda::Printer;
pub(crate) use zone::Zone;

/// The longest pattern that is read, in bytes. unconfirmed: AWS names no bound.
const LONGEST_PATTERN: usize = 1024;

/// Prints a time by a pattern of Joda-Time. Nothing comes of a pattern or zone that there is not, nor of a year beyond 9999.
#[cfg(test)]
pub(crate) fn format(pattern: &str, epoch_ms: i64, zone: &str) -> Option<String> {
    Printer::compile(pattern)?.print(epoch_ms, &Zone::find(zone)?)
}

/// Reads a time by a pattern of Java's `DateTimeFormatter`: milliseconds since 1970, in UTC where the text names no zone.
/// Nothing comes of a pattern that there is not, nor of a text that does not match it from its first to its last character.
#[cfg(test)]
pub(crate) fn parse(text: &str, pattern: &str) -> Option<i64> {
    Parser::compile(pattern)?.parse(text)
}

#[cfg(test)]
mod tests {
    //! Both languages against what the originals make of the same patterns, and against each other. The vectors were recorded
    //! from Joda-Time and Java themselves; what is random here is seeded.

    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    /// The vectors of a file, as columns; the last is the result.
    fn vectors(file: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
        file.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
    }

    fn result(of: Option<impl std::fmt::Display>) -> String {
        of.map_or_else(|| "-".to_owned(), |result| format!("={result}"))
    }

    #[test]
    fn joda_time_prints_the_same() {
        for vector in vectors(include_str!("time/vectors/joda.tsv")) {
            let [pattern, at, zone, printed] = vector[..] else { panic!("{vector:?}") };
            assert_eq!(result(format(pattern, at.parse().unwrap(), zone)), printed, "{vector:?}");
        }
    }

    #[test]
    fn java_reads_the_same() {
        for vector in vectors(include_str!("time/vectors/jdk.tsv")) {
            let [text, pattern, read] = vector[..] else { panic!("{vector:?}") };
            assert_eq!(result(parse(text, pattern)), read, "{vector:?}");
        }
    }

    #[test]
    fn names_that_several_zones_share_mean_the_one_with_the_most_people() {
        let at = |name: &str| parse(&format!("2021-07-01 12:00 {name}"), "yyyy-MM-dd HH:mm z");
        let zone = |id: &str| parse(&format!("2021-07-01 12:00 {id}"), "yyyy-MM-dd HH:mm VV");
        for (name, id) in
            [("IST", "Asia/Kolkata"), ("BST", "Europe/London"), ("CST", "America/Chicago"), ("AST", "America/Halifax")]
        {
            assert_eq!(at(name), zone(id), "{name}");
            assert!(at(name).is_some(), "{name}");
        }
    }

    #[test]
    fn years_beyond_those_of_the_calendar_are_none() {
        assert_eq!(parse("+12021-01-01", "yyyy-MM-dd"), None);
        assert_eq!(format("yyyy", i64::MAX, "UTC"), None);
        assert_eq!(format("yyyy", i64::MIN, "UTC"), None);
        assert_eq!(format("yyyy-MM-dd", 253_402_207_199_999, "UTC").as_deref(), Some("9999-12-30"));
    }

    #[test]
    fn a_pattern_has_a_bound() {
        let long = "y".repeat(LONGEST_PATTERN);
        assert_eq!(format(&long, 0, "UTC").map(|text| text.len()), Some(LONGEST_PATTERN));
        assert_eq!(format(&format!("{long}y"), 0, "UTC"), None);
        assert_eq!(parse("x", &"'x'".repeat(LONGEST_PATTERN)), None);
        assert_eq!(parse("2021-02-03", &format!("{}yyyy-MM-dd", "[".repeat(33))), None);
        assert!(parse("2021-02-03", &format!("{}yyyy-MM-dd", "[".repeat(32))).is_some());
    }

    fn patterns() -> impl Strategy<Value = String> {
        "[GCYxweEyDMdaKhHkmsSzZuLqQcFAnNVvOXgp'\\[\\] /:.,-é]{0,24}"
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1500, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_panics(pattern in patterns(), text in "[0-9A-Za-z+:/ é'-]{0,24}", at in any::<i64>(), zone in "[A-Za-z/+:0-9é-]{0,12}") {
            let _ = parse(&text, &pattern);
            let _ = format(&pattern, at, &zone);
            if let Some(printed) = format(&pattern, at >> 18, "Asia/Kathmandu") {
                let _ = parse(&printed, &pattern);
            }
        }

        #[test]
        fn anything_may_be_a_pattern_and_a_text(pattern in any::<String>(), text in any::<String>()) {
            let _ = parse(&text, &pattern);
            let _ = format(&pattern, 0, &text);
        }

        /// Where both languages mean the same by a pattern, what one prints the other reads.
        #[test]
        fn what_is_printed_is_read(at in -62_135_596_800_000_i64..253_402_000_000_000, zone in 0_usize..8, pattern in 0_usize..9) {
            let zone = ["UTC", "America/Belize", "Europe/London", "Asia/Kathmandu", "Asia/Tokyo", "America/St_Johns", "+05:30", "-11:00"][zone];
            // Offsets of old had seconds, which the patterns leave out.
            let at = if zone.starts_with(['U', '+', '-']) { at } else { at.max(500_000_000_000) };
            let pattern = [
                "yyyy-MM-dd HH:mm:ss.SSS Z",
                "yyyyMMddHHmmssSSSZ",
                "EEEE, d MMMM yyyy h:mm:ss.SSS a Z",
                "EEE, dd MMM yyyy kk:mm:ss.SSS Z",
                "yyyy-DDD'T'HH:mm:ss.SSSZ",
                "G yyyy/M/d K:m:s.SSS a Z",
                "yyyy-MM-dd HH:mm:ss.SSS Z 'o''clock'",
                "yyyy-MM-dd'T'HH:mm:ss.SSSZ",
                "''yyyy''MM''dd HH.mm.ss.SSS [Z]",
            ][pattern];
            let printed = format(pattern, at, zone).unwrap();
            prop_assert_eq!(parse(&printed, &pattern.replace("[Z]", "'['Z']'")), Some(at), "{}", printed);
        }
    }
}
