//! What a request needs to be allowed, in the terms of IAM: an action and a resource, or several. IoT's operations name their
//! resource beside their handler; of the neighbours it is found here, where AWS's reference of actions says it is. Who asks,
//! and what its policies say, is unknown here.

use serde_json::{Map, Value};
use sql::{Statement, Template, Version};
use store::Fault;
use wire::{Input, Operation, Protocol};

use crate::caller::Identity;
use crate::domain_configurations;
use crate::neighbours::functions::names::Named;
use crate::neighbours::{iam, secrets};
use crate::operation::Started;
use crate::scope::{Read, Scope};

/// One permission that a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) action: String,
    pub(crate) resource: String,
    /// The service that a role is passed to, where that is what is asked.
    pub(crate) passed_to: Option<&'static str>,
}

impl Need {
    pub(crate) fn new(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { action: action.into(), resource: resource.into(), passed_to: None }
    }
}

type Fields = Map<String, Value>;

/// What a request of a neighbour needs, and the roles that any request hands on. Asked before the handler gets the input.
pub(crate) fn of(db: Read, operation: &Operation, input: &Input) -> Result<Vec<Need>, Fault> {
    let (fields, scope, name) = (input.fields(), &db.cx.scope, operation.name);
    let mut needs = match operation.service {
        "dynamodb" => of_tables(scope, name, fields),
        "lambda" => vec![of_function(scope, name, fields)],
        "logs" => vec![of_logs(scope, name, fields)],
        "cloudwatch" => of_metrics(scope, name, fields),
        "secretsmanager" => vec![Need::new(format!("secretsmanager:{name}"), of_secret(db, fields)?)],
        "iam" => {
            let renamed = renamed(db, fields)?.map(|arn| Need::new(format!("iam:{name}"), arn));
            std::iter::once(Need::new(format!("iam:{name}"), of_iam(db, name, fields)?)).chain(renamed).collect()
        }
        // What else IoT's own operations need is known once their handlers are found. Of STS, whoever asks who it is or for keys of its
        // own needs nothing; roles are asked whom they trust.
        "iot" => of_membership(scope, name, fields),
        "iot-data" | "iot-jobs-data" | "sts" => Vec::new(),
        other => vec![Need::new(format!("{other}:{name}"), "*")],
    };
    let passed_to = match operation.service {
        "iot" if name.contains("RoleAlias") => Some("credentials.iot.amazonaws.com"),
        "iot" => Some("iot.amazonaws.com"),
        "lambda" => Some("lambda.amazonaws.com"),
        _ => None,
    };
    if passed_to.is_some() {
        let roles = fields.values().flat_map(|value| roles_in(value, 0));
        let roles = roles.chain(named_roles(fields)).chain(roles_of_rule(fields));
        needs.extend(roles.map(|role| Need { passed_to, ..Need::new("iam:PassRole", role) }));
    }
    Ok(needs)
}

/// What else is asked where a thing comes into a group or leaves it: both must be allowed, and the handler's table names one.
fn of_membership(scope: &Scope, name: &str, fields: &Fields) -> Vec<Need> {
    let need = |resource: String| Need::new(format!("iot:{name}"), resource);
    let of = |kind: &str, name: &str| need(scope.arn(format_args!("{kind}/{name}")));
    match name {
        "AddThingToThingGroup"
        | "RemoveThingFromThingGroup"
        | "AddThingToBillingGroup"
        | "RemoveThingFromBillingGroup" => {
            let thing = text(fields, "thingArn").map(|arn| need(arn.to_owned()));
            thing.or_else(|| text(fields, "thingName").map(|name| of("thing", name))).into_iter().collect()
        }
        "UpdateThingGroupsForThing" => {
            let lists =
                ["thingGroupsToAdd", "thingGroupsToRemove"].into_iter().filter_map(|key| fields.get(key)?.as_array());
            lists.flatten().filter_map(Value::as_str).map(|name| of("thinggroup", name)).collect()
        }
        _ => Vec::new(),
    }
}

/// What an operation of IoT's own needs. Where its table says `*`, it is everything and not a resource of that name.
pub(crate) fn of_iot(db: Read, operation: &Operation, started: &Started) -> Result<Vec<Need>, Fault> {
    let prefix = match operation.service {
        "iot" | "iot-data" => "iot",
        "iot-jobs-data" => "iotjobsdata",
        _ => return Ok(Vec::new()),
    };
    let resource = match started.resource.as_str() {
        "*" => "*".to_owned(),
        given if given.starts_with("domainconfiguration/") => domain_configurations::arn_for_policies(db, given)?,
        resource => db.arn(format_args!("{resource}")),
    };
    let own = Need::new(format!("{prefix}:{}", operation.name), resource.clone());
    Ok(std::iter::once(own).chain(started.also.map(|also| Need::new(also, resource))).collect())
}

