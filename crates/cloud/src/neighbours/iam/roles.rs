//! Roles: a name, who may take it, and for how long. What its holder may do is in the policies that are attached to it or
//! stand inside it, which know it by name.

use policy::iam::{Document, Kind, Who};
use serde::{Deserialize, Serialize};
use store::{Fault, Table, json_record};
use wire::Refusal;
use wire::iam::{
    CreateRoleRequest, CreateRoleResponse, DeleteRolePermissionsBoundaryRequest, DeleteRoleRequest, GetRoleRequest,
    GetRoleResponse, ListInstanceProfilesForRoleRequest, ListInstanceProfilesForRoleResponse, ListRoleTagsRequest,
    ListRoleTagsResponse, ListRolesRequest, ListRolesResponse, PutRolePermissionsBoundaryRequest, RoleLastUsed,
    TagRoleRequest, UntagRoleRequest, UpdateAssumeRolePolicyRequest, UpdateRoleDescriptionRequest,
    UpdateRoleDescriptionResponse, UpdateRoleRequest, UpdateRoleResponse,
};

use super::tags::{self, Tags};
use super::{
    attached, delete_conflict, document, encoded, folded, inline, limit_exceeded, no_such_entity, users, with_marker,
};
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::scope::{Everywhere, NO_PARTS, Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    write create_role on any;
    read  get_role on any;
    read  list_roles on any;
    write update_role on any;
    write update_role_description on any;
    write update_assume_role_policy on any;
    write delete_role on any;
    write tag_role on any;
    write untag_role on any;
    read  list_role_tags on any;
    read  list_instance_profiles_for_role on any;
    write put_role_permissions_boundary on any;
    write delete_role_permissions_boundary on any;
};

/// By folded name.
const ROLES: Everywhere<Role> = Everywhere(Table::new("iam_roles"));

/// Characters of a trust document.
const TRUST_SIZE: usize = 2048;
/// Seconds for which a role can be taken, unless it says otherwise.
const SESSION: i64 = 3600;

/// A role.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Role {
    /// As it was given.
    pub(crate) name: String,
    pub(crate) path: String,
    /// `AROA…`.
    pub(crate) id: String,
    trust: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Seconds for which it can be taken at most.
    pub(crate) longest_session: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Tags,
    created: i64,
}
json_record!(Role, version 1);

impl Role {
    /// Whether somebody of whose request these things are known may take it (`sts:AssumeRole`), or do what goes with that.
    pub(crate) fn trusts(&self, who: &Who<'_>, action: &str, values: &policy::Context, now: i64) -> bool {
        // What was read once is read again.
        let trust = Document::parse(&self.trust, Kind::Trust);
        trust.is_ok_and(|trust| trust.trusts(who, action, values, now))
    }

    fn shown(&self, db: Read) -> wire::iam::Role {
        let role = wire::iam::Role::new()
            .with_path(&self.path)
            .with_role_name(&self.name)
            .with_role_id(&self.id)
            .with_arn(self.arn(db))
            .with_create_date(self.created)
            .with_assume_role_policy_document(encoded(&self.trust))
            .with_max_session_duration(self.longest_session);
        match &self.description {
            Some(description) => role.with_description(description),
            None => role,
        }
    }

    /// The same with what a listing leaves out.
    fn in_full(&self, db: Read) -> Result<wire::iam::Role, Fault> {
        let shown = self.shown(db);
        let shown = if self.tags.is_empty() { shown } else { shown.with_tags(tags::listed(&self.tags)) };
        Ok(match attached::BOUNDS_OF_ROLES.of_holder(db, &self.name)?.first() {
            Some(arn) => shown.with_permissions_boundary(users::boundary(arn)),
            None => shown,
        })
    }

    /// Its ARN.
    pub(crate) fn arn(&self, db: Read) -> String {
        super::arn(&db.cx.scope.account, "role", &self.path, &self.name)
    }
}

/// The role of an ARN, if it is one of this account.
pub(crate) fn role(db: Read, arn: &str) -> Result<Option<Role>, Fault> {
    let Some((account, path, name)) = super::parts(arn, "role") else { return Ok(None) };
    if account != &*db.cx.scope.account {
        return Ok(None);
    }
    let role = db.get(&ROLES, [folded(name)])?;
    Ok(role.filter(|role| role.path == path && role.name == name))
}

/// The role that is filed under a folded name.
pub(super) fn filed(db: Read, folded: &str) -> Result<Option<Role>, Fault> {
    db.get(&ROLES, [folded])
}

/// The role of a name.
pub(super) fn named(db: Read, name: &str) -> Answer<Role> {
    // unconfirmed: that a name in another case is nobody's.
    let found = db.get(&ROLES, [folded(name)])?.filter(|role| role.name == name);
    found.ok_or_else(|| no_such_entity(format!("The role with name {name} cannot be found.")))
}

fn put(db: &mut Write, role: &Role) -> Answer<()> {
    Ok(db.put(&ROLES, [folded(&role.name)], role)?)
}

fn check_trust(text: &str) -> Answer<()> {
    document(text, Kind::Trust)?;
    if super::size(text) > TRUST_SIZE {
        return Err(limit_exceeded(format!("Cannot exceed quota for ACLSizePerRole: {TRUST_SIZE}")));
    }
    Ok(())
}

