//! Tags of alarms: given, taken and read by the alarm's ARN. Nothing else of CloudWatch's has tags here, because nothing else that
//! AWS tags is built. Nothing acts on them.

use std::collections::BTreeMap;

use wire::Refusal;
use wire::cloudwatch::{
    ListTagsForResourceInput, ListTagsForResourceOutput, Tag, TagResourceInput, TagResourceOutput, UntagResourceInput,
    UntagResourceOutput,
};

use super::super::invalid;
use super::{ALARMS, Alarm, arn};
use crate::operation::Answer;
use crate::scope::{Read, Write};

/// Tags of one alarm.
const TAGS: usize = 50;

/// The tags of a request, by AWS's rules.
pub(super) fn of(given: Option<Vec<Tag>>) -> Result<BTreeMap<String, String>, Refusal> {
    let tags: Vec<Tag> = given.unwrap_or_default();
    if tags.iter().any(|tag| tag.key().starts_with("aws:")) {
        return Err(invalid("Tag keys that begin with aws: are reserved."));
    }
    let named: BTreeMap<String, String> =
        tags.iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect();
    if named.len() != tags.len() {
        return Err(invalid("No two tags can have the same key."));
    }
    checked(named)
}

fn checked(tags: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Refusal> {
    if tags.len() > TAGS {
        return Err(invalid(format!("An alarm has at most {TAGS} tags.")));
    }
    Ok(tags)
}

/// The alarm that an ARN names, with its name, if it is there.
fn named(db: Read, resource: &str) -> Answer<Option<(String, Alarm)>> {
    if !resource.starts_with("arn:") {
        return Err(invalid(format!("{resource} is not the ARN of an alarm.")).into());
    }
    let Some(name) = resource.strip_prefix(&arn(db, "")) else { return Ok(None) };
    Ok(db.get(&ALARMS, [name])?.map(|alarm| (name.to_owned(), alarm)))
}

/// The same, which must be there.
// unconfirmed: AWS's words.
fn tagged(db: Read, resource: &str) -> Answer<(String, Alarm)> {
    let none = || Refusal::new("ResourceNotFoundException", format!("Unknown resource: {resource}")).with_status(404);
    named(db, resource)?.ok_or_else(|| none().into())
}

pub(in super::super) fn list_tags_for_resource(
    db: Read,
    input: &ListTagsForResourceInput,
) -> Answer<ListTagsForResourceOutput> {
    // What is not there has no tags, says AWS.
    let tags = named(db, input.resource_arn())?.map(|(_, alarm)| alarm.tags).unwrap_or_default();
    let tags = tags.iter().map(|(key, value)| Tag::new().with_key(key).with_value(value));
    Ok(ListTagsForResourceOutput::new().with_tags(tags))
}

pub(in super::super) fn tag_resource(db: &mut Write, input: &TagResourceInput) -> Answer<TagResourceOutput> {
    let (name, mut alarm) = tagged(db.view(), input.resource_arn())?;
    alarm.tags.extend(of(input.tags())?);
    alarm.tags = checked(alarm.tags)?;
    db.put(&ALARMS, [&name], &alarm)?;
    Ok(TagResourceOutput::new())
}

pub(in super::super) fn untag_resource(db: &mut Write, input: &UntagResourceInput) -> Answer<UntagResourceOutput> {
    let (name, mut alarm) = tagged(db.view(), input.resource_arn())?;
    for key in input.tag_keys().unwrap_or_default() {
        alarm.tags.remove(key);
    }
    db.put(&ALARMS, [&name], &alarm)?;
    Ok(UntagResourceOutput::new())
}
