//! Buckets and objects: what is put comes back, listings are in order and whole however they are cut, and files are given back
//! as soon as nothing lies in them. Bytes that a file would hold are told to the house and never seen by it.

use std::collections::BTreeSet;

use bytes::Bytes;
use cloud::objects::{Body, Kept, Piece, Planned, Received, Reply, Request, SMALL, Takes, takes};
use proptest::prelude::*;
use wire::Refusal;
use wire::s3::checksum::{Algorithm, Measured, hex};
use wire::s3::claim::Claim;
use wire::s3::{Call, Element, Head};

use crate::house::{DAWN, Lab};

const SECOND: i64 = 1000;
const MEBIBYTE: usize = 1024 * 1024;

/// A request as the door makes it: what does not fit into the store is said to be in a file of the name that is given.
fn ask(
    lab: &Lab,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    file: &str,
) -> Result<Reply, Refusal> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let call = Call::read(&Head { method, path, query, headers: &headers })?;
    let taken = takes(&call)?;
    let planned = lab.objects(|house, caller, now, entropy| {
        let mut request = Request::new(call.clone());
        let mut body = Bytes::copy_from_slice(body);
        if matches!(taken, Takes::Content | Takes::Source) {
            let prepared = house.prepare_object(caller, &call, now)?;
            if let Some(source) = prepared.source {
                body = source.pieces.iter().flat_map(bytes).collect();
                request.source = Some(source);
            }
            let mut measure = Claim::of(&call)?.measure(prepared.usual);
            measure.update(&body);
            let fits = body.len() <= SMALL && call.parameter("uploadId").is_none();
            let kept = if fits { Kept::Bytes(body) } else { Kept::File(file.to_owned()) };
            request.received = Some(Received { kept, measured: measure.finish() });
        } else if taken == Takes::Document && !body.is_empty() {
            request.document = Some(Element::read(&body)?);
        }
        Ok(house.plan_object(caller, request, now, entropy))
    })?;
    match planned {
        Planned::Done(answer) => answer,
        Planned::Desk(job, slot) => {
            let (tell, told) = std::sync::mpsc::channel();
            lab.commit([job.then(move |answer| tell.send(answer).unwrap())]).unwrap();
            told.recv().unwrap().and_then(|_| slot.take())
        }
    }
}

/// The bytes of a piece; those of a file are as many zeros.
fn bytes(piece: &Piece) -> Vec<u8> {
    match piece {
        Piece::Bytes(bytes) => bytes.to_vec(),
        Piece::File(_, range) => vec![0; usize::try_from(range.end - range.start).unwrap()],
    }
}

#[track_caller]
fn ok(lab: &Lab, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    ask(lab, method, target, headers, body, "file").unwrap_or_else(|no| panic!("{method} {target}: {no}"))
}

#[track_caller]
fn no(lab: &Lab, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> (&'static str, u16) {
    let refusal = ask(lab, method, target, headers, body, "file").unwrap_err();
    (refusal.error(), refusal.status(None))
}

#[track_caller]
fn document(reply: &Reply) -> Element {
    let Body::Document(text) = &reply.body else { panic!("no document: {reply:?}") };
    Element::read(text.as_bytes()).unwrap()
}

#[track_caller]
fn content(reply: &Reply) -> Vec<u8> {
    let Body::Pieces(pieces, _) = &reply.body else { panic!("no content: {reply:?}") };
    pieces.iter().flat_map(bytes).collect()
}

fn header<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    reply.headers.iter().find(|(sent, _)| sent == name).map(|(_, value)| value.as_str())
}

fn with_bucket() -> Lab {
    let lab = Lab::new();
    ok(&lab, "PUT", "/bucket", &[], b"");
    lab
}

fn texts(element: &Element, of: &str, name: &str) -> Vec<String> {
    element.all(of).filter_map(|child| child.text_of(name)).map(str::to_owned).collect()
}

#[test]
fn what_is_put_comes_back_with_all_that_was_said_of_it() {
    let lab = with_bucket();
    let headers = [
        ("content-type", "text/plain"),
        ("content-encoding", "aws-chunked,gzip"),
        ("x-amz-meta-room", "attic"),
        ("x-amz-tagging", "a=b%20c&d="),
        ("cache-control", "no-store"),
    ];
    let put = ok(&lab, "PUT", "/bucket/a/b", &headers, b"123456789");
    assert_eq!(header(&put, "etag"), Some("\"25f9e794323b453885f5181f1b624d0b\""));
    assert_eq!(header(&put, "x-amz-checksum-crc64nvme"), Some("rosUhgp5mIg="));
    let got = ok(&lab, "GET", "/bucket/a/b?response-cache-control=max-age", &[], b"");
    assert_eq!((got.status, content(&got)), (200, b"123456789".to_vec()));
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-encoding", "gzip"),
        ("cache-control", "max-age"),
        ("x-amz-meta-room", "attic"),
        ("x-amz-tagging-count", "2"),
        ("content-length", "9"),
        ("last-modified", "Tue, 14 Nov 2023 22:13:20 GMT"),
    ] {
        assert_eq!(header(&got, name), Some(value), "{name}");
    }
    assert_eq!(header(&got, "x-amz-checksum-crc64nvme"), None);
    let head = ok(&lab, "HEAD", "/bucket/a/b", &[("x-amz-checksum-mode", "ENABLED")], b"");
    assert_eq!((header(&head, "x-amz-checksum-type"), &head.body), (Some("FULL_OBJECT"), &Body::Nothing));
    assert_eq!(no(&lab, "GET", "/bucket/none", &[], b""), ("NoSuchKey", 404));
    assert_eq!(no(&lab, "GET", "/none/a", &[], b""), ("NoSuchBucket", 404));
    assert_eq!(no(&lab, "PUT", "/none/a", &[], b""), ("NoSuchBucket", 404));
}

