//! Secrets and passwords as their callers meet them, and what of them lies in the store.

use serde_json::{Value, json};
use store::{Store, Table};

use crate::house::{DAWN, Lab, column, text};

const DAY: i64 = 24 * 3600 * 1000;

fn create(lab: &Lab, name: &str, value: &str) -> Value {
    lab.ok("secretsmanager:CreateSecret", json!({"Name": name, "SecretString": value}))
}

fn put(lab: &Lab, value: &str, more: Value) -> Value {
    let mut request = json!({"SecretId": "s", "SecretString": value});
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    lab.ok("PutSecretValue", request)
}

/// The value under a label.
fn value(lab: &Lab, stage: &str) -> Value {
    lab.ok("GetSecretValue", json!({"SecretId": "s", "VersionStage": stage}))["SecretString"].clone()
}

fn password(lab: &Lab, request: Value) -> String {
    text(&lab.ok("GetRandomPassword", request)["RandomPassword"])
}

#[test]
fn a_secret_is_found_by_name_and_by_either_form_of_its_arn() {
    let lab = Lab::new();
    let made = create(&lab, "a/b", "x");
    let arn = text(&made["ARN"]);
    let (head, suffix) = arn.rsplit_once('-').unwrap();
    assert_eq!(head, "arn:aws:secretsmanager:us-east-1:000000000000:secret:a/b");
    assert!(suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{suffix}");
    for id in ["a/b", &arn, head] {
        let got = lab.ok("GetSecretValue", json!({"SecretId": id}));
        assert_eq!(
            (&got["SecretString"], &got["ARN"], &got["Name"]),
            (&json!("x"), &json!(arn), &json!("a/b")),
            "{id}"
        );
        assert_eq!((&got["VersionId"], &got["VersionStages"]), (&made["VersionId"], &json!(["AWSCURRENT"])));
    }
    for id in ["a", "b", "a/b-", &format!("{head}-aaaaaa"), &arn.replace("us-east-1", "eu-west-1")] {
        assert_eq!(lab.no("GetSecretValue", json!({"SecretId": id})), "ResourceNotFound", "{id}");
    }
}

#[test]
fn a_name_may_look_like_one_with_its_six_letters() {
    let lab = Lab::new();
    create(&lab, "db-abcdef", "x");
    let partial = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-abcdef";
    assert_eq!(lab.ok("GetSecretValue", json!({"SecretId": partial}))["SecretString"], "x");
}

#[test]
fn a_secret_belongs_to_its_account_and_region() {
    let lab = Lab::new();
    create(&lab, "s", "x");
    for elsewhere in [lab.elsewhere("000000000000", "eu-west-1"), lab.elsewhere("000000000001", "us-east-1")] {
        assert_eq!(elsewhere.no("GetSecretValue", json!({"SecretId": "s"})), "ResourceNotFound");
        assert_eq!(elsewhere.ok("ListSecrets", json!({}))["SecretList"], json!([]));
    }
}

#[test]
fn the_present_version_becomes_the_former() {
    let lab = Lab::new();
    create(&lab, "s", "one");
    put(&lab, "two", json!({}));
    assert_eq!((value(&lab, "AWSCURRENT"), value(&lab, "AWSPREVIOUS")), (json!("two"), json!("one")));
    let third = put(&lab, "three", json!({}));
    assert_eq!(third["VersionStages"], json!(["AWSCURRENT"]));
    assert_eq!((value(&lab, "AWSCURRENT"), value(&lab, "AWSPREVIOUS")), (json!("three"), json!("two")));
    let stages = lab.ok("DescribeSecret", json!({"SecretId": "s"}))["VersionIdsToStages"].clone();
    assert_eq!(stages.as_object().unwrap().len(), 2, "{stages}");
    let listed =
        |all| lab.ok("ListSecretVersionIds", json!({"SecretId": "s", "IncludeDeprecated": all}))["Versions"].clone();
    assert_eq!(listed(false).as_array().unwrap().len(), 2);
    assert_eq!(listed(true).as_array().unwrap().len(), 3);
    assert_eq!(lab.no("GetSecretValue", json!({"SecretId": "s", "VersionStage": "AWSPENDING"})), "ResourceNotFound");
}

#[test]
fn a_version_with_labels_of_its_own_waits() {
    let lab = Lab::new();
    create(&lab, "s", "one");
    let pending = put(&lab, "two", json!({"VersionStages": ["AWSPENDING"]}));
    assert_eq!((value(&lab, "AWSCURRENT"), value(&lab, "AWSPENDING")), (json!("one"), json!("two")));
    let current = lab.ok("GetSecretValue", json!({"SecretId": "s"}))["VersionId"].clone();
    let wrong = json!({"SecretId": "s", "VersionId": current, "VersionStage": "AWSPENDING"});
    assert_eq!(lab.no("GetSecretValue", wrong), "InvalidRequest");
    let swap = json!({"SecretId": "s", "VersionStage": "AWSCURRENT", "MoveToVersionId": pending["VersionId"]});
    assert_eq!(lab.no("UpdateSecretVersionStage", swap.clone()), "InvalidParameter");
    let mut named = swap.clone();
    named["RemoveFromVersionId"] = current;
    lab.ok("UpdateSecretVersionStage", named);
    assert_eq!((value(&lab, "AWSCURRENT"), value(&lab, "AWSPREVIOUS")), (json!("two"), json!("one")));
    let take = json!({"SecretId": "s", "VersionStage": "AWSPENDING", "RemoveFromVersionId": pending["VersionId"]});
    lab.ok("UpdateSecretVersionStage", take.clone());
    assert_eq!(lab.no("UpdateSecretVersionStage", take), "InvalidParameter");
    assert_eq!(lab.no("GetSecretValue", json!({"SecretId": "s", "VersionStage": "AWSPENDING"})), "ResourceNotFound");
}

#[test]
fn the_first_version_is_always_the_present_one() {
    let lab = Lab::new();
    let made = lab.ok("secretsmanager:CreateSecret", json!({"Name": "s", "Description": "d"}));
    assert!(made.get("VersionId").is_none());
    assert_eq!(lab.no("GetSecretValue", json!({"SecretId": "s"})), "ResourceNotFound");
    put(&lab, "one", json!({"VersionStages": ["MINE"]}));
    assert_eq!((value(&lab, "AWSCURRENT"), value(&lab, "MINE")), (json!("one"), json!("one")));
}

#[test]
fn the_same_token_with_the_same_value_is_the_same_version() {
    let lab = Lab::new();
    let request = |value: &str| json!({"Name": "s", "SecretString": value, "ClientRequestToken": "t".repeat(32)});
    let made = lab.ok("secretsmanager:CreateSecret", request("x"));
    assert_eq!(made["VersionId"], "t".repeat(32));
    assert_eq!(lab.ok("secretsmanager:CreateSecret", request("x")), made);
    assert_eq!(lab.no("secretsmanager:CreateSecret", request("y")), "ResourceExists");
    put(&lab, "y", json!({"ClientRequestToken": "u".repeat(32)}));
    put(&lab, "y", json!({"ClientRequestToken": "u".repeat(32)}));
    assert_eq!(value(&lab, "AWSPREVIOUS"), "x");
    let other = json!({"SecretId": "s", "SecretString": "z", "ClientRequestToken": "u".repeat(32)});
    assert_eq!(lab.no("PutSecretValue", other), "ResourceExists");
}

#[test]
fn a_value_is_a_text_or_bytes() {
    let lab = Lab::new();
    lab.ok("secretsmanager:CreateSecret", json!({"Name": "s", "SecretBinary": "AAEC/w=="}));
    let got = lab.ok("GetSecretValue", json!({"SecretId": "s"}));
    assert_eq!((&got["SecretBinary"], got.get("SecretString")), (&json!("AAEC/w=="), None));
    let both = json!({"SecretId": "s", "SecretString": "x", "SecretBinary": "AAEC/w=="});
    assert_eq!(lab.no("PutSecretValue", both), "InvalidParameter");
    assert_eq!(lab.no("PutSecretValue", json!({"SecretId": "s"})), "InvalidRequest");
    assert_eq!(lab.no("PutSecretValue", json!({"SecretId": "s", "SecretBinary": "?"})), "InvalidParameter");
    put(&lab, &"x".repeat(65_536), json!({}));
    let long = json!({"SecretId": "s", "SecretString": "é".repeat(32_769)});
    assert_eq!(lab.no("PutSecretValue", long), "InvalidParameter");
    assert_eq!(lab.no("secretsmanager:CreateSecret", json!({"Name": "a b", "SecretString": "x"})), "Validation");
}

#[test]
fn an_update_changes_what_it_names() {
    let lab = Lab::new();
    create(&lab, "s", "one");
    lab.pass(1000);
    let described = lab.ok("UpdateSecret", json!({"SecretId": "s", "Description": "new", "KmsKeyId": "alias/k"}));
    assert!(described.get("VersionId").is_none());
    lab.ok("UpdateSecret", json!({"SecretId": "s", "SecretString": "two"}));
    let secret = lab.ok("DescribeSecret", json!({"SecretId": "s"}));
    assert_eq!((&secret["Description"], &secret["KmsKeyId"]), (&json!("new"), &json!("alias/k")));
    assert_eq!(secret["LastChangedDate"].as_f64(), Some(1_700_000_001.0));
    assert_eq!((value(&lab, "AWSCURRENT"), value(&lab, "AWSPREVIOUS")), (json!("two"), json!("one")));
}

#[test]
fn a_deleted_secret_can_be_restored_until_its_time_is_over() {
    let lab = Lab::new();
    create(&lab, "s", "x");
    let deleted = lab.ok("DeleteSecret", json!({"SecretId": "s", "RecoveryWindowInDays": 7}));
    #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^53")]
    let ends = (DAWN + 7 * DAY) as f64 / 1000.0;
    assert_eq!(deleted["DeletionDate"].as_f64(), Some(ends));
    for (operation, request) in [
        ("GetSecretValue", json!({"SecretId": "s"})),
        ("PutSecretValue", json!({"SecretId": "s", "SecretString": "y"})),
        ("UpdateSecret", json!({"SecretId": "s", "Description": "y"})),
        ("DeleteSecret", json!({"SecretId": "s"})),
        ("secretsmanager:CreateSecret", json!({"Name": "s", "SecretString": "y"})),
        ("secretsmanager:TagResource", json!({"SecretId": "s", "Tags": []})),
    ] {
        assert_eq!(lab.no(operation, request), "InvalidRequest", "{operation}");
    }
    assert_eq!(lab.ok("DescribeSecret", json!({"SecretId": "s"}))["DeletedDate"].as_f64(), Some(ends));
    assert_eq!(lab.ok("ListSecrets", json!({}))["SecretList"], json!([]));
    let with = lab.ok("ListSecrets", json!({"IncludePlannedDeletion": true}));
    assert_eq!(with["SecretList"][0]["DeletedDate"].as_f64(), Some(ends));
    lab.ok("RestoreSecret", json!({"SecretId": "s"}));
    assert_eq!(value(&lab, "AWSCURRENT"), "x");
    lab.pass(8 * DAY);
    lab.tick().unwrap();
    assert_eq!(value(&lab, "AWSCURRENT"), "x", "a restored secret stays");
}

#[test]
fn nothing_is_left_of_a_secret_whose_time_is_over() {
    let lab = Lab::new();
    create(&lab, "s", "x");
    put(&lab, "y", json!({}));
    create(&lab, "later", "x");
    lab.ok("DeleteSecret", json!({"SecretId": "s", "RecoveryWindowInDays": 7}));
    lab.ok("DeleteSecret", json!({"SecretId": "later"}));
    lab.pass(7 * DAY - 1);
    lab.tick().unwrap();
    assert_eq!((lab.rows("secrets"), lab.rows("secret_values"), lab.rows("secret_ends")), (2, 3, 2));
    lab.pass(1);
    assert_eq!(lab.no("DescribeSecret", json!({"SecretId": "s"})), "ResourceNotFound", "before it is swept");
    lab.tick().unwrap();
    assert_eq!((lab.rows("secrets"), lab.rows("secret_values"), lab.rows("secret_ends")), (1, 1, 1));
}

#[test]
fn a_name_is_free_once_its_secret_is_gone() {
    let lab = Lab::new();
    let first = create(&lab, "s", "x");
    let deleted = lab.ok("DeleteSecret", json!({"SecretId": "s", "ForceDeleteWithoutRecovery": true}));
    assert_eq!(deleted["ARN"], first["ARN"]);
    assert_eq!((lab.rows("secrets"), lab.rows("secret_values")), (0, 0));
    let second = create(&lab, "s", "y");
    assert_ne!(first["ARN"], second["ARN"]);
    lab.ok("DeleteSecret", json!({"SecretId": "s", "RecoveryWindowInDays": 7}));
    lab.pass(7 * DAY);
    create(&lab, "s", "z");
    lab.tick().unwrap();
    assert_eq!(value(&lab, "AWSCURRENT"), "z", "the sweep meant the one before");
    assert_eq!(lab.rows("secret_ends"), 0);
    lab.ok("DeleteSecret", json!({"SecretId": "none", "ForceDeleteWithoutRecovery": true}));
    assert_eq!(lab.no("DeleteSecret", json!({"SecretId": "none"})), "ResourceNotFound");
    let both = json!({"SecretId": "s", "ForceDeleteWithoutRecovery": true, "RecoveryWindowInDays": 7});
    assert_eq!(lab.no("DeleteSecret", both), "InvalidParameter");
    for days in [6, 31] {
        assert_eq!(lab.no("DeleteSecret", json!({"SecretId": "s", "RecoveryWindowInDays": days})), "InvalidParameter");
    }
}

#[test]
fn values_do_not_lie_open_in_the_store() {
    let store = Store::in_memory();
    let lab = Lab::over(store.clone(), cloud::Quotas::Aws);
    let words = "correct horse battery staple";
    create(&lab, "s", words);
    lab.ok("UpdateSecret", json!({"SecretId": "s", "SecretString": words}));
    let raw: Table<Vec<u8>> = Table::new("secret_values");
    let rows = store.read().range(&raw, &store::Key::all(), None, store::Direction::Ascending, 10).unwrap();
    assert_eq!(rows.len(), 2);
    for (_, bytes) in &rows {
        assert!(!bytes.windows(words.len()).any(|window| window == words.as_bytes()));
    }
    assert_ne!(rows[0].1, rows[1].1, "the same value is sealed another way each time");
    // What was sealed for one version does not open as another.
    let (first, second) = (rows[0].clone(), rows[1].clone());
    store.write(|tx| tx.put(&raw, &first.0, &second.1)).unwrap();
    store.write(|tx| tx.put(&raw, &second.0, &first.1)).unwrap();
    assert_eq!(lab.no("GetSecretValue", json!({"SecretId": "s"})), "DecryptionFailure");
}

#[test]
fn only_so_many_versions_are_kept() {
    let lab = Lab::new();
    create(&lab, "s", "0");
    for n in 1..=120 {
        put(&lab, &n.to_string(), json!({}));
    }
    assert_eq!(lab.rows("secret_values"), 100);
    assert_eq!((value(&lab, "AWSCURRENT"), value(&lab, "AWSPREVIOUS")), (json!("120"), json!("119")));
    let pages = lab.pages(
        "ListSecretVersionIds",
        json!({"SecretId": "s", "IncludeDeprecated": true, "MaxResults": 40}),
        "Versions",
        ("NextToken", "NextToken"),
    );
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [40, 40, 20]);
}

