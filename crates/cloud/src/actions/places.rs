//! The actions of measurements and positions: Timestream records, one for each member of the result, and the position of a
//! device for Location (rules.md §5). Time stamps are read here, and come with the message where a rule says nothing.

use serde_json::{Value, json};
use wire::Refusal;

use super::aws;
use super::effect::{AwsRequest, Effect, Failure, Service, Work};
use super::fields::Fields;
use super::json::Json;
use super::text::Text;
use super::{Prepare, Prepared, Unprepared};

/// Records of one `WriteRecords`, dimensions of one record.
const MOST_RECORDS: usize = 100;
const MOST_DIMENSIONS: usize = 128;

/// Names that dimensions may not have, and how their names may not begin.
const TAKEN: [&str; 3] = ["measure_name", "measure_value", "time"];
const TAKEN_PREFIXES: [&str; 2] = ["ts_", "measure_value"];

/// Units of time, and how many nanoseconds each is.
const UNITS: [&str; 4] = ["SECONDS", "MILLISECONDS", "MICROSECONDS", "NANOSECONDS"];
const NANOSECONDS: [i128; 4] = [1_000_000_000, 1_000_000, 1_000, 1];

struct Timestream {
    database: Text,
    table: Text,
    dimensions: Vec<(String, Text)>,
    timestamp: Option<(Text, Text)>,
    role: String,
}

struct Position {
    tracker: Text,
    device: Text,
    latitude: Text,
    longitude: Text,
    timestamp: Option<(Text, Option<Text>)>,
    role: String,
}

pub(super) fn parse_timestream(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    fields.need(Service::Timestream)?;
    let dimensions = fields.list("dimensions")?;
    if !(1..=MOST_DIMENSIONS).contains(&dimensions.len()) {
        return Err(fields.invalid("dimensions", "there must be 1 to 128"));
    }
    let dimensions = dimensions.iter().map(|it| Ok((dimension_name(it)?, it.text("value")?)));
    let timestamp = fields.inner("timestamp")?.map(|timestamp| {
        let unit = timestamp.choice("unit", &UNITS)?;
        Ok((timestamp.text("value")?, unit.ok_or_else(|| timestamp.invalid("unit", "it is required"))?))
    });
    Ok(Box::new(Timestream {
        database: fields.text("databaseName")?,
        table: fields.text("tableName")?,
        dimensions: dimensions.collect::<Result<_, Refusal>>()?,
        timestamp: timestamp.transpose()?,
        role: fields.role()?,
    }))
}

fn dimension_name(dimension: &Fields<'_>) -> Result<String, Refusal> {
    let name = dimension.written("name")?.unwrap_or_default();
    let taken = TAKEN.contains(&name) || TAKEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    if name.is_empty() || name.contains(':') || taken {
        return Err(dimension.invalid("dimensions", &format!("{name:?} cannot be the name of one")));
    }
    Ok(name.to_owned())
}

pub(super) fn parse_location(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    fields.need(Service::Location)?;
    let timestamp = fields
        .inner("timestamp")?
        .map(|timestamp| Ok::<_, Refusal>((timestamp.text("value")?, timestamp.choice("unit", &UNITS)?)));
    Ok(Box::new(Position {
        tracker: fields.text("trackerName")?,
        device: fields.text("deviceId")?,
        latitude: fields.text("latitude")?,
        longitude: fields.text("longitude")?,
        timestamp: timestamp.transpose()?,
        role: fields.role()?,
    }))
}

impl Prepare for Timestream {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let database = self.database.render_some("databaseName", cx)?;
        let table = self.table.render_some("tableName", cx)?;
        let mut dimensions = Vec::with_capacity(self.dimensions.len());
        for (name, value) in &self.dimensions {
            dimensions.push(json!({"Name": name, "Value": value.render_some("value of a dimension", cx)?}));
        }
        let (time, unit) = match &self.timestamp {
            None => (cx.message.now.to_string(), "MILLISECONDS"),
            Some((value, unit)) => {
                let time = value.render(cx)?;
                (count("timestamp", &time)?.to_string(), unit.render_choice("unit", &UNITS, cx)?)
            }
        };
        let records = records(cx)?;
        let body = json!({
            "DatabaseName": database,
            "TableName": table,
            "CommonAttributes": {"Dimensions": dimensions, "Time": time, "TimeUnit": unit},
            "Records": records,
        });
        let request = aws::json(Service::Timestream, "1.0", "Timestream_20181101.WriteRecords", &body, cx);
        Ok(Effect::new(table, Work::Aws(AwsRequest { role: Some(self.role.clone()), ..request })))
    }
}

