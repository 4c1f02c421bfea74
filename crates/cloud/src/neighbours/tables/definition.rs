//! From what `CreateTable` and `UpdateTable` ask for to a record, with DynamoDB's words for what does not go together. Nothing is
//! read or written here.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use wire::dynamodb::{
    AttributeDefinition, CreateTableInput, GlobalSecondaryIndex, KeySchemaElement, LocalSecondaryIndex,
    Projection as WireProjection, ProvisionedThroughput,
};

use super::record::{Billing, Index, Projection};
use super::refusal::{invalid, not_built};
use super::schema::{Field, Scalar, Schema};
use crate::operation::{Answer, Failure};

/// The most indexes of each kind.
const MAX_LOCAL: usize = 5;
pub(crate) const MAX_GLOBAL: usize = 20;

/// The most attributes that the indexes of a table name for projection.
const MAX_PROJECTED: usize = 100;

/// The longest name of a key attribute or of one that an index names.
const MAX_KEY_NAME: usize = 255;

/// The most units of capacity that can be asked for.
const MAX_UNITS: i64 = 1_000_000_000_000;

fn wrong(message: impl std::fmt::Display) -> Failure {
    invalid(format!("One or more parameter values were invalid: {message}"))
}

/// Members of a table or an index that are kept to be told again: nothing here is limited by them.
const SETTINGS: [&str; 3] = ["OnDemandThroughput", "TableClass", "WarmThroughput"];

