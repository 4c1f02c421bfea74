//! Tags of users, roles and policies: pairs that mean nothing to IAM itself but in conditions, in the order in which they were given. What carries them
//! is known by its own file.

use wire::Refusal;
use wire::iam::Tag;

use crate::operation::Answer;

/// Key and value.
pub(super) type Tags = Vec<(String, String)>;

/// Tags of one thing.
const MOST: usize = 50;

/// Adds tags, or puts others in their place where the key is the same.
pub(super) fn add(tags: &mut Tags, given: Option<Vec<Tag>>) -> Answer<()> {
    let given = given.unwrap_or_default();
    let folded: Vec<String> = given.iter().map(|tag| tag.key().to_ascii_lowercase()).collect();
    if folded.iter().enumerate().any(|(at, key)| folded.iter().take(at).any(|earlier| earlier == key)) {
        let message = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
        return Err(Refusal::new("InvalidInput", message).into());
    }
    for tag in given {
        // Keys are the same whatever their case.
        let known = tags.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(tag.key()));
        match known {
            Some(pair) => *pair = (tag.key().to_owned(), tag.value().to_owned()),
            None => tags.push((tag.key().to_owned(), tag.value().to_owned())),
        }
    }
    if tags.len() > MOST {
        // unconfirmed: the text.
        return Err(super::limit_exceeded(format!("Cannot exceed quota for TagsPerResource: {MOST}")));
    }
    Ok(())
}

/// Takes tags away; who has none of a key loses none.
pub(super) fn remove(tags: &mut Tags, keys: Option<Vec<&str>>) {
    let keys = keys.unwrap_or_default();
    tags.retain(|(key, _)| !keys.iter().any(|gone| gone.eq_ignore_ascii_case(key)));
}

/// Tags as answers carry them.
pub(super) fn listed(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::new().with_key(key).with_value(value)).collect()
}
