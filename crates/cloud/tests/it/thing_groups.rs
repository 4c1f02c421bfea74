//! Static thing groups: a tree that is described, listed and taken apart from below; who is in which group, once in each
//! hierarchy; and what is asked of names and ARNs.

use serde_json::{Value, json};
use sql::{Call, RegistryApi, Reply};

use crate::house::{Lab, column, everything, seconds};

const ARN: &str = "arn:aws:iot:us-east-1:000000000000:";

/// A lab with `a/b/c`, `a/d` and `e`, and two things.
fn lab_with_tree() -> Lab {
    let lab = Lab::new();
    for (name, parent) in [("a", None), ("b", Some("a")), ("c", Some("b")), ("d", Some("a")), ("e", None)] {
        group(&lab, name, parent);
    }
    for name in ["lamp", "sun"] {
        lab.ok("CreateThing", json!({"thingName": name}));
    }
    lab
}

fn group(lab: &Lab, name: &str, parent: Option<&str>) -> Value {
    let mut input = json!({"thingGroupName": name});
    if let Some(parent) = parent {
        input["parentGroupName"] = json!(parent);
    }
    lab.ok("CreateThingGroup", input)
}

fn add(lab: &Lab, thing: &str, group: &str) {
    lab.ok("AddThingToThingGroup", json!({"thingName": thing, "thingGroupName": group}));
}

fn groups_of(lab: &Lab, thing: &str) -> Vec<String> {
    column(&lab.ok("ListThingGroupsForThing", json!({"thingName": thing}))["thingGroups"], "groupName")
}

fn things_in(lab: &Lab, group: &str, recursive: bool) -> Value {
    lab.ok("ListThingsInThingGroup", json!({"thingGroupName": group, "recursive": recursive}))["things"].clone()
}

#[test]
fn a_group_is_described_as_it_was_created_with_what_is_above_it() {
    let lab = lab_with_tree();
    let properties = json!({"thingGroupDescription": "d", "attributePayload": {"attributes": {"k": "v", "none": ""}}});
    let input = json!({"thingGroupName": "f", "parentGroupName": "b", "thingGroupProperties": properties});
    let created = lab.ok("CreateThingGroup", input.clone());
    let named = |name: &str| json!({"groupName": name, "groupArn": format!("{ARN}thinggroup/{name}")});
    let expected = json!({
        "thingGroupName": "f", "thingGroupId": created["thingGroupId"], "thingGroupArn": format!("{ARN}thinggroup/f"),
        "version": 1,
        "thingGroupProperties": {"thingGroupDescription": "d", "attributePayload": {"attributes": {"k": "v"}}},
        "thingGroupMetadata": {
            "parentGroupName": "b", "rootToParentThingGroups": [named("a"), named("b")],
            "creationDate": seconds(lab.now()),
        },
    });
    assert_eq!(lab.ok("DescribeThingGroup", json!({"thingGroupName": "f"})), expected);
    assert_eq!(lab.ok("CreateThingGroup", input), created);
    let root = lab.ok("DescribeThingGroup", json!({"thingGroupName": "a"}));
    assert_eq!(root["thingGroupMetadata"], json!({"creationDate": seconds(lab.now())}));
    assert_eq!(root["thingGroupProperties"], json!({}));
}

#[test]
fn another_group_of_the_same_name_is_refused() {
    let lab = lab_with_tree();
    for other in [
        json!({"parentGroupName": "e"}),
        json!({}),
        json!({"parentGroupName": "a", "thingGroupProperties": {"thingGroupDescription": "other"}}),
        json!({"parentGroupName": "a", "thingGroupProperties": {"attributePayload": {"attributes": {"a": "1"}}}}),
    ] {
        let mut input = other;
        input["thingGroupName"] = json!("b");
        let (error, message) = lab.refused("CreateThingGroup", input);
        let expected = "Thing Group b already exists in current account with different properties";
        assert_eq!((&*error, &*message), ("ResourceAlreadyExists", expected));
    }
}

