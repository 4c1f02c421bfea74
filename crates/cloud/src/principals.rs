//! Which principals belong to which things, and exclusively or not (registry.md §6). A principal is a certificate's
//! ARN or the id of a Cognito identity; what it may do is unknown here.

use serde::{Deserialize, Serialize};
use store::{Fault, Table, json_record};
use wire::Refusal;
use wire::iot::{
    AttachThingPrincipalRequest, AttachThingPrincipalResponse, DetachThingPrincipalRequest,
    DetachThingPrincipalResponse, ListPrincipalThingsRequest, ListPrincipalThingsResponse,
    ListPrincipalThingsV2Request, ListPrincipalThingsV2Response, ListThingPrincipalsRequest,
    ListThingPrincipalsResponse, ListThingPrincipalsV2Request, ListThingPrincipalsV2Response, PrincipalThingObject,
    ThingPrincipalObject,
};

use crate::certificates;
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::policies::targets::is_cognito_identity;
use crate::scope::{Asked, Read, Write, paged};
use crate::things::{self, THINGS};

pub(crate) const OPS: &[Op] = ops! {
    // AWS asks about the certificate (security.md §5).
    write attach_thing_principal on of_arn(principal);
    write detach_thing_principal on of_arn(principal);
    read  list_thing_principals on thing(thing_name);
    read  list_thing_principals_v2 on thing(thing_name);
    read  list_principal_things on any;
    read  list_principal_things_v2 on any;
};

/// By thing and principal.
const THING_PRINCIPALS: Table<Attachment> = Table::new("thing_principals");
/// By principal and thing: the same, the other way round.
const PRINCIPAL_THINGS: Table<Attachment> = Table::new("principal_things");

/// How a principal belongs to a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Attachment {
    #[serde(rename = "EXCLUSIVE_THING")]
    Exclusive,
    #[serde(rename = "NON_EXCLUSIVE_THING")]
    Shared,
}
json_record!(Attachment, version 1);

impl Attachment {
    fn read(name: Option<&str>) -> Self {
        if name == Some("EXCLUSIVE_THING") { Self::Exclusive } else { Self::Shared }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Exclusive => "EXCLUSIVE_THING",
            Self::Shared => "NON_EXCLUSIVE_THING",
        }
    }
}

/// The thing that a principal is exclusively attached to.
pub(crate) fn exclusive_thing(db: Read, principal_arn: &str) -> Result<Option<String>, Fault> {
    match db.first(&PRINCIPAL_THINGS, [principal_arn])? {
        Some((key, Attachment::Exclusive)) => key.text_at(3).map(Some),
        _ => Ok(None),
    }
}

/// The thing that belongs to a connection (security.md §3.5): the one its principal is exclusively attached to, else
/// the one named like the client if the principal is attached to it.
pub(crate) fn thing_of_connection(db: Read, principal_arn: &str, client_id: &str) -> Result<Option<String>, Fault> {
    if let Some(name) = exclusive_thing(db, principal_arn)? {
        return Ok(Some(name));
    }
    // Client identifiers can be longer than any name, and than any key.
    if client_id.len() > 128 || !db.contains(&PRINCIPAL_THINGS, [principal_arn, client_id])? {
        return Ok(None);
    }
    Ok(Some(client_id.to_owned()))
}

/// The first things that a principal is attached to.
pub(crate) fn some_things(db: Read, principal_arn: &str, limit: usize) -> Result<Vec<String>, Fault> {
    db.some(&PRINCIPAL_THINGS, [principal_arn], limit)?.iter().map(|(key, _)| key.text_at(3)).collect()
}

/// The ARN of the first certificate of a thing.
pub(crate) fn first_certificate(db: Read, thing: &str) -> Result<Option<String>, Fault> {
    for (key, _) in db.all(&THING_PRINCIPALS, [thing])? {
        let principal = key.text_at(3)?;
        if certificates::id_of_arn(db, &principal).is_some() {
            return Ok(Some(principal));
        }
    }
    Ok(None)
}

/// Whether any principal is attached to a thing.
pub(crate) fn has_any(db: Read, thing: &str) -> Result<bool, Fault> {
    Ok(db.first(&THING_PRINCIPALS, [thing])?.is_some())
}

/// Whether a principal is attached to any thing.
pub(crate) fn has_things(db: Read, principal_arn: &str) -> Result<bool, Fault> {
    Ok(db.first(&PRINCIPAL_THINGS, [principal_arn])?.is_some())
}

/// A thing has changed: tells whoever may be it.
pub(crate) fn tell_of_thing(db: &mut Write, thing: &str) -> Result<(), Fault> {
    for (key, _) in db.view().all(&THING_PRINCIPALS, [thing])? {
        tell_of_principal(db, &key.text_at(3)?);
    }
    Ok(())
}

/// What belongs to a principal has changed. Nobody is connected as an identity of Cognito: they sign requests.
fn tell_of_principal(db: &mut Write, principal: &str) {
    if let Some(id) = certificates::id_of_arn(db.view(), principal).map(str::to_owned) {
        db.tell(News::Identity(id));
    }
}

/// Refuses what is no principal. That there is such an identity is Cognito's affair.
fn must_be_one(db: Read, principal: &str) -> Answer<()> {
    if is_cognito_identity(principal) {
        return Ok(());
    }
    certificates::named_by(db, principal).map(drop)
}

