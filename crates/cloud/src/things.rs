//! Things: a name, attributes, perhaps a type (registry.md §4). Who is attached to a thing is the business of
//! `principals`; what its attributes mean to a policy is decided in `identity`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Fault, Table, json_record};
use wire::Refusal;
use wire::iot::{
    CreateThingRequest, CreateThingResponse, DeleteThingRequest, DeleteThingResponse, DescribeThingRequest,
    DescribeThingResponse, ListThingsRequest, ListThingsResponse, ThingAttribute, UpdateThingRequest,
    UpdateThingResponse,
};

use crate::attributes::{self, Attributes};
use crate::billing_groups;
use crate::event_configurations::{self as events, About, Happened, Told};
use crate::naming::Noun;
use crate::operation::{Answer, Op, ops};
use crate::principals;
use crate::scope::{Asked, NO_PARTS, Page, Read, Write, paged};
use crate::thing_groups;
use crate::thing_types;

pub(crate) const OPS: &[Op] = ops! {
    write create_thing on thing(thing_name);
    read  describe_thing on thing(thing_name);
    write update_thing on thing(thing_name);
    write delete_thing on thing(thing_name);
    read  list_things on any;
};

/// By name.
pub(crate) const THINGS: Table<Thing> = Table::new("things");
/// By type and name.
pub(crate) const THINGS_BY_TYPE: Table<()> = Table::new("things_by_type");

pub(crate) const THING: Noun = Noun { resource: "thing", member: "thing", title: "Thing", words: "thing", blank: "" };

/// Attributes of a thing: with a type, and without.
const ATTRIBUTES: (usize, usize) = (50, 3);

/// A thing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Thing {
    /// A UUID; another thing of the same name has another one.
    pub(crate) id: String,
    /// The name of its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) type_name: Option<String>,
    /// None of them empty.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub(crate) attributes: Attributes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) billing_group: Option<billing_groups::Filed>,
    /// Counts changes of type and attributes, from 1.
    pub(crate) version: i64,
}
json_record!(Thing, version 1);

impl Thing {
    /// What a thing would be that is made with a name alone, for who asks what would be if it were there.
    pub(crate) fn unnamed() -> Self {
        let (type_name, billing_group) = (None, None);
        Self { id: String::new(), type_name, attributes: Attributes::default(), billing_group, version: 1 }
    }

    fn check_attributes(&self) -> Result<(), Refusal> {
        let (most, kind) = match self.type_name {
            Some(_) => (ATTRIBUTES.0, "with"),
            None => (ATTRIBUTES.1, "without"),
        };
        if self.attributes.len() <= most {
            return Ok(());
        }
        let given = self.attributes.len();
        // unconfirmed: the text.
        Err(Refusal::invalid_request(format!("A thing {kind} a thing type has at most {most} attributes, not {given}")))
    }

    fn check_version(&self, name: &str, expected: Option<i64>) -> Result<(), Refusal> {
        if expected.is_none_or(|expected| expected == self.version) {
            return Ok(());
        }
        Err(Refusal::version_conflict(format!("The version for thing {name} does not match the expected version.")))
    }
}

/// Refuses a name that no thing has.
pub(crate) fn must_exist(db: Read, name: &str) -> Answer<()> {
    db.named(&THINGS, [name]).map(drop)
}

fn create_thing(db: &mut Write, input: &CreateThingRequest) -> Answer<CreateThingResponse> {
    let name = input.thing_name();
    let attributes = attributes::first(input.attribute_payload().as_ref());
    let mut thing = Thing {
        id: db.uuid(),
        type_name: input.thing_type_name().map(str::to_owned),
        attributes,
        billing_group: None,
        version: 1,
    };
    thing.check_attributes()?;
    if let Some(known) = db.view().get(&THINGS, [name])? {
        return existing(db, name, &known, (&thing, input.billing_group_name()));
    }
    if let Some(type_name) = &thing.type_name {
        let type_ = db.view().named(&thing_types::THING_TYPES, [type_name])?;
        if type_.is_deprecated() {
            let message = format!("Can not create new thing with depreated thing type:{type_name}");
            return Err(Refusal::invalid_request(message).into());
        }
    }
    if let Some(group) = input.billing_group_name() {
        thing.billing_group = Some(billing_groups::named(db.view(), group)?);
    }
    db.put(&THINGS, [name], &thing)?;
    tell(db, name, &thing, Happened::Created)?;
    file_under_type(db, name, &thing, None, thing.type_name.as_deref())?;
    billing_groups::file(db, name, None, thing.billing_group.as_ref())?;
    Ok(created(db, name, &thing))
}

fn created(db: &Write, name: &str, thing: &Thing) -> CreateThingResponse {
    CreateThingResponse::new().with_thing_name(name).with_thing_arn(arn(db.view(), name)).with_thing_id(&thing.id)
}

