//! A table as `DescribeTable` tells it: its record, with the counts of its items and the states of its indexes.

use serde_json::{Map, Value};
use wire::dynamodb::{
    AttributeDefinition, BillingModeSummary, GlobalSecondaryIndexDescription,
    GlobalSecondaryIndexWarmThroughputDescription, KeySchemaElement, LocalSecondaryIndexDescription,
    OnDemandThroughput, Projection as WireProjection, ProvisionedThroughputDescription, TableClassSummary,
    TableDescription, TableWarmThroughputDescription,
};

use super::chores;
use super::record::{Billing, Index, Projection, TableRecord, arn, count};
use super::schema::Schema;
use crate::operation::Answer;
use crate::scope::Read;

/// Units that AWS tells of an on-demand table that has asked for none.
const WARM_READ: i64 = 12_000;
const WARM_WRITE: i64 = 4_000;

/// The description of a table.
pub(crate) fn of(db: Read, name: &str, table: &TableRecord) -> Answer<TableDescription> {
    let counted = count(db, table, None)?;
    let table_arn = arn(db, name);
    let attributes = table.key_attributes().into_values().map(|field| {
        AttributeDefinition::new()
            .with_attribute_name(field.name.as_str())
            .with_attribute_type(field.kind.kind().name())
    });
    let mut described = TableDescription::new()
        .with_attribute_definitions(attributes)
        .with_table_name(name)
        .with_key_schema(key_schema(&table.schema))
        .with_table_status("ACTIVE")
        .with_creation_date_time(table.created)
        .with_provisioned_throughput(throughput(table.billing, None))
        .with_table_size_bytes(counted.bytes)
        .with_item_count(counted.items)
        .with_table_arn(table_arn.as_str())
        .with_table_id(table.id.as_str())
        .with_deletion_protection_enabled(table.deletion_protection)
        .with_warm_throughput(warm_table(table));
    if let Some(summary) = billing_mode(table) {
        described = described.with_billing_mode_summary(summary);
    }
    if let Some(class) = table.settings.get("TableClass").and_then(Value::as_str) {
        described = described.with_table_class_summary(TableClassSummary::new().with_table_class(class));
    }
    if let Some(limits) = table.settings.get("OnDemandThroughput") {
        described = described.with_on_demand_throughput(OnDemandThroughput::from_value(limits.clone()));
    }
    let local = table.indexes_that(true).map(|index| local_index(db, table, &table_arn, index));
    let local = local.collect::<Answer<Vec<_>>>()?;
    if !local.is_empty() {
        described = described.with_local_secondary_indexes(local);
    }
    let global = table.indexes_that(false).map(|index| global_index(db, table, &table_arn, index));
    let global = global.collect::<Answer<Vec<_>>>()?;
    Ok(if global.is_empty() { described } else { described.with_global_secondary_indexes(global) })
}

/// The description of a table that is gone, which is shorter.
pub(crate) fn of_deleted(db: Read, name: &str, table: &TableRecord) -> Answer<TableDescription> {
    let counted = count(db, table, None)?;
    let described = TableDescription::new()
        .with_table_name(name)
        .with_table_status("DELETING")
        .with_provisioned_throughput(throughput(table.billing, None))
        .with_table_size_bytes(counted.bytes)
        .with_item_count(counted.items)
        .with_table_arn(arn(db, name))
        .with_table_id(table.id.as_str())
        .with_deletion_protection_enabled(table.deletion_protection);
    Ok(match billing_mode(table) {
        Some(summary) => described.with_billing_mode_summary(summary),
        None => described,
    })
}

fn billing_mode(table: &TableRecord) -> Option<BillingModeSummary> {
    let (mode, since) = match table.billing {
        Billing::OnDemand { since } => ("PAY_PER_REQUEST", since.unwrap_or(table.created)),
        // Of a table that was never paid for by request nothing is said.
        Billing::Provisioned { .. } => ("PROVISIONED", table.was_on_demand?),
    };
    let summary = BillingModeSummary::new().with_billing_mode(mode);
    Some(summary.with_last_update_to_pay_per_request_date_time(since))
}

