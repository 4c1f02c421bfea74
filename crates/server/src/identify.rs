//! Who calls: whoever holds an access key by a signature, a device by its certificate. A key that was made here must have
//! signed what arrived, in time and with its secret, in either mode; a key that nobody made here is taken at its word in
//! development, and refused where the server stands in a network. What is refused is told as an event.

use cloud::{Caller, Identity, NotASigner, Refused, Scope, Signer, Whence};
use wire::sign::{self, Chunks, Credential, Rejected, Signable};
use wire::{Form, Refusal};

use crate::api::{CONFIRMATION, Request};
use crate::http::Entry;
use crate::operator::is_account;
use crate::server::Server;
use crate::settings::ACCOUNT;

/// What a signature covers in place of the body.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    /// The body itself, which is here.
    Here,
    /// A digest or a word that the head names; the body is still to come.
    Named(&'a str),
}

/// Who holds the key of a credential, once it is certain.
pub(crate) struct Holder {
    pub(crate) scope: Scope,
    pub(crate) identity: Identity,
    /// Whether the key lies in the store.
    pub(crate) is_kept: bool,
    /// Whether a signature proved it.
    pub(crate) is_proved: bool,
    /// The signatures of a body that is signed while it is sent.
    pub(crate) chunks: Option<Chunks>,
}

/// Who calls an operation with the whole request at hand.
pub(crate) fn caller(server: &Server, entry: &Entry, request: &Request) -> Result<Caller, Refusal> {
    let signable = request.signable();
    let credential = sign::credential(&signable).map_err(|rejected| refused(server, entry, request, "", &rejected))?;
    if let Some(credential) = credential {
        let key = &credential.access_key_id;
        let holder = holder(server, &signable, &credential, Body::Here);
        let holder = holder.map_err(|no| no.told(|rejected| refused(server, entry, request, key, rejected)))?;
        return Ok(Caller { scope: holder.scope, identity: holder.identity, whence: whence(entry) });
    }
    if let Some(token) = request.path.strip_prefix(CONFIRMATION) {
        // Whoever opens the link that was sent to a destination shows a token, and nothing else.
        let scope = server.house.scope_of_token(token).map_err(|fault| {
            tracing::error!(%fault, "failed to look up a confirmation token");
            internal()
        })?;
        let scope = scope.ok_or_else(|| Refusal::invalid_request("Invalid confirmation token"))?;
        return Ok(Caller { scope, identity: Identity::Key(String::new()), whence: whence(entry) });
    }
    let Some(certificate_id) = entry.device.clone() else {
        return Err(unsigned(server, entry, request));
    };
    let scope = server.scope_of(&certificate_id, entry.server_name.as_deref(), &entry.ip)?;
    let identity = Identity::Device { certificate_id, source_ip: entry.ip.clone() };
    Ok(Caller { scope, identity, whence: whence(entry) })
}

/// What AWS takes without a signature, since it proves by itself who asks.
const PROVING: [&str; 2] = ["AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"];

/// The refusal of whoever shows neither a signature nor a certificate; of an operation that needs neither, that it is not built.
fn unsigned(server: &Server, entry: &Entry, request: &Request) -> Refusal {
    let arrived = wire::Arrived { query: &request.query, headers: &request.headers, body: &request.body };
    match request.form().find(&request.method, &request.path, &arrived) {
        Ok(found) if PROVING.contains(&found.operation.name) => Refusal::not_implemented(found.operation),
        _ => refused(server, entry, request, "", &Rejected::missing()),
    }
}

/// Refuses whom nobody can be before a body is read for it: where keys are verified, a stranger is not to fill the memory.
pub(crate) fn check_claim(server: &Server, entry: &Entry, request: &Request) -> Result<(), Refusal> {
    if !server.verifies || request.path.starts_with(CONFIRMATION) {
        return Ok(());
    }
    let told = |key: &str, rejected: &Rejected| refused(server, entry, request, key, rejected);
    let credential = sign::credential(&request.signable()).map_err(|rejected| told("", &rejected))?;
    let Some(credential) = credential else {
        return if entry.device.is_some() { Ok(()) } else { Err(told("", &Rejected::missing())) };
    };
    let (key, token) = (&credential.access_key_id, credential.session_token.as_deref());
    if server.operator.account_of(key).is_some() {
        return Ok(());
    }
    match known(server, key, &credential.region, token) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(told(key, &Rejected::unrecognized_client())),
        Err(no) => Err(no.told(|rejected| told(key, rejected))),
    }
}

/// Whence a request came that this connection brought.
pub(crate) fn whence(entry: &Entry) -> Whence {
    Whence { ip: entry.ip.clone(), secure: !entry.pages, server_name: entry.server_name.clone() }
}

/// Why a claim is not taken.
pub(crate) enum NotTaken {
    /// It is not the claimant's.
    Rejected(Rejected),
    /// We cannot say.
    Failed(Refusal),
}