/// The error of a service for who is not allowed, and its status.
pub(crate) fn error(operation: &Operation) -> (&'static str, u16) {
    let protocol = wire::SERVICES.iter().find(|service| service.name == operation.service);
    match protocol.map(|service| service.protocol) {
        Some(Protocol::Json(_)) => ("AccessDeniedException", 400),
        Some(Protocol::Query(_) | Protocol::Both(..)) => ("AccessDenied", 403),
        Some(Protocol::RestJson) | None => ("AccessDeniedException", 403),
    }
}

fn text<'f>(fields: &'f Fields, key: &str) -> Option<&'f str> {
    fields.get(key).and_then(Value::as_str)
}

/// The members of an input that name a role.
const ROLES: [&str; 3] = ["roleArn", "RoleArn", "Role"];

fn named_roles(fields: &Fields) -> impl Iterator<Item = String> {
    let named = ROLES.into_iter().filter_map(|key| text(fields, key));
    named.filter(|role| role.starts_with("arn:aws:iam::")).map(str::to_owned)
}

/// How deep roles are looked for: actions of rules are three deep.
const DEPTH: usize = 8;

/// The roles that are named inside a value.
fn roles_in(value: &Value, depth: usize) -> Vec<String> {
    match value {
        _ if depth > DEPTH => Vec::new(),
        Value::Object(fields) => {
            named_roles(fields).chain(fields.values().flat_map(|value| roles_in(value, depth + 1))).collect()
        }
        Value::Array(values) => values.iter().flat_map(|value| roles_in(value, depth + 1)).collect(),
        _ => Vec::new(),
    }
}

/// The roles that functions in a rule's statement and templates ask as: all of them, if one is only known once a message is there.
fn roles_of_rule(fields: &Fields) -> Vec<String> {
    let Some(Value::Object(rule)) = fields.get("topicRulePayload") else { return Vec::new() };
    let version: Version = text(rule, "awsIotSqlVersion").and_then(|name| name.parse().ok()).unwrap_or_default();
    let mut found: Vec<Option<String>> = Vec::new();
    let own = |role: Option<&str>| role.map(str::to_owned);
    // What cannot be read is no rule, and refused as none by its handler.
    if let Some(Ok(statement)) = text(rule, "sql").map(|sql| Statement::parse(sql, version)) {
        found.extend(statement.roles().map(own));
    }
    let mut templates = Vec::new();
    rule.values().for_each(|value| texts_in(value, 0, &mut templates));
    for template in templates.into_iter().filter(|text| text.contains("${")) {
        if let Ok(template) = Template::parse(template, version) {
            found.extend(template.roles().map(own));
        }
    }
    found.into_iter().map(|role| role.unwrap_or_else(|| "*".to_owned())).collect()
}

fn texts_in<'v>(value: &'v Value, depth: usize, found: &mut Vec<&'v str>) {
    match value {
        _ if depth > DEPTH => {}
        Value::String(text) => found.push(text),
        Value::Array(values) => values.iter().for_each(|value| texts_in(value, depth + 1, found)),
        Value::Object(fields) => fields.values().for_each(|value| texts_in(value, depth + 1, found)),
        _ => {}
    }
}

/// A name, or the ARN that was given in its place.
fn arn_or(text: &str, arn: impl FnOnce(&str) -> String) -> String {
    if text.starts_with("arn:") { text.to_owned() } else { arn(text) }
}

pub(crate) fn table(scope: &Scope, name: &str) -> String {
    arn_or(name, |name| format!("arn:aws:dynamodb:{}:{}:table/{name}", scope.region, scope.account))
}

/// Transactions need what each of their parts needs alone; batches an action of their own on each table.
fn of_tables(scope: &Scope, name: &str, fields: &Fields) -> Vec<Need> {
    let action = format!("dynamodb:{name}");
    if let Some(items) = fields.get("TransactItems").and_then(Value::as_array) {
        let parts = items.iter().filter_map(Value::as_object).flatten();
        let need = |(part, item): (&String, &Value)| {
            let part = match part.as_str() {
                "Get" => "GetItem",
                "Put" => "PutItem",
                "Update" => "UpdateItem",
                "Delete" => "DeleteItem",
                _ => "ConditionCheckItem",
            };
            let named = item.get("TableName").and_then(Value::as_str).unwrap_or("*");
            Need::new(format!("dynamodb:{part}"), table(scope, named))
        };
        return parts.map(need).collect();
    }
    if let Some(tables) = fields.get("RequestItems").and_then(Value::as_object) {
        return tables.keys().map(|name| Need::new(&action, table(scope, name))).collect();
    }
    let resource = match (text(fields, "TableName"), text(fields, "IndexName"), text(fields, "ResourceArn")) {
        (Some(name), Some(index), _) => format!("{}/index/{index}", table(scope, name)),
        (Some(name), None, _) => table(scope, name),
        (None, _, Some(arn)) => arn.to_owned(),
        (None, _, None) => "*".to_owned(),
    };
    vec![Need::new(action, resource)]
}