#[test]
fn a_range_or_a_condition_decides_what_comes_back() {
    let lab = with_bucket();
    let put = ok(&lab, "PUT", "/bucket/k", &[], b"0123456789");
    let etag = header(&put, "etag").unwrap();
    let part = ok(&lab, "GET", "/bucket/k", &[("range", "bytes=-3")], b"");
    assert_eq!((part.status, content(&part)), (206, b"789".to_vec()));
    assert_eq!(header(&part, "content-range"), Some("bytes 7-9/10"));
    assert_eq!(no(&lab, "GET", "/bucket/k", &[("range", "bytes=10-")], b""), ("InvalidRange", 416));
    for (range, has_sum) in [("bytes=0-8", false), ("bytes=0-100", true), ("bytes=-15", true)] {
        let headers = [("range", range), ("x-amz-checksum-mode", "ENABLED")];
        let part = ok(&lab, "GET", "/bucket/k", &headers, b"");
        assert_eq!((part.status, header(&part, "x-amz-checksum-crc64nvme").is_some()), (206, has_sum), "{range}");
    }
    let same = ok(&lab, "GET", "/bucket/k", &[("if-none-match", etag)], b"");
    assert_eq!((same.status, same.body), (304, Body::Nothing));
    assert_eq!(no(&lab, "GET", "/bucket/k", &[("if-match", "\"other\"")], b""), ("PreconditionFailed", 412));
    assert_eq!(no(&lab, "PUT", "/bucket/k", &[("if-none-match", "*")], b"x"), ("PreconditionFailed", 412));
    assert_eq!(no(&lab, "PUT", "/bucket/k", &[("if-match", "\"other\"")], b"x"), ("PreconditionFailed", 412));
    assert_eq!(no(&lab, "PUT", "/bucket/new", &[("if-match", "\"other\"")], b"x"), ("NoSuchKey", 404));
    ok(&lab, "PUT", "/bucket/new", &[("if-none-match", "*")], b"x");
    ok(&lab, "PUT", "/bucket/k", &[("if-match", etag)], b"y");
    // What S3 itself does not take.
    for headers in [&[("if-match", "*")][..], &[("if-none-match", etag)], &[("if-match", etag), ("if-none-match", "*")]]
    {
        assert_eq!(no(&lab, "PUT", "/bucket/k", headers, b"x"), ("NotImplemented", 501), "{headers:?}");
    }
}

#[test]
fn a_copy_that_is_not_made_says_for_which_condition() {
    let lab = with_bucket();
    let put = ok(&lab, "PUT", "/bucket/k", &[], b"x");
    let etag = header(&put, "etag").unwrap();
    let (before, after) = ("Tue, 14 Nov 2023 22:13:19 GMT", "Tue, 14 Nov 2023 22:13:21 GMT");
    for (name, value, condition) in [
        ("x-amz-copy-source-if-match", "\"other\"", "x-amz-copy-source-If-Match"),
        ("x-amz-copy-source-if-none-match", etag, "x-amz-copy-source-If-None-Match"),
        ("x-amz-copy-source-if-modified-since", after, "x-amz-copy-source-If-Modified-Since"),
        ("x-amz-copy-source-if-unmodified-since", before, "x-amz-copy-source-If-Unmodified-Since"),
    ] {
        let headers = [("x-amz-copy-source", "bucket/k"), (name, value)];
        let refusal = ask(&lab, "PUT", "/bucket/to", &headers, b"", "").unwrap_err();
        assert_eq!(refusal.error(), "PreconditionFailed");
        let (_, said) = wire::s3::failure(&refusal, "/bucket/to", "id");
        assert!(said.contains(&format!("<Condition>{condition}</Condition>")), "{said}");
    }
}

#[test]
fn a_file_is_given_back_when_nothing_lies_in_it_any_more() {
    let lab = with_bucket();
    let large = vec![0; SMALL + 1];
    let put = |key: &str, body: &[u8], file: &str| ask(&lab, "PUT", key, &[], body, file).unwrap();
    let kept = |file: &str| lab.objects(|house, _, _, _| house.keeps_file(file).unwrap());
    assert!(put("/bucket/k", &large, "one").freed.is_empty() && kept("one"));
    assert_eq!(content(&ok(&lab, "GET", "/bucket/k", &[], b"")), large);
    assert_eq!(put("/bucket/k", &large, "two").freed, ["one"]);
    assert!(!kept("one") && kept("two"));
    assert_eq!(put("/bucket/k", b"small", "none").freed, ["two"]);
    put("/bucket/k", &large, "three");
    assert_eq!(ok(&lab, "DELETE", "/bucket/k", &[], b"").freed, ["three"]);
    assert!(ok(&lab, "DELETE", "/bucket/k", &[], b"").freed.is_empty());
    assert!(!kept("three"));
    assert_eq!((lab.rows("s3_objects"), lab.rows("s3_contents"), lab.rows("s3_files")), (0, 0, 0));
}

