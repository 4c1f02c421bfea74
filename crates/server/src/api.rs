//! The API: a request in memory becomes an operation of a service for the house, and what comes of it an answer in the form of
//! the request. Whoever has such a request asks here: the HTTP door, and what the house itself asks of its neighbours.
//! Sockets are unknown here.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cloud::{Caller, Fetch, House, Identity, Job, NotASession, Plan, Scope, Wait};
use hyper::http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::oneshot;
use wire::sign::{self, Credential, Rejected, Signable};
use wire::{Form, Operation, Output, Refusal, Reply};

use crate::gzip;
use crate::http::{Entry, text_headers};
use crate::objects;
use crate::server::Server;
use crate::settings::ACCOUNT;

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
const CONFIRMATION: &str = "/confirmdestination/";

impl Request {
    /// A request whose body is still to come. What its signature claims is looked at by [`identify`].
    pub(crate) fn of_head(head: &Parts) -> Result<Self, Refusal> {
        let mut request = Self {
            service: "iotdata".to_owned(),
            method: head.method.as_str().to_owned(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: text_headers(&head.headers)?,
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
    let (operation, answer) = perform(server, caller, request).await;
    request.form().reply(operation, answer, &server.request_id())
}

type Performed = (Option<&'static Operation>, Result<Output, Refusal>);

async fn perform(server: &Server, caller: &Caller, request: &Request) -> Performed {
    let service = request.service.as_str();
    if !IOT.contains(&service) && wire::service(service).is_none() {
        let message = format!("The service {service} is not implemented yet; docs/operations.md lists what is.");
        return (None, Err(Refusal::new("NotImplementedException", message)));
    }
    // Younger SDKs of other languages speak it to CloudWatch; taken for a form, it would be refused in words that mislead.
    if request.headers.iter().any(|(name, value)| name == "smithy-protocol" && value == "rpc-v2-cbor") {
        let message = "The protocol rpc-v2-cbor is not implemented yet; JSON and forms are.";
        return (None, Err(Refusal::new("NotImplementedException", message)));
    }
    let form = request.form();
    let body = match form {
        // On the data plane a payload is what it is, whatever it is called.
        Form::Rest(_) => request.body.clone(),
        Form::Json(..) | Form::Query(..) => match gzip::opened(&request.body, &request.headers, form.max_body()) {
            Ok(body) => body,
            Err(refusal) => return (None, Err(refusal)),
        },
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

/// Who calls: a device by its certificate, everybody else by an access key.
/// In development any key is taken, so the signature itself is not verified; a region and an account come from it.
pub(crate) fn identify(server: &Server, entry: &Entry, request: &Request) -> Result<Caller, Refusal> {
    let refused = |rejected: Rejected| match request.form() {
        Form::Query(..) => Refusal::new(rejected.error_in_forms(), rejected.message).with_status(Rejected::STATUS),
        Form::Rest(_) | Form::Json(..) => refusal(&rejected),
    };
    if let Some(credential) = sign::credential(&request.signable()).map_err(refused)? {
        return holder(server, credential).map_err(refused);
    }
    if let Some(token) = request.path.strip_prefix(CONFIRMATION) {
        // Whoever opens the link that was sent to a destination shows a token, and nothing else.
        let scope = server.house.scope_of_token(token).map_err(|fault| {
            tracing::error!(%fault, "failed to look up a confirmation token");
            Refusal::internal_failure("An internal failure occurred; the server's log says more.")
        })?;
        let scope = scope.ok_or_else(|| Refusal::invalid_request("Invalid confirmation token"))?;
        return Ok(Caller { scope, identity: Identity::Key(String::new()) });
    }
    let Some(certificate_id) = entry.device.clone() else {
        return Err(refused(Rejected::missing()));
    };
    let scope = server.scope_of(&certificate_id, entry.server_name.as_deref(), &entry.ip)?;
    let identity = Identity::Device { certificate_id, source_ip: entry.ip.clone() };
    Ok(Caller { scope, identity })
}

/// Who holds a credential.
pub(crate) fn holder(server: &Server, credential: Credential) -> Result<Caller, Rejected> {
    let Credential { access_key_id, region, session_token, .. } = credential;
    holder_of_key(server, access_key_id, &region, session_token.as_deref())
}

/// Who holds an access key. A session token that was given out here says so, and must still be good; in development any other
/// token is as good as none.
pub(crate) fn holder_of_key(
    server: &Server,
    key: String,
    region: &str,
    token: Option<&str>,
) -> Result<Caller, Rejected> {
    let session = token.map(|token| server.house.session(&key, token, region, server.now())).transpose();
    match session.map(Option::flatten) {
        Ok(Some(caller)) => Ok(caller),
        Ok(None) => Ok(Caller { scope: scope_of(&key, region), identity: Identity::Key(key) }),
        Err(NotASession::Expired) => Err(Rejected::expired_token()),
        Err(NotASession::Unknown) => Err(Rejected::unrecognized_client()),
    }
}

/// The scope of an access key: one of twelve digits is an account of its own.
fn scope_of(key: &str, region: &str) -> Scope {
    let is_account = key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_digit());
    Scope::new(if is_account { key } else { ACCOUNT }, region)
}

/// The answer to a claim that is not taken.
pub(crate) fn refusal(rejected: &Rejected) -> Refusal {
    Refusal::new(rejected.error, rejected.message.clone()).with_status(Rejected::STATUS)
}
