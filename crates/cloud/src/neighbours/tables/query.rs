//! `Query`: the items of one partition key, in the order of their sort keys, and between whatever the condition on those says.

use store::{Direction, Edge};
use wire::dynamodb::{QueryInput, QueryOutput};

use super::attribute::{Attribute, Item, item_json, read_item};
use super::expression::condition::{self, Comparator, Condition};
use super::expression::key_condition::{self, Asked};
use super::legacy;
use super::record::table;
use super::refusal::invalid;
use super::request::{Together, check_table, paths};
use super::schema::{Schema, sort_bytes, spread};
use super::stretch::{Source, Stretch};
use crate::operation::{Answer, Op, ops};
use crate::scope::Read;

pub(crate) const OPS: &[Op] = ops! {
    read query on any;
};

fn query(db: Read, input: &QueryInput) -> Answer<QueryOutput> {
    check_table(db, input.table_name())?;
    let together = Together {
        expressions: &[
            ("ProjectionExpression", input.projection_expression().is_some()),
            ("FilterExpression", input.filter_expression().is_some()),
            ("KeyConditionExpression", input.key_condition_expression().is_some()),
        ],
        older: &[
            ("AttributesToGet", input.attributes_to_get().is_some()),
            ("QueryFilter", input.query_filter().is_some()),
            ("ConditionalOperator", input.conditional_operator().is_some()),
            ("KeyConditions", input.key_conditions().is_some() && input.key_condition_expression().is_some()),
        ],
        names: input.expression_attribute_names(),
        values: input.expression_attribute_values(),
    };
    let placeholders = together.read()?;
    let asked = match (input.key_condition_expression(), input.key_conditions()) {
        (Some(text), _) => key_condition::read(text, &placeholders).map_err(invalid)?,
        (None, Some(conditions)) => legacy::key_conditions(conditions).map_err(invalid)?,
        (None, None) => {
            return Err(invalid(
                "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
            ));
        }
    };
    let filter = match input.filter_expression() {
        Some(text) => Some(condition::read("FilterExpression", text, &placeholders).map_err(invalid)?),
        None => legacy::filter(input.query_filter(), input.conditional_operator()).map_err(invalid)?,
    };
    let paths = paths(input.projection_expression(), input.attributes_to_get(), &placeholders)?;
    placeholders.check_used().map_err(invalid)?;
    let start = input.exclusive_start_key().map(read_start).transpose()?;
    let table = table(db, input.table_name())?;
    let is_consistent = input.consistent_read().unwrap_or_default();
    let source = Source::of(db, &table, input.index_name(), is_consistent)?;
    let wanted = source.wanted(input.select(), paths, true)?;
    let (hash, range) = conditions(source.schema(), asked)?;
    let is_older = input.query_filter().is_some();
    check_filter(source, filter.as_ref(), is_older)?;
    let mut stretch = Stretch {
        table: &table,
        index: source.index,
        from: Edge::Before(db.key(source.parts())),
        to: Edge::Past(db.key(source.parts())),
        direction: if input.scan_index_forward() == Some(false) { Direction::Descending } else { Direction::Ascending },
        limit: input.limit().and_then(|limit| usize::try_from(limit).ok()),
        filter,
        wanted,
    };
    (stretch.from, stretch.to) = edges(db, source, &hash, range.as_ref());
    if let Some(start) = &start {
        check_start(source, start, &hash, range.as_ref())?;
        match stretch.direction {
            Direction::Ascending => stretch.from = Edge::Past(source.key(db, start)),
            Direction::Descending => stretch.to = Edge::Before(source.key(db, start)),
        }
    }
    answer(db, input, &stretch, is_consistent)
}

fn answer(db: Read, input: &QueryInput, stretch: &Stretch, is_consistent: bool) -> Answer<QueryOutput> {
    let page = stretch.read(db)?;
    let told = page.capacity(stretch, is_consistent, input.return_consumed_capacity(), input.table_name());
    let mut answer = QueryOutput::new().with_count(page.count).with_scanned_count(page.scanned);
    if !matches!(stretch.wanted, super::stretch::Wanted::Count) {
        answer = answer.with_items(page.items);
    }
    if let Some(last) = &page.last {
        answer = answer.with_last_evaluated_key(item_json(last));
    }
    Ok(match told {
        Some(told) => answer.with_consumed_capacity(told),
        None => answer,
    })
}

/// A starting key, as far as it is one of any table.
pub(crate) fn read_start(start: &serde_json::Value) -> Answer<Item> {
    read_item(start).map_err(|wrong| {
        // Most of what may be wrong is told with words before it, and what is wrong with numbers and sets without.
        let is_bare = ["numeric value", "significant digits", "magnitude", "duplicates", "number set"];
        let is_bare = is_bare.iter().any(|part| wrong.contains(part));
        invalid(if is_bare { wrong } else { format!("The provided starting key is invalid: {wrong}") })
    })
}