#[test]
fn a_bucket_is_made_once_and_goes_when_it_is_empty() {
    let lab = with_bucket();
    assert_eq!(ok(&lab, "PUT", "/bucket", &[], b"").status, 200);
    let west = lab.elsewhere("000000000000", "eu-west-1");
    let in_west =
        b"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";
    assert_eq!(no(&west, "PUT", "/west", &[], b""), ("IllegalLocationConstraintException", 400));
    ok(&west, "PUT", "/west", &[], in_west);
    assert_eq!(no(&west, "PUT", "/west", &[], in_west), ("BucketAlreadyOwnedByYou", 409));
    assert_eq!(no(&lab, "PUT", "/Up", &[], b""), ("InvalidBucketName", 400));
    // Buckets are the account's, wherever it calls from.
    let listed = document(&ok(&lab, "GET", "/", &[], b""));
    assert_eq!(texts(listed.first("Buckets").unwrap(), "Bucket", "Name"), ["bucket", "west"]);
    let location = |name: &str| document(&ok(&lab, "GET", &format!("/{name}?location"), &[], b"")).text;
    assert_eq!((location("bucket"), location("west")), (String::new(), "eu-west-1".to_owned()));
    assert_eq!(header(&ok(&lab, "HEAD", "/west", &[], b""), "x-amz-bucket-region"), Some("eu-west-1"));
    let other = lab.elsewhere("111111111111", "us-east-1");
    assert_eq!(no(&other, "HEAD", "/west", &[], b""), ("NoSuchBucket", 404));
    ok(&lab, "PUT", "/west/k", &[], b"");
    assert_eq!(no(&lab, "DELETE", "/west", &[], b""), ("BucketNotEmpty", 409));
    ok(&lab, "DELETE", "/west/k", &[], b"");
    assert_eq!(ok(&lab, "DELETE", "/west", &[], b"").status, 204);
    assert_eq!(no(&lab, "DELETE", "/west", &[], b""), ("NoSuchBucket", 404));
    assert_eq!(
        no(&lab, "HEAD", "/bucket", &[("x-amz-expected-bucket-owner", "111111111111")], b""),
        ("AccessDenied", 403)
    );
}

#[test]
fn what_is_not_built_says_so_by_name() {
    let lab = with_bucket();
    for (method, target) in [("PUT", "/bucket?policy"), ("PUT", "/bucket?versioning"), ("POST", "/bucket/k?restore")] {
        assert_eq!(no(&lab, method, target, &[], b""), ("NotImplemented", 501), "{target}");
    }
    assert_eq!(no(&lab, "PUT", "/bucket/k", &[("x-amz-storage-class", "GLACIER")], b""), ("NotImplemented", 501));
    assert_eq!(
        no(&lab, "PUT", "/bucket/k", &[("x-amz-acl", "public-read")], b""),
        ("AccessControlListNotSupported", 400)
    );
    assert_eq!(no(&lab, "PUT", "/bucket/k", &[("x-amz-acl", "anybody")], b""), ("InvalidArgument", 400));
    ok(
        &lab,
        "PUT",
        "/bucket/k",
        &[("x-amz-acl", "bucket-owner-full-control"), ("x-amz-storage-class", "STANDARD")],
        b"",
    );
    assert_eq!(no(&lab, "GET", "/bucket/k?versionId=3", &[], b""), ("InvalidArgument", 400));
    let unknown = format!("/bucket/k?versionId={}", "3".repeat(32));
    assert_eq!(no(&lab, "GET", &unknown, &[], b""), ("InvalidArgument", 400));
}

#[test]
fn a_bucket_of_which_nothing_was_set_is_as_new_ones_are() {
    let lab = with_bucket();
    for (target, code) in [
        ("cors", "NoSuchCORSConfiguration"),
        ("encryption", "ServerSideEncryptionConfigurationNotFoundError"),
        ("lifecycle", "NoSuchLifecycleConfiguration"),
        ("policy", "NoSuchBucketPolicy"),
        ("policyStatus", "NoSuchBucketPolicy"),
        ("replication", "ReplicationConfigurationNotFoundError"),
        ("website", "NoSuchWebsiteConfiguration"),
        ("object-lock", "ObjectLockConfigurationNotFoundError"),
    ] {
        assert_eq!(no(&lab, "GET", &format!("/bucket?{target}"), &[], b""), (code, 404));
        assert_eq!(no(&lab, "GET", &format!("/none?{target}"), &[], b""), ("NoSuchBucket", 404));
    }
    for target in ["cors", "encryption", "lifecycle", "policy", "replication", "website"] {
        assert_eq!(ok(&lab, "DELETE", &format!("/bucket?{target}"), &[], b"").status, 204);
        assert_eq!(no(&lab, "DELETE", &format!("/none?{target}"), &[], b""), ("NoSuchBucket", 404));
    }
    for target in ["analytics", "intelligent-tiering", "inventory", "metrics"] {
        assert_eq!(no(&lab, "GET", &format!("/bucket?{target}&id=a"), &[], b""), ("NoSuchConfiguration", 404));
        let listed = document(&ok(&lab, "GET", &format!("/bucket?{target}"), &[], b""));
        assert_eq!((listed.text_of("IsTruncated"), listed.children.len()), (Some("false"), 1));
    }
    for target in ["retention", "legal-hold"] {
        assert_eq!(no(&lab, "GET", &format!("/bucket/k?{target}"), &[], b""), ("InvalidRequest", 400));
    }
    for target in ["accelerate", "logging", "notification"] {
        assert!(document(&ok(&lab, "GET", &format!("/bucket?{target}"), &[], b"")).children.is_empty(), "{target}");
    }
    let payment = document(&ok(&lab, "GET", "/bucket?requestPayment", &[], b""));
    assert_eq!(payment.text_of("Payer"), Some("BucketOwner"));
}