#[test]
fn secrets_have_tags() {
    let lab = Lab::new();
    let tags = json!([{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]);
    lab.ok("secretsmanager:CreateSecret", json!({"Name": "s", "Tags": tags}));
    lab.ok("secretsmanager:TagResource", json!({"SecretId": "s", "Tags": [{"Key": "a", "Value": "3"}]}));
    lab.ok("secretsmanager:UntagResource", json!({"SecretId": "s", "TagKeys": ["b", "c"]}));
    assert_eq!(lab.ok("DescribeSecret", json!({"SecretId": "s"}))["Tags"], json!([{"Key": "a", "Value": "3"}]));
    let many: Vec<Value> = (0..50).map(|n| json!({"Key": format!("k{n}"), "Value": ""})).collect();
    assert_eq!(lab.no("secretsmanager:TagResource", json!({"SecretId": "s", "Tags": many})), "InvalidParameter");
}

#[test]
fn nothing_is_told_of_tags_until_there_were_some() {
    let lab = Lab::new();
    create(&lab, "s", "x");
    let tags = || {
        let described = lab.ok("DescribeSecret", json!({"SecretId": "s"})).get("Tags").cloned();
        assert_eq!(lab.ok("ListSecrets", json!({}))["SecretList"][0].get("Tags"), described.as_ref());
        described
    };
    assert_eq!(tags(), None);
    lab.ok("secretsmanager:TagResource", json!({"SecretId": "s", "Tags": [{"Key": "a", "Value": "1"}]}));
    assert_eq!(tags(), Some(json!([{"Key": "a", "Value": "1"}])));
    lab.ok("secretsmanager:UntagResource", json!({"SecretId": "s", "TagKeys": ["a"]}));
    assert_eq!(tags(), Some(json!([])));
}

#[test]
fn several_secrets_are_read_at_once() {
    let lab = Lab::new();
    for name in ["a", "b", "c"] {
        create(&lab, name, &format!("value of {name}"));
    }
    lab.ok("secretsmanager:CreateSecret", json!({"Name": "empty"}));
    lab.ok("DeleteSecret", json!({"SecretId": "c"}));
    let batch = |input: Value| lab.ok("BatchGetSecretValue", input);
    let listed = batch(json!({"SecretIdList": ["b", "none", "a", "c", "empty"]}));
    assert_eq!(column(&listed["SecretValues"], "SecretString"), ["value of b", "value of a"]);
    let errors = column(&listed["Errors"], "ErrorCode");
    assert_eq!(errors, ["ResourceNotFoundException", "InvalidRequestException", "ResourceNotFoundException"]);
    assert_eq!(column(&listed["Errors"], "SecretId"), ["none", "c", "empty"]);
    let filtered = json!({"Filters": [{"Key": "name", "Values": ["a", "b", "e"]}], "MaxResults": 1});
    let page = batch(filtered.clone());
    assert_eq!(column(&page["SecretValues"], "Name"), ["a"]);
    let next = json!({"Filters": filtered["Filters"], "NextToken": page["NextToken"]});
    assert_eq!(column(&batch(next)["SecretValues"], "Name"), ["b"], "what has no value is left out");
    for wrong in [
        json!({}),
        json!({"SecretIdList": ["a"], "Filters": filtered["Filters"]}),
        json!({"SecretIdList": ["a"], "MaxResults": 5}),
    ] {
        assert_eq!(lab.no("BatchGetSecretValue", wrong), "InvalidParameter");
    }
}

#[test]
fn a_list_is_filtered_sorted_and_paged() {
    let lab = Lab::new();
    for (name, description, tag) in
        [("prod/db", "the main database", "alice"), ("prod/api", "Key of the API", "bob"), ("test/db", "", "alice")]
    {
        let tags = json!([{"Key": "owner", "Value": tag}]);
        let request = json!({"Name": name, "Description": description, "SecretString": "x", "Tags": tags});
        lab.ok("secretsmanager:CreateSecret", request);
        lab.pass(1000);
    }
    let names = |request: Value| -> Vec<String> {
        let listed = lab.ok("ListSecrets", request)["SecretList"].clone();
        listed.as_array().unwrap().iter().map(|secret| text(&secret["Name"])).collect()
    };
    let filter = |key: &str, value: &str| json!({"Filters": [{"Key": key, "Values": [value]}]});
    assert_eq!(names(json!({})), ["prod/db", "prod/api", "test/db"]);
    assert_eq!(names(json!({"SortOrder": "desc"})), ["test/db", "prod/api", "prod/db"]);
    assert_eq!(names(json!({"SortBy": "name"})), ["prod/api", "prod/db", "test/db"]);
    assert_eq!(names(filter("name", "prod/")), ["prod/db", "prod/api"]);
    assert_eq!(names(filter("name", "!prod/")), ["test/db"]);
    assert_eq!(names(filter("description", "MAIN data")), ["prod/db"]);
    assert_eq!(names(filter("tag-value", "ali")), ["prod/db", "test/db"]);
    assert_eq!(names(filter("tag-key", "own")).len(), 3);
    assert_eq!(names(filter("all", "bob")), ["prod/api"]);
    assert_eq!(names(filter("all", "api key")), ["prod/api"]);
    assert_eq!(names(filter("primary-region", "eu")), Vec::<String>::new());
    let pages = lab.pages("ListSecrets", json!({"MaxResults": 2}), "SecretList", ("NextToken", "NextToken"));
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    assert!(pages[0][0].get("SecretString").is_none());
    assert_eq!(lab.no("ListSecrets", json!({"NextToken": "?"})), "InvalidNextToken");
    let tags = lab.ok("secretsmanager:GetResourcePolicy", json!({"SecretId": "test/db"}));
    assert_eq!((&tags["Name"], tags.get("ResourcePolicy")), (&json!("test/db"), None));
}

#[test]
fn a_password_holds_what_was_asked_for() {
    let lab = Lab::new();
    let kinds: [fn(char) -> bool; 4] =
        [|c| c.is_ascii_lowercase(), |c| c.is_ascii_uppercase(), |c| c.is_ascii_digit(), |c| c.is_ascii_punctuation()];
    for _ in 0..50 {
        let word = password(&lab, json!({}));
        assert_eq!(word.len(), 32);
        assert!(kinds.iter().all(|kind| word.contains(*kind)) && !word.contains(' '), "{word}");
        let word = password(&lab, json!({"PasswordLength": 5, "IncludeSpace": true}));
        assert!(kinds.iter().all(|kind| word.contains(*kind)) && word.contains(' '), "{word}");
        let recipe = json!({"ExcludePunctuation": true, "ExcludeUppercase": true, "PasswordLength": 6, "RequireEachIncludedType": true});
        let word = password(&lab, recipe);
        assert!(word.len() == 6 && word.contains(kinds[0]) && word.contains(kinds[2]), "{word}");
        assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{word}");
    }
}

#[test]
fn what_is_excluded_from_a_password_is_not_in_it() {
    let lab = Lab::new();
    let few = json!({"ExcludeCharacters": "abcdefghijklmnopqrstuvwxy0123456789]\\^-", "ExcludePunctuation": true, "PasswordLength": 200});
    let word = password(&lab, few);
    assert!(word.bytes().all(|byte| byte == b'z' || byte.is_ascii_uppercase()), "{word}");
    let digits =
        json!({"ExcludeLowercase": true, "ExcludeUppercase": true, "ExcludePunctuation": true, "PasswordLength": 1});
    assert!(password(&lab, digits).parse::<u8>().is_ok());
}

#[test]
fn every_place_of_a_password_takes_any_kind() {
    let lab = Lab::new();
    let request = json!({"ExcludePunctuation": true, "ExcludeUppercase": true, "PasswordLength": 2});
    let words: Vec<String> = (0..100).map(|_| password(&lab, request.clone())).collect();
    let digits_first = words.iter().filter(|word| word.starts_with(|c: char| c.is_ascii_digit())).count();
    assert!((20..80).contains(&digits_first), "{digits_first}");
}

#[test]
fn a_password_that_cannot_be_is_refused() {
    let lab = Lab::new();
    assert_eq!(lab.no("GetRandomPassword", json!({"PasswordLength": 3})), "InvalidParameter");
    assert_eq!(password(&lab, json!({"PasswordLength": 3, "RequireEachIncludedType": false})).len(), 3);
    let none =
        json!({"ExcludeLowercase": true, "ExcludeUppercase": true, "ExcludeNumbers": true, "ExcludePunctuation": true});
    assert_eq!(lab.no("GetRandomPassword", none), "InvalidParameter");
}
