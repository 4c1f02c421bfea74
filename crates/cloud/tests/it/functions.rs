//! Functions: how they are made, named, versioned and opened to others, and that an event which was taken reaches its function,
//! is tried again, and is given up loudly. How they are run is told by the tests of those who run them.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloud::{Due, Identity, Kind, Outcome};
use serde_json::{Value, json};

use crate::house::{Lab, column, text};

const ROLE: &str = "arn:aws:iam::000000000000:role/lambda";

/// A zip file with one empty file, by hand: its name is `a`.
const ZIP: &[u8] =
    b"PK\x03\x04\x14\0\0\0\0\0\0\0!\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0aPK\x01\x02\x14\0\x14\0\0\0\0\0\0\0!\0\
    \0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0aPK\x05\x06\0\0\0\0\x01\0\x01\0/\0\0\0\x1f\0\0\0\0\0";

fn lab() -> Lab {
    let lab = Lab::new();
    let trust =
        json!({"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"});
    let document = json!({"Version": "2012-10-17", "Statement": [trust]}).to_string();
    lab.ok("CreateRole", json!({"RoleName": "lambda", "AssumeRolePolicyDocument": document}));
    lab
}

/// What makes a function, with changes.
fn wanted(name: &str, changes: Value) -> Value {
    let mut wanted = json!({
        "FunctionName": name, "Runtime": "python3.12", "Role": ROLE, "Handler": "a.b",
        "Code": {"ZipFile": STANDARD.encode(ZIP)},
    });
    for (member, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(wanted.as_object_mut().unwrap().remove(member)),
            value => wanted[member] = value.clone(),
        }
    }
    wanted
}

fn made() -> Lab {
    let lab = lab();
    lab.ok("CreateFunction", wanted("f", json!({})));
    lab
}

#[test]
fn a_function_has_defaults_and_what_was_asked_for() {
    let lab = made();
    let made = lab.ok("GetFunctionConfiguration", json!({"FunctionName": "f"}));
    assert_eq!(made["FunctionArn"], "arn:aws:lambda:us-east-1:000000000000:function:f");
    assert_eq!((&made["Timeout"], &made["MemorySize"], &made["State"]), (&json!(3), &json!(128), &json!("Active")));
    assert_eq!(made["CodeSize"], ZIP.len());
    assert_eq!(made["LoggingConfig"], json!({"LogFormat": "Text", "LogGroup": "/aws/lambda/f"}));
    let changes =
        json!({"Environment": {"Variables": {"NAME": "v"}}, "Timeout": 900, "LoggingConfig": {"LogGroup": "g"}});
    let made = lab.ok("CreateFunction", wanted("g", changes));
    assert_eq!((&made["Environment"], &made["Timeout"]), (&json!({"Variables": {"NAME": "v"}}), &json!(900)));
    assert_eq!(made["LoggingConfig"]["LogGroup"], "g");
    let elsewhere = lab.elsewhere("000000000000", "eu-west-1");
    assert_eq!(elsewhere.no("GetFunction", json!({"FunctionName": "f"})), "ResourceNotFound");
}

