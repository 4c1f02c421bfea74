//! Every refusal of §2.3 that this room can give, the order of §3.1, and what is just within each limit.

use crate::{get, json, update};
use serde_json::{Value, json};
use shadow::{Document, Limits};

const NOW: i64 = 1_700_000_000;
const TOO_DEEP: &str = "JSON contains too many levels of nesting; maximum is 6";
const TOO_LARGE: &str = "The payload exceeds the maximum size allowed";

/// What refuses `request` on a shadow at version 1, or null if nothing does.
fn refusal(request: &[u8]) -> Value {
    let first = update(None, br#"{"state":{}}"#, NOW).unwrap();
    update(Some(&first.record), request, NOW).map_or_else(|refused| json(&refused.body()), |_| Value::Null)
}

fn check(request: &str, code: u16, message: &str) {
    assert_eq!(refusal(request.as_bytes()), json!({"code": code, "message": message}), "{request}");
}

fn accepts(request: &str) {
    assert_eq!(refusal(request.as_bytes()), Value::Null, "{request}");
}

#[test]
fn what_is_not_json_is_invalid_json() {
    for request in [
        "x",
        "{",
        "}",
        "{]",
        "[",
        " ",
        "{}{}",
        "{} x",
        "{'state':{}}",
        "{state:{}}",
        "{\"state\"}",
        "{\"state\":}",
        "{\"state\":{},}",
        "{,}",
        "{\"a\":[1,]}",
        "{\"a\":[,1]}",
        "{\"a\":[1 2]}",
        "{\"a\":tru}",
        "{\"a\":True}",
        "{\"a\":nul",
        "{\"a\":NaN}",
        "{\"a\":01}",
        "{\"a\":-}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":1.}",
        "{\"a\":1e}",
        "{\"a\":1e+}",
        "{\"a\":0x1}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"}",
        "{\"a\":\"\\\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"\\udc00\":1}",
        "{\"a\":\\u0031}",
        "\u{feff}{\"state\":{}}",
        "{\"state\":{}}\0",
        "\u{a0}{\"state\":{}}",
        "/**/{\"state\":{}}",
    ] {
        check(request, 400, "Invalid JSON");
        assert!(serde_json::from_str::<Value>(request).is_err(), "{request}");
    }
}

#[test]
fn what_is_not_an_object_is_invalid_json() {
    for request in ["1", "null", "true", "\"state\"", "[]", "[{\"state\":{}}]"] {
        check(request, 400, "Invalid JSON");
    }
}

#[test]
fn an_empty_update_lacks_its_payload() {
    check("", 400, "Missing update payload");
}

#[test]
fn what_is_not_utf8_has_the_wrong_encoding() {
    let message = "Unsupported documented encoding; supported encoding is UTF-8";
    for request in [&b"{\"state\":{\"desired\":{\"a\":\"\xff\"}}}"[..], b"\xff\xfe{\0}\0", b"{\"\xed\xa0\x80\":1}"] {
        assert_eq!(refusal(request), json!({"code": 415, "message": message}));
    }
}

