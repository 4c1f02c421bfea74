//! What a handler works in: one account and region, a moment, a transaction. Every key starts with account and
//! region, and the wrappers here are the only place that writes such keys, so no noun can forget it.
//! Knows no noun.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use store::{Direction, Edge, Fault, Key, Record, Table};
use wire::Refusal;

use crate::entropy::Entropy;
use crate::figures::Figures;
use crate::house::Books;
use crate::identity::Documents;
use crate::logging::Logging;
use crate::news::News;
use crate::origin::Origin;
use crate::settings::Settings;

/// An account in a region: a world of its own. Names, topics and certificates of two scopes never meet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// Twelve digits.
    pub account: Arc<str>,
    /// The region's name, as in `us-east-1`.
    pub region: Arc<str>,
}

impl Scope {
    /// The scope of this account and region.
    pub fn new(account: &str, region: &str) -> Self {
        Self { account: account.into(), region: region.into() }
    }

    /// `arn:aws:iot:{region}:{account}:{resource}`.
    pub fn arn(&self, resource: fmt::Arguments<'_>) -> String {
        format!("arn:aws:iot:{}:{}:{resource}", self.region, self.account)
    }

    /// The part of `arn` after this scope's prefix, if it is one of ours: `cert/…`, `thing/…`.
    pub fn resource<'a>(&self, arn: &'a str) -> Option<&'a str> {
        let rest = arn.strip_prefix("arn:aws:iot:")?.strip_prefix(&*self.region)?.strip_prefix(':')?;
        rest.strip_prefix(&*self.account)?.strip_prefix(':')
    }

    /// The key of these parts in this scope.
    pub(crate) fn key<P: AsRef<[u8]>>(&self, parts: impl IntoIterator<Item = P>) -> Key {
        parts.into_iter().fold(Key::of([&*self.account, &*self.region]), Key::and)
    }
}

/// A table of the catalogue, and where in an account its records lie.
pub(crate) trait Placed {
    /// What it holds.
    type Record: Record;

    /// The table itself.
    fn table(&self) -> &Table<Self::Record>;

    /// The region of its records, seen from a scope.
    fn region<'s>(&self, scope: &'s Scope) -> &'s str;

    /// The key of a record, or of all that continue these parts.
    fn key<P: AsRef<[u8]>>(&self, scope: &Scope, parts: impl IntoIterator<Item = P>) -> Key {
        parts.into_iter().fold(Key::of([&*scope.account, self.region(scope)]), Key::and)
    }
}

/// Records of one region.
impl<R: Record> Placed for Table<R> {
    type Record = R;

    fn table(&self) -> &Self {
        self
    }

    fn region<'s>(&self, scope: &'s Scope) -> &'s str {
        &scope.region
    }
}

/// Records that are the same in every region of an account, as those of IAM are.
pub(crate) struct Everywhere<R>(pub Table<R>);

impl<R: Record> Placed for Everywhere<R> {
    type Record = R;

    fn table(&self) -> &Table<R> {
        &self.0
    }

    /// What AWS calls the place of its services without a region.
    fn region<'s>(&self, _: &'s Scope) -> &'s str {
        "aws-global"
    }
}

/// One request's surroundings: where it happens, when, and what the house is set to.
pub(crate) struct Context {
    /// Account and region.
    pub scope: Scope,
    /// Milliseconds since the epoch.
    pub now: i64,
    /// The request's own randomness.
    pub entropy: Entropy,
    /// Whence it comes.
    pub origin: Arc<Origin>,
    /// How the house is set up.
    pub settings: Arc<Settings>,
    /// Policies that need not be parsed again.
    pub documents: Arc<Documents>,
    /// What is told in log groups.
    pub logging: Arc<Logging>,
    /// What is counted.
    pub figures: Arc<Figures>,
}

impl Context {
    /// The same, come from there.
    pub(crate) fn from(self, origin: Arc<Origin>) -> Self {
        Self { origin, ..self }
    }

    /// What is told and counted.
    pub(crate) fn books(&self) -> Books {
        Books { logging: Arc::clone(&self.logging), figures: Arc::clone(&self.figures) }
    }

    /// The same surroundings for another write of the same request.
    pub(crate) fn again(&self) -> Self {
        let entropy = self.entropy.fork();
        let (settings, documents) = (Arc::clone(&self.settings), Arc::clone(&self.documents));
        let (origin, logging, figures) =
            (Arc::clone(&self.origin), Arc::clone(&self.logging), Arc::clone(&self.figures));
        Self { scope: self.scope.clone(), now: self.now, entropy, origin, settings, documents, logging, figures }
    }
}

/// A view of one scope. Small enough to copy; helpers that only read take it by value.
#[derive(Clone, Copy)]
pub(crate) struct Read<'a> {
    view: &'a store::Read,
    /// The request's surroundings.
    pub cx: &'a Context,
}

