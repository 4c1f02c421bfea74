//! Thing types from their creation to their deletion, five minutes of virtual time after they were deprecated, and what
//! things may do with them meanwhile.

use serde_json::{Value, json};

use crate::house::{DAWN, Lab, column, seconds};

const MINUTE: i64 = 60_000;

#[test]
fn a_type_is_described_as_it_was_created() {
    let lab = Lab::new();
    let properties = json!({"thingTypeDescription": "gives light", "searchableAttributes": ["room"]});
    let created = lab.ok(
        "CreateThingType",
        json!({"thingTypeName": "light", "thingTypeProperties": properties, "tags": [{"Key": "k", "Value": "v"}]}),
    );
    let expected = json!({
        "thingTypeName": "light", "thingTypeId": created["thingTypeId"],
        "thingTypeArn": "arn:aws:iot:us-east-1:000000000000:thingtype/light",
        "thingTypeProperties": properties,
        "thingTypeMetadata": {"deprecated": false, "creationDate": seconds(DAWN)},
    });
    assert_eq!(lab.ok("DescribeThingType", json!({"thingTypeName": "light"})), expected);
    assert_eq!(lab.no("DescribeThingType", json!({"thingTypeName": "none"})), "ResourceNotFound");
}

#[test]
fn creating_the_same_type_again_succeeds_and_another_of_its_name_does_not() {
    let lab = Lab::new();
    let input = json!({"thingTypeName": "light", "thingTypeProperties": {"thingTypeDescription": "d"}});
    let created = lab.ok("CreateThingType", input.clone());
    assert_eq!(lab.ok("CreateThingType", input), created);
    assert_eq!(lab.no("CreateThingType", json!({"thingTypeName": "light"})), "ResourceAlreadyExists");
}

#[test]
fn what_a_type_cannot_have_is_refused() {
    let lab = Lab::new();
    let create =
        |properties| lab.no("CreateThingType", json!({"thingTypeName": "light", "thingTypeProperties": properties}));
    assert_eq!(create(json!({"searchableAttributes": ["a", "b", "c", "d"]})), "InvalidRequest");
    let propagating = |attributes: Value| json!({"mqtt5Configuration": {"propagatingAttributes": attributes}});
    let many: Value = (0..21).map(|n| json!({"userPropertyKey": format!("k{n}"), "thingAttribute": "a"})).collect();
    for attributes in [
        many,
        json!([{"thingAttribute": "a"}]),
        json!([{"userPropertyKey": "k"}]),
        json!([{"userPropertyKey": "k", "thingAttribute": "a", "connectionAttribute": "iot:ClientId"}]),
        json!([{"userPropertyKey": "k", "connectionAttribute": "iot:Other"}]),
        json!([{"userPropertyKey": "k", "thingAttribute": "a"}, {"userPropertyKey": "k", "thingAttribute": "b"}]),
    ] {
        assert_eq!(create(propagating(attributes.clone())), "InvalidRequest", "{attributes}");
    }
    lab.ok(
        "CreateThingType",
        json!({"thingTypeName": "light", "thingTypeProperties": {"searchableAttributes": ["a", "b", "c"]}}),
    );
}

#[test]
fn an_update_of_a_type_changes_what_is_propagated_and_nothing_else() {
    let lab = Lab::new();
    let propagating = |key: &str| json!({"propagatingAttributes": [{"userPropertyKey": key, "thingAttribute": "a"}]});
    let properties = |key: &str| json!({"thingTypeDescription": "d", "mqtt5Configuration": propagating(key)});
    lab.ok("CreateThingType", json!({"thingTypeName": "light", "thingTypeProperties": properties("k")}));
    let update = |properties: Value| {
        let input = json!({"thingTypeName": "light", "thingTypeProperties": properties});
        lab.call("UpdateThingType", input).map_err(|(error, _)| error)
    };
    let described = || lab.ok("DescribeThingType", json!({"thingTypeName": "light"}))["thingTypeProperties"].clone();
    assert_eq!(update(json!({"mqtt5Configuration": propagating("m")})), Ok(json!({})));
    assert_eq!(described(), properties("m"));
    assert_eq!(update(properties("n")), Ok(json!({})));
    for other in [json!({"thingTypeDescription": "other"}), json!({"searchableAttributes": ["a"]})] {
        assert_eq!(update(other), Err("InvalidRequestException".to_owned()));
    }
    assert_eq!(described(), properties("n"));
    assert_eq!(lab.no("UpdateThingType", json!({"thingTypeName": "none"})), "ResourceNotFound");
}

#[test]
fn types_are_listed_by_the_beginning_of_their_name() {
    let lab = Lab::new();
    for name in ["lamp", "lantern", "sun"] {
        lab.ok("CreateThingType", json!({"thingTypeName": name}));
    }
    let cases = [
        (json!({}), "lamp lantern sun"),
        (json!({"thingTypeName": "la"}), "lamp lantern"),
        (json!({"thingTypeName": "x"}), ""),
    ];
    for (input, expected) in cases {
        let listed = lab.ok("ListThingTypes", input);
        assert_eq!(column(&listed["thingTypes"], "thingTypeName").join(" "), expected);
    }
    let pages = lab.pages("ListThingTypes", json!({"maxResults": 2}), "thingTypes", ("nextToken", "nextToken"));
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_type_is_deleted_five_minutes_after_its_deprecation() {
    let lab = Lab::new();
    let light = || json!({"thingTypeName": "light"});
    lab.ok("CreateThingType", light());
    assert_eq!(lab.no("DeleteThingType", light()), "InvalidRequest");
    lab.ok("DeprecateThingType", light());
    let metadata = lab.ok("DescribeThingType", light())["thingTypeMetadata"].clone();
    assert_eq!((&metadata["deprecated"], &metadata["deprecationDate"]), (&json!(true), &seconds(DAWN)));
    lab.pass(5 * MINUTE - 1);
    assert_eq!(lab.no("DeleteThingType", light()), "InvalidRequest");
    lab.pass(1);
    lab.ok("DeleteThingType", light());
    assert_eq!(lab.no("DeleteThingType", light()), "ResourceNotFound");
}

#[test]
fn taking_a_deprecation_back_starts_the_minutes_again() {
    let lab = Lab::new();
    let light = || json!({"thingTypeName": "light"});
    lab.ok("CreateThingType", light());
    lab.ok("DeprecateThingType", light());
    lab.pass(4 * MINUTE);
    lab.ok("DeprecateThingType", json!({"thingTypeName": "light", "undoDeprecate": true}));
    assert_eq!(lab.ok("DescribeThingType", light())["thingTypeMetadata"]["deprecated"], json!(false));
    lab.ok("DeprecateThingType", light());
    lab.pass(4 * MINUTE);
    assert_eq!(lab.no("DeleteThingType", light()), "InvalidRequest");
    lab.pass(MINUTE);
    lab.ok("DeleteThingType", light());
}

#[test]
fn a_type_with_things_is_not_deleted() {
    let lab = Lab::new();
    let light = || json!({"thingTypeName": "light"});
    lab.ok("CreateThingType", light());
    lab.ok("CreateThing", json!({"thingName": "lamp", "thingTypeName": "light"}));
    lab.ok("DeprecateThingType", light());
    lab.pass(5 * MINUTE);
    assert_eq!(lab.no("DeleteThingType", light()), "InvalidRequest");
    lab.ok("UpdateThing", json!({"thingName": "lamp", "removeThingType": true}));
    lab.ok("DeleteThingType", light());
}
