//! Topic filters against examples of the specification and against a naive reference.

use mqtt::{Filter, InvalidFilter, InvalidTopic, Topic};
use proptest::prelude::*;

use crate::arbitrary::config;
use crate::{filter, topic};

#[test]
fn topic_names() {
    assert!(Topic::new("a").is_ok());
    assert!(Topic::new("/").is_ok());
    assert!(Topic::new(" / ").is_ok());
    // [MQTT-4.7.3-1]
    assert_eq!(Topic::new(""), Err(InvalidTopic::Empty));
    // [MQTT-4.7.0-1]
    assert_eq!(Topic::new("a/+"), Err(InvalidTopic::Wildcard));
    assert_eq!(Topic::new("a#"), Err(InvalidTopic::Wildcard));
    // [MQTT-4.7.3-2]
    assert!(matches!(Topic::new("a\0"), Err(InvalidTopic::Text(_))));
    // [MQTT-4.7.3-3]
    assert!(matches!(Topic::new(vec![b'a'; 65536]), Err(InvalidTopic::Text(_))));
    assert_eq!(topic("/a//b").levels().collect::<Vec<_>>(), ["", "a", "", "b"]);
}

/// [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1], [MQTT-4.8.2-1], [MQTT-4.8.2-2]
#[test]
fn where_wildcards_and_shares_may_stand() {
    for good in ["#", "+", "/", "a/#", "+/+", "/+", "+/#", "+/tennis/#", "$SYS/#", "$share", "$shared/a"] {
        assert!(Filter::new(good).is_ok(), "{good}");
        assert_eq!(filter(good).share_name(), None, "{good}");
        assert_eq!(filter(good).pattern(), good);
    }
    for (bad, why) in [
        ("", InvalidFilter::Empty),
        ("a#", InvalidFilter::MultiLevel),
        ("#/a", InvalidFilter::MultiLevel),
        ("a/#/b", InvalidFilter::MultiLevel),
        ("##", InvalidFilter::MultiLevel),
        ("#+", InvalidFilter::MultiLevel),
        ("a+", InvalidFilter::SingleLevel),
        ("+a", InvalidFilter::SingleLevel),
        ("a/+b/c", InvalidFilter::SingleLevel),
        ("++", InvalidFilter::SingleLevel),
        ("$share/", InvalidFilter::ShareName),
        ("$share//a", InvalidFilter::ShareName),
        ("$share/+/a", InvalidFilter::ShareName),
        ("$share/a#/a", InvalidFilter::ShareName),
        ("$share/g", InvalidFilter::ShareWithoutFilter),
        ("$share/g/", InvalidFilter::ShareWithoutFilter),
        ("$share/g/a#", InvalidFilter::MultiLevel),
    ] {
        assert_eq!(Filter::new(bad), Err(why), "{bad}");
    }
}

#[test]
fn a_shared_filter_has_a_name_and_a_pattern() {
    let shared = filter("$share/g/a/+/#");
    assert_eq!(shared.as_str(), "$share/g/a/+/#");
    assert_eq!(shared.share_name(), Some("g"));
    assert_eq!(shared.pattern(), "a/+/#");
    assert_eq!(shared.levels().collect::<Vec<_>>(), ["a", "+", "#"]);
    assert!(shared.has_wildcard());
    assert!(shared.matches(&topic("a/b/c")));
    assert!(!shared.matches(&topic("$share/g/a/b/c")));
    let slash = filter("$share/g//");
    assert_eq!(slash.pattern(), "/");
}

/// What some filters match; `-` before a topic says that it is not matched.
#[test]
fn examples_of_the_specification() {
    for (pattern, topics) in [
        (
            "sport/tennis/player1/#",
            "sport/tennis/player1 sport/tennis/player1/ranking sport/tennis/player1/score/wimbledon -sport/tennis/player10",
        ),
        ("sport/#", "sport sport/ sport/a -sports -sport1/a -/sport"),
        ("#", "a / a/b /a -$SYS -$SYS/a -$aws/things"),
        ("sport/tennis/+", "sport/tennis/player1 sport/tennis/ -sport/tennis -sport/tennis/player1/ranking"),
        ("sport/+", "sport/ -sport -sport/a/"),
        ("+/+", "/finance / a/b -a -a/b/c -$SYS/a"),
        ("/+", "/finance / -finance -//"),
        ("+", "finance -/finance -$SYS"),
        // [MQTT-4.7.2-1]: only the first level is special.
        ("+/monitor/Clients", "a/monitor/Clients -$SYS/monitor/Clients"),
        ("$SYS/#", "$SYS $SYS/a $SYS/$b -SYS/a"),
        ("$SYS/monitor/+", "$SYS/monitor/Clients -$SYS/monitor"),
        ("a/+/#", "a/$b a/b a/ a/b/c -a"),
        // [MQTT-4.7.3-4]: no normalisation, no folding.
        ("ACCOUNTS", "ACCOUNTS -Accounts -accounts -ACCOUNTS/"),
        ("/a//", "/a// -/a/ -/a"),
    ] {
        for expected in topics.split(' ') {
            let name = expected.trim_start_matches('-');
            let matched = filter(pattern).matches(&topic(name));
            assert_eq!(matched, !expected.starts_with('-'), "{pattern} {name}");
        }
    }
}

#[test]
fn the_parent_can_be_left_out() {
    for (pattern, name, expected) in [
        ("sensor/#", "sensor", false),
        ("sensor/#", "sensor/", true),
        ("sensor/#", "sensor/a/b", true),
        ("+/#", "sensor", false),
        ("#", "sensor", true),
        ("sensor", "sensor", true),
        ("$share/g/sensor/#", "sensor", false),
    ] {
        assert_eq!(filter(pattern).matches_without_parent(&topic(name)), expected, "{pattern} {name}");
    }
}

/// The rules of section 4.7 in the most obvious words, over lists of levels.
fn reference(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        ([], []) | (["#"], _) => true,
        ([f, filter @ ..], [t, topic @ ..]) => (*f == "+" || f == t) && reference(filter, topic),
        _ => false,
    }
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn matching_is_as_in_the_reference(
        pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "", "$s", "+"]), 1..5),
        multi in any::<bool>(),
        name in prop::collection::vec(prop::sample::select(vec!["a", "b", "", "$s"]), 1..6),
    ) {
        let mut pattern = pattern;
        if multi {
            pattern.push("#");
        }
        let (f, t) = (pattern.join("/"), name.join("/"));
        prop_assume!(!f.is_empty() && !t.is_empty());
        let hidden = t.starts_with('$') && f.starts_with(['+', '#']);
        let expected = !hidden && reference(&pattern, &name);
        prop_assert_eq!(filter(&f).matches(&topic(&t)), expected, "{} {}", f, t);
        let parent = multi && pattern.len() == name.len() + 1;
        prop_assert_eq!(filter(&f).matches_without_parent(&topic(&t)), expected && !parent, "{} {}", f, t);
    }
}
