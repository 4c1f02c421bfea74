//! S3's own way over HTTP: which operation a request asks for of which bucket and object, its checksums and encodings, its XML
//! and its errors. Other services are bound from their models; this one puts so much into headers and parameters, and streams
//! its bodies, that it is read by hand. What operations do, and sockets, are unknown here.

pub mod checksum;
pub mod chunked;
pub mod claim;
pub mod presigned;
mod routes;
mod xml;

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

pub use xml::{Element, Xml};

use crate::refusal::Refusal;
use routes::Level;

/// Bytes of the longest document that comes as a body: ten thousand parts, or a thousand keys.
pub const MAX_DOCUMENT_BYTES: usize = 4 * 1024 * 1024;

/// The region of buckets that name none.
pub const FIRST_REGION: &str = "us-east-1";

/// Bytes of a key.
const KEY: usize = 1024;

/// What comes as `x-amz-…` and is understood, or may be passed over without a promise being broken. Anything else of that kind
/// would be taken and not acted upon, so it is refused by name.
const HEADERS: &[&str] = &[
    "x-amz-acl",
    "x-amz-bucket-object-lock-enabled",
    "x-amz-checksum-algorithm",
    "x-amz-checksum-mode",
    "x-amz-checksum-type",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-unmodified-since",
    "x-amz-copy-source-range",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-expected-bucket-owner",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-max-parts",
    "x-amz-metadata-directive",
    "x-amz-mp-object-size",
    "x-amz-object-attributes",
    "x-amz-object-ownership",
    // Nothing is being restored, so that nothing is told of that.
    "x-amz-optional-object-attributes",
    "x-amz-part-number-marker",
    // Where the owner pays it says nothing.
    "x-amz-request-payer",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-security-token",
    "x-amz-source-expected-bucket-owner",
    "x-amz-storage-class",
    "x-amz-tagging",
    "x-amz-tagging-directive",
    "x-amz-trailer",
    "x-amz-user-agent",
];

/// Metadata of the caller's own.
pub const META: &str = "x-amz-meta-";

/// A request, read.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is asked for.
    pub operation: &'static str,
    /// The bucket; empty if the request is about the account.
    pub bucket: String,
    /// The key; empty if the request is not about an object.
    pub key: String,
    parameters: Vec<(String, String)>,
    headers: Vec<(String, String)>,
}

/// The parts of a request beside its body, as they came.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, percent-encoded.
    pub path: &'a str,
    /// The query without its question mark.
    pub query: &'a str,
    /// The headers, names in lower case.
    pub headers: &'a [(String, String)],
}

impl Call {
    /// Reads a request.
    pub fn read(head: &Head) -> Result<Self, Refusal> {
        let header = |name| value(head.headers, name);
        let path = head.path.strip_prefix('/').unwrap_or(head.path);
        let (bucket, key) = if let Some(bucket) = header("host").and_then(bucket_of_host) {
            (bucket.to_owned(), path)
        } else {
            let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
            (decoded(bucket)?, key)
        };
        let key = decoded(key)?;
        let parameters = parameters(head.query)?;
        let headers = with_hoisted(head.headers.to_vec(), &parameters);
        let level = match (bucket.is_empty(), key.is_empty()) {
            (true, _) => Level::Account,
            (false, true) => Level::Bucket,
            (false, false) => Level::Object,
        };
        let has = |name: &str, wanted: Option<&str>| {
            parameters.iter().any(|(sent, value)| sent == name && wanted.is_none_or(|wanted| value == wanted))
        };
        let found = routes::find(head.method, level, value(&headers, "x-amz-copy-source").is_some(), has);
        let operation = found
            .ok_or_else(|| refused("MethodNotAllowed", "The specified method is not allowed against this resource."))?;
        if key.len() > KEY {
            return Err(refused("KeyTooLongError", "Your key is too long"));
        }
        let call = Self { operation, bucket, key, parameters, headers };
        call.check_headers().map(|()| call)
    }

    /// A call of the house's own.
    pub fn inside(operation: &'static str, bucket: &str, key: &str, headers: Vec<(String, String)>) -> Self {
        Self { operation, bucket: bucket.to_owned(), key: key.to_owned(), parameters: Vec::new(), headers }
    }

    fn check_headers(&self) -> Result<(), Refusal> {
        let known = |name: &str| {
            HEADERS.contains(&name)
                || name.starts_with(META)
                || checksum::Algorithm::ALL.iter().any(|algorithm| algorithm.header() == name)
        };
        match self.headers.iter().find(|(name, _)| name.starts_with("x-amz-") && !known(name)) {
            Some((name, _)) => Err(not_implemented(format!("{} with the header {name}", self.operation))),
            None => Ok(()),
        }
    }