/// The partition key, and what is asked of the sort key.
fn conditions(schema: &Schema, asked: Vec<(String, Asked)>) -> Answer<(Attribute, Option<Asked>)> {
    let (mut hash, mut range) = (None, None);
    let count = asked.len();
    for (name, asked) in asked {
        if name == schema.hash.name {
            hash = Some(asked);
        } else if schema.range.as_ref().is_some_and(|field| field.name == name) {
            range = Some(asked);
        }
    }
    let missed = |name: &str| invalid(format!("Query condition missed key schema element: {name}"));
    if schema.range.is_none() && count > 1 && hash.is_some() {
        return Err(invalid("Query key condition not supported"));
    }
    let hash = hash.ok_or_else(|| missed(&schema.hash.name))?;
    if let Some(field) = schema.range.as_ref().filter(|_| count > 1 && range.is_none()) {
        return Err(missed(&field.name));
    }
    let fits = |asked: &Asked, kind| asked.values().iter().all(|value| value.kind() == kind);
    let range_kind = schema.range.as_ref().map_or(schema.hash.kind, |field| field.kind).kind();
    if !fits(&hash, schema.hash.kind.kind()) || range.as_ref().is_some_and(|range| !fits(range, range_kind)) {
        return Err(invalid(
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        ));
    }
    if matches!(range, Some(Asked::Compare(Comparator::Unequal, _))) {
        return Err(invalid("Query key condition not supported"));
    }
    let hash = hash.equal().cloned().ok_or_else(|| invalid("Query key condition not supported"))?;
    let key = Item::from([(schema.hash.name.clone(), hash.clone())]);
    let alone = Schema { hash: schema.hash.clone(), range: None };
    alone.place_of_key(&key).map_err(invalid)?;
    Ok((hash, range))
}

/// Refuses a filter that asks about keys: the condition on those is elsewhere.
fn check_filter(source: Source, filter: Option<&Condition>, is_older: bool) -> Answer<()> {
    let paths = filter.map(Condition::paths).unwrap_or_default();
    match paths.iter().find(|path| source.schema().has(&path.root)) {
        Some(path) => {
            let what = if is_older { "QueryFilter" } else { "Filter Expression" };
            Err(invalid(format!(
                "{what} can only contain non-primary key attributes: Primary key attribute: {}",
                path.root
            )))
        }
        None => Ok(()),
    }
}

/// The edges of what is asked for.
fn edges(db: Read, source: Source, hash: &Attribute, range: Option<&Asked>) -> (Edge, Edge) {
    let hash = sort_bytes(hash);
    let mut parts = source.parts();
    parts.extend([spread(&hash).to_vec(), hash]);
    let all = db.key(&parts);
    let at = |value: &Attribute| all.clone().and(sort_bytes(value));
    let (first, last) = (Edge::Before(all.clone()), Edge::Past(all.clone()));
    match range {
        None => (first, last),
        Some(Asked::Between(low, high)) => (Edge::Before(at(low)), Edge::Past(at(high))),
        Some(Asked::BeginsWith(prefix)) => {
            let to = after_prefix(sort_bytes(prefix)).map_or(last, |next| Edge::Before(all.clone().and(next)));
            (Edge::Before(at(prefix)), to)
        }
        Some(Asked::Compare(comparator, value)) => match comparator {
            Comparator::Equal | Comparator::Unequal => (Edge::Before(at(value)), Edge::Past(at(value))),
            Comparator::Less => (first, Edge::Before(at(value))),
            Comparator::LessOrEqual => (first, Edge::Past(at(value))),
            Comparator::Greater => (Edge::Past(at(value)), last),
            Comparator::GreaterOrEqual => (Edge::Before(at(value)), last),
        },
    }
}

/// The first bytes that come after all that begin so; none, if they begin with nothing but the last byte there is.
fn after_prefix(mut prefix: Vec<u8>) -> Option<Vec<u8>> {
    while let Some(last) = prefix.pop() {
        if let Some(next) = last.checked_add(1) {
            prefix.push(next);
            return Some(prefix);
        }
    }
    None
}

/// Whether a starting key lies within what is asked for.
fn check_start(source: Source, start: &Item, hash: &Attribute, range: Option<&Asked>) -> Answer<()> {
    source.check_start(start).map_err(invalid)?;
    let schema = source.schema();
    let is_hash = start.get(&schema.hash.name) == Some(hash);
    let key = schema.range.as_ref().and_then(|field| start.get(&field.name));
    match range.zip(key) {
        Some((asked, key)) if !asked.holds(key) => {
            Err(invalid("The provided starting key does not match the range key predicate"))
        }
        Some(_) if !is_hash => Err(invalid("The query can return at most one row and cannot be restarted")),
        None if !is_hash => {
            Err(invalid("The provided starting key is outside query boundaries based on provided conditions"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_a_prefix() {
        assert_eq!(after_prefix(b"ab".to_vec()), Some(b"ac".to_vec()));
        assert_eq!(after_prefix(b"a\xFF\xFF".to_vec()), Some(b"b".to_vec()));
        assert_eq!(after_prefix(b"\xFF".to_vec()), None);
        assert_eq!(after_prefix(Vec::new()), None);
    }
}
