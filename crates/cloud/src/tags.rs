//! Tags of whatever can be tagged (registry.md §11). Each noun keeps the tags in its own record and says in one row how
//! they are read and written; what its resources are is unknown here.

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer, Serialize};
use store::Fault;
use wire::Refusal;
use wire::iot::{
    ListTagsForResourceRequest, ListTagsForResourceResponse, TagResourceRequest, TagResourceResponse,
    UntagResourceRequest, UntagResourceResponse,
};

use crate::operation::{Answer, Op, ops};
use crate::scope::{Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    write tag_resource on of_arn(resource_arn);
    write untag_resource on of_arn(resource_arn);
    read  list_tags_for_resource on of_arn(resource_arn);
};

/// Everything that can be tagged: a new kind is one more row. Things and certificates cannot.
const KINDS: &[Kind] = &[
    crate::billing_groups::TAGGED,
    crate::ca_certificates::TAGGED,
    crate::domain_configurations::TAGGED,
    crate::policies::TAGGED,
    crate::role_aliases::TAGGED,
    crate::rules::TAGGED,
    crate::thing_groups::TAGGED,
    crate::thing_types::TAGGED,
];

/// Tags of one resource.
const MOST: usize = 50;
/// What keys of AWS's own begin with.
const RESERVED: &str = "aws:";

/// One tag, written as AWS writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tag {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "Value", default)]
    value: String,
}

/// The tags of a resource, in the order in which they came.
pub(crate) type Tags = Vec<Tag>;

/// A kind of resource that can be tagged.
pub(crate) struct Kind {
    /// How its ARN goes on after the account: `thinggroup`.
    pub(crate) resource: &'static str,
    /// The tags of the one with this name, if there is one.
    pub(crate) read: fn(Read, &str) -> Result<Option<Tags>, Fault>,
    /// Puts these in their place; there is one.
    pub(crate) write: fn(&mut Write, &str, Tags) -> Result<(), Fault>,
}

/// The row of a noun whose records lie in a table by name and have a field `tags`.
macro_rules! tagged {
    ($resource:literal in $table:ident) => {
        $crate::tags::Kind {
            resource: $resource,
            read: |db, name| Ok(db.get(&$table, [name])?.map(|record| record.tags)),
            write: |db, name, tags| {
                let Some(mut record) = db.view().get(&$table, [name])? else { return Ok(()) };
                record.tags = tags;
                db.put(&$table, [name], &record)
            },
        }
    };
}
pub(crate) use tagged;

/// The tags that something is created with. unconfirmed: the error and the texts.
pub(crate) fn first(given: Option<Vec<wire::iot::Tag>>) -> Result<Tags, Refusal> {
    checked(given, Refusal::invalid_request)
}

fn beyond() -> String {
    format!("A resource has at most {MOST} tags")
}

/// Tags as a request gives them: each key once, and none of AWS's own. unconfirmed: the errors and the texts.
fn checked(given: Option<Vec<wire::iot::Tag>>, too_many: fn(String) -> Refusal) -> Result<Tags, Refusal> {
    let given = given.unwrap_or_default();
    if given.len() > MOST {
        return Err(too_many(beyond()));
    }
    let mut tags = Tags::new();
    for tag in given {
        let tag = Tag { key: tag.key().to_owned(), value: tag.value().unwrap_or_default().to_owned() };
        if tag.key.to_ascii_lowercase().starts_with(RESERVED) {
            return Err(Refusal::invalid_request(format!("Tag keys that begin with {RESERVED} are reserved")));
        }
        if tags.iter().any(|known| known.key == tag.key) {
            return Err(Refusal::invalid_request(format!("The tag key {} is given twice", tag.key)));
        }
        tags.push(tag);
    }
    Ok(tags)
}

/// The same from a header, as topic rules have them: `key=value&key=value`.
pub(crate) fn of_header(header: &str) -> Result<Tags, Refusal> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8().map(std::borrow::Cow::into_owned)
    };
    let pairs = header.split('&').filter(|pair| !pair.is_empty());
    let tags = pairs.map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Ok(key), Ok(value)) = (decoded(key), decoded(value)) else {
            return Err(Refusal::invalid_request("Tags must be UTF-8"));
        };
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(Refusal::invalid_request("A tag key has 1 to 128 characters, and a value at most 256"));
        }
        Ok(wire::iot::Tag::default().with_key(key).with_value(value))
    });
    first(Some(tags.collect::<Result<_, _>>()?))
}