    /// The value of a header, if it is there and not empty.
    pub fn header(&self, name: &str) -> Option<&str> {
        value(&self.headers, name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// The headers, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.trim()))
    }

    /// The value of a parameter; empty if it has none.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        value(&self.parameters, name)
    }

    /// The bucket and the key to copy, where the request names them.
    pub fn source(&self) -> Option<Result<(String, String), Refusal>> {
        let source = self.header("x-amz-copy-source")?;
        let invalid = |what: &str| refused("InvalidArgument", what);
        let (path, version) = source.split_once("?versionId=").map_or((source, None), |(path, id)| (path, Some(id)));
        if version.is_some_and(|id| id != "null") {
            return Some(Err(invalid("Invalid version id specified")));
        }
        let path = match decoded(path) {
            Ok(path) => path,
            Err(refusal) => return Some(Err(refusal)),
        };
        let path = path.strip_prefix('/').unwrap_or(&path);
        Some(match path.split_once('/') {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => Ok((bucket.to_owned(), key.to_owned())),
            _ => Err(invalid("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")),
        })
    }
}

/// The headers, with those that stand in the query because it was signed beforehand. Checksums that stand there are of a body that
/// nobody had yet, and S3 passes them over.
fn with_hoisted(mut headers: Vec<(String, String)>, parameters: &[(String, String)]) -> Vec<(String, String)> {
    const OF_SIGNATURES: [&str; 7] = [
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-security-token",
        "x-amz-signature",
        "x-amz-signedheaders",
    ];
    for (name, value) in parameters {
        let name = name.to_ascii_lowercase();
        let is_checksum = name.starts_with("x-amz-checksum-") || name == "x-amz-sdk-checksum-algorithm";
        let is_header = name.starts_with("x-amz-") && !is_checksum && !OF_SIGNATURES.contains(&name.as_str());
        if is_header && !headers.iter().any(|(sent, _)| *sent == name) {
            headers.push((name, value.clone()));
        }
    }
    headers
}

/// Every operation there is, built or not.
pub fn operations() -> impl Iterator<Item = &'static str> {
    routes::operations()
}

/// The bucket in a host name: before `.localhost`, or before the names of AWS's own for whoever leads those here.
fn bucket_of_host(host: &str) -> Option<&str> {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    let bucket = match name.strip_suffix(".amazonaws.com") {
        Some(aws) => aws.rfind(".s3.").map(|at| &aws[..at]).or_else(|| aws.strip_suffix(".s3")),
        None => name.strip_suffix(".localhost"),
    };
    bucket.filter(|bucket| !bucket.is_empty() && *bucket != "s3")
}

fn value<'v>(pairs: &'v [(String, String)], name: &str) -> Option<&'v str> {
    pairs.iter().find(|(sent, _)| sent == name).map(|(_, value)| value.as_str())
}

fn decoded(text: &str) -> Result<String, Refusal> {
    let decoded = percent_decode_str(text).decode_utf8().map(Cow::into_owned);
    decoded.map_err(|_| refused("InvalidURI", "Couldn't parse the specified URI."))
}

fn parameters(query: &str) -> Result<Vec<(String, String)>, Refusal> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decoded(&name.replace('+', " "))?, decoded(&value.replace('+', " "))?))
    };
    pairs.map(pair).collect()
}

/// A set of tags as a header holds it.
pub fn tags(header: &str) -> Result<Vec<(String, String)>, Refusal> {
    parameters(header)
}

/// Everything but what a listing with `encoding-type=url` leaves as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'*');

/// Text as a listing with `encoding-type=url` holds it.
pub fn url_encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// The errors that are raised here and their statuses; what is not listed is a bad request.
const STATUSES: &[(&str, u16)] = &[
    ("AccessDenied", 403),
    ("BucketAlreadyExists", 409),
    ("BucketAlreadyOwnedByYou", 409),
    ("BucketNotEmpty", 409),
    ("InternalError", 500),
    ("InvalidAccessKeyId", 403),
    ("InvalidRange", 416),
    ("MethodNotAllowed", 405),
    ("NoSuchBucket", 404),
    ("NoSuchKey", 404),
    ("NoSuchTagSet", 404),
    ("NoSuchUpload", 404),
    ("NotImplemented", 501),
    ("PreconditionFailed", 412),
    ("RequestTimeTooSkewed", 403),
    ("SignatureDoesNotMatch", 403),
    ("SlowDown", 503),
    ("StorageFull", 507),
];

