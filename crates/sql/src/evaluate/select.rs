//! `SELECT`: what a list makes of the payload or of a row, queries over arrays and objects, and the result as text. Where
//! the result goes is not known here.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Evaluated, Evaluation, LONGEST, Row, Stop};
use crate::expression::{Expression, Item, Name, Query, Select};
use crate::value::{Members, Value};

impl<'d> Evaluation<'d, '_> {
    /// `(SELECT … FROM …)`: an array of what each element of an array gives, or what an object gives.
    pub(super) fn query(&mut self, query: &'d Query) -> Evaluated<'d> {
        let from = self.value(&query.from)?;
        if from.is_object() {
            return self.row(query, from).map(|found| found.unwrap_or(Value::Undefined));
        }
        if !from.is_array() {
            return Ok(Value::Undefined);
        }
        let mut rows = Vec::new();
        for element in from.elements() {
            // unconfirmed: a row whose value is Undefined leaves no trace, as in any array.
            rows.extend(self.row(query, element)?.filter(|row| !row.is_undefined()));
        }
        Ok(Value::array(rows))
    }

    /// `EXISTS (SELECT …)`: whether there is a row. What the list would make of it is not asked.
    pub(super) fn exists(&mut self, query: &'d Query) -> Evaluated<'d> {
        let from = self.value(&query.from)?;
        if from.is_object() {
            return self.in_row(query, from, Self::fits).map(Value::Bool);
        }
        for element in from.elements() {
            if self.in_row(query, element, Self::fits)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }

    fn row(&mut self, query: &'d Query, value: Value<'d>) -> Result<Option<Value<'d>>, Stop> {
        self.in_row(query, value, |evaluation, query| {
            if evaluation.fits(query)? { evaluation.select(&query.select).map(Some) } else { Ok(None) }
        })
    }

    fn fits(&mut self, query: &'d Query) -> Result<bool, Stop> {
        query.filter.as_ref().map_or(Ok(true), |filter| self.is_true(filter))
    }

    fn in_row<T>(
        &mut self,
        query: &'d Query,
        value: Value<'d>,
        then: impl FnOnce(&mut Self, &'d Query) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        self.charge(1)?;
        let implied = match &query.from {
            Expression::Name(name) => Some(&**name),
            Expression::Member(_, members) => members.last().map(|name| &**name),
            _ => None,
        };
        self.rows.push(Row { alias: query.alias.as_deref(), implied, value });
        let done = then(self, query);
        self.rows.pop();
        done
    }

    /// Whether a condition is true, and neither false nor anything else.
    pub(crate) fn is_true(&mut self, condition: &'d Expression) -> Result<bool, Stop> {
        Ok(self.value(condition)?.to_bool() == Some(true))
    }

    /// What a list makes of the payload or row at hand.
    fn select(&mut self, select: &'d Select) -> Evaluated<'d> {
        let items = match select {
            Select::Value(value) => return self.value(value),
            Select::Items(items) => items,
        };
        if let [Item { expression: Expression::Star, path: None, .. }] = &**items {
            return self.star();
        }
        let mut members = Members::new();
        for item in items {
            let value = self.value(&item.expression)?;
            self.charge_breadth(members.len())?;
            match &item.path {
                Some(path) => put_at(&mut members, path, value),
                None => self.spread(&mut members, &value)?,
            }
        }
        Ok(Value::object(members))
    }

    /// Takes over all members of a value.
    fn spread(&mut self, members: &mut Members<'d>, value: &Value<'d>) -> Result<(), Stop> {
        let mut added = value.members();
        self.charge(added.len() as u64 * (members.len() as u64 + 1))?;
        if members.is_empty() {
            members.append(&mut added);
        }
        for (name, value) in added {
            put(members, name, value);
        }
        Ok(())
    }
}

/// The result of a statement as JSON; nothing if it is Undefined.
pub(crate) fn output<'d>(evaluation: &mut Evaluation<'d, '_>, select: &'d Select) -> Result<Bytes, Stop> {
    let bytes = match evaluation.select(select)? {
        // unconfirmed: an array at the top needs 2016-03-23; before, there is no result but an empty one.
        value if value.is_array() && !evaluation.whole() => Bytes::new(),
        value => {
            let mut out = String::with_capacity(256);
            value.print(evaluation.whole(), &mut out);
            out.into()
        }
    };
    if bytes.len() > LONGEST {
        return Err(Stop::exceeded(format!("the result takes {} bytes; {LONGEST} are allowed", bytes.len())));
    }
    Ok(bytes)
}

/// Gives a member its value, in the place of the last of its name if there is one.
/// unconfirmed: an Undefined value leaves a member of its name as it is.
pub(crate) fn put<'d>(members: &mut Members<'d>, name: Cow<'d, str>, value: Value<'d>) {
    if value.is_undefined() {
        return;
    }
    match members.iter_mut().rev().find(|(key, _)| *key == name) {
        Some((_, old)) => *old = value,
        None => members.push((name, value)),
    }
}

/// Gives a member of members its value: `AS a.b` is an object in an object.
fn put_at<'d>(members: &mut Members<'d>, path: &'d [Name], value: Value<'d>) {
    let [first, rest @ ..] = path else { return };
    if rest.is_empty() || value.is_undefined() {
        return put(members, Cow::Borrowed(first), value);
    }
    if !members.iter().any(|(key, _)| **key == **first) {
        members.push((Cow::Borrowed(first), Value::Undefined));
    }
    let Some((_, inner)) = members.iter_mut().rev().find(|(key, _)| **key == **first) else { return };
    let mut object = inner.members();
    put_at(&mut object, rest, value);
    *inner = Value::object(object);
}
