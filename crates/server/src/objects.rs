//! S3's door: requests for buckets and objects, whose bodies are streamed to and from files that lie beside the store. What an
//! operation does is the house's affair; here is in which order body, file and commit happen, so that what is acknowledged is on
//! disk, and that no file stays which belongs to nobody.

mod files;
mod receive;
mod send;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloud::Caller;
use cloud::objects::{self, Body, Piece, Planned, Prepared, Reply, Request, Takes, takes};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::{Response, StatusCode};
use tokio::sync::{Semaphore, oneshot};
use wire::Refusal;
use wire::s3::claim::Claim;
use wire::s3::{Call, Element, FIRST_REGION, Head, presigned, refused};
use wire::sign::{self, Chunks, Rejected};

use crate::api;
use crate::http::{self, Answer, Entry};
use crate::identify::Body::Named;
use crate::identify::{self, Holder, NotTaken};
use crate::server::Server;

pub(crate) use files::Files;
use files::Held;
use receive::{Landed, Sink};

/// How long may pass between two pieces of a body.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bodies that are taken in at a time; others wait for their turn.
const TOGETHER: usize = 128;

/// Bytes of an object that the house reads whole: the package of a function.
const INSIDE: u64 = 70 * 1024 * 1024;

/// How often an object that is replaced while its files are opened is looked up anew.
const TRIES: usize = 5;

/// What the door has of its own.
pub(crate) struct Objects {
    files: Arc<Files>,
    turns: Semaphore,
}

impl Objects {
    /// The door before these files.
    pub(crate) fn new(files: Arc<Files>) -> Self {
        Self { files, turns: Semaphore::new(TOGETHER) }
    }
}

/// A body that is here, or still to come.
enum Arriving {
    Here(Option<Bytes>),
    Socket {
        body: Incoming,
        /// Whether its end has been seen.
        is_over: bool,
    },
}

impl Arriving {
    /// Whether nothing of it is still to come.
    fn is_over(&self) -> bool {
        match self {
            Self::Here(_) => true,
            Self::Socket { body, is_over } => *is_over || body.is_end_stream(),
        }
    }

    /// More of it, or none at its end.
    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        let (body, is_over) = match self {
            Self::Here(bytes) => return Ok(bytes.take()),
            Self::Socket { body, is_over } => (body, is_over),
        };
        loop {
            match tokio::time::timeout(PATIENCE, body.frame()).await {
                Ok(None) => {
                    *is_over = true;
                    return Ok(None);
                }
                Ok(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Ok(Some(Err(_))) => {
                    return Err(refused("IncompleteBody", "The request body terminated unexpectedly"));
                }
                Err(_) => {
                    let message = "Your socket connection to the server was not read from or written to within the timeout period.";
                    return Err(refused("RequestTimeout", message));
                }
            }
        }
    }
}

/// Whether a request is for this door.
pub(crate) fn are_meant(request: &api::Request) -> bool {
    request.service == "s3" || presigned::is_old(&request.query)
}

/// Answers a request whose body is still to come.
pub(crate) async fn answer(server: &Server, entry: &Entry, request: &api::Request, body: Incoming) -> Response<Answer> {
    let mut body = Arriving::Socket { body, is_over: false };
    let answer = match caller(server, entry, request) {
        Ok((caller, chunks)) => respond(server, &caller, request, &mut body, chunks).await,
        Err(refusal) => Err(refusal),
    };
    let id = server.request_id();
    let (mut response, headers) = match answer {
        Ok((reply, held)) => (started(reply.status, reply.body, held), reply.headers),
        Err(refusal) => {
            let (status, document) = wire::s3::failure(&refusal, &request.path, &id);
            let body = if request.method == "HEAD" { Body::Nothing } else { Body::Document(document) };
            (started(status, body, None), Vec::new())
        }
    };
    for (name, value) in &headers {
        http::set(&mut response, name, value);
    }
    http::set(&mut response, "x-amz-request-id", &id);
    http::set(&mut response, "x-amz-id-2", &id);
    http::closing(response, !body.is_over())
}