#[test]
fn a_bucket_and_what_lies_in_it_are_the_owners_and_nobody_elses() {
    let lab = with_bucket();
    ok(&lab, "PUT", "/bucket/k", &[], b"");
    let refused = ("AccessControlListNotSupported", 400);
    for target in ["/bucket?acl", "/bucket/k?acl"] {
        let reply = ok(&lab, "GET", target, &[], b"");
        let acl = document(&reply);
        let list = acl.first("AccessControlList").unwrap();
        assert_eq!(texts(list, "Grant", "Permission"), ["FULL_CONTROL"]);
        let id = acl.first("Owner").and_then(|owner| owner.text_of("ID")).unwrap();
        assert_eq!(texts(list.first("Grant").unwrap(), "Grantee", "ID"), [id]);
        // What holds anyway may be said again.
        let Body::Document(same) = &reply.body else { panic!("no document") };
        ok(&lab, "PUT", target, &[], same.as_bytes());
        ok(&lab, "PUT", target, &[("x-amz-acl", "bucket-owner-full-control")], b"");
        let other = same.replace(id, &"9".repeat(64));
        assert_eq!(no(&lab, "PUT", target, &[], other.as_bytes()), refused);
        assert_eq!(no(&lab, "PUT", target, &[("x-amz-acl", "private")], b""), refused);
        assert_eq!(no(&lab, "PUT", target, &[("x-amz-grant-read", "id=9")], b""), refused);
    }
    assert_eq!(no(&lab, "PUT", "/bucket/k", &[("x-amz-grant-read", "id=9")], b""), refused);
    assert_eq!(
        no(&lab, "PUT", "/another", &[("x-amz-grant-read", "id=9")], b""),
        ("InvalidBucketAclWithObjectOwnership", 400)
    );
    assert_eq!(no(&lab, "GET", "/bucket/none?acl", &[], b""), ("NoSuchKey", 404));
    let controls = ok(&lab, "GET", "/bucket?ownershipControls", &[], b"");
    assert_eq!(texts(&document(&controls), "Rule", "ObjectOwnership"), ["BucketOwnerEnforced"]);
    let of = |ownership: &str| {
        format!("<OwnershipControls><Rule><ObjectOwnership>{ownership}</ObjectOwnership></Rule></OwnershipControls>")
    };
    ok(&lab, "PUT", "/bucket?ownershipControls", &[], of("BucketOwnerEnforced").as_bytes());
    for (ownership, refused) in [("ObjectWriter", ("NotImplemented", 501)), ("Nobody", ("MalformedXML", 400))] {
        assert_eq!(no(&lab, "PUT", "/bucket?ownershipControls", &[], of(ownership).as_bytes()), refused);
    }
}

#[test]
fn a_bucket_blocks_public_access_until_it_is_told_not_to() {
    let lab = with_bucket();
    let blocks = || {
        let document = document(&ok(&lab, "GET", "/bucket?publicAccessBlock", &[], b""));
        let text = |name: &str| document.text_of(name).unwrap().to_owned();
        ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"].map(text)
    };
    assert_eq!(blocks(), ["true"; 4]);
    let some = b"<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls>\
        <BlockPublicPolicy>false</BlockPublicPolicy></PublicAccessBlockConfiguration>";
    ok(&lab, "PUT", "/bucket?publicAccessBlock", &[], some);
    assert_eq!(blocks(), ["true", "false", "false", "false"]);
    ok(&lab, "DELETE", "/bucket?publicAccessBlock", &[], b"");
    let none = ("NoSuchPublicAccessBlockConfiguration", 404);
    assert_eq!(no(&lab, "GET", "/bucket?publicAccessBlock", &[], b""), none);
    let wrong =
        b"<PublicAccessBlockConfiguration><BlockPublicAcls>so</BlockPublicAcls></PublicAccessBlockConfiguration>";
    assert_eq!(no(&lab, "PUT", "/bucket?publicAccessBlock", &[], wrong), ("MalformedXML", 400));
}

#[test]
fn an_object_tells_those_attributes_that_are_asked_for() {
    let lab = with_bucket();
    ok(&lab, "PUT", "/bucket/k", &[("x-amz-checksum-algorithm", "CRC32")], b"123456789");
    let ask = |key: &str, names: &str| {
        let target = format!("/bucket/{key}?attributes");
        document(&ok(&lab, "GET", &target, &[("x-amz-object-attributes", names)], b""))
    };
    let all = ask("k", "ETag,Checksum,ObjectParts, StorageClass,ObjectSize");
    for (name, text) in
        [("ETag", "25f9e794323b453885f5181f1b624d0b"), ("StorageClass", "STANDARD"), ("ObjectSize", "9")]
    {
        assert_eq!(all.text_of(name), Some(text));
    }
    assert!(all.first("ObjectParts").is_none());
    assert_eq!(all.first("Checksum").and_then(|sum| sum.text_of("ChecksumType")), Some("FULL_OBJECT"));
    assert_eq!(ask("k", "ObjectSize").children.len(), 1);
    let id = begin(&lab, &[]);
    let parts = [upload(&lab, &id, 1, &vec![0; 5 * MEBIBYTE], &[]), upload(&lab, &id, 2, b"end", &[])];
    complete(&lab, &id, &parts).unwrap();
    let parts = ask("big", "ObjectParts");
    assert_eq!(texts(&parts, "ObjectParts", "PartsCount"), ["2"]);
    for names in ["", "ETag,Colour"] {
        let refused = no(&lab, "GET", "/bucket/k?attributes", &[("x-amz-object-attributes", names)], b"");
        assert_eq!(refused, ("InvalidArgument", 400));
    }
}

#[test]
fn many_are_removed_at_once_and_what_was_not_there_counts() {
    let lab = with_bucket();
    for key in ["a", "b&c"] {
        ok(&lab, "PUT", &format!("/bucket/{key}"), &[], b"");
    }
    let keys = b"<Delete><Object><Key>a</Key></Object><Object><Key>b&amp;c</Key></Object><Object><Key>d</Key></Object>\
        <Object><Key>e</Key><VersionId>1</VersionId></Object></Delete>";
    let result = document(&ok(&lab, "POST", "/bucket?delete", &[], keys));
    assert_eq!(texts(&result, "Deleted", "Key"), ["a", "b&c", "d"]);
    assert_eq!(texts(&result, "Error", "Code"), ["NoSuchVersion"]);
    for (etag, code) in [("other", "PreconditionFailed"), ("*", "NoSuchKey")] {
        let key = if code == "NoSuchKey" { "none" } else { "f" };
        ok(&lab, "PUT", "/bucket/f", &[], b"");
        assert_eq!(no(&lab, "DELETE", &format!("/bucket/{key}"), &[("if-match", etag)], b"").0, code);
    }
    let quiet = b"<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object></Delete>";
    assert!(document(&ok(&lab, "POST", "/bucket?delete", &[], quiet)).children.is_empty());
    for malformed in [&b""[..], b"<Delete/>", b"<Other/>"] {
        assert_eq!(no(&lab, "POST", "/bucket?delete", &[], malformed), ("MalformedXML", 400));
    }
}

