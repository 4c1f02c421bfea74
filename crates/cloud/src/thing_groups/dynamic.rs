//! Dynamic thing groups, whose members a search of the fleet finds (registry.md §8). Nothing is indexed yet, so there are
//! none, and creating one is refused as AWS refuses it while indexing is off.

use wire::Refusal;
use wire::iot::{
    CreateDynamicThingGroupRequest, CreateDynamicThingGroupResponse, DeleteDynamicThingGroupRequest,
    DeleteDynamicThingGroupResponse, UpdateDynamicThingGroupRequest, UpdateDynamicThingGroupResponse,
};

use super::THING_GROUPS;
use crate::operation::{Answer, Op, ops};
use crate::scope::Write;

pub(crate) const OPS: &[Op] = ops! {
    write create_dynamic_thing_group on thing_group(thing_group_name);
    write update_dynamic_thing_group on thing_group(thing_group_name);
    write delete_dynamic_thing_group on thing_group(thing_group_name);
};

// unconfirmed: the texts of these refusals.

fn create_dynamic_thing_group(
    _: &mut Write,
    input: &CreateDynamicThingGroupRequest,
) -> Answer<CreateDynamicThingGroupResponse> {
    let name = input.thing_group_name();
    let message = format!(
        "Dynamic thing group {name} cannot be created: thing indexing is not enabled (UpdateIndexingConfiguration, \
         which enables it, is not implemented yet)"
    );
    Err(Refusal::invalid_request(message).into())
}

fn update_dynamic_thing_group(
    db: &mut Write,
    input: &UpdateDynamicThingGroupRequest,
) -> Answer<UpdateDynamicThingGroupResponse> {
    let name = input.thing_group_name();
    db.view().named(&THING_GROUPS, [name])?;
    Err(not_dynamic(name).into())
}

/// Its model knows no 404: deleting what is not there succeeds.
fn delete_dynamic_thing_group(
    db: &mut Write,
    input: &DeleteDynamicThingGroupRequest,
) -> Answer<DeleteDynamicThingGroupResponse> {
    let name = input.thing_group_name();
    if super::exists(db.view(), name)? {
        return Err(not_dynamic(name).into());
    }
    Ok(DeleteDynamicThingGroupResponse::new())
}

fn not_dynamic(name: &str) -> Refusal {
    Refusal::invalid_request(format!("Thing group {name} is not a dynamic thing group"))
}
