//! The objects of a bucket in the order of their keys: those after a key, with a prefix, and up to a delimiter all that begin
//! alike as one. What is asked in which parameters differs between the two versions of the operation; the walk is the same.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use store::Fault;
use wire::Refusal;
use wire::s3::{Xml, refused, url_encoded};

use super::buckets::{iso, owner};
use super::{OBJECTS, Object, Reply, Request, invalid_argument};
use crate::operation::Answer;
use crate::scope::Read;

/// The most, and what is given to who does not say how many.
pub(super) const PAGE: usize = 1000;

/// Records that are read at a time when keys may be passed over.
const STRETCH: usize = 100;

/// Sorts after every key that begins with what stands before it: no key has this byte.
const PAST: u8 = 0xFF;

/// What is asked for.
struct Asked<'a> {
    bucket: &'a str,
    prefix: &'a str,
    delimiter: &'a str,
    /// Only what sorts after these bytes.
    after: Vec<u8>,
    limit: usize,
}

/// What is found.
#[derive(Default)]
struct Found {
    entries: Vec<Entry>,
    /// Whether there are more.
    is_cut: bool,
}

enum Entry {
    /// An object and its key.
    One(String, Box<Object>),
    /// What all keys of some begin with.
    Many(String),
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Self::One(key, _) => key,
            Self::Many(prefix) => prefix,
        }
    }

    /// From where a listing goes on after it.
    fn end(&self) -> Vec<u8> {
        match self {
            Self::One(key, _) => key.clone().into_bytes(),
            Self::Many(prefix) => past(prefix),
        }
    }
}

/// Where the keys that begin like this end.
fn past(prefix: &str) -> Vec<u8> {
    let mut bytes = prefix.as_bytes().to_vec();
    bytes.push(PAST);
    bytes
}

/// The keys of a bucket in order, read a stretch at a time.
struct Keys<'a> {
    db: Read<'a>,
    bucket: &'a str,
    after: Vec<u8>,
    stretch: usize,
    read: VecDeque<(String, Object)>,
    is_over: bool,
}

impl<'a> Keys<'a> {
    /// The keys that begin with the prefix, and whatever sorts after them.
    fn new(db: Read<'a>, asked: &Asked<'a>) -> Result<Self, Fault> {
        let (bucket, prefix) = (asked.bucket, asked.prefix.as_bytes());
        let stretch = if asked.delimiter.is_empty() { asked.limit + 1 } else { STRETCH };
        let mut keys = Self { db, bucket, after: asked.after.clone(), stretch, read: VecDeque::new(), is_over: false };
        if keys.after.as_slice() < prefix {
            keys.after = prefix.to_vec();
            // A stretch begins after a key; the one that is all prefix is looked at by itself.
            let exactly = db.get(&OBJECTS, [bucket, asked.prefix])?;
            keys.read.extend(exactly.map(|object| (asked.prefix.to_owned(), object)));
        }
        Ok(keys)
    }

    fn next(&mut self) -> Result<Option<(String, Object)>, Fault> {
        if self.read.is_empty() && !self.is_over {
            let read = self.db.after(&OBJECTS, [self.bucket.as_bytes(), &self.after], self.stretch)?;
            self.is_over = read.len() < self.stretch;
            for (at, object) in read {
                if at.text_at(2)? != self.bucket {
                    self.is_over = true;
                    break;
                }
                self.read.push_back((at.text_at(3)?, object));
            }
        }
        let next = self.read.pop_front();
        if let Some((key, _)) = &next {
            self.after = key.clone().into_bytes();
        }
        Ok(next)
    }

    /// Passes over all keys that begin like this.
    fn pass_over(&mut self, prefix: &str) {
        while self.read.pop_front_if(|(key, _)| key.starts_with(prefix)).is_some() {}
        if self.read.is_empty() {
            self.after = past(prefix);
        }
    }
}

/// Walks the bucket. Keys that are summed up as one are not read one by one.
fn walk(db: Read, asked: &Asked) -> Result<Found, Fault> {
    let mut found = Found::default();
    if asked.limit == 0 {
        return Ok(found);
    }
    let mut keys = Keys::new(db, asked)?;
    while let Some((key, object)) = keys.next()? {
        if !key.starts_with(asked.prefix) {
            break;
        }
        if found.entries.len() == asked.limit {
            found.is_cut = true;
            break;
        }
        let entry = match sum(&key, asked.prefix, asked.delimiter) {
            Some(sum) => {
                keys.pass_over(sum);
                Entry::Many(sum.to_owned())
            }
            None => Entry::One(key, Box::new(object)),
        };
        found.entries.push(entry);
    }
    Ok(found)
}

