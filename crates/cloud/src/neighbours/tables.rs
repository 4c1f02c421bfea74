//! Tables: DynamoDB's API over our store. This file has the operations on tables themselves; its folder holds what items are made
//! of, what may be said of them, and the operations that read and write them. Rules and functions are unknown here.

mod attribute;
pub(crate) mod batches;
mod capacity;
mod chores;
mod definition;
mod description;
mod expression;
pub(crate) mod items;
pub(crate) mod labels;
mod legacy;
mod number;
mod path;
pub(crate) mod query;
mod record;
mod refusal;
mod request;
pub(crate) mod scan;
mod schema;
mod stretch;
pub(crate) mod transactions;

use serde_json::Value;
use wire::dynamodb::{
    ContinuousBackupsDescription, CreateTableInput, CreateTableOutput, DeleteTableInput, DeleteTableOutput,
    DescribeContinuousBackupsInput, DescribeContinuousBackupsOutput, DescribeEndpointsRequest,
    DescribeEndpointsResponse, DescribeLimitsInput, DescribeLimitsOutput, DescribeTableInput, DescribeTableOutput,
    Endpoint, GlobalSecondaryIndex, GlobalSecondaryIndexUpdate, ListTablesInput, ListTablesOutput,
    PointInTimeRecoveryDescription, UpdateContinuousBackupsInput, UpdateContinuousBackupsOutput, UpdateTableInput,
    UpdateTableOutput,
};

use self::chores::Chore;
use self::definition::{Definitions, settings};
use self::record::{Billing, Index, TABLES, TableRecord, name_of};
use self::refusal::{in_use, invalid, no_such_resource, not_built};
use crate::operation::{Answer, Op, ops};
use crate::scope::{NO_PARTS, Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    write create_table on any;
    read  describe_table on any;
    read  list_tables on any;
    write update_table on any;
    write delete_table on any;
    read  describe_limits on any;
    read  describe_endpoints on any;
    read  describe_continuous_backups on any;
    write update_continuous_backups on any;
};

/// The most names on one page of a listing.
const MAX_NAMES: usize = 100;

fn create_table(db: &mut Write, input: &CreateTableInput) -> Answer<CreateTableOutput> {
    let name = name_of(db.view(), input.table_name())?;
    let asked = definition::of(input)?;
    let tags = labels::read(input.tags().unwrap_or_default())?;
    if db.view().contains(&TABLES, [name])? {
        return Err(in_use(format!("Table already exists: {name}")));
    }
    let mut indexes = asked.indexes;
    let mut next_index = 0;
    for index in &mut indexes {
        index.number = next_index;
        next_index += 1;
    }
    let table = TableRecord {
        id: db.uuid(),
        name: name.to_owned(),
        created: db.now(),
        schema: asked.schema,
        billing: asked.billing,
        was_on_demand: None,
        indexes,
        next_index,
        settings: settings([
            input.on_demand_throughput().map(Value::from),
            input.table_class().map(Value::from),
            input.warm_throughput().map(Value::from),
        ]),
        deletion_protection: input.deletion_protection_enabled().unwrap_or_default(),
        tags,
        expires_by: None,
    };
    db.put(&TABLES, [name], &table)?;
    // A table is there at once, and its first description says what AWS's does: that it is being made.
    let described = description::of(db.view(), name, &table)?.with_table_status("CREATING");
    Ok(CreateTableOutput::new().with_table_description(described))
}

fn describe_table(db: Read, input: &DescribeTableInput) -> Answer<DescribeTableOutput> {
    let (name, table) = named(db, input.table_name())?;
    Ok(DescribeTableOutput::new().with_table(description::of(db, name, &table)?))
}

/// The table that an operation on tables names, and its name.
fn named<'n>(db: Read, given: &'n str) -> Answer<(&'n str, TableRecord)> {
    let name = name_of(db, given)?;
    let table = db.get(&TABLES, [name])?;
    let table =
        table.ok_or_else(|| no_such_resource(format!("Requested resource not found: Table: {name} not found")))?;
    Ok((name, table))
}

