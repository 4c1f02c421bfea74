//! The actions that hand the payload on: SNS topics, SQS queues, Kinesis and Firehose streams (rules.md §5). Who takes it from
//! there is unknown here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use wire::Refusal;

use super::aws;
use super::effect::{AwsRequest, Effect, Failure, Service, Work};
use super::fields::Fields;
use super::json::Json;
use super::text::{Text, render};
use super::{Prepare, Prepared, Unprepared};

/// Records of one `PutRecordBatch`.
const MOST_RECORDS: usize = 500;

struct Sns {
    target: Text,
    format: Option<Text>,
    role: String,
}

struct Sqs {
    queue_url: Text,
    base64: bool,
    role: String,
}

struct Kinesis {
    stream: Text,
    partition_key: Option<Text>,
    role: String,
}

struct Firehose {
    stream: Text,
    separator: Option<Text>,
    batch: bool,
    role: String,
}

const FORMATS: [&str; 2] = ["RAW", "JSON"];
const SEPARATORS: [&str; 4] = ["\n", "\t", "\r\n", ","];

pub(super) fn parse_sns(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    fields.need(Service::Sns)?;
    let target = fields.text("targetArn")?;
    if is_fifo(&target) {
        return Err(fields.invalid("targetArn", "FIFO topics are not supported"));
    }
    Ok(Box::new(Sns { target, format: fields.choice("messageFormat", &FORMATS)?, role: fields.role()? }))
}

pub(super) fn parse_sqs(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    fields.need(Service::Sqs)?;
    let queue_url = fields.text("queueUrl")?;
    if is_fifo(&queue_url) {
        return Err(fields.invalid("queueUrl", "FIFO queues are not supported"));
    }
    Ok(Box::new(Sqs { queue_url, base64: fields.flag("useBase64")?, role: fields.role()? }))
}

/// Topics and queues that keep an order have names that say so.
fn is_fifo(name: &Text) -> bool {
    name.written().rsplit_once('.').is_some_and(|(_, end)| end == "fifo")
}

pub(super) fn parse_kinesis(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    fields.need(Service::Kinesis)?;
    Ok(Box::new(Kinesis {
        stream: fields.text("streamName")?,
        partition_key: fields.optional_text("partitionKey")?,
        role: fields.role()?,
    }))
}

pub(super) fn parse_firehose(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    fields.need(Service::Firehose)?;
    Ok(Box::new(Firehose {
        stream: fields.text("deliveryStreamName")?,
        separator: fields.choice("separator", &SEPARATORS)?,
        batch: fields.flag("batchMode")?,
        role: fields.role()?,
    }))
}

/// What follows the service's name in an ARN of a mobile endpoint; everything else is a topic.
const ENDPOINT: &str = ":endpoint/";

impl Prepare for Sns {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let target = self.target.render_some("targetArn", cx)?;
        let format = self.format.as_ref();
        let format = format.map_or(Ok("RAW"), |text| text.render_choice("messageFormat", &FORMATS, cx))?;
        let message = aws::text_payload(cx)?;
        let name = if target.contains(ENDPOINT) { "TargetArn" } else { "TopicArn" };
        let mut pairs =
            vec![("Action", "Publish"), ("Version", "2010-03-31"), (name, target.as_str()), ("Message", message)];
        if format == "JSON" {
            pairs.push(("MessageStructure", "json"));
        }
        let request = aws::query(Service::Sns, &pairs, cx);
        let region = aws::region_of(&target).map_or(request.region, str::to_owned);
        Ok(Effect::new(target, Work::Aws(AwsRequest { region, role: Some(self.role.clone()), ..request })))
    }
}

impl Prepare for Sqs {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let queue_url = self.queue_url.render_some("queueUrl", cx)?;
        let encoded = self.base64.then(|| STANDARD.encode(&cx.selected.payload));
        let message = match &encoded {
            Some(encoded) => encoded.as_str(),
            None => aws::text_payload(cx)?,
        };
        let body = json!({"QueueUrl": queue_url, "MessageBody": message});
        let request = aws::json(Service::Sqs, "1.0", "AmazonSQS.SendMessage", &body, cx);
        let region = region_of_queue(&queue_url).map_or(request.region, str::to_owned);
        Ok(Effect::new(queue_url, Work::Aws(AwsRequest { region, role: Some(self.role.clone()), ..request })))
    }
}

/// The region in the host of AWS's own queues.
fn region_of_queue(url: &str) -> Option<&str> {
    url.strip_prefix("https://sqs.")?.split_once(".amazonaws.com").map(|(region, _)| region)
}

impl Prepare for Kinesis {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let stream = self.stream.render_some("streamName", cx)?;
        // unconfirmed: what AWS takes for a partition key where a rule names none; the service demands one.
        let partition_key = render(self.partition_key.as_ref(), cx)?.filter(|key| !key.is_empty());
        let partition_key = partition_key.unwrap_or_else(|| crate::entropy::uuid(cx.message.seed));
        let data = STANDARD.encode(&cx.selected.payload);
        let body = json!({"StreamName": stream, "Data": data, "PartitionKey": partition_key});
        let request = aws::json(Service::Kinesis, "1.1", "Kinesis_20131202.PutRecord", &body, cx);
        Ok(Effect::new(stream, Work::Aws(AwsRequest { role: Some(self.role.clone()), ..request })))
    }
}

impl Prepare for Firehose {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let stream = self.stream.render_some("deliveryStreamName", cx)?;
        let separator = self.separator.as_ref();
        let separator = separator.map_or(Ok(""), |text| text.render_choice("separator", &SEPARATORS, cx))?;
        let record = |bytes: &[u8]| json!({"Data": STANDARD.encode([bytes, separator.as_bytes()].concat())});
        let selected = cx.selected;
        let (target, body) = match Json::read(&selected.payload).filter(|_| self.batch) {
            Some(Json::Array(items)) if !(1..=MOST_RECORDS).contains(&items.len()) => {
                let count = items.len();
                let message = format!("The array has {count} elements; a batch has 1 to {MOST_RECORDS} records.");
                return Err(Failure::unusable(message).into());
            }
            Some(Json::Array(items)) => {
                let records: Vec<_> = items.iter().map(|item| record(item.get().as_bytes())).collect();
                ("PutRecordBatch", json!({"DeliveryStreamName": stream, "Records": records}))
            }
            _ => ("PutRecord", json!({"DeliveryStreamName": stream, "Record": record(&selected.payload)})),
        };
        let request = aws::json(Service::Firehose, "1.1", &format!("Firehose_20150804.{target}"), &body, cx);
        let (role, refused) = (Some(self.role.clone()), Some("FailedPutCount"));
        Ok(Effect::new(stream, Work::Aws(AwsRequest { role, refused, ..request })))
    }
}