/// One page of a listing: what stands on it, and where the next one starts.
pub(crate) struct Page<R> {
    /// Keys and records, in order.
    pub items: Vec<(Key, R)>,
    /// The opaque token of the next page; absent on the last.
    pub next: Option<String>,
}

impl<R> Page<R> {
    /// The names on it, where a key ends with a name, and the token.
    pub(crate) fn names(self) -> Result<(Vec<String>, Option<String>), Fault> {
        let names: Result<_, Fault> = self.items.iter().map(|(key, _)| key.last_text()).collect();
        Ok((names?, self.next))
    }
}

impl<'a> Read<'a> {
    pub(crate) fn new(view: &'a store::Read, cx: &'a Context) -> Self {
        Self { view, cx }
    }

    /// Milliseconds since the epoch.
    pub(crate) fn now(self) -> i64 {
        self.cx.now
    }

    /// The ARN of `resource` in this scope.
    pub(crate) fn arn(self, resource: fmt::Arguments<'_>) -> String {
        self.cx.scope.arn(resource)
    }

    /// The record at `parts`.
    pub(crate) fn get<T: Placed, P: AsRef<[u8]>>(
        self,
        table: &T,
        parts: impl IntoIterator<Item = P>,
    ) -> Result<Option<T::Record>, Fault> {
        self.view.get(table.table(), &table.key(&self.cx.scope, parts))
    }

    /// The record at a key that no scope owns.
    pub(crate) fn get_global<R: Record>(self, table: &Table<R>, key: &Key) -> Result<Option<R>, Fault> {
        self.view.get(table, key)
    }

    /// The records under a key that no scope owns, at most `limit`.
    pub(crate) fn some_global<R: Record>(
        self,
        table: &Table<R>,
        under: &Key,
        limit: usize,
    ) -> Result<Vec<(Key, R)>, Fault> {
        self.view.range(table, under, None, Direction::Ascending, limit)
    }

    /// The record at `parts`, which the caller named: without it, AWS's 404.
    pub(crate) fn named<T: Placed, P: AsRef<[u8]>>(
        self,
        table: &T,
        parts: impl IntoIterator<Item = P>,
    ) -> Result<T::Record, crate::Failure> {
        let found = self.get(table, parts)?;
        found.ok_or_else(|| Refusal::resource_not_found("The specified resource does not exist").into())
    }

    /// Whether there is a record at `parts`.
    pub(crate) fn contains<T: Placed, P: AsRef<[u8]>>(
        self,
        table: &T,
        parts: impl IntoIterator<Item = P>,
    ) -> Result<bool, Fault> {
        self.view.contains(table.table(), &table.key(&self.cx.scope, parts))
    }

    /// Everything under `parts`, for relations that a quota keeps short.
    pub(crate) fn all<T: Placed, P: AsRef<[u8]>>(
        self,
        table: &T,
        parts: impl IntoIterator<Item = P>,
    ) -> Result<Vec<(Key, T::Record)>, Fault> {
        self.view.range(table.table(), &table.key(&self.cx.scope, parts), None, Direction::Ascending, usize::MAX)
    }

    /// The first records under `parts`, at most `limit`.
    pub(crate) fn some<T: Placed, P: AsRef<[u8]>>(
        self,
        table: &T,
        parts: impl IntoIterator<Item = P>,
        limit: usize,
    ) -> Result<Vec<(Key, T::Record)>, Fault> {
        self.view.range(table.table(), &table.key(&self.cx.scope, parts), None, Direction::Ascending, limit)
    }

    /// The records of a table that come after `parts`, at most `limit`.
    pub(crate) fn after<T: Placed, P: AsRef<[u8]>>(
        self,
        table: &T,
        parts: impl IntoIterator<Item = P>,
        limit: usize,
    ) -> Result<Vec<(Key, T::Record)>, Fault> {
        let (all, after) = (table.key(&self.cx.scope, NO_PARTS), table.key(&self.cx.scope, parts));
        self.view.range(table.table(), &all, Some(&after), Direction::Ascending, limit)
    }

    /// The records under `parts` that come beyond `from`, a continuation of `parts` that need not exist, at most `limit`.
    pub(crate) fn beyond<T: Placed, P: AsRef<[u8]>>(
        self,
        table: &T,
        parts: impl IntoIterator<Item = P>,
        from: impl IntoIterator<Item = P>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Key, T::Record)>, Fault> {
        let under = table.key(&self.cx.scope, parts);
        let from = from.into_iter().fold(under.clone(), Key::and);
        self.view.range(table.table(), &under, Some(&from), direction, limit)
    }

    /// The key of `parts` in this scope, for edges.
    pub(crate) fn key<P: AsRef<[u8]>>(self, parts: impl IntoIterator<Item = P>) -> Key {
        self.cx.scope.key(parts)
    }