fn started(status: u16, body: Body, held: Option<Held>) -> Response<Answer> {
    let is_document = matches!(body, Body::Document(_));
    let mut response = Response::new(match (body, held) {
        (Body::Document(document), _) => Answer::Whole(Some(document.into())),
        (Body::Pieces(pieces, _), Some(held)) => Answer::Lines(send::pieces(pieces, held)),
        (Body::Pieces(..) | Body::Nothing, _) => Answer::Whole(None),
    });
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if is_document {
        http::set(&mut response, "content-type", "application/xml");
    }
    response
}

/// Answers a request of the house's own, whose body is here, and so is the answer's.
pub(crate) async fn answer_inside(server: &Server, caller: &Caller, request: &api::Request) -> wire::Reply {
    let mut body = Arriving::Here(Some(request.body.clone()));
    let answer = respond(server, caller, request, &mut body, None).await;
    let collected = match answer {
        Ok((reply, held)) => collected(reply, held).await,
        Err(refusal) => Err(refusal),
    };
    collected.unwrap_or_else(|refusal| {
        let (status, document) = wire::s3::failure(&refusal, &request.path, &server.request_id());
        let headers =
            vec![("content-type", "application/xml".to_owned()), ("x-amzn-ErrorType", refusal.error().to_owned())];
        wire::Reply { status, headers, body: document.into() }
    })
}

async fn collected(reply: Reply, held: Option<Held>) -> Result<wire::Reply, Refusal> {
    let body = match (reply.body, held) {
        (Body::Document(document), _) => document.into(),
        (Body::Pieces(_, size), _) if size > INSIDE => {
            return Err(refused("EntityTooLarge", format!("The object is longer than {INSIDE} bytes.")));
        }
        (Body::Pieces(pieces, size), Some(held)) => {
            let mut bytes = Vec::new();
            let mut coming = send::pieces(pieces, held);
            while let Some(piece) = coming.recv().await {
                bytes.extend_from_slice(&piece);
            }
            if bytes.len() as u64 != size {
                return Err(Refusal::internal_failure("An internal failure occurred; the server's log says more."));
            }
            bytes.into()
        }
        _ => Bytes::new(),
    };
    let headers = reply.headers.into_iter().filter_map(|(name, value)| match name {
        Cow::Borrowed(name) => Some((name, value)),
        Cow::Owned(_) => None,
    });
    Ok(wire::Reply { status: reply.status, headers: headers.collect(), body })
}

/// Who calls, in S3's words. A request that was signed beforehand is good for a time.
fn caller(server: &Server, entry: &Entry, request: &api::Request) -> Result<(Caller, Option<Chunks>), Refusal> {
    let told = |key: &str, no: NotTaken| {
        no.told(|rejected| {
            identify::tell(server, entry, (&request.method, &request.path), key, rejected);
            in_words_of_s3(rejected)
        })
    };
    let now_s = server.now().div_euclid(1000);
    if presigned::is_old(&request.query) {
        let presigned::OldClaim { access_key_id, session_token } = presigned::old_claim(&request.query, now_s)?;
        let holder = old_holder(server, &access_key_id, session_token.as_deref());
        let Holder { scope, identity, .. } = holder.map_err(|no| told(&access_key_id, no))?;
        return Ok((Caller { scope, identity, whence: identify::whence(entry) }, None));
    }
    let signable = request.signable();
    let credential = sign::credential(&signable).map_err(|rejected| told("", rejected.into()))?;
    let Some(credential) = credential else { return Err(told("", Rejected::missing().into())) };
    if credential.is_in_query() {
        let expires = credential.expires_s().ok_or_else(|| {
            refused("AuthorizationQueryParametersError", "X-Amz-Expires must be given with the other query parameters.")
        })?;
        presigned::in_time(expires, now_s)?;
    }
    // An address that was signed beforehand covers no body, unless it says so itself.
    let counts = !credential.is_in_query() || credential.covers(HASH);
    let named = request.headers.iter().find(|(name, _)| name == HASH && counts).map(|(_, hash)| hash.trim());
    let holder = identify::holder(server, &signable, &credential, Named(named.unwrap_or(UNSIGNED)));
    let holder = holder.map_err(|no| told(&credential.access_key_id, no))?;
    if holder.is_proved {
        check_body(named, credential.is_in_query())?;
    }
    let Holder { scope, identity, chunks, .. } = holder;
    Ok((Caller { scope, identity, whence: identify::whence(entry) }, chunks))
}

