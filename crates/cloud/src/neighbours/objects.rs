//! Objects: buckets and what lies in them, as S3 has them. Here is what operations do with the store; the bytes of an object lie
//! in it too while they are few, and in files beside it when they are many. How files are written, read and removed, and how
//! bodies come in and go out, is unknown here: names of files come in with a request and go out with a reply.
//!
//! Buckets belong to an account and are seen from each of its regions; the region of a bucket is a fact about it.

mod attributes;
mod buckets;
mod conditions;
mod contents;
mod deleting;
mod listing;
mod multipart;
mod permissions;
mod settings;
mod tags;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use policy::iam::is_account;
use serde::{Deserialize, Serialize};
use store::{Fault, Key, Record, Table, json_record};
use wire::Refusal;
use wire::s3::checksum::{Algorithm, Measured};
use wire::s3::{Call, Element, not_implemented, refused};

use crate::caller::{self, Caller, Identity};
use crate::house::{House, Job};
use crate::operation::Answer;
use crate::scope::{Everywhere, Read, Write};

/// Bytes of a content that is kept in the store; a longer one is a file.
pub const SMALL: usize = 64 * 1024;

/// By bucket.
const BUCKETS: Everywhere<Bucket> = Everywhere(Table::new("s3_buckets"));
/// By bucket and key.
const OBJECTS: Everywhere<Object> = Everywhere(Table::new("s3_objects"));
/// By the name that an object has for its content.
const CONTENTS: Everywhere<Content> = Everywhere(Table::new("s3_contents"));
/// By bucket, key and upload.
const UPLOADS: Everywhere<Upload> = Everywhere(Table::new("s3_uploads"));
/// By upload and part number, in five digits.
const PARTS: Everywhere<Part> = Everywhere(Table::new("s3_parts"));
/// By name: the files that contents are in, whoever's they are.
const FILES: Table<()> = Table::new("s3_files");

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Bucket {
    created: i64,
    region: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<(String, String)>,
    /// Which kinds of public access it blocks, if that was not taken away.
    #[serde(default = "all_blocked")]
    blocks: Option<[bool; 4]>,
}
json_record!(Bucket, version 1);

/// New buckets block all public access, and so do those that were made before it could be asked.
#[expect(clippy::unnecessary_wraps, reason = "the type of the field")]
fn all_blocked() -> Option<[bool; 4]> {
    Some([true; 4])
}

/// What goes with the bytes of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Facts {
    /// Headers that come back as they were sent, names in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<(String, String)>,
}

/// A checksum as it is written, with its algorithm and kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    algorithm: String,
    kind: String,
    value: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Object {
    size: u64,
    /// Without its quotes.
    etag: String,
    modified: i64,
    content: String,
    #[serde(flatten)]
    facts: Facts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sum: Option<Sum>,
    /// The upload that it came of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upload: Option<String>,
}
json_record!(Object, version 1);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Upload {
    started: i64,
    #[serde(flatten)]
    facts: Facts,
    /// The checksum that every part must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    algorithm: Option<String>,
    kind: String,
}
json_record!(Upload, version 1);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    size: u64,
    md5: [u8; 16],
    modified: i64,
    algorithm: String,
    checksum: Vec<u8>,
    file: String,
}
json_record!(Part, version 1);

/// Where the bytes of an object are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Small(Vec<u8>),
    Files(Vec<File>),
}

/// A file that holds bytes of an object, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct File {
    name: String,
    size: u64,
}

const IN_STORE: u8 = 0;
const IN_FILES: u8 = 1;

impl Record for Content {
    const VERSION: u8 = 1;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Self::Small(bytes) => {
                out.push(IN_STORE);
                out.extend_from_slice(bytes);
                Ok(())
            }
            Self::Files(files) => {
                out.push(IN_FILES);
                store::json::write(files, out)
            }
        }
    }

    fn decode(version: u8, bytes: &[u8]) -> Result<Self, Fault> {
        match bytes.split_first() {
            Some((&IN_STORE, bytes)) => Ok(Self::Small(bytes.to_vec())),
            Some((&IN_FILES, files)) => store::json::read(version, files).map(Self::Files),
            _ => Err(Fault::new("a content that is nowhere")),
        }
    }
}

/// What an operation takes beside its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: a body is passed over.
    Nothing,
    /// A document.
    Document,
    /// The bytes of an object.
    Content,
    /// Another object.
    Source,
}

/// What is known before a body is received.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The checksum to make where the request names none.
    pub usual: Algorithm,
    /// What is to be copied.
    pub source: Option<Source>,
}

