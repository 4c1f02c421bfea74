//! Which operation a request of S3 asks for: the method, whether it is about the account, a bucket or an object, and a
//! parameter that marks it. All that botocore 1.44.5 knows are here, built or not, so that each is refused by its own name.

use Level::{Account, Bucket, Object};

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Account,
    Bucket,
    Object,
}

/// One way to ask for an operation.
struct Route {
    operation: &'static str,
    method: &'static str,
    level: Level,
    /// The parameters that must be there, each with its value if that counts.
    marker: &'static str,
    /// Whether a header names an object to copy.
    copies: bool,
}

const fn on(level: Level, method: &'static str, marker: &'static str, operation: &'static str) -> Route {
    Route { operation, method, level, marker, copies: false }
}

const fn copy(level: Level, method: &'static str, marker: &'static str, operation: &'static str) -> Route {
    Route { operation, method, level, marker, copies: true }
}

/// The operation, if there is one. `has` says whether a parameter is there, with a value or with any.
pub(super) fn find(
    method: &str,
    level: Level,
    copies: bool,
    has: impl Fn(&str, Option<&str>) -> bool,
) -> Option<&'static str> {
    let has_one = |marker: &str| match marker.split_once('=') {
        Some((name, value)) => has(name, Some(value)),
        None => has(marker, None),
    };
    let is_marked = |marker: &str| marker.is_empty() || marker.split('&').all(has_one);
    let mut routes = ROUTES.iter().filter(|route| route.method == method && route.level == level);
    let found = routes.find(|route| (copies || !route.copies) && is_marked(route.marker));
    found.map(|route| route.operation)
}

/// Every operation by name, in order.
pub(super) fn operations() -> impl Iterator<Item = &'static str> {
    let mut names: Vec<_> = ROUTES.iter().map(|route| route.operation).collect();
    names.sort_unstable();
    names.into_iter()
}

