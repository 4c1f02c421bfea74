//! The republish action: a message of the rule's own, with whatever MQTT 5 can say about one (rules.md §5). How far messages may
//! chase one another through rules is the engine's affair.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mqtt::{Binary, PublishProperties, QoS, Topic};
use wire::Refusal;

use super::effect::{Effect, Failure, Work};
use super::fields::Fields;
use super::text::{Text, render};
use super::{Prepare, Prepared, Unprepared};

/// Seconds: AWS puts a message expiry outside at the nearer end (mqtt.md §2).
const EXPIRY: std::ops::RangeInclusive<u32> = 1..=604_800;

struct Republish {
    topic: Text,
    qos: QoS,
    headers: Headers,
    role: String,
}

/// The properties of the message, as templates.
#[derive(Default)]
struct Headers {
    format: Option<Text>,
    content_type: Option<Text>,
    response_topic: Option<Text>,
    correlation_data: Option<Text>,
    expiry: Option<Text>,
    user: Vec<(Text, Text)>,
}

const FORMATS: [&str; 2] = ["UNSPECIFIED_BYTES", "UTF8_DATA"];

pub(super) fn parse(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    let role = fields.role()?;
    let topic = fields.text("topic")?;
    if let Some(written) = topic.literal() {
        destination(written).map_err(|why| fields.invalid("topic", &why))?;
    }
    let qos = if fields.number("qos", 0, 1, 0)? == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
    let headers = fields.inner("headers")?.map(|fields| headers(&fields)).transpose()?.unwrap_or_default();
    Ok(Box::new(Republish { topic, qos, headers, role }))
}

fn headers(fields: &Fields<'_>) -> Result<Headers, Refusal> {
    let pairs = fields.list("userProperties")?;
    if pairs.len() > 100 {
        return Err(fields.invalid("userProperties", "there may be 100"));
    }
    let user = pairs.iter().map(|pair| Ok((pair.text("key")?, pair.text("value")?)));
    Ok(Headers {
        format: fields.choice("payloadFormatIndicator", &FORMATS)?,
        content_type: fields.optional_text("contentType")?,
        response_topic: fields.optional_text("responseTopic")?,
        correlation_data: fields.optional_text("correlationData")?,
        expiry: fields.optional_text("messageExpiry")?,
        user: user.collect::<Result<_, Refusal>>()?,
    })
}

/// The topic that a rule means: `$$aws/…` stands for `$aws/…`, where a single `$` cannot lead; nor can jobs be spoken for.
/// unconfirmed: that a single `$` is refused, and not taken as it is.
fn destination(written: &str) -> Result<Topic, String> {
    let name = match written.strip_prefix('$') {
        None => written,
        Some(reserved) if reserved.starts_with('$') => reserved,
        Some(_) => return Err("a reserved topic is written with two dollars, as in $$aws/things/…".to_owned()),
    };
    if is_of_jobs(name) {
        return Err("messages cannot be republished to topics of jobs".to_owned());
    }
    Topic::try_from(name).map_err(|invalid| invalid.to_string())
}

fn is_of_jobs(topic: &str) -> bool {
    let thing = topic.strip_prefix("$aws/things/").and_then(|rest| rest.split_once('/'));
    thing.is_some_and(|(_, rest)| rest == "jobs" || rest.starts_with("jobs/"))
}

impl Prepare for Republish {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let name = self.topic.render_some("topic", cx)?;
        let topic = destination(&name).map_err(|why| Failure::unusable(format!("The topic is not valid: {why}.")))?;
        let properties = self.headers.render(cx)?;
        let properties = (properties != PublishProperties::default()).then(|| Box::new(properties));
        let payload = cx.selected.payload.clone();
        let publish = mqtt::Publish { qos: self.qos, properties, ..mqtt::Publish::new(topic.clone(), payload) };
        Ok(Effect::new(topic.as_str(), Work::Republish(publish, self.role.clone())))
    }
}

impl Headers {
    /// What gives nothing for a message is not said of it.
    fn render(&self, cx: &mut Prepared<'_>) -> Result<PublishProperties, Unprepared> {
        let mut properties = PublishProperties::default();
        if let Some(text) = &self.format {
            let format = text.render_choice("payloadFormatIndicator", &FORMATS, cx)?;
            properties.payload_format_indicator = (format == "UTF8_DATA").then_some(true);
        }
        properties.content_type =
            property("contentType", self.content_type.as_ref(), cx, |it| mqtt::Text::try_from(it))?;
        properties.response_topic =
            property("responseTopic", self.response_topic.as_ref(), cx, |it| Topic::try_from(it))?;
        properties.correlation_data = property("correlationData", self.correlation_data.as_ref(), cx, |it| {
            let data = STANDARD.decode(it).map_err(|_| "it is not base64".to_owned())?;
            Binary::new(data).map_err(|invalid| invalid.to_string())
        })?;
        properties.message_expiry_interval = property("messageExpiry", self.expiry.as_ref(), cx, |it| {
            let seconds: u32 = it.trim().parse().map_err(|_| "it is not a number of seconds")?;
            Ok::<_, &str>(seconds.clamp(*EXPIRY.start(), *EXPIRY.end()))
        })?;
        for (key, value) in &self.user {
            let key = property("key of a user property", Some(key), cx, |it| mqtt::Text::try_from(it))?;
            let value = property("value of a user property", Some(value), cx, |it| mqtt::Text::try_from(it))?;
            if let Some(key) = key {
                properties.user_properties.push((key, value.unwrap_or_default()));
            }
        }
        Ok(properties)
    }
}

/// A property, unless its text is empty.
fn property<T, E: std::fmt::Display>(
    name: &str,
    text: Option<&Text>,
    cx: &mut Prepared<'_>,
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, Unprepared> {
    let text = render(text, cx)?.filter(|text| !text.is_empty());
    let value = text.map(|text| read(&text)).transpose();
    value.map_err(|why| Failure::unusable(format!("The {name} is not valid: {why}.")).into())
}