#[test]
fn a_state_is_required_and_is_an_object_or_null() {
    check("{}", 400, "Missing required node: state");
    check(r#"{"State":{}}"#, 400, "Missing required node: state");
    for state in ["1", "\"x\"", "[]", "true"] {
        check(&format!(r#"{{"state":{state}}}"#), 400, "State node must be an object");
    }
    accepts(r#"{"state":{}}"#);
    accepts(r#"{"state":null}"#);
}

#[test]
fn a_section_is_an_object_or_null() {
    for section in ["1", "\"x\"", "[]", "[{}]", "false"] {
        check(&format!(r#"{{"state":{{"desired":{section}}}}}"#), 400, "Desired node must be an object");
        check(&format!(r#"{{"state":{{"reported":{section}}}}}"#), 400, "Reported node must be an object");
        check(
            &format!(r#"{{"state":{{"reported":{section},"desired":{section}}}}}"#),
            400,
            "Desired node must be an object",
        );
    }
    accepts(r#"{"state":{"desired":null,"reported":{}}}"#);
}

#[test]
fn a_state_holds_desired_and_reported_only() {
    check(r#"{"state":{"delta":{}}}"#, 400, "State contains an invalid node: 'delta'");
    check(r#"{"state":{"desired":1,"Desired":{}}}"#, 400, "State contains an invalid node: 'Desired'");
    check(r#"{"state":{"a\"\u000ab":null}}"#, 400, "State contains an invalid node: 'a\"\nb'");
    let long = "é".repeat(200);
    let cut = format!("State contains an invalid node: '{}'", "é".repeat(128));
    check(&format!(r#"{{"state":{{"{long}":{{}}}}}}"#), 400, &cut);
}

#[test]
fn unknown_keys_beside_the_state_are_ignored() {
    accepts(r#"{"state":{},"metadata":{"a":[null,{"b":[[[[[[[[[[[[1]]]]]]]]]]]]}]},"timestamp":"x","x":null}"#);
}

#[test]
fn a_version_is_digits() {
    for version in ["-1", "1.0", "1e0", "-0", "\"1\"", "null", "true", "{}", "[1]"] {
        check(&format!(r#"{{"state":{{}},"version":{version}}}"#), 400, "Invalid version");
    }
    accepts(r#"{"state":{},"version":1}"#);
    for version in ["0", "2", "18446744073709551616", "100000000000000000000000000000000000001"] {
        check(&format!(r#"{{"state":{{}},"version":{version}}}"#), 409, "Version conflict");
    }
}

#[test]
fn a_token_is_a_string_of_at_most_64_bytes() {
    for token in ["1", "null", "{}", "[\"a\"]", "true"] {
        check(&format!(r#"{{"state":{{}},"clientToken":{token}}}"#), 400, "Invalid clientToken");
    }
    for (token, within) in [
        ("a".repeat(64), true),
        ("a".repeat(65), false),
        ("é".repeat(32), true),
        ("é".repeat(33), false),
        (r"\u00e9".repeat(32), true),
        (r"\n".repeat(64), true),
        (r"\n".repeat(65), false),
        (r"\u0001".repeat(64), true),
        (String::new(), true),
    ] {
        let request = format!(r#"{{"state":{{}},"clientToken":"{token}"}}"#);
        if within {
            accepts(&request);
        } else {
            check(&request, 400, "Invalid clientToken");
        }
    }
}

/// `depth` steps below a section, by turns of key and index.
fn nested(depth: usize) -> String {
    (1..depth).fold(
        "1".to_owned(),
        |inner, step| {
            if step % 2 == 0 { format!("{{\"k\":{inner}}}") } else { format!("[{inner}]") }
        },
    )
}

#[test]
fn a_value_may_lie_eight_steps_below_its_section() {
    for section in ["desired", "reported"] {
        let request = |depth| format!(r#"{{"state":{{"{section}":{{"k":{}}}}}}}"#, nested(depth));
        accepts(&request(8));
        check(&request(9), 400, TOO_DEEP);
    }
    accepts(r#"{"state":{"desired":{"1":{"2":{"3":{"4":{"5":{"6":{"7":{"8":{}}}}}}}}}}}"#);
    check(r#"{"state":{"desired":{"1":{"2":{"3":{"4":{"5":{"6":{"7":{"8":{"9":null}}}}}}}}}}}"#, 400, TOO_DEEP);
}

#[test]
fn nesting_without_end_is_refused_unread() {
    for open in ["[", "{\"a\":", "[[{\"a\":"] {
        check(&open.repeat(10_000), 400, TOO_DEEP);
    }
    check(&format!(r#"{{"state":{{}},"x":{}{}}}"#, "[".repeat(64), "]".repeat(64)), 400, TOO_DEEP);
    accepts(&format!(r#"{{"state":{{}},"x":{}{}}}"#, "[".repeat(63), "]".repeat(63)));
}

#[test]
fn an_array_holds_no_null() {
    for array in ["[null]", "[1,[null]]", "[{\"a\":null}]", "{\"b\":[null]}"] {
        check(&format!(r#"{{"state":{{"reported":{{"a":{array}}}}}}}"#), 400, "Invalid JSON");
    }
    accepts(r#"{"state":{"reported":{"a":[[],{}],"b":null}}}"#);
}

#[test]
fn the_sections_may_take_8192_bytes_together() {
    // A section of one key takes the value and eight bytes around it: {"k":""}.
    let request = |bytes: usize| format!(r#"{{"state":{{"desired":{{ "k": "{}" }}}}}}"#, "x".repeat(bytes - 8));
    accepts(&request(8192));
    check(&request(8193), 413, TOO_LARGE);

    let first = update(None, request(4096).as_bytes(), NOW).unwrap();
    let reported = |bytes| request(bytes).replace("desired", "reported");
    assert!(update(Some(&first.record), reported(4096).as_bytes(), NOW).is_ok());
    let refused = update(Some(&first.record), reported(4097).as_bytes(), NOW).unwrap_err();
    assert_eq!((refused.code, &*refused.message), (413, TOO_LARGE));
}

#[test]
fn a_request_may_be_as_large_as_its_limit() {
    let limits = Limits { request_bytes: 12, ..Limits::default() };
    assert!(shadow::update(None, br#"{"state":{}}"#, NOW, &limits).is_ok());
    let refused = shadow::update(None, br#"{"state":{} }"#, NOW, &limits).unwrap_err();
    assert_eq!((refused.code, &*refused.message), (413, TOO_LARGE));
}

#[test]
fn limits_can_be_raised() {
    let limits = Limits { document_bytes: 30 * 1024, depth: 9, ..Limits::default() };
    let request = format!(r#"{{"state":{{"desired":{{"k":{},"x":"{}"}}}}}}"#, nested(9), "x".repeat(30_000));
    assert!(shadow::update(None, request.as_bytes(), NOW, &limits).is_ok());
}

#[test]
fn the_first_failure_in_order_is_the_answer() {
    let deep = nested(12);
    for (request, code, message) in [
        (format!(r#"{{"clientToken":1,"version":"x","state":1,"y":{deep}}}"#), 400, "Invalid clientToken"),
        (r#"{"version":"x"}"#.into(), 400, "Invalid version"),
        (r#"{"version":9}"#.into(), 400, "Missing required node: state"),
        (r#"{"version":9,"state":{"desired":1,"foo":1}}"#.into(), 400, "State contains an invalid node: 'foo'"),
        (format!(r#"{{"state":{{"desired":{{"a":{deep}}},"reported":1}}}}"#), 400, "Reported node must be an object"),
        (format!(r#"{{"version":9,"state":{{"desired":{{"a":{deep},"b":[null]}}}}}}"#), 400, TOO_DEEP),
        (r#"{"version":9,"state":{"desired":{"b":[null]}}}"#.into(), 400, "Invalid JSON"),
        (format!(r#"{{"version":9,"state":{{"desired":{{"b":"{}"}}}}}}"#, "x".repeat(9000)), 409, "Version conflict"),
    ] {
        check(&request, code, message);
    }
}

#[test]
fn a_refusal_echoes_a_token_that_was_read() {
    for request in [
        r#"{"clientToken":"\u0074\n"}"#.into(),
        r#"{"clientToken":"t\n","state":1}"#.into(),
        r#"{"clientToken":"t\n","state":{},"version":-1}"#.into(),
        r#"{"clientToken":"t\n","state":{},"version":7}"#.into(),
        format!(r#"{{"clientToken":"t\n","state":{{"desired":{{"b":"{}"}}}}}}"#, "x".repeat(9000)),
    ] {
        assert_eq!(refusal(request.as_bytes())["clientToken"], "t\n", "{request}");
    }
    for request in [r#"{"clientToken":"t","#, r#"{"clientToken":7,"state":{}}"#] {
        assert_eq!(refusal(request.as_bytes()).get("clientToken"), None, "{request}");
    }
}

#[test]
fn get_and_delete_read_a_token_and_ignore_what_is_not_json() {
    let record = update(None, br#"{"state":{}}"#, NOW).unwrap().record;
    for (request, token) in [
        (&b""[..], None),
        (b"{}", None),
        (b"hello", None),
        (b"\xff", None),
        (b"[1]", None),
        (b"{\"clientToken\":\"a\"", None),
        (b"{\"clientToken\":\"a\",\"other\":[null]}", Some("a")),
        (b" {\"clientToken\" : \"\\u0061\"} ", Some("a")),
    ] {
        let got = json(&get(Some(&record), request, NOW).unwrap());
        assert_eq!(got.get("clientToken").and_then(Value::as_str), token);
        let stored = Document::decode(&record).unwrap();
        let deleted = json(&shadow::delete(Some(&stored), "t1", request, NOW).unwrap().accepted);
        assert_eq!(deleted.get("clientToken").and_then(Value::as_str), token);
    }
    let long = json!({"clientToken": "a".repeat(65)}).to_string();
    assert_eq!(get(Some(&record), long.as_bytes(), NOW).unwrap_err().message, "Invalid clientToken");
}

#[test]
fn a_missing_shadow_is_called_by_its_name() {
    let refused = shadow::get(None, "lamp~operation", br#"{"clientToken":"c"}"#, NOW).unwrap_err();
    let message = "No shadow exists with name: 'lamp~operation'";
    assert_eq!(json(&refused.body()), json!({"code": 404, "message": message, "clientToken": "c"}));
    assert_eq!(refused.to_string(), format!("404 {message}"));
    assert_eq!(shadow::delete(None, "lamp~operation", b"", NOW).unwrap_err().message, message);
}
