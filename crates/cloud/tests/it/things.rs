//! Things: created once however often it is asked, updated under a version, listed page by page while others come and
//! go, and deleted when nothing is attached.

use serde_json::{Map, Value, json};

use crate::house::{Lab, column};

fn attributes(count: usize) -> Value {
    let attributes: Map<String, Value> = (0..count).map(|n| (format!("a{n}"), json!("v"))).collect();
    json!({"attributes": attributes})
}

fn described(lab: &Lab, name: &str) -> Value {
    lab.ok("DescribeThing", json!({"thingName": name}))
}

#[test]
fn a_thing_is_described_as_it_was_created() {
    let lab = Lab::new();
    lab.ok("CreateThingType", json!({"thingTypeName": "light"}));
    let input =
        json!({"thingName": "lamp", "thingTypeName": "light", "attributePayload": {"attributes": {"a": "1", "b": ""}}});
    let created = lab.ok("CreateThing", input);
    assert_eq!(created["thingArn"], "arn:aws:iot:us-east-1:000000000000:thing/lamp");
    let expected = json!({
        "defaultClientId": "lamp", "thingName": "lamp", "thingId": created["thingId"], "thingArn": created["thingArn"],
        "thingTypeName": "light", "attributes": {"a": "1"}, "version": 1,
    });
    assert_eq!(described(&lab, "lamp"), expected);
}

#[test]
fn creating_the_same_thing_again_succeeds_and_another_of_its_name_does_not() {
    let lab = Lab::new();
    lab.ok("CreateThingType", json!({"thingTypeName": "light"}));
    let input = json!({"thingName": "lamp", "attributePayload": {"attributes": {"a": "1"}}});
    let created = lab.ok("CreateThing", input.clone());
    assert_eq!(lab.ok("CreateThing", input), created);
    for other in [
        json!({"thingName": "lamp"}),
        json!({"thingName": "lamp", "attributePayload": {"attributes": {"a": "2"}}}),
        json!({"thingName": "lamp", "thingTypeName": "light", "attributePayload": {"attributes": {"a": "1"}}}),
    ] {
        assert_eq!(lab.no("CreateThing", other), "ResourceAlreadyExists");
    }
}

#[test]
fn what_a_new_thing_refers_to_must_exist() {
    let lab = Lab::new();
    for input in [json!({"thingTypeName": "none"}), json!({"billingGroupName": "none"})] {
        let mut input = input;
        input["thingName"] = json!("lamp");
        assert_eq!(lab.no("CreateThing", input), "ResourceNotFound");
    }
    assert_eq!(lab.no("DescribeThing", json!({"thingName": "lamp"})), "ResourceNotFound");
    assert_eq!(lab.no("UpdateThing", json!({"thingName": "lamp"})), "ResourceNotFound");
}

#[test]
fn a_thing_has_three_attributes_and_with_a_type_fifty() {
    let lab = Lab::new();
    lab.ok("CreateThingType", json!({"thingTypeName": "light"}));
    for (type_name, count, fits) in
        [(None, 3, true), (None, 4, false), (Some("light"), 50, true), (Some("light"), 51, false)]
    {
        let name = format!("thing{count}");
        let mut input = json!({"thingName": name, "attributePayload": attributes(count)});
        if let Some(type_name) = type_name {
            input["thingTypeName"] = json!(type_name);
        }
        let answer = lab.call("CreateThing", input);
        assert_eq!(answer.is_ok(), fits, "{count} attributes: {answer:?}");
    }
    let input = json!({"thingName": "thing50", "removeThingType": true});
    assert_eq!(lab.no("UpdateThing", input), "InvalidRequest");
    let added = json!({"attributes": {"x": "1"}, "merge": true});
    assert_eq!(lab.no("UpdateThing", json!({"thingName": "thing3", "attributePayload": added})), "InvalidRequest");
    let input = json!({"thingName": "thing50", "removeThingType": true, "attributePayload": attributes(3)});
    lab.ok("UpdateThing", input);
    assert_eq!(described(&lab, "thing50").get("thingTypeName"), None);
}