/// Creating what is there already succeeds if it is the same.
fn existing(db: &Write, name: &str, known: &Thing, wanted: (&Thing, Option<&str>)) -> Answer<CreateThingResponse> {
    let (wanted, group) = wanted;
    let is_same = (&known.type_name, &known.attributes) == (&wanted.type_name, &wanted.attributes);
    if is_same && billing_groups::name_of(db.view(), known)?.as_deref() == group {
        return Ok(created(db, name, known));
    }
    // unconfirmed: the text; it is that of groups.
    let message = format!("Thing {name} already exists in current account with different properties");
    let refusal = Refusal::resource_already_exists(message);
    Err(refusal.with("resourceId", known.id.as_str()).with("resourceArn", arn(db.view(), name)).into())
}

fn arn(db: Read, name: &str) -> String {
    THING.arn(db, name)
}

/// Tells that something has happened to a thing.
fn tell(db: &mut Write, name: &str, thing: &Thing, happened: Happened) -> Result<(), Fault> {
    events::tell(db, About::Thing, happened, |db| {
        let mut members = json!({
            "thingId": thing.id,
            "thingName": name,
            "versionNumber": thing.version,
            "thingTypeName": thing.type_name,
            "attributes": thing.attributes,
        });
        // unconfirmed: that events name it, and only where there is one.
        if let (Value::Object(members), Some(group)) = (&mut members, billing_groups::name_of(db, thing)?) {
            members.insert("billingGroupName".to_owned(), group.into());
        }
        Ok(Told { subject: name.to_owned(), members })
    })
}

/// The id of a thing that is there.
pub(crate) fn id_of(db: Read, name: &str) -> Result<String, Fault> {
    let found = db.get(&THINGS, [name])?;
    found.map(|thing| thing.id).ok_or_else(|| Fault::new(format!("thing {name} is filed and not there")))
}

pub(crate) fn describe_thing(db: Read, input: &DescribeThingRequest) -> Answer<DescribeThingResponse> {
    let name = input.thing_name();
    let thing = db.named(&THINGS, [name])?;
    let answer = DescribeThingResponse::new()
        .with_default_client_id(name)
        .with_thing_name(name)
        .with_thing_id(&thing.id)
        .with_thing_arn(arn(db, name))
        .with_attributes(attributes::json(&thing.attributes))
        .with_version(thing.version);
    let answer = match billing_groups::name_of(db, &thing)? {
        Some(group) => answer.with_billing_group_name(group),
        None => answer,
    };
    Ok(match thing.type_name {
        Some(type_name) => answer.with_thing_type_name(type_name),
        None => answer,
    })
}

fn update_thing(db: &mut Write, input: &UpdateThingRequest) -> Answer<UpdateThingResponse> {
    let name = input.thing_name();
    let remove_type = input.remove_thing_type() == Some(true);
    if remove_type && input.thing_type_name().is_some() {
        // unconfirmed: the text.
        return Err(Refusal::invalid_request("thingTypeName and removeThingType cannot both be given").into());
    }
    let mut thing = db.view().named(&THINGS, [name])?;
    thing.check_version(name, input.expected_version())?;
    let old_type = thing.type_name.clone();
    if remove_type {
        thing.type_name = None;
    } else if let Some(type_name) = input.thing_type_name() {
        if db.view().named(&thing_types::THING_TYPES, [type_name])?.is_deprecated() {
            let message = format!("Can not update a thing to use deprecated thing type: {type_name}");
            return Err(Refusal::invalid_request(message).into());
        }
        thing.type_name = Some(type_name.to_owned());
    }
    if let Some(payload) = input.attribute_payload() {
        attributes::update(&mut thing.attributes, &payload);
    }
    thing.check_attributes()?;
    thing.version += 1;
    db.put(&THINGS, [name], &thing)?;
    tell(db, name, &thing, Happened::Updated)?;
    file_under_type(db, name, &thing, old_type.as_deref(), thing.type_name.as_deref())?;
    principals::tell_of_thing(db, name)?;
    Ok(UpdateThingResponse::new())
}

/// Files a thing under another type, or none, and tells of it.
/// unconfirmed: that a type ends with its thing, and its groups too, as events tell.
fn file_under_type(
    db: &mut Write,
    name: &str,
    thing: &Thing,
    old: Option<&str>,
    new: Option<&str>,
) -> Result<(), Fault> {
    if old == new {
        return Ok(());
    }
    if let Some(old) = old {
        db.delete(&THINGS_BY_TYPE, [old, name])?;
        tell_of_type(db, name, thing, old, Happened::Removed)?;
    }
    if let Some(new) = new {
        db.put(&THINGS_BY_TYPE, [new, name], &())?;
        tell_of_type(db, name, thing, new, Happened::Added)?;
    }
    Ok(())
}

