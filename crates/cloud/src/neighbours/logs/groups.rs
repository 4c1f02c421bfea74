//! The operations on log groups and their streams themselves: making, listing, tagging, deleting, and how long events are kept.
//! Events are unknown here.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use store::{Direction, Fault};
use wire::Refusal;
use wire::logs::{
    CreateLogGroupRequest, CreateLogStreamRequest, DeleteLogGroupRequest, DeleteLogStreamRequest,
    DeleteRetentionPolicyRequest, DescribeLogGroupsRequest, DescribeLogGroupsResponse, DescribeLogStreamsRequest,
    DescribeLogStreamsResponse, ListLogGroupsRequest, ListLogGroupsResponse, ListTagsForResourceRequest,
    ListTagsForResourceResponse, ListTagsLogGroupRequest, ListTagsLogGroupResponse, LogGroup, LogGroupSummary,
    LogStream, PutLogGroupDeletionProtectionRequest, PutRetentionPolicyRequest, TagLogGroupRequest, TagResourceRequest,
    UntagLogGroupRequest, UntagResourceRequest,
};

use super::kept::{self, GROUPS, Group, STREAMS, Stream};
use super::{group_arn, invalid, named_group, no_group, no_stream, token_refused};
use crate::operation::Answer;
use crate::scope::{Asked, NO_PARTS, Read, Write, paged};

