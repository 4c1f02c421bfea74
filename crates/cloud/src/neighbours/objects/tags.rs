//! Tags of buckets and of objects, and the rules for them. They are kept and given back; nothing acts on them.

use std::collections::BTreeSet;

use wire::Refusal;
use wire::s3::{Call, Element, Xml, refused};

use super::buckets::document;
use super::{BUCKETS, OBJECTS, Reply, Request, check_version, object};
use crate::operation::Answer;
use crate::scope::{Read, Write};

/// Tags of an object.
const OF_OBJECT: usize = 10;
/// Tags of a bucket.
const OF_BUCKET: usize = 50;

type Tags = Vec<(String, String)>;

/// Checks tags by AWS's rules.
fn checked(tags: Tags, most: usize) -> Result<Tags, Refusal> {
    let invalid = |message: &str| Err(refused("InvalidTag", message));
    if tags.len() > most {
        return Err(refused("BadRequest", format!("Object tags cannot be greater than {most}")));
    }
    if tags.iter().any(|(key, _)| key.starts_with("aws:")) {
        return invalid("Your TagKey cannot be prefixed with aws:");
    }
    if tags.iter().any(|(key, _)| key.is_empty() || key.chars().count() > 128) {
        return invalid("The TagKey you have provided is invalid");
    }
    if tags.iter().any(|(_, value)| value.chars().count() > 256) {
        return invalid("The TagValue you have provided is invalid");
    }
    let keys: BTreeSet<&str> = tags.iter().map(|(key, _)| key.as_str()).collect();
    if keys.len() != tags.len() {
        return invalid("Cannot provide multiple Tags with the same key");
    }
    Ok(tags)
}

/// The tags that a header gives a new object.
pub(super) fn of_header(call: &Call) -> Result<Tags, Refusal> {
    match call.header("x-amz-tagging") {
        Some(header) => checked(wire::s3::tags(header)?, OF_OBJECT),
        None => Ok(Tags::new()),
    }
}

fn of_document(request: &Request, most: usize) -> Result<Tags, Refusal> {
    let set = document(request, "Tagging")?.first("TagSet");
    let text = |tag: &Element, name: &str| tag.text_of(name).unwrap_or_default().to_owned();
    let tags = set.into_iter().flat_map(|set| set.all("Tag")).map(|tag| (text(tag, "Key"), text(tag, "Value")));
    checked(tags.collect(), most)
}

fn written(tags: &Tags) -> Reply {
    Reply::document(Xml::document("Tagging", |xml| {
        xml.element("TagSet", |xml| {
            for (key, value) in tags {
                xml.element("Tag", |xml| {
                    xml.text("Key", key);
                    xml.text("Value", value);
                });
            }
        });
    }))
}

pub(super) fn get_object_tagging(db: Read, request: &Request) -> Answer<Reply> {
    check_version(request.call.parameter("versionId"))?;
    Ok(written(&object(db, &request.call.bucket, &request.call.key)?.facts.tags))
}

pub(super) fn put_object_tagging(db: &mut Write, request: &Request) -> Answer<Reply> {
    tag_object(db, request, of_document(request, OF_OBJECT)?)?;
    Ok(Reply::empty(200))
}

pub(super) fn delete_object_tagging(db: &mut Write, request: &Request) -> Answer<Reply> {
    tag_object(db, request, Tags::new())?;
    Ok(Reply::empty(204))
}

fn tag_object(db: &mut Write, request: &Request, tags: Tags) -> Answer<()> {
    let call = &request.call;
    check_version(call.parameter("versionId"))?;
    let mut object = object(db.view(), &call.bucket, &call.key)?;
    object.facts.tags = tags;
    Ok(db.put(&OBJECTS, [&call.bucket, &call.key], &object)?)
}

pub(super) fn get_bucket_tagging(db: Read, request: &Request) -> Answer<Reply> {
    let bucket = request.bucket(db)?;
    if bucket.tags.is_empty() {
        let refusal = refused("NoSuchTagSet", "The TagSet does not exist");
        return Err(refusal.with("BucketName", request.call.bucket.as_str()).into());
    }
    Ok(written(&bucket.tags))
}

pub(super) fn put_bucket_tagging(db: &mut Write, request: &Request) -> Answer<Reply> {
    tag_bucket(db, request, of_document(request, OF_BUCKET)?)
}

pub(super) fn delete_bucket_tagging(db: &mut Write, request: &Request) -> Answer<Reply> {
    tag_bucket(db, request, Tags::new())
}

/// unconfirmed: 204 for both.
fn tag_bucket(db: &mut Write, request: &Request, tags: Tags) -> Answer<Reply> {
    let mut bucket = request.bucket(db.view())?;
    bucket.tags = tags;
    db.put(&BUCKETS, [request.call.bucket.as_str()], &bucket)?;
    Ok(Reply::empty(204))
}
