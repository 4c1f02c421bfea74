//! Groups: a name under which users are gathered, so that policies can be given to all of them together. A group is nobody: it
//! holds no keys and takes no roles. What its policies say is known elsewhere; they know it by name.

use serde::{Deserialize, Serialize};
use store::{Fault, Table, json_record};
use wire::Refusal;
use wire::iam::{
    AddUserToGroupRequest, CreateGroupRequest, CreateGroupResponse, DeleteGroupRequest, GetGroupRequest,
    GetGroupResponse, ListGroupsForUserRequest, ListGroupsForUserResponse, ListGroupsRequest, ListGroupsResponse,
    RemoveUserFromGroupRequest, UpdateGroupRequest,
};

use super::{attached, delete_conflict, folded, inline, limit_exceeded, no_such_entity, users, with_marker};
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::scope::{Everywhere, NO_PARTS, Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    write create_group on any;
    read  get_group on any;
    read  list_groups on any;
    write update_group on any;
    write delete_group on any;
    write add_user_to_group on any;
    write remove_user_from_group on any;
    read  list_groups_for_user on any;
};

/// By folded name.
const GROUPS: Everywhere<Group> = Everywhere(Table::new("iam_groups"));
/// By folded names of the group and of the user.
const MEMBERS: Everywhere<()> = Everywhere(Table::new("iam_group_members"));
/// By folded names of the user and of the group: the same, the other way round.
const OF_USERS: Everywhere<()> = Everywhere(Table::new("iam_user_groups"));

/// Groups of one user.
const GROUPS_PER_USER: usize = 10;

/// A group.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    /// As it was given.
    pub(crate) name: String,
    pub(crate) path: String,
    /// `AGPA…`.
    pub(super) id: String,
    created: i64,
}
json_record!(Group, version 1);

impl Group {
    fn shown(&self, db: Read) -> wire::iam::Group {
        wire::iam::Group::new()
            .with_path(&self.path)
            .with_group_name(&self.name)
            .with_group_id(&self.id)
            .with_arn(super::arn(&db.cx.scope.account, "group", &self.path, &self.name))
            .with_create_date(self.created)
    }
}

/// The group that is filed under a folded name.
pub(super) fn filed(db: Read, folded: &str) -> Result<Option<Group>, Fault> {
    db.get(&GROUPS, [folded])
}

/// The group of a name.
pub(super) fn named(db: Read, name: &str) -> Answer<Group> {
    let found = filed(db, &folded(name))?.filter(|group| group.name == name);
    found.ok_or_else(|| no_such_entity(format!("The group with name {name} cannot be found.")))
}

/// The folded names of the groups that a user is in.
pub(super) fn of_user(db: Read, user: &str) -> Result<Vec<String>, Fault> {
    db.all(&OF_USERS, [folded(user)])?.into_iter().map(|(key, ())| key.text_at(3)).collect()
}

/// The users that a group of this folded name has.
pub(super) fn members(db: Read, group: &str) -> Result<Vec<users::User>, Fault> {
    let mut members = Vec::new();
    for (key, ()) in db.all(&MEMBERS, [group])? {
        members.extend(users::filed(db, &key.text_at(3)?)?);
    }
    Ok(members)
}

/// Tells of everybody whom a change of this group's policies reaches.
pub(super) fn tell(db: &mut Write, group: &str) -> Result<(), Fault> {
    for user in members(db.view(), &folded(group))? {
        let arn = user.arn(db.view());
        db.tell(News::Permissions(arn));
    }
    Ok(())
}

/// Moves a user's memberships to its new name.
pub(super) fn rename_member(db: &mut Write, from: &str, to: &str) -> Result<(), Fault> {
    for group in of_user(db.view(), from)? {
        leave(db, &group, &folded(from))?;
        join(db, &group, &folded(to))?;
    }
    Ok(())
}

/// Files a membership both ways round; names are folded.
fn join(db: &mut Write, group: &str, user: &str) -> Result<(), Fault> {
    db.put(&MEMBERS, [group, user], &())?;
    db.put(&OF_USERS, [user, group], &())
}

/// Takes it away.
fn leave(db: &mut Write, group: &str, user: &str) -> Result<(), Fault> {
    db.delete(&MEMBERS, [group, user])?;
    db.delete(&OF_USERS, [user, group])
}

/// Refuses a name that is another group's.
fn check_free(db: Read, name: &str) -> Answer<()> {
    match filed(db, &folded(name))? {
        Some(_) => Err(Refusal::new("EntityAlreadyExists", format!("Group with name {name} already exists.")).into()),
        None => Ok(()),
    }
}

fn create_group(db: &mut Write, input: &CreateGroupRequest) -> Answer<CreateGroupResponse> {
    let name = input.group_name();
    check_free(db.view(), name)?;
    let path = input.path().unwrap_or("/").to_owned();
    let group = Group { name: name.to_owned(), path, id: super::new_id(db, "AGPA"), created: db.now() };
    db.put(&GROUPS, [folded(name)], &group)?;
    Ok(CreateGroupResponse::new().with_group(group.shown(db.view())))
}

