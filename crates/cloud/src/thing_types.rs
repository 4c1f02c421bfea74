//! Thing types: what a kind of thing has in common (registry.md §5). Deprecated before they are deleted, and deleted
//! when nothing is of them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::{Fault, Table, json_record};
use wire::Refusal;
use wire::iot::{
    CreateThingTypeRequest, CreateThingTypeResponse, DeleteThingTypeRequest, DeleteThingTypeResponse,
    DeprecateThingTypeRequest, DeprecateThingTypeResponse, DescribeThingTypeRequest, DescribeThingTypeResponse,
    ListThingTypesRequest, ListThingTypesResponse, PropagatingAttribute, ThingTypeDefinition, ThingTypeMetadata,
    ThingTypeProperties, UpdateThingTypeRequest, UpdateThingTypeResponse,
};

use crate::event_configurations::{self as events, About, Happened, Told};
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::scope::{Asked, NO_PARTS, Read, Write, paged};
use crate::tags::{self, Tags, tagged};
use crate::things::THINGS_BY_TYPE;

pub(crate) const OPS: &[Op] = ops! {
    write create_thing_type on thing_type(thing_type_name);
    read  describe_thing_type on thing_type(thing_type_name);
    read  list_thing_types on any;
    write update_thing_type on thing_type(thing_type_name);
    write deprecate_thing_type on thing_type(thing_type_name);
    write delete_thing_type on thing_type(thing_type_name);
};

pub(crate) const TAGGED: tags::Kind = tagged!("thingtype" in THING_TYPES);

/// By name.
pub(crate) const THING_TYPES: Table<ThingType> = Table::new("thing_types");

/// Milliseconds that a type must have been deprecated before it can be deleted.
const DEPRECATED_FOR: i64 = 5 * 60 * 1000;

/// Attributes that a type can call searchable.
const SEARCHABLE: usize = 3;

/// Attributes that a type can propagate.
const PROPAGATING: usize = 20;

/// The member of a type's properties that says what is propagated.
const MQTT5: &str = "mqtt5Configuration";

/// A thing type.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ThingType {
    id: String,
    /// As they were given; nothing changes them but what is propagated.
    #[serde(default)]
    properties: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Tags,
    created: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deprecated: Option<i64>,
}
json_record!(ThingType, version 1);

impl ThingType {
    /// Whether it takes no new things.
    pub(crate) fn is_deprecated(&self) -> bool {
        self.deprecated.is_some()
    }

    fn properties(&self) -> ThingTypeProperties {
        ThingTypeProperties::from_value(Value::Object(self.properties.clone()))
    }

    /// What is added to the messages of its things.
    pub(crate) fn propagating(&self) -> Vec<PropagatingAttribute> {
        let configuration = self.properties().mqtt5_configuration();
        configuration.and_then(|configuration| configuration.propagating_attributes()).unwrap_or_default()
    }

    fn metadata(&self) -> ThingTypeMetadata {
        let metadata = ThingTypeMetadata::new().with_deprecated(self.is_deprecated()).with_creation_date(self.created);
        match self.deprecated {
            Some(since) => metadata.with_deprecation_date(since),
            None => metadata,
        }
    }
}

fn create_thing_type(db: &mut Write, input: &CreateThingTypeRequest) -> Answer<CreateThingTypeResponse> {
    let name = input.thing_type_name();
    let properties = input.thing_type_properties().unwrap_or_default();
    check(&properties)?;
    let properties = match Value::from(properties) {
        Value::Object(properties) => properties,
        _ => Map::new(),
    };
    if let Some(known) = db.view().get(&THING_TYPES, [name])? {
        return existing(db, name, &known, &properties);
    }
    let tags = tags::first(input.tags())?;
    let type_ = ThingType { id: db.uuid(), properties, tags, created: db.now(), deprecated: None };
    db.put(&THING_TYPES, [name], &type_)?;
    tell(db, name, &type_, Happened::Created)?;
    Ok(created(db, name, &type_))
}