fn list_tables(db: Read, input: &ListTablesInput) -> Answer<ListTablesOutput> {
    let limit = input.limit().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MAX_NAMES);
    let start = input.exclusive_start_table_name();
    let mut found = match start {
        Some(start) => db.after(&TABLES, [start], limit + 1)?,
        None => db.some(&TABLES, NO_PARTS, limit + 1)?,
    };
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let names = found.iter().map(|(key, _)| key.text_at(2)).collect::<Result<Vec<_>, _>>()?;
    let answer = ListTablesOutput::new();
    Ok(match names.last().filter(|_| !is_last) {
        Some(last) => answer.with_last_evaluated_table_name(last),
        None => answer,
    }
    .with_table_names(names))
}

fn update_table(db: &mut Write, input: &UpdateTableInput) -> Answer<UpdateTableOutput> {
    refuse_unbuilt(input)?;
    let updates = input.global_secondary_index_updates().unwrap_or_default();
    let settings = settings([
        input.on_demand_throughput().map(Value::from),
        input.table_class().map(Value::from),
        input.warm_throughput().map(Value::from),
    ]);
    let is_empty = input.provisioned_throughput().is_none()
        && input.billing_mode().is_none()
        && input.deletion_protection_enabled().is_none()
        && (updates.is_empty() && settings.is_empty());
    if is_empty {
        return Err(invalid(
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or \
             SSESpecification or ReplicaUpdates is required",
        ));
    }
    if let Some(throughput) = input.provisioned_throughput() {
        definition::units(&throughput)?;
    }
    check_updates(&updates)?;
    let (name, mut table) = named(db.view(), input.table_name())?;
    let billing = new_billing(db, input, table.billing)?;
    if let (Billing::OnDemand { since }, Billing::Provisioned { .. }) = (table.billing, billing) {
        table.was_on_demand = Some(since.unwrap_or(table.created));
    }
    table.billing = billing;
    table.settings.extend(settings);
    table.deletion_protection = input.deletion_protection_enabled().unwrap_or(table.deletion_protection);
    update_indexes(db, name, input, &mut table, &updates)?;
    db.put(&TABLES, [name], &table)?;
    let described = description::of(db.view(), name, &table)?.with_table_status("UPDATING");
    Ok(UpdateTableOutput::new().with_table_description(described))
}

