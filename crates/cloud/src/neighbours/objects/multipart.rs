//! Objects that come in parts: an upload is begun, its parts arrive in any order, and it is completed or given up. Each part is a
//! file; the object that comes of them is the list of these.

use std::collections::BTreeMap;

use store::Fault;
use wire::Refusal;
use wire::s3::checksum::{Algorithm, Kind, hex, md5_of_parts};
use wire::s3::claim::algorithm_named;
use wire::s3::{Call, Element, Xml, refused};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::buckets::{document, iso, malformed, owner};
use super::contents::{facts, put_content, quoted, received, say_sum};
use super::listing::{Encoding, PAGE, limit, number};
use super::{
    Content, FILES, File, Kept, OBJECTS, Object, PARTS, Part, Reply, Request, Sum, UPLOADS, Upload, free_file,
    invalid_argument,
};
use crate::operation::Answer;
use crate::scope::{Read, Write};

/// The highest number of a part.
const MOST_PARTS: usize = 10_000;

/// Bytes that every part but the last has at least.
const LEAST: u64 = 5 * 1024 * 1024;

/// The checksum that the parts of a request's upload have, if it is about an upload.
pub(super) fn algorithm(db: Read, call: &Call) -> Answer<Option<Algorithm>> {
    let Some(id) = call.parameter("uploadId") else { return Ok(None) };
    Ok(upload(db, call, id)?.algorithm.as_deref().and_then(Algorithm::named))
}

fn upload(db: Read, call: &Call, id: &str) -> Answer<Upload> {
    super::bucket(db, &call.bucket)?;
    let found = db.get(&UPLOADS, [&call.bucket, &call.key, id])?;
    let none = || {
        let message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or \
                       completed.";
        refused("NoSuchUpload", message).with("UploadId", id)
    };
    found.ok_or_else(|| none().into())
}

fn id_of(call: &Call) -> &str {
    call.parameter("uploadId").unwrap_or_default()
}

pub(super) fn create_multipart_upload(db: &mut Write, request: &Request) -> Answer<Reply> {
    let call = &request.call;
    request.bucket(db.view())?;
    let facts = facts(call)?;
    let algorithm = call.header("x-amz-checksum-algorithm").map(algorithm_named).transpose()?;
    let usual = algorithm.map_or(Kind::FullObject, Algorithm::usual_kind);
    let kind = match call.header("x-amz-checksum-type") {
        None => usual,
        Some(name) => {
            let algorithm = algorithm.ok_or_else(|| {
                let message =
                    "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.";
                refused("InvalidRequest", message)
            })?;
            Kind::named(name).filter(|kind| algorithm.has_kind(*kind)).ok_or_else(|| {
                let algorithm = algorithm.name().to_lowercase();
                let message =
                    format!("The {name} checksum type cannot be used with the {algorithm} checksum algorithm.");
                refused("InvalidRequest", message)
            })?
        }
    };
    let id = db.uuid().replace('-', "");
    let upload = Upload {
        started: db.now(),
        facts,
        algorithm: algorithm.map(|algorithm| algorithm.name().to_owned()),
        kind: kind.name().to_owned(),
    };
    db.put(&UPLOADS, [&call.bucket, &call.key, &id], &upload)?;
    let reply = Reply::document(Xml::document("InitiateMultipartUploadResult", |xml| {
        xml.text("Bucket", &call.bucket);
        xml.text("Key", &call.key);
        xml.text("UploadId", &id);
    }));
    let Some(algorithm) = algorithm else { return Ok(reply) };
    Ok(reply.with("x-amz-checksum-algorithm", algorithm.name()).with("x-amz-checksum-type", kind.name()))
}

