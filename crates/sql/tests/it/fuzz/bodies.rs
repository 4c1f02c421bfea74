//! What must hold of any bytes that come as a statement, a template or a payload, shared by the tests of this crate and the
//! fuzz targets in `fuzz/`: nothing panics, what is read prints as itself, and evaluation is bounded.

use bytes::Bytes;
use sql::{MAX_BYTES, Message, Nowhere, Outcome, Payload, Properties, Statement, Template, Variables, Version};

const VERSIONS: [Version; 2] = [Version::V20151008, Version::V20160323];

fn message(payload: &Payload) -> Message<'_> {
    Message {
        topic: "a/b/c",
        payload,
        client_id: Some("c"),
        principal: None,
        source_ip: None,
        trace_id: None,
        account: "000000000000",
        region: "us-east-1",
        now: 1_700_000_000_000,
        seed: 7,
        properties: Properties::default(),
    }
}

/// A statement, and what follows its first line end as the payload that it is evaluated against.
pub(crate) fn statements(input: &[u8]) {
    let (sql, payload) = match input.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&input[..at], Bytes::copy_from_slice(&input[at + 1..])),
        None => (input, Bytes::from_static(br#"{"a":1,"b":[1,{"c":2}],"d":"x"}"#)),
    };
    let payload = Payload::from(payload);
    let Ok(sql) = std::str::from_utf8(sql) else { return };
    for version in VERSIONS {
        let statement = match Statement::parse(sql, version) {
            Ok(statement) => statement,
            Err(error) => {
                assert!(error.to_string().len() < 1000, "{error}");
                continue;
            }
        };
        let printed = statement.to_string();
        // It may be longer than what was read, and so too long.
        if printed.len() <= MAX_BYTES {
            let again = Statement::parse(&printed, version).map(|again| again.to_string());
            assert!(again.as_ref() == Ok(&printed), "it prints as something else: {printed:.1000}");
        }
        if let Outcome::Selected(selected) = statement.evaluate(&message(&payload), &mut Nowhere) {
            assert!(selected.payload.len() <= payload.bytes().len().max(128 * 1024));
            let _ = selected.is_json();
        }
        let _ = statement.trace(&message(&payload), &mut Nowhere);
    }
}

/// A template, rendered for a small message.
pub(crate) fn templates(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let payload = Payload::from(Bytes::from_static(br#"{"a":1,"b":[1,{"c":2}],"d":"x"}"#));
    for version in VERSIONS {
        if let Ok(template) = Template::parse(text, version) {
            assert!(!template.is_literal() || template.source() == text);
            let _ = template.render(&message(&payload), &Variables::default(), &mut Nowhere);
        }
    }
}

/// A payload under statements that look at all of it.
pub(crate) fn payloads(input: &[u8]) {
    let payload = Payload::from(Bytes::copy_from_slice(input));
    for sql in [
        "SELECT *, 1 AS added FROM '#'",
        "SELECT VALUE concat(*, get(*, 0), a.b.c) FROM '#'",
        "SELECT decode(*, 'base64') AS d, encode(*, 'base64') AS e, * AS all FROM '#'",
        "SELECT (SELECT x.a + 1 AS a, * FROM rows AS x WHERE x = x) AS r FROM '#' WHERE a < 'b' OR TRUE",
    ] {
        for version in VERSIONS {
            if let Ok(statement) = Statement::parse(sql, version) {
                let first = statement.evaluate(&message(&payload), &mut Nowhere);
                let second = statement.evaluate(&message(&payload), &mut Nowhere);
                assert_eq!(format!("{first:?}"), format!("{second:?}"));
                if let Outcome::Selected(selected) = first
                    && version == Version::V20160323
                    && !selected.payload.is_empty()
                {
                    assert!(selected.is_json(), "{:?}", selected.payload);
                }
            }
        }
    }
}
