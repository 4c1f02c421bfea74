//! Role aliases: names under which devices take roles, and the temporary keys that they get for them (security.md §8). The
//! device is known by its certificate; how it showed it, and how an answer leaves, is unknown here.

use policy::Request;
use policy::iam::Who;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Table, json_record};
use wire::Refusal;
use wire::iot::{
    CreateRoleAliasRequest, CreateRoleAliasResponse, DeleteRoleAliasRequest, DeleteRoleAliasResponse,
    DescribeRoleAliasRequest, DescribeRoleAliasResponse, ListRoleAliasesRequest, ListRoleAliasesResponse,
    RoleAliasDescription, UpdateRoleAliasRequest, UpdateRoleAliasResponse,
};

use crate::caller::{Caller, Identity, Whence};
use crate::events::Refused;
use crate::house::House;
use crate::identity::{self, Standing};
use crate::neighbours::iam::{self, Role};
use crate::neighbours::sts::session::{self, Of, RoleSession};
use crate::operation::{Answer, Failure, Op, ops};
use crate::scope::{Asked, NO_PARTS, Read, Write, paged};
use crate::tags::{self, Tags, tagged};
use crate::things::Thing;

pub(crate) const OPS: &[Op] = ops! {
    write create_role_alias on role_alias(role_alias);
    read  describe_role_alias on role_alias(role_alias);
    write update_role_alias on role_alias(role_alias);
    write delete_role_alias on role_alias(role_alias);
    read  list_role_aliases on any;
};

pub(crate) const TAGGED: tags::Kind = tagged!("rolealias" in ROLE_ALIASES);

/// By name.
const ROLE_ALIASES: Table<RoleAlias> = Table::new("role_aliases");

/// Aliases of one account in one region.
const MOST: usize = 100;
/// Seconds that keys are good for, unless the alias says otherwise.
const SECONDS: i64 = 3600;

/// The service that takes roles for devices.
const SERVICE: &str = "credentials.iot.amazonaws.com";
/// What a device needs to be allowed.
const ACTION: &str = "iot:AssumeRoleWithCertificate";

#[derive(Debug, Serialize, Deserialize)]
struct RoleAlias {
    role_arn: String,
    seconds: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Tags,
    created: i64,
    modified: i64,
}
json_record!(RoleAlias, version 1);

impl RoleAlias {
    /// Refuses keys that would outlast what the role allows; of a role that is not here nothing is known.
    /// unconfirmed: the text.
    fn check(&self, db: Read) -> Answer<()> {
        match iam::role(db, &self.role_arn)? {
            Some(role) if self.seconds > role.longest_session => Err(Refusal::invalid_request(format!(
                "credentialDurationSeconds must not exceed the role's maximum session duration of {} seconds",
                role.longest_session
            ))
            .into()),
            _ => Ok(()),
        }
    }
}

fn arn(db: Read, name: &str) -> String {
    db.arn(format_args!("rolealias/{name}"))
}

fn create_role_alias(db: &mut Write, input: &CreateRoleAliasRequest) -> Answer<CreateRoleAliasResponse> {
    let (name, arn) = (input.role_alias(), arn(db.view(), input.role_alias()));
    if db.view().contains(&ROLE_ALIASES, [name])? {
        let message = format!("RoleAlias cannot be created - already exists (name={name})");
        return Err(Refusal::resource_already_exists(message).with("resourceId", name).with("resourceArn", arn).into());
    }
    if db.view().some(&ROLE_ALIASES, NO_PARTS, MOST)?.len() >= MOST {
        // unconfirmed: the text.
        return Err(Refusal::limit_exceeded(format!("An account has at most {MOST} role aliases")).into());
    }
    let alias = RoleAlias {
        role_arn: input.role_arn().to_owned(),
        seconds: input.credential_duration_seconds().unwrap_or(SECONDS),
        tags: tags::first(input.tags())?,
        created: db.now(),
        modified: db.now(),
    };
    alias.check(db.view())?;
    db.put(&ROLE_ALIASES, [name], &alias)?;
    Ok(CreateRoleAliasResponse::new().with_role_alias(name).with_role_alias_arn(arn))
}

fn describe_role_alias(db: Read, input: &DescribeRoleAliasRequest) -> Answer<DescribeRoleAliasResponse> {
    let name = input.role_alias();
    let alias = db.named(&ROLE_ALIASES, [name])?;
    let description = RoleAliasDescription::new()
        .with_role_alias(name)
        .with_role_alias_arn(arn(db, name))
        .with_role_arn(alias.role_arn)
        .with_owner(&*db.cx.scope.account)
        .with_credential_duration_seconds(alias.seconds)
        .with_creation_date(alias.created)
        .with_last_modified_date(alias.modified);
    Ok(DescribeRoleAliasResponse::new().with_role_alias_description(description))
}

fn update_role_alias(db: &mut Write, input: &UpdateRoleAliasRequest) -> Answer<UpdateRoleAliasResponse> {
    let name = input.role_alias();
    let mut alias = db.view().named(&ROLE_ALIASES, [name])?;
    if let Some(role_arn) = input.role_arn() {
        role_arn.clone_into(&mut alias.role_arn);
    }
    if let Some(seconds) = input.credential_duration_seconds() {
        alias.seconds = seconds;
    }
    alias.check(db.view())?;
    alias.modified = db.now();
    db.put(&ROLE_ALIASES, [name], &alias)?;
    Ok(UpdateRoleAliasResponse::new().with_role_alias(name).with_role_alias_arn(arn(db.view(), name)))
}

fn delete_role_alias(db: &mut Write, input: &DeleteRoleAliasRequest) -> Answer<DeleteRoleAliasResponse> {
    db.view().named(&ROLE_ALIASES, [input.role_alias()])?;
    db.delete(&ROLE_ALIASES, [input.role_alias()])?;
    Ok(DeleteRoleAliasResponse::new())
}