fn check(properties: &ThingTypeProperties) -> Result<(), Refusal> {
    if properties.searchable_attributes().is_some_and(|attributes| attributes.len() > SEARCHABLE) {
        // unconfirmed: the text.
        return Err(Refusal::invalid_request(format!("A thing type has at most {SEARCHABLE} searchable attributes")));
    }
    let configuration = properties.mqtt5_configuration().unwrap_or_default();
    check_propagating(&configuration.propagating_attributes().unwrap_or_default())
}

/// unconfirmed: the limit, these refusals and their texts.
fn check_propagating(attributes: &[PropagatingAttribute]) -> Result<(), Refusal> {
    if attributes.len() > PROPAGATING {
        return Err(Refusal::invalid_request(format!("A thing type has at most {PROPAGATING} propagating attributes")));
    }
    for (at, attribute) in attributes.iter().enumerate() {
        let Some(key) = attribute.user_property_key() else {
            return Err(Refusal::invalid_request("A propagating attribute needs a userPropertyKey"));
        };
        if attributes.iter().take(at).any(|earlier| earlier.user_property_key() == Some(key)) {
            return Err(Refusal::invalid_request(format!("The userPropertyKey {key} is given twice")));
        }
        match (attribute.thing_attribute(), attribute.connection_attribute()) {
            (Some(_), None) | (None, Some("iot:ClientId" | "iot:Thing.ThingName")) => {}
            (None, Some(other)) => {
                let message =
                    format!("The connectionAttribute {other} is neither iot:ClientId nor iot:Thing.ThingName");
                return Err(Refusal::invalid_request(message));
            }
            _ => {
                let message = "A propagating attribute needs either a thingAttribute or a connectionAttribute";
                return Err(Refusal::invalid_request(message));
            }
        }
    }
    Ok(())
}

/// Tells that something has happened to a type.
fn tell(db: &mut Write, name: &str, type_: &ThingType, happened: Happened) -> Result<(), Fault> {
    events::tell(db, About::Type, happened, |_| {
        let properties = type_.properties();
        let members = json!({
            "thingTypeId": type_.id,
            "thingTypeName": name,
            "isDeprecated": type_.is_deprecated(),
            "deprecationDate": type_.deprecated,
            "searchableAttributes": properties.searchable_attributes().unwrap_or_default(),
            "propagatingAttributes": type_.propagating().into_iter().map(Value::from).collect::<Vec<_>>(),
            "description": properties.thing_type_description(),
        });
        Ok(Told { subject: name.to_owned(), members })
    })
}

/// Only what is propagated can change. unconfirmed: the text, and that the rest may be given as it is.
fn update_thing_type(db: &mut Write, input: &UpdateThingTypeRequest) -> Answer<UpdateThingTypeResponse> {
    let name = input.thing_type_name();
    let mut type_ = db.view().named(&THING_TYPES, [name])?;
    let given = input.thing_type_properties().unwrap_or_default();
    check(&given)?;
    let Value::Object(given) = Value::from(given) else { return Ok(UpdateThingTypeResponse::new()) };
    for (member, value) in given {
        if member == MQTT5 {
            type_.properties.insert(member, value);
        } else if type_.properties.get(&member) != Some(&value) {
            let message = format!("{member} of a thing type cannot be changed: only {MQTT5} can");
            return Err(Refusal::invalid_request(message).into());
        }
    }
    db.put(&THING_TYPES, [name], &type_)?;
    tell(db, name, &type_, Happened::Updated)?;
    db.tell(News::Propagation);
    Ok(UpdateThingTypeResponse::new())
}

