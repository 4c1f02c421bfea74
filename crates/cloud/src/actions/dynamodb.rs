//! The two DynamoDB actions (rules.md §5): a row with the whole result in one column, and a row with a column for each member.
//! Which tables there are, and what their keys are called, only the service knows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use wire::Refusal;

use super::aws;
use super::effect::{AwsRequest, Effect, Failure, Service, Work};
use super::fields::Fields;
use super::json::Json;
use super::text::{Text, render};
use super::{Prepare, Prepared, Unprepared};

/// How deep an item may be; the service allows 32 levels.
const DEPTH: usize = 40;

const KEY_TYPES: [&str; 2] = ["STRING", "NUMBER"];
const OPERATIONS: [&str; 3] = ["INSERT", "UPDATE", "DELETE"];

struct Row {
    table: Text,
    hash: Key,
    range: Option<Key>,
    payload_field: Option<Text>,
    operation: Option<Text>,
    role: String,
}

struct Key {
    field: Text,
    value: Text,
    kind: Option<Text>,
}

struct Columns {
    table: Text,
    role: String,
}

pub(super) fn parse(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    fields.need(Service::DynamoDb)?;
    let range = match (fields.optional_text("rangeKeyField")?, fields.optional_text("rangeKeyValue")?) {
        (Some(field), Some(value)) => Some(Key { field, value, kind: fields.choice("rangeKeyType", &KEY_TYPES)? }),
        (None, None) => None,
        _ => return Err(fields.invalid("rangeKeyField", "it and rangeKeyValue go together")),
    };
    Ok(Box::new(Row {
        role: fields.role()?,
        table: fields.text("tableName")?,
        hash: Key {
            field: fields.text("hashKeyField")?,
            value: fields.text("hashKeyValue")?,
            kind: fields.choice("hashKeyType", &KEY_TYPES)?,
        },
        range,
        payload_field: fields.optional_text("payloadField")?,
        operation: fields.choice("operation", &OPERATIONS)?,
    }))
}

pub(super) fn parse_v2(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    fields.need(Service::DynamoDb)?;
    let put = fields.inner("putItem")?.ok_or_else(|| fields.invalid("putItem", "it is required"))?;
    Ok(Box::new(Columns { role: fields.role()?, table: put.text("tableName")? }))
}

impl Prepare for Row {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let table = self.table.render_some("tableName", cx)?;
        let mut key = Map::new();
        for part in [Some(&self.hash), self.range.as_ref()].into_iter().flatten() {
            let (name, value) = part.render(cx)?;
            key.insert(name, value);
        }
        let column = render(self.payload_field.as_ref(), cx)?.filter(|name| !name.is_empty());
        let column = column.unwrap_or_else(|| "payload".to_owned());
        let operation = self.operation.as_ref();
        let operation = operation.map_or(Ok("INSERT"), |text| text.render_choice("operation", &OPERATIONS, cx))?;
        let (target, body) = match operation {
            "DELETE" => ("DeleteItem", json!({"TableName": table, "Key": key})),
            "UPDATE" => ("UpdateItem", update(&table, &key, &column, &payload(cx)?)),
            _ => {
                key.insert(column, payload(cx)?);
                ("PutItem", json!({"TableName": table, "Item": key}))
            }
        };
        Ok(effect(&table, target, &body, &self.role, cx))
    }
}

fn update(table: &str, key: &Map<String, Value>, column: &str, value: &Value) -> Value {
    json!({
        "TableName": table,
        "Key": key,
        "UpdateExpression": "SET #payload = :payload",
        "ExpressionAttributeNames": {"#payload": column},
        "ExpressionAttributeValues": {":payload": value},
    })
}

impl Key {
    fn render(&self, cx: &mut Prepared<'_>) -> Result<(String, Value), Unprepared> {
        let name = self.field.render_some("name of a key", cx)?;
        let value = self.value.render_some("value of a key", cx)?;
        let kind = self.kind.as_ref();
        let kind = kind.map_or(Ok("STRING"), |text| text.render_choice("type of a key", &KEY_TYPES, cx))?;
        Ok((name, if kind == "NUMBER" { json!({"N": value}) } else { json!({"S": value}) }))
    }
}

impl Prepare for Columns {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let table = self.table.render_some("tableName", cx)?;
        let selected = cx.selected;
        let Some(Json::Object(members)) = Json::read(&selected.payload) else {
            let message = "The payload is not a JSON object, and only such a one has columns.";
            return Err(Failure::unusable(message).into());
        };
        let item = object(members, DEPTH)?;
        Ok(effect(&table, "PutItem", &json!({"TableName": table, "Item": item}), &self.role, cx))
    }
}

fn effect(table: &str, operation: &str, body: &Value, role: &str, cx: &Prepared<'_>) -> Effect {
    let request = aws::json(Service::DynamoDb, "1.0", &format!("DynamoDB_20120810.{operation}"), body, cx);
    Effect::new(table, Work::Aws(AwsRequest { role: Some(role.to_owned()), ..request }))
}

/// The whole result as one attribute; what is not JSON as binary.
fn payload(cx: &Prepared<'_>) -> Result<Value, Unprepared> {
    let payload = &cx.selected.payload;
    match Json::read(payload) {
        Some(value) => attribute(value, DEPTH),
        None => Ok(json!({"B": STANDARD.encode(payload)})),
    }
}

fn attribute(value: Json<'_>, depth: usize) -> Result<Value, Unprepared> {
    Ok(match value {
        Json::Null => json!({"NULL": true}),
        Json::Boolean(it) => json!({"BOOL": it}),
        Json::Number(it) => json!({"N": it}),
        Json::Text(it) => json!({"S": it}),
        Json::Array(items) => {
            let items = items.into_iter().map(|item| nested(item, depth));
            json!({"L": items.collect::<Result<Vec<_>, _>>()?})
        }
        Json::Object(members) => json!({"M": object(members, depth)?}),
    })
}

fn object(members: Vec<(String, &RawValue)>, depth: usize) -> Result<Map<String, Value>, Unprepared> {
    members.into_iter().map(|(name, value)| Ok((name, nested(value, depth)?))).collect()
}

fn nested(raw: &RawValue, depth: usize) -> Result<Value, Unprepared> {
    let deeper = depth.checked_sub(1).zip(Json::open(raw));
    let (depth, value) = deeper.ok_or_else(|| Failure::unusable("The payload is nested too deeply for DynamoDB."))?;
    attribute(value, depth)
}
