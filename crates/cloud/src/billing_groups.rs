//! Billing groups: names under which the costs of things are gathered (registry.md §10). A thing has one at most, and
//! its record says which; nothing here costs anything, so nothing is gathered.

use serde::{Deserialize, Serialize};
use store::{Fault, Table, json_record};
use wire::Refusal;
use wire::iot::{
    AddThingToBillingGroupRequest, AddThingToBillingGroupResponse, BillingGroupMetadata, BillingGroupProperties,
    CreateBillingGroupRequest, CreateBillingGroupResponse, DeleteBillingGroupRequest, DeleteBillingGroupResponse,
    DescribeBillingGroupRequest, DescribeBillingGroupResponse, GroupNameAndArn, ListBillingGroupsRequest,
    ListBillingGroupsResponse, ListThingsInBillingGroupRequest, ListThingsInBillingGroupResponse,
    RemoveThingFromBillingGroupRequest, RemoveThingFromBillingGroupResponse, UpdateBillingGroupRequest,
    UpdateBillingGroupResponse,
};

use crate::left_behind::{self, Left};
use crate::naming::Noun;
use crate::operation::{Answer, Op, ops};
use crate::scope::{Asked, NO_PARTS, Read, Write, paged};
use crate::tags::{self, Tags, tagged};
use crate::things::{self, THINGS, Thing};

pub(crate) const OPS: &[Op] = ops! {
    write create_billing_group on billing_group(billing_group_name);
    read  describe_billing_group on billing_group(billing_group_name);
    write update_billing_group on billing_group(billing_group_name);
    write delete_billing_group on billing_group(billing_group_name);
    read  list_billing_groups on any;
    write add_thing_to_billing_group on billing_group_or_arn(billing_group_name, billing_group_arn);
    write remove_thing_from_billing_group on billing_group_or_arn(billing_group_name, billing_group_arn);
    read  list_things_in_billing_group on billing_group(billing_group_name);
};

pub(crate) const TAGGED: tags::Kind = tagged!("billinggroup" in BILLING_GROUPS);

/// By name.
const BILLING_GROUPS: Table<BillingGroup> = Table::new("billing_groups");
/// By the group's id and thing.
const BILLING_GROUP_THINGS: Table<()> = Table::new("billing_group_things");

const BILLING_GROUP: Noun =
    Noun { resource: "billinggroup", member: "billingGroup", title: "BillingGroup", words: "billing group", blank: "" };

/// A billing group.
#[derive(Debug, Serialize, Deserialize)]
struct BillingGroup {
    /// A UUID; another group of the same name has another one.
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Tags,
    /// Counts updates, from 1.
    version: i64,
    created: i64,
}
json_record!(BillingGroup, version 1);

impl BillingGroup {
    /// unconfirmed: the text; it is that of things.
    fn check_version(&self, name: &str, expected: Option<i64>) -> Result<(), Refusal> {
        if expected.is_none_or(|expected| expected == self.version) {
            return Ok(());
        }
        let message = format!("The version for billing group {name} does not match the expected version.");
        Err(Refusal::version_conflict(message))
    }
}

/// The billing group of a thing, as its record has it. It means nothing once the group is gone, though another may have
/// its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filed {
    name: String,
    id: String,
}

/// What files a thing under the billing group of this name, which must be there.
pub(crate) fn named(db: Read, name: &str) -> Answer<Filed> {
    let BillingGroup { id, .. } = db.named(&BILLING_GROUPS, [name])?;
    Ok(Filed { name: name.to_owned(), id })
}

/// The name of a thing's billing group, if it has one.
pub(crate) fn name_of(db: Read, thing: &Thing) -> Result<Option<String>, Fault> {
    let Some(Filed { name, id }) = &thing.billing_group else { return Ok(None) };
    let found = db.get(&BILLING_GROUPS, [name])?;
    Ok(found.filter(|group| group.id == *id).map(|_| name.clone()))
}