fn attach_thing_principal(db: &mut Write, input: &AttachThingPrincipalRequest) -> Answer<AttachThingPrincipalResponse> {
    let (thing, principal) = (input.thing_name(), input.principal());
    things::must_exist(db.view(), thing)?;
    if !is_cognito_identity(principal) {
        certificates::must_be_attachable(db.view(), principal)?;
    }
    let wanted = Attachment::read(input.thing_principal_type());
    match db.view().get(&PRINCIPAL_THINGS, [principal, thing])? {
        Some(known) if known == wanted => return Ok(AttachThingPrincipalResponse::new()),
        Some(known) => return Err(other_type(thing, known).into()),
        None => {}
    }
    if let Some((key, known)) = db.view().first(&PRINCIPAL_THINGS, [principal])?
        && (wanted == Attachment::Exclusive || known == Attachment::Exclusive)
    {
        return Err(not_exclusive(&key.text_at(3)?, known).into());
    }
    db.put(&THING_PRINCIPALS, [thing, principal], &wanted)?;
    db.put(&PRINCIPAL_THINGS, [principal, thing], &wanted)?;
    tell_of_principal(db, principal);
    Ok(AttachThingPrincipalResponse::new())
}

// unconfirmed: the texts of both.

fn other_type(thing: &str, known: Attachment) -> Refusal {
    let known = known.name();
    Refusal::invalid_request(format!("The principal is attached to thing {thing} as {known}; detach it first"))
}

fn not_exclusive(thing: &str, known: Attachment) -> Refusal {
    Refusal::invalid_request(match known {
        Attachment::Exclusive => format!("The principal is exclusively attached to thing {thing}"),
        Attachment::Shared => format!("The principal cannot be exclusive: it is attached to thing {thing}"),
    })
}

fn detach_thing_principal(db: &mut Write, input: &DetachThingPrincipalRequest) -> Answer<DetachThingPrincipalResponse> {
    let (thing, principal) = (input.thing_name(), input.principal());
    things::must_exist(db.view(), thing)?;
    must_be_one(db.view(), principal)?;
    db.view().named(&PRINCIPAL_THINGS, [principal, thing])?;
    db.delete(&THING_PRINCIPALS, [thing, principal])?;
    db.delete(&PRINCIPAL_THINGS, [principal, thing])?;
    tell_of_principal(db, principal);
    Ok(DetachThingPrincipalResponse::new())
}

/// One page of one side of the relation: names of the other side, and how they are attached.
struct Side {
    names: Vec<(String, Attachment)>,
    next: Option<String>,
}

impl Side {
    fn read(db: Read, table: &Table<Attachment>, of: &str, asked: Asked<'_>, only: Option<&str>) -> Answer<Self> {
        let page = db.page(table, [of], asked, |_, attachment| only.is_none_or(|only| attachment.name() == only))?;
        let names = page.items.iter().map(|(key, attachment)| Ok((key.text_at(3)?, *attachment)));
        Ok(Self { names: names.collect::<Result<_, Fault>>()?, next: page.next })
    }

    fn of_thing(db: Read, thing: &str, asked: Asked<'_>, only: Option<&str>) -> Answer<Self> {
        if !db.contains(&THINGS, [thing])? {
            let message =
                format!("Failed to list principals for thing {thing} because the thing does not exist in your account");
            return Err(Refusal::resource_not_found(message).into());
        }
        Self::read(db, &THING_PRINCIPALS, thing, asked, only)
    }

    fn of_principal(db: Read, principal: &str, asked: Asked<'_>, only: Option<&str>) -> Answer<Self> {
        must_be_one(db, principal)?;
        Self::read(db, &PRINCIPAL_THINGS, principal, asked, only)
    }

    fn into_names(self) -> (impl Iterator<Item = String>, Option<String>) {
        (self.names.into_iter().map(|(name, _)| name), self.next)
    }
}

fn list_thing_principals(db: Read, input: &ListThingPrincipalsRequest) -> Answer<ListThingPrincipalsResponse> {
    let asked = Asked::new(input.next_token(), input.max_results());
    let (names, next) = Side::of_thing(db, input.thing_name(), asked, None)?.into_names();
    let answer = ListThingPrincipalsResponse::new().with_principals(names);
    Ok(paged(answer, next, ListThingPrincipalsResponse::with_next_token))
}

fn list_thing_principals_v2(db: Read, input: &ListThingPrincipalsV2Request) -> Answer<ListThingPrincipalsV2Response> {
    let asked = Asked::new(input.next_token(), input.max_results());
    let side = Side::of_thing(db, input.thing_name(), asked, input.thing_principal_type())?;
    let object = |(name, attachment): (String, Attachment)| {
        ThingPrincipalObject::new().with_principal(name).with_thing_principal_type(attachment.name())
    };
    let answer = ListThingPrincipalsV2Response::new().with_thing_principal_objects(side.names.into_iter().map(object));
    Ok(paged(answer, side.next, ListThingPrincipalsV2Response::with_next_token))
}

fn list_principal_things(db: Read, input: &ListPrincipalThingsRequest) -> Answer<ListPrincipalThingsResponse> {
    let asked = Asked::new(input.next_token(), input.max_results());
    let (names, next) = Side::of_principal(db, input.principal(), asked, None)?.into_names();
    let answer = ListPrincipalThingsResponse::new().with_things(names);
    Ok(paged(answer, next, ListPrincipalThingsResponse::with_next_token))
}

fn list_principal_things_v2(db: Read, input: &ListPrincipalThingsV2Request) -> Answer<ListPrincipalThingsV2Response> {
    let asked = Asked::new(input.next_token(), input.max_results());
    let side = Side::of_principal(db, input.principal(), asked, input.thing_principal_type())?;
    let object = |(name, attachment): (String, Attachment)| {
        PrincipalThingObject::new().with_thing_name(name).with_thing_principal_type(attachment.name())
    };
    let answer = ListPrincipalThingsV2Response::new().with_principal_thing_objects(side.names.into_iter().map(object));
    Ok(paged(answer, side.next, ListPrincipalThingsV2Response::with_next_token))
}
