//! How often an event that waits for its function is tried again, and for how long: AWS's usual numbers, or those that were set for
//! the function, a version or an alias of it. Where events go that were done or given up (`DestinationConfig`) is not built, and
//! refused by name. What waits is unknown here.

use serde::{Deserialize, Serialize};
use store::{Table, json_record};
use wire::Refusal;
use wire::lambda::{
    DeleteFunctionEventInvokeConfigRequest, DestinationConfig, FunctionEventInvokeConfig,
    GetFunctionEventInvokeConfigRequest, ListFunctionEventInvokeConfigsRequest, ListFunctionEventInvokeConfigsResponse,
    OnFailure, OnSuccess, PutFunctionEventInvokeConfigRequest, UpdateFunctionEventInvokeConfigRequest,
};

use super::names::{LATEST, Named, arn, invalid};
use super::{FUNCTIONS, named, unbuilt, versions};
use crate::operation::{Answer, Failure, Op, ops};
use crate::scope::{Asked, Read, Write, paged};

pub(crate) const OPS: &[Op] = ops! {
    write put_function_event_invoke_config on any;
    write update_function_event_invoke_config on any;
    read get_function_event_invoke_config on any;
    read list_function_event_invoke_configs on any;
    write delete_function_event_invoke_config on any;
};

/// By the function's name and the qualifier.
const RETRIES: Table<Retries> = Table::new("function_retries");

/// Times that an event is tried again after its function failed, and seconds after which it is not any more.
const AGAIN: i64 = 2;
const AGE: i64 = 6 * 60 * 60;

/// What was set.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Retries {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    again: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    age: Option<i64>,
    modified: i64,
}
json_record!(Retries, version 1);

/// What holds for the events of a function at a qualifier: times that they are tried again, and the milliseconds that they live.
pub(super) fn of(db: Read, name: &str, qualifier: Option<&str>) -> Answer<(u32, i64)> {
    let set = db.get(&RETRIES, [name, qualifier.unwrap_or(LATEST)])?;
    let (again, age) = set.map_or((None, None), |set| (set.again, set.age));
    Ok((u32::try_from(again.unwrap_or(AGAIN)).unwrap_or(0), age.unwrap_or(AGE).saturating_mul(1000)))
}

/// Takes away what was set for a qualifier, or for all of a function.
pub(super) fn forget(db: &mut Write, name: &str, qualifier: Option<&str>) -> Answer<()> {
    if let Some(qualifier) = qualifier {
        return Ok(db.delete(&RETRIES, [name, qualifier])?);
    }
    for (key, _) in db.view().all(&RETRIES, [name])? {
        db.delete_at(&RETRIES, &key)?;
    }
    Ok(())
}

/// A function's name and the qualifier, neither of which need be there.
fn at(db: Read, text: &str, qualifier: Option<&str>) -> Result<(String, String), Refusal> {
    let Named { name, qualifier } = named(db, text, qualifier)?;
    Ok((name, qualifier.unwrap_or_else(|| LATEST.to_owned())))
}

/// The same, both of which must be there.
fn known_at(db: Read, text: &str, qualifier: Option<&str>) -> Answer<(String, String)> {
    let (name, qualifier) = at(db, text, qualifier)?;
    if !db.contains(&FUNCTIONS, [&name])? {
        return Err(no_function().into());
    }
    if qualifier != LATEST {
        versions::number(db, &name, &qualifier).map_err(|failure| match failure {
            Failure::Refusal(_) => no_function().into(),
            other => other,
        })?;
    }
    Ok((name, qualifier))
}

fn no_function() -> Refusal {
    Refusal::resource_not_found("The function doesn't exist.").with("Type", "User")
}

fn refuse_destinations(config: Option<DestinationConfig>) -> Result<(), Refusal> {
    let is_named = config.is_some_and(|config| {
        let success = config.on_success().is_some_and(|to| to.destination().is_some_and(|to| !to.is_empty()));
        success || config.on_failure().is_some_and(|to| to.destination().is_some_and(|to| !to.is_empty()))
    });
    if is_named { Err(unbuilt("DestinationConfig", "leave it out")) } else { Ok(()) }
}