/// The members named by `SETTINGS`, where they are given.
pub(crate) fn settings(given: [Option<Value>; 3]) -> Map<String, Value> {
    let named = SETTINGS.into_iter().zip(given);
    named.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The types that a request gives to attributes.
pub(crate) struct Definitions(BTreeMap<String, Scalar>);

impl Definitions {
    /// As the request has them, each once. What the table `known` has already may not become something else.
    pub(crate) fn read(definitions: &[AttributeDefinition], known: &BTreeMap<String, Scalar>) -> Answer<Self> {
        let mut kinds = BTreeMap::new();
        for definition in definitions {
            let (name, kind) = (definition.attribute_name(), definition.attribute_type());
            check_key_name(name)?;
            let kind = Scalar::named(kind).ok_or_else(|| wrong(format!("Unknown attribute type: {kind}")))?;
            // unconfirmed: the words of both.
            if kinds.insert(name.to_owned(), kind).is_some() {
                return Err(wrong(format!("Duplicate AttributeName in AttributeDefinitions: {name}")));
            }
            if known.get(name).is_some_and(|known| *known != kind) {
                return Err(wrong(format!("Attribute {name} is redefined with another type in AttributeDefinitions")));
            }
        }
        Ok(Self(kinds))
    }

    /// A key schema, if it is one.
    pub(crate) fn schema(&self, elements: &[KeySchemaElement]) -> Answer<Schema> {
        let names: Vec<&str> = elements.iter().map(KeySchemaElement::attribute_name).collect();
        names.iter().try_for_each(|name| check_key_name(name))?;
        if elements.len() > self.0.len() && !self.0.is_empty() {
            return Err(invalid("Invalid KeySchema: Some index key attribute have no definition"));
        }
        if names.iter().any(|name| !self.0.contains_key(*name)) {
            let (keys, defined) = (names.join(", "), self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
            return Err(wrong(format!(
                "Some index key attributes are not defined in AttributeDefinitions. Keys: [{keys}], AttributeDefinitions: \
                 [{defined}]"
            )));
        }
        if names.len() == 2 && names[0] == names[1] {
            return Err(invalid("Both the Hash Key and the Range Key element in the KeySchema have the same name"));
        }
        if elements.first().is_none_or(|first| first.key_type() != "HASH") {
            return Err(invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type"));
        }
        if elements.get(1).is_some_and(|second| second.key_type() != "RANGE") {
            return Err(invalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type"));
        }
        if elements.len() > 2 {
            return Err(invalid(
                "1 validation error detected: Value at 'keySchema' failed to satisfy constraint: Member must have length \
                 less than or equal to 2",
            ));
        }
        let field = |name: &&str| self.0.get(*name).map(|kind| Field { name: (*name).to_owned(), kind: *kind });
        let hash = names.first().and_then(field);
        let hash = hash.ok_or_else(|| invalid("Invalid KeySchema: Some index key attribute have no definition"))?;
        Ok(Schema { hash, range: names.get(1).and_then(field) })
    }

    /// Refuses definitions that nothing uses.
    fn check_used(&self, schema: &Schema, indexes: &[Index]) -> Answer<()> {
        let used = |name: &String| schema.has(name) || indexes.iter().any(|index| index.schema.has(name));
        if self.0.keys().all(used) {
            return Ok(());
        }
        if indexes.is_empty() {
            return Err(wrong(
                "Number of attributes in KeySchema does not exactly match number of attributes defined in \
                 AttributeDefinitions",
            ));
        }
        let defined = self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let keys = self.0.keys().filter(|name| used(name)).map(String::as_str).collect::<Vec<_>>().join(", ");
        Err(wrong(format!(
            "Some AttributeDefinitions are not used. AttributeDefinitions: [{defined}], keys used: [{keys}]"
        )))
    }
}

fn check_key_name(name: &str) -> Answer<()> {
    if name.len() > MAX_KEY_NAME {
        return Err(wrong(format!("Attribute names of keys and indexes are at most {MAX_KEY_NAME} bytes long")));
    }
    Ok(())
}

/// The parts of a new table that its request decides.
pub(crate) struct Definition {
    pub(crate) schema: Schema,
    pub(crate) billing: Billing,
    pub(crate) indexes: Vec<Index>,
}

/// What `CreateTable` asks for.
pub(crate) fn of(input: &CreateTableInput) -> Answer<Definition> {
    refuse_unbuilt(input)?;
    let billing = billing(input.billing_mode(), input.provisioned_throughput().as_ref())?;
    let definitions = input.attribute_definitions().unwrap_or_default();
    let definitions = Definitions::read(&definitions, &BTreeMap::new())?;
    let schema = definitions.schema(&input.key_schema().unwrap_or_default())?;
    let mut indexes = Vec::new();
    if let Some(local) = input.local_secondary_indexes() {
        local_indexes(&definitions, &schema, &local, &mut indexes)?;
    }
    if let Some(global) = input.global_secondary_indexes() {
        if global.is_empty() {
            return Err(wrong("List of GlobalSecondaryIndexes is empty"));
        }
        for asked in &global {
            let index = global_index(&definitions, asked, billing)?;
            push(&mut indexes, index)?;
        }
        if global.len() > MAX_GLOBAL {
            return Err(wrong(format!("GlobalSecondaryIndex count exceeds the per-table limit of {MAX_GLOBAL}")));
        }
    }
    check_projected(&indexes)?;
    definitions.check_used(&schema, &indexes)?;
    Ok(Definition { schema, billing, indexes })
}

/// What would change what a table does, and does not here.
fn refuse_unbuilt(input: &CreateTableInput) -> Answer<()> {
    if input.stream_specification().is_some_and(|stream| stream.stream_enabled() == Some(true)) {
        return Err(not_built("StreamSpecification"));
    }
    if input.sse_specification().is_some_and(|sse| sse.enabled() == Some(true)) {
        return Err(not_built("SSESpecification"));
    }
    let given = [
        ("ResourcePolicy", input.resource_policy().is_some()),
        ("GlobalTableSourceArn", input.global_table_source_arn().is_some()),
        ("VectorIndexes", input.vector_indexes().is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((name, _)) => Err(not_built(name)),
        None => Ok(()),
    }
}

/// How capacity is to be paid for.
pub(crate) fn billing(mode: Option<&str>, throughput: Option<&ProvisionedThroughput>) -> Answer<Billing> {
    if mode == Some("PAY_PER_REQUEST") {
        return match throughput {
            Some(_) => Err(wrong(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
            )),
            None => Ok(Billing::OnDemand { since: None }),
        };
    }
    let throughput = throughput.ok_or_else(|| {
        wrong("ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
    })?;
    let (read, write) = units(throughput)?;
    Ok(Billing::Provisioned { read, write })
}

/// The units of reading and writing, if there are so many.
pub(crate) fn units(throughput: &ProvisionedThroughput) -> Answer<(i64, i64)> {
    let read = throughput.read_capacity_units().unwrap_or_default();
    let write = throughput.write_capacity_units().unwrap_or_default();
    for (units, name) in [(read, "ReadCapacityUnits"), (write, "WriteCapacityUnits")] {
        if units > MAX_UNITS {
            return Err(invalid(format!("Given value {units} for {name} is out of bounds")));
        }
    }
    Ok((read, write))
}

fn local_indexes(
    definitions: &Definitions,
    table: &Schema,
    asked: &[LocalSecondaryIndex],
    indexes: &mut Vec<Index>,
) -> Answer<()> {
    if asked.is_empty() {
        return Err(wrong("List of LocalSecondaryIndexes is empty"));
    }
    if table.range.is_none() {
        return Err(wrong(
            "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
        ));
    }
    for asked in asked {
        let name = asked.index_name();
        let schema = definitions.schema(&asked.key_schema().unwrap_or_default())?;
        if schema.range.is_none() {
            return Err(wrong(format!("Index KeySchema does not have a range key for index: {name}")));
        }
        if schema.hash.name != table.hash.name {
            return Err(wrong(format!(
                "Index KeySchema does not have the same leading hash key as table KeySchema for index: {name}. index hash \
                 key: {}, table hash key: {}",
                schema.hash.name, table.hash.name
            )));
        }
        let projection = projection(asked.projection().as_ref())?;
        push(
            indexes,
            Index {
                name: name.to_owned(),
                number: 0,
                is_local: true,
                schema,
                projection,
                throughput: None,
                settings: Map::new(),
            },
        )?;
    }
    if asked.len() > MAX_LOCAL {
        return Err(wrong(format!("Number of LocalSecondaryIndexes exceeds per-table limit of {MAX_LOCAL}")));
    }
    Ok(())
}

/// A global index, as a table or an update of one asks for it.
pub(crate) fn global_index(definitions: &Definitions, asked: &GlobalSecondaryIndex, billing: Billing) -> Answer<Index> {
    let name = asked.index_name();
    let keys = asked.key_schema().unwrap_or_default();
    if keys.len() > 2 {
        return Err(not_built("A global index with more than one partition key and one sort key"));
    }
    let schema = definitions.schema(&keys)?;
    let projection = projection(asked.projection().as_ref())?;
    let throughput = match (billing, asked.provisioned_throughput()) {
        (Billing::OnDemand { .. }, Some(_)) => {
            return Err(wrong(format!(
                "ProvisionedThroughput should not be specified for index: {name} when BillingMode is PAY_PER_REQUEST"
            )));
        }
        (Billing::OnDemand { .. }, None) => None,
        (Billing::Provisioned { .. }, Some(throughput)) => Some(units(&throughput)?),
        (Billing::Provisioned { .. }, None) => {
            return Err(wrong(format!(
                "ReadCapacityUnits and WriteCapacityUnits must both be specified for index: {name}"
            )));
        }
    };
    let settings =
        settings([asked.on_demand_throughput().map(Value::from), None, asked.warm_throughput().map(Value::from)]);
    Ok(Index { name: name.to_owned(), number: 0, is_local: false, schema, projection, throughput, settings })
}

fn projection(asked: Option<&WireProjection>) -> Answer<Projection> {
    let kind = asked.and_then(WireProjection::projection_type);
    let named = asked.and_then(WireProjection::non_key_attributes);
    match (kind, named) {
        (None, _) => Err(wrong("Unknown ProjectionType: null")),
        (Some("INCLUDE"), Some(named)) => {
            named.iter().try_for_each(|name| check_key_name(name))?;
            Ok(Projection::Include(named.into_iter().map(str::to_owned).collect()))
        }
        (Some("INCLUDE"), None) => Err(wrong("ProjectionType is INCLUDE, but NonKeyAttributes is not specified")),
        (Some(kind), Some(_)) => Err(wrong(format!("ProjectionType is {kind}, but NonKeyAttributes is specified"))),
        (Some("KEYS_ONLY"), None) => Ok(Projection::KeysOnly),
        (Some(_), None) => Ok(Projection::All),
    }
}

fn push(indexes: &mut Vec<Index>, index: Index) -> Answer<()> {
    if indexes.iter().any(|known| known.name == index.name) {
        return Err(wrong(format!("Duplicate index name: {}", index.name)));
    }
    indexes.push(index);
    Ok(())
}

/// Refuses more named attributes than the indexes of a table may have.
pub(crate) fn check_projected(indexes: &[Index]) -> Answer<()> {
    let named = |index: &Index| match &index.projection {
        Projection::Include(names) => names.len(),
        _ => 0,
    };
    let count: usize = indexes.iter().map(named).sum();
    if count > MAX_PROJECTED {
        // unconfirmed: the words.
        return Err(wrong(format!(
            "Number of NonKeyAttributes of all indexes exceeds the per-table limit of {MAX_PROJECTED}"
        )));
    }
    Ok(())
}
