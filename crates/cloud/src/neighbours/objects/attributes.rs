//! `GetObjectAttributes`: what is known of an object without its bytes, as far as it is asked for. The checksums of the parts that
//! an object came in are not kept, so that of those only the number is told.

use std::collections::BTreeSet;

use wire::Refusal;
use wire::s3::{Call, Xml, refused};

use super::contents::{http_date, parts_of, say_sum};
use super::{Reply, Request, check_version, object};
use crate::operation::Answer;
use crate::scope::Read;

/// What can be asked for.
const ATTRIBUTES: [&str; 5] = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"];

pub(super) fn get_object_attributes(db: Read, request: &Request) -> Answer<Reply> {
    let call = &request.call;
    check_version(call.parameter("versionId"))?;
    let wanted = wanted(call)?;
    let object = object(db, &call.bucket, &call.key)?;
    let parts = if wanted.contains("ObjectParts") { parts_of(db, &object)? } else { None };
    let document = Xml::document("GetObjectAttributesResponse", |xml| {
        // Here, and only here, without its quotes.
        xml.maybe("ETag", wanted.contains("ETag").then_some(&object.etag));
        if wanted.contains("Checksum") && object.sum.is_some() {
            xml.element("Checksum", |xml| say_sum(xml, object.sum.as_ref()));
        }
        if let Some(parts) = parts {
            xml.element("ObjectParts", |xml| xml.text("PartsCount", parts));
        }
        xml.maybe("StorageClass", wanted.contains("StorageClass").then_some("STANDARD"));
        xml.maybe("ObjectSize", wanted.contains("ObjectSize").then_some(object.size));
    });
    Ok(Reply::document(document).with("last-modified", http_date(object.modified)))
}

/// The attributes that a request names, in one header or in several.
fn wanted(call: &Call) -> Result<BTreeSet<&str>, Refusal> {
    let named =
        call.headers().filter(|(name, _)| *name == "x-amz-object-attributes").flat_map(|(_, list)| list.split(','));
    let wanted: BTreeSet<&str> = named.map(str::trim).filter(|name| !name.is_empty()).collect();
    if wanted.is_empty() || !wanted.iter().all(|name| ATTRIBUTES.contains(name)) {
        return Err(refused("InvalidArgument", "Invalid attribute name specified."));
    }
    Ok(wanted)
}