#[test]
fn a_copy_has_the_headers_of_its_source_or_its_own() {
    let lab = with_bucket();
    let put = ok(&lab, "PUT", "/bucket/from", &[("content-type", "a/b"), ("x-amz-tagging", "t=1")], b"bytes");
    let etag = header(&put, "etag").unwrap();
    lab.pass(SECOND);
    let source = ("x-amz-copy-source", "bucket/from");
    let result = document(&ok(&lab, "PUT", "/bucket/to", &[source, ("x-amz-copy-source-if-match", etag)], b""));
    assert_eq!(result.text_of("ETag"), Some(etag));
    let got = ok(&lab, "GET", "/bucket/to", &[], b"");
    assert_eq!(content(&got), b"bytes");
    assert_eq!((header(&got, "content-type"), header(&got, "x-amz-tagging-count")), (Some("a/b"), Some("1")));
    let anew = [source, ("x-amz-metadata-directive", "REPLACE"), ("content-type", "c/d")];
    ok(&lab, "PUT", "/bucket/from", &anew, b"");
    assert_eq!(header(&ok(&lab, "HEAD", "/bucket/from", &[], b""), "content-type"), Some("c/d"));
    assert_eq!(no(&lab, "PUT", "/bucket/from", &[source], b""), ("InvalidRequest", 400));
    ok(&lab, "PUT", "/bucket/from", &[source, ("x-amz-storage-class", "STANDARD")], b"");
    assert_eq!(no(&lab, "PUT", "/bucket/to", &[("x-amz-copy-source", "bucket/none")], b""), ("NoSuchKey", 404));
    let changed = [source, ("x-amz-copy-source-if-none-match", etag)];
    assert_eq!(no(&lab, "PUT", "/bucket/to", &changed, b""), ("PreconditionFailed", 412));
}

#[test]
fn tags_are_kept_by_their_rules() {
    let lab = with_bucket();
    ok(&lab, "PUT", "/bucket/k", &[], b"");
    let tagging = |pairs: &[(&str, &str)]| {
        let tags: Vec<_> = pairs.iter().map(|(k, v)| format!("<Tag><Key>{k}</Key><Value>{v}</Value></Tag>")).collect();
        format!("<Tagging><TagSet>{}</TagSet></Tagging>", tags.concat()).into_bytes()
    };
    for target in ["/bucket?tagging", "/bucket/k?tagging"] {
        ok(&lab, "PUT", target, &[], &tagging(&[("a", "1"), ("b", "")]));
        let tags = document(&ok(&lab, "GET", target, &[], b""));
        assert_eq!(texts(tags.first("TagSet").unwrap(), "Tag", "Key"), ["a", "b"]);
        assert_eq!(no(&lab, "PUT", target, &[], &tagging(&[("a", "1"), ("a", "2")])), ("InvalidTag", 400));
        assert_eq!(no(&lab, "PUT", target, &[], &tagging(&[("", "1")])), ("InvalidTag", 400));
        assert_eq!(ok(&lab, "DELETE", target, &[], b"").status, 204);
    }
    assert_eq!(no(&lab, "GET", "/bucket?tagging", &[], b""), ("NoSuchTagSet", 404));
    let many: Vec<String> = (0..11).map(|number| format!("k{number}=v")).collect();
    for (header, code) in [
        (many.join("&").as_str(), "BadRequest"),
        ("a=1&a=2", "InvalidArgument"),
        ("a=1,b=2", "InvalidArgument"),
        ("aws:a=1", "InvalidTag"),
    ] {
        assert_eq!(no(&lab, "PUT", "/bucket/k", &[("x-amz-tagging", header)], b""), (code, 400), "{header}");
    }
    for (target, key, value, message) in [
        ("/bucket?tagging", "aws:a", "1", "System tags cannot be added/updated by requester"),
        ("/bucket/k?tagging", "aws:a", "1", "Your TagKey cannot be prefixed with aws:"),
        ("/bucket?tagging", "a,b", "1", "The TagKey you have provided is invalid"),
        ("/bucket/k?tagging", "a", "1,2", "The TagValue you have provided is invalid"),
    ] {
        let refusal = ask(&lab, "PUT", target, &[], &tagging(&[(key, value)]), "").unwrap_err();
        assert_eq!((refusal.error(), refusal.message()), ("InvalidTag", message));
    }
    let half = b"<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>";
    assert_eq!(no(&lab, "PUT", "/bucket?tagging", &[], half), ("MalformedXML", 400));
}

#[test]
fn a_bucket_may_be_made_with_tags() {
    let lab = with_bucket();
    let with = |key: &str| {
        let tags = format!("<Tags><Tag><Key>{key}</Key><Value>1</Value></Tag></Tags>");
        format!("<CreateBucketConfiguration>{tags}</CreateBucketConfiguration>")
    };
    ok(&lab, "PUT", "/tagged", &[], with("a").as_bytes());
    let tags = document(&ok(&lab, "GET", "/tagged?tagging", &[], b""));
    assert_eq!(texts(tags.first("TagSet").unwrap(), "Tag", "Key"), ["a"]);
    assert_eq!(no(&lab, "PUT", "/tagged", &[], with("a").as_bytes()), ("BucketAlreadyOwnedByYou", 409));
    assert_eq!(no(&lab, "PUT", "/another", &[], with("aws:a").as_bytes()), ("InvalidTag", 400));
}

