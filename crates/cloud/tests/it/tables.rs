//! Tables and their items, as whoever speaks DynamoDB meets them: in memory, in virtual time, through whole operations.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::house::{DAWN, Lab, column};

/// Operations by name, where other services have some of the same name.
trait Tables {
    fn does(&self, operation: &str, input: Value) -> Value;
    /// The error and its message.
    fn refuses(&self, operation: &str, input: Value) -> (String, String);
    /// Does what time brings until nothing is left.
    fn rest(&self);
}

impl Tables for Lab {
    #[track_caller]
    fn does(&self, operation: &str, input: Value) -> Value {
        self.ok(&format!("dynamodb:{operation}"), input)
    }

    #[track_caller]
    fn refuses(&self, operation: &str, input: Value) -> (String, String) {
        self.refused(&format!("dynamodb:{operation}"), input)
    }

    fn rest(&self) {
        for _ in 0..20 {
            self.tick().unwrap();
        }
    }
}

/// A lab with a table `lamps` whose keys are `pk`, text, and `sk`, a number.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.does("CreateTable", definition("lamps"));
    lab
}

fn definition(name: &str) -> Value {
    json!({
        "TableName": name, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "N"},
        ],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    })
}

/// The same with two indexes: `by_color` over all tables' items that have a color, keys only, and `by_size` within a partition.
fn indexed() -> Lab {
    let lab = Lab::new();
    let mut definition = definition("lamps");
    let definitions = definition["AttributeDefinitions"].as_array_mut().unwrap();
    definitions.push(json!({"AttributeName": "color", "AttributeType": "S"}));
    definitions.push(json!({"AttributeName": "size", "AttributeType": "N"}));
    definition["GlobalSecondaryIndexes"] = json!([{
        "IndexName": "by_color", "Projection": {"ProjectionType": "KEYS_ONLY"},
        "KeySchema": [{"AttributeName": "color", "KeyType": "HASH"}, {"AttributeName": "size", "KeyType": "RANGE"}],
    }]);
    definition["LocalSecondaryIndexes"] = json!([{
        "IndexName": "by_size", "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["note"]},
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "size", "KeyType": "RANGE"}],
    }]);
    lab.does("CreateTable", definition);
    lab
}

fn key(pk: &str, sk: i64) -> Value {
    json!({"pk": {"S": pk}, "sk": {"N": sk.to_string()}})
}

/// An item of these members.
fn item(pk: &str, sk: i64, more: Value) -> Value {
    let mut item = key(pk, sk);
    item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    item
}

fn put(lab: &Lab, item: Value) {
    lab.does("PutItem", json!({"TableName": "lamps", "Item": item}));
}

fn get(lab: &Lab, pk: &str, sk: i64) -> Value {
    lab.does("GetItem", json!({"TableName": "lamps", "Key": key(pk, sk)})).get("Item").cloned().unwrap_or_default()
}

/// The sort keys of a query with these members beside the table.
fn sorted(lab: &Lab, asked: Value) -> Vec<String> {
    sort_keys(&lab.does("Query", with_table(asked)))
}

fn with_table(mut asked: Value) -> Value {
    asked["TableName"] = json!("lamps");
    asked
}

fn sort_keys(answer: &Value) -> Vec<String> {
    answer["Items"].as_array().unwrap().iter().map(|item| item["sk"]["N"].as_str().unwrap().to_owned()).collect()
}

/// All pages of a query or a scan, each as its sort keys.
fn pages(lab: &Lab, operation: &str, asked: Value) -> Vec<Vec<String>> {
    let mut asked = with_table(asked);
    let mut pages = Vec::new();
    loop {
        let answer = lab.does(operation, asked.clone());
        pages.push(sort_keys(&answer));
        match answer.get("LastEvaluatedKey") {
            Some(last) => asked["ExclusiveStartKey"] = last.clone(),
            None => return pages,
        }
    }
}

