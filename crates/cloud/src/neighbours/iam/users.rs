//! Users: a name for somebody who holds access keys. What a user may do is in the policies that are attached to it or stand
//! inside it, which know it by name; its keys are known by `keys`, its groups by `groups`. Passwords and devices are
//! not built.

use serde::{Deserialize, Serialize};
use store::{Fault, Table, json_record};
use wire::Refusal;
use wire::iam::{
    AttachedPermissionsBoundary, CreateUserRequest, CreateUserResponse, DeleteUserPermissionsBoundaryRequest,
    DeleteUserRequest, GetUserRequest, GetUserResponse, ListUserTagsRequest, ListUserTagsResponse, ListUsersRequest,
    ListUsersResponse, PutUserPermissionsBoundaryRequest, TagUserRequest, UntagUserRequest, UpdateUserRequest,
};

use super::tags::{self, Tags};
use super::{attached, delete_conflict, folded, groups, inline, keys, no_such_entity, with_marker};
use crate::caller::Identity;
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::scope::{Everywhere, NO_PARTS, Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    write create_user on any;
    read  get_user on any;
    read  list_users on any;
    write update_user on any;
    write delete_user on any;
    write tag_user on any;
    write untag_user on any;
    read  list_user_tags on any;
    write put_user_permissions_boundary on any;
    write delete_user_permissions_boundary on any;
};

/// By folded name.
const USERS: Everywhere<User> = Everywhere(Table::new("iam_users"));

/// A user.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct User {
    /// As it was given.
    pub(crate) name: String,
    pub(crate) path: String,
    /// `AIDA…`.
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Tags,
    created: i64,
}
json_record!(User, version 1);

impl User {
    /// Its ARN.
    pub(crate) fn arn(&self, db: Read) -> String {
        super::arn(&db.cx.scope.account, "user", &self.path, &self.name)
    }

    pub(super) fn shown(&self, db: Read) -> wire::iam::User {
        wire::iam::User::new()
            .with_path(&self.path)
            .with_user_name(&self.name)
            .with_user_id(&self.id)
            .with_arn(self.arn(db))
            .with_create_date(self.created)
    }

    /// The same with what a listing leaves out.
    fn in_full(&self, db: Read) -> Result<wire::iam::User, Fault> {
        let shown = self.shown(db);
        let shown = if self.tags.is_empty() { shown } else { shown.with_tags(tags::listed(&self.tags)) };
        Ok(match attached::BOUNDS_OF_USERS.of_holder(db, &self.name)?.first() {
            Some(arn) => shown.with_permissions_boundary(boundary(arn)),
            None => shown,
        })
    }
}

/// A boundary as answers carry it.
pub(super) fn boundary(arn: &str) -> AttachedPermissionsBoundary {
    AttachedPermissionsBoundary::new()
        .with_permissions_boundary_type("PermissionsBoundaryPolicy")
        .with_permissions_boundary_arn(arn)
}

/// The user that is filed under a folded name.
pub(super) fn filed(db: Read, folded: &str) -> Result<Option<User>, Fault> {
    db.get(&USERS, [folded])
}

/// The user of a name.
pub(super) fn named(db: Read, name: &str) -> Answer<User> {
    let found = db.get(&USERS, [folded(name)])?.filter(|user| user.name == name);
    found.ok_or_else(|| no_such_entity(format!("The user with name {name} cannot be found.")))
}

fn put(db: &mut Write, user: &User) -> Answer<()> {
    Ok(db.put(&USERS, [folded(&user.name)], user)?)
}

/// Refuses a name that is another user's.
fn check_free(db: Read, name: &str) -> Answer<()> {
    match filed(db, &folded(name))? {
        Some(_) => Err(Refusal::new("EntityAlreadyExists", format!("User with name {name} already exists.")).into()),
        None => Ok(()),
    }
}

fn create_user(db: &mut Write, input: &CreateUserRequest) -> Answer<CreateUserResponse> {
    let name = input.user_name();
    check_free(db.view(), name)?;
    let mut tags = Tags::new();
    tags::add(&mut tags, input.tags())?;
    let path = input.path().unwrap_or("/").to_owned();
    let user = User { name: name.to_owned(), path, id: super::new_id(db, "AIDA"), tags, created: db.now() };
    put(db, &user)?;
    attached::BOUNDS_OF_USERS.replace(db, name, input.permissions_boundary())?;
    Ok(CreateUserResponse::new().with_user(user.in_full(db.view())?))
}

/// Without a name it is the caller, as tools ask who they are.
fn get_user(db: Read, input: &GetUserRequest) -> Answer<GetUserResponse> {
    let user = match (input.user_name(), &db.cx.origin.caller) {
        (Some(name), _) => named(db, name)?.in_full(db)?,
        (None, Some(Identity::User(user))) => named(db, &user.name)?.in_full(db)?,
        (None, Some(Identity::Key(_))) => root(db),
        (None, _) => {
            let message = "Must specify userName when calling with non-User credentials";
            return Err(Refusal::new("ValidationError", message).into());
        }
    };
    Ok(GetUserResponse::new().with_user(user))
}

