//! Which things are in which groups (registry.md §7), seen from either side, and through which groups a thing is reached.
//! Whoever speaks for a thing is told when that changes; what follows from it is unknown here.

use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Fault, Table, json_record};
use wire::Refusal;
use wire::iot::{
    AddThingToThingGroupRequest, AddThingToThingGroupResponse, ListThingGroupsForThingRequest,
    ListThingGroupsForThingResponse, ListThingsInThingGroupRequest, ListThingsInThingGroupResponse,
    RemoveThingFromThingGroupRequest, RemoveThingFromThingGroupResponse, UpdateThingGroupsForThingRequest,
    UpdateThingGroupsForThingResponse,
};

use super::{Group, THING_GROUP, THING_GROUPS, arn, listed};
use crate::event_configurations::{self as events, About, Happened, Told};
use crate::left_behind;
use crate::operation::{Answer, Op, ops};
use crate::principals;
use crate::scope::{Asked, Read, Write, paged};
use crate::things::{self, THING, THINGS};

pub(crate) const OPS: &[Op] = ops! {
    write add_thing_to_thing_group on group_or_arn(thing_group_name, thing_group_arn);
    write remove_thing_from_thing_group on group_or_arn(thing_group_name, thing_group_arn);
    write update_thing_groups_for_thing on any_thing(thing_name);
    read  list_thing_groups_for_thing on thing(thing_name);
    read  list_things_in_thing_group on thing_group(thing_group_name);
};

/// By thing and group.
const THING_MEMBERSHIPS: Table<Membership> = Table::new("thing_memberships");
/// By the ids from the root down to the group, nothing, and the thing: all that is below a group continues its ids, and no
/// id is nothing.
const THING_GROUP_MEMBERS: Table<()> = Table::new("thing_group_members");

/// Static groups that a thing is in.
const GROUPS_OF_A_THING: usize = 10;
/// What stands between a group's ids and its things.
const THINGS_BELOW: &str = "";

/// That a thing is in a group. It means nothing once the group is gone, though another may have its name.
#[derive(Debug, Serialize, Deserialize)]
struct Membership {
    /// A UUID, for events.
    id: String,
    /// The group's.
    group: String,
}
json_record!(Membership, version 1);

/// A group that reaches a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The group's name.
    pub(crate) group: String,
    /// How: the group that the thing is in, and each parent up to this one.
    pub(crate) chain: Vec<String>,
}

/// Every group that a thing is in, each followed by its parents, nearest first.
pub(crate) fn reaching(db: Read, thing: &str) -> Result<Vec<Reached>, Fault> {
    let mut reached = Vec::new();
    for (name, group) in groups_of(db, thing)? {
        let upwards: Vec<String> = group.path(&name).into_iter().rev().collect();
        for (above, group) in upwards.iter().enumerate() {
            reached.push(Reached { group: group.clone(), chain: upwards.get(..=above).unwrap_or_default().to_vec() });
        }
    }
    Ok(reached)
}

/// The groups that a thing is in, by name.
fn groups_of(db: Read, thing: &str) -> Result<Vec<(String, Group)>, Fault> {
    let mut groups = Vec::new();
    for (key, membership) in db.all(&THING_MEMBERSHIPS, [thing])? {
        let name = key.last_text()?;
        if let Some(group) = group_of(db, &name, &membership)? {
            groups.push((name, group));
        }
    }
    Ok(groups)
}

/// The group of a membership, unless it is gone.
fn group_of(db: Read, name: &str, membership: &Membership) -> Result<Option<Group>, Fault> {
    Ok(db.get(&THING_GROUPS, [name])?.filter(|group| group.id == membership.group))
}

/// The key of a member, after the scope.
fn member<'a>(ids: &'a [String], thing: &'a str) -> impl Iterator<Item = &'a str> {
    ids.iter().map(String::as_str).chain([THINGS_BELOW, thing])
}