/// In alphabetical order, backwards unless somebody asks for the other.
fn list_role_aliases(db: Read, input: &ListRoleAliasesRequest) -> Answer<ListRoleAliasesResponse> {
    let asked = Asked::new(input.marker(), input.page_size()).by_date(input.ascending_order());
    let page = db.page(&ROLE_ALIASES, NO_PARTS, asked, |_, _| true)?;
    let names = page.items.iter().map(|(key, _)| key.text_at(2)).collect::<Result<Vec<_>, _>>()?;
    let answer = ListRoleAliasesResponse::new().with_role_aliases(names);
    Ok(paged(answer, page.next, ListRoleAliasesResponse::with_next_marker))
}

impl House {
    /// Temporary keys of the role behind an alias, for a device: `thing` is the one that it says it is. What is known of it goes
    /// with the keys, for the role's policies to speak of.
    pub fn device_credentials(
        &self,
        caller: &Caller,
        alias: &str,
        thing: Option<&str>,
        (now, entropy): (i64, u128),
    ) -> Result<Value, Refusal> {
        let cx = self.context(&caller.scope, now, entropy);
        let view = self.store.read();
        let given = credentials(Read::new(&view, &cx), caller, alias, thing);
        given.map_err(|failure| self.refusal(&caller.scope, now, failure))
    }
}

fn credentials(db: Read, caller: &Caller, name: &str, thing: Option<&str>) -> Answer<Value> {
    let Identity::Device { certificate_id, source_ip } = &caller.identity else {
        return Err(Refusal::forbidden("Role aliases are for devices: show a certificate.").into());
    };
    let refused = Refused {
        principal: certificate_id.clone(),
        action: ACTION.to_owned(),
        resource: arn(db, name),
        peer: source_ip.clone(),
        given: caller.whence.given(),
        ..Refused::default()
    };
    let thing = permitted(db, (certificate_id, source_ip, &caller.whence), thing, &refused)?;
    let Some(alias) = db.get(&ROLE_ALIASES, [name])? else {
        return Err(Refusal::resource_not_found("Role alias does not exist").with_status(404).into());
    };
    let role = iam::role(db, &alias.role_arn)?;
    let values = iam::for_service(db, Some(&refused.resource));
    let trusted = |role: &Role| role.trusts(&Who::Service(SERVICE), "sts:AssumeRole", &values, db.now());
    let Some(role) = role.filter(trusted) else {
        let reason = format!("the role {} does not exist, or does not trust {SERVICE}", alias.role_arn);
        return denied(Refused { decision: "ROLE_NOT_TRUSTING".to_owned(), reason, ..refused });
    };
    let session = RoleSession {
        context: known(certificate_id, thing.as_ref()),
        ..session::role_session(db, &role, certificate_id)
    };
    // unconfirmed: keys are cut to what the role allows by now; AWS may refuse them.
    let keys = session::issue(db.cx, Of::Role(session), alias.seconds.min(role.longest_session))?;
    Ok(json!({"credentials": {
        "accessKeyId": keys.access_key_id,
        "secretAccessKey": keys.secret_access_key,
        "sessionToken": keys.session_token,
        "expiration": session::date(keys.expires),
    }}))
}

/// Whether the device may, and the thing that it is. unconfirmed: the policies are asked before it is looked whether there is
/// such an alias, so that nobody finds out who may not know.
fn permitted(
    db: Read,
    (certificate_id, source_ip, whence): (&str, &str, &Whence),
    thing: Option<&str>,
    refused: &Refused,
) -> Answer<Option<(String, Thing)>> {
    let certificate = match identity::standing(db, certificate_id)? {
        Standing::Active(certificate) => certificate,
        other => {
            let (decision, reason) = (other.decision().to_owned(), other.reason());
            return denied(Refused { decision, reason, ..refused.clone() });
        }
    };
    let known = match thing {
        None => None,
        Some(name) => {
            let found = identity::thing_of(db, certificate_id, name)?.filter(|(known, _)| known == name);
            let Some(found) = found else {
                let reason = format!("the certificate is not attached to the thing {name}");
                return denied(Refused { decision: "NOT_ITS_THING".to_owned(), reason, ..refused.clone() });
            };
            Some(found)
        }
    };
    let mut values = identity::certificate_context(certificate_id, &certificate);
    values.set(policy::keys::SOURCE_IP, source_ip);
    whence.add_to(&mut values);
    identity::add_thing(&mut values, known.as_ref());
    let set = identity::policy_set(db, certificate_id, known.as_ref().map(|(name, _)| name.as_str()), values)?;
    let request = Request::new(ACTION, refused.resource.as_str(), db.now());
    let decision = set.decide(&request);
    if decision.is_allowed() {
        return Ok(known);
    }
    denied(identity::explained(refused.clone(), &set, &request, &decision))
}

/// What the policies of the role can speak of.
fn known(certificate_id: &str, thing: Option<&(String, Thing)>) -> std::collections::BTreeMap<String, String> {
    let own = [("credentials-iot:AwsCertificateId", Some(certificate_id))];
    let of_thing = thing.map(|(name, thing)| {
        [
            ("credentials-iot:ThingName", Some(name.as_str())),
            ("credentials-iot:ThingTypeName", thing.type_name.as_deref()),
        ]
    });
    let all = own.into_iter().chain(of_thing.into_iter().flatten());
    all.filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))).collect()
}

/// AWS says no more than this; the event does.
fn denied<T>(refused: Refused) -> Answer<T> {
    let refusal = Refusal::new("AccessDeniedException", "Access Denied").with_status(403);
    Err(Failure::Told(Box::new((refusal, refused))))
}