fn tell_of_type(db: &mut Write, name: &str, thing: &Thing, type_name: &str, happened: Happened) -> Result<(), Fault> {
    events::tell(db, About::Association, happened, |_| {
        let members = json!({"thingId": thing.id, "thingName": name, "thingTypeName": type_name});
        Ok(Told { subject: format!("thing/{name}/thingType/{type_name}"), members })
    })
}

fn delete_thing(db: &mut Write, input: &DeleteThingRequest) -> Answer<DeleteThingResponse> {
    let name = input.thing_name();
    // AWS documents success for a thing that is not there, whatever version is expected.
    let Some(thing) = db.view().get(&THINGS, [name])? else { return Ok(DeleteThingResponse::new()) };
    thing.check_version(name, input.expected_version())?;
    if principals::has_any(db.view(), name)? {
        let message = format!("Cannot delete. Thing {name} is still attached to one or more principals");
        return Err(Refusal::invalid_request(message).into());
    }
    thing_groups::members::leave_all(db, name)?;
    file_under_type(db, name, &thing, thing.type_name.as_deref(), None)?;
    billing_groups::file(db, name, thing.billing_group.as_ref(), None)?;
    tell(db, name, &thing, Happened::Deleted)?;
    db.delete(&THINGS, [name])?;
    Ok(DeleteThingResponse::new())
}

/// What a listing of things is asked to leave out, beside other types.
struct Filter<'i> {
    attribute: Option<&'i str>,
    value: Option<&'i str>,
    is_prefix: bool,
}

impl<'i> Filter<'i> {
    fn new(input: &'i ListThingsRequest) -> Result<Self, Refusal> {
        let (attribute, value) = (input.attribute_name(), input.attribute_value());
        if value.is_some() && attribute.is_none() {
            // unconfirmed: that it is refused, and the text.
            return Err(Refusal::invalid_request("attributeValue needs attributeName"));
        }
        Ok(Self { attribute, value, is_prefix: input.use_prefix_attribute_value() == Some(true) })
    }

    /// unconfirmed: whether an attribute that the thing's type does not list as searchable is found; it is.
    /// unconfirmed: a name without a value finds what has the attribute.
    fn admits(&self, thing: &Thing) -> bool {
        let Some(attribute) = self.attribute else { return true };
        match (thing.attributes.get(attribute), self.value) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(has), Some(wanted)) if self.is_prefix => has.starts_with(wanted),
            (Some(has), Some(wanted)) => has == wanted,
        }
    }
}

fn list_things(db: Read, input: &ListThingsRequest) -> Answer<ListThingsResponse> {
    let filter = Filter::new(input)?;
    let asked = Asked::new(input.next_token(), input.max_results());
    let page = match input.thing_type_name() {
        Some(type_name) => page_of_type(db, type_name, asked, &filter)?,
        None => db.page(&THINGS, NO_PARTS, asked, |_, thing| filter.admits(thing))?,
    };
    // The name is the last part of either key.
    let name_at = if input.thing_type_name().is_some() { 3 } else { 2 };
    let things: Result<Vec<_>, Fault> =
        page.items.iter().map(|(key, thing)| Ok(listed(db, &key.text_at(name_at)?, thing))).collect();
    let answer = ListThingsResponse::new().with_things(things?);
    Ok(paged(answer, page.next, ListThingsResponse::with_next_token))
}

/// The same from the index by type, so that a rare type costs no walk through all things.
fn page_of_type(db: Read, type_name: &str, asked: Asked<'_>, filter: &Filter<'_>) -> Answer<Page<Thing>> {
    let page = db.page(&THINGS_BY_TYPE, [type_name], asked, |key, ()| {
        let thing = key.text_at(3).and_then(|name| db.get(&THINGS, [name]));
        // What cannot be read stays in, to be told as a fault below.
        thing.map_or(true, |thing| thing.is_some_and(|thing| filter.admits(&thing)))
    })?;
    let mut items = Vec::with_capacity(page.items.len());
    for (key, ()) in page.items {
        let thing = db.named(&THINGS, [key.text_at(3)?])?;
        items.push((key, thing));
    }
    Ok(Page { items, next: page.next })
}

fn listed(db: Read, name: &str, thing: &Thing) -> ThingAttribute {
    let listed = ThingAttribute::new()
        .with_thing_name(name)
        .with_thing_arn(arn(db, name))
        .with_attributes(attributes::json(&thing.attributes))
        .with_version(thing.version);
    match &thing.type_name {
        Some(type_name) => listed.with_thing_type_name(type_name),
        None => listed,
    }
}