/// Tags as records hold them: earlier releases kept the header of a topic rule as it came.
pub(crate) fn stored<'de, D: Deserializer<'de>>(input: D) -> Result<Tags, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        List(Tags),
        Header(String),
    }
    Ok(match Stored::deserialize(input)? {
        Stored::List(tags) => tags,
        // Nobody looked at it when it came, so there may be none in it.
        Stored::Header(header) => of_header(&header).unwrap_or_default(),
    })
}

/// What an ARN leads to.
struct Resource<'a> {
    kind: &'static Kind,
    name: &'a str,
    tags: Tags,
}

impl<'a> Resource<'a> {
    fn find(db: Read, arn: &'a str) -> Answer<Self> {
        let nobody = || Refusal::resource_not_found("The specified resource does not exist");
        let (resource, name) = db.cx.scope.resource(arn).and_then(|rest| rest.split_once('/')).ok_or_else(nobody)?;
        let Some(kind) = KINDS.iter().find(|kind| kind.resource == resource) else {
            // unconfirmed: the error and the text.
            return Err(Refusal::invalid_request(format!("{arn} cannot be tagged")).into());
        };
        let tags = (kind.read)(db, name)?.ok_or_else(nobody)?;
        Ok(Self { kind, name, tags })
    }

    fn put(self, db: &mut Write) -> Result<(), Fault> {
        (self.kind.write)(db, self.name, self.tags)
    }
}

/// A key that is there already gets the new value.
fn tag_resource(db: &mut Write, input: &TagResourceRequest) -> Answer<TagResourceResponse> {
    let mut found = Resource::find(db.view(), input.resource_arn())?;
    for tag in checked(input.tags(), Refusal::limit_exceeded)? {
        match found.tags.iter_mut().find(|known| known.key == tag.key) {
            Some(known) => *known = tag,
            None => found.tags.push(tag),
        }
    }
    if found.tags.len() > MOST {
        return Err(Refusal::limit_exceeded(beyond()).into());
    }
    found.put(db)?;
    Ok(TagResourceResponse::new())
}

/// A key that is not there is fine.
fn untag_resource(db: &mut Write, input: &UntagResourceRequest) -> Answer<UntagResourceResponse> {
    let mut found = Resource::find(db.view(), input.resource_arn())?;
    let gone = input.tag_keys().unwrap_or_default();
    found.tags.retain(|tag| !gone.contains(&&*tag.key));
    found.put(db)?;
    Ok(UntagResourceResponse::new())
}

/// All of them at once: there are at most 50, and so no token is ever given out.
fn list_tags_for_resource(db: Read, input: &ListTagsForResourceRequest) -> Answer<ListTagsForResourceResponse> {
    let found = Resource::find(db, input.resource_arn())?;
    if input.next_token().is_some_and(|token| !token.is_empty()) {
        return Err(Refusal::invalid_request("Invalid token: it is not one that this list gave out.").into());
    }
    let listed = |tag: &Tag| wire::iot::Tag::default().with_key(&tag.key).with_value(&tag.value);
    Ok(ListTagsForResourceResponse::new().with_tags(found.tags.iter().map(listed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Rule {
        #[serde(default, deserialize_with = "stored")]
        tags: Tags,
    }

    fn read(record: &str) -> Vec<(String, String)> {
        let rule: Rule = serde_json::from_str(record).unwrap();
        rule.tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
    }

    #[test]
    fn tags_that_an_earlier_release_kept_are_read() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(read(r#"{"tags":"a=1&b=x%20y"}"#), [pair("a", "1"), pair("b", "x y")]);
        assert_eq!(read(r#"{"tags":[{"Key":"a","Value":"1"},{"Key":"b"}]}"#), [pair("a", "1"), pair("b", "")]);
        assert_eq!(read("{}"), []);
        assert_eq!(read(r#"{"tags":"=&=&%ff"}"#), []);
    }
}
