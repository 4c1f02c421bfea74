//! Tags of buckets and of objects, and the rules for them. They are kept and given back; nothing acts on them.

use std::collections::BTreeSet;

use wire::Refusal;
use wire::s3::{Call, Element, Xml, refused};

use super::buckets::{document, malformed};
use super::{BUCKETS, OBJECTS, Reply, Request, check_version, invalid_argument, object};
use crate::operation::Answer;
use crate::scope::{Read, Write};

/// Tags of an object.
const OF_OBJECT: usize = 10;
/// Tags of a bucket.
const OF_BUCKET: usize = 50;

type Tags = Vec<(String, String)>;

/// What holds for the tags of one kind of thing: how many there may be, and with which words keys that are AWS's own are refused.
struct Rules {
    most: usize,
    reserved: &'static str,
}

const OBJECTS_RULES: Rules = Rules { most: OF_OBJECT, reserved: "Your TagKey cannot be prefixed with aws:" };
const BUCKETS_RULES: Rules = Rules { most: OF_BUCKET, reserved: "System tags cannot be added/updated by requester" };
const NEW_BUCKETS_RULES: Rules = Rules {
    most: OF_BUCKET,
    reserved: "User-defined tag keys can't start with \"aws:\". This prefix is reserved for system tags. Remove \"aws:\" \
               from your tag keys and try again.",
};

impl Rules {
    fn check(&self, tags: Tags) -> Result<Tags, Refusal> {
        if tags.len() > self.most {
            return Err(refused("BadRequest", format!("Object tags cannot be greater than {}", self.most)));
        }
        let mut keys = BTreeSet::new();
        for (key, value) in &tags {
            let invalid = |message: &str| refused("InvalidTag", message).with("TagKey", key.as_str());
            if key.starts_with("aws:") {
                return Err(invalid(self.reserved));
            }
            if key.is_empty() || !is_text(key, 128) {
                return Err(invalid("The TagKey you have provided is invalid"));
            }
            if !is_text(value, 256) {
                return Err(invalid("The TagValue you have provided is invalid").with("TagValue", value.as_str()));
            }
            if !keys.insert(key.as_str()) {
                return Err(invalid("Cannot provide multiple Tags with the same key"));
            }
        }
        Ok(tags)
    }
}

/// Whether keys and values may be made of this: letters, digits, spaces and a few signs.
fn is_text(text: &str, most: usize) -> bool {
    let is_known = |c: char| c.is_alphanumeric() || c.is_whitespace() || "+-=._:/@".contains(c);
    text.chars().count() <= most && text.chars().all(is_known)
}

/// The tags that a header gives a new object.
pub(super) fn of_header(call: &Call) -> Result<Tags, Refusal> {
    const NAME: &str = "x-amz-tagging";
    let Some(header) = call.header(NAME) else { return Ok(Tags::new()) };
    let tags = wire::s3::tags(header)?;
    let mut keys = BTreeSet::new();
    if !tags.iter().all(|(key, value)| is_text(key, 128) && is_text(value, 256) && keys.insert(key.as_str())) {
        let message = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag \
                       name duplicates.";
        return Err(invalid_argument(message, NAME, header));
    }
    OBJECTS_RULES.check(tags)
}

/// The tags that a bucket is made with.
pub(super) fn of_new_bucket(request: &Request) -> Result<Tags, Refusal> {
    let tags = request.document.as_ref().and_then(|configuration| configuration.first("Tags"));
    NEW_BUCKETS_RULES.check(listed(tags)?)
}

fn of_document(request: &Request, rules: &Rules) -> Result<Tags, Refusal> {
    rules.check(listed(document(request, "Tagging")?.first("TagSet"))?)
}

fn listed(set: Option<&Element>) -> Result<Tags, Refusal> {
    let text = |tag: &Element, name: &str| tag.text_of(name).map(str::to_owned).ok_or_else(malformed);
    let tags = set.into_iter().flat_map(|set| set.all("Tag"));
    tags.map(|tag| Ok((text(tag, "Key")?, text(tag, "Value")?))).collect()
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
    tag_object(db, request, of_document(request, &OBJECTS_RULES)?)?;
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
    tag_bucket(db, request, of_document(request, &BUCKETS_RULES)?)
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