#[test]
fn a_hierarchy_has_seven_levels_and_a_group_a_hundred_children() {
    let lab = Lab::new();
    group(&lab, "l1", None);
    for level in 2..=7 {
        group(&lab, &format!("l{level}"), Some(&format!("l{}", level - 1)));
    }
    let eighth = json!({"thingGroupName": "l8", "parentGroupName": "l7"});
    assert_eq!(lab.no("CreateThingGroup", eighth), "InvalidRequest");
    for child in 1..100 {
        group(&lab, &format!("c{child}"), Some("l1"));
    }
    let next = json!({"thingGroupName": "c100", "parentGroupName": "l1"});
    assert_eq!(lab.no("CreateThingGroup", next.clone()), "InvalidRequest");
    lab.ok("DeleteThingGroup", json!({"thingGroupName": "c7"}));
    lab.ok("CreateThingGroup", next);
    let orphan = json!({"thingGroupName": "o", "parentGroupName": "none"});
    assert_eq!(lab.no("CreateThingGroup", orphan), "InvalidRequest");
}

#[test]
fn an_update_changes_what_it_gives_under_a_version() {
    let lab = lab_with_tree();
    let update = |properties: Value| {
        lab.ok("UpdateThingGroup", json!({"thingGroupName": "a", "thingGroupProperties": properties}))
    };
    let properties = || lab.ok("DescribeThingGroup", json!({"thingGroupName": "a"}))["thingGroupProperties"].clone();
    let attributes =
        |attributes: Value, merge: bool| json!({"attributePayload": {"attributes": attributes, "merge": merge}});
    assert_eq!(update(json!({"thingGroupDescription": "d"})), json!({"version": 2}));
    update(attributes(json!({"a": "1", "b": "2"}), false));
    update(attributes(json!({"b": "", "c": "3"}), true));
    let expected = json!({"thingGroupDescription": "d", "attributePayload": {"attributes": {"a": "1", "c": "3"}}});
    assert_eq!(properties(), expected);
    assert_eq!(update(attributes(json!({}), false)), json!({"version": 5}));
    assert_eq!(properties(), json!({"thingGroupDescription": "d"}));
    let many: serde_json::Map<String, Value> = (0..51).map(|n| (format!("a{n}"), json!("v"))).collect();
    let input = json!({"thingGroupName": "a", "thingGroupProperties": attributes(json!(many), false)});
    assert_eq!(lab.no("UpdateThingGroup", input), "InvalidRequest");
    for operation in ["UpdateThingGroup", "DeleteThingGroup"] {
        let input = json!({"thingGroupName": "e", "thingGroupProperties": {}, "expectedVersion": 4});
        assert_eq!(lab.no(operation, input), "VersionConflict");
    }
    let none = json!({"thingGroupName": "none", "thingGroupProperties": {}});
    assert_eq!(lab.no("UpdateThingGroup", none), "ResourceNotFound");
}

#[test]
fn a_tree_is_taken_apart_from_below() {
    let lab = lab_with_tree();
    let message = lab.message("DeleteThingGroup", json!({"thingGroupName": "b"}));
    assert_eq!(message, " Cannot delete thing group : b when there are still child groups attached to it");
    add(&lab, "lamp", "c");
    for name in ["c", "b", "c"] {
        assert_eq!(lab.ok("DeleteThingGroup", json!({"thingGroupName": name, "expectedVersion": 1})), json!({}));
    }
    assert_eq!(lab.no("DescribeThingGroup", json!({"thingGroupName": "b"})), "ResourceNotFound");
    assert!(groups_of(&lab, "lamp").is_empty(), "membership ends with the group");
    group(&lab, "b", Some("e"));
    group(&lab, "c", Some("b"));
    assert_eq!(things_in(&lab, "e", true), json!([]));
}