/// The header that names what is signed of a body, and what is signed in place of one that is not.
const HASH: &str = "x-amz-content-sha256";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// A signature in the header must say what it covers of the body. What it says is held against the body when that comes, and so
/// are the signatures of chunks; those of another kind are not verified, and so not taken.
fn check_body(named: Option<&str>, is_in_query: bool) -> Result<(), Refusal> {
    match named {
        None if is_in_query => Ok(()),
        None => Err(refused("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")),
        Some(hash) if hash.starts_with("STREAMING-AWS4-ECDSA") => {
            Err(wire::s3::not_implemented(format!("the verification of {hash}")))
        }
        Some(_) => Ok(()),
    }
}

/// Who holds the key of an address in the older form. Its signature is of another kind than all others, and not verified: so no
/// key that must prove itself is taken by it, as AWS takes none in its younger regions.
fn old_holder(server: &Server, key: &str, token: Option<&str>) -> Result<Holder, NotTaken> {
    if server.verifies
        || server.operator.account_of(key).is_some()
        || identify::known(server, key, FIRST_REGION, token)?.is_some()
    {
        return Err(NotTaken::Failed(refused(
            "InvalidRequest",
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        )));
    }
    identify::at_its_word(server, key, FIRST_REGION)
}

/// S3 has names of its own for what is wrong with a claim.
fn in_words_of_s3(rejected: &Rejected) -> Refusal {
    let late = "The difference between the request time and the current time is too large.";
    match rejected.error {
        "InvalidSignatureException" if rejected.is_untimely() => refused("RequestTimeTooSkewed", late),
        "InvalidSignatureException" => refused("SignatureDoesNotMatch", &*rejected.message),
        "UnrecognizedClientException" => {
            refused("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
        }
        "ExpiredTokenException" => refused("ExpiredToken", "The provided token has expired."),
        "MissingAuthenticationTokenException" => refused("AccessDenied", "Access Denied"),
        _ => refused("AuthorizationHeaderMalformed", &*rejected.message),
    }
}

type Responded = Result<(Reply, Option<Held>), Refusal>;

async fn respond(
    server: &Server,
    caller: &Caller,
    request: &api::Request,
    body: &mut Arriving,
    chunks: Option<Chunks>,
) -> Responded {
    let api::Request { method, path, query, headers, .. } = request;
    let call = Call::read(&Head { method, path, query, headers })?;
    let taken = takes(&call)?;
    let claim = Claim::of(&call)?;
    let mut asked = Request::new(call);
    let mut landed = None;
    match taken {
        Takes::Nothing => {}
        Takes::Document => {
            let document = receive::document(body, &claim, chunks).await?;
            asked.document = if document.is_empty() { None } else { Some(Element::read(&document)?) };
        }
        Takes::Content => {
            let prepared = server.house.prepare_object(caller, &asked.call, server.now())?;
            let _turn = turn(server).await?;
            let sink = sink(server, &asked.call, &claim, &prepared, claim.length)?;
            landed = Some(receive::receive(body, &claim, sink, chunks).await?);
        }
        Takes::Source => {
            let (prepared, held) = source(server, caller, &asked.call)?;
            let _turn = turn(server).await?;
            let pieces = prepared.source.as_ref().map(|source| source.pieces.clone()).unwrap_or_default();
            let sink = sink(server, &asked.call, &claim, &prepared, None)?;
            landed = Some(receive::copy(pieces, held, sink).await?);
            asked.source = prepared.source;
        }
    }
    settle(server, caller, asked, landed).await
}

/// Waits until not too many others take in bodies.
async fn turn(server: &Server) -> Result<tokio::sync::SemaphorePermit<'_>, Refusal> {
    match tokio::time::timeout(PATIENCE, server.objects.turns.acquire()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(refused("SlowDown", "Please reduce your request rate.")),
    }
}

