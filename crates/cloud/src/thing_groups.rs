//! Static thing groups: a tree of names with attributes (registry.md §7). A group's place in the tree is given when it is
//! created and never changes, so each group carries the names of its parents, and what lies below it has keys that
//! continue its own. Which things are in a group is told in `members`; what its policies say is unknown here.

use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Fault, Key, Table, json_record};
use wire::Refusal;
use wire::iot::{
    AttributePayload, CreateThingGroupRequest, CreateThingGroupResponse, DeleteThingGroupRequest,
    DeleteThingGroupResponse, DescribeThingGroupRequest, DescribeThingGroupResponse, GroupNameAndArn,
    ListThingGroupsRequest, ListThingGroupsResponse, ThingGroupMetadata, ThingGroupProperties, UpdateThingGroupRequest,
    UpdateThingGroupResponse,
};

use crate::attributes::{self, Attributes};
use crate::event_configurations::{self as events, About, Happened, Told};
use crate::left_behind::{self, Left};
use crate::naming::Noun;
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::policies;
use crate::scope::{Asked, NO_PARTS, Read, Write, paged};
use crate::tags::{self, Tags, tagged};

pub(crate) mod dynamic;
pub(crate) mod members;

pub(crate) use members::{Reached, reaching};

pub(crate) const OPS: &[Op] = ops! {
    write create_thing_group on thing_group(thing_group_name);
    read  describe_thing_group on thing_group(thing_group_name);
    write update_thing_group on thing_group(thing_group_name);
    write delete_thing_group on thing_group(thing_group_name);
    read  list_thing_groups on any;
};

pub(crate) const TAGGED: tags::Kind = tagged!("thinggroup" in THING_GROUPS);

/// By name.
const THING_GROUPS: Table<Group> = Table::new("thing_groups");
/// By the names from the root down to the group: what lies below a group continues its key.
const THING_GROUP_TREE: Table<()> = Table::new("thing_group_tree");
/// By parent and child; the roots have the parent without a name.
const THING_GROUP_CHILDREN: Table<()> = Table::new("thing_group_children");

/// Groups from a root down, itself included.
const LEVELS: usize = 7;
/// Groups directly below one.
const CHILDREN: usize = 100;
/// Attributes of a group.
const ATTRIBUTES: usize = 50;
/// The parent of the roots.
const NO_PARENT: &str = "";

const THING_GROUP: Noun =
    Noun { resource: "thinggroup", member: "thingGroup", title: "ThingGroup", words: "thing group", blank: " " };

/// A thing group.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    /// A UUID; another group of the same name has another one.
    id: String,
    /// The groups above it, root first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parents: Vec<Parent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    attributes: Attributes,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Tags,
    /// Counts updates, from 1.
    version: i64,
    created: i64,
}
json_record!(Group, version 1);

/// A group above another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Parent {
    name: String,
    id: String,
}

impl Group {
    fn parent(&self) -> Option<&str> {
        self.parents.last().map(|parent| &*parent.name)
    }

    /// The names from the root down to this group, which is called `name`.
    fn path(&self, name: &str) -> Vec<String> {
        self.parents.iter().map(|parent| parent.name.clone()).chain([name.to_owned()]).collect()
    }

    /// The ids from the root down to this group.
    fn ids(&self) -> Vec<String> {
        self.parents.iter().map(|parent| &parent.id).chain([&self.id]).cloned().collect()
    }

    fn check_attributes(&self) -> Result<(), Refusal> {
        let given = self.attributes.len();
        if given <= ATTRIBUTES {
            return Ok(());
        }
        // unconfirmed: the text.
        Err(Refusal::invalid_request(format!("A thing group has at most {ATTRIBUTES} attributes, not {given}")))
    }

    /// unconfirmed: the text; it is that of things.
    fn check_version(&self, name: &str, expected: Option<i64>) -> Result<(), Refusal> {
        if expected.is_none_or(|expected| expected == self.version) {
            return Ok(());
        }
        let message = format!("The version for thing group {name} does not match the expected version.");
        Err(Refusal::version_conflict(message))
    }

    fn properties(&self) -> ThingGroupProperties {
        let mut properties = ThingGroupProperties::default();
        if let Some(description) = &self.description {
            properties = properties.with_thing_group_description(description);
        }
        if self.attributes.is_empty() {
            return properties;
        }
        let payload = AttributePayload::default().with_attributes(attributes::json(&self.attributes));
        properties.with_attribute_payload(payload)
    }

    fn metadata(&self, db: Read) -> ThingGroupMetadata {
        let metadata = ThingGroupMetadata::new().with_creation_date(self.created);
        let Some(parent) = self.parent() else { return metadata };
        let above = self.parents.iter().map(|parent| listed(db, &parent.name));
        metadata.with_parent_group_name(parent).with_root_to_parent_thing_groups(above)
    }
}

/// The ARN of a group of this name.
pub(crate) fn arn(db: Read, name: &str) -> String {
    THING_GROUP.arn(db, name)
}