pub(super) fn upload_part(db: &mut Write, request: &Request) -> Answer<Reply> {
    let (part, freed) = put_part(db, request)?;
    let reply = Reply::empty(200).with("etag", quoted(&hex(&part.md5)));
    let header = Algorithm::named(&part.algorithm).map(Algorithm::header);
    let reply = match header {
        Some(header) => reply.with(header, STANDARD.encode(&part.checksum)),
        None => reply,
    };
    Ok(reply.freeing(freed))
}

/// The bytes have been copied by now, as if they had been sent.
pub(super) fn upload_part_copy(db: &mut Write, request: &Request) -> Answer<Reply> {
    let (part, freed) = put_part(db, request)?;
    let reply = Reply::document(Xml::document("CopyPartResult", |xml| {
        xml.text("LastModified", iso(part.modified));
        xml.text("ETag", quoted(&hex(&part.md5)));
        say_part_sum(xml, &part);
    }));
    Ok(reply.freeing(freed))
}

/// Keeps a part in place of an earlier one of its number.
fn put_part(db: &mut Write, request: &Request) -> Answer<(Part, Vec<String>)> {
    let call = &request.call;
    let upload = upload(db.view(), call, id_of(call))?;
    let number = call.parameter("partNumber").and_then(|number| number.parse::<usize>().ok());
    let number = number.filter(|number| (1..=MOST_PARTS).contains(number)).ok_or_else(|| {
        let message = "Part number must be an integer between 1 and 10000, inclusive";
        invalid_argument(message, "partNumber", call.parameter("partNumber").unwrap_or_default())
    })?;
    let received = received(request)?;
    let measured = &received.measured;
    let Kept::File(file) = &received.kept else { return Err(Fault::new("a part that is not in a file").into()) };
    let algorithm = measured.algorithm.name();
    if upload.algorithm.as_deref().is_some_and(|expected| expected != algorithm) {
        let (expected, actual) = (upload.algorithm.unwrap_or_default().to_lowercase(), algorithm.to_lowercase());
        let message = format!(
            "Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {actual}"
        );
        return Err(refused("InvalidRequest", message).into());
    }
    let part = Part {
        size: measured.size,
        md5: measured.md5,
        modified: db.now(),
        algorithm: algorithm.to_owned(),
        checksum: measured.checksum.clone(),
        file: file.clone(),
    };
    let at = [id_of(call), &place(number)];
    let earlier: Option<Part> = db.view().get(&PARTS, at)?;
    db.put(&PARTS, at, &part)?;
    db.put_global(&FILES, &store::Key::of([file.as_str()]), &())?;
    let freed = earlier.map(|earlier| free_file(db, earlier.file)).transpose()?;
    Ok((part, freed.into_iter().collect()))
}

/// A number as keys have it.
fn place(number: usize) -> String {
    format!("{number:05}")
}

fn say_part_sum(xml: &mut Xml, part: &Part) {
    if let Some(algorithm) = Algorithm::named(&part.algorithm) {
        xml.text(algorithm.element(), STANDARD.encode(&part.checksum));
    }
}

pub(super) fn abort_multipart_upload(db: &mut Write, request: &Request) -> Answer<Reply> {
    let call = &request.call;
    upload(db.view(), call, id_of(call))?;
    db.delete(&UPLOADS, [&call.bucket, &call.key, id_of(call)])?;
    let freed = drop_parts(db, id_of(call))?;
    Ok(Reply::empty(204).freeing(freed))
}

/// Removes what parts an upload has, and gives back their files.
pub(super) fn drop_parts(db: &mut Write, id: &str) -> Answer<Vec<String>> {
    let mut freed = Vec::new();
    for (at, part) in db.view().all(&PARTS, [id])? {
        db.delete(&PARTS, [id, &at.text_at(3)?])?;
        freed.push(free_file(db, part.file)?);
    }
    Ok(freed)
}

