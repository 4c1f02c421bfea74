//! What requests about items have in common: which parameters go together, what their expressions say, and what must hold of an
//! item before it is changed.

use serde_json::{Value, json};
use wire::Refusal;

use super::attribute::{Item, item_json, read_item};
use super::expression::condition::{self, Condition};
use super::expression::{Placeholders, projection};
use super::path::Path;
use super::record::{TableRecord, name_of};
use super::refusal::invalid;
use crate::operation::Answer;
use crate::scope::Read;

/// The name of a table that a request gave, if it may be one: asked before anything is looked up.
pub(crate) fn check_table(db: Read, given: &str) -> Answer<()> {
    name_of(db, given).map(drop)
}

/// A map of attributes that a request must have.
pub(crate) fn attributes(value: Option<&Value>) -> Answer<Item> {
    read_item(value.unwrap_or(&Value::Null)).map_err(invalid)
}

/// Refuses expressions beside parameters of the older kind, and names or values beside neither.
pub(crate) struct Together<'r> {
    /// The expressions that the operation takes, and whether they are given.
    pub(crate) expressions: &'r [(&'static str, bool)],
    /// The older parameters.
    pub(crate) older: &'r [(&'static str, bool)],
    pub(crate) names: Option<&'r Value>,
    pub(crate) values: Option<&'r Value>,
}

impl Together<'_> {
    /// The names and values. They are looked at after most else, so this comes apart from the check.
    pub(crate) fn placeholders(&self) -> Answer<Placeholders> {
        Placeholders::read(self.names, self.values).map_err(invalid)
    }

    /// Refuses what does not go together.
    pub(crate) fn check(&self) -> Answer<()> {
        self.try_check().map_err(invalid)
    }

    fn try_check(&self) -> Result<(), String> {
        let given = |of: &[(&'static str, bool)]| -> Vec<&'static str> {
            of.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name).collect()
        };
        let (expressions, older) = (given(self.expressions), given(self.older));
        if !expressions.is_empty() && !older.is_empty() {
            return Err(format!(
                "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: \
                 {{{}}} Expression parameters: {{{}}}",
                older.join(", "),
                expressions.join(", ")
            ));
        }
        if self.names.is_some() && expressions.is_empty() {
            return Err("ExpressionAttributeNames can only be specified when using expressions".to_owned());
        }
        let with_values: Vec<&str> =
            self.expressions.iter().map(|(name, _)| *name).filter(|name| *name != "ProjectionExpression").collect();
        if self.values.is_some() && !expressions.iter().any(|name| with_values.contains(name)) {
            let wrong = "ExpressionAttributeValues can only be specified when using expressions";
            // Writes do not say which. unconfirmed: of UpdateItem and of transactions.
            if with_values.contains(&"ConditionExpression") {
                return Err(wrong.to_owned());
            }
            let verb = if with_values.len() > 1 { "are" } else { "is" };
            return Err(format!("{wrong}: {} {verb} null", with_values.join(" and ")));
        }
        Ok(())
    }
}

/// The paths of the older list of attributes.
pub(crate) fn listed(attributes: Option<Vec<&str>>) -> Answer<Option<Vec<Path>>> {
    attributes.map(|names| super::legacy::attributes_to_get(&names)).transpose().map_err(invalid)
}

/// The paths of a projection, or those that were listed.
pub(crate) fn paths(
    expression: Option<&str>,
    listed: Option<Vec<Path>>,
    placeholders: &Placeholders,
) -> Answer<Option<Vec<Path>>> {
    match expression {
        Some(text) => projection::read(text, placeholders).map(Some).map_err(invalid),
        None => Ok(listed),
    }
}

/// Refuses paths that lead into a key, of the table or of an index: there is nothing in it.
pub(crate) fn check_scalars<'p>(table: &TableRecord, paths: impl IntoIterator<Item = &'p Path>) -> Answer<()> {
    let keys = table.key_attributes();
    let into_key = paths.into_iter().find(|path| !path.steps.is_empty() && keys.contains_key(path.root.as_str()));
    let Some(Path { root, .. }) = into_key else { return Ok(()) };
    let what = if table.schema.has(root) { "Key" } else { "IndexKey" };
    Err(invalid(format!(
        "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: {what}: {root}"
    )))
}

/// The parameter that says which attributes are wanted.
pub(crate) fn projecting(expression: Option<&str>) -> &'static str {
    if expression.is_some() { "ProjectionExpression" } else { "AttributesToGet" }
}

/// What must hold of an item before it is changed.
pub(crate) struct Guard {
    pub(crate) condition: Option<Condition>,
    /// Whether the refusal shows the item.
    pub(crate) is_told: bool,
}

impl Guard {
    /// From an expression.
    pub(crate) fn read(text: Option<&str>, placeholders: &Placeholders, on_failure: Option<&str>) -> Answer<Self> {
        let read = |text| condition::read("ConditionExpression", text, placeholders);
        let condition = text.map(read).transpose().map_err(invalid)?;
        Ok(Self { condition, is_told: on_failure == Some("ALL_OLD") })
    }

    /// The same, or this if it asks nothing.
    pub(crate) fn or(mut self, condition: Option<Condition>) -> Self {
        self.condition = self.condition.or(condition);
        self
    }

    /// The paths that it asks about.
    pub(crate) fn paths(&self) -> Vec<&Path> {
        self.condition.as_ref().map(Condition::paths).unwrap_or_default()
    }

    /// Whether it holds of what is there, if anything is.
    pub(crate) fn holds(&self, before: Option<&Item>) -> bool {
        let empty = Item::new();
        self.condition.as_ref().is_none_or(|condition| condition.holds(before.unwrap_or(&empty)))
    }

    /// Refuses if it does not.
    pub(crate) fn check(&self, before: Option<&Item>) -> Answer<()> {
        if self.holds(before) {
            return Ok(());
        }
        let refusal = Refusal::new("ConditionalCheckFailedException", "The conditional request failed");
        Err(match before.filter(|_| self.is_told) {
            Some(item) => refusal.with("Item", item_json(item)),
            None => refusal,
        }
        .into())
    }
}

/// What is told of the items that share a partition key, where there is a local index over them.
pub(crate) fn collection(wanted: Option<&str>, table: &TableRecord, item: &Item) -> Option<Value> {
    let has_local = table.indexes_that(true).next().is_some();
    let hash = item.get(&table.schema.hash.name).filter(|_| wanted == Some("SIZE") && has_local)?;
    let key = Item::from([(table.schema.hash.name.clone(), hash.clone())]);
    // unconfirmed: an estimate of less than a gigabyte for all of them; nothing here is limited by it.
    Some(json!({"ItemCollectionKey": item_json(&key), "SizeEstimateRangeGB": [0.0, 1.0]}))
}