/// The name in the ARN of a group of this scope, whether there is one or not.
pub(crate) fn name_of_arn<'a>(db: Read, arn: &'a str) -> Option<&'a str> {
    THING_GROUP.name_of_arn(db, arn)
}

/// Whether there is a group of this name.
pub(crate) fn exists(db: Read, name: &str) -> Result<bool, Fault> {
    db.contains(&THING_GROUPS, [name])
}

/// The names of the groups above a group, nearest first; none for a group that is not there.
pub(crate) fn ancestors(db: Read, group: &str) -> Result<Vec<String>, Fault> {
    let found = db.get(&THING_GROUPS, [group])?;
    Ok(found.map(|group| group.parents.into_iter().rev().map(|parent| parent.name).collect()).unwrap_or_default())
}

fn listed(db: Read, name: &str) -> GroupNameAndArn {
    GroupNameAndArn::new().with_group_name(name).with_group_arn(arn(db, name))
}

fn create_thing_group(db: &mut Write, input: &CreateThingGroupRequest) -> Answer<CreateThingGroupResponse> {
    let name = input.thing_group_name();
    let properties = input.thing_group_properties().unwrap_or_default();
    let group = Group {
        id: db.uuid(),
        parents: with_parent(db.view(), input.parent_group_name())?,
        description: properties.thing_group_description().map(str::to_owned),
        attributes: attributes::first(properties.attribute_payload().as_ref()),
        tags: tags::first(input.tags())?,
        version: 1,
        created: db.now(),
    };
    group.check_attributes()?;
    if let Some(known) = db.view().get(&THING_GROUPS, [name])? {
        return existing(db, name, &known, &group);
    }
    check_place(db.view(), &group)?;
    db.put(&THING_GROUPS, [name], &group)?;
    db.put(&THING_GROUP_TREE, group.path(name), &())?;
    db.put(&THING_GROUP_CHILDREN, [group.parent().unwrap_or(NO_PARENT), name], &())?;
    tell(db, name, &group, Happened::Created)?;
    tell_hierarchy(db, name, &group, Happened::Added)?;
    Ok(created(db, name, &group))
}

/// Tells that something has happened to a group.
fn tell(db: &mut Write, name: &str, group: &Group, happened: Happened) -> Result<(), Fault> {
    events::tell(db, About::Group, happened, |db| {
        let above = |parent: &Parent| json!({"groupArn": arn(db, &parent.name), "groupId": parent.id});
        let members = json!({
            "thingGroupId": group.id,
            "thingGroupName": name,
            "versionNumber": group.version,
            "parentGroupName": group.parent(),
            "parentGroupId": group.parents.last().map(|parent| &parent.id),
            "description": group.description,
            "rootToParentThingGroups": group.parents.iter().map(above).collect::<Vec<_>>(),
            "attributes": group.attributes,
            "dynamicGroupMappingId": null,
        });
        Ok(Told { subject: name.to_owned(), members })
    })
}

/// Tells that a group has come below another, or is there no more.
fn tell_hierarchy(db: &mut Write, name: &str, group: &Group, happened: Happened) -> Result<(), Fault> {
    let Some(Parent { name: parent, id }) = group.parents.last() else { return Ok(()) };
    events::tell(db, About::Hierarchy, happened, |_| {
        let members = json!({
            "thingGroupId": id,
            "thingGroupName": parent,
            "childGroupId": group.id,
            "childGroupName": name,
        });
        Ok(Told { subject: format!("thingGroup/{parent}/childThingGroup/{name}"), members })
    })
}

/// The groups above a new one, from the root down to its parent.
fn with_parent(db: Read, parent: Option<&str>) -> Answer<Vec<Parent>> {
    let Some(parent) = parent else { return Ok(Vec::new()) };
    match db.get(&THING_GROUPS, [parent])? {
        Some(Group { id, parents, .. }) => {
            Ok(parents.into_iter().chain([Parent { name: parent.to_owned(), id }]).collect())
        }
        // unconfirmed: the error and the text; the operation's model knows no 404.
        None => Err(Refusal::invalid_request(format!("Parent thing group {parent} does not exist")).into()),
    }
}

/// Refuses what would make a tree too deep or too wide. unconfirmed: the errors and the texts.
fn check_place(db: Read, group: &Group) -> Answer<()> {
    let Some(parent) = group.parent() else { return Ok(()) };
    if group.parents.len() >= LEVELS {
        let message = format!("A hierarchy of thing groups has at most {LEVELS} levels");
        return Err(Refusal::invalid_request(message).into());
    }
    if db.some(&THING_GROUP_CHILDREN, [parent], CHILDREN)?.len() >= CHILDREN {
        let message = format!("Thing group {parent} already has the maximum number of child groups ({CHILDREN})");
        return Err(Refusal::invalid_request(message).into());
    }
    Ok(())
}