/// An object that is to be copied.
#[derive(Clone, Debug)]
pub struct Source {
    object: Object,
    /// Its bytes.
    pub pieces: Vec<Piece>,
}

/// Bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Here they are.
    Bytes(Bytes),
    /// A stretch of a file.
    File(String, Range<u64>),
}

/// A body that has been received.
#[derive(Clone, Debug)]
pub struct Received {
    /// Where it is.
    pub kept: Kept,
    /// What it is.
    pub measured: Measured,
}

/// Where a body that has been received is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In memory; no longer than [`SMALL`].
    Bytes(Bytes),
    /// On disk, in the file of this name.
    File(String),
}

/// A request with all that came with it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its head.
    pub call: Call,
    /// The document, where the operation takes one and there was one.
    pub document: Option<Element>,
    /// The body, where the operation takes one.
    pub received: Option<Received>,
    /// The object to copy.
    pub source: Option<Source>,
}

/// What goes back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers that are the answer's own.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body.
    pub body: Body,
    /// Files that hold nothing of anybody's any more.
    pub freed: Vec<String>,
}

/// The body of a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// None.
    #[default]
    Nothing,
    /// XML.
    Document(String),
    /// Bytes of an object, and how many.
    Pieces(Vec<Piece>, u64),
}

impl Reply {
    fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    fn document(document: String) -> Self {
        Self { status: 200, body: Body::Document(document), ..Self::default() }
    }

    fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn freeing(self, freed: Vec<String>) -> Self {
        Self { freed, ..self }
    }
}

/// What became of a request.
pub enum Planned {
    /// It is answered.
    Done(Result<Reply, Refusal>),
    /// It must be written: bring the job to the desk, and take the reply once that is done.
    Desk(Job, Slot),
}

/// Where the reply of a job will be.
#[derive(Clone, Default)]
pub struct Slot(Arc<Mutex<Option<Reply>>>);

impl Slot {
    fn put(&self, reply: Reply) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reply);
    }

    /// The reply, once the job was answered without a refusal.
    pub fn take(&self) -> Result<Reply, Refusal> {
        let reply = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        reply.ok_or_else(|| Refusal::internal_failure("The write was not carried out."))
    }
}

/// How an operation is answered.
#[derive(Clone, Copy)]
enum Run {
    Read(fn(Read, &Request) -> Answer<Reply>),
    Write(fn(&mut Write, &Request) -> Answer<Reply>),
}

struct Op {
    operation: &'static str,
    takes: Takes,
    run: Run,
}

const fn read(operation: &'static str, run: fn(Read, &Request) -> Answer<Reply>) -> Op {
    Op { operation, takes: Takes::Nothing, run: Run::Read(run) }
}

const fn write(operation: &'static str, takes: Takes, run: fn(&mut Write, &Request) -> Answer<Reply>) -> Op {
    Op { operation, takes, run: Run::Write(run) }
}

