//! Invoking a function: now, with its answer; later, with nothing but the promise that it will be; or not at all, to see whether
//! one could. Who runs it is unknown here.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::IgnoredAny;
use wire::lambda::{InvocationRequest, InvocationResponse};
use wire::{Output, Refusal};

use super::configuration::Configuration;
use super::names::{Named, arn};
use super::running::{Code, Function, Invocation};
use super::{Known, events, resolved, unbuilt};
use crate::house::{House, Job, Plan};
use crate::operation::{Answer, Op, ops};
use crate::scope::{Context, Read};

pub(crate) const OPS: &[Op] = ops! {
    live invoke on any;
};

/// Bytes of an event that is answered, and of one that waits.
const NOW: usize = 6 * 1024 * 1024;
const LATER: usize = 1024 * 1024;

/// Bytes of what a caller says of itself.
const CONTEXT: usize = 3583;

fn invoke(house: &House, cx: &Context, input: &InvocationRequest) -> Answer<Plan> {
    for (name, is_mentioned) in
        [("DurableExecutionName", input.durable_execution_name().is_some()), ("TenantId", input.tenant_id().is_some())]
    {
        if is_mentioned {
            return Err(unbuilt(name, "leave it out").into());
        }
    }
    let view = house.store.read();
    let db = Read::new(&view, cx);
    let named = Named::parse(&cx.scope, input.function_name(), input.qualifier())?;
    let (known, at, version) = resolved(db, &named)?;
    if !cx.settings.functions {
        return Err(unbuilt("Running functions", "this server was started with functions off").into());
    }
    if known.concurrency == Some(0) {
        return Err(throttled("Rate Exceeded.", "ReservedFunctionConcurrentInvocationLimitExceeded").into());
    }
    let is_later = input.invocation_type() == Some("Event");
    let payload = event(input.payload(), if is_later { LATER } else { NOW })?;
    let id = cx.entropy.uuid();
    match input.invocation_type() {
        Some("DryRun") => Ok(answered(204)),
        Some("Event") => Ok(Plan::Desk(Job::answering(cx.again(), move |db| {
            events::put(db, &named, &payload, &id)?;
            Ok(InvocationResponse::new().with_status_code(202).with_payload(Bytes::new()).into())
        }))),
        _ => {
            let client_context = input.client_context().map(said_of_itself).transpose()?;
            let function = Arc::new(function(db, &named, &known, &at, &version));
            let wants_log = input.log_type() == Some("Tail");
            let arn = named.arn(&cx.scope);
            Ok(Plan::Invoke(Invocation { function, arn, id, payload, client_context, wants_log }))
        }
    }
}

fn answered(status: i64) -> Plan {
    let answer: Output = InvocationResponse::new().with_status_code(status).into();
    Plan::Done(Ok(answer))
}

/// The error of what is too much at a time.
pub(super) fn throttled(message: &str, reason: &str) -> Refusal {
    Refusal::new("TooManyRequestsException", message).with("Type", "User").with("Reason", reason)
}

/// The event, which must be JSON; without one it is an empty object.
fn event(payload: &Bytes, most: usize) -> Result<Bytes, Refusal> {
    if payload.len() > most {
        let message = format!("Request must be smaller than {most} bytes for the InvokeFunction operation");
        return Err(Refusal::new("RequestTooLargeException", message).with("Type", "User"));
    }
    if payload.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    match serde_json::from_slice::<IgnoredAny>(payload) {
        Ok(_) => Ok(payload.clone()),
        Err(error) => Err(unreadable(format!("Could not parse request body into json: {error}"))),
    }
}

/// What a caller says of itself, as the runtime gets it.
fn said_of_itself(context: &str) -> Result<String, Refusal> {
    let decoded = (context.len() <= CONTEXT).then(|| STANDARD.decode(context).ok()).flatten();
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let is_json = |text: &String| serde_json::from_str::<IgnoredAny>(text).is_ok() && !text.contains(['\r', '\n']);
    text.filter(is_json).ok_or_else(|| unreadable("Client context must be a valid Base64-encoded JSON object."))
}

fn unreadable(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidRequestContentException", message).with("Type", "User")
}

/// A function as it is to be run.
pub(super) fn function(db: Read, named: &Named, known: &Known, at: &Configuration, version: &str) -> Function {
    let code = match &at.url {
        Some(url) => Code::Url(url.clone()),
        None => Code::Package {
            runtime: at.runtime.clone().unwrap_or_default(),
            handler: at.handler.clone().unwrap_or_default(),
            sha256: at.sha256.clone(),
        },
    };
    let scope = db.cx.scope.clone();
    Function {
        name: named.name.clone(),
        version: version.to_owned(),
        // One that is made anew under the same name has another revision too.
        revision: at.revision.clone(),
        role: at.role.clone(),
        code,
        memory: at.memory,
        storage: at.storage,
        timeout: at.timeout,
        concurrency: known.concurrency.and_then(|most| usize::try_from(most).ok()),
        environment: at.environment.clone(),
        log_group: at.log_group(&named.name),
        scope,
    }
}

/// The ARN by which an event reaches its function.
pub(super) fn invoked_arn(db: Read, named: &Named) -> String {
    arn(&db.cx.scope, &named.name, named.qualifier.as_deref())
}