/// Files a thing under another billing group, or none; its record is the caller's business.
pub(crate) fn file(db: &mut Write, thing: &str, old: Option<&Filed>, new: Option<&Filed>) -> Result<(), Fault> {
    if let Some(old) = old {
        db.delete(&BILLING_GROUP_THINGS, [&*old.id, thing])?;
    }
    match new {
        Some(new) => db.put(&BILLING_GROUP_THINGS, [&*new.id, thing], &()),
        None => Ok(()),
    }
}

/// Puts a thing into a billing group and takes it out of the one it is in. unconfirmed: that its version stays.
fn put(db: &mut Write, thing: &str, group: Option<Filed>) -> Result<(), Fault> {
    let Some(mut record) = db.view().get(&THINGS, [thing])? else { return Ok(()) };
    file(db, thing, record.billing_group.as_ref(), group.as_ref())?;
    record.billing_group = group;
    db.put(&THINGS, [thing], &record)
}

/// Takes the first things, as many as `most`, out of a group that is gone: how many there were.
pub(crate) fn release(db: &mut Write, id: &str, most: usize) -> Result<usize, Fault> {
    let found = db.view().some(&BILLING_GROUP_THINGS, [id], most)?;
    for (key, ()) in &found {
        put(db, &key.last_text()?, None)?;
    }
    Ok(found.len())
}

fn create_billing_group(db: &mut Write, input: &CreateBillingGroupRequest) -> Answer<CreateBillingGroupResponse> {
    let name = input.billing_group_name();
    let properties = input.billing_group_properties().unwrap_or_default();
    let group = BillingGroup {
        id: db.uuid(),
        description: properties.billing_group_description().map(str::to_owned),
        tags: tags::first(input.tags())?,
        version: 1,
        created: db.now(),
    };
    if let Some(known) = db.view().get(&BILLING_GROUPS, [name])? {
        return existing(db, name, &known, &group);
    }
    db.put(&BILLING_GROUPS, [name], &group)?;
    Ok(created(db, name, &group))
}

/// Creating what is there already succeeds if it is the same.
fn existing(db: &Write, name: &str, known: &BillingGroup, wanted: &BillingGroup) -> Answer<CreateBillingGroupResponse> {
    if known.description == wanted.description {
        return Ok(created(db, name, known));
    }
    // unconfirmed: the text; it is that of thing groups.
    let message = format!("Billing Group {name} already exists in current account with different properties");
    let refusal = Refusal::resource_already_exists(message);
    Err(refusal.with("resourceId", known.id.as_str()).with("resourceArn", BILLING_GROUP.arn(db.view(), name)).into())
}

fn created(db: &Write, name: &str, group: &BillingGroup) -> CreateBillingGroupResponse {
    CreateBillingGroupResponse::new()
        .with_billing_group_name(name)
        .with_billing_group_arn(BILLING_GROUP.arn(db.view(), name))
        .with_billing_group_id(&group.id)
}

fn describe_billing_group(db: Read, input: &DescribeBillingGroupRequest) -> Answer<DescribeBillingGroupResponse> {
    let name = input.billing_group_name();
    let group = db.named(&BILLING_GROUPS, [name])?;
    let mut properties = BillingGroupProperties::default();
    if let Some(description) = group.description {
        properties = properties.with_billing_group_description(description);
    }
    Ok(DescribeBillingGroupResponse::new()
        .with_billing_group_name(name)
        .with_billing_group_id(group.id)
        .with_billing_group_arn(BILLING_GROUP.arn(db, name))
        .with_version(group.version)
        .with_billing_group_properties(properties)
        .with_billing_group_metadata(BillingGroupMetadata::new().with_creation_date(group.created)))
}