#[test]
fn a_bucket_is_in_a_region_and_its_owners() {
    let lab = with_bucket();
    for (place, code) in [("us-east-1", "InvalidLocationConstraint"), ("foo", "InvalidLocationConstraint")] {
        let configuration = format!(
            "<CreateBucketConfiguration><LocationConstraint>{place}</LocationConstraint></CreateBucketConfiguration>"
        );
        assert_eq!(no(&lab, "PUT", "/another", &[], configuration.as_bytes()), (code, 400));
    }
    for (ownership, refused) in [("Random", ("InvalidArgument", 400)), ("ObjectWriter", ("NotImplemented", 501))] {
        assert_eq!(no(&lab, "PUT", "/another", &[("x-amz-object-ownership", ownership)], b""), refused);
    }
    for (owner, refused) in [("0000", ("InvalidBucketOwnerAWSAccountID", 400)), ("111111111111", ("AccessDenied", 403))]
    {
        assert_eq!(no(&lab, "GET", "/bucket?location", &[("x-amz-expected-bucket-owner", owner)], b""), refused);
    }
}

/// Begins an upload and says its id.
fn begin(lab: &Lab, headers: &[(&str, &str)]) -> String {
    let begun = document(&ok(lab, "POST", "/bucket/big?uploads", headers, b""));
    begun.text_of("UploadId").unwrap().to_owned()
}

/// Uploads a part, and says its element of the list that completes the upload.
fn upload(lab: &Lab, id: &str, number: usize, body: &[u8], headers: &[(&str, &str)]) -> String {
    let target = format!("/bucket/big?partNumber={number}&uploadId={id}");
    let reply = ask(lab, "PUT", &target, headers, body, &format!("{id}.{number}")).unwrap();
    let sums = Algorithm::ALL.into_iter().filter_map(|algorithm| {
        let (sum, element) = (header(&reply, algorithm.header())?, algorithm.element());
        Some(format!("<{element}>{sum}</{element}>"))
    });
    let (etag, sums) = (header(&reply, "etag").unwrap(), sums.collect::<String>());
    format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{sums}</Part>")
}

fn complete(lab: &Lab, id: &str, parts: &[String]) -> Result<Element, &'static str> {
    let list = format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.concat());
    let reply = ask(lab, "POST", &format!("/bucket/big?uploadId={id}"), &[], list.as_bytes(), "");
    reply.map(|reply| document(&reply)).map_err(|refusal| refusal.error())
}

#[test]
fn an_object_is_made_of_its_parts_in_the_order_of_their_numbers() {
    let lab = with_bucket();
    let (first, last) = (vec![1; 5 * MEBIBYTE], b"the end".to_vec());
    for (headers, kind) in [
        (&[][..], "FULL_OBJECT"),
        (&[("x-amz-checksum-algorithm", "CRC32")], "COMPOSITE"),
        (&[("x-amz-checksum-algorithm", "CRC32C"), ("x-amz-checksum-type", "FULL_OBJECT")], "FULL_OBJECT"),
        (&[("x-amz-checksum-algorithm", "SHA256")], "COMPOSITE"),
    ] {
        let id = begin(&lab, headers);
        let algorithm = headers.first().map_or(Algorithm::Crc64Nvme, |(_, name)| Algorithm::named(name).unwrap());
        let later = upload(&lab, &id, 7, &last, &[]);
        let earlier = upload(&lab, &id, 2, &first, &[]);
        let result = complete(&lab, &id, &[earlier.clone(), later.clone()]).unwrap();
        let md5s = [&first, &last].map(|part| Measured::of(Algorithm::Crc32, part).md5).concat();
        let etag = format!("\"{}-2\"", hex(&Measured::of(Algorithm::Crc32, &md5s).md5));
        assert_eq!(result.text_of("ETag"), Some(etag.as_str()));
        let whole = Measured::of(algorithm, &[&first[..], &last].concat()).text();
        let sums = [&first, &last].map(|part| algorithm.of(part)).concat();
        let composite = format!("{}-2", Measured::of(algorithm, &sums).text());
        let expected = if kind == "COMPOSITE" { composite } else { whole };
        assert_eq!(
            (result.text_of(algorithm.element()), result.text_of("ChecksumType")),
            (Some(&*expected), Some(kind))
        );
        // Asked again, because the answer was lost, it is the same.
        assert_eq!(complete(&lab, &id, &[earlier, later]), Ok(result));
        let got = ok(&lab, "GET", "/bucket/big", &[("range", "bytes=5242878-5242882")], b"");
        let Body::Pieces(pieces, 5) = &got.body else { panic!("{got:?}") };
        let second = ok(&lab, "HEAD", "/bucket/big?partNumber=2", &[], b"");
        assert_eq!((second.status, header(&second, "x-amz-mp-parts-count")), (206, Some("2")));
        assert_eq!(header(&second, "content-range"), Some("bytes 5242880-5242886/5242887"));
        assert_eq!(no(&lab, "GET", "/bucket/big?partNumber=3", &[], b""), ("InvalidPartNumber", 416));
        let file = |number: usize, from: u64, to: u64| Piece::File(format!("{id}.{number}"), from..to);
        assert_eq!(*pieces, [file(2, 5_242_878, 5_242_880), file(7, 0, 3)]);
    }
    assert_eq!((lab.rows("s3_parts"), lab.rows("s3_uploads"), lab.rows("s3_files")), (0, 0, 2));
}