/// Puts a thing into a group; being there already is fine.
fn join(db: &mut Write, thing: &str, into: &str, group: &Group) -> Answer<()> {
    let present = groups_of(db.view(), thing)?;
    let ids = group.ids();
    for (name, known) in &present {
        if known.id == group.id {
            return Ok(());
        }
        if known.ids().first() == ids.first() {
            // unconfirmed: the text.
            let message = format!("Thing {thing} is already in thing group {name} of the same hierarchy");
            return Err(Refusal::invalid_request(message).into());
        }
    }
    if present.len() >= GROUPS_OF_A_THING {
        // unconfirmed: the text. No dynamic group can make room: there are none.
        let message = format!("Thing {thing} is already in the maximum number of thing groups ({GROUPS_OF_A_THING})");
        return Err(Refusal::invalid_request(message).into());
    }
    db.put(&THING_GROUP_MEMBERS, member(&ids, thing), &())?;
    let membership = Membership { id: db.uuid(), group: group.id.clone() };
    db.put(&THING_MEMBERSHIPS, [thing, into], &membership)?;
    tell(db, thing, into, &membership, Happened::Added)?;
    Ok(principals::tell_of_thing(db, thing)?)
}

/// Takes a thing out of a group; not being there is fine.
fn leave(db: &mut Write, thing: &str, name: &str) -> Result<(), Fault> {
    let Some(membership) = db.view().get(&THING_MEMBERSHIPS, [thing, name])? else { return Ok(()) };
    let Some(group) = group_of(db.view(), name, &membership)? else { return Ok(()) };
    db.delete(&THING_GROUP_MEMBERS, member(&group.ids(), thing))?;
    db.delete(&THING_MEMBERSHIPS, [thing, name])?;
    tell(db, thing, name, &membership, Happened::Removed)?;
    principals::tell_of_thing(db, thing)
}

/// Tells that a thing has come into a group, or is there no more.
fn tell(db: &mut Write, thing: &str, group: &str, membership: &Membership, happened: Happened) -> Result<(), Fault> {
    events::tell(db, About::Membership, happened, |db| {
        let members = json!({
            "groupArn": arn(db, group),
            "groupId": membership.group,
            "thingArn": THING.arn(db, thing),
            "thingId": things::id_of(db, thing)?,
            "membershipId": membership.id,
        });
        Ok(Told { subject: format!("thingGroup/{group}/thing/{thing}"), members })
    })
}

/// Takes a thing that is deleted out of all its groups, and out of those that are gone.
pub(crate) fn leave_all(db: &mut Write, thing: &str) -> Result<(), Fault> {
    for (key, _) in db.view().all(&THING_MEMBERSHIPS, [thing])? {
        leave(db, thing, &key.last_text()?)?;
        db.delete_at(&THING_MEMBERSHIPS, &key)?;
    }
    Ok(())
}

/// Takes the first things, as many as `most`, out of a group that is gone and had none below it: how many there were.
/// unconfirmed: that no event tells of each of them.
pub(crate) fn release(db: &mut Write, name: &str, ids: &[String], most: usize) -> Result<usize, Fault> {
    let found = db.view().some(&THING_GROUP_MEMBERS, ids, most)?;
    for (key, ()) in &found {
        db.delete_at(&THING_GROUP_MEMBERS, key)?;
        let thing = key.last_text()?;
        let known = db.view().get(&THING_MEMBERSHIPS, [&*thing, name])?;
        // Meanwhile it may be in another group of this name.
        if known.is_some_and(|known| Some(&known.group) == ids.last()) {
            db.delete(&THING_MEMBERSHIPS, [&*thing, name])?;
        }
    }
    Ok(found.len())
}

fn add_thing_to_thing_group(
    db: &mut Write,
    input: &AddThingToThingGroupRequest,
) -> Answer<AddThingToThingGroupResponse> {
    let (name, arn) = (input.thing_group_name(), input.thing_group_arn());
    let (name, group) = THING_GROUP.asked(db.view(), &THING_GROUPS, name, arn)?;
    let (thing, _) = THING.asked(db.view(), &THINGS, input.thing_name(), input.thing_arn())?;
    join(db, &thing, &name, &group)?;
    Ok(AddThingToThingGroupResponse::new())
}