fn key_schema(schema: &Schema) -> Vec<KeySchemaElement> {
    let roles = ["HASH", "RANGE"];
    let element = |(field, role): (&super::schema::Field, &str)| {
        KeySchemaElement::new().with_attribute_name(field.name.as_str()).with_key_type(role)
    };
    schema.fields().zip(roles).map(element).collect()
}

fn throughput(billing: Billing, of_index: Option<(i64, i64)>) -> ProvisionedThroughputDescription {
    let (read, write) = match (billing, of_index) {
        (Billing::OnDemand { .. }, _) => (0, 0),
        (Billing::Provisioned { .. }, Some(units)) => units,
        (Billing::Provisioned { read, write }, None) => (read, write),
    };
    ProvisionedThroughputDescription::new()
        .with_number_of_decreases_today(0)
        .with_read_capacity_units(read)
        .with_write_capacity_units(write)
}

/// Units of reading and writing that a table or an index is told to be warm for: those that were asked for, or that it has.
fn warm(settings: &Map<String, Value>, billing: Billing, of_index: Option<(i64, i64)>) -> (i64, i64) {
    let asked = |member: &str| settings.get("WarmThroughput")?.get(member)?.as_i64();
    let (read, write) = match (billing, of_index) {
        (Billing::OnDemand { .. }, _) => (WARM_READ, WARM_WRITE),
        (Billing::Provisioned { .. }, Some(units)) => units,
        (Billing::Provisioned { read, write }, None) => (read, write),
    };
    (asked("ReadUnitsPerSecond").unwrap_or(read), asked("WriteUnitsPerSecond").unwrap_or(write))
}

fn warm_table(table: &TableRecord) -> TableWarmThroughputDescription {
    let (read, write) = warm(&table.settings, table.billing, None);
    TableWarmThroughputDescription::new()
        .with_read_units_per_second(read)
        .with_write_units_per_second(write)
        .with_status("ACTIVE")
}

fn warm_index(table: &TableRecord, index: &Index) -> GlobalSecondaryIndexWarmThroughputDescription {
    let (read, write) = warm(&index.settings, table.billing, index.throughput);
    GlobalSecondaryIndexWarmThroughputDescription::new()
        .with_read_units_per_second(read)
        .with_write_units_per_second(write)
        .with_status("ACTIVE")
}

fn projection(projection: &Projection) -> WireProjection {
    let described = WireProjection::new();
    match projection {
        Projection::All => described.with_projection_type("ALL"),
        Projection::KeysOnly => described.with_projection_type("KEYS_ONLY"),
        Projection::Include(names) => {
            described.with_projection_type("INCLUDE").with_non_key_attributes(names.iter().map(String::as_str))
        }
    }
}

fn local_index(
    db: Read,
    table: &TableRecord,
    table_arn: &str,
    index: &Index,
) -> Answer<LocalSecondaryIndexDescription> {
    let counted = count(db, table, Some(index))?;
    Ok(LocalSecondaryIndexDescription::new()
        .with_index_name(index.name.as_str())
        .with_key_schema(key_schema(&index.schema))
        .with_projection(projection(&index.projection))
        .with_index_size_bytes(counted.bytes)
        .with_item_count(counted.items)
        .with_index_arn(format!("{table_arn}/index/{}", index.name)))
}

fn global_index(
    db: Read,
    table: &TableRecord,
    table_arn: &str,
    index: &Index,
) -> Answer<GlobalSecondaryIndexDescription> {
    let counted = count(db, table, Some(index))?;
    let described = GlobalSecondaryIndexDescription::new()
        .with_index_name(index.name.as_str())
        .with_key_schema(key_schema(&index.schema))
        .with_projection(projection(&index.projection))
        .with_provisioned_throughput(throughput(table.billing, index.throughput))
        .with_index_size_bytes(counted.bytes)
        .with_item_count(counted.items)
        .with_warm_throughput(warm_index(table, index))
        .with_index_arn(format!("{table_arn}/index/{}", index.name));
    let described = match index.settings.get("OnDemandThroughput") {
        Some(limits) => described.with_on_demand_throughput(OnDemandThroughput::from_value(limits.clone())),
        None => described,
    };
    Ok(if chores::is_filling(db, table, index)? {
        described.with_index_status("CREATING").with_backfilling(true)
    } else {
        described.with_index_status("ACTIVE")
    })
}