/// An account is not made but there; its root is as old as time. Like AWS's, it has no name.
fn root(db: Read) -> wire::iam::User {
    let account = &*db.cx.scope.account;
    let arn = format!("arn:aws:iam::{account}:root");
    wire::iam::User::new().with_path("/").with_user_id(account).with_arn(arn).with_create_date(0)
}

fn list_users(db: Read, input: &ListUsersRequest) -> Answer<ListUsersResponse> {
    let prefix = input.path_prefix().unwrap_or("/");
    let asked = (input.marker(), input.max_items());
    let page = super::page(db, &USERS, NO_PARTS, asked, |_, user| user.path.starts_with(prefix))?;
    let listed = page.items.iter().map(|(_, user)| user.shown(db));
    Ok(with_marker!(ListUsersResponse::new().with_users(listed), page.next))
}

/// Whatever hangs on a user goes with it to its new name; its id stays, and who was there by the old name is there no longer.
fn update_user(db: &mut Write, input: &UpdateUserRequest) -> Answer<()> {
    let mut user = named(db.view(), input.user_name())?;
    db.tell(News::Permissions(user.arn(db.view())));
    let from = std::mem::replace(&mut user.name, input.new_user_name().unwrap_or(input.user_name()).to_owned());
    if folded(&from) != folded(&user.name) {
        check_free(db.view(), &user.name)?;
    }
    if let Some(path) = input.new_path() {
        path.clone_into(&mut user.path);
    }
    keys::rename(db, &from, &user.name)?;
    groups::rename_member(db, &from, &user.name)?;
    for bond in [&attached::OF_USERS, &attached::BOUNDS_OF_USERS] {
        bond.rename(db, &from, &user.name)?;
    }
    inline::OF_USERS.rename(db, &from, &user.name)?;
    db.delete(&USERS, [folded(&from)])?;
    put(db, &user)
}

fn delete_user(db: &mut Write, input: &DeleteUserRequest) -> Answer<()> {
    let user = named(db.view(), input.user_name())?;
    if keys::has_any(db.view(), &user.name)? {
        return Err(delete_conflict("Cannot delete entity, must delete access keys first."));
    }
    if attached::OF_USERS.has_any(db.view(), &user.name)? {
        return Err(delete_conflict("Cannot delete entity, must detach all policies first."));
    }
    if inline::OF_USERS.has_any(db.view(), &user.name)? {
        return Err(delete_conflict("Cannot delete entity, must delete policies first."));
    }
    if !groups::of_user(db.view(), &user.name)?.is_empty() {
        return Err(delete_conflict("Cannot delete entity, must remove users from group first."));
    }
    attached::BOUNDS_OF_USERS.replace(db, &user.name, None)?;
    db.tell(News::Permissions(user.arn(db.view())));
    Ok(db.delete(&USERS, [folded(&user.name)])?)
}

fn tag_user(db: &mut Write, input: &TagUserRequest) -> Answer<()> {
    let mut user = named(db.view(), input.user_name())?;
    tags::add(&mut user.tags, input.tags())?;
    db.tell(News::Permissions(user.arn(db.view())));
    put(db, &user)
}

fn untag_user(db: &mut Write, input: &UntagUserRequest) -> Answer<()> {
    let mut user = named(db.view(), input.user_name())?;
    tags::remove(&mut user.tags, input.tag_keys());
    db.tell(News::Permissions(user.arn(db.view())));
    put(db, &user)
}

fn list_user_tags(db: Read, input: &ListUserTagsRequest) -> Answer<ListUserTagsResponse> {
    let user = named(db, input.user_name())?;
    let (tags, next) = super::part_of(tags::listed(&user.tags), input.marker(), input.max_items())?;
    Ok(with_marker!(ListUserTagsResponse::new().with_tags(tags), next))
}

fn put_user_permissions_boundary(db: &mut Write, input: &PutUserPermissionsBoundaryRequest) -> Answer<()> {
    let user = named(db.view(), input.user_name())?;
    db.tell(News::Permissions(user.arn(db.view())));
    attached::BOUNDS_OF_USERS.replace(db, &user.name, Some(input.permissions_boundary()))
}

fn delete_user_permissions_boundary(db: &mut Write, input: &DeleteUserPermissionsBoundaryRequest) -> Answer<()> {
    let user = named(db.view(), input.user_name())?;
    db.tell(News::Permissions(user.arn(db.view())));
    attached::BOUNDS_OF_USERS.replace(db, &user.name, None)
}