#[test]
fn what_is_not_acted_on_is_not_taken() {
    let lab = lab();
    for (changes, error, words) in [
        (json!({"Runtime": "java21"}), "NotImplemented", "java21"),
        (json!({"Layers": ["arn"]}), "NotImplemented", "Layers"),
        (json!({"TracingConfig": {"Mode": "Active"}}), "NotImplemented", "TracingConfig"),
        (json!({"LoggingConfig": {"LogFormat": "JSON"}}), "NotImplemented", "LogFormat"),
        (json!({"VpcConfig": {"SubnetIds": ["s"]}}), "NotImplemented", "VpcConfig"),
        (json!({"Code": {"ImageUri": "1.dkr.ecr.x/y"}, "PackageType": "Image"}), "NotImplemented", "ImageUri"),
        (json!({"Code": {}}), "InvalidParameterValue", "source for function code"),
        (json!({"Code": {"ZipFile": "AAAA"}}), "InvalidParameterValue", "Could not unzip"),
        (json!({"Handler": null}), "InvalidParameterValue", "Handler"),
        (json!({"Timeout": 901}), "Validation", "900"),
        (json!({"Role": "arn:aws:iam::000000000001:role/lambda"}), "AccessDenied", "Cross-account"),
        (json!({"Role": "arn:aws:iam::000000000000:role/other"}), "InvalidParameterValue", "cannot be assumed"),
        (json!({"Environment": {"Variables": {"AWS_REGION": "x"}}}), "InvalidParameterValue", "AWS_REGION"),
    ] {
        let (refused, message) = lab.refused("CreateFunction", wanted("f", changes));
        assert_eq!(refused, error, "{message}");
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(lab.rows("functions"), 0);
    assert_eq!(lab.rows("function_code"), 0);
    // What says nothing is as good as not there.
    let silent = json!({"Layers": [], "TracingConfig": {"Mode": "PassThrough"}, "VpcConfig": {"SubnetIds": []}});
    lab.ok("CreateFunction", wanted("f", silent));
}

#[test]
fn code_goes_with_the_last_that_needs_it() {
    let lab = made();
    lab.ok("PublishVersion", json!({"FunctionName": "f"}));
    let mut other = ZIP.to_vec();
    // Another name of the one file, in both places.
    (other[30], other[77]) = (b'b', b'b');
    lab.ok("UpdateFunctionCode", json!({"FunctionName": "f", "ZipFile": STANDARD.encode(&other)}));
    assert_eq!(lab.rows("function_code"), 2);
    let first = lab.ok("GetFunction", json!({"FunctionName": "f", "Qualifier": "1"}));
    let latest = lab.ok("GetFunction", json!({"FunctionName": "f"}));
    assert_ne!(first["Configuration"]["CodeSha256"], latest["Configuration"]["CodeSha256"]);
    lab.ok("DeleteFunction", json!({"FunctionName": "f", "Qualifier": "1"}));
    assert_eq!(lab.rows("function_code"), 1);
    lab.ok("DeleteFunction", json!({"FunctionName": "f"}));
    for table in ["functions", "function_code", "function_versions", "function_aliases"] {
        assert_eq!(lab.rows(table), 0, "{table}");
    }
}

#[test]
fn a_change_of_what_somebody_else_has_changed_is_refused() {
    let lab = made();
    let before = lab.ok("GetFunctionConfiguration", json!({"FunctionName": "f"}));
    lab.ok("UpdateFunctionConfiguration", json!({"FunctionName": "f", "Timeout": 9}));
    let late = json!({"FunctionName": "f", "Timeout": 5, "RevisionId": before["RevisionId"]});
    assert_eq!(lab.no("UpdateFunctionConfiguration", late), "PreconditionFailed");
    let now = lab.ok("GetFunctionConfiguration", json!({"FunctionName": "f"}));
    assert_eq!((&now["Timeout"], &now["Handler"]), (&json!(9), &json!("a.b")));
}

#[test]
fn versions_are_listed_after_what_can_still_be_changed() {
    let lab = made();
    for timeout in 1..=12 {
        lab.ok("UpdateFunctionConfiguration", json!({"FunctionName": "f", "Timeout": timeout}));
        assert_eq!(lab.ok("PublishVersion", json!({"FunctionName": "f"}))["Version"], timeout.to_string());
    }
    assert_eq!(lab.ok("PublishVersion", json!({"FunctionName": "f"}))["Version"], "12");
    let pages = lab.pages(
        "ListVersionsByFunction",
        json!({"FunctionName": "f", "MaxItems": 5}),
        "Versions",
        ("NextMarker", "Marker"),
    );
    let listed: Vec<String> = pages.concat().iter().map(|version| text(&version["Version"])).collect();
    let expected: Vec<String> =
        std::iter::once("$LATEST".to_owned()).chain((1..=12).map(|it| it.to_string())).collect();
    assert_eq!(listed, expected);
}

/// Events of `f`, as they are told when they are due.
struct Events {
    lab: Lab,
    told: Arc<Mutex<Vec<Due>>>,
}

impl Events {
    fn new() -> Self {
        let (lab, told) = (made(), Arc::<Mutex<Vec<Due>>>::default());
        let hear = Arc::clone(&told);
        lab.objects(|house, _, _, _| house.tell_due(move |due| hear.lock().unwrap().push(due)));
        Self { lab, told }
    }

    fn send(&self, payload: &str) {
        let input = json!({"FunctionName": "f", "InvocationType": "Event"});
        let taken = self.lab.call_as(Identity::Key("key".to_owned()), "Invoke", input, payload.as_bytes()).unwrap();
        assert_eq!(taken.fields()["StatusCode"], 202);
    }

    fn take(&self) -> Vec<Due> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    /// The payload and the id of an event, if it still waits.
    fn read(&self, due: &Due) -> Option<(String, String)> {
        let found = self.lab.objects(|house, _, now, entropy| house.event(due, now, entropy)).unwrap();
        found.map(|invocation| (String::from_utf8(invocation.payload.to_vec()).unwrap(), invocation.id))
    }

    fn settle(&self, due: &Due, outcome: Outcome) {
        let job = self.lab.objects(|house, _, now, entropy| house.settle(due, outcome, now, entropy));
        self.lab.commit([job]).unwrap();
    }
}

#[test]
fn a_function_is_told_under_the_name_that_it_was_asked_by() {
    let lab = made();
    let plain = "arn:aws:lambda:us-east-1:000000000000:function:f";
    lab.ok("PublishVersion", json!({"FunctionName": "f"}));
    lab.ok("CreateAlias", json!({"FunctionName": "f", "Name": "live", "FunctionVersion": "1"}));
    for (qualifier, version) in [("$LATEST", "$LATEST"), ("1", "1"), ("live", "1")] {
        let input = json!({"FunctionName": "f", "Qualifier": qualifier});
        let told = lab.ok("GetFunctionConfiguration", input.clone());
        assert_eq!((&told["FunctionArn"], &told["Version"]), (&json!(format!("{plain}:{qualifier}")), &json!(version)));
        assert_eq!(lab.ok("GetFunction", input)["Configuration"]["FunctionArn"], told["FunctionArn"]);
    }
    assert_eq!(lab.ok("GetFunction", json!({"FunctionName": "f"}))["Configuration"]["FunctionArn"], plain);
    let versions = lab.ok("ListVersionsByFunction", json!({"FunctionName": "f"}));
    assert_eq!(column(&versions["Versions"], "FunctionArn"), [format!("{plain}:$LATEST"), format!("{plain}:1")]);
    // A new function that is published at once has the plain name and the version.
    let published = lab.ok("CreateFunction", wanted("g", json!({"Publish": true})));
    assert_eq!(
        (&published["FunctionArn"], &published["Version"]),
        (&json!(plain.replace("function:f", "function:g")), &json!("1"))
    );
}

#[test]
fn what_is_of_a_whole_function_is_not_of_a_version() {
    let lab = made();
    lab.ok("PublishVersion", json!({"FunctionName": "f"}));
    let version = "arn:aws:lambda:us-east-1:000000000000:function:f:1";
    let latest = "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST";
    for arn in [version, latest] {
        for (operation, input) in [
            ("PutFunctionConcurrency", json!({"FunctionName": arn, "ReservedConcurrentExecutions": 1})),
            ("lambda:TagResource", json!({"Resource": arn, "Tags": {"a": "1"}})),
            ("lambda:UntagResource", json!({"Resource": arn, "TagKeys": ["a"]})),
            ("ListTags", json!({"Resource": arn})),
        ] {
            let message = lab.message(operation, input);
            assert!(message.contains("liases and versions"), "{operation}: {message}");
        }
    }
    let refused = |operation: &str, input: Value| lab.refused(operation, input);
    let zip = json!({"FunctionName": "f", "ImageUri": "http://127.0.0.1:1/"});
    assert!(refused("UpdateFunctionCode", zip).1.contains("Please don't provide ImageUri"));
    let gone = json!({"FunctionName": "f", "Name": "none", "Description": ""});
    assert!(refused("UpdateAlias", gone).1.starts_with("Alias not found: "));
    let far = json!({"FunctionName": "arn:aws:lambda:eu-west-1:000000000000:function:f"});
    let message = "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')";
    assert_eq!(refused("GetFunction", far), ("ResourceNotFound".to_owned(), message.to_owned()));
}

#[test]
fn who_may_invoke_is_asked_and_refused_in_the_words_of_aws() {
    let lab = made();
    let add = |more: Value| {
        let mut input = json!({
            "FunctionName": "f", "StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "iot.amazonaws.com",
        });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        lab.call("AddPermission", input).map_err(|(_, message)| message)
    };
    let remove = |name: &str| lab.message("RemovePermission", json!({"FunctionName": name, "StatementId": "none"}));
    assert!(remove("none").starts_with("No policy found for: "));
    assert_eq!(remove("f"), "No policy is associated with the given resource.");
    add(json!({})).unwrap();
    assert_eq!(remove("f"), "Statement none is not found in resource policy.");
    for (more, words) in [
        (json!({"Principal": "somebody.example.org"}), "The provided principal was invalid."),
        (json!({"Qualifier": "$LATEST"}), "We currently do not support adding policies for $LATEST."),
        (json!({"Qualifier": "live"}), "Cannot find alias arn: "),
        (json!({"Qualifier": "42"}), "Function not found: "),
    ] {
        let message = add(more).unwrap_err();
        assert!(message.starts_with(words), "{message}");
    }
    for name in ["none", "f:1"] {
        let message = lab.message("lambda:GetPolicy", json!({"FunctionName": name}));
        assert_eq!(message, "The resource you requested does not exist.");
    }
}

#[test]
fn events_are_due_in_the_order_they_came_and_gone_when_done() {
    let events = Events::new();
    for payload in ["1", "2", "3"] {
        events.send(payload);
    }
    let due = events.take();
    let read: Vec<String> = due.iter().map(|due| events.read(due).unwrap().0).collect();
    assert_eq!(read, ["1", "2", "3"]);
    let kept = events.lab.objects(|house, _, _, _| house.events_due()).unwrap();
    assert_eq!(kept, due);
    for due in &due {
        events.settle(due, Outcome::Done);
        assert_eq!(events.read(due), None);
        // Settled twice, as after a fault in between, changes nothing.
        events.settle(due, Outcome::Failed("late".to_owned(), 1));
    }
    assert!(events.take().is_empty());
    assert_eq!(events.lab.rows("function_events"), 0);
}

#[test]
fn a_failed_event_is_tried_twice_more_and_then_given_up_loudly() {
    let events = Events::new();
    events.send("1");
    let fail = || Outcome::Failed("as told".to_owned(), 60_000);
    let mut waits = Vec::new();
    let mut id = None;
    while let Some(due) = events.take().pop() {
        waits.push(due.at - events.lab.now());
        events.lab.pass(due.at - events.lab.now());
        let read = events.read(&due).unwrap();
        assert_eq!(*id.get_or_insert(read.1.clone()), read.1);
        // To find no room is no failure.
        events.settle(&due, Outcome::Busy);
        let due = events.take().pop().unwrap();
        assert_eq!(due.at, events.lab.now() + 1000);
        events.settle(&due, fail());
    }
    assert_eq!(waits, [0, 60_000, 120_000]);
    let dropped = events.lab.events().into_iter().any(|kind| {
        matches!(kind, Kind::EventDropped { function, request_id, why } if function == "f" && Some(&request_id) == id.as_ref() && why == "as told")
    });
    assert!(dropped);
    assert_eq!(events.lab.rows("function_events"), 0);
}

#[test]
fn an_event_that_has_waited_for_too_long_is_given_up() {
    let events = Events::new();
    events.send("1");
    let due = events.take().pop().unwrap();
    events.lab.pass(6 * 60 * 60 * 1000);
    events.settle(&due, Outcome::Busy);
    assert!(events.take().is_empty());
    assert!(events.lab.events().iter().any(|kind| matches!(kind, Kind::EventDropped { .. })));
}

#[test]
fn how_often_and_how_long_an_event_is_tried_can_be_set() {
    let events = Events::new();
    let lab = &events.lab;
    let set = |more: Value| {
        let mut input = json!({"FunctionName": "f"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        lab.ok("PutFunctionEventInvokeConfig", input)
    };
    let answer = set(json!({"MaximumRetryAttempts": 0}));
    assert_eq!(answer["FunctionArn"], "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST");
    events.send("1");
    let due = events.take().pop().unwrap();
    events.settle(&due, Outcome::Failed("once".to_owned(), 60_000));
    assert!(events.take().is_empty(), "not tried again");
    lab.ok("UpdateFunctionEventInvokeConfig", json!({"FunctionName": "f", "MaximumEventAgeInSeconds": 60}));
    let both = lab.ok("GetFunctionEventInvokeConfig", json!({"FunctionName": "f", "Qualifier": "$LATEST"}));
    assert_eq!((&both["MaximumRetryAttempts"], &both["MaximumEventAgeInSeconds"]), (&json!(0), &json!(60)));
    // What is not mentioned is as AWS has it again.
    assert!(set(json!({"MaximumEventAgeInSeconds": 60})).get("MaximumRetryAttempts").is_none());
    events.send("2");
    let due = events.take().pop().unwrap();
    events.settle(&due, Outcome::Failed("again".to_owned(), 30_000));
    let due = events.take().pop().unwrap();
    events.lab.pass(30_000);
    events.settle(&due, Outcome::Failed("too old".to_owned(), 30_000));
    assert!(events.take().is_empty(), "older than a minute");
    let listed = lab.ok("ListFunctionEventInvokeConfigs", json!({"FunctionName": "f"}));
    assert_eq!(listed["FunctionEventInvokeConfigs"].as_array().unwrap().len(), 1);
    lab.ok("DeleteFunctionEventInvokeConfig", json!({"FunctionName": "f"}));
    assert_eq!(lab.no("GetFunctionEventInvokeConfig", json!({"FunctionName": "f"})), "ResourceNotFound");
}

#[test]
fn what_is_set_for_events_is_of_a_function_that_is_there_and_goes_with_it() {
    let lab = made();
    let put = |name: &str, qualifier: &str| {
        lab.call(
            "PutFunctionEventInvokeConfig",
            json!({"FunctionName": name, "Qualifier": qualifier, "MaximumRetryAttempts": 1}),
        )
        .map_err(|(_, message)| message)
    };
    for (name, qualifier) in [("none", "$LATEST"), ("f", "1"), ("f", "live")] {
        assert_eq!(put(name, qualifier).err().as_deref(), Some("The function doesn't exist."));
    }
    lab.ok("PublishVersion", json!({"FunctionName": "f"}));
    lab.ok("CreateAlias", json!({"FunctionName": "f", "Name": "live", "FunctionVersion": "1"}));
    for qualifier in ["$LATEST", "1", "live"] {
        put("f", qualifier).unwrap();
    }
    assert_eq!(lab.rows("function_retries"), 3);
    lab.ok("DeleteAlias", json!({"FunctionName": "f", "Name": "live"}));
    lab.ok("DeleteFunction", json!({"FunctionName": "f", "Qualifier": "1"}));
    assert_eq!(lab.rows("function_retries"), 1);
    let nothing = json!({"FunctionName": "f"});
    assert_eq!(lab.no("PutFunctionEventInvokeConfig", nothing), "InvalidParameterValue");
    let topic = "arn:aws:sns:us-east-1:000000000000:t";
    let elsewhere = json!({"FunctionName": "f", "DestinationConfig": {"OnFailure": {"Destination": topic}}});
    assert_eq!(lab.no("PutFunctionEventInvokeConfig", elsewhere), "NotImplemented");
    lab.ok("DeleteFunction", json!({"FunctionName": "f"}));
    assert_eq!(lab.rows("function_retries"), 0);
}

#[test]
fn what_waits_goes_with_its_function() {
    let events = Events::new();
    events.send("1");
    events.lab.ok("DeleteFunction", json!({"FunctionName": "f"}));
    assert_eq!((events.lab.rows("function_events"), events.lab.rows("function_backlogs")), (0, 0));
    let due = events.take().pop().unwrap();
    assert_eq!(events.read(&due), None);
}

#[test]
fn an_event_that_is_not_json_or_too_large_is_refused() {
    let lab = made();
    let invoke = |kind: &str, payload: &[u8]| {
        let input = json!({"FunctionName": "f", "InvocationType": kind});
        let refused = lab.call_as(Identity::Key("key".to_owned()), "Invoke", input, payload).map(|_| ());
        refused.map_err(|refusal| refusal.error())
    };
    assert_eq!(invoke("Event", b"{"), Err("InvalidRequestContentException"));
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    assert_eq!(invoke("Event", large.as_bytes()), Err("RequestTooLargeException"));
    assert_eq!(invoke("DryRun", large.as_bytes()), Ok(()));
    assert_eq!(invoke("Event", b""), Ok(()));
}

#[test]
fn a_function_has_keys_of_its_role_for_as_long_as_that_trusts_it() {
    let events = Events::new();
    events.send("1");
    let due = events.take().pop().unwrap();
    let lab = &events.lab;
    let invocation = lab.objects(|house, _, now, entropy| house.event(&due, now, entropy)).unwrap().unwrap();
    let keys = lab.objects(|house, _, now, entropy| house.keys(&invocation.function, now, entropy)).unwrap();
    let credentials = json!({"AccessKeyId": keys.access_key_id, "SessionToken": keys.session_token});
    let Some(Identity::Role(session)) = lab.session(&credentials).unwrap().map(|caller| caller.identity) else {
        panic!()
    };
    assert_eq!(session.arn, "arn:aws:sts::000000000000:assumed-role/lambda/f");
    lab.ok("DeleteRole", json!({"RoleName": "lambda"}));
    assert!(lab.objects(|house, _, now, entropy| house.keys(&invocation.function, now, entropy)).is_err());
}