fn sink(
    server: &Server,
    call: &Call,
    claim: &Claim,
    prepared: &Prepared,
    length: Option<u64>,
) -> Result<Sink, Refusal> {
    let name = cloud::uuid(server.entropy());
    let is_part = call.parameter("uploadId").is_some();
    Sink::new(&server.objects.files, name, claim.measure(prepared.usual), length, is_part)
}

/// What is to be copied, with its files held.
fn source(server: &Server, caller: &Caller, call: &Call) -> Result<(Prepared, Held), Refusal> {
    for _ in 0..TRIES {
        let prepared = server.house.prepare_object(caller, call, server.now())?;
        let pieces = prepared.source.as_ref().map(|source| source.pieces.as_slice()).unwrap_or_default();
        if let Some(held) = hold(server, pieces) {
            return Ok((prepared, held));
        }
    }
    Err(refused("SlowDown", "The object is replaced faster than it can be read."))
}

fn hold(server: &Server, pieces: &[Piece]) -> Option<Held> {
    let names = pieces.iter().filter_map(|piece| match piece {
        Piece::File(name, _) => Some(name.as_str()),
        Piece::Bytes(_) => None,
    });
    server.objects.files.hold(names)
}

/// Has the house answer, now that everything is here. What is read may be replaced before its files are held.
async fn settle(server: &Server, caller: &Caller, mut asked: Request, landed: Option<Landed>) -> Responded {
    if let Some(landed) = landed {
        asked.received = Some(landed.received);
        return match server.house.plan_object(caller, asked, server.now(), server.entropy()) {
            Planned::Done(answer) => answer.map(|reply| (reply, None)),
            Planned::Desk(job, slot) => at_desk(server, job, slot, landed.fresh).await.map(|reply| (reply, None)),
        };
    }
    for _ in 0..TRIES {
        match server.house.plan_object(caller, asked.clone(), server.now(), server.entropy()) {
            Planned::Desk(job, slot) => return at_desk(server, job, slot, None).await.map(|reply| (reply, None)),
            Planned::Done(answer) => {
                let reply = answer?;
                let Body::Pieces(pieces, _) = &reply.body else { return Ok((reply, None)) };
                if let Some(held) = hold(server, pieces) {
                    return Ok((reply, Some(held)));
                }
            }
        }
    }
    Err(refused("SlowDown", "The object is replaced faster than it can be read."))
}

/// Brings a job to the desk and waits for its reply. What becomes of files is decided where the job ends, since whoever asked may
/// be gone by then.
async fn at_desk(
    server: &Server,
    job: cloud::Job,
    slot: objects::Slot,
    fresh: Option<files::Fresh>,
) -> Result<Reply, Refusal> {
    let (tell, told) = oneshot::channel();
    let files = Arc::clone(&server.objects.files);
    let job = job.then(move |answer| {
        let reply = answer.and_then(|_| slot.take());
        // After a failure of ours nobody knows whether it was written: the next start does.
        if reply.as_ref().map_or_else(|refusal| refusal.status(None) >= 500, |_| true)
            && let Some(fresh) = fresh
        {
            fresh.keep();
        }
        files.remove(reply.as_ref().map(|reply| reply.freed.clone()).unwrap_or_default());
        drop(tell.send(reply));
    });
    server.desk.bring(job).await;
    told.await.unwrap_or_else(|_| Err(Refusal::internal_failure("The write was not carried out.")))
}