/// What a key is summed up as, if its name goes on to a delimiter.
fn sum<'k>(key: &'k str, prefix: &str, delimiter: &str) -> Option<&'k str> {
    let rest = key.strip_prefix(prefix).filter(|_| !delimiter.is_empty())?;
    let end = rest.find(delimiter)?;
    key.get(..prefix.len() + end + delimiter.len())
}

/// The number that a parameter gives of things to list.
pub(super) fn limit(request: &Request, name: &'static str) -> Result<usize, Refusal> {
    Ok(number(request, name)?.map_or(PAGE, |limit| limit.min(PAGE)))
}

/// The number that a parameter gives, if it is given.
pub(super) fn number(request: &Request, name: &'static str) -> Result<Option<usize>, Refusal> {
    let Some(text) = request.call.parameter(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let message = match text.parse::<i32>() {
        Ok(number) => match usize::try_from(number) {
            Ok(number) => return Ok(Some(number)),
            Err(_) => format!("Argument {name} must be an integer between 0 and 2147483647"),
        },
        Err(_) => format!("Provided {name} not an integer or within integer range"),
    };
    Err(invalid_argument(message, name, text))
}

/// How names are written: as they are, or URL-encoded for clients that could not read them.
#[derive(Clone, Copy)]
pub(super) struct Encoding(bool);

impl Encoding {
    pub(super) fn of(request: &Request) -> Result<Self, Refusal> {
        match request.call.parameter("encoding-type") {
            None => Ok(Self(false)),
            Some("url") => Ok(Self(true)),
            Some(other) => {
                Err(invalid_argument("Invalid Encoding Method specified in Request", "encoding-type", other))
            }
        }
    }

    pub(super) fn text(self, name: &str) -> String {
        if self.0 { url_encoded(name) } else { name.to_owned() }
    }

    pub(super) fn say(self, xml: &mut Xml) {
        xml.maybe("EncodingType", self.0.then_some("url"));
    }
}

pub(super) fn list_objects(db: Read, request: &Request) -> Answer<Reply> {
    request.bucket(db)?;
    let asked = |name| request.call.parameter(name).unwrap_or_default();
    let (marker, delimiter) = (asked("marker"), asked("delimiter"));
    let after = after(marker, asked("prefix"), delimiter);
    let limit = limit(request, "max-keys")?;
    let encoding = Encoding::of(request)?;
    let found = walk(db, &Asked { bucket: &request.call.bucket, prefix: asked("prefix"), delimiter, after, limit })?;
    // Without a delimiter clients go on from the last key.
    let next = found.entries.last().filter(|_| found.is_cut && !delimiter.is_empty());
    Ok(Reply::document(Xml::document("ListBucketResult", |xml| {
        xml.text("Name", &request.call.bucket);
        xml.text("Prefix", encoding.text(asked("prefix")));
        xml.text("Marker", encoding.text(marker));
        xml.maybe("NextMarker", next.map(|entry| encoding.text(entry.name())));
        xml.text("MaxKeys", limit);
        xml.maybe("Delimiter", Some(encoding.text(delimiter)).filter(|delimiter| !delimiter.is_empty()));
        encoding.say(xml);
        xml.text("IsTruncated", found.is_cut);
        entries(xml, As::Objects, &found.entries, encoding, Some(&db.cx.scope.account));
    })))
}

pub(super) fn list_objects_v2(db: Read, request: &Request) -> Answer<Reply> {
    request.bucket(db)?;
    let asked = |name| request.call.parameter(name).unwrap_or_default();
    let given = |name| request.call.parameter(name).filter(|value| !value.is_empty());
    // A token counts for more than where the first page began, and then that is not repeated.
    let token = request.call.parameter("continuation-token");
    let start = given("start-after").filter(|_| token.is_none());
    let after = match token {
        Some(token) => unwrapped(token)?,
        None => start.unwrap_or_default().as_bytes().to_vec(),
    };
    let limit = limit(request, "max-keys")?;
    let encoding = Encoding::of(request)?;
    let (prefix, delimiter) = (asked("prefix"), asked("delimiter"));
    let found = walk(db, &Asked { bucket: &request.call.bucket, prefix, delimiter, after, limit })?;
    let next = found.entries.last().filter(|_| found.is_cut);
    let owner = (asked("fetch-owner") == "true").then_some(&*db.cx.scope.account);
    Ok(Reply::document(Xml::document("ListBucketResult", |xml| {
        xml.text("Name", &request.call.bucket);
        xml.text("Prefix", encoding.text(prefix));
        xml.maybe("StartAfter", start.map(|start| encoding.text(start)));
        xml.maybe("ContinuationToken", token);
        xml.maybe("NextContinuationToken", next.map(|entry| URL_SAFE_NO_PAD.encode(entry.end())));
        xml.text("KeyCount", found.entries.len());
        xml.text("MaxKeys", limit);
        xml.maybe("Delimiter", given("delimiter").map(|delimiter| encoding.text(delimiter)));
        encoding.say(xml);
        xml.text("IsTruncated", found.is_cut);
        entries(xml, As::Objects, &found.entries, encoding, owner);
    })))
}

/// Every object is its only version, which has no name of its own.
pub(super) fn list_object_versions(db: Read, request: &Request) -> Answer<Reply> {
    request.bucket(db)?;
    let asked = |name| request.call.parameter(name).unwrap_or_default();
    let (marker, delimiter, prefix) = (asked("key-marker"), asked("delimiter"), asked("prefix"));
    if marker.is_empty() && !asked("version-id-marker").is_empty() {
        let message = "A version-id marker cannot be specified without a key marker.";
        return Err(invalid_argument(message, "version-id-marker", asked("version-id-marker")).into());
    }
    let limit = limit(request, "max-keys")?;
    let encoding = Encoding::of(request)?;
    let after = after(marker, prefix, delimiter);
    let found = walk(db, &Asked { bucket: &request.call.bucket, prefix, delimiter, after, limit })?;
    let next = found.entries.last().filter(|_| found.is_cut);
    Ok(Reply::document(Xml::document("ListVersionsResult", |xml| {
        xml.text("Name", &request.call.bucket);
        xml.text("Prefix", encoding.text(prefix));
        xml.text("KeyMarker", encoding.text(marker));
        xml.text("VersionIdMarker", asked("version-id-marker"));
        xml.maybe("NextKeyMarker", next.map(|entry| encoding.text(entry.name())));
        xml.maybe("NextVersionIdMarker", next.map(|_| "null"));
        xml.text("MaxKeys", limit);
        xml.maybe("Delimiter", Some(encoding.text(delimiter)).filter(|delimiter| !delimiter.is_empty()));
        encoding.say(xml);
        xml.text("IsTruncated", found.is_cut);
        entries(xml, As::Versions, &found.entries, encoding, Some(&db.cx.scope.account));
    })))
}

/// From where a listing goes on after a marker: past all keys, if it is itself what keys were summed up as.
fn after(marker: &str, prefix: &str, delimiter: &str) -> Vec<u8> {
    if sum(marker, prefix, delimiter) == Some(marker) { past(marker) } else { marker.as_bytes().to_vec() }
}

fn unwrapped(token: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(token).ok().filter(|after| !after.is_empty()).ok_or_else(|| {
        refused("InvalidArgument", "The continuation token provided is incorrect")
            .with("ArgumentName", "continuation-token")
    })
}

/// What objects are listed as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    Objects,
    Versions,
}

fn entries(xml: &mut Xml, listed: As, entries: &[Entry], encoding: Encoding, account: Option<&str>) {
    for entry in entries {
        let Entry::One(key, object) = entry else { continue };
        xml.element(if listed == As::Objects { "Contents" } else { "Version" }, |xml| {
            xml.text("Key", encoding.text(key));
            if listed == As::Versions {
                xml.text("VersionId", "null");
                xml.text("IsLatest", true);
            }
            xml.text("LastModified", iso(object.modified));
            xml.text("ETag", format_args!("\"{}\"", object.etag));
            if let Some(sum) = &object.sum {
                xml.text("ChecksumAlgorithm", &sum.algorithm);
                xml.text("ChecksumType", &sum.kind);
            }
            xml.text("Size", object.size);
            if let Some(account) = account {
                owner(xml, "Owner", account);
            }
            xml.text("StorageClass", "STANDARD");
        });
    }
    for entry in entries {
        if let Entry::Many(prefix) = entry {
            xml.element("CommonPrefixes", |xml| xml.text("Prefix", encoding.text(prefix)));
        }
    }
}
