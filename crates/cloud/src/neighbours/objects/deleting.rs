//! The removal of objects, one by one or a thousand at once. What is not there counts as removed, as with S3.

use wire::s3::{Element, Xml, refused};

use super::buckets::{document, malformed};
use super::{OBJECTS, Reply, Request, check_version, free};
use crate::operation::{Answer, Failure};
use crate::scope::Write;

/// Keys of one request.
const KEYS: usize = 1000;

pub(super) fn delete_object(db: &mut Write, request: &Request) -> Answer<Reply> {
    let call = &request.call;
    request.bucket(db.view())?;
    check_version(call.parameter("versionId"))?;
    let freed = remove(db, &call.bucket, &call.key, call.header("if-match"))?;
    Ok(Reply::empty(204).freeing(freed))
}

/// Removes an object if there is one, and gives back the files that it lay in.
fn remove(db: &mut Write, bucket: &str, key: &str, only: Option<&str>) -> Answer<Vec<String>> {
    let object = match db.view().get(&OBJECTS, [bucket, key])? {
        Some(object) => object,
        None if only.is_none() => return Ok(Vec::new()),
        None => return Err(refused("NoSuchKey", "The specified key does not exist.").with("Key", key).into()),
    };
    if only.is_some_and(|etag| etag != "*" && etag.trim_matches('"') != object.etag) {
        return Err(super::conditions::failed("If-Match").into());
    }
    db.delete(&OBJECTS, [bucket, key])?;
    Ok(free(db, &object)?)
}

pub(super) fn delete_objects(db: &mut Write, request: &Request) -> Answer<Reply> {
    request.bucket(db.view())?;
    let document = document(request, "Delete")?;
    let asked: Vec<&Element> = document.all("Object").collect();
    if asked.is_empty() || asked.len() > KEYS {
        return Err(malformed().into());
    }
    let mut freed = Vec::new();
    let mut outcomes = Vec::with_capacity(asked.len());
    for object in asked {
        let key = object.text_of("Key").filter(|key| !key.is_empty()).ok_or_else(malformed)?;
        let none = |_| refused("NoSuchVersion", "The specified version does not exist.");
        let removed = check_version(object.text_of("VersionId")).map_err(none).map_err(Failure::from);
        let removed = removed.and_then(|()| remove(db, &request.call.bucket, key, object.text_of("ETag")));
        outcomes.push((
            key,
            object.text_of("VersionId"),
            match removed {
                Ok(files) => {
                    freed.extend(files);
                    None
                }
                // One that may not go does not keep the others.
                Err(Failure::Refusal(refusal)) => Some(refusal),
                Err(failure) => return Err(failure),
            },
        ));
    }
    let is_quiet = document.text_of("Quiet") == Some("true");
    let reply = Reply::document(Xml::document("DeleteResult", |xml| {
        for (key, version, outcome) in &outcomes {
            match outcome {
                None if is_quiet => {}
                None => xml.element("Deleted", |xml| {
                    xml.text("Key", key);
                    xml.maybe("VersionId", *version);
                }),
                Some(refusal) => xml.element("Error", |xml| {
                    xml.text("Key", key);
                    xml.maybe("VersionId", *version);
                    xml.text("Code", refusal.error());
                    xml.text("Message", refusal.message());
                }),
            }
        }
    }));
    Ok(reply.freeing(freed))
}
