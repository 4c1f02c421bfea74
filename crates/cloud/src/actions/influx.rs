//! The influxDB action: the result as lines of InfluxDB's line protocol (rules.md §5). Where the database answers, and with which
//! secret, its rule destination says.

use std::fmt::Write as _;

use wire::Refusal;

use super::effect::{Batch, Effect, Failure, InfluxWrite, Work};
use super::fields::Fields;
use super::json::Json;
use super::text::Text;
use super::{Prepare, Prepared, Unprepared};

/// Tags and fields of one line.
const MOST_COLUMNS: usize = 250;

const UNITS: [&str; 4] = ["s", "ms", "us", "ns"];

/// The member of each object that is its time.
const TIMESTAMP: &str = "timestamp";

struct Influx {
    destination_arn: String,
    database: Text,
    table: Part,
    organization: Option<Text>,
    tags: Vec<(String, Part)>,
    unit: &'static str,
    batch: Option<Batch>,
}

/// A text for all objects of a message, or a member of each: `@{member}`.
enum Part {
    Whole(Text),
    Member(String),
}

pub(super) fn parse(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    let arn = fields.written("destinationArn")?.unwrap_or_default();
    if !arn.contains(":ruledestination/influxdb/") {
        return Err(fields.invalid("destinationArn", "it must be the ARN of an InfluxDB destination"));
    }
    let unit = fields.written("timestampUnit")?.unwrap_or("ms");
    let unit = UNITS.into_iter().find(|known| *known == unit);
    let tags = fields.inner("tags")?;
    let tags = tags.iter().flat_map(|tags| tags.names().map(|name| Ok((name.to_owned(), part(tags, name)?))));
    let mut tags = tags.collect::<Result<Vec<_>, Refusal>>()?;
    // In order of name, which is how the database likes them best.
    tags.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Box::new(Influx {
        destination_arn: arn.to_owned(),
        database: fields.text("databaseName")?,
        table: part(fields, "tableName")?,
        organization: fields.optional_text("organization")?,
        tags,
        unit: unit.ok_or_else(|| fields.invalid("timestampUnit", "it must be one of s, ms, us, ns"))?,
        batch: batch(fields)?,
    }))
}

fn part(fields: &Fields<'_>, name: &str) -> Result<Part, Refusal> {
    let written = fields.written(name)?.unwrap_or_default();
    if !written.contains("@{") {
        return fields.text(name).map(Part::Whole);
    }
    let member = written.strip_prefix("@{").and_then(|rest| rest.strip_suffix('}'));
    let is_name = |name: &&str| !name.is_empty() && !name.contains(['$', '@', '{', '}']);
    let member =
        member.filter(is_name).ok_or_else(|| fields.invalid(name, "@{member} names one member, and stands alone"))?;
    Ok(Part::Member(member.to_owned()))
}

fn batch(fields: &Fields<'_>) -> Result<Option<Batch>, Refusal> {
    let Some(config) = fields.inner("batchConfig")? else { return Ok(None) };
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let across = config.flag("batchAcrossTopics")?;
    // unconfirmed: the values of what is left out.
    Ok(Some(Batch {
        key: if across { String::new() } else { "topic".to_owned() },
        open_ms: config.number("maxBatchOpenMs", 5, 1000, 100)?,
        count: size(config.number("maxBatchSize", 1, 500, 100)?),
        bytes: size(config.number("maxBatchSizeBytes", 100, 131_072, 131_072)?),
    }))
}

impl Prepare for Influx {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let destination = (cx.influx)(&self.destination_arn).ok_or_else(|| {
            Failure::unusable(format!("There is no enabled InfluxDB destination {}.", self.destination_arn))
        })?;
        let database = self.database.render_some("databaseName", cx)?;
        let organization = super::text::render(self.organization.as_ref(), cx)?.filter(|it| !it.is_empty());
        let table = self.table.whole(cx)?;
        let mut tags = Vec::with_capacity(self.tags.len());
        for (name, part) in &self.tags {
            tags.push((name.as_str(), part, part.whole(cx)?));
        }
        let mut lines = String::new();
        let selected = cx.selected;
        let objects = match Json::read(&selected.payload) {
            Some(Json::Array(items)) => items.into_iter().map(Json::open).collect(),
            object => vec![object],
        };
        for object in objects {
            let Some(Json::Object(members)) = object else {
                let message = "The payload is neither a JSON object nor an array of such.";
                return Err(Failure::unusable(message).into());
            };
            let members = members.into_iter().filter_map(|(name, raw)| Some((name, Json::open(raw)?, raw.get())));
            line(&mut lines, (&self.table, table.as_deref()), &tags, &members.collect::<Vec<_>>())?;
        }
        let batch = self.batch.clone().map(|batch| {
            let topic = if batch.key.is_empty() { "" } else { cx.message.topic };
            Batch { key: format!("{database} {topic}"), ..batch }
        });
        let lines = lines.into();
        let write = InfluxWrite { destination, database: database.clone(), organization, precision: self.unit, lines };
        Ok(Effect { batch, ..Effect::new(database, Work::Influx(write)) })
    }
}