fn get_group(db: Read, input: &GetGroupRequest) -> Answer<GetGroupResponse> {
    let group = named(db, input.group_name())?;
    let page = super::page(db, &MEMBERS, [folded(&group.name)], (input.marker(), input.max_items()), |_, ()| true)?;
    let mut users = Vec::with_capacity(page.items.len());
    for (key, ()) in page.items {
        users.extend(users::filed(db, &key.text_at(3)?)?.map(|user| user.shown(db)));
    }
    let answer = GetGroupResponse::new().with_group(group.shown(db)).with_users(users);
    Ok(with_marker!(answer, page.next))
}

fn list_groups(db: Read, input: &ListGroupsRequest) -> Answer<ListGroupsResponse> {
    let prefix = input.path_prefix().unwrap_or("/");
    let asked = (input.marker(), input.max_items());
    let page = super::page(db, &GROUPS, NO_PARTS, asked, |_, group| group.path.starts_with(prefix))?;
    let listed = page.items.iter().map(|(_, group)| group.shown(db));
    Ok(with_marker!(ListGroupsResponse::new().with_groups(listed), page.next))
}

fn update_group(db: &mut Write, input: &UpdateGroupRequest) -> Answer<()> {
    let mut group = named(db.view(), input.group_name())?;
    let from = std::mem::replace(&mut group.name, input.new_group_name().unwrap_or(input.group_name()).to_owned());
    if folded(&from) != folded(&group.name) {
        check_free(db.view(), &group.name)?;
    }
    if let Some(path) = input.new_path() {
        path.clone_into(&mut group.path);
    }
    for user in members(db.view(), &folded(&from))? {
        let user = folded(&user.name);
        leave(db, &folded(&from), &user)?;
        join(db, &folded(&group.name), &user)?;
    }
    attached::OF_GROUPS.rename(db, &from, &group.name)?;
    inline::OF_GROUPS.rename(db, &from, &group.name)?;
    db.delete(&GROUPS, [folded(&from)])?;
    Ok(db.put(&GROUPS, [folded(&group.name)], &group)?)
}

fn delete_group(db: &mut Write, input: &DeleteGroupRequest) -> Answer<()> {
    let group = named(db.view(), input.group_name())?;
    if db.view().first(&MEMBERS, [folded(&group.name)])?.is_some() {
        return Err(delete_conflict("Cannot delete entity, must remove users from group first."));
    }
    if attached::OF_GROUPS.has_any(db.view(), &group.name)? {
        return Err(delete_conflict("Cannot delete entity, must detach all policies first."));
    }
    if inline::OF_GROUPS.has_any(db.view(), &group.name)? {
        return Err(delete_conflict("Cannot delete entity, must delete policies first."));
    }
    Ok(db.delete(&GROUPS, [folded(&group.name)])?)
}

/// Who is in a group already stays there.
fn add_user_to_group(db: &mut Write, input: &AddUserToGroupRequest) -> Answer<()> {
    let group = folded(&named(db.view(), input.group_name())?.name);
    let user = users::named(db.view(), input.user_name())?;
    let known = of_user(db.view(), &user.name)?;
    if known.contains(&group) {
        return Ok(());
    }
    if known.len() >= GROUPS_PER_USER {
        return Err(limit_exceeded(format!("Cannot exceed quota for GroupsPerUser: {GROUPS_PER_USER}")));
    }
    let name = folded(&user.name);
    join(db, &group, &name)?;
    db.tell(News::Permissions(user.arn(db.view())));
    Ok(())
}

fn remove_user_from_group(db: &mut Write, input: &RemoveUserFromGroupRequest) -> Answer<()> {
    let group = folded(&named(db.view(), input.group_name())?.name);
    let user = users::named(db.view(), input.user_name())?;
    let name = folded(&user.name);
    if !db.view().contains(&MEMBERS, [&*group, &*name])? {
        // unconfirmed: that it is refused, and the text.
        let (user, group) = (input.user_name(), input.group_name());
        return Err(no_such_entity(format!("The user with name {user} is not in the group with name {group}.")));
    }
    leave(db, &group, &name)?;
    db.tell(News::Permissions(user.arn(db.view())));
    Ok(())
}

fn list_groups_for_user(db: Read, input: &ListGroupsForUserRequest) -> Answer<ListGroupsForUserResponse> {
    let user = users::named(db, input.user_name())?;
    let asked = (input.marker(), input.max_items());
    let page = super::page(db, &OF_USERS, [folded(&user.name)], asked, |_, ()| true)?;
    let mut groups = Vec::with_capacity(page.items.len());
    for (key, ()) in page.items {
        groups.extend(filed(db, &key.text_at(3)?)?.map(|group| group.shown(db)));
    }
    Ok(with_marker!(ListGroupsForUserResponse::new().with_groups(groups), page.next))
}