/// Days that AWS takes as a retention.
const RETENTIONS: [i64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// Tags of one group.
const TAGS: usize = 50;

/// Bytes of the name of a stream.
// unconfirmed: AWS counts 512 characters; bytes keep every token short.
const STREAM_NAME: usize = 512;

pub(super) fn create_log_group(db: &mut Write, input: &CreateLogGroupRequest) -> Answer<()> {
    let name = input.log_group_name();
    if name.starts_with("aws/") {
        return Err(invalid("Log group names starting with aws/ are reserved for AWS.").into());
    }
    let class = input.log_group_class().unwrap_or("STANDARD");
    if input.kms_key_id().is_some() {
        return Err(Refusal::not_built("kmsKeyId of a log group").into());
    }
    if class != "STANDARD" {
        return Err(Refusal::not_built("a log group of another class than STANDARD").into());
    }
    if db.view().contains(&GROUPS, [name])? {
        return Err(Refusal::resource_already_exists("The specified log group already exists").into());
    }
    let tags = input.tags().and_then(Value::as_object).map(tags_of).unwrap_or_default();
    let is_protected = input.deletion_protection_enabled() == Some(true);
    let group = Group { tags, is_protected, ..kept::new_group(db) };
    Ok(kept::create_group(db, name, &group)?)
}

pub(super) fn delete_log_group(db: &mut Write, input: &DeleteLogGroupRequest) -> Answer<()> {
    let name = input.log_group_name();
    let group = db.view().get(&GROUPS, [name])?.ok_or_else(no_group)?;
    check_protection(&group)?;
    Ok(kept::delete_group(db, name, group.number)?)
}

fn check_protection(group: &Group) -> Result<(), Refusal> {
    if group.is_protected {
        let message = "Cannot delete log group with deletion protection enabled. Disable deletion protection first.";
        return Err(Refusal::new("ValidationException", message));
    }
    Ok(())
}

pub(super) fn put_log_group_deletion_protection(
    db: &mut Write,
    input: &PutLogGroupDeletionProtectionRequest,
) -> Answer<()> {
    let name = group_name(db.view(), input.log_group_identifier()).to_owned();
    change(db, &name, |group| group.is_protected = input.deletion_protection_enabled() == Some(true))
}

/// The names of groups, and what else is told of them without looking into them.
pub(super) fn list_log_groups(db: Read, input: &ListLogGroupsRequest) -> Answer<ListLogGroupsResponse> {
    let given = [
        (input.data_sources().is_some(), "dataSources"),
        (input.field_index_names().is_some(), "fieldIndexNames"),
        (input.log_group_tags().is_some(), "logGroupTags"),
    ];
    if let Some((_, what)) = given.into_iter().find(|(is_given, _)| *is_given) {
        return Err(Refusal::not_built(&format!("{what} of ListLogGroups")).into());
    }
    let is_here = input.account_identifiers().is_none_or(|accounts| accounts.contains(&&*db.cx.scope.account));
    let is_here = is_here && input.log_group_class().is_none_or(|class| class == "STANDARD");
    let parts: Option<Vec<&str>> = input.log_group_name_pattern().map(|pattern| pattern.split('|').collect());
    // Each part is somewhere in the name, or at its beginning.
    let is_like = |name: &str, part: &str| match part.strip_prefix('^') {
        Some(beginning) => name.starts_with(beginning),
        None => name.contains(part),
    };
    let is_asked =
        |name: &str| is_here && parts.as_ref().is_none_or(|parts| parts.iter().any(|part| is_like(name, part)));
    let asked = Asked::new(input.next_token(), input.limit());
    let page = db.page(&GROUPS, NO_PARTS, asked, |key, _| key.text_at(2).is_ok_and(|name| is_asked(&name)));
    let page = page.map_err(token_refused)?;
    let listed = page.items.iter().map(|(key, _)| {
        let name = key.text_at(2)?;
        let summary = LogGroupSummary::new().with_log_group_arn(group_arn(db, &name)).with_log_group_class("STANDARD");
        Ok(summary.with_log_group_name(name))
    });
    let answer = ListLogGroupsResponse::new().with_log_groups(listed.collect::<Result<Vec<_>, Fault>>()?);
    Ok(paged(answer, page.next, ListLogGroupsResponse::with_next_token))
}

pub(super) fn describe_log_groups(db: Read, input: &DescribeLogGroupsRequest) -> Answer<DescribeLogGroupsResponse> {
    let (prefix, part) = (input.log_group_name_prefix(), input.log_group_name_pattern());
    if prefix.is_some() && part.is_some() {
        let message = "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.";
        return Err(invalid(message).into());
    }
    let identifiers = input.log_group_identifiers();
    let identifiers = identifiers.map(|list| list.into_iter().map(|it| group_name(db, it)).collect::<Vec<_>>());
    // There are no linked accounts, and no other classes.
    let is_here = input.account_identifiers().is_none_or(|accounts| accounts.contains(&&*db.cx.scope.account));
    let is_here = is_here && input.log_group_class().is_none_or(|class| class == "STANDARD");
    let is_asked = |name: &str| {
        is_here
            && prefix.is_none_or(|prefix| name.starts_with(prefix))
            && part.is_none_or(|part| name.contains(part))
            && identifiers.as_ref().is_none_or(|names| names.contains(&name))
    };
    let asked = Asked::new(input.next_token(), input.limit());
    let page = db.page(&GROUPS, NO_PARTS, asked, |key, _| key.text_at(2).is_ok_and(|name| is_asked(&name)));
    let page = page.map_err(token_refused)?;
    let listed = page.items.iter().map(|(key, group)| described(db, &key.text_at(2)?, group));
    let answer = DescribeLogGroupsResponse::new().with_log_groups(listed.collect::<Result<Vec<_>, Fault>>()?);
    Ok(paged(answer, page.next, DescribeLogGroupsResponse::with_next_token))
}

fn described(db: Read, name: &str, group: &Group) -> Result<LogGroup, Fault> {
    let bytes = kept::tally(db, group.number)?.bytes;
    let arn = group_arn(db, name);
    let described = LogGroup::new()
        .with_log_group_name(name)
        .with_creation_time(group.created)
        .with_metric_filter_count(0)
        .with_arn(format!("{arn}:*"))
        .with_stored_bytes(i64::try_from(bytes).unwrap_or(i64::MAX))
        .with_log_group_class("STANDARD")
        .with_log_group_arn(arn)
        .with_deletion_protection_enabled(group.is_protected);
    Ok(match group.retention {
        Some(days) => described.with_retention_in_days(days),
        None => described,
    })
}

pub(super) fn create_log_stream(db: &mut Write, input: &CreateLogStreamRequest) -> Answer<()> {
    let name = input.log_stream_name();
    if name.len() > STREAM_NAME {
        return Err(invalid(format!("A log stream name has at most {STREAM_NAME} bytes.")).into());
    }
    let group = db.view().get(&GROUPS, [input.log_group_name()])?.ok_or_else(no_group)?;
    if kept::stream(db.view(), group.number, name)?.is_some() {
        return Err(Refusal::resource_already_exists("The specified log stream already exists").into());
    }
    super::new_stream(db, group.number, name).map(drop)
}

pub(super) fn delete_log_stream(db: &mut Write, input: &DeleteLogStreamRequest) -> Answer<()> {
    let name = input.log_stream_name();
    let group = db.view().get(&GROUPS, [input.log_group_name()])?.ok_or_else(no_group)?;
    // unconfirmed: "all deletion operations", says AWS, and so of streams too.
    check_protection(&group)?;
    let stream = kept::stream(db.view(), group.number, name)?.ok_or_else(no_stream)?;
    Ok(kept::delete_stream(db, group.number, name, &stream)?)
}

pub(super) fn describe_log_streams(db: Read, input: &DescribeLogStreamsRequest) -> Answer<DescribeLogStreamsResponse> {
    let (name, group) = named_group(db, input.log_group_name(), input.log_group_identifier())?;
    let prefix = input.log_stream_name_prefix();
    let descending = input.descending() == Some(true);
    let direction = if descending { Direction::Descending } else { Direction::Ascending };
    let asked = Asked { direction, ..Asked::new(input.next_token(), input.limit()) };
    let (items, next) = if input.order_by() == Some("LastEventTime") {
        if prefix.is_some() {
            return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix.").into());
        }
        by_last_event(db, group.number, asked)?
    } else {
        let is_asked = |name: &str| prefix.is_none_or(|prefix| name.starts_with(prefix));
        let part = group.number.to_be_bytes();
        let page = db.page(&STREAMS, [part], asked, |key, _| key.text_at(3).is_ok_and(|name| is_asked(&name)));
        let page = page.map_err(token_refused)?;
        let named = page.items.into_iter().map(|(key, stream)| Ok((key.text_at(3)?, stream)));
        (named.collect::<Result<Vec<_>, Fault>>()?, page.next)
    };
    let arn = group_arn(db, &name);
    let streams = items.iter().map(|(name, stream)| described_stream(&arn, name, stream));
    let answer = DescribeLogStreamsResponse::new().with_log_streams(streams);
    Ok(paged(answer, next, DescribeLogStreamsResponse::with_next_token))
}

fn described_stream(group_arn: &str, name: &str, stream: &Stream) -> LogStream {
    let described = LogStream::new()
        .with_log_stream_name(name)
        .with_creation_time(stream.created)
        .with_arn(format!("{group_arn}:log-stream:{name}"))
        // Always, since 2019.
        .with_stored_bytes(0);
    let Stream { first: Some(first), last: Some(last), ingested: Some(ingested), .. } = stream else {
        return described;
    };
    // A stream has a token once something was put into it.
    let described = described.with_upload_sequence_token(super::sequence_token(stream.number));
    described.with_first_event_timestamp(*first).with_last_event_timestamp(*last).with_last_ingestion_time(*ingested)
}

/// A page of streams in the order of their last events. Those without any come first.
#[expect(clippy::type_complexity, reason = "what a page is: items, and where the next one starts")]
fn by_last_event(db: Read, group: u64, asked: Asked<'_>) -> Answer<(Vec<(String, Stream)>, Option<String>)> {
    let place = |name: &str, stream: &Stream| format!("{:016x}/{name}", stream.last.unwrap_or(0));
    let after = asked.token.map(wire::page::decode).transpose();
    let after = after.ok().and_then(|after| after.map(String::from_utf8).transpose().ok());
    let after = after.ok_or_else(|| token_refused(Refusal::invalid_request("").into()))?;
    let mut streams = Vec::new();
    for (key, stream) in db.all(&STREAMS, [group.to_be_bytes()])? {
        let name = key.text_at(3)?;
        streams.push((place(&name, &stream), name, stream));
    }
    streams.sort_by(|a, b| a.0.cmp(&b.0));
    if asked.direction == Direction::Descending {
        streams.reverse();
    }
    let is_seen = |place: &String| match (&after, asked.direction) {
        (None, _) => false,
        (Some(after), Direction::Ascending) => place <= after,
        (Some(after), Direction::Descending) => place >= after,
    };
    let mut rest = streams.into_iter().skip_while(|(place, ..)| is_seen(place));
    let page: Vec<_> = rest.by_ref().take(asked.limit).collect();
    let next = page.last().filter(|_| rest.next().is_some()).map(|(place, ..)| wire::page::encode(place.as_bytes()));
    Ok((page.into_iter().map(|(_, name, stream)| (name, stream)).collect(), next))
}

pub(super) fn put_retention_policy(db: &mut Write, input: &PutRetentionPolicyRequest) -> Answer<()> {
    let days = input.retention_in_days().unwrap_or(0);
    if !RETENTIONS.contains(&days) {
        let days: Vec<String> = RETENTIONS.iter().map(i64::to_string).collect();
        return Err(invalid(format!("retentionInDays must be one of {}", days.join(", "))).into());
    }
    change(db, input.log_group_name(), |group| group.retention = Some(days))
}

pub(super) fn delete_retention_policy(db: &mut Write, input: &DeleteRetentionPolicyRequest) -> Answer<()> {
    change(db, input.log_group_name(), |group| group.retention = None)
}

fn change(db: &mut Write, name: &str, change: impl FnOnce(&mut Group)) -> Answer<()> {
    let mut group = db.view().get(&GROUPS, [name])?.ok_or_else(no_group)?;
    change(&mut group);
    if group.tags.len() > TAGS {
        let message = format!("The maximum number of tags per log group is {TAGS}.");
        return Err(Refusal::new("TooManyTagsException", message).into());
    }
    Ok(db.put(&GROUPS, [name], &group)?)
}

fn tags_of(tags: &Map<String, Value>) -> BTreeMap<String, String> {
    tags.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn tag(db: &mut Write, name: &str, tags: &Value) -> Answer<()> {
    change(db, name, |group| group.tags.extend(tags.as_object().map(tags_of).unwrap_or_default()))
}

fn untag(db: &mut Write, name: &str, keys: &[&str]) -> Answer<()> {
    change(db, name, |group| group.tags.retain(|key, _| !keys.contains(&key.as_str())))
}

fn tags(db: Read, name: &str) -> Answer<Value> {
    let group = db.get(&GROUPS, [name])?.ok_or_else(no_group)?;
    Ok(group.tags.into_iter().collect())
}

/// The group that an ARN names.
fn tagged<'a>(db: Read, arn: &'a str) -> Result<&'a str, Refusal> {
    let name = group_name(db, arn);
    if name == arn { Err(invalid(format!("{arn} is not the ARN of a log group here."))) } else { Ok(name) }
}