#[test]
fn groups_are_listed_by_parent_and_prefix_with_what_is_below_or_without() {
    let lab = lab_with_tree();
    group(&lab, "ab", Some("e"));
    let cases = [
        (json!({}), "a ab b c d e"),
        (json!({"recursive": false}), "a e"),
        (json!({"namePrefixFilter": "a"}), "a ab"),
        (json!({"namePrefixFilter": "a", "recursive": false}), "a"),
        (json!({"parentGroup": "a"}), "b c d"),
        (json!({"parentGroup": "a", "recursive": false}), "b d"),
        (json!({"parentGroup": "a", "namePrefixFilter": "c"}), "c"),
        (json!({"parentGroup": "a", "namePrefixFilter": "c", "recursive": false}), ""),
        (json!({"parentGroup": "c"}), ""),
    ];
    for (input, expected) in cases {
        let mut by_two = input.clone();
        by_two["maxResults"] = json!(2);
        let pages = lab.pages("ListThingGroups", by_two, "thingGroups", ("nextToken", "nextToken"));
        assert!(pages.iter().all(|page| page.len() <= 2), "{input}");
        let names = column(&Value::Array(pages.concat()), "groupName");
        assert_eq!(names.join(" "), expected, "{input}");
        assert_eq!(column(&lab.ok("ListThingGroups", input)["thingGroups"], "groupName"), names);
    }
    assert_eq!(lab.no("ListThingGroups", json!({"parentGroup": "none"})), "ResourceNotFound");
    let token = lab.ok("ListThingGroups", json!({"maxResults": 2}))["nextToken"].clone();
    assert_eq!(lab.no("ListThingGroups", json!({"parentGroup": "a", "nextToken": token})), "InvalidRequest");
}

#[test]
fn pages_of_groups_lose_and_repeat_nothing_while_groups_come_and_go() {
    let lab = Lab::new();
    group(&lab, "r", None);
    (10..20).for_each(|n| drop(group(&lab, &format!("g{n}"), Some("r"))));
    for input in [json!({"namePrefixFilter": "g"}), json!({"parentGroup": "r"})] {
        let mut input = input;
        input["maxResults"] = json!(3);
        let first = lab.ok("ListThingGroups", input.clone());
        assert_eq!(column(&first["thingGroups"], "groupName"), ["g10", "g11", "g12"]);
        lab.ok("DeleteThingGroup", json!({"thingGroupName": "g12"}));
        lab.ok("DeleteThingGroup", json!({"thingGroupName": "g14"}));
        input["nextToken"] = first["nextToken"].clone();
        let pages = lab.pages("ListThingGroups", input, "thingGroups", ("nextToken", "nextToken"));
        let names = column(&Value::Array(pages.concat()), "groupName");
        assert_eq!(names, ["g13", "g15", "g16", "g17", "g18", "g19"]);
        group(&lab, "g12", Some("r"));
        group(&lab, "g14", Some("r"));
    }
}

#[test]
fn a_thing_comes_and_goes_by_name_and_arn() {
    let lab = lab_with_tree();
    let (thing, arn) = (json!("lamp"), json!(format!("{ARN}thing/lamp")));
    let (group, group_arn) = (json!("c"), json!(format!("{ARN}thinggroup/c")));
    let ways = [
        json!({"thingName": thing, "thingGroupName": group}),
        json!({"thingArn": arn, "thingGroupArn": group_arn}),
        json!({"thingName": thing, "thingArn": arn, "thingGroupName": group, "thingGroupArn": group_arn}),
    ];
    for way in &ways {
        lab.ok("AddThingToThingGroup", way.clone());
        assert_eq!((things_in(&lab, "c", false), groups_of(&lab, "lamp")), (json!(["lamp"]), vec!["c".to_owned()]));
    }
    for way in ways {
        lab.ok("RemoveThingFromThingGroup", way);
        assert_eq!((things_in(&lab, "c", false), groups_of(&lab, "lamp")), (json!([]), vec![]));
    }
}