fn existing(db: &Write, name: &str, known: &ThingType, wanted: &Map<String, Value>) -> Answer<CreateThingTypeResponse> {
    if known.properties == *wanted {
        return Ok(created(db, name, known));
    }
    // unconfirmed: the text; it is that of groups.
    let message = format!("Thing type {name} already exists in current account with different properties");
    let refusal = Refusal::resource_already_exists(message);
    Err(refusal.with("resourceId", known.id.as_str()).with("resourceArn", arn(db.view(), name)).into())
}

fn created(db: &Write, name: &str, type_: &ThingType) -> CreateThingTypeResponse {
    CreateThingTypeResponse::new()
        .with_thing_type_name(name)
        .with_thing_type_arn(arn(db.view(), name))
        .with_thing_type_id(&type_.id)
}

fn arn(db: Read, name: &str) -> String {
    db.arn(format_args!("thingtype/{name}"))
}

fn describe_thing_type(db: Read, input: &DescribeThingTypeRequest) -> Answer<DescribeThingTypeResponse> {
    let name = input.thing_type_name();
    let type_ = db.named(&THING_TYPES, [name])?;
    Ok(DescribeThingTypeResponse::new()
        .with_thing_type_name(name)
        .with_thing_type_id(&type_.id)
        .with_thing_type_arn(arn(db, name))
        .with_thing_type_properties(type_.properties())
        .with_thing_type_metadata(type_.metadata()))
}

/// The name given is a prefix, as it is with AWS.
fn list_thing_types(db: Read, input: &ListThingTypesRequest) -> Answer<ListThingTypesResponse> {
    let asked = Asked::new(input.next_token(), input.max_results());
    let prefix = input.thing_type_name().unwrap_or_default();
    let page = db.page_of_names(&THING_TYPES, NO_PARTS, prefix, asked)?;
    let listed = page.items.iter().map(|(key, type_)| {
        let name = key.text_at(2)?;
        Ok(ThingTypeDefinition::new()
            .with_thing_type_arn(arn(db, &name))
            .with_thing_type_name(name)
            .with_thing_type_properties(type_.properties())
            .with_thing_type_metadata(type_.metadata()))
    });
    let answer = ListThingTypesResponse::new().with_thing_types(listed.collect::<Result<Vec<_>, Fault>>()?);
    Ok(paged(answer, page.next, ListThingTypesResponse::with_next_token))
}

/// Deprecates, or takes it back. unconfirmed: deprecating twice keeps the first date.
fn deprecate_thing_type(db: &mut Write, input: &DeprecateThingTypeRequest) -> Answer<DeprecateThingTypeResponse> {
    let name = input.thing_type_name();
    let mut type_ = db.view().named(&THING_TYPES, [name])?;
    type_.deprecated = match input.undo_deprecate() {
        Some(true) => None,
        _ => type_.deprecated.or(Some(db.now())),
    };
    db.put(&THING_TYPES, [name], &type_)?;
    tell(db, name, &type_, Happened::Updated)?;
    Ok(DeprecateThingTypeResponse::new())
}

fn delete_thing_type(db: &mut Write, input: &DeleteThingTypeRequest) -> Answer<DeleteThingTypeResponse> {
    let name = input.thing_type_name();
    let type_ = db.view().named(&THING_TYPES, [name])?;
    let refuse = |message: String| Err(Refusal::invalid_request(message).into());
    // unconfirmed: these texts.
    match type_.deprecated {
        None => return refuse(format!("Cannot delete thing type {name}: deprecate it first")),
        Some(since) if db.now() - since < DEPRECATED_FOR => {
            return refuse(format!("Cannot delete thing type {name}: it must have been deprecated for 5 minutes"));
        }
        Some(_) => {}
    }
    if db.view().first(&THINGS_BY_TYPE, [name])?.is_some() {
        return refuse(format!("Cannot delete thing type {name}: there are still things of this type"));
    }
    db.delete(&THING_TYPES, [name])?;
    tell(db, name, &type_, Happened::Deleted)?;
    Ok(DeleteThingTypeResponse::new())
}