#[test]
fn an_update_replaces_attributes_unless_it_merges_and_an_empty_value_removes() {
    let cases = [
        (json!({"attributes": {"c": "3"}}), json!({"c": "3"})),
        (json!({"attributes": {"c": "3"}, "merge": true}), json!({"a": "1", "b": "2", "c": "3"})),
        (json!({"attributes": {"a": "9", "b": ""}, "merge": true}), json!({"a": "9"})),
        (json!({"attributes": {"a": "", "c": "3"}, "merge": false}), json!({"c": "3"})),
        (json!({"attributes": {}}), json!({})),
        (json!({"attributes": {}, "merge": true}), json!({"a": "1", "b": "2"})),
    ];
    for (payload, expected) in cases {
        let lab = Lab::new();
        lab.ok("CreateThing", json!({"thingName": "lamp", "attributePayload": {"attributes": {"a": "1", "b": "2"}}}));
        lab.ok("UpdateThing", json!({"thingName": "lamp", "attributePayload": payload.clone()}));
        let lamp = described(&lab, "lamp");
        assert_eq!((&lamp["attributes"], &lamp["version"]), (&expected, &json!(2)), "{payload}");
    }
}

#[test]
fn an_expected_version_must_be_the_present_one() {
    let lab = Lab::new();
    lab.ok("CreateThing", json!({"thingName": "lamp"}));
    lab.ok("UpdateThing", json!({"thingName": "lamp", "expectedVersion": 1}));
    for operation in ["UpdateThing", "DeleteThing"] {
        let (error, message) = lab.refused(operation, json!({"thingName": "lamp", "expectedVersion": 1}));
        let expected = "The version for thing lamp does not match the expected version.";
        assert_eq!((&*error, &*message), ("VersionConflict", expected));
    }
    lab.ok("DeleteThing", json!({"thingName": "lamp", "expectedVersion": 2}));
}

#[test]
fn a_type_is_changed_or_removed_but_not_both() {
    let lab = Lab::new();
    lab.ok("CreateThingType", json!({"thingTypeName": "light"}));
    lab.ok("CreateThingType", json!({"thingTypeName": "sun"}));
    lab.ok("CreateThing", json!({"thingName": "lamp", "thingTypeName": "light"}));
    let both = json!({"thingName": "lamp", "thingTypeName": "sun", "removeThingType": true});
    assert_eq!(lab.no("UpdateThing", both), "InvalidRequest");
    assert_eq!(lab.no("UpdateThing", json!({"thingName": "lamp", "thingTypeName": "none"})), "ResourceNotFound");
    lab.ok("UpdateThing", json!({"thingName": "lamp", "thingTypeName": "sun"}));
    let listed = |name: &str| column(&lab.ok("ListThings", json!({"thingTypeName": name}))["things"], "thingName");
    assert_eq!((listed("light"), listed("sun")), (vec![], vec!["lamp".to_owned()]));
}

#[test]
fn a_deprecated_type_takes_no_new_things() {
    let lab = Lab::new();
    lab.ok("CreateThingType", json!({"thingTypeName": "light"}));
    lab.ok("CreateThing", json!({"thingName": "old", "thingTypeName": "light"}));
    lab.ok("CreateThing", json!({"thingName": "plain"}));
    lab.ok("DeprecateThingType", json!({"thingTypeName": "light"}));
    let create = lab.refused("CreateThing", json!({"thingName": "lamp", "thingTypeName": "light"}));
    assert_eq!(create, ("InvalidRequest".into(), "Can not create new thing with depreated thing type:light".into()));
    let update = lab.refused("UpdateThing", json!({"thingName": "plain", "thingTypeName": "light"}));
    let message = "Can not update a thing to use deprecated thing type: light";
    assert_eq!(update, ("InvalidRequest".into(), message.into()));
    lab.ok("UpdateThing", json!({"thingName": "old", "attributePayload": {"attributes": {"a": "1"}}}));
    lab.ok("DeprecateThingType", json!({"thingTypeName": "light", "undoDeprecate": true}));
    lab.ok("CreateThing", json!({"thingName": "lamp", "thingTypeName": "light"}));
}

#[test]
fn a_deleted_thing_is_gone_and_deleting_it_again_succeeds() {
    let lab = Lab::new();
    let first = lab.ok("CreateThing", json!({"thingName": "lamp"}));
    for _ in 0..2 {
        assert_eq!(lab.ok("DeleteThing", json!({"thingName": "lamp"})), json!({}));
    }
    assert_eq!(lab.no("DescribeThing", json!({"thingName": "lamp"})), "ResourceNotFound");
    assert_ne!(lab.ok("CreateThing", json!({"thingName": "lamp"}))["thingId"], first["thingId"]);
}