/// unconfirmed: that properties without a description leave the one that is there.
fn update_billing_group(db: &mut Write, input: &UpdateBillingGroupRequest) -> Answer<UpdateBillingGroupResponse> {
    let name = input.billing_group_name();
    let mut group = db.view().named(&BILLING_GROUPS, [name])?;
    group.check_version(name, input.expected_version())?;
    let properties = input.billing_group_properties().unwrap_or_default();
    if let Some(description) = properties.billing_group_description() {
        group.description = Some(description.to_owned());
    }
    group.version += 1;
    db.put(&BILLING_GROUPS, [name], &group)?;
    Ok(UpdateBillingGroupResponse::new().with_version(group.version))
}

/// Its model knows no 404: deleting what is not there succeeds. The things that are in it stay, without it.
fn delete_billing_group(db: &mut Write, input: &DeleteBillingGroupRequest) -> Answer<DeleteBillingGroupResponse> {
    let name = input.billing_group_name();
    let Some(group) = db.view().get(&BILLING_GROUPS, [name])? else { return Ok(DeleteBillingGroupResponse::new()) };
    group.check_version(name, input.expected_version())?;
    db.delete(&BILLING_GROUPS, [name])?;
    left_behind::begin(db, &group.id, &Left::BillingGroup)?;
    Ok(DeleteBillingGroupResponse::new())
}

fn list_billing_groups(db: Read, input: &ListBillingGroupsRequest) -> Answer<ListBillingGroupsResponse> {
    let asked = Asked::new(input.next_token(), input.max_results());
    let start = input.name_prefix_filter().unwrap_or_default();
    let (names, next) = db.page_of_names(&BILLING_GROUPS, NO_PARTS, start, asked)?.names()?;
    let listed = names
        .iter()
        .map(|name| GroupNameAndArn::new().with_group_name(name).with_group_arn(BILLING_GROUP.arn(db, name)));
    let answer = ListBillingGroupsResponse::new().with_billing_groups(listed);
    Ok(paged(answer, next, ListBillingGroupsResponse::with_next_token))
}

fn add_thing_to_billing_group(
    db: &mut Write,
    input: &AddThingToBillingGroupRequest,
) -> Answer<AddThingToBillingGroupResponse> {
    let (name, arn) = (input.billing_group_name(), input.billing_group_arn());
    let (name, BillingGroup { id, .. }) = BILLING_GROUP.asked(db.view(), &BILLING_GROUPS, name, arn)?;
    let (thing, _) = things::THING.asked(db.view(), &THINGS, input.thing_name(), input.thing_arn())?;
    put(db, &thing, Some(Filed { name, id }))?;
    Ok(AddThingToBillingGroupResponse::new())
}

/// unconfirmed: that a thing which is not in it is fine.
fn remove_thing_from_billing_group(
    db: &mut Write,
    input: &RemoveThingFromBillingGroupRequest,
) -> Answer<RemoveThingFromBillingGroupResponse> {
    let (name, arn) = (input.billing_group_name(), input.billing_group_arn());
    let (_, group) = BILLING_GROUP.asked(db.view(), &BILLING_GROUPS, name, arn)?;
    let (thing, record) = things::THING.asked(db.view(), &THINGS, input.thing_name(), input.thing_arn())?;
    if record.billing_group.is_some_and(|filed| filed.id == group.id) {
        put(db, &thing, None)?;
    }
    Ok(RemoveThingFromBillingGroupResponse::new())
}

fn list_things_in_billing_group(
    db: Read,
    input: &ListThingsInBillingGroupRequest,
) -> Answer<ListThingsInBillingGroupResponse> {
    let name = input.billing_group_name();
    let group = db.named(&BILLING_GROUPS, [name])?;
    let asked = Asked::new(input.next_token(), input.max_results());
    let (things, next) = db.page(&BILLING_GROUP_THINGS, [&group.id], asked, |_, ()| true)?.names()?;
    let answer = ListThingsInBillingGroupResponse::new().with_things(things);
    Ok(paged(answer, next, ListThingsInBillingGroupResponse::with_next_token))
}