fn create_role(db: &mut Write, input: &CreateRoleRequest) -> Answer<CreateRoleResponse> {
    let name = input.role_name();
    check_trust(input.assume_role_policy_document())?;
    if db.view().contains(&ROLES, [folded(name)])? {
        return Err(Refusal::new("EntityAlreadyExists", format!("Role with name {name} already exists.")).into());
    }
    let mut tags = Tags::new();
    tags::add(&mut tags, input.tags())?;
    let role = Role {
        name: name.to_owned(),
        path: input.path().unwrap_or("/").to_owned(),
        id: super::new_id(db, "AROA"),
        trust: input.assume_role_policy_document().to_owned(),
        description: input.description().map(str::to_owned),
        longest_session: input.max_session_duration().unwrap_or(SESSION),
        tags,
        created: db.now(),
    };
    put(db, &role)?;
    attached::BOUNDS_OF_ROLES.replace(db, name, input.permissions_boundary())?;
    Ok(CreateRoleResponse::new().with_role(role.in_full(db.view())?))
}

fn get_role(db: Read, input: &GetRoleRequest) -> Answer<GetRoleResponse> {
    let role = named(db, input.role_name())?;
    // When a role was last used is not kept: without a date, AWS's clients show that it was not.
    Ok(GetRoleResponse::new().with_role(role.in_full(db)?.with_role_last_used(RoleLastUsed::new())))
}

fn list_roles(db: Read, input: &ListRolesRequest) -> Answer<ListRolesResponse> {
    let prefix = input.path_prefix().unwrap_or("/");
    let asked = (input.marker(), input.max_items());
    let page = super::page(db, &ROLES, NO_PARTS, asked, |_, role| role.path.starts_with(prefix))?;
    let listed = page.items.iter().map(|(_, role)| role.shown(db));
    Ok(with_marker!(ListRolesResponse::new().with_roles(listed), page.next))
}

fn update_role(db: &mut Write, input: &UpdateRoleRequest) -> Answer<UpdateRoleResponse> {
    let mut role = named(db.view(), input.role_name())?;
    if let Some(description) = input.description() {
        role.description = Some(description.to_owned());
    }
    // unconfirmed: that what is not given becomes the default again.
    role.longest_session = input.max_session_duration().unwrap_or(SESSION);
    put(db, &role)?;
    Ok(UpdateRoleResponse::new())
}

fn update_role_description(
    db: &mut Write,
    input: &UpdateRoleDescriptionRequest,
) -> Answer<UpdateRoleDescriptionResponse> {
    let mut role = named(db.view(), input.role_name())?;
    role.description = Some(input.description().to_owned());
    put(db, &role)?;
    Ok(UpdateRoleDescriptionResponse::new().with_role(role.in_full(db.view())?))
}

fn update_assume_role_policy(db: &mut Write, input: &UpdateAssumeRolePolicyRequest) -> Answer<()> {
    let mut role = named(db.view(), input.role_name())?;
    check_trust(input.policy_document())?;
    input.policy_document().clone_into(&mut role.trust);
    put(db, &role)
}

fn delete_role(db: &mut Write, input: &DeleteRoleRequest) -> Answer<()> {
    let role = named(db.view(), input.role_name())?;
    if attached::OF_ROLES.has_any(db.view(), &role.name)? {
        return Err(delete_conflict("Cannot delete entity, must detach all policies first."));
    }
    if inline::OF_ROLES.has_any(db.view(), &role.name)? {
        return Err(delete_conflict("Cannot delete entity, must delete policies first."));
    }
    attached::BOUNDS_OF_ROLES.replace(db, &role.name, None)?;
    db.tell(News::Permissions(role.arn(db.view())));
    Ok(db.delete(&ROLES, [folded(&role.name)])?)
}

fn put_role_permissions_boundary(db: &mut Write, input: &PutRolePermissionsBoundaryRequest) -> Answer<()> {
    let role = named(db.view(), input.role_name())?;
    db.tell(News::Permissions(role.arn(db.view())));
    attached::BOUNDS_OF_ROLES.replace(db, &role.name, Some(input.permissions_boundary()))
}

fn delete_role_permissions_boundary(db: &mut Write, input: &DeleteRolePermissionsBoundaryRequest) -> Answer<()> {
    let role = named(db.view(), input.role_name())?;
    db.tell(News::Permissions(role.arn(db.view())));
    attached::BOUNDS_OF_ROLES.replace(db, &role.name, None)
}

fn tag_role(db: &mut Write, input: &TagRoleRequest) -> Answer<()> {
    let mut role = named(db.view(), input.role_name())?;
    tags::add(&mut role.tags, input.tags())?;
    db.tell(News::Permissions(role.arn(db.view())));
    put(db, &role)
}

fn untag_role(db: &mut Write, input: &UntagRoleRequest) -> Answer<()> {
    let mut role = named(db.view(), input.role_name())?;
    tags::remove(&mut role.tags, input.tag_keys());
    db.tell(News::Permissions(role.arn(db.view())));
    put(db, &role)
}

fn list_role_tags(db: Read, input: &ListRoleTagsRequest) -> Answer<ListRoleTagsResponse> {
    let role = named(db, input.role_name())?;
    let (tags, next) = super::part_of(tags::listed(&role.tags), input.marker(), input.max_items())?;
    Ok(with_marker!(ListRoleTagsResponse::new().with_tags(tags), next))
}

/// There are no instances here, so no profile holds a role; tools ask before they delete one.
fn list_instance_profiles_for_role(
    db: Read,
    input: &ListInstanceProfilesForRoleRequest,
) -> Answer<ListInstanceProfilesForRoleResponse> {
    named(db, input.role_name())?;
    Ok(ListInstanceProfilesForRoleResponse::new().with_instance_profiles([]).with_is_truncated(false))
}