    /// Shows the records between two edges one by one until `seen` breaks.
    pub(crate) fn visit<R: Record>(
        self,
        table: &Table<R>,
        edges: (&Edge, &Edge),
        direction: Direction,
        seen: &mut dyn FnMut(Key, R) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        self.view.visit(table, edges, direction, seen)
    }

    /// The first record under `parts`, if any: the cheap question whether there are any.
    pub(crate) fn first<T: Placed, P: AsRef<[u8]>>(
        self,
        table: &T,
        parts: impl IntoIterator<Item = P>,
    ) -> Result<Option<(Key, T::Record)>, Fault> {
        let found = self.view.range(table.table(), &table.key(&self.cx.scope, parts), None, Direction::Ascending, 1)?;
        Ok(found.into_iter().next())
    }

    /// One page of what stands under `parts` and passes `keep`, starting after `token`.
    ///
    /// The token is the last key seen, so a page is stable whatever is added or removed between two calls. A page of which
    /// a filter leaves little ends once much has been looked at, so that none costs more for all there is.
    pub(crate) fn page<T: Placed, P: AsRef<[u8]>>(
        self,
        table: &T,
        parts: impl IntoIterator<Item = P>,
        asked: Asked<'_>,
        mut keep: impl FnMut(&Key, &T::Record) -> bool,
    ) -> Result<Page<T::Record>, crate::Failure> {
        let prefix = table.key(&self.cx.scope, parts);
        let mut after = asked.token.map(|token| read_token(token, &prefix)).transpose()?;
        let mut items: Vec<(Key, T::Record)> = Vec::new();
        // A filter may pass over much, so the table is read a stretch at a time rather than whole.
        let stretch = asked.limit.max(STRETCH) + 1;
        let mut seen = 0;
        loop {
            let read = self.view.range(table.table(), &prefix, after.as_ref(), asked.direction, stretch)?;
            let more = read.len() == stretch;
            after = read.last().map(|(key, _)| key.clone());
            for (key, record) in read {
                if !keep(&key, &record) {
                    continue;
                }
                if items.len() == asked.limit {
                    let next = items.last().map(|(key, _)| wire::page::encode(key.as_bytes()));
                    return Ok(Page { items, next });
                }
                items.push((key, record));
            }
            if !more {
                return Ok(Page { items, next: None });
            }
            seen += stretch;
            if seen >= LOOKED_AT {
                let next = after.map(|key| wire::page::encode(key.as_bytes()));
                return Ok(Page { items, next });
            }
        }
    }

    /// One page of the names under `parts` that begin with `start`, in order: names that do not are not walked through.
    /// Only for tables whose keys end with the name.
    pub(crate) fn page_of_names<R: Record, P: AsRef<[u8]>>(
        self,
        table: &Table<R>,
        parts: impl IntoIterator<Item = P>,
        start: &str,
        asked: Asked<'_>,
    ) -> Result<Page<R>, crate::Failure> {
        let under = table.key(&self.cx.scope, parts);
        let first = under.clone().and(start);
        // Whatever begins with the text has the bytes of its key without the one that closes it.
        let lead = first.as_bytes().strip_suffix(&[0]).unwrap_or_default();
        let from = match asked.token {
            Some(token) => Edge::Past(read_token(token, &under)?),
            None => Edge::Before(first.clone()),
        };
        let mut items: Vec<(Key, R)> = Vec::new();
        let mut is_more = false;
        self.visit(table, (&from, &Edge::Past(under)), Direction::Ascending, &mut |key, record| {
            is_more = key.as_bytes().starts_with(lead) && items.len() == asked.limit;
            if is_more || !key.as_bytes().starts_with(lead) {
                return ControlFlow::Break(());
            }
            items.push((key, record));
            ControlFlow::Continue(())
        })?;
        let last = items.last().filter(|_| is_more);
        let next = last.map(|(key, _)| wire::page::encode(key.as_bytes()));
        Ok(Page { items, next })
    }
}

/// Puts the token of the next page into an answer, if there is a next page.
pub(crate) fn paged<A>(answer: A, next: Option<String>, put: impl FnOnce(A, String) -> A) -> A {
    match next {
        Some(token) => put(answer, token),
        None => answer,
    }
}

/// The key parts of a whole table of a scope.
pub(crate) const NO_PARTS: [&str; 0] = [];

/// A key part that sorts as time does, for the indexes behind listings by date.
pub(crate) fn date_part(milliseconds: i64) -> String {
    format!("{:016x}", milliseconds.max(0))
}

/// How many records a filtered listing reads at a time, and how many who reads all.
const STRETCH: usize = 100;
/// How many a page looks at that a filter leaves empty.
const LOOKED_AT: usize = 1000;
const LONG_STRETCH: usize = 1000;

