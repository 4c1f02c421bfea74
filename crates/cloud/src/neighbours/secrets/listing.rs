//! The list of secrets: which of them a filter means, in which order, a page at a time. Values are not looked at.

use wire::Refusal;
use wire::secretsmanager::{Filter, ListSecretsRequest, ListSecretsResponse, SecretListEntry};

use super::secret::Secret;
use super::{SECRETS, invalid_parameter};
use crate::operation::{Answer, Op, ops};
use crate::scope::{NO_PARTS, Read, paged};

pub(crate) const OPS: &[Op] = ops! {
    read list_secrets on any;
};

/// Entries of a page, if the caller does not say.
const PAGE: i64 = 100;

fn list_secrets(db: Read, input: &ListSecretsRequest) -> Answer<ListSecretsResponse> {
    let filters = input.filters().unwrap_or_default();
    let mut secrets = meant(db, &filters, input.include_planned_deletion() == Some(true))?;
    sort(&mut secrets, input.sort_by(), input.sort_order());
    let entries = secrets.iter().map(|secret| entry(db, secret)).collect();
    let (entries, next) = part_of(entries, input.next_token(), input.max_results())?;
    let answer = ListSecretsResponse::new().with_secret_list(entries);
    Ok(paged(answer, next, ListSecretsResponse::with_next_token))
}

/// The secrets that all of the filters mean, by name.
pub(super) fn meant(db: Read, filters: &[Filter], with_deleted: bool) -> Answer<Vec<Secret>> {
    filters.iter().try_for_each(check)?;
    let all = db.all(&SECRETS, NO_PARTS)?.into_iter().map(|(_, secret)| secret);
    let is_meant = |secret: &Secret| {
        let is_there = if with_deleted { !secret.is_over(db.now()) } else { secret.ends.is_none() };
        is_there && filters.iter().all(|filter| matches(secret, filter, &db.cx.scope.region))
    };
    Ok(all.filter(is_meant).collect())
}

/// unconfirmed: the order without being asked; oldest first.
fn sort(secrets: &mut [Secret], by: Option<&str>, order: Option<&str>) {
    match by {
        Some("name") => secrets.sort_by(|a, b| a.name.cmp(&b.name)),
        Some("last-changed-date") => secrets.sort_by_key(|secret| secret.changed),
        // When a secret was last read is not kept, so that is as long ago as its making.
        _ => secrets.sort_by_key(|secret| secret.created),
    }
    if order == Some("desc") {
        secrets.reverse();
    }
}

fn entry(db: Read, secret: &Secret) -> SecretListEntry {
    let mut entry = SecretListEntry::new()
        .with_arn(secret.arn(db))
        .with_name(&secret.name)
        .with_created_date(secret.created)
        .with_last_changed_date(secret.changed);
    if let Some(tags) = secret.listed_tags() {
        entry = entry.with_tags(tags);
    }
    if let Some(description) = &secret.description {
        entry = entry.with_description(description);
    }
    if let Some(key) = &secret.kms_key_id {
        entry = entry.with_kms_key_id(key);
    }
    if let Some(ends) = secret.ends {
        entry = entry.with_deleted_date(ends);
    }
    let stages = secret.versions_to_stages();
    if stages.is_empty() { entry } else { entry.with_secret_versions_to_stages(stages) }
}

fn check(filter: &Filter) -> Answer<()> {
    let Some(key) = filter.key() else { return Err(invalid_parameter("Invalid filter key")) };
    if filter.values().unwrap_or_default().is_empty() {
        return Err(invalid_parameter(format!("Invalid filter values for key: {key}")));
    }
    Ok(())
}

/// Whether one of a filter's values matches; a value that begins with `!` does where the rest of it does not.
fn matches(secret: &Secret, filter: &Filter, region: &str) -> bool {
    let key = filter.key().unwrap_or_default();
    let values = filter.values().unwrap_or_default();
    values.iter().any(|value| match value.strip_prefix('!') {
        Some(value) => !matches_value(secret, key, value, region),
        None => matches_value(secret, key, value, region),
    })
}

fn matches_value(secret: &Secret, key: &str, value: &str, region: &str) -> bool {
    let description = secret.description.as_deref().unwrap_or_default();
    match key {
        "name" => secret.name.starts_with(value),
        "description" => has_words(value, &[description]),
        "tag-key" => secret.tags.iter().any(|(key, _)| key.starts_with(value)),
        "tag-value" => secret.tags.iter().any(|(_, text)| text.starts_with(value)),
        "primary-region" => region.starts_with(value),
        "all" => {
            let tags = secret.tags.iter().flat_map(|(key, value)| [&**key, &**value]);
            has_words(value, &tags.chain([&*secret.name, description]).collect::<Vec<_>>())
        }
        // No secret here is another service's.
        _ => false,
    }
}

/// Whether every word of `wanted` begins a word of one of the texts, whatever their case.
fn has_words(wanted: &str, texts: &[&str]) -> bool {
    let found: Vec<String> = texts.iter().flat_map(|text| words(text)).collect();
    let wanted = words(wanted);
    !wanted.is_empty() && wanted.iter().all(|word| found.iter().any(|other| other.starts_with(word)))
}

/// The words of a text in lower case: between signs, and where small letters begin or end, as in `My` `Secret` `2`.
fn words(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let is_small = |at: Option<usize>| at.and_then(|at| letters.get(at)).is_some_and(|letter| letter.is_lowercase());
    let mut words = vec![String::new()];
    for (at, letter) in letters.iter().enumerate() {
        let begins = !letter.is_lowercase() && (is_small(Some(at + 1)) || is_small(at.checked_sub(1)));
        if begins || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// One page of a list that is short enough to be made whole.
pub(super) fn part_of<T>(all: Vec<T>, token: Option<&str>, limit: Option<i64>) -> Answer<(Vec<T>, Option<String>)> {
    let bad = || Refusal::new("InvalidNextTokenException", "Invalid pagination token.");
    let start = match token.filter(|token| !token.is_empty()) {
        Some(token) => {
            let bytes = wire::page::decode(token).map_err(|_| bad())?;
            String::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or_else(bad)?
        }
        None => 0,
    };
    let end = usize::saturating_add(start, usize::try_from(limit.unwrap_or(PAGE)).unwrap_or(0));
    let next = (end < all.len()).then(|| wire::page::encode(end.to_string().as_bytes()));
    Ok((all.into_iter().take(end).skip(start).collect(), next))
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_text_has_words_between_signs_and_capitals() {
        for (text, expected) in [
            ("prod/AppBeta_af63", &["prod", "app", "beta", "af", "63"][..]),
            ("COMPANYthings", &["compan", "ythings"]),
            ("uat/COMPANY", &["uat", "company"]),
            ("ein Übermaß", &["ein", "übermaß"]),
            ("+", &[]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }
}