/// One record for each member of the result.
/// unconfirmed: that members which are null are left out, since no type of measure has such a value.
fn records(cx: &Prepared<'_>) -> Result<Vec<Value>, Unprepared> {
    let selected = cx.selected;
    let Some(Json::Object(members)) = Json::read(&selected.payload) else {
        return Err(Failure::unusable("The payload is not a JSON object, and only such a one has measures.").into());
    };
    let mut records = Vec::with_capacity(members.len());
    for (name, raw) in members {
        let measure = Json::open(raw).ok_or_else(|| Failure::unusable(format!("The member {name} is not JSON.")))?;
        let (kind, value) = match measure {
            Json::Null => continue,
            Json::Boolean(it) => ("BOOLEAN", it.to_string()),
            Json::Number(it) if it.parse::<i64>().is_ok() => ("BIGINT", it.to_owned()),
            Json::Number(it) => ("DOUBLE", it.to_owned()),
            Json::Text(it) => ("VARCHAR", it),
            Json::Array(_) | Json::Object(_) => ("VARCHAR", raw.get().to_owned()),
        };
        records.push(json!({"MeasureName": name, "MeasureValue": value, "MeasureValueType": kind}));
    }
    if !(1..=MOST_RECORDS).contains(&records.len()) {
        let count = records.len();
        let message = format!("The payload has {count} measures; there must be 1 to {MOST_RECORDS}.");
        return Err(Failure::unusable(message).into());
    }
    Ok(records)
}

impl Prepare for Position {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let tracker = self.tracker.render_some("trackerName", cx)?;
        let device = self.device.render_some("deviceId", cx)?;
        let latitude = degrees("latitude", &self.latitude, 90.0, cx)?;
        let longitude = degrees("longitude", &self.longitude, 180.0, cx)?;
        let nanoseconds = match &self.timestamp {
            None => i128::from(cx.message.now) * NANOSECONDS[1],
            Some((value, unit)) => {
                let time = count("timestamp", &value.render(cx)?)?;
                let unit = unit.as_ref();
                let unit = unit.map_or(Ok(UNITS[1]), |unit| unit.render_choice("unit", &UNITS, cx))?;
                let nanoseconds = UNITS.iter().zip(NANOSECONDS).find(|(known, _)| **known == unit);
                i128::from(time) * nanoseconds.map_or(1, |(_, nanoseconds)| nanoseconds)
            }
        };
        let time = jiff::Timestamp::from_nanosecond(nanoseconds)
            .map_err(|_| Failure::unusable("The timestamp is beyond any calendar."))?;
        let update = json!({"DeviceId": device, "SampleTime": time.to_string(), "Position": [longitude, latitude]});
        let path = format!("/tracking/v0/trackers/{}/positions", aws::label(&tracker));
        let headers = [("content-type", "application/json".to_owned())];
        let request = aws::plain(Service::Location, "POST", &path, headers, cx);
        let body = json!({"Updates": [update]}).to_string().into();
        let (role, refused) = (Some(self.role.clone()), Some("Errors"));
        Ok(Effect::new(tracker, Work::Aws(AwsRequest { body, role, refused, ..request })))
    }
}

fn degrees(name: &str, text: &Text, most: f64, cx: &mut Prepared<'_>) -> Result<f64, Unprepared> {
    let text = text.render(cx)?;
    let degrees = text.trim().parse().ok().filter(|degrees: &f64| degrees.abs() <= most);
    degrees.ok_or_else(|| {
        Failure::unusable(format!("The {name} is {text:?}, and must be degrees from -{most} to {most}.")).into()
    })
}

fn count(name: &str, text: &str) -> Result<i64, Failure> {
    let number = text.trim().parse().ok().filter(|number: &i64| *number >= 0);
    number.ok_or_else(|| Failure::unusable(format!("The {name} is {text:?}, and must be a whole number.")))
}
