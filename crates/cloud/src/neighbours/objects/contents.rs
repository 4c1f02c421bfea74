//! Objects one at a time: put, copied, given out. Conditions, the headers that go with an object, and what is known of it before
//! its body is received.

use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;
use wire::Refusal;
use wire::s3::checksum::{Algorithm, Kind, Measured, hex};
use wire::s3::claim::algorithm_named;
use wire::s3::{Call, META, Xml, refused};

use super::buckets::iso;
use super::conditions::{self, OF_SOURCE, PLAIN, Verdict};
use super::{
    BUCKETS, Body, CONTENTS, Content, Facts, File, Kept, OBJECTS, Object, Piece, Prepared, Received, Reply, Request,
    Source, Sum, bucket, check_version, free, invalid_argument, keep, multipart, object, settings, tags,
};
use crate::operation::Answer;
use crate::scope::{Read, Write};

/// Headers that are kept with an object and come back with it.
const KEPT: [&str; 6] =
    ["cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires"];

/// Bytes of the caller's own metadata, names and values.
const METADATA: usize = 2048;

const OCTETS: &str = "binary/octet-stream";

/// What is known before a body is received, if it is to be received at all.
pub(super) fn prepare(db: Read, call: &Call) -> Answer<Prepared> {
    bucket(db, &call.bucket)?;
    if call.operation == "PutObject" {
        facts(call)?;
        conditions::may_write(call, db.get(&OBJECTS, [&call.bucket, &call.key])?.as_ref())?;
    }
    let source = call.source().transpose()?.map(|(bucket, key)| open(db, call, &bucket, &key)).transpose()?;
    let usual = usual(db, call, source.as_ref())?;
    Ok(Prepared { usual, source })
}

/// The checksum that is made where a request does not send one: that which a copy asks for, that of the upload, that of the
/// source, or S3's own.
fn usual(db: Read, call: &Call, source: Option<&Source>) -> Answer<Algorithm> {
    if let Some(name) = call.header("x-amz-checksum-algorithm") {
        return Ok(algorithm_named(name)?);
    }
    if let Some(algorithm) = multipart::algorithm(db, call)? {
        return Ok(algorithm);
    }
    let of_source =
        source.and_then(|source| source.object.sum.as_ref()).and_then(|sum| Algorithm::named(&sum.algorithm));
    Ok(of_source.unwrap_or(Algorithm::Crc64Nvme))
}

/// The object that a copy is made of, or the stretch of it that is asked for.
fn open(db: Read, call: &Call, bucket: &str, key: &str) -> Answer<Source> {
    let object = object(db, bucket, key)?;
    match conditions::judge(call, &OF_SOURCE, &object) {
        Verdict::Met => {}
        Verdict::Unchanged(name) | Verdict::Failed(name) => return Err(conditions::failed(name).into()),
    }
    let range = match call.header("x-amz-copy-source-range") {
        None => 0..object.size,
        Some(range) => conditions::whole_range(range, object.size)?,
    };
    let pieces = pieces(db, &object, range.start, range.end)?;
    Ok(Source { object, pieces })
}

/// Where the bytes of an object are, from one to before another.
fn pieces(db: Read, object: &Object, from: u64, to: u64) -> Answer<Vec<Piece>> {
    let content = db.get(&CONTENTS, [object.content.as_str()])?;
    let files = match content {
        None => return Err(store::Fault::new(format!("the content {} is missing", object.content)).into()),
        Some(Content::Small(bytes)) => {
            let place = |at: u64| usize::try_from(at).map_or(bytes.len(), |at| at.min(bytes.len()));
            let (from, to) = (place(from), place(to));
            return Ok(vec![Piece::Bytes(Bytes::from(bytes).slice(from..to))]);
        }
        Some(Content::Files(files)) => files,
    };
    let mut pieces = Vec::new();
    let mut start = 0;
    for File { name, size } in files {
        let (first, last) = (from.max(start), to.min(start + size));
        if first < last {
            pieces.push(Piece::File(name, first - start..last - start));
        }
        start += size;
    }
    Ok(pieces)
}

