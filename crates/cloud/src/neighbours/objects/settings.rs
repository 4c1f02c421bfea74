//! What can be asked about a bucket that nobody has set anything of, and nearly nothing can be set of here: it is answered as S3
//! answers of a new bucket, so that tools which read all of a bucket find it to be what it is. What is in buckets is unknown here.

use wire::Refusal;
use wire::s3::{Call, Element, Xml, not_implemented, refused};

use super::buckets::{document, malformed, owner, owner_id};
use super::{BUCKETS, Bucket, Reply, Request, check_version, object};
use crate::operation::Answer;
use crate::scope::{Read, Write};

/// The only ownership that buckets have here: what lies in one is the bucket's owner's, and there are no ACLs.
const OWNERSHIP: &str = "BucketOwnerEnforced";

/// What public access a bucket blocks, in the order in which S3 lists it.
const BLOCKS: [&str; 4] = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"];

/// The error of one configuration out of several that there may be.
const NO_CONFIGURATION: &str = "NoSuchConfiguration";

/// Configurations that no bucket has: how they are asked for, and with what that is refused.
const NONE: [(&str, &str, &str); 12] = [
    ("GetBucketAnalyticsConfiguration", NO_CONFIGURATION, "The specified configuration does not exist."),
    ("GetBucketCors", "NoSuchCORSConfiguration", "The CORS configuration does not exist"),
    (
        "GetBucketEncryption",
        "ServerSideEncryptionConfigurationNotFoundError",
        "The server side encryption configuration was not found",
    ),
    ("GetBucketLifecycleConfiguration", "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
    ("GetBucketIntelligentTieringConfiguration", NO_CONFIGURATION, "The specified configuration does not exist."),
    ("GetBucketInventoryConfiguration", NO_CONFIGURATION, "The specified configuration does not exist."),
    ("GetBucketMetricsConfiguration", NO_CONFIGURATION, "The specified configuration does not exist."),
    ("GetBucketPolicy", "NoSuchBucketPolicy", "The bucket policy does not exist"),
    ("GetBucketPolicyStatus", "NoSuchBucketPolicy", "The bucket policy does not exist"),
    ("GetBucketReplication", "ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
    ("GetBucketWebsite", "NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
    (
        "GetObjectLockConfiguration",
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket",
    ),
];

/// Says that there is no such configuration.
pub(super) fn no_configuration(db: Read, request: &Request) -> Answer<Reply> {
    request.bucket(db)?;
    let none = NONE.iter().find(|(operation, ..)| *operation == request.call.operation);
    let (_, code, message) = none.ok_or_else(|| not_implemented(request.call.operation))?;
    Err(refused(code, *message).with_status(404).with("BucketName", request.call.bucket.as_str()).into())
}

/// Lists the configurations of a kind of which there may be several.
pub(super) fn list_nothing(db: Read, request: &Request) -> Answer<Reply> {
    request.bucket(db)?;
    let root = match request.call.operation {
        "ListBucketAnalyticsConfigurations" => "ListBucketAnalyticsConfigurationResult",
        "ListBucketInventoryConfigurations" => "ListInventoryConfigurationsResult",
        "ListBucketMetricsConfigurations" => "ListMetricsConfigurationsResult",
        _ => "ListBucketIntelligentTieringConfigurationsOutput",
    };
    Ok(Reply::document(Xml::document(root, |xml| xml.text("IsTruncated", false))))
}

/// Says that an object is not kept from being deleted, because nothing in its bucket can be.
pub(super) fn no_lock(db: Read, request: &Request) -> Answer<Reply> {
    request.bucket(db)?;
    Err(refused("InvalidRequest", "Bucket is missing Object Lock Configuration").into())
}

/// Removes a configuration that is not there, which S3 takes as done.
pub(super) fn remove_nothing(db: &mut Write, request: &Request) -> Answer<Reply> {
    request.bucket(db.view())?;
    Ok(Reply::empty(204))
}

pub(super) fn get_bucket_accelerate_configuration(db: Read, request: &Request) -> Answer<Reply> {
    request.bucket(db)?;
    Ok(Reply::document(Xml::document("AccelerateConfiguration", |_| ())))
}

pub(super) fn get_bucket_logging(db: Read, request: &Request) -> Answer<Reply> {
    request.bucket(db)?;
    Ok(Reply::document(Xml::document("BucketLoggingStatus", |_| ())))
}

pub(super) fn get_bucket_notification_configuration(db: Read, request: &Request) -> Answer<Reply> {
    request.bucket(db)?;
    Ok(Reply::document(Xml::document("NotificationConfiguration", |_| ())))
}

pub(super) fn get_bucket_request_payment(db: Read, request: &Request) -> Answer<Reply> {
    request.bucket(db)?;
    Ok(Reply::document(Xml::document("RequestPaymentConfiguration", |xml| xml.text("Payer", "BucketOwner"))))
}

pub(super) fn get_bucket_acl(db: Read, request: &Request) -> Answer<Reply> {
    request.bucket(db)?;
    Ok(acl(db))
}

pub(super) fn get_object_acl(db: Read, request: &Request) -> Answer<Reply> {
    check_version(request.call.parameter("versionId"))?;
    object(db, &request.call.bucket, &request.call.key)?;
    Ok(acl(db))
}

/// The owner has full control, and nobody else any.
fn acl(db: Read) -> Reply {
    let account = &*db.cx.scope.account;
    Reply::document(Xml::document("AccessControlPolicy", |xml| {
        owner(xml, "Owner", account);
        xml.element("AccessControlList", |xml| {
            xml.element("Grant", |xml| {
                xml.of_kind("Grantee", "CanonicalUser", |xml| {
                    xml.text("ID", owner_id(account));
                    xml.text("DisplayName", account);
                });
                xml.text("Permission", "FULL_CONTROL");
            });
        });
    }))
}

pub(super) fn put_bucket_acl(db: &mut Write, request: &Request) -> Answer<Reply> {
    request.bucket(db.view())?;
    change_no_acl(db.view(), request)
}

pub(super) fn put_object_acl(db: &mut Write, request: &Request) -> Answer<Reply> {
    check_version(request.call.parameter("versionId"))?;
    object(db.view(), &request.call.bucket, &request.call.key)?;
    change_no_acl(db.view(), request)
}

/// Takes an ACL that says what holds anyway, and no other.
fn change_no_acl(db: Read, request: &Request) -> Answer<Reply> {
    let call = &request.call;
    if grants(call) {
        return Err(no_grants(call).into());
    }
    if request.document.is_none() && call.header("x-amz-acl").is_none() {
        let refusal = refused("MissingSecurityHeader", "Your request was missing a required header");
        return Err(refusal.with("MissingHeaderName", "x-amz-acl").into());
    }
    let own = owner_id(&db.cx.scope.account);
    let is_own = |grant: &Element| {
        let id = grant.first("Grantee").and_then(|grantee| grantee.text_of("ID"));
        id == Some(&own) && grant.text_of("Permission") == Some("FULL_CONTROL")
    };
    let is_so = match &request.document {
        Some(document) => document.first("AccessControlList").is_some_and(|list| list.all("Grant").all(is_own)),
        None => call.header("x-amz-acl") == Some("bucket-owner-full-control"),
    };
    if is_so { Ok(Reply::empty(200)) } else { Err(no_acls().into()) }
}

/// Whether a request gives somebody something by a header.
pub(super) fn grants(call: &Call) -> bool {
    call.headers().any(|(name, _)| name.starts_with("x-amz-grant-"))
}

/// The refusal of what is given by headers.
pub(super) fn no_grants(call: &Call) -> Refusal {
    match call.header("x-amz-acl") {
        Some(_) => refused("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed"),
        None => no_acls(),
    }
}

/// The refusal of an ACL.
pub(super) fn no_acls() -> Refusal {
    refused("AccessControlListNotSupported", "The bucket does not allow ACLs")
}

pub(super) fn get_bucket_ownership_controls(db: Read, request: &Request) -> Answer<Reply> {
    request.bucket(db)?;
    Ok(Reply::document(Xml::document("OwnershipControls", |xml| {
        xml.element("Rule", |xml| xml.text("ObjectOwnership", OWNERSHIP));
    })))
}

pub(super) fn put_bucket_ownership_controls(db: &mut Write, request: &Request) -> Answer<Reply> {
    request.bucket(db.view())?;
    let rule = document(request, "OwnershipControls")?.first("Rule").ok_or_else(malformed)?;
    let given = rule.text_of("ObjectOwnership").unwrap_or_default();
    // What is no ownership at all is no document either.
    check_ownership(given)
        .map_err(|refusal| if refusal.error() == "InvalidArgument" { malformed() } else { refusal })?;
    Ok(Reply::empty(200))
}

/// Whether a bucket may have this ownership.
pub(super) fn check_ownership(given: &str) -> Result<(), Refusal> {
    match given {
        OWNERSHIP => Ok(()),
        "BucketOwnerPreferred" | "ObjectWriter" => Err(not_implemented(format!("a bucket with {given}, so with ACLs"))),
        _ => {
            let refusal = refused("InvalidArgument", format!("Invalid x-amz-object-ownership header: {given}"));
            Err(refusal.with("ArgumentName", "x-amz-object-ownership"))
        }
    }
}

pub(super) fn get_public_access_block(db: Read, request: &Request) -> Answer<Reply> {
    let blocks = request.bucket(db)?.blocks.ok_or_else(|| {
        let refusal =
            refused("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found");
        refusal.with_status(404).with("BucketName", request.call.bucket.as_str())
    })?;
    Ok(Reply::document(Xml::document("PublicAccessBlockConfiguration", |xml| {
        BLOCKS.iter().zip(blocks).for_each(|(name, is_blocked)| xml.text(name, is_blocked));
    })))
}

/// Nothing is public here whatever is said: there are no ACLs and no policies of buckets that could make it so. What is said is
/// kept.
pub(super) fn put_public_access_block(db: &mut Write, request: &Request) -> Answer<Reply> {
    let document = document(request, "PublicAccessBlockConfiguration")?;
    let mut blocks = [false; 4];
    for (block, name) in blocks.iter_mut().zip(BLOCKS) {
        *block = match document.text_of(name) {
            Some("true" | "TRUE") => true,
            None | Some("false" | "FALSE") => false,
            Some(_) => return Err(malformed().into()),
        };
    }
    change(db, request, |bucket| bucket.blocks = Some(blocks))?;
    Ok(Reply::empty(200))
}

pub(super) fn delete_public_access_block(db: &mut Write, request: &Request) -> Answer<Reply> {
    change(db, request, |bucket| bucket.blocks = None)?;
    Ok(Reply::empty(204))
}

fn change(db: &mut Write, request: &Request, change: impl FnOnce(&mut Bucket)) -> Answer<()> {
    let mut bucket = request.bucket(db.view())?;
    change(&mut bucket);
    Ok(db.put(&BUCKETS, [request.call.bucket.as_str()], &bucket)?)
}
