//! How requests about items are refused, word for word: writes of one item say so in front of what they find wrong before they look
//! at the table, other operations do not.

use serde_json::{Value, json};

use crate::house::Lab;

/// A lab with a table `lamps` whose keys are `pk` and `sk`, both text, and an index `by_color`.
fn lab() -> Lab {
    let lab = Lab::new();
    let text = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
    lab.ok(
        "dynamodb:CreateTable",
        json!({
            "TableName": "lamps", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [text("pk"), text("sk"), text("color")],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            "GlobalSecondaryIndexes": [{
                "IndexName": "by_color", "KeySchema": [{"AttributeName": "color", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }],
        }),
    );
    lab
}

fn key() -> Value {
    json!({"pk": {"S": "a"}, "sk": {"S": "b"}})
}

/// The error and its message.
fn refused(lab: &Lab, operation: &str, mut input: Value) -> (String, String) {
    if !operation.starts_with("Transact") {
        input["TableName"] = json!("lamps");
    }
    lab.refused(&format!("dynamodb:{operation}"), input)
}

fn message(lab: &Lab, operation: &str, input: Value) -> String {
    let (error, message) = refused(lab, operation, input);
    assert_eq!(error, "Validation", "{operation}: {message}");
    message
}

const DETECTED: &str = "1 validation error detected: ";
const INVALID: &str = "One or more parameter values were invalid: ";

#[test]
fn a_write_of_one_item_says_that_its_request_is_wrong() {
    let lab = lab();
    let update = |more: Value| {
        let mut input = json!({"Key": key()});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message(&lab, "UpdateItem", input)
    };
    let empty = "Invalid UpdateExpression: The expression can not be empty;";
    assert_eq!(update(json!({"UpdateExpression": ""})), format!("{DETECTED}{empty}"));
    let values = json!({"UpdateExpression": "SET v = :v", "ExpressionAttributeValues": {}});
    assert_eq!(update(values), format!("{DETECTED}ExpressionAttributeValues must not be empty"));
    let set = json!({"UpdateExpression": "ADD v :v", "ExpressionAttributeValues": {":v": {"SS": []}}});
    assert_eq!(
        update(set),
        format!("{DETECTED}{INVALID}An string set  may not be empty"),
        "no value is told of by its key"
    );
    let null = json!({"UpdateExpression": "SET v = :v", "ExpressionAttributeValues": {":v": {"NULL": false}}});
    assert_eq!(update(null), format!("{DETECTED}{INVALID}Null attribute value types must have the value of true"));
    for (operation, member) in [("PutItem", "Item"), ("DeleteItem", "Key")] {
        let with = |more: Value| {
            let mut input = json!({(member): key()});
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            message(&lab, operation, input)
        };
        let unused = json!({"ConditionExpression": "attribute_exists(v)", "ExpressionAttributeNames": {"#v": "v"}});
        let told = "Value provided in ExpressionAttributeNames unused in expressions: keys: {#v}";
        assert_eq!(with(unused), format!("{DETECTED}{told}"));
        let alone = json!({"ExpressionAttributeValues": {":v": {"S": "x"}}});
        let told = "ExpressionAttributeValues can only be specified when using expressions";
        assert_eq!(with(alone), format!("{DETECTED}{told}"));
        let expected = json!({"Expected": {"v": {"Exists": true}}});
        let told = "Value must be provided when Exists is true for Attribute: v";
        assert_eq!(with(expected), format!("{DETECTED}{INVALID}{told}"));
        let shown = json!({"ReturnValues": "ALL_NEW"});
        assert_eq!(with(shown), format!("{DETECTED}ReturnValues can only be ALL_OLD or NONE"));
    }
}

#[test]
fn what_is_no_value_too_much_or_the_tables_affair_is_told_bare() {
    let lab = lab();
    let put = |item: Value| message(&lab, "PutItem", json!({"Item": item}));
    let with = |value: Value| json!({"pk": {"S": "a"}, "sk": {"S": "b"}, "v": value});
    assert!(put(with(json!({}))).starts_with("Supplied AttributeValue is empty"));
    assert!(put(with(json!({"S": "x", "N": "1"}))).starts_with("Supplied AttributeValue has more than one"));
    assert_eq!(put(with(json!({"S": "x".repeat(400 * 1024)}))), "Item size has exceeded the maximum allowed size");
    assert_eq!(put(json!({"pk": {"S": "a"}})), format!("{INVALID}Missing the key sk in the item"));
    let key_of_it = json!({
        "Key": key(), "UpdateExpression": "SET pk = :v", "ExpressionAttributeValues": {":v": {"S": "x"}},
    });
    let told = "Cannot update attribute pk. This attribute is part of the key";
    assert_eq!(message(&lab, "UpdateItem", key_of_it), format!("{INVALID}{told}"));
    let get = json!({"Key": key(), "ProjectionExpression": "v", "ExpressionAttributeNames": {"#v": "v"}});
    let told = "Value provided in ExpressionAttributeNames unused in expressions: keys: {#v}";
    assert_eq!(message(&lab, "GetItem", get), told, "reads do not say it");
}

#[test]
fn a_set_that_has_a_member_twice_is_told_in_order_up_to_it() {
    let lab = lab();
    let put = |set: Value| message(&lab, "PutItem", json!({"Item": {"pk": {"S": "a"}, "sk": {"S": "b"}, "v": set}}));
    for (set, told) in [
        (json!({"SS": ["b", "a", "b", "c"]}), "[\"a\", \"b\", \"b\", \"c\"] contains duplicates."),
        (json!({"BS": ["/w==", "AA==", "AA=="]}), "[\"AA==\",\"/w==\",\"AA==\"]of type BS contains duplicates."),
        (json!({"NS": ["2", "1", "2.0"]}), "contains duplicates."),
    ] {
        assert_eq!(put(set), format!("{DETECTED}{INVALID}Input collection {told}"));
    }
    assert_eq!(put(json!({"N": ""})), format!("{DETECTED}The parameter cannot be converted to a numeric value: "));
}

#[test]
fn an_empty_key_is_the_whole_transactions_fault_and_a_wrong_one_its_actions() {
    let lab = lab();
    let transact = |action: Value| refused(&lab, "TransactWriteItems", json!({"TransactItems": [action]}));
    let update = |key: Value| {
        json!({"Update": {
            "TableName": "lamps", "Key": {"pk": {"S": "a"}, "sk": key}, "UpdateExpression": "SET v = :v",
            "ExpressionAttributeValues": {":v": {"S": "x"}},
        }})
    };
    let empty = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty \
                 string value. Key: sk";
    assert_eq!(transact(update(json!({"S": ""}))), ("Validation".to_owned(), empty.to_owned()));
    assert_eq!(transact(update(json!({"N": "1"}))).0, "TransactionCanceled");
    let put = json!({"Put": {
        "TableName": "lamps", "Item": {"pk": {"S": "a"}, "sk": {"S": "b"}, "color": {"S": ""}},
    }});
    let (error, told) = transact(put);
    assert_eq!(error, "Validation");
    assert!(told.ends_with("empty string value. IndexName: by_color, IndexKey: color"), "{told}");
    let get = json!({"TransactItems": [{"Get": {"TableName": "lamps", "Key": {"pk": {"S": ""}, "sk": {"S": "b"}}}}]});
    assert_eq!(refused(&lab, "TransactGetItems", get).0, "Validation");
}

#[test]
fn an_update_that_empties_the_key_of_an_index_is_told_as_one() {
    let lab = lab();
    let update =
        json!({"UpdateExpression": "SET color = :v", "ExpressionAttributeValues": {":v": {"S": ""}}, "Key": key()});
    let told = "One or more parameter values are not valid. The update expression attempted to update a secondary index key to \
                a value that is not supported. The AttributeValue for a key attribute cannot contain an empty string value.";
    assert_eq!(message(&lab, "UpdateItem", update), told);
    let older = json!({"AttributeUpdates": {"color": {"Value": {"S": ""}}}, "Key": key()});
    assert!(message(&lab, "UpdateItem", older).ends_with("IndexName: by_color, IndexKey: color"));
}

#[test]
fn a_query_asks_its_keys_for_what_they_can_be() {
    let lab = lab();
    let query = |condition: &str, value: Value| {
        let values = json!({":pk": {"S": "a"}, ":v": value});
        let input = json!({"KeyConditionExpression": condition, "ExpressionAttributeValues": values});
        message(&lab, "Query", input)
    };
    let empty = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty \
                 string value. Key: sk";
    assert_eq!(query("pk = :pk AND sk = :v", json!({"S": ""})), empty);
    assert_eq!(query("pk = :pk AND begins_with(sk, :v)", json!({"S": ""})), empty);
    assert_eq!(
        query("pk = :pk AND sk = :v AND size = :v", json!({"S": "x"})),
        "Invalid KeyConditionExpression: Attribute name is a reserved keyword; reserved keyword: size"
    );
    assert_eq!(
        query("pk = :pk AND sk = :v AND color = :v", json!({"S": "x"})),
        "The number of query conditions (3) exceeds the number of key attributes defined in the schema (2)"
    );
    assert_eq!(
        query("pk = :pk AND sk > :v AND sk < :v", json!({"S": "x"})),
        "Invalid KeyConditionExpression: KeyConditionExpressions must only contain one condition per key"
    );
}