pub(super) fn complete_multipart_upload(db: &mut Write, request: &Request) -> Answer<Reply> {
    let call = &request.call;
    let id = id_of(call);
    let upload = match upload(db.view(), call, id) {
        Ok(upload) => upload,
        // Whoever asks again because the first answer was lost gets it.
        Err(failure) => match db.view().get(&OBJECTS, [&call.bucket, &call.key])? {
            Some(object) if object.upload.as_deref() == Some(id) => return Ok(completed(call, &object)),
            _ => return Err(failure),
        },
    };
    let mut there = BTreeMap::new();
    for (at, part) in db.view().all(&PARTS, [id])? {
        there.insert(at.text_at(3)?, part);
    }
    check_kind(call, &upload)?;
    let parts = chosen(document(request, "CompleteMultipartUpload")?, id, &upload, &mut there)?;
    let object = assembled(db, call, upload, &parts)?;
    db.delete(&UPLOADS, [&call.bucket, &call.key, id])?;
    for number in parts.iter().map(|(number, _)| number).chain(there.keys()) {
        db.delete(&PARTS, [id, number])?;
    }
    let files = parts.into_iter().map(|(_, part)| File { name: part.file, size: part.size });
    let (object, mut freed) = put_content(db, request, object, &Content::Files(files.collect()))?;
    // Parts that were sent and not chosen belong to nothing.
    for (_, part) in there {
        freed.push(free_file(db, part.file)?);
    }
    Ok(completed(call, &object).freeing(freed))
}

/// Whoever says of which kind the object's checksum is must say what was said in the beginning.
fn check_kind(call: &Call, upload: &Upload) -> Result<(), Refusal> {
    let kind = if upload.algorithm.is_some() { upload.kind.as_str() } else { "null" };
    if call.header("x-amz-checksum-type").is_none_or(|said| said == kind) {
        return Ok(());
    }
    let message = format!(
        "The upload was created using the {kind} checksum mode. The complete request must use the same checksum mode."
    );
    Err(refused("InvalidRequest", message))
}

/// The parts that a document lists, out of those there are.
fn chosen(
    document: &Element,
    id: &str,
    upload: &Upload,
    there: &mut BTreeMap<String, Part>,
) -> Result<Vec<(String, Part)>, Refusal> {
    let mut parts: Vec<(String, Part)> = Vec::new();
    for listed in document.all("Part") {
        let number = listed.text_of("PartNumber").and_then(|number| number.trim().parse::<usize>().ok());
        let number = number.filter(|number| *number <= MOST_PARTS).ok_or_else(|| invalid_part(listed, id))?;
        let number = place(number);
        if parts.last().is_some_and(|(last, _)| *last >= number) {
            let message = "The list of parts was not in ascending order. Parts must be ordered by part number.";
            return Err(refused("InvalidPartOrder", message).with("UploadId", id));
        }
        let part = there.remove(&number).ok_or_else(|| invalid_part(listed, id))?;
        let is_it = listed.text_of("ETag").is_some_and(|etag| etag.trim().trim_matches('"') == hex(&part.md5));
        let sum = Algorithm::named(&part.algorithm).and_then(|algorithm| listed.text_of(algorithm.element()));
        if !is_it || sum.is_some_and(|sum| sum != STANDARD.encode(&part.checksum)) {
            return Err(invalid_part(listed, id));
        }
        if sum.is_none()
            && upload.kind == Kind::Composite.name()
            && let Some(algorithm) = &upload.algorithm
        {
            let (algorithm, number) = (algorithm.to_lowercase(), number.trim_start_matches('0'));
            let message = format!(
                "The upload was created using a {algorithm} checksum. The complete request must include the checksum for \
                 each part. It was missing for part {number} in the request."
            );
            return Err(refused("InvalidRequest", message));
        }
        parts.push((number, part));
    }
    if parts.is_empty() {
        return Err(malformed());
    }
    let mut all_but_last = parts.iter().rev().skip(1);
    if all_but_last.any(|(_, part)| part.size < LEAST) {
        let message = "Your proposed upload is smaller than the minimum allowed object size.";
        return Err(refused("EntityTooSmall", message));
    }
    Ok(parts)
}