#[test]
fn a_table_is_described_as_it_was_made() {
    let lab = Lab::new();
    let made = lab.does("CreateTable", definition("history"));
    assert_eq!(made["TableDescription"]["TableStatus"], "CREATING");
    let table = lab.does("DescribeTable", json!({"TableName": "history"}))["Table"].clone();
    assert_eq!(table["TableStatus"], "ACTIVE", "a waiter is done at its first look");
    assert_eq!(table["TableArn"], "arn:aws:dynamodb:us-east-1:000000000000:table/history");
    assert_eq!(table["KeySchema"], definition("")["KeySchema"]);
    assert_eq!(table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST");
    assert_eq!(table["CreationDateTime"], crate::house::seconds(DAWN));
    let by_arn = lab.does("DescribeTable", json!({"TableName": table["TableArn"]}));
    assert_eq!(by_arn["Table"]["TableId"], table["TableId"]);
    assert_eq!(lab.does("ListTables", json!({}))["TableNames"], json!(["history"]));
}

#[test]
fn a_table_that_was_paid_for_by_request_says_so() {
    let lab = Lab::new();
    let units = |units: i64| json!({"ReadCapacityUnits": units, "WriteCapacityUnits": units});
    let mut asked = definition("lamps");
    asked["BillingMode"] = json!("PROVISIONED");
    asked["ProvisionedThroughput"] = units(5);
    lab.does("CreateTable", asked);
    let mode = || lab.does("DescribeTable", json!({"TableName": "lamps"}))["Table"]["BillingModeSummary"].clone();
    assert_eq!(mode(), Value::Null, "it never was");
    lab.pass(1000);
    lab.does("UpdateTable", json!({"TableName": "lamps", "BillingMode": "PAY_PER_REQUEST"}));
    let since = crate::house::seconds(DAWN + 1000);
    assert_eq!(mode(), json!({"BillingMode": "PAY_PER_REQUEST", "LastUpdateToPayPerRequestDateTime": since}));
    lab.pass(1000);
    let back = json!({"TableName": "lamps", "BillingMode": "PROVISIONED", "ProvisionedThroughput": units(7)});
    lab.does("UpdateTable", back);
    assert_eq!(mode(), json!({"BillingMode": "PROVISIONED", "LastUpdateToPayPerRequestDateTime": since}));
}

#[test]
fn what_is_asked_of_an_index_is_told_again() {
    let lab = Lab::new();
    let mut asked = definition("lamps");
    asked["GlobalSecondaryIndexes"] = json!([{
        "IndexName": "i", "KeySchema": [{"AttributeName": "sk", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"},
        "WarmThroughput": {"ReadUnitsPerSecond": 15_000}, "OnDemandThroughput": {"MaxReadRequestUnits": 10},
    }]);
    lab.does("CreateTable", asked);
    let index = lab.does("DescribeTable", json!({"TableName": "lamps"}))["Table"]["GlobalSecondaryIndexes"][0].clone();
    let warm = json!({"ReadUnitsPerSecond": 15_000, "WriteUnitsPerSecond": 4000, "Status": "ACTIVE"});
    assert_eq!((&index["WarmThroughput"], &index["OnDemandThroughput"]), (&warm, &json!({"MaxReadRequestUnits": 10})));
}

#[test]
fn backups_that_are_not_built_are_off_and_stay_so() {
    let lab = lab();
    let switch = |on: bool| json!({"TableName": "lamps", "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": on}});
    let off = lab.does("UpdateContinuousBackups", switch(false))["ContinuousBackupsDescription"].clone();
    assert_eq!(off["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"], "DISABLED");
    assert_eq!(lab.refuses("UpdateContinuousBackups", switch(true)).0, "NotImplemented");
    let nowhere =
        json!({"TableName": "none", "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": false}});
    assert_eq!(lab.refuses("UpdateContinuousBackups", nowhere).0, "TableNotFound");
}

#[test]
fn tables_of_two_scopes_never_meet() {
    let lab = lab();
    put(&lab, key("a", 1));
    for (account, region) in [("000000000001", "us-east-1"), ("000000000000", "eu-west-1")] {
        let elsewhere = lab.elsewhere(account, region);
        assert_eq!(elsewhere.does("ListTables", json!({}))["TableNames"], json!([]));
        assert_eq!(elsewhere.refuses("DescribeTable", json!({"TableName": "lamps"})).0, "ResourceNotFound");
        elsewhere.does("CreateTable", definition("lamps"));
        assert_eq!(get(&elsewhere, "a", 1), Value::Null);
    }
    let arn = json!({"TableName": "arn:aws:dynamodb:us-east-1:000000000000:table/lamps"});
    assert_eq!(lab.elsewhere("000000000001", "us-east-1").refuses("DescribeTable", arn).0, "ResourceNotFound");
}

#[test]
fn tables_are_listed_page_by_page() {
    let lab = Lab::new();
    for name in ["ccc", "aaa", "bbb"] {
        lab.does("CreateTable", definition(name));
    }
    let first = lab.does("ListTables", json!({"Limit": 2}));
    assert_eq!(first, json!({"TableNames": ["aaa", "bbb"], "LastEvaluatedTableName": "bbb"}));
    let second = lab.does("ListTables", json!({"Limit": 2, "ExclusiveStartTableName": "bbb"}));
    assert_eq!(second, json!({"TableNames": ["ccc"]}));
}

#[test]
fn what_is_wrong_with_a_table_has_the_words_of_dynamodb() {
    let lab = lab();
    let invalid = "One or more parameter values were invalid:";
    assert_eq!(
        lab.refuses("CreateTable", definition("lamps")),
        ("ResourceInUse".to_owned(), "Table already exists: lamps".to_owned())
    );
    let changed = |member: &str, value: Value| {
        let mut definition = definition("new");
        definition[member] = value;
        lab.refuses("CreateTable", definition)
    };
    for (member, value, message) in [
        (
            "TableName",
            json!("a b"),
            "1 validation error detected: Value 'a b' at 'tableName' failed to satisfy constraint: \
          Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
                .to_owned(),
        ),
        (
            "BillingMode",
            Value::Null,
            format!(
                "{invalid} ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED"
            ),
        ),
        (
            "KeySchema",
            json!([{"AttributeName": "x", "KeyType": "HASH"}]),
            format!(
                "{invalid} Some index key attributes are not defined in AttributeDefinitions. Keys: [x], AttributeDefinitions: \
             [pk, sk]"
            ),
        ),
        (
            "KeySchema",
            json!([{"AttributeName": "pk", "KeyType": "HASH"}]),
            format!(
                "{invalid} Number of attributes in KeySchema does not exactly match number of attributes defined in \
             AttributeDefinitions"
            ),
        ),
        ("LocalSecondaryIndexes", json!([]), format!("{invalid} List of LocalSecondaryIndexes is empty")),
    ] {
        assert_eq!(changed(member, value), ("Validation".to_owned(), message), "{member}");
    }
    let (name, _) = changed("StreamSpecification", json!({"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"}));
    assert_eq!(name, "NotImplemented");
    for operation in ["DescribeTable", "DeleteTable", "DescribeTimeToLive"] {
        assert_eq!(
            lab.refuses(operation, json!({"TableName": "none"})),
            ("ResourceNotFound".to_owned(), "Requested resource not found: Table: none not found".to_owned())
        );
    }
}

#[test]
fn an_item_is_kept_until_it_is_put_over_or_deleted() {
    let lab = lab();
    let first =
        item("a", 1, json!({"v": {"L": [{"N": "1.50"}, {"M": {"x": {"NULL": true}}}]}, "s": {"NS": ["2", "1"]}}));
    put(&lab, first);
    let kept = item("a", 1, json!({"v": {"L": [{"N": "1.5"}, {"M": {"x": {"NULL": true}}}]}, "s": {"NS": ["1", "2"]}}));
    assert_eq!(get(&lab, "a", 1), kept);
    assert_eq!(get(&lab.restarted(), "a", 1), kept);
    let over = lab.does("PutItem", json!({"TableName": "lamps", "Item": key("a", 1), "ReturnValues": "ALL_OLD"}));
    assert_eq!(over["Attributes"], kept);
    let gone = lab.does("DeleteItem", json!({"TableName": "lamps", "Key": key("a", 1), "ReturnValues": "ALL_OLD"}));
    assert_eq!(gone["Attributes"], key("a", 1));
    assert_eq!(get(&lab, "a", 1), Value::Null);
    assert_eq!(lab.does("DeleteItem", json!({"TableName": "lamps", "Key": key("a", 1)})), json!({}));
}

#[test]
fn what_is_wrong_with_an_item_is_told() {
    let lab = lab();
    let refused = |operation: &str, member: &str, value: Value| {
        let mut input = json!({"TableName": "lamps"});
        input[member] = value;
        lab.refuses(operation, input).1
    };
    let mismatch = "The provided key element does not match the schema";
    let long = "x".repeat(400 * 1024);
    for (operation, member, value, message) in [
        (
            "PutItem",
            "Item",
            json!({"pk": {"S": "a"}}),
            "One or more parameter values were invalid: Missing the key sk in the item",
        ),
        (
            "PutItem",
            "Item",
            json!({"pk": {"S": "a"}, "sk": {"S": "1"}}),
            "One or more parameter values were invalid: Type mismatch for key sk expected: N actual: S",
        ),
        (
            "PutItem",
            "Item",
            item("a", 1, json!({"v": {"N": "x"}})),
            "1 validation error detected: The parameter cannot be converted to a numeric value: x",
        ),
        ("PutItem", "Item", item("a", 1, json!({"v": {"S": long}})), "Item size has exceeded the maximum allowed size"),
        ("GetItem", "Key", json!({"pk": {"S": "a"}}), mismatch),
        ("GetItem", "Key", item("a", 1, json!({"more": {"S": "x"}})), mismatch),
        ("DeleteItem", "Key", json!({"pk": {"S": "a"}, "sk": {"S": "1"}}), mismatch),
        ("UpdateItem", "Key", json!({"pk": {"S": "a"}}), mismatch),
    ] {
        assert_eq!(refused(operation, member, value), message, "{operation}");
    }
    let nowhere = json!({"TableName": "none", "Key": key("a", 1)});
    assert_eq!(
        lab.refuses("GetItem", nowhere),
        ("ResourceNotFound".to_owned(), "Requested resource not found".to_owned())
    );
}

#[test]
fn a_condition_that_does_not_hold_changes_nothing() {
    let lab = lab();
    let once = json!({"TableName": "lamps", "Item": key("a", 1), "ConditionExpression": "attribute_not_exists(pk)"});
    lab.does("PutItem", once.clone());
    let failed = ("ConditionalCheckFailed".to_owned(), "The conditional request failed".to_owned());
    assert_eq!(lab.refuses("PutItem", once), failed);
    let update = json!({
        "TableName": "lamps", "Key": key("a", 1), "UpdateExpression": "SET v = :v", "ConditionExpression": "v = :old",
        "ExpressionAttributeValues": {":v": {"N": "2"}, ":old": {"N": "1"}},
    });
    assert_eq!(lab.refuses("UpdateItem", update), failed);
    let delete = json!({"TableName": "lamps", "Key": key("b", 1), "ConditionExpression": "attribute_exists(pk)"});
    assert_eq!(lab.refuses("DeleteItem", delete), failed);
    assert_eq!(get(&lab, "a", 1), key("a", 1));
    let unused = json!({"TableName": "lamps", "Item": key("a", 1), "ExpressionAttributeNames": {"#a": "b"}});
    assert_eq!(
        lab.refuses("PutItem", unused).1,
        "1 validation error detected: ExpressionAttributeNames can only be specified when using expressions"
    );
}

#[test]
fn an_update_makes_an_item_or_changes_one() {
    let lab = lab();
    let count = |returned: &str| {
        let update = json!({
            "TableName": "lamps", "Key": key("a", 1), "UpdateExpression": "ADD hits :one SET #l = :now", "ReturnValues": returned,
            "ExpressionAttributeValues": {":one": {"N": "1"}, ":now": {"S": "now"}}, "ExpressionAttributeNames": {"#l": "last"},
        });
        lab.does("UpdateItem", update)
    };
    assert_eq!(count("ALL_OLD"), json!({}));
    assert_eq!(count("UPDATED_OLD")["Attributes"], json!({"hits": {"N": "1"}, "last": {"S": "now"}}));
    assert_eq!(count("UPDATED_NEW")["Attributes"], json!({"hits": {"N": "3"}, "last": {"S": "now"}}));
    let all = item("a", 1, json!({"hits": {"N": "4"}, "last": {"S": "now"}}));
    assert_eq!(count("ALL_NEW")["Attributes"], all);
    let bare = json!({"TableName": "lamps", "Key": key("b", 1)});
    lab.does("UpdateItem", bare);
    assert_eq!(get(&lab, "b", 1), key("b", 1), "an update of nothing makes an item of its key");
    let take = json!({"TableName": "lamps", "Key": key("c", 1), "UpdateExpression": "REMOVE x"});
    lab.does("UpdateItem", take);
    assert_eq!(get(&lab, "c", 1), Value::Null, "one that only takes away does not");
    let of_key = json!({
        "TableName": "lamps", "Key": key("a", 1), "UpdateExpression": "SET pk = :v", "ExpressionAttributeValues": {":v": {"S": "b"}},
    });
    assert_eq!(
        lab.refuses("UpdateItem", of_key).1,
        "One or more parameter values were invalid: Cannot update attribute pk. This attribute is part of the key"
    );
}

#[test]
fn a_query_is_in_the_order_of_the_numbers() {
    let lab = lab();
    for sk in [10, -2, 0, 9, -10, 100, 2] {
        put(&lab, key("a", sk));
        put(&lab, key("b", sk + 1));
    }
    let all = ["-10", "-2", "0", "2", "9", "10", "100"];
    let ask = |condition: &str, more: Value| {
        let mut asked = json!({"KeyConditionExpression": format!("pk = :pk{condition}")});
        asked["ExpressionAttributeValues"] = json!({":pk": {"S": "a"}});
        asked["ExpressionAttributeValues"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let forward = sorted(&lab, asked.clone());
        asked["ScanIndexForward"] = json!(false);
        let mut backward = sorted(&lab, asked);
        backward.reverse();
        assert_eq!(forward, backward);
        forward
    };
    assert_eq!(ask("", json!({})), all);
    for (condition, expected) in [
        (" AND sk = :x", &all[4..5]),
        (" AND sk < :x", &all[..4]),
        (" AND sk <= :x", &all[..5]),
        (" AND sk > :x", &all[5..]),
        (" AND sk >= :x", &all[4..]),
        (" AND :x < sk", &all[5..]),
    ] {
        assert_eq!(ask(condition, json!({":x": {"N": "9"}})), expected, "{condition}");
    }
    let between = ask(" AND sk BETWEEN :x AND :y", json!({":x": {"N": "-2.5"}, ":y": {"N": "9"}}));
    assert_eq!(between, &all[1..5]);
}

#[test]
fn text_and_bytes_are_asked_for_by_their_beginning() {
    let lab = Lab::new();
    let mut definition = definition("lamps");
    definition["AttributeDefinitions"][1]["AttributeType"] = json!("B");
    lab.does("CreateTable", definition);
    // 01, 0100, 01FF, 01FFFF, 02
    for bytes in ["AQ==", "AQA=", "Af8=", "Af//", "Ag=="] {
        put(&lab, json!({"pk": {"S": "a"}, "sk": {"B": bytes}}));
    }
    let begins = |prefix: &str| {
        let answer = lab.does(
            "Query",
            json!({
                "TableName": "lamps", "KeyConditionExpression": "pk = :pk AND begins_with(sk, :p)",
                "ExpressionAttributeValues": {":pk": {"S": "a"}, ":p": {"B": prefix}},
            }),
        );
        answer["Items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["sk"]["B"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(begins("AQ=="), ["AQ==", "AQA=", "Af8=", "Af//"]);
    assert_eq!(begins("Af8="), ["Af8=", "Af//"]);
    assert_eq!(begins("/w=="), Vec::<String>::new());
}

#[test]
fn a_page_ends_at_its_limit_and_the_next_goes_on() {
    let lab = lab();
    for sk in 0..7 {
        put(&lab, item("a", sk, json!({"even": {"BOOL": sk % 2 == 0}})));
    }
    let asked = |forward: bool| {
        json!({
            "KeyConditionExpression": "pk = :a", "ExpressionAttributeValues": {":a": {"S": "a"}}, "Limit": 3,
            "ScanIndexForward": forward,
        })
    };
    let forward: Vec<Vec<&str>> = vec![vec!["0", "1", "2"], vec!["3", "4", "5"], vec!["6"]];
    assert_eq!(pages(&lab, "Query", asked(true)), forward);
    let backward: Vec<Vec<&str>> = vec![vec!["6", "5", "4"], vec!["3", "2", "1"], vec!["0"]];
    assert_eq!(pages(&lab, "Query", asked(false)), backward);
    let mut filtered = asked(true);
    filtered["FilterExpression"] = json!("even = :yes");
    filtered["ExpressionAttributeValues"][":yes"] = json!({"BOOL": true});
    let limited: Vec<Vec<&str>> = vec![vec!["0", "2"], vec!["4"], vec!["6"]];
    assert_eq!(pages(&lab, "Query", filtered.clone()), limited, "a limit counts what is looked at");
    let answer = lab.does("Query", with_table(filtered));
    assert_eq!((&answer["Count"], &answer["ScannedCount"]), (&json!(2), &json!(3)));
    let mut outside = with_table(asked(true));
    outside["ExclusiveStartKey"] = key("b", 1);
    assert_eq!(
        lab.refuses("Query", outside).1,
        "The provided starting key is outside query boundaries based on provided conditions"
    );
}

#[test]
fn a_page_ends_after_a_megabyte() {
    let lab = lab();
    for sk in 0..5 {
        put(&lab, item("a", sk, json!({"v": {"S": "x".repeat(300 * 1024)}})));
    }
    let asked = json!({
        "KeyConditionExpression": "pk = :a", "ExpressionAttributeValues": {":a": {"S": "a"}}, "ProjectionExpression": "sk",
    });
    let expected: Vec<Vec<&str>> = vec![vec!["0", "1", "2", "3"], vec!["4"]];
    assert_eq!(pages(&lab, "Query", asked), expected);
    let counted = lab.does("Scan", json!({"TableName": "lamps", "Select": "COUNT", "ReturnConsumedCapacity": "TOTAL"}));
    assert_eq!(counted["Count"], 4);
    assert!(counted.get("Items").is_none());
    assert_eq!(counted["ConsumedCapacity"], json!({"TableName": "lamps", "CapacityUnits": 150.5}));
}

#[test]
fn segments_of_a_scan_have_each_item_once() {
    let lab = lab();
    let mut all: Vec<String> = Vec::new();
    for sk in 0..40 {
        put(&lab, key(&format!("p{sk}"), sk));
        all.push(sk.to_string());
    }
    for total in [1, 3, 7] {
        let mut found: Vec<String> = (0..total)
            .flat_map(|segment| {
                pages(&lab, "Scan", json!({"Segment": segment, "TotalSegments": total, "Limit": 4}))
                    .into_iter()
                    .flatten()
            })
            .collect();
        found.sort_by_key(|sk| sk.parse::<i64>().unwrap());
        assert_eq!(found, all, "{total}");
    }
}

#[test]
fn a_global_index_follows_its_table() {
    let lab = indexed();
    let colored = |color: &str| {
        let answer = lab.does(
            "Query",
            json!({
                "TableName": "lamps", "IndexName": "by_color", "KeyConditionExpression": "color = :c",
                "ExpressionAttributeValues": {":c": {"S": color}},
            }),
        );
        answer["Items"].clone()
    };
    put(&lab, item("a", 1, json!({"color": {"S": "red"}, "size": {"N": "2"}, "note": {"S": "n"}})));
    put(&lab, item("b", 2, json!({"color": {"S": "red"}, "size": {"N": "1"}})));
    put(&lab, item("c", 3, json!({"color": {"S": "red"}})));
    let held = |pk: &str, sk: i64, size: &str| item(pk, sk, json!({"color": {"S": "red"}, "size": {"N": size}}));
    assert_eq!(
        colored("red"),
        json!([held("b", 2, "1"), held("a", 1, "2")]),
        "keys only, and only what has the whole key"
    );
    lab.does("UpdateItem", json!({
        "TableName": "lamps", "Key": key("a", 1), "UpdateExpression": "SET color = :c", "ExpressionAttributeValues": {":c": {"S": "blue"}},
    }));
    lab.does("DeleteItem", json!({"TableName": "lamps", "Key": key("b", 2)}));
    assert_eq!(colored("red"), json!([]));
    assert_eq!(colored("blue")[0]["pk"]["S"], "a");
    let table = lab.does("DescribeTable", json!({"TableName": "lamps"}))["Table"].clone();
    assert_eq!((&table["ItemCount"], &table["GlobalSecondaryIndexes"][0]["ItemCount"]), (&json!(2), &json!(1)));
    let wrong = json!({"TableName": "lamps", "Item": item("d", 4, json!({"color": {"N": "1"}}))});
    assert_eq!(
        lab.refuses("PutItem", wrong).1,
        "One or more parameter values were invalid: Type mismatch for Index Key color Expected: S Actual: N IndexName: by_color"
    );
    let consistent = json!({
        "TableName": "lamps", "IndexName": "by_color", "KeyConditionExpression": "color = :c", "ConsistentRead": true,
        "ExpressionAttributeValues": {":c": {"S": "red"}},
    });
    assert_eq!(lab.refuses("Query", consistent).1, "Consistent reads are not supported on global secondary indexes");
}

#[test]
fn equal_keys_of_an_index_are_read_page_by_page() {
    let lab = indexed();
    for sk in 0..6 {
        put(&lab, item(&format!("p{sk}"), sk, json!({"color": {"S": "red"}, "size": {"N": "1"}})));
    }
    for forward in [true, false] {
        let asked = json!({
            "IndexName": "by_color", "KeyConditionExpression": "color = :c AND #s = :s", "Limit": 2, "ScanIndexForward": forward,
            "ExpressionAttributeValues": {":c": {"S": "red"}, ":s": {"N": "1"}}, "ExpressionAttributeNames": {"#s": "size"},
        });
        let pages = pages(&lab, "Query", asked);
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2, 0]);
        let mut all: Vec<String> = pages.into_iter().flatten().collect();
        all.sort();
        assert_eq!(all, ["0", "1", "2", "3", "4", "5"]);
    }
}

#[test]
fn a_local_index_fetches_what_it_does_not_hold() {
    let lab = indexed();
    put(&lab, item("a", 1, json!({"size": {"N": "5"}, "note": {"S": "n"}, "rest": {"S": "r"}})));
    put(&lab, item("a", 2, json!({"size": {"N": "3"}})));
    let ask = |select: &str| {
        lab.does(
            "Query",
            json!({
                "TableName": "lamps", "IndexName": "by_size", "KeyConditionExpression": "pk = :a", "Select": select,
                "ExpressionAttributeValues": {":a": {"S": "a"}}, "ConsistentRead": true,
            }),
        )
    };
    let projected = ask("ALL_PROJECTED_ATTRIBUTES");
    assert_eq!(sort_keys(&projected), ["2", "1"]);
    assert_eq!(projected["Items"][1], item("a", 1, json!({"size": {"N": "5"}, "note": {"S": "n"}})));
    assert_eq!(ask("ALL_ATTRIBUTES")["Items"][1]["rest"], json!({"S": "r"}));
}

#[test]
fn an_index_that_is_made_later_is_filled_a_stretch_at_a_time() {
    let lab = lab();
    for batch in 0..28 {
        let requests =
            (0..25).map(|n| json!({"PutRequest": {"Item": item("a", batch * 25 + n, json!({"color": {"S": "red"}}))}}));
        lab.does("BatchWriteItem", json!({"RequestItems": {"lamps": requests.collect::<Vec<_>>()}}));
    }
    lab.does("UpdateTable", json!({
        "TableName": "lamps", "AttributeDefinitions": [{"AttributeName": "color", "AttributeType": "S"}],
        "GlobalSecondaryIndexUpdates": [{"Create": {
            "IndexName": "late", "KeySchema": [{"AttributeName": "color", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"},
        }}],
    }));
    let index =
        || lab.does("DescribeTable", json!({"TableName": "lamps"}))["Table"]["GlobalSecondaryIndexes"][0].clone();
    assert_eq!((&index()["IndexStatus"], &index()["ItemCount"]), (&json!("CREATING"), &json!(500)));
    let count = json!({"TableName": "lamps", "IndexName": "late", "Select": "COUNT"});
    assert_eq!(lab.refuses("Scan", count.clone()).1, "Cannot read from backfilling global secondary index: late");
    // What is written meanwhile is in it once.
    put(&lab, item("a", 699, json!({"color": {"S": "blue"}})));
    put(&lab, item("a", 700, json!({"color": {"S": "red"}})));
    lab.rest();
    assert_eq!((&index()["IndexStatus"], &index()["ItemCount"]), (&json!("ACTIVE"), &json!(701)));
    assert_eq!(lab.does("Scan", count)["Count"], 701);
    lab.does(
        "UpdateTable",
        json!({"TableName": "lamps", "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "late"}}]}),
    );
    lab.rest();
    assert_eq!(lab.rows("dynamodb_entries"), 0);
}

#[test]
fn a_deleted_table_leaves_nothing_and_comes_back_empty() {
    let lab = indexed();
    for sk in 0..600 {
        put(&lab, item("a", sk, json!({"color": {"S": "red"}, "size": {"N": "1"}})));
    }
    assert_eq!(lab.does("DeleteTable", json!({"TableName": "lamps"}))["TableDescription"]["TableStatus"], "DELETING");
    assert_eq!(lab.refuses("GetItem", json!({"TableName": "lamps", "Key": key("a", 1)})).0, "ResourceNotFound");
    lab.does("CreateTable", definition("lamps"));
    assert_eq!(lab.does("Scan", json!({"TableName": "lamps"}))["Count"], 0);
    put(&lab, key("a", 1));
    lab.rest();
    for (table, rows) in
        [("dynamodb_items", 1), ("dynamodb_entries", 0), ("dynamodb_counts", 1), ("dynamodb_chores", 0)]
    {
        assert_eq!(lab.rows(table), rows, "{table}");
    }
}

#[test]
fn a_protected_table_is_not_deleted() {
    let lab = lab();
    lab.does("UpdateTable", json!({"TableName": "lamps", "DeletionProtectionEnabled": true}));
    assert_eq!(
        lab.refuses("DeleteTable", json!({"TableName": "lamps"})).1,
        "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first."
    );
    lab.does("UpdateTable", json!({"TableName": "lamps", "DeletionProtectionEnabled": false}));
    lab.does("DeleteTable", json!({"TableName": "lamps"}));
}

#[test]
fn items_go_when_their_time_is_over() {
    let lab = indexed();
    let at = |seconds: i64| json!({"ends": {"N": (DAWN / 1000 + seconds).to_string()}, "color": {"S": "red"}, "size": {"N": "1"}});
    put(&lab, item("before", 1, at(10)));
    let on = json!({"TableName": "lamps", "TimeToLiveSpecification": {"AttributeName": "ends", "Enabled": true}});
    lab.does("UpdateTimeToLive", on.clone());
    assert_eq!(lab.refuses("UpdateTimeToLive", on).1, "TimeToLive is already enabled");
    let told = lab.does("DescribeTimeToLive", json!({"TableName": "lamps"}));
    assert_eq!(told["TimeToLiveDescription"], json!({"TimeToLiveStatus": "ENABLED", "AttributeName": "ends"}));
    put(&lab, item("soon", 1, at(10)));
    put(&lab, item("later", 1, at(1000)));
    put(&lab, item("moved", 1, at(10)));
    put(&lab, item("moved", 1, at(1000)));
    put(&lab, item("text", 1, json!({"ends": {"S": (DAWN / 1000 + 10).to_string()}})));
    put(&lab, item("long ago", 1, json!({"ends": {"N": "5"}})));
    lab.rest();
    let left = || lab.does("Scan", json!({"TableName": "lamps"}))["Count"].clone();
    assert_eq!(left(), 6, "nobody's time is over");
    lab.pass(11_000);
    lab.rest();
    assert_eq!(left(), 4);
    assert_eq!((get(&lab, "before", 1), get(&lab, "soon", 1)), (Value::Null, Value::Null));
    let indexed = lab.does("Scan", json!({"TableName": "lamps", "IndexName": "by_color"}));
    assert_eq!(indexed["Count"], 2, "and from the index");
    lab.pass(1_000_000);
    lab.rest();
    assert_eq!(left(), 2, "text is no time, and what ended long ago was hardly meant");
}

#[test]
fn batches_read_and_write_many() {
    let lab = lab();
    let puts: Vec<Value> = (0..25).map(|sk| json!({"PutRequest": {"Item": key("a", sk)}})).collect();
    let written =
        lab.does("BatchWriteItem", json!({"RequestItems": {"lamps": puts}, "ReturnConsumedCapacity": "TOTAL"}));
    assert_eq!(written["UnprocessedItems"], json!({}));
    assert_eq!(written["ConsumedCapacity"], json!([{"TableName": "lamps", "CapacityUnits": 25.0}]));
    let keys: Vec<Value> = (20..30).map(|sk| key("a", sk)).collect();
    let read =
        lab.does("BatchGetItem", json!({"RequestItems": {"lamps": {"Keys": keys, "ProjectionExpression": "sk"}}}));
    assert_eq!(read["Responses"]["lamps"].as_array().unwrap().len(), 5);
    assert_eq!(read["UnprocessedKeys"], json!({}));
    let twice = json!([{"DeleteRequest": {"Key": key("a", 1)}}, {"PutRequest": {"Item": key("a", 1)}}]);
    assert_eq!(
        lab.refuses("BatchWriteItem", json!({"RequestItems": {"lamps": twice}})).1,
        "Provided list of item keys contains duplicates"
    );
    let many: Vec<Value> = (0..26).map(|sk| json!({"DeleteRequest": {"Key": key("a", sk)}})).collect();
    assert_eq!(lab.refuses("BatchWriteItem", json!({"RequestItems": {"lamps": many}})).0, "Validation");
    assert_eq!(lab.does("Scan", json!({"TableName": "lamps"}))["Count"], 25);
}

#[test]
fn what_is_more_than_an_answer_holds_is_left_for_the_next() {
    let lab = lab();
    for sk in 0..50 {
        put(&lab, item("a", sk, json!({"v": {"S": "x".repeat(390 * 1024)}})));
    }
    let keys: Vec<Value> = (0..50).map(|sk| key("a", sk)).collect();
    let read = lab.does("BatchGetItem", json!({"RequestItems": {"lamps": {"Keys": keys, "ConsistentRead": true}}}));
    let (found, left) =
        (read["Responses"]["lamps"].as_array().unwrap(), read["UnprocessedKeys"]["lamps"]["Keys"].as_array().unwrap());
    assert_eq!(found.len() + left.len(), 50);
    assert!(!left.is_empty());
    assert_eq!(read["UnprocessedKeys"]["lamps"]["ConsistentRead"], true);
}

#[test]
fn a_transaction_is_made_whole_or_not_at_all() {
    let lab = lab();
    put(&lab, item("a", 1, json!({"left": {"N": "3"}})));
    let order = |sk: i64, many: &str| {
        json!({"TransactItems": [
            {"Update": {
                "TableName": "lamps", "Key": key("a", 1), "UpdateExpression": "SET #l = #l - :n", "ConditionExpression": "#l >= :n",
                "ExpressionAttributeNames": {"#l": "left"}, "ExpressionAttributeValues": {":n": {"N": many}},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }},
            {"Put": {"TableName": "lamps", "Item": key("order", sk), "ConditionExpression": "attribute_not_exists(pk)"}},
        ]})
    };
    lab.does("TransactWriteItems", order(1, "2"));
    assert_eq!(get(&lab, "a", 1)["left"], json!({"N": "1"}));
    let (name, message) = lab.refuses("TransactWriteItems", order(2, "2"));
    assert_eq!(name, "TransactionCanceled");
    assert_eq!(
        message,
        "Transaction cancelled, please refer cancellation reasons for specific reasons [ConditionalCheckFailed, None]"
    );
    assert_eq!(get(&lab, "order", 2), Value::Null);
    let got = lab.does(
        "TransactGetItems",
        json!({"TransactItems": [
            {"Get": {"TableName": "lamps", "Key": key("order", 1)}}, {"Get": {"TableName": "lamps", "Key": key("order", 2)}},
        ]}),
    );
    assert_eq!(got["Responses"], json!([{"Item": key("order", 1)}, {}]));
    let twice = json!({"TransactItems": [
        {"Delete": {"TableName": "lamps", "Key": key("a", 1)}}, {"Put": {"TableName": "lamps", "Item": key("a", 1)}},
    ]});
    assert_eq!(
        lab.refuses("TransactWriteItems", twice).1,
        "Transaction request cannot include multiple operations on one item"
    );
}

#[test]
fn a_second_attempt_with_the_same_token_changes_nothing() {
    let lab = lab();
    let add = |n: &str| {
        json!({"ClientRequestToken": "token", "TransactItems": [{"Update": {
            "TableName": "lamps", "Key": key("a", 1), "UpdateExpression": "ADD n :n", "ExpressionAttributeValues": {":n": {"N": n}},
        }}]})
    };
    lab.does("TransactWriteItems", add("1"));
    lab.does("TransactWriteItems", add("1"));
    assert_eq!(get(&lab, "a", 1)["n"], json!({"N": "1"}));
    assert_eq!(lab.refuses("TransactWriteItems", add("2")).0, "IdempotentParameterMismatch");
    lab.pass(10 * 60 * 1000);
    lab.does("TransactWriteItems", add("2"));
    assert_eq!(get(&lab, "a", 1)["n"], json!({"N": "3"}), "a token is remembered for ten minutes");
}

#[test]
fn tokens_that_are_forgotten_do_not_pile_up() {
    let lab = lab();
    let put = |token: &str| {
        lab.does(
            "TransactWriteItems",
            json!({"ClientRequestToken": token, "TransactItems": [
                {"Put": {"TableName": "lamps", "Item": key("a", 1)}},
            ]}),
        );
    };
    (0..20).for_each(|number| put(&format!("token-{number}")));
    assert_eq!(lab.rows("dynamodb_tokens"), 20);
    lab.pass(10 * 60 * 1000);
    put("token-0");
    (0..10).for_each(|number| put(&format!("younger-{number}")));
    assert_eq!((lab.rows("dynamodb_tokens"), lab.rows("dynamodb_tokens_by_time")), (11, 11));
}

#[test]
fn capacity_is_told_as_it_would_be_paid_for() {
    let lab = indexed();
    let item = item("a", 1, json!({"color": {"S": "red"}, "size": {"N": "1"}, "v": {"S": "x".repeat(1500)}}));
    let put = lab.does("PutItem", json!({"TableName": "lamps", "Item": item, "ReturnConsumedCapacity": "INDEXES"}));
    assert_eq!(
        put["ConsumedCapacity"],
        json!({
            "TableName": "lamps", "CapacityUnits": 4.0, "Table": {"CapacityUnits": 2.0},
            "GlobalSecondaryIndexes": {"by_color": {"CapacityUnits": 1.0}},
            "LocalSecondaryIndexes": {"by_size": {"CapacityUnits": 1.0}},
        })
    );
    let get = |consistent: bool| {
        let asked = json!({
            "TableName": "lamps", "Key": key("a", 1), "ReturnConsumedCapacity": "TOTAL", "ConsistentRead": consistent,
        });
        lab.does("GetItem", asked)["ConsumedCapacity"]["CapacityUnits"].clone()
    };
    assert_eq!((get(true), get(false)), (json!(1.0), json!(0.5)));
}

#[test]
fn older_parameters_do_what_expressions_do() {
    let lab = lab();
    lab.does("UpdateItem", json!({
        "TableName": "lamps", "Key": key("a", 1), "AttributeUpdates": {"n": {"Action": "ADD", "Value": {"N": "5"}}, "s": {"Value": {"S": "x"}}},
    }));
    let expected = json!({
        "TableName": "lamps", "Key": key("a", 1), "Expected": {"n": {"ComparisonOperator": "GT", "AttributeValueList": [{"N": "5"}]}},
    });
    assert_eq!(lab.refuses("DeleteItem", expected).0, "ConditionalCheckFailed");
    let query = json!({
        "TableName": "lamps", "AttributesToGet": ["n"],
        "KeyConditions": {
            "pk": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]},
            "sk": {"ComparisonOperator": "BETWEEN", "AttributeValueList": [{"N": "0"}, {"N": "9"}]},
        },
        "QueryFilter": {"s": {"ComparisonOperator": "BEGINS_WITH", "AttributeValueList": [{"S": "x"}]}},
    });
    assert_eq!(lab.does("Query", query)["Items"], json!([{"n": {"N": "5"}}]));
    let mixed = json!({
        "TableName": "lamps", "Key": key("a", 1), "Expected": {"n": {"Exists": false}}, "ConditionExpression": "attribute_exists(pk)",
    });
    assert_eq!(
        lab.refuses("DeleteItem", mixed).1,
        "1 validation error detected: Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {Expected} \
         Expression parameters: {ConditionExpression}"
    );
}

#[test]
fn a_table_has_tags() {
    let lab = Lab::new();
    let mut definition = definition("lamps");
    definition["Tags"] = json!([{"Key": "a", "Value": "1"}]);
    let arn = lab.does("CreateTable", definition)["TableDescription"]["TableArn"].clone();
    lab.does(
        "TagResource",
        json!({"ResourceArn": arn, "Tags": [{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "3"}]}),
    );
    let tags = || lab.does("ListTagsOfResource", json!({"ResourceArn": arn}))["Tags"].clone();
    assert_eq!(column(&tags(), "Value"), ["3", "2"]);
    lab.does("UntagResource", json!({"ResourceArn": arn, "TagKeys": ["a"]}));
    assert_eq!(column(&tags(), "Key"), ["b"]);
}

/// What may happen to one of a few items, so that keys meet often.
#[derive(Clone, Debug)]
enum Change {
    Put { sk: i64, color: Option<u8>, size: Option<i64> },
    Recolor { sk: i64, color: Option<u8> },
    Delete { sk: i64 },
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let (sk, color, size) = (0..6_i64, prop::option::of(0..3_u8), prop::option::of(-2..3_i64));
    let change = prop_oneof![
        3 => (sk.clone(), color.clone(), size).prop_map(|(sk, color, size)| Change::Put { sk, color, size }),
        2 => (sk.clone(), color).prop_map(|(sk, color)| Change::Recolor { sk, color }),
        1 => sk.prop_map(|sk| Change::Delete { sk }),
    ];
    prop::collection::vec(change, 0..24)
}

fn carry_out(lab: &Lab, change: &Change) {
    match change {
        Change::Put { sk, color, size } => {
            let mut members = json!({});
            if let Some(color) = color {
                members["color"] = json!({"S": color.to_string()});
            }
            if let Some(size) = size {
                members["size"] = json!({"N": size.to_string()});
            }
            put(lab, item("a", *sk, members));
        }
        Change::Recolor { sk, color: Some(color) } => drop(lab.does(
            "UpdateItem",
            json!({
                "TableName": "lamps", "Key": key("a", *sk), "UpdateExpression": "SET color = :c",
                "ExpressionAttributeValues": {":c": {"S": color.to_string()}},
            }),
        )),
        Change::Recolor { sk, color: None } => {
            drop(lab.does(
                "UpdateItem",
                json!({"TableName": "lamps", "Key": key("a", *sk), "UpdateExpression": "REMOVE color"}),
            ));
        }
        Change::Delete { sk } => drop(lab.does("DeleteItem", json!({"TableName": "lamps", "Key": key("a", *sk)}))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn indexes_and_counts_agree_with_the_table_whatever_happens(changes in changes()) {
        let lab = indexed();
        for change in &changes {
            carry_out(&lab, change);
        }
        let all = lab.does("Scan", json!({"TableName": "lamps"}))["Items"].clone();
        let all = all.as_array().unwrap();
        let number = |item: &Value, name: &str| item[name]["N"].as_str().map(|text| text.parse::<i64>().unwrap());
        for color in ["0", "1", "2"] {
            let mut expected: Vec<_> = all
                .iter()
                .filter(|item| item["color"]["S"] == color && item.get("size").is_some())
                .map(|item| (number(item, "size"), number(item, "sk")))
                .collect();
            expected.sort_unstable();
            let found = lab.does("Query", json!({
                "TableName": "lamps", "IndexName": "by_color", "KeyConditionExpression": "color = :c",
                "ExpressionAttributeValues": {":c": {"S": color}},
            }));
            let found: Vec<_> =
                found["Items"].as_array().unwrap().iter().map(|item| (number(item, "size"), number(item, "sk"))).collect();
            prop_assert_eq!(found, expected);
        }
        let described = lab.does("DescribeTable", json!({"TableName": "lamps"}))["Table"].clone();
        prop_assert_eq!(&described["ItemCount"], &json!(all.len()));
        let held = |name: &str| all.iter().filter(|item| item.get(name).is_some() && item.get("size").is_some()).count();
        prop_assert_eq!(&described["GlobalSecondaryIndexes"][0]["ItemCount"], &json!(held("color")));
        prop_assert_eq!(&described["LocalSecondaryIndexes"][0]["ItemCount"], &json!(held("pk")));
        for item in all {
            lab.does("DeleteItem", json!({"TableName": "lamps", "Key": {"pk": item["pk"], "sk": item["sk"]}}));
        }
        let described = lab.does("DescribeTable", json!({"TableName": "lamps"}))["Table"].clone();
        prop_assert_eq!((&described["TableSizeBytes"], &described["LocalSecondaryIndexes"][0]["IndexSizeBytes"]), (&json!(0), &json!(0)));
        prop_assert_eq!(lab.faults(), 0);
    }
}