/// What a caller asked of a listing.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The token of an earlier answer.
    pub token: Option<&'a str>,
    /// The size of a page.
    pub limit: usize,
    /// Which way the keys run.
    pub direction: Direction,
}

impl<'a> Asked<'a> {
    /// A page of `limit` (the model bounds it), or of 50 when the caller does not say.
    // unconfirmed: AWS's default page sizes; 50 is a choice.
    pub(crate) fn new(token: Option<&'a str>, limit: Option<i64>) -> Self {
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0).unwrap_or(50);
        Self { token: token.filter(|token| !token.is_empty()), limit, direction: Direction::Ascending }
    }

    /// The same, newest first unless the caller asked for ascending order: the marker-style listings.
    pub(crate) fn by_date(self, ascending: Option<bool>) -> Self {
        let direction = if ascending == Some(true) { Direction::Ascending } else { Direction::Descending };
        Self { direction, ..self }
    }
}

fn read_token(token: &str, prefix: &Key) -> Result<Key, Refusal> {
    let key = wire::page::decode(token)?;
    Key::from_bytes(&key)
        .filter(|key| key.as_bytes().starts_with(prefix.as_bytes()))
        .ok_or_else(|| Refusal::invalid_request("Invalid token: it is not one that this list gave out."))
}

/// Every row of a table, whatever the scope, a stretch at a time.
pub(crate) fn each<R: Record>(
    view: &store::Read,
    table: &Table<R>,
    mut row: impl FnMut(&Key, R) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut after: Option<Key> = None;
    loop {
        let found = view.range(table, &Key::all(), after.as_ref(), Direction::Ascending, LONG_STRETCH)?;
        let more = found.len() == LONG_STRETCH;
        after = found.last().map(|(key, _)| key.clone());
        for (key, record) in found {
            row(&key, record)?;
        }
        if !more {
            return Ok(());
        }
    }
}

/// A transaction in one scope, and the news that waits for its commit.
pub(crate) struct Write<'a> {
    tx: &'a mut store::Write,
    /// The request's surroundings.
    pub cx: &'a Context,
    news: Vec<News>,
}

impl<'a> Write<'a> {
    pub(crate) fn new(tx: &'a mut store::Write, cx: &'a Context) -> Self {
        cx.entropy.rewind();
        Self { tx, cx, news: Vec::new() }
    }

    /// What a reader of this transaction sees.
    pub(crate) fn view(&self) -> Read<'_> {
        Read { view: self.tx, cx: self.cx }
    }

    /// Milliseconds since the epoch.
    pub(crate) fn now(&self) -> i64 {
        self.cx.now
    }

    /// A new UUID.
    pub(crate) fn uuid(&self) -> String {
        self.cx.entropy.uuid()
    }

    /// Puts `record` at `parts`, over whatever was there.
    pub(crate) fn put<T: Placed, P: AsRef<[u8]>>(
        &mut self,
        table: &T,
        parts: impl IntoIterator<Item = P>,
        record: &T::Record,
    ) -> Result<(), Fault> {
        self.tx.put(table.table(), &table.key(&self.cx.scope, parts), record)
    }

    /// Takes away what is at `parts`, if anything is.
    pub(crate) fn delete<T: Placed, P: AsRef<[u8]>>(
        &mut self,
        table: &T,
        parts: impl IntoIterator<Item = P>,
    ) -> Result<(), Fault> {
        self.tx.delete(table.table(), &table.key(&self.cx.scope, parts))
    }

    /// Takes away what is at a key that a listing found.
    pub(crate) fn delete_at<R: Record>(&mut self, table: &Table<R>, key: &Key) -> Result<(), Fault> {
        self.tx.delete(table, key)
    }

    /// Puts `record` at a key that no scope owns: what leads from the outside to a scope.
    pub(crate) fn put_global<R: Record>(&mut self, table: &Table<R>, key: &Key, record: &R) -> Result<(), Fault> {
        self.tx.put(table, key, record)
    }

    /// Takes away what is at a key that no scope owns.
    pub(crate) fn delete_global<R: Record>(&mut self, table: &Table<R>, key: &Key) -> Result<(), Fault> {
        self.tx.delete(table, key)
    }

    /// Something to tell once the commit is on disk; never told if it is refused or fails.
    pub(crate) fn tell(&mut self, news: News) {
        self.news.push(news);
    }

    /// Takes what is to be told.
    pub(crate) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_belongs_to_its_own_scope_only() {
        let scope = Scope::new("000000000000", "us-east-1");
        assert_eq!(scope.resource("arn:aws:iot:us-east-1:000000000000:cert/ab"), Some("cert/ab"));
        assert_eq!(scope.resource("arn:aws:iot:us-east-2:000000000000:cert/ab"), None);
        assert_eq!(scope.resource("arn:aws:iot:us-east-1:000000000001:cert/ab"), None);
    }
}
