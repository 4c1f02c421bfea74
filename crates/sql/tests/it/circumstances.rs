//! What a statement sees of a message that lacks something, or came another way; and what a statement is to its caller.

use bytes::Bytes;
use sql::{Message, Nowhere, Outcome, Payload, Properties, Statement, Version};

use crate::world::message;

/// The result of a statement for a message.
fn selected(sql: &str, message: &Message<'_>) -> String {
    let statement = Statement::parse(sql, Version::V20160323).unwrap();
    match statement.evaluate(message, &mut Nowhere) {
        Outcome::Selected(selected) => String::from_utf8(selected.payload.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_known_of_a_message_is_undefined() {
    let payload = Payload::from(Bytes::from_static(b"{}"));
    let bare = Message {
        client_id: None,
        principal: None,
        source_ip: None,
        trace_id: None,
        properties: Properties::default(),
        ..message(&payload)
    };
    let sql = "SELECT clientid() AS c, principal() AS p, sourceip() AS s, traceid() AS t, get_user_properties() AS u, \
               get_mqtt_property('content_type') AS ct, get_mqtt_property('correlation_data') AS cd, \
               get_mqtt_property('format_indicator') AS fi FROM 't'";
    assert_eq!(selected(sql, &bare), r#"{"c":"n/a","fi":"UNSPECIFIED_BYTES"}"#);
}

#[test]
fn basic_ingests_prefix_is_not_part_of_the_topic() {
    let payload = Payload::from(Bytes::from_static(b"{}"));
    let topic = "$aws/rules/BuildingManager/Buildings/Building5/Floor2/Room201/Lights";
    let ingested = Message { topic, ..message(&payload) };
    assert_eq!(
        selected("SELECT topic() AS t, topic(3) AS f FROM 't'", &ingested),
        r#"{"t":"Buildings/Building5/Floor2/Room201/Lights","f":"Floor2"}"#
    );
    let reserved = Message { topic: "$aws/things/lamp/shadow/update", ..message(&payload) };
    assert_eq!(selected("SELECT topic(3) AS t FROM 't'", &reserved), r#"{"t":"lamp"}"#);
    let statement = Statement::parse("SELECT * FROM 'Buildings/#'", Version::V20160323).unwrap();
    assert!(statement.trace(&ingested, &mut Nowhere).from.matched);
}

#[test]
fn another_seed_gives_other_random_values() {
    let payload = Payload::from(Bytes::from_static(b"{}"));
    let with = |seed| selected("SELECT newuuid() AS u, rand() AS r FROM 't'", &Message { seed, ..message(&payload) });
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
    assert_ne!(with(1), with(1 << 100));
}

#[test]
fn nobody_is_asked_in_a_world_where_nobody_is() {
    let payload = Payload::from(Bytes::from_static(b"{}"));
    let statement = Statement::parse("SELECT get_thing_shadow('a', 'arn:r') AS s", Version::V20160323).unwrap();
    let Outcome::Failed(failed) = statement.evaluate(&message(&payload), &mut Nowhere) else { panic!() };
    assert_eq!(failed.to_string(), "get_thing_shadow: nobody answers here");
}

#[test]
fn a_statement_says_its_filter_and_version_and_goes_between_threads() {
    fn goes<T: Send + Sync>(_: &T) {}
    let statement = Statement::parse("SELECT regexp_matches(a, 'b') AS m FROM 'a/#'", Version::V20151008).unwrap();
    goes(&statement);
    assert_eq!((statement.filter(), statement.version()), (Some("a/#"), Version::V20151008));
    assert_eq!(Statement::parse("SELECT 1", Version::Beta).unwrap().filter(), None);
}

#[test]
fn versions_are_known_by_awss_names() {
    for version in [Version::V20151008, Version::V20160323, Version::Beta] {
        assert_eq!(version.to_string().parse(), Ok(version));
    }
    assert_eq!(Version::default(), Version::V20151008);
    assert!("2016-03-24".parse::<Version>().is_err());
}