impl Part {
    /// The text that holds for all objects, if it is one.
    fn whole(&self, cx: &mut Prepared<'_>) -> Result<Option<String>, Unprepared> {
        match self {
            Part::Whole(text) => text.render(cx).map(Some),
            Part::Member(_) => Ok(None),
        }
    }

    /// The text for one object; nothing if its member is null, or not there.
    fn of(&self, whole: Option<&str>, members: &[Member<'_>]) -> Option<String> {
        let Part::Member(name) = self else { return whole.map(str::to_owned) };
        let (_, value, raw) = members.iter().find(|(known, ..)| known == name)?;
        match value {
            Json::Null => None,
            Json::Text(text) => Some(text.clone()),
            _ => Some((*raw).to_owned()),
        }
    }

    fn takes(&self, member: &str) -> bool {
        matches!(self, Part::Member(name) if name == member)
    }
}

/// A member of an object: its name, its value, and how that was written.
type Member<'a> = (String, Json<'a>, &'a str);

/// One object as a line.
fn line(
    lines: &mut String,
    (table, whole): (&Part, Option<&str>),
    tags: &[(&str, &Part, Option<String>)],
    members: &[Member<'_>],
) -> Result<(), Failure> {
    let table_name = table.of(whole, members).filter(|name| !name.is_empty());
    let table_name = table_name.ok_or_else(|| Failure::unusable("The tableName gave nothing for an object."))?;
    let time = members.iter().find_map(|(name, value, _)| match value {
        Json::Number(number) if name == TIMESTAMP => number.parse::<i64>().ok(),
        _ => None,
    });
    let time = time.ok_or_else(|| Failure::unusable("An object has no member timestamp that is a whole number."))?;
    escape(lines, &table_name, ", ");
    let mut columns = 0;
    for (name, part, whole) in tags {
        let value = part.of(whole.as_deref(), members).filter(|value| !value.is_empty());
        if let Some(value) = value {
            columns += 1;
            lines.push(',');
            escape(lines, name, ",= ");
            lines.push('=');
            escape(lines, &value, ",= ");
        }
    }
    let is_taken =
        |name: &str| name == TIMESTAMP || table.takes(name) || tags.iter().any(|(_, tag, _)| tag.takes(name));
    let fields = members.iter().filter(|(name, value, _)| !is_taken(name) && !matches!(value, Json::Null));
    let mut separator = ' ';
    for (name, value, raw) in fields {
        columns += 1;
        lines.push(separator);
        escape(lines, name, ",= ");
        lines.push('=');
        field(lines, value, raw);
        separator = ',';
    }
    if separator == ' ' || columns > MOST_COLUMNS {
        return Err(Failure::unusable(format!(
            "An object must have at least one field, and {MOST_COLUMNS} columns at most."
        )));
    }
    // Writing to a string does not fail.
    let _ = writeln!(lines, " {time}");
    Ok(())
}

/// The value of a field: whole numbers with their `i`, or `u` beyond 63 bits; what is nested as JSON text.
fn field(lines: &mut String, value: &Json<'_>, raw: &str) {
    match value {
        Json::Number(number) if number.parse::<i64>().is_ok() => lines.extend([number, "i"]),
        Json::Number(number) if number.parse::<u64>().is_ok() => lines.extend([number, "u"]),
        Json::Number(number) => lines.push_str(number),
        Json::Boolean(true) => lines.push_str("true"),
        Json::Boolean(false) => lines.push_str("false"),
        Json::Text(text) => quote(lines, text),
        Json::Null | Json::Array(_) | Json::Object(_) => quote(lines, raw),
    }
}

fn quote(lines: &mut String, text: &str) {
    lines.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            lines.push('\\');
        }
        lines.push(character);
    }
    lines.push('"');
}

/// A name or a tag, in which neither these characters nor the end of a line may stand as they are.
fn escape(lines: &mut String, text: &str, special: &str) {
    for character in text.chars() {
        match character {
            '\n' => lines.push_str("\\n"),
            '\r' => lines.push_str("\\r"),
            _ if special.contains(character) => lines.extend(['\\', character]),
            _ => lines.push(character),
        }
    }
}