/// The name in an ARN of this scope, or what is given, which then is a name.
pub(super) fn group_name<'a>(db: Read, identifier: &'a str) -> &'a str {
    let name = identifier.strip_prefix(group_arn(db, "").as_str());
    name.map_or(identifier, |name| name.strip_suffix(":*").unwrap_or(name))
}

pub(super) fn tag_resource(db: &mut Write, input: &TagResourceRequest) -> Answer<()> {
    let name = tagged(db.view(), input.resource_arn())?;
    tag(db, name, input.tags().unwrap_or(&Value::Null))
}

pub(super) fn untag_resource(db: &mut Write, input: &UntagResourceRequest) -> Answer<()> {
    let name = tagged(db.view(), input.resource_arn())?;
    untag(db, name, &input.tag_keys().unwrap_or_default())
}

pub(super) fn list_tags_for_resource(
    db: Read,
    input: &ListTagsForResourceRequest,
) -> Answer<ListTagsForResourceResponse> {
    let name = tagged(db, input.resource_arn())?;
    Ok(ListTagsForResourceResponse::new().with_tags(tags(db, name)?))
}

pub(super) fn tag_log_group(db: &mut Write, input: &TagLogGroupRequest) -> Answer<()> {
    tag(db, input.log_group_name(), input.tags().unwrap_or(&Value::Null))
}

pub(super) fn untag_log_group(db: &mut Write, input: &UntagLogGroupRequest) -> Answer<()> {
    untag(db, input.log_group_name(), &input.tags().unwrap_or_default())
}

pub(super) fn list_tags_log_group(db: Read, input: &ListTagsLogGroupRequest) -> Answer<ListTagsLogGroupResponse> {
    Ok(ListTagsLogGroupResponse::new().with_tags(tags(db, input.log_group_name())?))
}