#[test]
fn an_upload_that_is_not_as_its_list_says_stays_as_it_is() {
    let lab = with_bucket();
    let id = begin(&lab, &[]);
    let (one, two) = (upload(&lab, &id, 1, b"short", &[]), upload(&lab, &id, 2, b"last", &[]));
    assert_eq!(complete(&lab, &id, &[two.clone(), one.clone()]), Err("InvalidPartOrder"));
    assert_eq!(complete(&lab, &id, &[one.clone(), two.clone()]), Err("EntityTooSmall"));
    assert_eq!(complete(&lab, &id, &[one.replace("<ETag>\"", "<ETag>\"0")]), Err("InvalidPart"));
    assert_eq!(complete(&lab, &id, &[]), Err("MalformedXML"));
    let of = |headers: &[(&str, &str)]| ask(&lab, "POST", "/bucket/big?uploads", headers, b"", "").unwrap_err();
    let kind = ("x-amz-checksum-type", "COMPOSITE");
    assert_eq!(
        of(&[kind]).message(),
        "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
    );
    assert_eq!(
        of(&[kind, ("x-amz-checksum-algorithm", "CRC64NVME")]).message(),
        "The COMPOSITE checksum type cannot be used with the crc64nvme checksum algorithm."
    );
    assert_eq!(complete(&lab, "none", std::slice::from_ref(&one)), Err("NoSuchUpload"));
    let listed = document(&ok(&lab, "GET", &format!("/bucket/big?uploadId={id}&max-parts=1"), &[], b""));
    assert_eq!(
        (texts(&listed, "Part", "Size"), listed.text_of("NextPartNumberMarker")),
        (vec!["5".to_owned()], Some("1"))
    );
    assert_eq!(no(&lab, "PUT", &format!("/bucket/big?partNumber=0&uploadId={id}"), &[], b""), ("InvalidArgument", 400));
    // An upload of composite checksums wants one for each part, and the same kind in the end as in the beginning.
    let composite = begin(&lab, &[("x-amz-checksum-algorithm", "CRC32")]);
    let part = upload(&lab, &composite, 1, b"short", &[]);
    let (bare, _) = part.split_once("<ChecksumCRC32>").unwrap();
    assert_eq!(complete(&lab, &composite, &[format!("{bare}</Part>")]), Err("InvalidRequest"));
    let list = format!("<CompleteMultipartUpload>{part}</CompleteMultipartUpload>");
    let other = [("x-amz-checksum-type", "FULL_OBJECT")];
    let target = format!("/bucket/big?uploadId={composite}");
    assert_eq!(no(&lab, "POST", &target, &other, list.as_bytes()), ("InvalidRequest", 400));
    ok(&lab, "DELETE", &target, &[], b"");
    // What was not chosen is given back with what was there before.
    ask(&lab, "PUT", "/bucket/big", &[], &vec![0; SMALL + 1], "before").unwrap();
    let list = format!("<CompleteMultipartUpload>{one}</CompleteMultipartUpload>");
    let reply = ok(&lab, "POST", &format!("/bucket/big?uploadId={id}"), &[], list.as_bytes());
    assert_eq!(reply.freed.into_iter().collect::<BTreeSet<_>>(), ["before".to_owned(), format!("{id}.2")].into());
}

#[test]
fn an_upload_that_is_given_up_leaves_nothing() {
    let lab = with_bucket();
    let (id, other) = (begin(&lab, &[]), begin(&lab, &[("x-amz-checksum-algorithm", "SHA1")]));
    upload(&lab, &id, 1, b"part", &[]);
    upload(&lab, &other, 1, b"part", &[]);
    let mismatch = format!("/bucket/big?partNumber=2&uploadId={other}");
    let crc = ("x-amz-checksum-crc32", "AAAAAA==");
    assert_eq!(no(&lab, "PUT", &mismatch, &[crc], b"part"), ("InvalidRequest", 400));
    let listed = document(&ok(&lab, "GET", "/bucket?uploads", &[], b""));
    assert_eq!(texts(&listed, "Upload", "UploadId").len(), 2);
    let aborted = ok(&lab, "DELETE", &format!("/bucket/big?uploadId={id}"), &[], b"");
    assert_eq!((aborted.status, aborted.freed), (204, vec![format!("{id}.1")]));
    assert_eq!(no(&lab, "DELETE", &format!("/bucket/big?uploadId={id}"), &[], b""), ("NoSuchUpload", 404));
    // One that was forgotten goes with its bucket.
    assert_eq!(ok(&lab, "DELETE", "/bucket", &[], b"").freed, [format!("{other}.1")]);
    assert_eq!((lab.rows("s3_parts"), lab.rows("s3_uploads"), lab.rows("s3_files")), (0, 0, 0));
}

#[test]
fn a_part_may_be_a_stretch_of_another_object() {
    let lab = with_bucket();
    ok(&lab, "PUT", "/bucket/from", &[], b"0123456789");
    let id = begin(&lab, &[]);
    let target = format!("/bucket/big?partNumber=1&uploadId={id}");
    let headers = [("x-amz-copy-source", "bucket/from"), ("x-amz-copy-source-range", "bytes=2-4")];
    let part = document(&ok(&lab, "PUT", &target, &headers, b""));
    let etag = format!("\"{}\"", hex(&Measured::of(Algorithm::Crc32, b"234").md5));
    assert_eq!(part.text_of("ETag"), Some(etag.as_str()));
    for (range, code) in [
        ("2-4", "InvalidArgument"),
        ("bytes=1-0", "InvalidArgument"),
        ("bytes=1-", "InvalidArgument"),
        ("bytes=-2", "InvalidArgument"),
        ("bytes=0-1,3-4", "InvalidArgument"),
        ("bytes=0-100", "InvalidArgument"),
        ("bytes=100-200", "InvalidRequest"),
    ] {
        let headers = [("x-amz-copy-source", "bucket/from"), ("x-amz-copy-source-range", range)];
        assert_eq!(no(&lab, "PUT", &target, &headers, b""), (code, 400), "{range}");
    }
}