fn refuse_unbuilt(input: &UpdateTableInput) -> Answer<()> {
    let given = [
        ("StreamSpecification", input.stream_specification().is_some()),
        ("SSESpecification", input.sse_specification().is_some()),
        ("ReplicaUpdates", input.replica_updates().is_some()),
        ("MultiRegionConsistency", input.multi_region_consistency().is_some()),
        ("GlobalTableWitnessUpdates", input.global_table_witness_updates().is_some()),
        ("VectorIndexUpdates", input.vector_index_updates().is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((name, _)) => Err(not_built(name)),
        None => Ok(()),
    }
}

/// How capacity is paid for after an update.
fn new_billing(db: &Write, input: &UpdateTableInput, known: Billing) -> Answer<Billing> {
    let throughput = input.provisioned_throughput();
    let asked = match (input.billing_mode(), known) {
        (None, known) if throughput.is_none() => return Ok(known),
        (None, Billing::Provisioned { .. }) => Some("PROVISIONED"),
        (None, Billing::OnDemand { .. }) => Some("PAY_PER_REQUEST"),
        (asked, _) => asked,
    };
    if asked == Some("PROVISIONED") && throughput.is_none() {
        return Err(invalid(
            "One or more parameter values were invalid: ProvisionedThroughput must be specified when BillingMode is \
             PROVISIONED",
        ));
    }
    let billing = definition::billing(asked, throughput.as_ref())?;
    match (known, billing) {
        (Billing::Provisioned { .. }, Billing::OnDemand { .. }) => Ok(Billing::OnDemand { since: Some(db.now()) }),
        (Billing::OnDemand { .. }, Billing::OnDemand { .. }) => Ok(known),
        (Billing::Provisioned { read, write }, same) if known == same => {
            let told = format!(
                "The provisioned throughput for the table will not change. The requested value equals the current value. \
                 Current ReadCapacityUnits provisioned for the table: {read}. Requested ReadCapacityUnits: {read}. Current \
                 WriteCapacityUnits provisioned for the table: {write}. Requested WriteCapacityUnits: {write}. Refer to the \
                 Amazon DynamoDB Developer Guide for current limits and how to request higher limits."
            );
            // Beside something else that changes it is no mistake.
            let is_all = input.global_secondary_index_updates().is_none();
            if is_all { Err(invalid(told)) } else { Ok(known) }
        }
        (_, billing) => Ok(billing),
    }
}

fn update_indexes(
    db: &mut Write,
    name: &str,
    input: &UpdateTableInput,
    table: &mut TableRecord,
    updates: &[GlobalSecondaryIndexUpdate],
) -> Answer<()> {
    let known = table.key_attributes().into_iter().map(|(name, field)| (name.to_owned(), field.kind)).collect();
    let definitions = Definitions::read(&input.attribute_definitions().unwrap_or_default(), &known)?;
    for update in updates {
        if let Some(create) = update.create() {
            let asked = GlobalSecondaryIndex::from_value(create.into());
            create_index(db, name, table, definition::global_index(&definitions, &asked, table.billing)?)?;
        } else if let Some(delete) = update.delete() {
            delete_index(db, table, delete.index_name())?;
        } else if let Some(update) = update.update() {
            let throughput = update.provisioned_throughput().map(|asked| definition::units(&asked)).transpose()?;
            let index = table.indexes.iter_mut().find(|index| !index.is_local && index.name == update.index_name());
            let index = index.ok_or_else(|| no_such_index(update.index_name()))?;
            index.throughput = throughput.or(index.throughput);
            let [on_demand, warm] =
                [update.on_demand_throughput().map(Value::from), update.warm_throughput().map(Value::from)];
            index.settings.extend(settings([on_demand, None, warm]));
        }
    }
    definition::check_projected(&table.indexes)
}

/// Refuses updates that say more than one thing, or make or take away more than one index.
fn check_updates(updates: &[GlobalSecondaryIndexUpdate]) -> Answer<()> {
    let (mut changes, mut seen) = (0, Vec::new());
    for update in updates {
        let (create, delete, change) = (update.create(), update.delete(), update.update());
        let name = match (&create, &delete, &change) {
            (Some(create), ..) => create.index_name(),
            (_, Some(delete), _) => delete.index_name(),
            (.., Some(change)) => change.index_name(),
            (None, None, None) => {
                return Err(invalid(
                    "One or more parameter values were invalid: One of GlobalSecondaryIndexUpdate.Update, \
                     GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete must not be null",
                ));
            }
        };
        if seen.iter().any(|known: &String| known == name) {
            return Err(invalid(format!(
                "One or more parameter values were invalid: Only one global secondary index update per index is allowed \
                 simultaneously. Index: {name}"
            )));
        }
        seen.push(name.to_owned());
        let given = [create.is_some(), delete.is_some(), change.is_some()];
        if given.into_iter().filter(|is_given| *is_given).count() > 1 {
            // unconfirmed: the words.
            return Err(invalid(
                "One or more parameter values were invalid: Only one of GlobalSecondaryIndexUpdate.Update, \
                 GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete may be given at a time",
            ));
        }
        changes += usize::from(given[0] || given[1]);
    }
    if changes > 1 {
        return Err(wire::Refusal::limit_exceeded(
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
        )
        .into());
    }
    Ok(())
}

fn no_such_index(name: &str) -> crate::Failure {
    no_such_resource(format!("Requested resource not found: Index: {name} not found"))
}

/// Adds an index. What is in the table already comes into it a stretch at a time, the first one now.
fn create_index(db: &mut Write, name: &str, table: &mut TableRecord, mut index: Index) -> Answer<()> {
    if table.index(&index.name).is_some() {
        return Err(invalid(format!("Attempting to create an index which already exists: {}", index.name)));
    }
    if table.indexes_that(false).count() >= definition::MAX_GLOBAL {
        return Err(invalid(format!(
            "One or more parameter values were invalid: GlobalSecondaryIndex count exceeds the per-table limit of {}",
            definition::MAX_GLOBAL
        )));
    }
    index.number = table.next_index;
    table.next_index += 1;
    let number = index.number;
    table.indexes.push(index);
    let chore = Chore::Fill { table: name.to_owned(), index: Some(number), after: None };
    chores::begin(db, table, Some(number), chore)
}

fn delete_index(db: &mut Write, table: &mut TableRecord, name: &str) -> Answer<()> {
    let at = table.indexes.iter().position(|index| !index.is_local && index.name == name);
    let index = table.indexes.remove(at.ok_or_else(|| no_such_index(name))?);
    chores::begin(db, table, Some(index.number), Chore::Sweep)
}

fn delete_table(db: &mut Write, input: &DeleteTableInput) -> Answer<DeleteTableOutput> {
    let (name, table) = named(db.view(), input.table_name())?;
    if table.deletion_protection {
        // Tools that clean up know these words.
        return Err(invalid(
            "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.",
        ));
    }
    let described = description::of_deleted(db.view(), name, &table)?;
    db.delete(&TABLES, [name])?;
    chores::begin(db, &table, None, Chore::Sweep)?;
    Ok(DeleteTableOutput::new().with_table_description(described))
}

/// What AWS gives every account; nothing here is limited by it.
#[expect(clippy::unnecessary_wraps, reason = "all handlers answer so")]
fn describe_limits(_: Read, _: &DescribeLimitsInput) -> Answer<DescribeLimitsOutput> {
    Ok(DescribeLimitsOutput::new()
        .with_account_max_read_capacity_units(80_000)
        .with_account_max_write_capacity_units(80_000)
        .with_table_max_read_capacity_units(40_000)
        .with_table_max_write_capacity_units(40_000))
}

/// Clients that discover endpoints are sent back to where they came from.
#[expect(clippy::unnecessary_wraps, reason = "all handlers answer so")]
fn describe_endpoints(db: Read, _: &DescribeEndpointsRequest) -> Answer<DescribeEndpointsResponse> {
    let endpoint = Endpoint::new().with_address(db.cx.settings.endpoint.as_str()).with_cache_period_in_minutes(1440);
    Ok(DescribeEndpointsResponse::new().with_endpoints([endpoint]))
}

/// There are none of DynamoDB's own; the data directory is backed up as a whole.
fn backups(db: Read, given: &str) -> Answer<ContinuousBackupsDescription> {
    let name = name_of(db, given)?;
    if !db.contains(&TABLES, [name])? {
        let message = format!("Table not found: {name}");
        return Err(wire::Refusal::new("TableNotFoundException", message).into());
    }
    let point_in_time = PointInTimeRecoveryDescription::new().with_point_in_time_recovery_status("DISABLED");
    Ok(ContinuousBackupsDescription::new()
        .with_continuous_backups_status("DISABLED")
        .with_point_in_time_recovery_description(point_in_time))
}

fn describe_continuous_backups(
    db: Read,
    input: &DescribeContinuousBackupsInput,
) -> Answer<DescribeContinuousBackupsOutput> {
    let description = backups(db, input.table_name())?;
    Ok(DescribeContinuousBackupsOutput::new().with_continuous_backups_description(description))
}

/// Tools switch off what is off already.
fn update_continuous_backups(
    db: &mut Write,
    input: &UpdateContinuousBackupsInput,
) -> Answer<UpdateContinuousBackupsOutput> {
    let description = backups(db.view(), input.table_name())?;
    let asked = input.point_in_time_recovery_specification();
    if asked.is_some_and(|asked| asked.point_in_time_recovery_enabled() == Some(true)) {
        return Err(not_built("Point-in-time recovery"));
    }
    Ok(UpdateContinuousBackupsOutput::new().with_continuous_backups_description(description))
}

/// The item with this key, in DynamoDB's JSON, as plain JSON text: the door for whoever else in the house asks, from within a
/// transaction or a view. What is wrong is refused as `GetItem` would.
pub(crate) fn item(db: Read, name: &str, key: &Value) -> Answer<Option<String>> {
    let key = request::attributes(Some(key))?;
    let table = record::table(db, name)?;
    let place = table.schema.place_of_key(&key).map_err(invalid)?;
    Ok(record::item_at(db, &table, &place)?.map(|item| attribute::plain(&item)))
}