impl From<Rejected> for NotTaken {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}

impl NotTaken {
    /// The same as a refusal.
    pub(crate) fn told(self, tell: impl FnOnce(&Rejected) -> Refusal) -> Refusal {
        match self {
            Self::Rejected(rejected) => tell(&rejected),
            Self::Failed(refusal) => refusal,
        }
    }
}

/// Who holds the key that a credential names. A key of ours must have signed the request.
pub(crate) fn holder(
    server: &Server,
    signable: &Signable<'_>,
    credential: &Credential,
    body: Body<'_>,
) -> Result<Holder, NotTaken> {
    let key = credential.access_key_id.as_str();
    if let Some(account) = server.operator.account_of(key) {
        let chunks = verify(server, signable, credential, &server.operator.secret(account), body)?;
        let scope = Scope::new(account, &credential.region);
        let identity = Identity::Key(key.to_owned());
        return Ok(Holder { scope, identity, is_kept: false, is_proved: true, chunks });
    }
    match known(server, key, &credential.region, credential.session_token.as_deref())? {
        Some(Signer { scope, identity, secret, is_kept }) => {
            let chunks = verify(server, signable, credential, secret.expose(), body)?;
            Ok(Holder { scope, identity, is_kept, is_proved: true, chunks })
        }
        None => at_its_word(server, key, &credential.region),
    }
}

/// A key that nobody made here.
pub(crate) fn at_its_word(server: &Server, key: &str, region: &str) -> Result<Holder, NotTaken> {
    if server.verifies {
        return Err(Rejected::unrecognized_client().into());
    }
    let identity = Identity::Key(key.to_owned());
    Ok(Holder { scope: scope_of(key, region), identity, is_kept: false, is_proved: false, chunks: None })
}

/// Who a key of ours stands for.
pub(crate) fn known(server: &Server, key: &str, region: &str, token: Option<&str>) -> Result<Option<Signer>, NotTaken> {
    server.house.signer(key, token, region, server.now()).map_err(|not| match not {
        NotASigner::Expired => Rejected::expired_token().into(),
        NotASigner::Unknown => Rejected::unrecognized_client().into(),
        NotASigner::Fault(fault) => {
            tracing::error!(%fault, "failed to look up an access key");
            NotTaken::Failed(internal())
        }
    })
}

fn verify(
    server: &Server,
    signable: &Signable<'_>,
    credential: &Credential,
    secret: &str,
    body: Body<'_>,
) -> Result<Option<Chunks>, Rejected> {
    let now_s = server.now().div_euclid(1000);
    sign::check_headers(signable, credential)?;
    match body {
        Body::Here if sign::is_rewritten(signable.path) => Err(Rejected::rewritten()),
        Body::Here => sign::verify(signable, credential, secret, now_s).map(|()| None),
        Body::Named(hash) => {
            sign::verify_head(signable, credential, secret, now_s, hash)?;
            Ok(Chunks::of(credential, secret, hash))
        }
    }
}

/// The scope of an access key: in development one of twelve digits is an account of its own.
fn scope_of(key: &str, region: &str) -> Scope {
    Scope::new(if is_account(key) { key } else { ACCOUNT }, region)
}

/// The refusal of a claim in the form of its request, told as an event.
fn refused(server: &Server, entry: &Entry, request: &Request, key: &str, rejected: &Rejected) -> Refusal {
    tell(server, entry, (&request.method, &request.path), key, rejected);
    match request.form() {
        Form::Query(..) => Refusal::new(rejected.error_in_forms(), &*rejected.message).with_status(Rejected::STATUS),
        // unconfirmed for each of them: DynamoDB is known to answer so.
        Form::Json(..) | Form::Cbor(..) => Refusal::new(rejected.error, &*rejected.message).with_status(400),
        Form::Rest(_) => refusal(rejected),
    }
}

/// The answer to a claim that is not taken.
pub(crate) fn refusal(rejected: &Rejected) -> Refusal {
    Refusal::new(rejected.error, rejected.message.clone()).with_status(Rejected::STATUS)
}

/// Bytes of a path in an event.
const SHOWN: usize = 200;

/// Tells of a claim that is not taken.
pub(crate) fn tell(server: &Server, entry: &Entry, (method, path): (&str, &str), key: &str, rejected: &Rejected) {
    let path: String = path.chars().take(SHOWN).collect();
    server.refused(Refused {
        principal: key.to_owned(),
        action: "HTTP".to_owned(),
        resource: format!("{method} {path}"),
        decision: rejected.error.to_owned(),
        reason: rejected.message.clone(),
        peer: entry.address.clone(),
        ..Refused::default()
    });
}

fn internal() -> Refusal {
    Refusal::internal_failure("An internal failure occurred; the server's log says more.")
}
