//! The API: a request in memory becomes an operation of a service for the house, and what comes of it an answer in the form of
//! the request. Whoever has such a request asks here: the HTTP door, and what the house itself asks of its neighbours.
//! Sockets are unknown here.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cloud::{Caller, Fetch, House, Job, Plan, Wait};
use hyper::{HeaderMap, Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::oneshot;
use wire::sign::{self, Signable};
use wire::{Form, Operation, Output, Refusal, Reply};

use crate::gzip;
use crate::http::text_headers;
use crate::objects;
use crate::server::Server;

/// A request in memory.
pub(crate) struct Request {
    /// The service that its signature names; `iotdata` for a device, which does not sign.
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Without the question mark.
    pub(crate) query: String,
    /// Names in lower case, in the order they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

/// Services a credential may name that are AWS IoT (older clients sign for the control plane as `execute-api`).
const IOT: [&str; 7] =
    ["iot", "execute-api", "iotdata", "iotdevicegateway", "iot-jobs-data", "iotjobsdata", "data-ats.iot"];

/// The path of a link that confirms a destination of rules.
pub(crate) const CONFIRMATION: &str = "/confirmdestination/";

impl Request {
    /// A request whose body is still to come. What its signature claims is looked at elsewhere.
    pub(crate) fn of_head(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut request = Self {
            service: "iotdata".to_owned(),
            method: method.as_str().to_owned(),
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            headers: text_headers(headers)?,
            body: Bytes::new(),
        };
        match sign::credential(&request.signable()) {
            Ok(Some(credential)) => request.service = credential.service,
            Ok(None) if request.path.starts_with(CONFIRMATION) => "iot".clone_into(&mut request.service),
            // Only STS is asked in forms by whoever has no key yet.
            Ok(None) if request.is_form() => "sts".clone_into(&mut request.service),
            Ok(None) | Err(_) => {}
        }
        Ok(request)
    }

    /// The values of a header of this name, in the order they came.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(sent, _)| sent == name).map(|(_, value)| value.as_str())
    }

    fn is_form(&self) -> bool {
        let content = self.headers.iter().find(|(name, _)| name == "content-type");
        self.path == "/" && content.is_some_and(|(_, kind)| kind.starts_with("application/x-www-form-urlencoded"))
    }

    /// How it is written, and so its answer.
    pub(crate) fn form(&self) -> Form {
        match wire::service(&self.service) {
            Some(service) => Form::of(service, &self.headers),
            None => Form::Rest(wire::services_for(Some(&self.service))),
        }
    }

    /// What a signature covers of it.
    pub(crate) fn signable(&self) -> Signable<'_> {
        let Self { method, path, query, headers, body, .. } = self;
        Signable { method, path, query, headers, payload: body }
    }
}

/// Answers a request of somebody who is known.
pub(crate) async fn answer(server: &Server, caller: &Caller, request: &Request) -> Reply {
    if objects::are_meant(request) {
        return objects::answer_inside(server, caller, request).await;
    }
    let request_id = server.request_id();
    if !IOT.contains(&&*request.service) && wire::service(&request.service).is_none() {
        return of_no_service(request, &request_id);
    }
    // Taken for another protocol, it would be refused in words that mislead.
    if !matches!(request.form(), Form::Cbor(..))
        && let Some(protocol) = request.values("smithy-protocol").next()
    {
        let message = format!("{} does not speak the protocol {protocol}.", request.service);
        return wire::cbor::refuse(&Refusal::new("NotImplementedException", message), &request_id);
    }
    let (operation, answer) = perform(server, caller, request).await;
    request.form().reply(operation, answer, &request_id)
}

/// The refusal of a service that is not here. How its clients read an error shows in how they ask.
fn of_no_service(request: &Request, request_id: &str) -> Reply {
    const ERROR: &str = "NotImplementedException";
    let message = format!("The service {} is not implemented yet; docs/operations.md lists what is.", request.service);
    let refusal = Refusal::new(ERROR, message);
    if wire::cbor::is_spoken(&request.headers) {
        return wire::cbor::refuse(&refusal, request_id);
    }
    if request.is_form() {
        return wire::query::refuse(&refusal, request_id);
    }
    // Clients of services with JSON for everything look for the name in the body.
    wire::reply(None, Err(refusal.with("__type", ERROR)), request_id)
}

