//! `Query`: the items of one partition key, in the order of their sort keys, and between whatever the condition on those says.

use store::{Direction, Edge};
use wire::dynamodb::{QueryInput, QueryOutput};

use super::attribute::{Attribute, Item, item_json, read_item};
use super::expression::condition::{self, Comparator, Condition};
use super::expression::key_condition::{self, Asked as KeyAsked};
use super::legacy;
use super::path::Path;
use super::record::{TableRecord, table};
use super::refusal::invalid;
use super::request::{Together, check_scalars, check_table, listed, paths, projecting};
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
    together.check()?;
    let older_filter = legacy::filter(input.query_filter(), input.conditional_operator()).map_err(invalid)?;
    let listed = listed(input.attributes_to_get())?;
    let start = input.exclusive_start_key().map(read_start).transpose()?;
    let older_keys = input.key_conditions().filter(|_| input.key_condition_expression().is_none());
    if input.key_condition_expression().is_none() && older_keys.is_none() {
        return Err(invalid(
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
        ));
    }
    let placeholders = together.placeholders()?;
    let keys = input.key_condition_expression().map(|text| key_condition::read(text, &placeholders));
    let keys = keys.transpose().map_err(invalid)?;
    let filter = input.filter_expression().map(|text| condition::read("FilterExpression", text, &placeholders));
    let filter = filter.transpose().map_err(invalid)?.or(older_filter);
    let paths = paths(input.projection_expression(), listed, &placeholders)?;
    placeholders.check_used().map_err(invalid)?;
    let keys = match keys {
        Some(condition) => key_condition::asked(condition),
        None => older_keys.map_or_else(|| Ok(Vec::new()), legacy::key_conditions),
    };
    let keys = keys.map_err(invalid)?;
    let is_older = input.key_condition_expression().is_none();
    if keys.is_empty() || (is_older && keys.len() > 2) {
        return Err(invalid("Conditions can be of length 1 or 2 only"));
    }
    let table = table(db, input.table_name())?;
    answer(db, input, &table, Asked { keys, filter, paths, start })
}

/// What a query asks for, as far as that is sound without its table.
struct Asked {
    keys: Vec<(String, KeyAsked)>,
    filter: Option<Condition>,
    paths: Option<Vec<Path>>,
    start: Option<Item>,
}

fn answer(db: Read, input: &QueryInput, table: &TableRecord, asked: Asked) -> Answer<QueryOutput> {
    let is_consistent = input.consistent_read().unwrap_or_default();
    let source = Source::of(db, table, input.index_name(), is_consistent)?;
    if let Some(start) = &asked.start {
        source.check_names(start).map_err(invalid)?;
    }
    let (hash, range) = conditions(source.schema(), asked.keys)?;
    if let Some(start) = &asked.start {
        source.check_start(start).map_err(invalid)?;
        check_start(source, start, &hash, range.as_ref())?;
    }
    check_scalars(table, asked.paths.iter().flatten())?;
    check_filter(source, asked.filter.as_ref(), input.query_filter().is_some())?;
    let projecting = projecting(input.projection_expression());
    let wanted = source.wanted(input.select(), asked.paths, (projecting, "Querying"))?;
    let (mut from, mut to) = edges(db, source, &hash, range.as_ref());
    let is_backward = input.scan_index_forward() == Some(false);
    match asked.start.map(|start| source.key(db, &start)) {
        Some(start) if is_backward => to = Edge::Before(start),
        Some(start) => from = Edge::Past(start),
        None => {}
    }
    let stretch = Stretch {
        table,
        index: source.index,
        from,
        to,
        direction: if is_backward { Direction::Descending } else { Direction::Ascending },
        limit: input.limit().and_then(|limit| usize::try_from(limit).ok()),
        filter: asked.filter,
        wanted,
        is_consistent,
    };
    told(db, input, &stretch)
}

fn told(db: Read, input: &QueryInput, stretch: &Stretch) -> Answer<QueryOutput> {
    let page = stretch.read(db)?;
    let told = page.capacity(stretch, input.return_consumed_capacity(), input.table_name());
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
fn conditions(schema: &Schema, asked: Vec<(String, KeyAsked)>) -> Answer<(Attribute, Option<KeyAsked>)> {
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
    if count > 2 {
        let most = schema.fields().count();
        return Err(invalid(format!(
            "The number of query conditions ({count}) exceeds the number of key attributes defined in the schema ({most})"
        )));
    }
    if schema.range.is_none() && count > 1 {
        return Err(invalid("Query key condition not supported"));
    }
    let hash = hash.ok_or_else(|| missed(&schema.hash.name))?;
    if let Some(field) = schema.range.as_ref().filter(|_| count > 1 && range.is_none()) {
        return Err(missed(&field.name));
    }
    if [Some(&hash), range.as_ref()].into_iter().flatten().any(|asked| *asked == KeyAsked::Unindexable) {
        return Err(invalid("Attempted conditional constraint is not an indexable operation"));
    }
    let fits = |asked: &KeyAsked, kind| asked.values().iter().all(|value| value.kind() == kind);
    let range_kind = schema.range.as_ref().map_or(schema.hash.kind, |field| field.kind).kind();
    if !fits(&hash, schema.hash.kind.kind()) || range.as_ref().is_some_and(|range| !fits(range, range_kind)) {
        return Err(invalid(
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        ));
    }
    let hash = hash.equal().cloned().ok_or_else(|| invalid("Query key condition not supported"))?;
    let key = Item::from([(schema.hash.name.clone(), hash.clone())]);
    let alone = Schema { hash: schema.hash.clone(), range: None };
    alone.place_of_key(&key).map_err(invalid)?;
    for value in range.iter().flat_map(KeyAsked::values) {
        schema.range.as_ref().map_or(Ok(()), |field| field.check_not_empty(value)).map_err(invalid)?;
    }
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
        None => check_scalars(source.table, paths),
    }
}

/// The edges of what is asked for.
fn edges(db: Read, source: Source, hash: &Attribute, range: Option<&KeyAsked>) -> (Edge, Edge) {
    let hash = sort_bytes(hash);
    let mut parts = source.parts();
    parts.extend([spread(&hash).to_vec(), hash]);
    let all = db.key(&parts);
    let at = |value: &Attribute| all.clone().and(sort_bytes(value));
    let (first, last) = (Edge::Before(all.clone()), Edge::Past(all.clone()));
    match range {
        None | Some(KeyAsked::Unindexable) => (first, last),
        Some(KeyAsked::Between(low, high)) => (Edge::Before(at(low)), Edge::Past(at(high))),
        Some(KeyAsked::BeginsWith(prefix)) => {
            let to = after_prefix(sort_bytes(prefix)).map_or(last, |next| Edge::Before(all.clone().and(next)));
            (Edge::Before(at(prefix)), to)
        }
        Some(KeyAsked::Compare(comparator, value)) => match comparator {
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
fn check_start(source: Source, start: &Item, hash: &Attribute, range: Option<&KeyAsked>) -> Answer<()> {
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