fn put_function_event_invoke_config(
    db: &mut Write,
    input: &PutFunctionEventInvokeConfigRequest,
) -> Answer<FunctionEventInvokeConfig> {
    refuse_destinations(input.destination_config())?;
    let (name, qualifier) = known_at(db.view(), input.function_name(), input.qualifier())?;
    set(db, &name, &qualifier, input.maximum_retry_attempts(), input.maximum_event_age_in_seconds())
}

/// What the request does not mention stays.
fn update_function_event_invoke_config(
    db: &mut Write,
    input: &UpdateFunctionEventInvokeConfigRequest,
) -> Answer<FunctionEventInvokeConfig> {
    refuse_destinations(input.destination_config())?;
    let (name, qualifier) = known_at(db.view(), input.function_name(), input.qualifier())?;
    let there = there(db.view(), &name, &qualifier)?;
    let again = input.maximum_retry_attempts().or(there.again);
    set(db, &name, &qualifier, again, input.maximum_event_age_in_seconds().or(there.age))
}

fn set(
    db: &mut Write,
    name: &str,
    qualifier: &str,
    again: Option<i64>,
    age: Option<i64>,
) -> Answer<FunctionEventInvokeConfig> {
    if again.is_none() && age.is_none() {
        return Err(invalid("You must specify at least one of error handling or destination setting.").into());
    }
    let retries = Retries { again, age, modified: db.now() };
    db.put(&RETRIES, [name, qualifier], &retries)?;
    Ok(described(db.view(), name, qualifier, &retries))
}

fn there(db: Read, name: &str, qualifier: &str) -> Answer<Retries> {
    let found = db.get(&RETRIES, [name, qualifier])?;
    found.ok_or_else(|| {
        let arn = arn(&db.cx.scope, name, Some(qualifier));
        let message = format!("The function {arn} doesn't have an EventInvokeConfig");
        Refusal::resource_not_found(message).with("Type", "User").into()
    })
}

fn described(db: Read, name: &str, qualifier: &str, retries: &Retries) -> FunctionEventInvokeConfig {
    let nowhere = DestinationConfig::new().with_on_success(OnSuccess::new()).with_on_failure(OnFailure::new());
    let answer = FunctionEventInvokeConfig::new()
        .with_function_arn(arn(&db.cx.scope, name, Some(qualifier)))
        .with_last_modified(retries.modified)
        .with_destination_config(nowhere);
    let answer = match retries.again {
        Some(again) => answer.with_maximum_retry_attempts(again),
        None => answer,
    };
    match retries.age {
        Some(age) => answer.with_maximum_event_age_in_seconds(age),
        None => answer,
    }
}

fn get_function_event_invoke_config(
    db: Read,
    input: &GetFunctionEventInvokeConfigRequest,
) -> Answer<FunctionEventInvokeConfig> {
    let (name, qualifier) = at(db, input.function_name(), input.qualifier())?;
    let found = there(db, &name, &qualifier)?;
    Ok(described(db, &name, &qualifier, &found))
}

fn list_function_event_invoke_configs(
    db: Read,
    input: &ListFunctionEventInvokeConfigsRequest,
) -> Answer<ListFunctionEventInvokeConfigsResponse> {
    let (name, _) = known_at(db, input.function_name(), None)?;
    let asked = Asked::new(input.marker(), input.max_items());
    let page = db.page(&RETRIES, [&name], asked, |_, _| true)?;
    let mut listed = Vec::with_capacity(page.items.len());
    for (key, retries) in &page.items {
        listed.push(described(db, &name, &key.text_at(3)?, retries));
    }
    let answer = ListFunctionEventInvokeConfigsResponse::new().with_function_event_invoke_configs(listed);
    Ok(paged(answer, page.next, ListFunctionEventInvokeConfigsResponse::with_next_marker))
}

fn delete_function_event_invoke_config(db: &mut Write, input: &DeleteFunctionEventInvokeConfigRequest) -> Answer<()> {
    let (name, qualifier) = at(db.view(), input.function_name(), input.qualifier())?;
    there(db.view(), &name, &qualifier)?;
    forget(db, &name, Some(&qualifier))
}