type Performed = (Option<&'static Operation>, Result<Output, Refusal>);

async fn perform(server: &Server, caller: &Caller, request: &Request) -> Performed {
    let form = request.form();
    let body = match form {
        // On the data plane a payload is what it is, whatever it is called.
        Form::Rest(_) => request.body.clone(),
        Form::Json(..) | Form::Query(..) | Form::Cbor(..) => {
            match gzip::opened(&request.body, &request.headers, form.max_body()) {
                Ok(body) => body,
                Err(refusal) => return (None, Err(refusal)),
            }
        }
    };
    let arrived = wire::Arrived { query: &request.query, headers: &request.headers, body: &body };
    let found = match form.find(&request.method, &request.path, &arrived) {
        Ok(found) => found,
        Err(refusal) => return (None, Err(refusal)),
    };
    let operation = found.operation;
    if let Err(refusal) = House::knows(operation) {
        return (Some(operation), Err(refusal));
    }
    let answer = match form.bind(found, &arrived) {
        Ok(input) => match server.house.plan(caller, operation, input, server.now(), server.entropy()) {
            Plan::Done(answer) => answer,
            Plan::Desk(job) => at_desk(server, job).await,
            Plan::Wait(wait) => confirmed(server, wait).await,
            Plan::Fetch(fetch) => fetched(server, caller, fetch).await,
            Plan::Invoke(invocation) => {
                let invoked = server.functions.invoke(invocation.clone()).await;
                invoked.map(|invoked| invocation.answer(invoked))
            }
        },
        Err(refusal) => Err(refusal),
    };
    (Some(operation), answer)
}

/// Fetches the object that a write waits for, as whoever asked for it.
async fn fetched(server: &Server, caller: &Caller, fetch: Fetch) -> Result<Output, Refusal> {
    let path = format!("/{}/{}", fetch.bucket, fetch.key);
    let request = Request {
        service: "s3".to_owned(),
        method: "GET".to_owned(),
        path: utf8_percent_encode(&path, KEPT).to_string(),
        query: String::new(),
        headers: Vec::new(),
        body: Bytes::new(),
    };
    // It asks no function of its own, so this goes one step deep.
    let reply = Box::pin(answer(server, caller, &request)).await;
    if reply.status != 200 {
        let said = String::from_utf8_lossy(&reply.body);
        let element = |name: &str| {
            let (_, rest) = said.split_once(&format!("<{name}>"))?;
            rest.split_once(&format!("</{name}>")).map(|(text, _)| text.to_owned())
        };
        let code = element("Code").unwrap_or_else(|| "NoSuchKey".to_owned());
        return Err(Fetch::failed(&code, &element("Message").unwrap_or_default()));
    }
    at_desk(server, fetch.with(reply.body)?).await
}

/// What of a path is not written as a percent sign and digits.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Brings a job to the desk and waits for its answer.
pub(crate) async fn at_desk(server: &Server, job: Job) -> Result<Output, Refusal> {
    let (tell, told) = oneshot::channel();
    // Whoever asked may be gone by then; what was done stays done.
    let job = job.then(move |answer| drop(tell.send(answer)));
    server.desk.bring(job).await;
    told.await.unwrap_or_else(|_| Err(Refusal::internal_failure("The write was not carried out.")))
}

/// Sends what a client is to confirm, and waits for that.
async fn confirmed(server: &Server, wait: Wait) -> Result<Output, Refusal> {
    let (tell, told) = oneshot::channel();
    let tell = Mutex::new(Some(tell));
    let patience = wait.patience();
    let confirmed = move || {
        if let Some(tell) = tell.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Whoever asked may be gone by then.
            let _ = tell.send(());
        }
    };
    let (job, answer) = wait.start(&server.house, Arc::new(confirmed));
    server.desk.bring_all(job.into_iter().collect()).await;
    match tokio::time::timeout(patience, told).await {
        Ok(Ok(())) => Ok(answer),
        Ok(Err(_)) | Err(_) => Err(Wait::late()),
    }
}