/// The refusal of a part that is not there, or not as it is listed.
fn invalid_part(listed: &Element, id: &str) -> Refusal {
    let message = "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified \
                   entity tag may not match the part's entity tag.";
    let text = |name| listed.text_of(name).unwrap_or_default().trim().trim_matches('"').to_owned();
    let refusal = refused("InvalidPart", message).with("UploadId", id);
    refusal.with("PartNumber", text("PartNumber")).with("ETag", text("ETag"))
}

/// The object that parts make, without its content.
fn assembled(db: &Write, call: &Call, upload: Upload, parts: &[(String, Part)]) -> Result<Object, Refusal> {
    let size = parts.iter().map(|(_, part)| part.size).sum();
    if let Some(said) = call.header("x-amz-mp-object-size").filter(|said| said.parse() != Ok(size)) {
        let message =
            format!("The provided 'x-amz-mp-object-size' header value {said} does not match what was computed: {size}");
        return Err(refused("InvalidRequest", message));
    }
    let sum = sum(&upload, parts);
    if let (Some(sum), Kind::FullObject) = (&sum, Kind::named(&upload.kind).unwrap_or(Kind::Composite))
        && let Some(claimed) = Algorithm::named(&sum.algorithm).and_then(|algorithm| call.header(algorithm.header()))
        && claimed != sum.value
    {
        let algorithm = sum.algorithm.to_lowercase();
        let message = format!("The {algorithm} you specified did not match the calculated checksum.");
        return Err(refused("BadDigest", message));
    }
    let md5 = md5_of_parts(parts.iter().map(|(_, part)| &part.md5[..]));
    Ok(Object {
        size,
        etag: format!("{}-{}", hex(&md5), parts.len()),
        modified: db.now(),
        content: String::new(),
        facts: upload.facts,
        sum,
        upload: Some(id_of(call).to_owned()),
    })
}

/// The checksum of an object in parts; none if its parts have different ones.
fn sum(upload: &Upload, parts: &[(String, Part)]) -> Option<Sum> {
    let algorithm = Algorithm::named(&parts.first()?.1.algorithm)?;
    let kind = Kind::named(&upload.kind).filter(|kind| algorithm.has_kind(*kind))?;
    if parts.iter().any(|(_, part)| part.algorithm != algorithm.name()) {
        return None;
    }
    let value = match kind {
        Kind::FullObject => {
            let sums: Vec<_> = parts.iter().map(|(_, part)| (part.checksum.clone(), part.size)).collect();
            STANDARD.encode(algorithm.whole(&sums)?)
        }
        Kind::Composite => {
            let sums: Vec<u8> = parts.iter().flat_map(|(_, part)| part.checksum.iter().copied()).collect();
            format!("{}-{}", STANDARD.encode(algorithm.of(&sums)), parts.len())
        }
    };
    Some(Sum { algorithm: algorithm.name().to_owned(), kind: kind.name().to_owned(), value })
}

fn completed(call: &Call, object: &Object) -> Reply {
    let host = call.header("host").unwrap_or("localhost");
    Reply::document(Xml::document("CompleteMultipartUploadResult", |xml| {
        xml.text("Location", format_args!("http://{host}/{}/{}", call.bucket, wire::s3::url_encoded(&call.key)));
        xml.text("Bucket", &call.bucket);
        xml.text("Key", &call.key);
        xml.text("ETag", quoted(&object.etag));
        say_sum(xml, object.sum.as_ref());
    }))
}