/// The first that fits counts: those with a marker stand before those without, and copies before what they are copies of.
#[rustfmt::skip]
static ROUTES: &[Route] = &[
    on(Account, "GET", "", "ListBuckets"),
    on(Bucket, "POST", "metadataConfiguration", "CreateBucketMetadataConfiguration"),
    on(Bucket, "POST", "metadataTable", "CreateBucketMetadataTableConfiguration"),
    on(Bucket, "GET", "session", "CreateSession"),
    on(Bucket, "DELETE", "analytics", "DeleteBucketAnalyticsConfiguration"),
    on(Bucket, "DELETE", "cors", "DeleteBucketCors"),
    on(Bucket, "DELETE", "encryption", "DeleteBucketEncryption"),
    on(Bucket, "DELETE", "intelligent-tiering", "DeleteBucketIntelligentTieringConfiguration"),
    on(Bucket, "DELETE", "inventory", "DeleteBucketInventoryConfiguration"),
    on(Bucket, "DELETE", "lifecycle", "DeleteBucketLifecycle"),
    on(Bucket, "DELETE", "metadataConfiguration", "DeleteBucketMetadataConfiguration"),
    on(Bucket, "DELETE", "metadataTable", "DeleteBucketMetadataTableConfiguration"),
    on(Bucket, "DELETE", "metrics", "DeleteBucketMetricsConfiguration"),
    on(Bucket, "DELETE", "ownershipControls", "DeleteBucketOwnershipControls"),
    on(Bucket, "DELETE", "policy", "DeleteBucketPolicy"),
    on(Bucket, "DELETE", "replication", "DeleteBucketReplication"),
    on(Bucket, "DELETE", "tagging", "DeleteBucketTagging"),
    on(Bucket, "DELETE", "website", "DeleteBucketWebsite"),
    on(Bucket, "POST", "delete", "DeleteObjects"),
    on(Bucket, "DELETE", "publicAccessBlock", "DeletePublicAccessBlock"),
    on(Bucket, "GET", "abac", "GetBucketAbac"),
    on(Bucket, "GET", "accelerate", "GetBucketAccelerateConfiguration"),
    on(Bucket, "GET", "acl", "GetBucketAcl"),
    on(Bucket, "GET", "analytics&id", "GetBucketAnalyticsConfiguration"),
    on(Bucket, "GET", "cors", "GetBucketCors"),
    on(Bucket, "GET", "encryption", "GetBucketEncryption"),
    on(Bucket, "GET", "intelligent-tiering&id", "GetBucketIntelligentTieringConfiguration"),
    on(Bucket, "GET", "inventory&id", "GetBucketInventoryConfiguration"),
    on(Bucket, "GET", "lifecycle", "GetBucketLifecycleConfiguration"),
    on(Bucket, "GET", "location", "GetBucketLocation"),
    on(Bucket, "GET", "logging", "GetBucketLogging"),
    on(Bucket, "GET", "metadataConfiguration", "GetBucketMetadataConfiguration"),
    on(Bucket, "GET", "metadataTable", "GetBucketMetadataTableConfiguration"),
    on(Bucket, "GET", "metrics&id", "GetBucketMetricsConfiguration"),
    on(Bucket, "GET", "notification", "GetBucketNotificationConfiguration"),
    on(Bucket, "GET", "ownershipControls", "GetBucketOwnershipControls"),
    on(Bucket, "GET", "policy", "GetBucketPolicy"),
    on(Bucket, "GET", "policyStatus", "GetBucketPolicyStatus"),
    on(Bucket, "GET", "replication", "GetBucketReplication"),
    on(Bucket, "GET", "requestPayment", "GetBucketRequestPayment"),
    on(Bucket, "GET", "tagging", "GetBucketTagging"),
    on(Bucket, "GET", "versioning", "GetBucketVersioning"),
    on(Bucket, "GET", "website", "GetBucketWebsite"),
    on(Bucket, "GET", "object-lock", "GetObjectLockConfiguration"),
    on(Bucket, "GET", "publicAccessBlock", "GetPublicAccessBlock"),
    on(Bucket, "GET", "analytics", "ListBucketAnalyticsConfigurations"),
    on(Bucket, "GET", "intelligent-tiering", "ListBucketIntelligentTieringConfigurations"),
    on(Bucket, "GET", "inventory", "ListBucketInventoryConfigurations"),
    on(Bucket, "GET", "metrics", "ListBucketMetricsConfigurations"),
    on(Bucket, "GET", "uploads", "ListMultipartUploads"),
    on(Bucket, "GET", "versions", "ListObjectVersions"),
    on(Bucket, "GET", "list-type=2", "ListObjectsV2"),
    on(Bucket, "PUT", "abac", "PutBucketAbac"),
    on(Bucket, "PUT", "accelerate", "PutBucketAccelerateConfiguration"),
    on(Bucket, "PUT", "acl", "PutBucketAcl"),
    on(Bucket, "PUT", "analytics", "PutBucketAnalyticsConfiguration"),
    on(Bucket, "PUT", "cors", "PutBucketCors"),
    on(Bucket, "PUT", "encryption", "PutBucketEncryption"),
    on(Bucket, "PUT", "intelligent-tiering", "PutBucketIntelligentTieringConfiguration"),
    on(Bucket, "PUT", "inventory", "PutBucketInventoryConfiguration"),
    on(Bucket, "PUT", "lifecycle", "PutBucketLifecycleConfiguration"),
    on(Bucket, "PUT", "logging", "PutBucketLogging"),
    on(Bucket, "PUT", "metrics", "PutBucketMetricsConfiguration"),
    on(Bucket, "PUT", "notification", "PutBucketNotificationConfiguration"),
    on(Bucket, "PUT", "ownershipControls", "PutBucketOwnershipControls"),
    on(Bucket, "PUT", "policy", "PutBucketPolicy"),
    on(Bucket, "PUT", "replication", "PutBucketReplication"),
    on(Bucket, "PUT", "requestPayment", "PutBucketRequestPayment"),
    on(Bucket, "PUT", "tagging", "PutBucketTagging"),
    on(Bucket, "PUT", "versioning", "PutBucketVersioning"),
    on(Bucket, "PUT", "website", "PutBucketWebsite"),
    on(Bucket, "PUT", "object-lock", "PutObjectLockConfiguration"),
    on(Bucket, "PUT", "publicAccessBlock", "PutPublicAccessBlock"),
    on(Bucket, "PUT", "metadataAnnotationTable", "UpdateBucketMetadataAnnotationTableConfiguration"),
    on(Bucket, "PUT", "metadataInventoryTable", "UpdateBucketMetadataInventoryTableConfiguration"),
    on(Bucket, "PUT", "metadataJournalTable", "UpdateBucketMetadataJournalTableConfiguration"),
    on(Bucket, "PUT", "", "CreateBucket"),
    on(Bucket, "DELETE", "", "DeleteBucket"),
    on(Bucket, "HEAD", "", "HeadBucket"),
    on(Bucket, "GET", "", "ListObjects"),
    on(Bucket, "POST", "", "PostObject"),
    copy(Object, "PUT", "partNumber", "UploadPartCopy"),
    on(Object, "DELETE", "uploadId", "AbortMultipartUpload"),
    on(Object, "POST", "uploadId", "CompleteMultipartUpload"),
    on(Object, "POST", "uploads", "CreateMultipartUpload"),
    on(Object, "DELETE", "annotation", "DeleteObjectAnnotation"),
    on(Object, "DELETE", "tagging", "DeleteObjectTagging"),
    on(Object, "GET", "acl", "GetObjectAcl"),
    on(Object, "GET", "annotation", "GetObjectAnnotation"),
    on(Object, "GET", "attributes", "GetObjectAttributes"),
    on(Object, "GET", "legal-hold", "GetObjectLegalHold"),
    on(Object, "GET", "retention", "GetObjectRetention"),
    on(Object, "GET", "tagging", "GetObjectTagging"),
    on(Object, "GET", "torrent", "GetObjectTorrent"),
    on(Object, "GET", "annotation", "ListObjectAnnotations"),
    on(Object, "GET", "uploadId", "ListParts"),
    on(Object, "PUT", "acl", "PutObjectAcl"),
    on(Object, "PUT", "annotation", "PutObjectAnnotation"),
    on(Object, "PUT", "legal-hold", "PutObjectLegalHold"),
    on(Object, "PUT", "retention", "PutObjectRetention"),
    on(Object, "PUT", "tagging", "PutObjectTagging"),
    on(Object, "PUT", "renameObject", "RenameObject"),
    on(Object, "POST", "restore", "RestoreObject"),
    on(Object, "POST", "select", "SelectObjectContent"),
    on(Object, "PUT", "encryption", "UpdateObjectEncryption"),
    on(Object, "PUT", "partNumber", "UploadPart"),
    copy(Object, "PUT", "", "CopyObject"),
    on(Object, "DELETE", "", "DeleteObject"),
    on(Object, "GET", "", "GetObject"),
    on(Object, "HEAD", "", "HeadObject"),
    on(Object, "PUT", "", "PutObject"),
];