#[test]
fn a_membership_that_names_nothing_or_two_things_is_refused() {
    let lab = lab_with_tree();
    let (thing, group) = ("thingName", "thingGroupName");
    let cases = [
        (
            json!({thing: "lamp"}),
            "InvalidRequest",
            " Both thingGroupArn and thingGroupName are empty. Need to specify at least one of them",
        ),
        (
            json!({group: "a"}),
            "InvalidRequest",
            "Both thingArn and thingName are empty. Need to specify at least one of them",
        ),
        (json!({thing: "none", group: "a"}), "ResourceNotFound", "The specified resource does not exist"),
        (json!({thing: "lamp", group: "none"}), "ResourceNotFound", "The specified resource does not exist"),
        (
            json!({thing: "lamp", "thingArn": format!("{ARN}thing/sun"), group: "a"}),
            "InvalidRequest",
            "ThingName thingArn does not match specified thingName in request",
        ),
        (
            json!({thing: "lamp", group: "a", "thingGroupArn": format!("{ARN}thinggroup/b")}),
            "InvalidRequest",
            "ThingGroupName thingGroupArn does not match specified thingGroupName in request",
        ),
        (
            json!({thing: "lamp", "thingGroupArn": format!("{ARN}thinggroup/none")}),
            "InvalidRequest",
            "No thing group with ARN arn:aws:iot:us-east-1:000000000000:thinggroup/none exists",
        ),
        (
            json!({"thingArn": format!("{ARN}thing/none"), group: "a"}),
            "InvalidRequest",
            "No thing with ARN arn:aws:iot:us-east-1:000000000000:thing/none exists",
        ),
    ];
    for operation in ["AddThingToThingGroup", "RemoveThingFromThingGroup"] {
        for (input, error, message) in &cases {
            assert_eq!(lab.refused(operation, input.clone()), ((*error).into(), (*message).into()), "{input}");
        }
    }
}

#[test]
fn a_thing_is_in_one_group_of_a_hierarchy_and_in_ten_altogether() {
    let lab = lab_with_tree();
    add(&lab, "lamp", "c");
    for other in ["a", "b", "d"] {
        let input = json!({"thingName": "lamp", "thingGroupName": other});
        assert_eq!(lab.no("AddThingToThingGroup", input), "InvalidRequest", "{other}");
    }
    add(&lab, "lamp", "e");
    for root in 2..10 {
        group(&lab, &format!("r{root}"), None);
        add(&lab, "lamp", &format!("r{root}"));
    }
    group(&lab, "r10", None);
    let eleventh = json!({"thingName": "lamp", "thingGroupName": "r10", "overrideDynamicGroups": true});
    assert_eq!(lab.no("AddThingToThingGroup", eleventh.clone()), "InvalidRequest");
    lab.ok("RemoveThingFromThingGroup", json!({"thingName": "lamp", "thingGroupName": "c"}));
    lab.ok("AddThingToThingGroup", eleventh);
}

#[test]
fn things_are_listed_with_those_of_the_groups_below() {
    let lab = lab_with_tree();
    for n in 0..5 {
        lab.ok("CreateThing", json!({"thingName": format!("t{n}")}));
    }
    for (thing, group) in [("t0", "a"), ("t1", "b"), ("t2", "c"), ("t3", "d"), ("t4", "e"), ("lamp", "a")] {
        add(&lab, thing, group);
    }
    assert_eq!(things_in(&lab, "a", false), json!(["lamp", "t0"]));
    let input = json!({"thingGroupName": "a", "recursive": true, "maxResults": 2});
    let pages = lab.pages("ListThingsInThingGroup", input, "things", ("nextToken", "nextToken"));
    assert!(pages.iter().all(|page| page.len() <= 2));
    let mut things = pages.concat();
    things.sort_by_key(|thing| thing.as_str().unwrap().to_owned());
    assert_eq!(json!(things), json!(["lamp", "t0", "t1", "t2", "t3"]));
    lab.ok("DeleteThing", json!({"thingName": "t2"}));
    assert_eq!(things_in(&lab, "b", true), json!(["t1"]));
    assert_eq!(lab.no("ListThingsInThingGroup", json!({"thingGroupName": "none"})), "ResourceNotFound");
    assert_eq!(lab.no("ListThingGroupsForThing", json!({"thingName": "none"})), "ResourceNotFound");
}

