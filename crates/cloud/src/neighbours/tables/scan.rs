//! `Scan`: all items of a table or an index, or of one segment of it. Segments cut the table where partition keys are spread, so
//! that each reads its own part alone.

use store::{Direction, Edge};
use wire::dynamodb::{ScanInput, ScanOutput};

use super::attribute::{Item, item_json};
use super::expression::condition::{self, Condition};
use super::legacy;
use super::query::read_start;
use super::record::table;
use super::refusal::invalid;
use super::request::{Together, check_scalars, check_table, listed, paths, projecting};
use super::schema::{sort_bytes, spread};
use super::stretch::{Source, Stretch, Wanted};
use crate::operation::{Answer, Op, ops};
use crate::scope::Read;

pub(crate) const OPS: &[Op] = ops! {
    read scan on any;
};

fn scan(db: Read, input: &ScanInput) -> Answer<ScanOutput> {
    check_table(db, input.table_name())?;
    let together = Together {
        expressions: &[
            ("ProjectionExpression", input.projection_expression().is_some()),
            ("FilterExpression", input.filter_expression().is_some()),
        ],
        older: &[
            ("AttributesToGet", input.attributes_to_get().is_some()),
            ("ScanFilter", input.scan_filter().is_some()),
            ("ConditionalOperator", input.conditional_operator().is_some()),
        ],
        names: input.expression_attribute_names(),
        values: input.expression_attribute_values(),
    };
    together.check()?;
    let listed = listed(input.attributes_to_get())?;
    let older_filter = legacy::filter(input.scan_filter(), input.conditional_operator()).map_err(invalid)?;
    let start = input.exclusive_start_key().map(read_start).transpose()?;
    let segment = segment(input)?;
    let placeholders = together.placeholders()?;
    let filter = input.filter_expression().map(|text| condition::read("FilterExpression", text, &placeholders));
    let filter = filter.transpose().map_err(invalid)?.or(older_filter);
    let paths = paths(input.projection_expression(), listed, &placeholders)?;
    placeholders.check_used().map_err(invalid)?;
    let table = table(db, input.table_name())?;
    let is_consistent = input.consistent_read().unwrap_or_default();
    let source = Source::of(db, &table, input.index_name(), is_consistent)?;
    let (mut from, to) = edges(db, source, segment);
    if let Some(start) = &start {
        check_start(source, start, segment)?;
        from = Edge::Past(source.key(db, start));
    }
    check_scalars(&table, paths.iter().flatten())?;
    check_scalars(&table, filter.iter().flat_map(Condition::paths))?;
    let projecting = projecting(input.projection_expression());
    let wanted = source.wanted(input.select(), paths, (projecting, "Scanning"))?;
    let stretch = Stretch {
        table: &table,
        index: source.index,
        from,
        to,
        direction: Direction::Ascending,
        limit: input.limit().and_then(|limit| usize::try_from(limit).ok()),
        filter,
        wanted,
        is_consistent,
    };
    let page = stretch.read(db)?;
    let told = page.capacity(&stretch, input.return_consumed_capacity(), input.table_name());
    let mut answer = ScanOutput::new().with_count(page.count).with_scanned_count(page.scanned);
    if !matches!(stretch.wanted, Wanted::Count) {
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

/// Which of how many segments.
#[derive(Clone, Copy)]
struct Segment {
    number: i64,
    of: i64,
}

/// How many values the spread of a partition key has.
const SPREAD: i64 = 1 << 16;

impl Segment {
    /// The least spread that belongs to it; one more than there is, if none does any more.
    fn first(self) -> i64 {
        (SPREAD * self.number).div_euclid(self.of) + i64::from(SPREAD * self.number % self.of != 0)
    }

    /// The next segment, whose first spread ends this one.
    fn next(self) -> Self {
        Self { number: self.number + 1, ..self }
    }
}

fn segment(input: &ScanInput) -> Answer<Option<Segment>> {
    match (input.segment(), input.total_segments()) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(invalid(
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
        )),
        (None, Some(_)) => Err(invalid(
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is present",
        )),
        (Some(number), Some(of)) if number >= of => Err(invalid(format!(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: {number} is not less \
             than TotalSegments: {of}"
        ))),
        (Some(number), Some(of)) => Ok(Some(Segment { number, of })),
    }
}

fn edges(db: Read, source: Source, segment: Option<Segment>) -> (Edge, Edge) {
    let all = db.key(source.parts());
    let edge = |first: i64, otherwise: Edge| match u16::try_from(first) {
        Ok(first) => Edge::Before(all.clone().and(first.to_be_bytes())),
        Err(_) => otherwise,
    };
    match segment {
        None => (Edge::Before(all.clone()), Edge::Past(all)),
        Some(segment) => {
            let end = Edge::Past(all.clone());
            (edge(segment.first(), end.clone()), edge(segment.next().first(), end))
        }
    }
}

/// Whether a starting key belongs there, and to the segment.
fn check_start(source: Source, start: &Item, segment: Option<Segment>) -> Answer<()> {
    if source.index.is_some() {
        source.check_names(start).and_then(|()| source.check_start(start)).map_err(invalid)?;
    } else {
        let mismatch = "The provided starting key is invalid: The provided key element does not match the schema";
        source.check_names(start).map_err(|_| invalid(mismatch))?;
        source.check_key(start).map_err(invalid)?;
    }
    let Some(segment) = segment else { return Ok(()) };
    let hash = start.get(&source.schema().hash.name).map(sort_bytes).unwrap_or_default();
    let spread = i64::from(u16::from_be_bytes(spread(&hash)));
    if (segment.first()..segment.next().first()).contains(&spread) {
        return Ok(());
    }
    Err(invalid(format!(
        "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. \
         TotalSegments: {} Segment: {}",
        segment.of, segment.number
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_meet_and_leave_nothing_out() {
        for of in [1, 2, 3, 7, 65_536, 1_000_000] {
            let first = |number| Segment { number, of }.first();
            assert_eq!(first(0), 0);
            assert_eq!(first(of), SPREAD);
            let step = usize::try_from(of / 100 + 1).unwrap();
            assert!((0..of).step_by(step).all(|number| first(number) <= first(number + 1)), "{of}");
        }
    }
}