/// Creating what is there already succeeds if it is the same.
fn existing(db: &Write, name: &str, known: &Group, wanted: &Group) -> Answer<CreateThingGroupResponse> {
    let of = |group: &Group| (group.parents.clone(), group.description.clone(), group.attributes.clone());
    if of(known) == of(wanted) {
        return Ok(created(db, name, known));
    }
    let message = format!("Thing Group {name} already exists in current account with different properties");
    let refusal = Refusal::resource_already_exists(message);
    Err(refusal.with("resourceId", known.id.as_str()).with("resourceArn", arn(db.view(), name)).into())
}

fn created(db: &Write, name: &str, group: &Group) -> CreateThingGroupResponse {
    CreateThingGroupResponse::new()
        .with_thing_group_name(name)
        .with_thing_group_arn(arn(db.view(), name))
        .with_thing_group_id(&group.id)
}

fn describe_thing_group(db: Read, input: &DescribeThingGroupRequest) -> Answer<DescribeThingGroupResponse> {
    let name = input.thing_group_name();
    let group = db.named(&THING_GROUPS, [name])?;
    Ok(DescribeThingGroupResponse::new()
        .with_thing_group_name(name)
        .with_thing_group_id(&group.id)
        .with_thing_group_arn(arn(db, name))
        .with_version(group.version)
        .with_thing_group_properties(group.properties())
        .with_thing_group_metadata(group.metadata(db)))
}

/// What is not given stays as it is.
fn update_thing_group(db: &mut Write, input: &UpdateThingGroupRequest) -> Answer<UpdateThingGroupResponse> {
    let name = input.thing_group_name();
    let mut group = db.view().named(&THING_GROUPS, [name])?;
    group.check_version(name, input.expected_version())?;
    let properties = input.thing_group_properties().unwrap_or_default();
    if let Some(description) = properties.thing_group_description() {
        group.description = Some(description.to_owned());
    }
    if let Some(payload) = properties.attribute_payload() {
        attributes::update(&mut group.attributes, &payload);
    }
    group.check_attributes()?;
    group.version += 1;
    db.put(&THING_GROUPS, [name], &group)?;
    tell(db, name, &group, Happened::Updated)?;
    Ok(UpdateThingGroupResponse::new().with_version(group.version))
}

/// unconfirmed: that policies which are attached do not keep a group, and are detached.
fn delete_thing_group(db: &mut Write, input: &DeleteThingGroupRequest) -> Answer<DeleteThingGroupResponse> {
    let name = input.thing_group_name();
    let Some(group) = db.view().get(&THING_GROUPS, [name])? else { return Ok(DeleteThingGroupResponse::new()) };
    group.check_version(name, input.expected_version())?;
    if db.view().first(&THING_GROUP_CHILDREN, [name])?.is_some() {
        let message = format!(" Cannot delete thing group : {name} when there are still child groups attached to it");
        return Err(Refusal::invalid_request(message).into());
    }
    tell(db, name, &group, Happened::Deleted)?;
    tell_hierarchy(db, name, &group, Happened::Removed)?;
    db.tell(News::Group(name.to_owned()));
    left_behind::begin(db, &group.id, &Left::ThingGroup { name: name.to_owned(), ids: group.ids() })?;
    let arn = arn(db.view(), name);
    policies::targets::detach_all(db, &arn)?;
    db.delete(&THING_GROUP_TREE, group.path(name))?;
    db.delete(&THING_GROUP_CHILDREN, [group.parent().unwrap_or(NO_PARENT), name])?;
    db.delete(&THING_GROUPS, [name])?;
    Ok(DeleteThingGroupResponse::new())
}

/// Recursive unless asked otherwise: then only what is directly below the parent, or the roots.
fn list_thing_groups(db: Read, input: &ListThingGroupsRequest) -> Answer<ListThingGroupsResponse> {
    let asked = Asked::new(input.next_token(), input.max_results());
    let start = input.name_prefix_filter().unwrap_or_default();
    let parent = input.parent_group().map(|name| Ok::<_, crate::Failure>((name, db.named(&THING_GROUPS, [name])?)));
    let (names, next) = match (parent.transpose()?, input.recursive() != Some(false)) {
        (None, true) => db.page_of_names(&THING_GROUPS, NO_PARTS, start, asked)?.names()?,
        (None, false) => db.page_of_names(&THING_GROUP_CHILDREN, [NO_PARENT], start, asked)?.names()?,
        (Some((parent, _)), false) => db.page_of_names(&THING_GROUP_CHILDREN, [parent], start, asked)?.names()?,
        (Some((parent, group)), true) => {
            let is_wanted = |name: &str| name != parent && name.starts_with(start);
            let is_wanted = |key: &Key| key.last_text().is_ok_and(|name| is_wanted(&name));
            db.page(&THING_GROUP_TREE, group.path(parent), asked, |key, ()| is_wanted(key))?.names()?
        }
    };
    let answer = ListThingGroupsResponse::new().with_thing_groups(names.iter().map(|name| listed(db, name)));
    Ok(paged(answer, next, ListThingGroupsResponse::with_next_token))
}