/// What is not here answers 501 by name.
const OPS: &[Op] = &[
    write("AbortMultipartUpload", Takes::Nothing, multipart::abort_multipart_upload),
    write("CompleteMultipartUpload", Takes::Document, multipart::complete_multipart_upload),
    write("CopyObject", Takes::Source, contents::copy_object),
    write("CreateBucket", Takes::Document, buckets::create_bucket),
    write("CreateMultipartUpload", Takes::Nothing, multipart::create_multipart_upload),
    write("DeleteBucket", Takes::Nothing, buckets::delete_bucket),
    write("DeleteBucketCors", Takes::Nothing, settings::remove_nothing),
    write("DeleteBucketEncryption", Takes::Nothing, settings::remove_nothing),
    write("DeleteBucketLifecycle", Takes::Nothing, settings::remove_nothing),
    write("DeleteBucketPolicy", Takes::Nothing, settings::remove_nothing),
    write("DeleteBucketReplication", Takes::Nothing, settings::remove_nothing),
    write("DeleteBucketTagging", Takes::Nothing, tags::delete_bucket_tagging),
    write("DeleteBucketWebsite", Takes::Nothing, settings::remove_nothing),
    write("DeleteObject", Takes::Nothing, deleting::delete_object),
    write("DeleteObjectTagging", Takes::Nothing, tags::delete_object_tagging),
    write("DeleteObjects", Takes::Document, deleting::delete_objects),
    write("DeletePublicAccessBlock", Takes::Nothing, settings::delete_public_access_block),
    read("GetBucketAccelerateConfiguration", settings::get_bucket_accelerate_configuration),
    read("GetBucketAcl", settings::get_bucket_acl),
    read("GetBucketAnalyticsConfiguration", settings::no_configuration),
    read("GetBucketCors", settings::no_configuration),
    read("GetBucketEncryption", settings::no_configuration),
    read("GetBucketIntelligentTieringConfiguration", settings::no_configuration),
    read("GetBucketInventoryConfiguration", settings::no_configuration),
    read("GetBucketLifecycleConfiguration", settings::no_configuration),
    read("GetBucketLocation", buckets::get_bucket_location),
    read("GetBucketLogging", settings::get_bucket_logging),
    read("GetBucketMetricsConfiguration", settings::no_configuration),
    read("GetBucketNotificationConfiguration", settings::get_bucket_notification_configuration),
    read("GetBucketOwnershipControls", settings::get_bucket_ownership_controls),
    read("GetBucketPolicy", settings::no_configuration),
    read("GetBucketPolicyStatus", settings::no_configuration),
    read("GetBucketReplication", settings::no_configuration),
    read("GetBucketRequestPayment", settings::get_bucket_request_payment),
    read("GetBucketTagging", tags::get_bucket_tagging),
    read("GetBucketVersioning", buckets::get_bucket_versioning),
    read("GetBucketWebsite", settings::no_configuration),
    read("GetObject", contents::get_object),
    read("GetObjectAcl", settings::get_object_acl),
    read("GetObjectAttributes", attributes::get_object_attributes),
    read("GetObjectLegalHold", settings::no_lock),
    read("GetObjectLockConfiguration", settings::no_configuration),
    read("GetObjectRetention", settings::no_lock),
    read("GetObjectTagging", tags::get_object_tagging),
    read("GetPublicAccessBlock", settings::get_public_access_block),
    read("HeadBucket", buckets::head_bucket),
    read("HeadObject", contents::head_object),
    read("ListBucketAnalyticsConfigurations", settings::list_nothing),
    read("ListBucketIntelligentTieringConfigurations", settings::list_nothing),
    read("ListBucketInventoryConfigurations", settings::list_nothing),
    read("ListBucketMetricsConfigurations", settings::list_nothing),
    read("ListBuckets", buckets::list_buckets),
    read("ListMultipartUploads", multipart::list_multipart_uploads),
    read("ListObjectVersions", listing::list_object_versions),
    read("ListObjects", listing::list_objects),
    read("ListObjectsV2", listing::list_objects_v2),
    read("ListParts", multipart::list_parts),
    write("PutBucketAcl", Takes::Document, settings::put_bucket_acl),
    write("PutBucketOwnershipControls", Takes::Document, settings::put_bucket_ownership_controls),
    write("PutBucketTagging", Takes::Document, tags::put_bucket_tagging),
    write("PutObject", Takes::Content, contents::put_object),
    write("PutObjectAcl", Takes::Document, settings::put_object_acl),
    write("PutObjectTagging", Takes::Document, tags::put_object_tagging),
    write("PutPublicAccessBlock", Takes::Document, settings::put_public_access_block),
    write("UploadPart", Takes::Content, multipart::upload_part),
    write("UploadPartCopy", Takes::Source, multipart::upload_part_copy),
];

fn find(operation: &str) -> Result<&'static Op, Refusal> {
    OPS.iter().find(|op| op.operation == operation).ok_or_else(|| not_implemented(operation))
}

/// What an operation takes; asked before a body is received, so that the 501 comes first.
pub fn takes(call: &Call) -> Result<Takes, Refusal> {
    find(call.operation).map(|op| op.takes)
}

/// Whether an operation is built.
pub fn is_built(operation: &str) -> bool {
    find(operation).is_ok()
}

impl Request {
    /// A request with this head; whatever came with it is put in afterwards.
    pub fn new(call: Call) -> Self {
        Self { call, document: None, received: None, source: None }
    }

    fn bucket(&self, db: Read) -> Answer<Bucket> {
        bucket(db, &self.call.bucket)
    }
}

impl House {
    /// What must be known before the body of a request is received. It is refused here if it can only be refused.
    pub fn prepare_object(&self, caller: &Caller, call: &Call, now: i64) -> Result<Prepared, Refusal> {
        let cx = self.context(&caller.scope, now, 0);
        let view = self.store.read();
        let db = Read::new(&view, &cx);
        let prepared = allowed(db, caller, call, None).and_then(|()| contents::prepare(db, call));
        prepared.map_err(|failure| self.refusal(&caller.scope, now, failure))
    }

