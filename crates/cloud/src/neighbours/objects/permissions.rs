//! What an operation on buckets and objects needs to be allowed, in the terms of IAM: S3's actions are fewer than its
//! operations. Who asks, and what its policies say, is unknown here; policies of buckets are not built.

use wire::Refusal;
use wire::s3::{Call, Element};

use crate::permissions::Need;

/// What a request needs; a document names the objects that are to be deleted.
pub(super) fn of(call: &Call, document: Option<&Element>) -> Result<Vec<Need>, Refusal> {
    let bucket = format!("arn:aws:s3:::{}", call.bucket);
    let object = |key: &str| format!("{bucket}/{key}");
    let own = |action: &str| vec![Need::new(format!("s3:{action}"), object(&call.key))];
    let whole = |action: &str| vec![Need::new(format!("s3:{action}"), &*bucket)];
    Ok(match call.operation {
        "ListBuckets" => vec![Need::new("s3:ListAllMyBuckets", "*")],
        "HeadBucket" | "ListObjects" | "ListObjectsV2" => whole("ListBucket"),
        "ListMultipartUploads" => whole("ListBucketMultipartUploads"),
        "DeleteBucketTagging" => whole("PutBucketTagging"),
        "DeleteBucketCors" => whole("PutBucketCORS"),
        "DeleteBucketEncryption" => whole("PutEncryptionConfiguration"),
        "DeleteBucketLifecycle" => whole("PutLifecycleConfiguration"),
        "DeleteBucketReplication" => whole("PutReplicationConfiguration"),
        "DeletePublicAccessBlock" | "PutPublicAccessBlock" => whole("PutBucketPublicAccessBlock"),
        "GetBucketAnalyticsConfiguration" | "ListBucketAnalyticsConfigurations" => whole("GetAnalyticsConfiguration"),
        "GetBucketIntelligentTieringConfiguration" | "ListBucketIntelligentTieringConfigurations" => {
            whole("GetIntelligentTieringConfiguration")
        }
        "GetBucketInventoryConfiguration" | "ListBucketInventoryConfigurations" => whole("GetInventoryConfiguration"),
        "GetBucketMetricsConfiguration" | "ListBucketMetricsConfigurations" => whole("GetMetricsConfiguration"),
        "GetBucketAccelerateConfiguration" => whole("GetAccelerateConfiguration"),
        "GetBucketCors" => whole("GetBucketCORS"),
        "GetBucketEncryption" => whole("GetEncryptionConfiguration"),
        "GetBucketLifecycleConfiguration" => whole("GetLifecycleConfiguration"),
        "GetBucketNotificationConfiguration" => whole("GetBucketNotification"),
        "GetBucketReplication" => whole("GetReplicationConfiguration"),
        "GetObjectLockConfiguration" => whole("GetBucketObjectLockConfiguration"),
        "GetPublicAccessBlock" => whole("GetBucketPublicAccessBlock"),
        // Of what is left about a bucket, actions have the names of their operations.
        name if call.key.is_empty() && name.contains("Bucket") => whole(name),
        "HeadObject" | "GetObject" => own("GetObject"),
        "GetObjectAttributes" => ["GetObject", "GetObjectAttributes"].into_iter().flat_map(own).collect(),
        "PutObject" | "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload" => own("PutObject"),
        "ListParts" => own("ListMultipartUploadParts"),
        "CopyObject" | "UploadPartCopy" => {
            let source = call.source().transpose()?;
            let read = source.map(|(bucket, key)| Need::new("s3:GetObject", format!("arn:aws:s3:::{bucket}/{key}")));
            own("PutObject").into_iter().chain(read).collect()
        }
        "DeleteObjects" => {
            let listed = document.into_iter().flat_map(|document| document.all("Object"));
            let keys = listed.filter_map(|object| object.text_of("Key"));
            keys.map(|key| Need::new("s3:DeleteObject", object(key))).collect()
        }
        // Of what is built, objects' tags, their deletion and the end of uploads have the names of their operations.
        name => own(name),
    })
}

#[cfg(test)]
mod tests {
    use wire::s3::Head;

    use super::*;

    #[test]
    fn operations_need_the_actions_that_s3_names() {
        let check = |method: &str, path: &str, headers: &[(&str, &str)], expected: &[(&str, &str)]| {
            let headers: Vec<(String, String)> =
                headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let call = Call::read(&Head { method, path, query, headers: &headers }).unwrap();
            let needs = of(&call, None).unwrap();
            let said: Vec<(&str, &str)> = needs.iter().map(|need| (&*need.action, &*need.resource)).collect();
            assert_eq!(said, expected, "{method} {path}");
        };
        check("GET", "/", &[], &[("s3:ListAllMyBuckets", "*")]);
        check("GET", "/b", &[], &[("s3:ListBucket", "arn:aws:s3:::b")]);
        check("GET", "/b/a%20key/x", &[], &[("s3:GetObject", "arn:aws:s3:::b/a key/x")]);
        check("HEAD", "/b/k", &[], &[("s3:GetObject", "arn:aws:s3:::b/k")]);
        check("PUT", "/b", &[], &[("s3:CreateBucket", "arn:aws:s3:::b")]);
        check("DELETE", "/b?policy", &[], &[("s3:DeleteBucketPolicy", "arn:aws:s3:::b")]);
        check("GET", "/b?encryption", &[], &[("s3:GetEncryptionConfiguration", "arn:aws:s3:::b")]);
        check("GET", "/b/k?acl", &[], &[("s3:GetObjectAcl", "arn:aws:s3:::b/k")]);
        check("DELETE", "/b/k", &[], &[("s3:DeleteObject", "arn:aws:s3:::b/k")]);
        let copy = [("s3:PutObject", "arn:aws:s3:::b/k"), ("s3:GetObject", "arn:aws:s3:::c/d")];
        check("PUT", "/b/k", &[("x-amz-copy-source", "/c/d")], &copy);
    }
}