/// The headers, tags and metadata that a request gives a new object.
pub(super) fn facts(call: &Call) -> Answer<Facts> {
    check_acl(call)?;
    if call.header("x-amz-storage-class").is_some_and(|class| class != "STANDARD") {
        return Err(wire::s3::not_implemented("a storage class other than STANDARD").into());
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut metadata = 0;
    for (name, value) in call.headers() {
        if let Some(own) = name.strip_prefix(META) {
            metadata += own.len() + value.len();
            headers.push((name.to_owned(), value.to_owned()));
        } else if name == "content-encoding" {
            // How the body came is not how it lies here.
            let encodings = value.split(',').map(str::trim).filter(|encoding| *encoding != "aws-chunked");
            let encodings = encodings.collect::<Vec<_>>().join(",");
            if !encodings.is_empty() {
                headers.push((name.to_owned(), encodings));
            }
        } else if KEPT.contains(&name) && !value.is_empty() {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    if metadata > METADATA {
        let message = "Your metadata headers exceed the maximum allowed metadata size";
        return Err(refused("MetadataTooLarge", message).into());
    }
    Ok(Facts { headers, tags: tags::of_header(call)? })
}

/// Buckets have no ACLs here, as new ones have none with AWS: what says no more than that is taken, and no other.
fn check_acl(call: &Call) -> Result<(), Refusal> {
    const CANNED: [&str; 7] = [
        "private",
        "public-read",
        "public-read-write",
        "aws-exec-read",
        "authenticated-read",
        "bucket-owner-read",
        "bucket-owner-full-control",
    ];
    if settings::grants(call) {
        return Err(settings::no_grants(call));
    }
    match call.header("x-amz-acl") {
        None | Some("private" | "bucket-owner-full-control") => Ok(()),
        Some(acl) if CANNED.contains(&acl) => Err(settings::no_acls()),
        Some(acl) => Err(invalid_argument("", "x-amz-acl", acl)),
    }
}

pub(super) fn put_object(db: &mut Write, request: &Request) -> Answer<Reply> {
    let (measured, facts) = (&received(request)?.measured, facts(&request.call)?);
    let sum = sum_of(measured);
    let (object, freed) = put(db, request, facts)?;
    let reply = Reply::empty(200).with("etag", quoted(&object.etag));
    let reply = reply.with(measured.algorithm.header(), sum.value).with("x-amz-checksum-type", sum.kind);
    Ok(reply.freeing(freed))
}

/// Writes the object that was received over whatever was there.
fn put(db: &mut Write, request: &Request, facts: Facts) -> Answer<(Object, Vec<String>)> {
    let received = received(request)?;
    let content = match &received.kept {
        Kept::Bytes(bytes) => Content::Small(bytes.to_vec()),
        Kept::File(name) => Content::Files(vec![File { name: name.clone(), size: received.measured.size }]),
    };
    let object = Object {
        size: received.measured.size,
        etag: hex(&received.measured.md5),
        modified: db.now(),
        content: String::new(),
        facts,
        sum: Some(sum_of(&received.measured)),
        upload: None,
    };
    put_content(db, request, object, &content)
}

/// Writes an object over whatever was there, if it may. The files of that come back.
pub(super) fn put_content(
    db: &mut Write,
    request: &Request,
    mut object: Object,
    content: &Content,
) -> Answer<(Object, Vec<String>)> {
    let call = &request.call;
    if !db.view().contains(&BUCKETS, [call.bucket.as_str()])? {
        request.bucket(db.view())?;
    }
    let there = db.view().get(&OBJECTS, [&call.bucket, &call.key])?;
    conditions::may_write(call, there.as_ref())?;
    let freed = there.map_or(Ok(Vec::new()), |there| free(db, &there))?;
    object.content = keep(db, content)?;
    db.put(&OBJECTS, [&call.bucket, &call.key], &object)?;
    Ok((object, freed))
}

/// What came with a request whose operation takes a body. That it is there is the door's doing, so that it is not is a fault.
pub(super) fn received(request: &Request) -> Answer<&Received> {
    request.received.as_ref().ok_or_else(|| store::Fault::new("a request without the body that it needs").into())
}

fn sum_of(measured: &Measured) -> Sum {
    let (algorithm, kind) = (measured.algorithm.name().to_owned(), Kind::FullObject.name().to_owned());
    Sum { algorithm, kind, value: measured.text() }
}

/// The bytes have been copied by now, as if they had been sent.
pub(super) fn copy_object(db: &mut Write, request: &Request) -> Answer<Reply> {
    let call = &request.call;
    let source = request.source.as_ref().ok_or_else(|| store::Fault::new("a copy without its source"))?;
    let replaces = |name| match call.header(name) {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(_) => Err(refused("InvalidArgument", "Unknown metadata directive.")),
    };
    let (new_headers, new_tags) = (replaces("x-amz-metadata-directive")?, replaces("x-amz-tagging-directive")?);
    let to = (call.bucket.clone(), call.key.clone());
    // A class may be named anew: that it is the same one counts as a change (with AWS too).
    let is_changed = new_headers || call.header("x-amz-storage-class").is_some();
    if !is_changed && call.source().is_some_and(|from| from.as_ref() == Ok(&to)) {
        let message = "This copy request is illegal because it is trying to copy an object to itself without changing the \
                       object's metadata, storage class, website redirect location or encryption attributes.";
        return Err(refused("InvalidRequest", message).into());
    }
    let new = facts(call)?;
    let old = source.object.facts.clone();
    let facts = Facts {
        headers: if new_headers { new.headers } else { old.headers },
        tags: if new_tags { new.tags } else { old.tags },
    };
    let (object, freed) = put(db, request, facts)?;
    let reply = Reply::document(Xml::document("CopyObjectResult", |xml| {
        xml.text("LastModified", iso(object.modified));
        xml.text("ETag", quoted(&object.etag));
        say_sum(xml, object.sum.as_ref());
    }));
    Ok(reply.freeing(freed))
}

/// The elements of a checksum.
pub(super) fn say_sum(xml: &mut Xml, sum: Option<&Sum>) {
    let Some(sum) = sum else { return };
    if let Some(algorithm) = Algorithm::named(&sum.algorithm) {
        xml.text(algorithm.element(), &sum.value);
        xml.text("ChecksumType", &sum.kind);
    }
}

pub(super) fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

pub(super) fn head_object(db: Read, request: &Request) -> Answer<Reply> {
    describe(db, request).map(|(_, reply, _)| reply)
}

pub(super) fn get_object(db: Read, request: &Request) -> Answer<Reply> {
    let (object, mut reply, range) = describe(db, request)?;
    if let Some((from, to)) = range {
        reply.body = Body::Pieces(pieces(db, &object, from, to)?, to - from);
    }
    Ok(reply)
}

type Described = (Object, Reply, Option<(u64, u64)>);

/// An object's headers, and which of its bytes are asked for, if any are.
fn describe(db: Read, request: &Request) -> Answer<Described> {
    let call = &request.call;
    check_version(call.parameter("versionId"))?;
    let object = object(db, &call.bucket, &call.key)?;
    match conditions::judge(call, &PLAIN, &object) {
        Verdict::Met => {}
        Verdict::Unchanged(_) => {
            let reply = Reply::empty(304).with("etag", quoted(&object.etag));
            return Ok((object, reply, None));
        }
        Verdict::Failed(name) => return Err(conditions::failed(name).into()),
    }
    let (range, parts) = stretch(db, call, &object)?;
    let mut reply = Reply::empty(if range.is_some() { 206 } else { 200 })
        .with("accept-ranges", "bytes")
        .with("etag", quoted(&object.etag))
        .with("last-modified", http_date(object.modified));
    let (from, to) = range.as_ref().map_or((0, object.size), |range| (range.start, range.end));
    reply = reply.with("content-length", (to - from).to_string());
    if range.is_some() {
        reply = reply.with("content-range", format!("bytes {from}-{}/{}", to.saturating_sub(1), object.size));
    }
    if let Some(parts) = parts {
        reply = reply.with("x-amz-mp-parts-count", parts.to_string());
    }
    reply = with_facts(reply, call, &object.facts);
    // A range may be all there is.
    let is_whole = (from, to) == (0, object.size);
    if let Some(sum) = object.sum.as_ref().filter(|_| is_whole && wants_sums(call)) {
        let header = Algorithm::named(&sum.algorithm).map(Algorithm::header);
        reply = reply.with(header.unwrap_or("x-amz-checksum"), &sum.value).with("x-amz-checksum-type", &sum.kind);
    }
    Ok((object, reply, Some((from, to))))
}

/// Which bytes of an object are asked for, if not all; and how many parts it has, if one of them is.
fn stretch(db: Read, call: &Call, object: &Object) -> Answer<(Option<Range<u64>>, Option<usize>)> {
    if let Some(number) = call.parameter("partNumber") {
        let (range, parts) = part(db, object, number)?;
        return Ok((Some(range), parts));
    }
    let range = call.header("range").map(|range| conditions::range(range, object.size)).transpose()?;
    Ok((range.flatten(), None))
}

/// How many parts an object came in, if it came in parts.
pub(super) fn parts_of(db: Read, object: &Object) -> Answer<Option<usize>> {
    Ok(files_of_parts(db, object)?.map(|files| files.len()))
}

fn files_of_parts(db: Read, object: &Object) -> Answer<Option<Vec<File>>> {
    Ok(match db.get(&CONTENTS, [object.content.as_str()])? {
        Some(Content::Files(files)) if object.upload.is_some() => Some(files),
        _ => None,
    })
}

/// Which bytes of an object are a part of it, and how many parts it has if it came in parts.
fn part(db: Read, object: &Object, number: &str) -> Answer<(Range<u64>, Option<usize>)> {
    let files = files_of_parts(db, object)?;
    let files = files.unwrap_or_else(|| vec![File { name: String::new(), size: object.size }]);
    let number = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let Some(File { size, .. }) = number.and_then(|number| files.get(number)) else {
        let refusal = refused("InvalidPartNumber", "The requested partnumber is not satisfiable");
        return Err(refusal.with_status(416).into());
    };
    let start: u64 = files.iter().take(number.unwrap_or_default()).map(|file| file.size).sum();
    Ok((start..start + size, object.upload.as_ref().map(|_| files.len())))
}

fn wants_sums(call: &Call) -> bool {
    call.header("x-amz-checksum-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("enabled"))
}

/// Headers as they were sent, or as the request wants them instead.
fn with_facts(mut reply: Reply, call: &Call, facts: &Facts) -> Reply {
    for name in KEPT {
        let kept = facts.headers.iter().find(|(kept, _)| kept == name).map(|(_, value)| value.as_str());
        let usual = (name == "content-type").then_some(OCTETS);
        let instead = call.parameter(&format!("response-{name}")).filter(|value| !value.is_empty());
        if let Some(value) = instead.or(kept).or(usual) {
            reply = reply.with(name, value);
        }
    }
    for (name, value) in facts.headers.iter().filter(|(name, _)| name.starts_with(META)) {
        reply = reply.with(name.clone(), value);
    }
    if !facts.tags.is_empty() {
        reply = reply.with("x-amz-tagging-count", facts.tags.len().to_string());
    }
    reply
}

/// A time as headers hold it.
pub(super) fn http_date(milliseconds: i64) -> String {
    let time = Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