fn of_function(scope: &Scope, name: &str, fields: &Fields) -> Need {
    let action = if name == "Invoke" { "InvokeFunction" } else { name };
    let qualifier = text(fields, "Qualifier");
    let function = text(fields, "FunctionName").map(|text| {
        // What cannot be a function is refused by its handler; until then nothing narrower is known.
        Named::parse(scope, text, qualifier).map_or_else(|_| "*".to_owned(), |named| named.arn(scope))
    });
    let resource = function.or_else(|| text(fields, "Resource").map(str::to_owned));
    Need::new(format!("lambda:{action}"), resource.unwrap_or_else(|| "*".to_owned()))
}

/// A group stands for itself and all its streams, with the stream behind it where one is named: policies end in `:*`.
fn of_logs(scope: &Scope, name: &str, fields: &Fields) -> Need {
    let group = ["logGroupName", "logGroupIdentifier"].into_iter().find_map(|key| text(fields, key));
    let streams = text(fields, "logStreamName").unwrap_or_default();
    let resource = match (group, text(fields, "resourceArn")) {
        (Some(group), _) => {
            let group =
                arn_or(group, |group| format!("arn:aws:logs:{}:{}:log-group:{group}", scope.region, scope.account));
            format!("{}:log-stream:{streams}", group.trim_end_matches(":*"))
        }
        (None, Some(arn)) => arn.to_owned(),
        (None, None) => "*".to_owned(),
    };
    Need::new(format!("logs:{name}"), resource)
}

fn of_metrics(scope: &Scope, name: &str, fields: &Fields) -> Vec<Need> {
    let action = format!("cloudwatch:{name}");
    let arn = |alarm: &str| format!("arn:aws:cloudwatch:{}:{}:alarm:{alarm}", scope.region, scope.account);
    let list = fields.get("AlarmNames").and_then(Value::as_array);
    let several = list.into_iter().flatten().filter_map(Value::as_str);
    let alarms: Vec<&str> = several.chain(text(fields, "AlarmName")).collect();
    if alarms.is_empty() {
        return vec![Need::new(action, text(fields, "ResourceARN").unwrap_or("*"))];
    }
    alarms.into_iter().map(|alarm| Need::new(&action, arn(alarm))).collect()
}

/// Secrets have six letters behind their name in ARNs; one that is not there yet has none.
fn of_secret(db: Read, fields: &Fields) -> Result<String, Fault> {
    let Some(named) = ["SecretId", "Name"].into_iter().find_map(|key| text(fields, key)) else {
        return Ok("*".to_owned());
    };
    secrets::arn_of(db, named)
}

/// The operations that mean the caller where they name nobody.
const OF_CALLER: [&str; 5] = ["CreateAccessKey", "DeleteAccessKey", "GetUser", "ListAccessKeys", "UpdateAccessKey"];

/// What a user or a group becomes: who renames must be allowed that, too.
fn renamed(db: Read, fields: &Fields) -> Result<Option<String>, Fault> {
    let (path, account) = (text(fields, "NewPath"), &db.cx.scope.account);
    let becomes = |kind, name: &str, known: Option<String>| {
        let path = path.or(known.as_deref()).unwrap_or("/");
        Some(iam::arn(account, kind, path, name))
    };
    if let Some(name) = text(fields, "UserName").filter(|_| path.is_some() || fields.contains_key("NewUserName")) {
        let known = iam::user(db, name)?.map(|user| user.path);
        return Ok(becomes("user", text(fields, "NewUserName").unwrap_or(name), known));
    }
    if let Some(name) = text(fields, "GroupName").filter(|_| path.is_some() || fields.contains_key("NewGroupName")) {
        let known = iam::group(db, name)?.map(|group| group.path);
        return Ok(becomes("group", text(fields, "NewGroupName").unwrap_or(name), known));
    }
    Ok(None)
}

