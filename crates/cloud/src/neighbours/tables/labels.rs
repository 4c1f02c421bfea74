//! What is said about a table rather than done with it: tags, and the attribute by which its items expire.

use std::collections::BTreeMap;

use wire::dynamodb::{
    DescribeTimeToLiveInput, DescribeTimeToLiveOutput, ListTagsOfResourceInput, ListTagsOfResourceOutput, Tag,
    TagResourceInput, TimeToLiveDescription, TimeToLiveSpecification, UntagResourceInput, UpdateTimeToLiveInput,
    UpdateTimeToLiveOutput,
};

use super::chores::{self, Chore};
use super::named;
use super::record::{TABLES, TableRecord, arn};
use super::refusal::{invalid, no_such_resource};
use crate::operation::{Answer, Op, ops};
use crate::scope::{Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    write tag_resource on any;
    write untag_resource on any;
    read  list_tags_of_resource on any;
    write update_time_to_live on any;
    read  describe_time_to_live on any;
};

/// The most tags of a table.
const MAX_TAGS: usize = 50;

/// The longest name of an attribute by which items expire.
const MAX_NAME: usize = 255;

/// Tags by key, each once.
pub(crate) fn read(tags: Vec<Tag>) -> Answer<BTreeMap<String, String>> {
    let mut read = BTreeMap::new();
    for tag in tags {
        let (key, value) = (tag.key(), tag.value());
        // unconfirmed: the words of both.
        if key.starts_with("aws:") {
            return Err(invalid(format!(
                "One or more parameter values were invalid: Tag keys must not begin with aws:. Key: {key}"
            )));
        }
        if !key.chars().chain(value.chars()).all(is_of_tags) {
            return Err(invalid(format!(
                "One or more parameter values were invalid: A tag holds a character that none may hold. Key: {key}"
            )));
        }
        if read.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(invalid(format!("Duplicate tag found for key: {key}")));
        }
    }
    check_count(&read)?;
    Ok(read)
}

fn is_of_tags(character: char) -> bool {
    character.is_alphanumeric() || character.is_whitespace() || "+-=._:/@".contains(character)
}

fn check_count(tags: &BTreeMap<String, String>) -> Answer<()> {
    if tags.len() > MAX_TAGS {
        return Err(invalid(format!(
            "One or more parameter values were invalid: Too many tags: the limit is {MAX_TAGS}"
        )));
    }
    Ok(())
}

/// The table whose ARN this is.
fn of_arn(db: Read, given: &str) -> Answer<(String, TableRecord)> {
    if !given.starts_with("arn:") {
        return Err(invalid("Invalid TableArn: ARNs must start with 'arn:'"));
    }
    let name = given.strip_prefix("arn:aws:dynamodb:").and_then(|rest| rest.split_once(":table/"));
    let Some((_, name)) = name.filter(|(_, name)| !name.contains('/')) else {
        return Err(invalid(format!("Invalid TableArn: Invalid ResourceArn provided as input {given}")));
    };
    let table = if arn(db, name) == given { db.get(&TABLES, [name])? } else { None };
    let table = table
        .ok_or_else(|| no_such_resource(format!("Requested resource not found: ResourcArn: {given} not found")))?;
    Ok((name.to_owned(), table))
}

fn tag_resource(db: &mut Write, input: &TagResourceInput) -> Answer<()> {
    let added = read(input.tags().unwrap_or_default())?;
    if added.is_empty() {
        return Err(invalid("Atleast one Tag needs to be provided as Input."));
    }
    let (name, mut table) = of_arn(db.view(), input.resource_arn())?;
    table.tags.extend(added);
    check_count(&table.tags)?;
    Ok(db.put(&TABLES, [&name], &table)?)
}

fn untag_resource(db: &mut Write, input: &UntagResourceInput) -> Answer<()> {
    let gone = input.tag_keys().unwrap_or_default();
    if gone.is_empty() {
        return Err(invalid("Atleast one Tag Key needs to be provided as Input."));
    }
    let (name, mut table) = of_arn(db.view(), input.resource_arn())?;
    table.tags.retain(|key, _| !gone.contains(&key.as_str()));
    Ok(db.put(&TABLES, [&name], &table)?)
}

fn list_tags_of_resource(db: Read, input: &ListTagsOfResourceInput) -> Answer<ListTagsOfResourceOutput> {
    let (_, table) = of_arn(db, input.resource_arn())?;
    let tags = table.tags.iter().map(|(key, value)| Tag::new().with_key(key.as_str()).with_value(value.as_str()));
    Ok(ListTagsOfResourceOutput::new().with_tags(tags))
}

fn update_time_to_live(db: &mut Write, input: &UpdateTimeToLiveInput) -> Answer<UpdateTimeToLiveOutput> {
    let asked = input.time_to_live_specification().unwrap_or_default();
    let attribute = asked.attribute_name();
    let enabled = asked.enabled().unwrap_or_default();
    if attribute.is_empty() || attribute.len() > MAX_NAME {
        return Err(invalid(format!(
            "1 validation error detected: Value '{attribute}' at 'timeToLiveSpecification.attributeName' failed to satisfy \
             constraint: Member must have length less than or equal to {MAX_NAME} and greater than or equal to 1"
        )));
    }
    let (name, mut table) = named(db.view(), input.table_name())?;
    match (&table.expires_by, enabled) {
        (Some(_), true) => return Err(invalid("TimeToLive is already enabled")),
        (None, false) => return Err(invalid("TimeToLive is already disabled")),
        (Some(known), false) if known != attribute => {
            return Err(invalid(format!(
                "TimeToLive is active on a different AttributeName: current AttributeName is {known}"
            )));
        }
        _ => {}
    }
    table.expires_by = enabled.then(|| attribute.to_owned());
    db.put(&TABLES, [name], &table)?;
    if enabled {
        chores::begin(db, &table, None, Chore::Fill { table: name.to_owned(), index: None, after: None })?;
    }
    let specification = TimeToLiveSpecification::new().with_enabled(enabled).with_attribute_name(attribute);
    Ok(UpdateTimeToLiveOutput::new().with_time_to_live_specification(specification))
}

fn describe_time_to_live(db: Read, input: &DescribeTimeToLiveInput) -> Answer<DescribeTimeToLiveOutput> {
    let (_, table) = named(db, input.table_name())?;
    let description = TimeToLiveDescription::new();
    let description = match &table.expires_by {
        Some(attribute) => description.with_time_to_live_status("ENABLED").with_attribute_name(attribute.as_str()),
        None => description.with_time_to_live_status("DISABLED"),
    };
    Ok(DescribeTimeToLiveOutput::new().with_time_to_live_description(description))
}
