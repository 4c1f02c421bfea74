//! The s3 action: the payload as an object of a bucket (rules.md §5). Buckets are addressed in the path, as every S3 there is
//! understands.

use wire::Refusal;

use super::aws;
use super::effect::{AwsRequest, Effect, Service, Work};
use super::fields::Fields;
use super::text::Text;
use super::{Prepare, Prepared, Unprepared};

const CANNED_ACLS: [&str; 8] = [
    "private",
    "public-read",
    "public-read-write",
    "aws-exec-read",
    "authenticated-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
    "log-delivery-write",
];

struct Object {
    bucket: Text,
    key: Text,
    acl: Option<Text>,
    role: String,
}

pub(super) fn parse(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    fields.need(Service::S3)?;
    Ok(Box::new(Object {
        bucket: fields.text("bucketName")?,
        key: fields.text("key")?,
        acl: fields.choice("cannedAcl", &CANNED_ACLS)?,
        role: fields.role()?,
    }))
}

impl Prepare for Object {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let bucket = self.bucket.render_some("bucketName", cx)?;
        let key = self.key.render_some("key", cx)?;
        // unconfirmed: the type of the object, which AWS's page does not tell.
        let mut headers = vec![("content-type", "application/octet-stream".to_owned())];
        if let Some(acl) = &self.acl {
            headers.push(("x-amz-acl", acl.render_choice("cannedAcl", &CANNED_ACLS, cx)?.to_owned()));
        }
        let path = format!("/{}/{}", aws::label(&bucket), aws::path(&key));
        let request = aws::plain(Service::S3, "PUT", &path, headers, cx);
        let (body, role) = (cx.selected.payload.clone(), Some(self.role.clone()));
        Ok(Effect::new(bucket, Work::Aws(AwsRequest { body, role, ..request })))
    }
}