#[test]
fn things_are_listed_by_type_and_attribute() {
    let lab = Lab::new();
    lab.ok("CreateThingType", json!({"thingTypeName": "light"}));
    for (name, type_name, room) in
        [("a", Some("light"), "hall"), ("b", None, "hall"), ("c", Some("light"), "hallway"), ("d", None, "")]
    {
        let mut input = json!({"thingName": name, "attributePayload": {"attributes": {"room": room}}});
        if let Some(type_name) = type_name {
            input["thingTypeName"] = json!(type_name);
        }
        lab.ok("CreateThing", input);
    }
    let cases = [
        (json!({}), "abcd"),
        (json!({"thingTypeName": "light"}), "ac"),
        (json!({"thingTypeName": "none"}), ""),
        (json!({"attributeName": "room"}), "abc"),
        (json!({"attributeName": "room", "attributeValue": "hall"}), "ab"),
        (json!({"attributeName": "room", "attributeValue": "hall", "thingTypeName": "light"}), "a"),
        (json!({"attributeName": "room", "attributeValue": "hall", "usePrefixAttributeValue": true}), "abc"),
        (json!({"attributeName": "Room", "attributeValue": "hall"}), ""),
    ];
    for (input, expected) in cases {
        let names = column(&lab.ok("ListThings", input.clone())["things"], "thingName").concat();
        assert_eq!(names, expected, "{input}");
    }
    assert_eq!(lab.no("ListThings", json!({"attributeValue": "hall"})), "InvalidRequest");
}

#[test]
fn pages_lose_and_repeat_nothing_while_things_come_and_go() {
    for filter in [json!({}), json!({"thingTypeName": "light"})] {
        let lab = Lab::new();
        lab.ok("CreateThingType", json!({"thingTypeName": "light"}));
        let create =
            |n: usize| lab.ok("CreateThing", json!({"thingName": format!("t{n:02}"), "thingTypeName": "light"}));
        (0..20).step_by(2).for_each(|n| drop(create(n)));
        let mut input = filter;
        input["maxResults"] = json!(4);
        let first = lab.ok("ListThings", input.clone());
        assert_eq!(column(&first["things"], "thingName"), ["t00", "t02", "t04", "t06"]);
        // One before the page's end, its very end, and one after it.
        lab.ok("DeleteThing", json!({"thingName": "t02"}));
        lab.ok("DeleteThing", json!({"thingName": "t06"}));
        create(3);
        create(9);
        input["nextToken"] = first["nextToken"].clone();
        let pages = lab.pages("ListThings", input, "things", ("nextToken", "nextToken"));
        let names: Vec<Vec<String>> = pages.into_iter().map(|page| column(&Value::Array(page), "thingName")).collect();
        assert_eq!(names, [vec!["t08", "t09", "t10", "t12"], vec!["t14", "t16", "t18"]]);
    }
}

#[test]
fn a_page_ends_when_much_was_looked_at_and_the_next_goes_on() {
    let lab = Lab::new();
    for n in 0..2500 {
        let room = if n % 1000 == 7 { "hall" } else { "attic" };
        let attributes = json!({"attributes": {"room": room}});
        lab.ok("CreateThing", json!({"thingName": format!("t{n:04}"), "attributePayload": attributes}));
    }
    let input = json!({"attributeName": "room", "attributeValue": "hall"});
    let pages = lab.pages("ListThings", input, "things", ("nextToken", "nextToken"));
    assert_eq!(pages.len(), 3);
    assert_eq!(column(&Value::Array(pages.concat()), "thingName"), ["t0007", "t1007", "t2007"]);
}

#[test]
fn a_token_of_another_list_or_of_none_is_refused() {
    let lab = Lab::new();
    for name in ["a", "b"] {
        lab.ok("CreateThing", json!({"thingName": name}));
    }
    let token = lab.ok("ListThings", json!({"maxResults": 1}))["nextToken"].clone();
    for token in [json!("nonsense!"), json!("bm9uZQ==")] {
        assert_eq!(lab.no("ListThings", json!({"nextToken": token})), "InvalidRequest");
    }
    let other = lab.elsewhere("000000000001", "us-east-1");
    assert_eq!(other.no("ListThings", json!({"nextToken": token})), "InvalidRequest");
}

#[test]
fn accounts_and_regions_are_worlds_of_their_own() {
    let lab = Lab::new();
    let created = lab.ok("CreateThing", json!({"thingName": "lamp"}));
    for other in [lab.elsewhere("000000000001", "us-east-1"), lab.elsewhere("000000000000", "eu-west-1")] {
        assert_eq!(other.no("DescribeThing", json!({"thingName": "lamp"})), "ResourceNotFound");
        assert_eq!(other.ok("ListThings", json!({}))["things"], json!([]));
        let own = other.ok("CreateThing", json!({"thingName": "lamp"}));
        assert_ne!((&own["thingArn"], &own["thingId"]), (&created["thingArn"], &created["thingId"]));
        other.ok("DeleteThing", json!({"thingName": "lamp"}));
    }
    assert_eq!(described(&lab, "lamp")["thingId"], created["thingId"]);
}