    /// Answers a request, or says what must be written for its answer. `now` is in milliseconds.
    pub fn plan_object(&self, caller: &Caller, request: Request, now: i64, entropy: u128) -> Planned {
        let cx = self.context(&caller.scope, now, entropy);
        let op = {
            let view = self.store.read();
            let allowed = allowed(Read::new(&view, &cx), caller, &request.call, request.document.as_ref());
            match allowed.and_then(|()| Ok(find(request.call.operation)?)) {
                Ok(op) => op,
                Err(failure) => return Planned::Done(Err(self.refusal(&caller.scope, now, failure))),
            }
        };
        match op.run {
            Run::Read(run) => {
                let answer = run(Read::new(&self.store.read(), &cx), &request);
                Planned::Done(answer.map_err(|failure| self.refusal(&caller.scope, now, failure)))
            }
            Run::Write(run) => {
                let slot = Slot::default();
                let filled = slot.clone();
                let job = Job::new(cx, move |db| run(db, &request).map(|reply| filled.put(reply)));
                Planned::Desk(job, slot)
            }
        }
    }

    /// Whether an object has bytes in the file of this name.
    pub fn keeps_file(&self, name: &str) -> Result<bool, Fault> {
        self.store.read().contains(&FILES, &Key::of([name]))
    }
}

/// Whether the caller may, and has the buckets that it thinks it has. A device has none. Of several objects that are to be
/// deleted all must be allowed (unconfirmed: AWS deletes those that are).
fn allowed(db: Read, caller: &Caller, call: &Call, document: Option<&Element>) -> Answer<()> {
    if matches!(caller.identity, Identity::Device { .. }) {
        let message = "A device certificate opens no bucket; sign with an access key.";
        return Err(refused("AccessDenied", message).into());
    }
    expected_owner(call, &caller.scope.account)?;
    if caller.identity.held().is_none() {
        return Ok(());
    }
    let needs = permissions::of(call, document)?;
    caller::allow(db, caller, &needs).map_err(|no| no.told(("AccessDenied", 403)))
}

/// Whoever says whose the buckets are must be right.
fn expected_owner(call: &Call, account: &str) -> Result<(), Refusal> {
    let expected = ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"].map(|name| call.header(name));
    for owner in expected.into_iter().flatten() {
        if !is_account(owner) {
            let message =
                format!("The value of the expected bucket owner parameter must be an AWS Account ID... [{owner}]");
            return Err(refused("InvalidBucketOwnerAWSAccountID", message));
        }
        if owner != account {
            return Err(refused("AccessDenied", "Access Denied"));
        }
    }
    Ok(())
}

fn bucket(db: Read, name: &str) -> Answer<Bucket> {
    let found = db.get(&BUCKETS, [name])?;
    let none = || refused("NoSuchBucket", "The specified bucket does not exist").with("BucketName", name);
    found.ok_or_else(|| none().into())
}

/// The object of this key in this bucket, which both must be there.
fn object(db: Read, bucket: &str, key: &str) -> Answer<Object> {
    if let Some(found) = db.get(&OBJECTS, [bucket, key])? {
        return Ok(found);
    }
    self::bucket(db, bucket)?;
    Err(refused("NoSuchKey", "The specified key does not exist.").with("Key", key).into())
}

/// Nothing has versions here, so there is one to ask for: none, which is called `null`.
fn check_version(version: Option<&str>) -> Result<(), Refusal> {
    match version {
        None | Some("null" | "") => Ok(()),
        // No other was ever given out.
        Some(id) => Err(invalid_argument("Invalid version id specified", "versionId", id)),
    }
}

/// The refusal of a header or parameter for its value.
fn invalid_argument(message: impl Into<String>, name: &'static str, value: &str) -> Refusal {
    refused("InvalidArgument", message).with("ArgumentName", name).with("ArgumentValue", value)
}

/// Puts a content into the store.
fn keep(db: &mut Write, content: &Content) -> Result<String, Fault> {
    let name = db.uuid();
    db.put(&CONTENTS, [name.as_str()], content)?;
    if let Content::Files(files) = content {
        for file in files {
            db.put_global(&FILES, &Key::of([file.name.as_str()]), &())?;
        }
    }
    Ok(name)
}

/// Takes the content of an object out of the store; the names of its files come back.
fn free(db: &mut Write, object: &Object) -> Result<Vec<String>, Fault> {
    let content = db.view().get(&CONTENTS, [object.content.as_str()])?;
    db.delete(&CONTENTS, [object.content.as_str()])?;
    let files = match content {
        Some(Content::Files(files)) => files,
        Some(Content::Small(_)) | None => Vec::new(),
    };
    files.into_iter().map(|file| free_file(db, file.name)).collect()
}

fn free_file(db: &mut Write, name: String) -> Result<String, Fault> {
    db.delete_global(&FILES, &Key::of([name.as_str()]))?;
    Ok(name)
}