#[test]
fn groups_of_a_thing_are_changed_together_or_not_at_all() {
    let lab = lab_with_tree();
    let update = |add: Value, remove: Value| {
        let input = json!({"thingName": "lamp", "thingGroupsToAdd": add, "thingGroupsToRemove": remove});
        lab.call("UpdateThingGroupsForThing", input).map_err(|(error, _)| error)
    };
    assert_eq!(update(json!(["c", "e"]), json!([])), Ok(json!({})));
    assert_eq!(groups_of(&lab, "lamp"), ["c", "e"]);
    assert_eq!(update(json!(["none"]), json!(["c"])), Err("ResourceNotFoundException".to_owned()));
    assert_eq!(groups_of(&lab, "lamp"), ["c", "e"]);
    assert_eq!(update(json!(["b"]), json!(["c", "e"])), Ok(json!({})));
    assert_eq!(groups_of(&lab, "lamp"), ["b"]);
    assert_eq!(lab.no("UpdateThingGroupsForThing", json!({"thingGroupsToAdd": ["a"]})), "InvalidRequest");
}

#[test]
fn rules_ask_for_the_groups_of_a_thing() {
    let lab = lab_with_tree();
    add(&lab, "lamp", "c");
    let asks = |thing: &str| {
        let role = "arn:aws:iam::000000000000:role/r".to_owned();
        let call = Call::RegistryData { api: RegistryApi::ListThingGroupsForThing, thing: thing.to_owned(), role };
        lab.show_world(&std::collections::HashMap::new(), |world| world.call(&call)).0
    };
    let Reply::Value(found) = asks("lamp") else { panic!("nothing was answered") };
    let expected = json!({"thingGroups": [{"groupName": "c", "groupArn": format!("{ARN}thinggroup/c")}]});
    assert_eq!(serde_json::from_slice::<Value>(&found).unwrap(), expected);
    assert!(matches!(asks("none"), Reply::Failed(_)));
}

#[test]
fn a_device_stays_connected_when_its_things_groups_change() {
    let lab = lab_with_tree();
    let id = lab.identity(everything());
    lab.ok("AttachThingPrincipal", json!({"thingName": "lamp", "principal": format!("{ARN}cert/{id}")}));
    let connection = lab.connect(&id, "lamp").unwrap();
    add(&lab, "lamp", "c");
    lab.ok("DeleteThingGroup", json!({"thingGroupName": "c"}));
    assert_eq!((connection.link().closed(), lab.faults()), (None, 0));
}

#[test]
fn dynamic_groups_are_refused_as_long_as_nothing_is_indexed() {
    let lab = lab_with_tree();
    let create = json!({"thingGroupName": "dyn", "queryString": "thingName:lamp*"});
    assert_eq!(lab.no("CreateDynamicThingGroup", create), "InvalidRequest");
    assert_eq!(lab.no("DescribeThingGroup", json!({"thingGroupName": "dyn"})), "ResourceNotFound");
    let update = |name: &str| json!({"thingGroupName": name, "thingGroupProperties": {}});
    assert_eq!(lab.no("UpdateDynamicThingGroup", update("dyn")), "ResourceNotFound");
    assert_eq!(lab.no("UpdateDynamicThingGroup", update("a")), "InvalidRequest");
    assert_eq!(lab.no("DeleteDynamicThingGroup", json!({"thingGroupName": "e"})), "InvalidRequest");
    lab.ok("DeleteDynamicThingGroup", json!({"thingGroupName": "dyn"}));
}