#[test]
fn a_listing_says_what_is_there_and_where_to_go_on() {
    let lab = with_bucket();
    for key in ["a", "b/1", "b/2", "b/", "c d", "e"] {
        ok(&lab, "PUT", &format!("/bucket/{}", wire::s3::url_encoded(key)), &[], b"xy");
    }
    let page = document(&ok(&lab, "GET", "/bucket?list-type=2&delimiter=/&max-keys=3&encoding-type=url", &[], b""));
    assert_eq!(texts(&page, "Contents", "Key"), ["a", "c%20d"]);
    assert_eq!(texts(&page, "CommonPrefixes", "Prefix"), ["b/"]);
    assert_eq!((page.text_of("KeyCount"), page.text_of("IsTruncated")), (Some("3"), Some("true")));
    let first = page.first("Contents").unwrap();
    assert_eq!(first.text_of("LastModified"), Some("2023-11-14T22:13:20.000Z"));
    assert_eq!((first.text_of("Size"), first.text_of("Owner").is_some(), DAWN), (Some("2"), false, 1_700_000_000_000));
    let page = document(&ok(&lab, "GET", "/bucket?prefix=b/&max-keys=2", &[], b""));
    assert_eq!(texts(&page, "Contents", "Key"), ["b/", "b/1"]);
    assert_eq!(page.text_of("NextMarker"), None);
    let page = document(&ok(&lab, "GET", "/bucket?prefix=b/&marker=b/&delimiter=/", &[], b""));
    assert_eq!(texts(&page, "Contents", "Key"), ["b/1", "b/2"]);
    let page = document(&ok(&lab, "GET", "/bucket?list-type=2&start-after=b/1&max-keys=0", &[], b""));
    assert_eq!((page.text_of("IsTruncated"), page.all("Contents").count()), (Some("false"), 0));
    let page = document(&ok(&lab, "GET", "/bucket?versions&delimiter=/&max-keys=2", &[], b""));
    assert_eq!(texts(&page, "Version", "Key"), ["a"]);
    assert_eq!((page.text_of("NextKeyMarker"), page.text_of("NextVersionIdMarker")), (Some("b/"), Some("null")));
    let page = document(&ok(&lab, "GET", "/bucket?versions&delimiter=/&key-marker=b/", &[], b""));
    assert_eq!(texts(&page, "Version", "Key"), ["c d", "e"]);
    assert_eq!(texts(&page, "Version", "VersionId"), ["null", "null"]);
    for query in [
        "max-keys=-1",
        "max-keys=x",
        "list-type=2&continuation-token=!",
        "list-type=2&continuation-token=",
        "encoding-type=x",
    ] {
        assert_eq!(no(&lab, "GET", &format!("/bucket?{query}"), &[], b""), ("InvalidArgument", 400), "{query}");
    }
    assert_eq!(lab.faults(), 0);
}

#[test]
fn blanks_around_a_prefix_or_delimiter_are_part_of_it() {
    let lab = with_bucket();
    for key in ["a", "a%20b", "%20a", "b"] {
        ok(&lab, "PUT", &format!("/bucket/{key}"), &[], b"");
    }
    let listed = |query: &str| {
        let page = document(&ok(&lab, "GET", &format!("/bucket?list-type=2&{query}"), &[], b""));
        (texts(&page, "Contents", "Key"), texts(&page, "CommonPrefixes", "Prefix"))
    };
    assert_eq!(listed("prefix=%20").0, [" a"]);
    assert_eq!(listed("prefix=a%20").0, ["a b"]);
    let (keys, sums) = listed("delimiter=%20");
    assert_eq!((keys, sums), (vec!["a".to_owned(), "b".to_owned()], vec![" ".to_owned(), "a ".to_owned()]));
}

/// All that a listing shows, page by page, in either version: keys, and what keys are summed up as.
fn pages(lab: &Lab, version: u8, prefix: &str, delimiter: &str, limit: usize) -> (Vec<String>, Vec<String>) {
    let (mut keys, mut sums, mut go_on) = (Vec::new(), Vec::new(), String::new());
    loop {
        let asked =
            format!("/bucket?list-type={version}&prefix={prefix}&delimiter={delimiter}&max-keys={limit}{go_on}");
        let page = document(&ok(lab, "GET", &asked, &[], b""));
        let (some, more) = (texts(&page, "Contents", "Key"), texts(&page, "CommonPrefixes", "Prefix"));
        assert!(some.len() + more.len() <= limit);
        if page.text_of("IsTruncated") == Some("false") {
            keys.extend(some);
            sums.extend(more);
            return (keys, sums);
        }
        assert_eq!(some.len() + more.len(), limit);
        go_on = match page.text_of("NextContinuationToken").filter(|_| version == 2) {
            Some(token) => format!("&continuation-token={token}"),
            None => format!("&marker={}", page.text_of("NextMarker").or(some.last().map(String::as_str)).unwrap()),
        };
        keys.extend(some);
        sums.extend(more);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_listing_is_whole_and_in_order_however_it_is_cut(
        keys in proptest::collection::btree_set("[ab/\u{e9}]{1,5}", 0..40),
        prefix in "[ab/]{0,2}",
        delimiter in prop_oneof![Just(String::new()), Just("/".to_owned()), Just("ab".to_owned())],
        limit in 1_usize..6,
        version in 1_u8..3,
    ) {
        let lab = with_bucket();
        // Neighbours in the order of buckets, which must not be seen.
        for bucket in ["/buckes", "/bucket0"] {
            ok(&lab, "PUT", bucket, &[], b"");
            ok(&lab, "PUT", &format!("{bucket}/a"), &[], b"");
        }
        for key in &keys {
            ok(&lab, "PUT", &format!("/bucket/{key}"), &[], b"");
        }
        let (mut ones, mut sums) = (Vec::new(), BTreeSet::new());
        for key in keys.iter().filter(|key| key.starts_with(&prefix)) {
            match key[prefix.len()..].find(&delimiter).filter(|_| !delimiter.is_empty()) {
                Some(at) => { sums.insert(key[..prefix.len() + at + delimiter.len()].to_owned()); }
                None => ones.push(key.clone()),
            }
        }
        let expected = (ones, sums.into_iter().collect());
        prop_assert_eq!(pages(&lab, version, &prefix, &delimiter, limit), expected);
    }
}