/// The first of what an input of IAM's names, whole with its path.
fn of_iam(db: Read, operation: &str, fields: &Fields) -> Result<String, Fault> {
    let account = &db.cx.scope.account;
    let path = text(fields, "Path").unwrap_or("/");
    // Who comes into a group or leaves it is not asked about, only the group.
    if let Some(name) = text(fields, "GroupName") {
        let found = iam::group(db, name)?.map(|group| group.path);
        return Ok(iam::arn(account, "group", found.as_deref().unwrap_or(path), name));
    }
    if let Some(name) = text(fields, "UserName") {
        let found = iam::user(db, name)?.map(|user| user.path);
        return Ok(iam::arn(account, "user", found.as_deref().unwrap_or(path), name));
    }
    if let Some(Identity::User(user)) = &db.cx.origin.caller
        && OF_CALLER.contains(&operation)
    {
        return Ok(user.arn.clone());
    }
    if let Some(name) = text(fields, "RoleName") {
        let found = iam::role_named(db, name)?.map(|role| role.path);
        return Ok(iam::arn(account, "role", found.as_deref().unwrap_or(path), name));
    }
    if let Some(name) = text(fields, "PolicyName").filter(|_| fields.contains_key("PolicyDocument")) {
        return Ok(iam::arn(account, "policy", path, name));
    }
    Ok(text(fields, "PolicyArn").unwrap_or("*").to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope() -> Scope {
        Scope::new("000000000000", "us-east-1")
    }

    fn fields(value: &Value) -> Fields {
        value.as_object().cloned().unwrap_or_default()
    }

    fn said(needs: &[Need]) -> Vec<String> {
        needs.iter().map(|need| format!("{} {}", need.action, need.resource)).collect()
    }

    #[test]
    fn a_request_about_tables_needs_something_on_each_of_them() {
        let check =
            |name, value, expected: &[&str]| assert_eq!(said(&of_tables(&scope(), name, &fields(&value))), expected);
        let prefix = "arn:aws:dynamodb:us-east-1:000000000000:table";
        check("PutItem", json!({"TableName": "a"}), &[&format!("dynamodb:PutItem {prefix}/a")]);
        check("GetItem", json!({"TableName": format!("{prefix}/a")}), &[&format!("dynamodb:GetItem {prefix}/a")]);
        check("Query", json!({"TableName": "a", "IndexName": "i"}), &[&format!("dynamodb:Query {prefix}/a/index/i")]);
        check("ListTables", json!({}), &["dynamodb:ListTables *"]);
        let both = json!({"RequestItems": {"a": [], "b": []}});
        let (a, b) = (format!("dynamodb:BatchWriteItem {prefix}/a"), format!("dynamodb:BatchWriteItem {prefix}/b"));
        check("BatchWriteItem", both, &[&a, &b]);
        let parts = json!({"TransactItems": [{"Put": {"TableName": "a"}}, {"ConditionCheck": {"TableName": "b"}}]});
        let (put, seen) = (format!("dynamodb:PutItem {prefix}/a"), format!("dynamodb:ConditionCheckItem {prefix}/b"));
        check("TransactWriteItems", parts, &[&put, &seen]);
    }

    #[test]
    fn a_function_is_meant_however_it_is_named() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
        for (value, expected) in [
            (json!({"FunctionName": "f"}), arn.to_owned()),
            (json!({"FunctionName": arn}), arn.to_owned()),
            (json!({"FunctionName": "f", "Qualifier": "live"}), format!("{arn}:live")),
            (json!({}), "*".to_owned()),
        ] {
            let need = of_function(&scope(), "Invoke", &fields(&value));
            assert_eq!((need.action.as_str(), need.resource), ("lambda:InvokeFunction", expected));
        }
    }

    #[test]
    fn logs_are_a_group_and_its_stream() {
        let need = of_logs(&scope(), "PutLogEvents", &fields(&json!({"logGroupName": "g", "logStreamName": "s"})));
        assert_eq!(need.resource, "arn:aws:logs:us-east-1:000000000000:log-group:g:log-stream:s");
        let need = of_logs(&scope(), "CreateLogStream", &fields(&json!({"logGroupName": "g"})));
        assert_eq!(need.resource, "arn:aws:logs:us-east-1:000000000000:log-group:g:log-stream:");
    }

    #[test]
    fn roles_are_found_wherever_they_are_handed_on() {
        let role = "arn:aws:iam::000000000000:role/r";
        let input = json!({"ruleName": "x", "topicRulePayload": {"actions": [{"s3": {"roleArn": role}}],
            "errorAction": {"republish": {"roleArn": role}}}, "roleArn": "no role"});
        assert_eq!(fields(&input).values().flat_map(|value| roles_in(value, 0)).collect::<Vec<_>>(), [role, role]);
    }
}