pub(super) fn list_parts(db: Read, request: &Request) -> Answer<Reply> {
    let call = &request.call;
    let upload = upload(db, call, id_of(call))?;
    let marker = number(request, "part-number-marker")?.unwrap_or(0);
    let limit = limit(request, "max-parts")?;
    let mut parts = Vec::new();
    for (at, part) in db.all(&PARTS, [id_of(call)])? {
        let number = at.text_at(3)?.parse::<usize>().unwrap_or_default();
        if number > marker {
            parts.push((number, part));
        }
    }
    let is_cut = parts.len() > limit;
    parts.truncate(limit);
    Ok(Reply::document(Xml::document("ListPartsResult", |xml| {
        xml.text("Bucket", &call.bucket);
        xml.text("Key", &call.key);
        xml.text("UploadId", id_of(call));
        owner(xml, "Initiator", &db.cx.scope.account);
        owner(xml, "Owner", &db.cx.scope.account);
        xml.text("StorageClass", "STANDARD");
        xml.text("PartNumberMarker", marker);
        xml.text("NextPartNumberMarker", parts.last().map_or(0, |(number, _)| *number));
        xml.text("MaxParts", limit);
        xml.text("IsTruncated", is_cut);
        if let Some(algorithm) = &upload.algorithm {
            xml.text("ChecksumAlgorithm", algorithm);
            xml.text("ChecksumType", &upload.kind);
        }
        for (number, part) in &parts {
            xml.element("Part", |xml| {
                xml.text("PartNumber", number);
                xml.text("LastModified", iso(part.modified));
                xml.text("ETag", quoted(&hex(&part.md5)));
                xml.text("Size", part.size);
                say_part_sum(xml, part);
            });
        }
    })))
}

pub(super) fn list_multipart_uploads(db: Read, request: &Request) -> Answer<Reply> {
    let call = &request.call;
    request.bucket(db)?;
    let asked = |name| call.parameter(name).unwrap_or_default();
    if !asked("delimiter").is_empty() {
        return Err(wire::s3::not_implemented("ListMultipartUploads with a delimiter").into());
    }
    let limit = limit(request, "max-uploads")?.clamp(1, PAGE);
    let encoding = Encoding::of(request)?;
    let (prefix, after) = (asked("prefix"), (asked("key-marker"), asked("upload-id-marker")));
    let mut found: Vec<(String, String, Upload)> = Vec::new();
    for (at, upload) in db.all(&UPLOADS, [call.bucket.as_str()])? {
        let (key, id) = (at.text_at(3)?, at.text_at(4)?);
        // Without an id the marker leads on past all uploads of its key.
        let is_seen = if after.1.is_empty() { key.as_str() <= after.0 } else { (key.as_str(), id.as_str()) <= after };
        if key.starts_with(prefix) && (after.0.is_empty() || !is_seen) {
            found.push((key, id, upload));
        }
    }
    let is_cut = found.len() > limit;
    found.truncate(limit);
    // Where the next page would begin, also if there is none.
    let (next_key, next_id) = found.last().map(|(key, id, _)| (key.as_str(), id.as_str())).unwrap_or_default();
    Ok(Reply::document(Xml::document("ListMultipartUploadsResult", |xml| {
        xml.text("Bucket", &call.bucket);
        xml.text("KeyMarker", encoding.text(after.0));
        xml.text("UploadIdMarker", after.1);
        xml.text("NextKeyMarker", encoding.text(next_key));
        xml.text("NextUploadIdMarker", next_id);
        xml.text("Prefix", encoding.text(prefix));
        encoding.say(xml);
        xml.text("MaxUploads", limit);
        xml.text("IsTruncated", is_cut);
        for (key, id, upload) in &found {
            xml.element("Upload", |xml| {
                xml.text("Key", encoding.text(key));
                xml.text("UploadId", id);
                owner(xml, "Initiator", &db.cx.scope.account);
                owner(xml, "Owner", &db.cx.scope.account);
                xml.text("StorageClass", "STANDARD");
                xml.text("Initiated", iso(upload.started));
                if let Some(algorithm) = &upload.algorithm {
                    xml.text("ChecksumAlgorithm", algorithm);
                    xml.text("ChecksumType", &upload.kind);
                }
            });
        }
    })))
}