fn remove_thing_from_thing_group(
    db: &mut Write,
    input: &RemoveThingFromThingGroupRequest,
) -> Answer<RemoveThingFromThingGroupResponse> {
    let (name, arn) = (input.thing_group_name(), input.thing_group_arn());
    let (name, _) = THING_GROUP.asked(db.view(), &THING_GROUPS, name, arn)?;
    let (thing, _) = THING.asked(db.view(), &THINGS, input.thing_name(), input.thing_arn())?;
    leave(db, &thing, &name)?;
    Ok(RemoveThingFromThingGroupResponse::new())
}

/// All of it or nothing. unconfirmed: that it leaves groups before it enters others, so that it can move within a
/// hierarchy.
fn update_thing_groups_for_thing(
    db: &mut Write,
    input: &UpdateThingGroupsForThingRequest,
) -> Answer<UpdateThingGroupsForThingResponse> {
    let (thing, _) = THING.asked(db.view(), &THINGS, input.thing_name(), None)?;
    for name in input.thing_groups_to_remove().unwrap_or_default() {
        db.view().named(&THING_GROUPS, [name])?;
        leave(db, &thing, name)?;
    }
    for name in input.thing_groups_to_add().unwrap_or_default() {
        let group = db.view().named(&THING_GROUPS, [name])?;
        join(db, &thing, name, &group)?;
    }
    Ok(UpdateThingGroupsForThingResponse::new())
}

/// Those it is in itself, without their parents.
pub(crate) fn list_thing_groups_for_thing(
    db: Read,
    input: &ListThingGroupsForThingRequest,
) -> Answer<ListThingGroupsForThingResponse> {
    let thing = input.thing_name();
    things::must_exist(db, thing)?;
    let asked = Asked::new(input.next_token(), input.max_results());
    let is_in = |name: String, membership: &Membership| Ok(group_of(db, &name, membership)?.is_some());
    let mut failed = None;
    let page = db.page(&THING_MEMBERSHIPS, [thing], asked, |key, membership| {
        kept(key.last_text().and_then(|name| is_in(name, membership)), &mut failed)
    })?;
    failed.map_or(Ok(()), Err)?;
    let (names, next) = page.names()?;
    let answer = ListThingGroupsForThingResponse::new().with_thing_groups(names.iter().map(|name| listed(db, name)));
    Ok(paged(answer, next, ListThingGroupsForThingResponse::with_next_token))
}

fn list_things_in_thing_group(
    db: Read,
    input: &ListThingsInThingGroupRequest,
) -> Answer<ListThingsInThingGroupResponse> {
    let name = input.thing_group_name();
    let mut under = db.named(&THING_GROUPS, [name])?.ids();
    if input.recursive() != Some(true) {
        under.push(THINGS_BELOW.to_owned());
    }
    let asked = Asked::new(input.next_token(), input.max_results());
    // Things of one group stand together, so that hardly any has to be looked up.
    let mut last = (String::new(), true);
    let mut is_there = |group: String| {
        if last.0 != group {
            last.1 = !left_behind::is_of(db, &group)?;
            last.0 = group;
        }
        Ok(last.1)
    };
    let mut failed = None;
    let page = db.page(&THING_GROUP_MEMBERS, under, asked, |key, ()| {
        kept(key.text_before_last(2).and_then(&mut is_there), &mut failed)
    })?;
    failed.map_or(Ok(()), Err)?;
    let (things, next) = page.names()?;
    let answer = ListThingsInThingGroupResponse::new().with_things(things);
    Ok(paged(answer, next, ListThingsInThingGroupResponse::with_next_token))
}

/// Whether a row stays on a page; a fault is kept for whoever asked for the page.
fn kept(found: Result<bool, Fault>, failed: &mut Option<Fault>) -> bool {
    found.unwrap_or_else(|fault| {
        failed.get_or_insert(fault);
        true
    })
}