/// An error of S3's.
pub fn refused(code: &'static str, message: impl Into<String>) -> Refusal {
    let status = STATUSES.iter().find(|(listed, _)| *listed == code).map_or(400, |(_, status)| *status);
    Refusal::new(code, message).with_status(status)
}

/// Something of S3's that is not built, said by name.
pub fn not_implemented(what: impl std::fmt::Display) -> Refusal {
    refused("NotImplemented", format!("s3 {what} is not implemented yet; docs/operations.md lists what is."))
}

/// The status of a refusal and the document that says it. Refusals that other rooms raise get the names that S3 has for them.
pub fn failure(refusal: &Refusal, resource: &str, request_id: &str) -> (u16, String) {
    let code = match refusal.error() {
        "IncompleteSignatureException" => "AuthorizationHeaderMalformed",
        "InternalFailureException" => "InternalError",
        "InvalidSignatureException" => "SignatureDoesNotMatch",
        "ForbiddenException" | "MissingAuthenticationTokenException" => "AccessDenied",
        "InvalidRequestException" => "InvalidRequest",
        "NotImplementedException" => "NotImplemented",
        code => code,
    };
    let document = Xml::plain("Error", |xml| {
        xml.text("Code", code);
        xml.text("Message", refusal.message());
        for (name, value) in refusal.extra() {
            xml.maybe(name, value.as_str());
        }
        xml.text("Resource", resource);
        xml.text("RequestId", request_id);
        xml.text("HostId", request_id);
    });
    (refusal.status(None), document)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<Call, Refusal> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Call::read(&Head { method, path, query, headers: &headers })
    }

    fn outcome(method: &str, target: &str, headers: &[(&str, &str)]) -> String {
        match read(method, target, headers) {
            Ok(Call { operation, bucket, key, .. }) => format!("{operation} {bucket} {key}").trim().to_owned(),
            Err(refusal) => refusal.error().to_owned(),
        }
    }

    #[test]
    fn a_request_leads_to_its_operation() {
        let copying = [("x-amz-copy-source", "b/k")];
        for (method, target, headers, expected) in [
            ("GET", "/", &[][..], "ListBuckets"),
            ("PUT", "/b", &[], "CreateBucket b"),
            ("PUT", "/b/", &[], "CreateBucket b"),
            ("GET", "/b?location", &[], "GetBucketLocation b"),
            ("GET", "/b", &[], "ListObjects b"),
            ("GET", "/b?list-type=2&prefix=a", &[], "ListObjectsV2 b"),
            ("GET", "/b?list-type=1", &[], "ListObjects b"),
            ("GET", "/b?versioning", &[], "GetBucketVersioning b"),
            ("GET", "/b?lifecycle", &[], "GetBucketLifecycleConfiguration b"),
            ("GET", "/b?metrics", &[], "ListBucketMetricsConfigurations b"),
            ("GET", "/b?metrics&id=m", &[], "GetBucketMetricsConfiguration b"),
            ("POST", "/b?delete", &[], "DeleteObjects b"),
            ("POST", "/b", &[], "PostObject b"),
            ("PUT", "/b/k?x-id=PutObject", &[], "PutObject b k"),
            ("PUT", "/b/k", &copying, "CopyObject b k"),
            ("PUT", "/b/k?partNumber=1&uploadId=u", &[], "UploadPart b k"),
            ("PUT", "/b/k?partNumber=1&uploadId=u", &copying, "UploadPartCopy b k"),
            ("PUT", "/b/k?tagging", &copying, "PutObjectTagging b k"),
            ("GET", "/b/k?uploadId=u", &[], "ListParts b k"),
            ("DELETE", "/b/k?uploadId=u", &[], "AbortMultipartUpload b k"),
            ("DELETE", "/b/k", &[], "DeleteObject b k"),
            ("POST", "/b/k?uploads", &[], "CreateMultipartUpload b k"),
            ("POST", "/b/k?uploadId=u", &[], "CompleteMultipartUpload b k"),
            ("POST", "/b/k?select&select-type=2", &[], "SelectObjectContent b k"),
            ("PATCH", "/b/k", &[], "MethodNotAllowed"),
            ("DELETE", "/", &[], "MethodNotAllowed"),
        ] {
            assert_eq!(outcome(method, target, headers), expected, "{method} {target}");
        }
    }

    #[test]
    fn the_bucket_stands_in_the_host_or_first_in_the_path() {
        for (host, path, expected) in [
            ("127.0.0.1:4583", "/b/a%2Fb//c+d%20e", "GetObject b a/b//c+d e"),
            ("localhost", "/b/d/", "GetObject b d/"),
            ("my.bucket.localhost:4583", "/b/k", "GetObject my.bucket b/k"),
            ("b.localhost", "/", "ListObjects b"),
            ("s3.localhost", "/b", "ListObjects b"),
            ("b.s3.amazonaws.com", "/k", "GetObject b k"),
            ("b.s3.eu-west-1.amazonaws.com", "/k", "GetObject b k"),
            ("s3.eu-west-1.amazonaws.com", "/b/k", "GetObject b k"),
            ("[::1]:4583", "/b/k", "GetObject b k"),
        ] {
            assert_eq!(outcome("GET", path, &[("host", host)]), expected, "{host} {path}");
        }
    }

    #[test]
    fn what_would_be_taken_and_not_done_is_refused_by_name() {
        for header in [
            "x-amz-server-side-encryption",
            "x-amz-website-redirect-location",
            "x-amz-checksum-xxhash64",
            "x-amz-object-lock-mode",
        ] {
            let refusal = read("PUT", "/b/k", &[(header, "x")]).unwrap_err();
            assert_eq!((refusal.error(), refusal.status(None)), ("NotImplemented", 501));
            assert!(refusal.message().contains(header), "{refusal}");
        }
        for header in ["x-amz-meta-any", "x-amz-checksum-crc32", "x-amz-acl", "x-amzn-trace-id"] {
            assert!(read("PUT", "/b/k", &[(header, "x")]).is_ok(), "{header}");
        }
        assert_eq!(outcome("GET", &format!("/b/{}", "k".repeat(1025)), &[]), "KeyTooLongError");
        assert_eq!(outcome("GET", "/b/%FF", &[]), "InvalidURI");
    }

    #[test]
    fn headers_may_stand_in_a_query_that_was_signed_beforehand() {
        let target =
            "/b/k?x-amz-meta-room=attic+2&X-Amz-Acl=private&x-amz-checksum-crc32=AAAAAA%3D%3D&X-Amz-Signature=0";
        let call = read("PUT", target, &[("x-amz-acl", "other")]).unwrap();
        assert_eq!(call.header("x-amz-meta-room"), Some("attic 2"));
        assert_eq!((call.header("x-amz-acl"), call.header("x-amz-checksum-crc32")), (Some("other"), None));
        assert_eq!(outcome("PUT", "/b/k?x-amz-copy-source=b/k", &[]), "CopyObject b k");
        assert_eq!(outcome("PUT", "/b/k?x-amz-server-side-encryption=AES256", &[]), "NotImplemented");
    }

    #[test]
    fn a_source_is_a_bucket_and_a_key() {
        let source = |text: &str| {
            let call = read("PUT", "/b/k", &[("x-amz-copy-source", text)]).unwrap();
            call.source().unwrap().map_err(|refusal| refusal.error())
        };
        let of = |bucket: &str, key: &str| Ok((bucket.to_owned(), key.to_owned()));
        assert_eq!(source("/from/a%2Fb%20c"), of("from", "a/b c"));
        assert_eq!(source("from/a/b?versionId=null"), of("from", "a/b"));
        for text in ["from", "/from/", "from/k?versionId=3"] {
            assert_eq!(source(text), Err("InvalidArgument"), "{text}");
        }
        assert!(read("PUT", "/b/k", &[]).unwrap().source().is_none());
    }

    #[test]
    fn a_refusal_says_what_and_where() {
        let refusal = refused("NoSuchKey", "No <key>.").with("Key", "a&b");
        let (status, xml) = failure(&refusal, "/b/a&b", "id");
        let read = Element::read(xml.as_bytes()).unwrap();
        assert_eq!((status, read.name.as_str()), (404, "Error"));
        for (name, text) in [
            ("Code", "NoSuchKey"),
            ("Message", "No <key>."),
            ("Key", "a&b"),
            ("Resource", "/b/a&b"),
            ("RequestId", "id"),
        ] {
            assert_eq!(read.text_of(name), Some(text));
        }
        let (status, xml) = failure(&Refusal::internal_failure("x"), "/", "id");
        assert!(status == 500 && xml.contains("<Code>InternalError</Code>"), "{xml}");
    }

    proptest! {
        #[test]
        fn no_request_is_too_strange(
            method in "GET|PUT|POST|HEAD|DELETE|\\PC{0,4}",
            target in "(/|%|%41|%FF|b|\\?|&|=|uploadId|tagging|\\PC){0,12}",
            host in "(b|\\.|:|localhost|s3|amazonaws.com|\\PC){0,6}",
            source in "(/|%|b|\\?versionId=|\\PC){0,6}",
        ) {
            let read = read(&method, &target, &[("host", &host), ("x-amz-copy-source", &source)]);
            let _ = read.map(|call| call.source());
        }
    }
}
