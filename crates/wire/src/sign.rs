//! AWS Signature Version 4: reading the claim a request makes, checking it against a secret, and signing requests of
//! our own. It keeps no secrets and reads no clock: secret and time are passed in, and whether a region, a service or
//! a session token is the right one is the caller's to say.

mod canonical;
mod chunks;

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use percent_encoding::percent_decode_str;

use canonical::{Scope, Token};
pub use chunks::Chunks;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";

const DATE_HEADER: &str = "x-amz-date";
const TOKEN_HEADER: &str = "x-amz-security-token";
const HASH_HEADER: &str = "x-amz-content-sha256";

const QUERY_ALGORITHM: &str = "X-Amz-Algorithm";
const QUERY_CREDENTIAL: &str = "X-Amz-Credential";
const QUERY_DATE: &str = "X-Amz-Date";
const QUERY_EXPIRES: &str = "X-Amz-Expires";
const QUERY_SIGNED_HEADERS: &str = "X-Amz-SignedHeaders";
const QUERY_SIGNATURE: &str = "X-Amz-Signature";
const QUERY_TOKEN: &str = "X-Amz-Security-Token";

/// How far the caller's clock may be from ours.
const MAX_SKEW_S: i64 = 5 * 60;
/// The longest life a query-signed request may ask for.
const MAX_EXPIRES_S: i64 = 7 * 24 * 60 * 60;

const MAX_HEADERS: usize = 128;
const MAX_SIGNED_HEADERS: usize = 64;
const MAX_PARAMETERS: usize = 128;
const MAX_TARGET_BYTES: usize = 16 * 1024;
const MAX_AUTHORIZATION_BYTES: usize = 8 * 1024;
const MAX_TOKEN_BYTES: usize = 8 * 1024;
const MAX_NAME_BYTES: usize = 128;

/// What a signature covers of a request, as it stood on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Signable<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The path, percent-encoded as sent.
    pub path: &'a str,
    /// The query string as sent, without its question mark.
    pub query: &'a str,
    /// The headers in the order they came, names in any case.
    pub headers: &'a [(String, String)],
    /// The whole body.
    pub payload: &'a [u8],
}

/// Who a request says it is from, and the signature that is to prove it; nothing here is verified yet.
#[derive(Clone)]
pub struct Credential {
    /// The access key id, by which the secret is found.
    pub access_key_id: String,
    /// The day of the scope, `YYYYMMDD`.
    pub date: String,
    /// The region of the scope.
    pub region: String,
    /// The service of the scope, in its signing name.
    pub service: String,
    /// The session token; in the query form it may stand outside the signature.
    pub session_token: Option<String>,
    form: Form,
    timestamp: String,
    signed_at_s: i64,
    signed_headers: String,
    signature: String,
}

impl Credential {
    /// Seconds since the epoch until which a query-signed request is good, if it says so.
    pub fn expires_s(&self) -> Option<i64> {
        match self.form {
            Form::Query { expires_s } => expires_s.map(|lasts| self.signed_at_s.saturating_add(lasts)),
            Form::Header => None,
        }
    }

    /// Whether the signature covers a header of this name.
    pub fn covers(&self, name: &str) -> bool {
        self.signed_headers.split(';').any(|signed| signed.eq_ignore_ascii_case(name))
    }

    /// Whether the signature stood in the query.
    pub fn is_in_query(&self) -> bool {
        self.form != Form::Header
    }
}

/// Where the signature stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Header,
    Query { expires_s: Option<i64> },
}

/// Why a request is not taken as its caller's: an AWS error name and a message for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The AWS name of the error.
    pub error: &'static str,
    /// What is wrong, for a person to read.
    pub message: String,
}

/// Reads the claim a request makes in its `Authorization` header or its query string; `None` when it makes none.
///
/// An `Authorization` header of another scheme is no claim: it may be meant for a custom authorizer.
pub fn credential(request: &Signable) -> Result<Option<Credential>, Rejected> {
    if request.headers.len() > MAX_HEADERS {
        return Err(Rejected::incomplete("The request has too many headers."));
    }
    let authorization = the_only(header_values(request.headers, "authorization"), "authorization")?;
    let authorization = authorization.map(str::trim).filter(|value| value.starts_with("AWS4-"));
    let query_signed = is_query_signed(request.query);
    if (authorization.is_some() || query_signed) && is_too_long(request) {
        return Err(Rejected::incomplete("The request's path or query string is too long."));
    }
    match (authorization, query_signed) {
        (None, false) => Ok(None),
        (Some(authorization), false) => Claim::in_header(request, authorization)?.into_credential().map(Some),
        (None, true) => Claim::in_query(request.query)?.into_credential().map(Some),
        (Some(_), true) => Err(Rejected::incomplete("Sign in the Authorization header or in the query, not in both.")),
    }
}

/// Checks that whoever holds `secret` signed this request, and not too long ago.
///
/// unconfirmed: `UNSIGNED-PAYLOAD` is refused in both forms, as no AWS IoT client was seen to send it; a client that
/// names a payload hash must name that of the body.
pub fn verify(request: &Signable, credential: &Credential, secret: &str, now_s: i64) -> Result<(), Rejected> {
    in_time(credential, now_s)?;
    let hash = canonical::sha256(request.payload);
    if header_values(request.headers, HASH_HEADER).any(|named| named.trim() != hash) {
        return Err(Rejected::mismatch());
    }
    verify_with(request, credential, secret, &hash)
}

/// The same for a request whose body is still to come: `hash` is what was signed in its place, a SHA-256 or a word for none.
/// Whoever takes the body in must hold it against that.
pub fn verify_head(
    request: &Signable,
    credential: &Credential,
    secret: &str,
    now_s: i64,
    hash: &str,
) -> Result<(), Rejected> {
    in_time(credential, now_s)?;
    verify_with(request, credential, secret, hash)
}

fn verify_with(request: &Signable, credential: &Credential, secret: &str, hash: &str) -> Result<(), Rejected> {
    let Credential { date, region, service, timestamp, signed_headers, .. } = credential;
    let scope = Scope { date, region, service };
    let is_signed_with = |token| {
        canonical::request(request, service, signed_headers, hash, token).is_some_and(|text| {
            let expected = canonical::signature(secret, &scope, timestamp, &text);
            verify_slices_are_equal(expected.as_bytes(), credential.signature.as_bytes()).is_ok()
        })
    };
    // MQTT clients append the token to a query they have already signed; others sign it with the rest.
    let may_be_appended = credential.form != Form::Header && credential.session_token.is_some();
    if is_signed_with(Token::Signed) || (may_be_appended && is_signed_with(Token::Appended)) {
        Ok(())
    } else {
        Err(Rejected::mismatch())
    }
}

/// Refuses a request with a header of AWS's own that its signature does not cover: whoever adds one changes what is asked for.
/// What SDKs leave out because proxies change it may be there unsigned, and so may the hash of a body that a signed address
/// does not cover anyway.
pub fn check_headers(request: &Signable, credential: &Credential) -> Result<(), Rejected> {
    let may_be_unsigned = |name: &str| {
        name == "x-amzn-trace-id" || (credential.is_in_query() && [HASH_HEADER, TOKEN_HEADER].contains(&name))
    };
    let of_aws = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
    let mut of_aws = of_aws.filter(|name| name.starts_with("x-amz-") || name.starts_with("x-amzn-"));
    match of_aws.find(|name| !credential.covers(name) && !may_be_unsigned(name)) {
        Some(name) => Err(Rejected::invalid(format!("'{name}' must be a signed header."))),
        None => Ok(()),
    }
}

/// Whether a path is signed as another than it is sent: without its empty and dot segments. Where the path that was sent leads
/// is then not what was signed.
pub fn is_rewritten(path: &str) -> bool {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    !inner.is_empty() && inner.split('/').any(|segment| matches!(segment, "" | "." | ".."))
}

/// What S3 wants in `x-amz-content-sha256` of a signed request: the SHA-256 of its body, in hexadecimal.
pub fn payload_hash(payload: &[u8]) -> String {
    canonical::sha256(payload)
}

/// The headers to add to a request so that it is signed: `x-amz-date` and `authorization`.
///
/// The request must hold `host`, and `x-amz-security-token` where the key is a temporary one; neither it nor the
/// query may hold an earlier signature. `host`, `content-type` and all headers whose names begin with `x-amz` are signed, which nothing on
/// the way should change. A time no calendar knows is taken as the epoch, which any server refuses as long past.
pub fn sign(
    request: &Signable,
    access_key_id: &str,
    secret: &str,
    region: &str,
    service: &str,
    now_s: i64,
) -> Vec<(String, String)> {
    let timestamp = Timestamp::from_second(now_s).unwrap_or_default().strftime(TIME_FORMAT).to_string();
    let date = timestamp.split('T').next().unwrap_or_default();
    let mut headers: Vec<(String, String)> =
        request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    headers.push((DATE_HEADER.to_owned(), timestamp.clone()));
    headers.retain(|(name, _)| name == "host" || name == "content-type" || name.starts_with("x-amz"));
    let mut names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let signed_headers = names.join(";");

    let scope = Scope { date, region, service };
    let hash = canonical::sha256(request.payload);
    let request = Signable { headers: &headers, ..*request };
    let text = canonical::request(&request, service, &signed_headers, &hash, Token::Signed).unwrap_or_default();
    let signature = canonical::signature(secret, &scope, &timestamp, &text);
    let authorization = format!(
        "{ALGORITHM} Credential={access_key_id}/{date}/{region}/{service}/{TERMINATOR}, \
         SignedHeaders={signed_headers}, Signature={signature}"
    );
    vec![(DATE_HEADER.to_owned(), timestamp), ("authorization".to_owned(), authorization)]
}

impl Credential {
    /// Refuses a claim that was made too long ago, or too far ahead.
    pub fn check_time(&self, now_s: i64) -> Result<(), Rejected> {
        in_time(self, now_s)
    }

    /// Refuses a claim made for another region, or for a service that is not among `services`.
    pub fn check_scope(&self, region: &str, services: &[&str]) -> Result<(), Rejected> {
        if self.region != region {
            return Err(Rejected::invalid(format!("Credential should be scoped to region '{region}'.")));
        }
        if !services.contains(&self.service.as_str()) {
            return Err(Rejected::invalid(format!(
                "Credential should be scoped to service '{}'.",
                services.join("' or '")
            )));
        }
        Ok(())
    }
}

/// Leaves out the token and the signature, which are as good as a password for as long as they last.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("access_key_id", &self.access_key_id)
            .field("date", &self.date)
            .field("region", &self.region)
            .field("service", &self.service)
            .field("form", &self.form)
            .field("timestamp", &self.timestamp)
            .field("signed_headers", &self.signed_headers)
            .finish_non_exhaustive()
    }
}

/// unconfirmed: the names are those AWS documents for all its services; which of them AWS IoT answers where, and the
/// wording beyond the usual first sentence, is our choice.
impl Rejected {
    /// The HTTP status of every rejection.
    pub const STATUS: u16 = 403;

    /// The answer to an unsigned request that had to be signed.
    pub fn missing() -> Self {
        Self::new("MissingAuthenticationTokenException", "Missing Authentication Token")
    }

    /// The answer to an access key id, or a session token, that nobody holds.
    pub fn unrecognized_client() -> Self {
        Self::new("UnrecognizedClientException", "The security token included in the request is invalid.")
    }

    /// The answer to temporary credentials that are past their time.
    pub fn expired_token() -> Self {
        Self::new("ExpiredTokenException", "The security token included in the request is expired")
    }

    /// Whether the signature came too late or too early.
    pub fn is_untimely(&self) -> bool {
        self.message.starts_with(EXPIRED) || self.message.starts_with(NOT_YET)
    }

    /// The answer to a path that is sent otherwise than it is signed.
    pub fn rewritten() -> Self {
        Self::invalid("The path must be sent as it is signed, without empty or dot segments.")
    }

    /// The name by which services that answer forms call the same.
    pub fn error_in_forms(&self) -> &'static str {
        match self.error {
            "UnrecognizedClientException" => "InvalidClientTokenId",
            "InvalidSignatureException" => "SignatureDoesNotMatch",
            error => error.strip_suffix("Exception").unwrap_or(error),
        }
    }

    fn incomplete(message: impl Into<String>) -> Self {
        Self::new("IncompleteSignatureException", message)
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidSignatureException", message)
    }

    fn mismatch() -> Self {
        Self::invalid("The request signature we calculated does not match the signature you provided.")
    }

    fn new(error: &'static str, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }
}

/// The parts of a claim as they were sent, in either form.
struct Claim {
    scope: String,
    timestamp: String,
    signed_headers: String,
    signature: String,
    session_token: Option<String>,
    form: Form,
}

impl Claim {
    fn in_header(request: &Signable, authorization: &str) -> Result<Self, Rejected> {
        if authorization.len() > MAX_AUTHORIZATION_BYTES {
            return Err(Rejected::incomplete("The Authorization header is too long."));
        }
        let (algorithm, parts) = authorization.split_once(char::is_whitespace).unwrap_or((authorization, ""));
        check_algorithm(algorithm)?;
        let parts = || parts.split(',').filter_map(|part| part.trim().split_once('='));
        let part = |name: &'static str| {
            let values = parts().filter(|(sent, _)| *sent == name).map(|(_, value)| value);
            required(the_only(values, name)?, name).map(str::to_owned)
        };
        let header = |name| the_only(header_values(request.headers, name), name);
        Ok(Self {
            scope: part("Credential")?,
            signed_headers: part("SignedHeaders")?,
            signature: part("Signature")?,
            timestamp: required(header(DATE_HEADER)?, DATE_HEADER)?.trim().to_owned(),
            session_token: header(TOKEN_HEADER)?.map(|token| token.trim().to_owned()),
            form: Form::Header,
        })
    }

    fn in_query(query: &str) -> Result<Self, Rejected> {
        let parameter = |name: &'static str| the_only(parameters(query, name), name)?.map(decoded).transpose();
        let needed = |name: &'static str| required(parameter(name)?, name);
        check_algorithm(&needed(QUERY_ALGORITHM)?)?;
        Ok(Self {
            scope: needed(QUERY_CREDENTIAL)?,
            signed_headers: needed(QUERY_SIGNED_HEADERS)?,
            signature: needed(QUERY_SIGNATURE)?,
            timestamp: needed(QUERY_DATE)?,
            session_token: parameter(QUERY_TOKEN)?,
            form: Form::Query { expires_s: parameter(QUERY_EXPIRES)?.as_deref().map(expiry).transpose()? },
        })
    }

    fn into_credential(self) -> Result<Credential, Rejected> {
        self.check_signed_headers()?;
        if self.session_token.as_ref().is_some_and(|token| token.len() > MAX_TOKEN_BYTES) {
            return Err(Rejected::incomplete("The security token is too long."));
        }
        let signed_at_s = epoch_seconds(&self.timestamp)
            .ok_or_else(|| Rejected::incomplete(format!("{QUERY_DATE} must be a time as in 20130524T000000Z.")))?;
        let parts: Vec<&str> = self.scope.splitn(6, '/').collect();
        let &[access_key_id, date, region, service, terminator] = parts.as_slice() else {
            return Err(Rejected::incomplete("Credential must have exactly five parts, separated by slashes."));
        };
        if ![access_key_id, region, service].into_iter().all(is_name) {
            return Err(Rejected::incomplete("Credential has a part that is empty, too long or not plain text."));
        }
        if terminator != TERMINATOR {
            return Err(Rejected::invalid(format!("Credential should end in '{TERMINATOR}'.")));
        }
        if !self.timestamp.starts_with(date) || date.len() != "YYYYMMDD".len() {
            return Err(Rejected::invalid(format!("The date of Credential is not the day of {QUERY_DATE}.")));
        }
        Ok(Credential {
            access_key_id: access_key_id.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            session_token: self.session_token,
            form: self.form,
            timestamp: self.timestamp,
            signed_at_s,
            signed_headers: self.signed_headers,
            signature: self.signature,
        })
    }

    /// What must be signed, or a signature could be carried over to another host, time or session.
    fn check_signed_headers(&self) -> Result<(), Rejected> {
        if self.signed_headers.split(';').count() > MAX_SIGNED_HEADERS {
            return Err(Rejected::incomplete("The request has too many signed headers."));
        }
        let needed: &[&str] = match (self.form, &self.session_token) {
            (Form::Query { .. }, _) => &["host"],
            (Form::Header, None) => &["host", DATE_HEADER],
            (Form::Header, Some(_)) => &["host", DATE_HEADER, TOKEN_HEADER],
        };
        let is_signed = |name: &str| self.signed_headers.split(';').any(|signed| signed.eq_ignore_ascii_case(name));
        match needed.iter().find(|name| !is_signed(name)) {
            Some(name) => Err(Rejected::invalid(format!("'{name}' must be a signed header."))),
            None => Ok(()),
        }
    }
}

const EXPIRED: &str = "Signature expired";
const NOT_YET: &str = "Signature not yet current";

/// unconfirmed: with `X-Amz-Expires` a request lasts that long and no longer; without, as long as clocks may differ.
fn in_time(credential: &Credential, now_s: i64) -> Result<(), Rejected> {
    let lasts_s = match credential.form {
        Form::Query { expires_s: Some(expires_s) } => expires_s,
        _ => MAX_SKEW_S,
    };
    let signed_at = &credential.timestamp;
    if now_s > credential.signed_at_s.saturating_add(lasts_s) {
        return Err(Rejected::invalid(format!("{EXPIRED}: {signed_at} was more than {lasts_s} seconds ago.")));
    }
    if now_s < credential.signed_at_s.saturating_sub(MAX_SKEW_S) {
        return Err(Rejected::invalid(format!("{NOT_YET}: {signed_at} is more than {MAX_SKEW_S} seconds ahead.")));
    }
    Ok(())
}

fn is_too_long(request: &Signable) -> bool {
    request.path.len() > MAX_TARGET_BYTES
        || request.query.len() > MAX_TARGET_BYTES
        || request.query.split('&').count() > MAX_PARAMETERS
}

fn is_query_signed(query: &str) -> bool {
    [QUERY_ALGORITHM, QUERY_CREDENTIAL, QUERY_SIGNATURE].iter().any(|name| parameters(query, name).next().is_some())
}

fn check_algorithm(algorithm: &str) -> Result<(), Rejected> {
    if algorithm == ALGORITHM {
        return Ok(());
    }
    Err(Rejected::incomplete(format!("The signing algorithm must be {ALGORITHM}.")))
}

fn expiry(text: &str) -> Result<i64, Rejected> {
    let seconds = text.parse().ok().filter(|seconds| (1..=MAX_EXPIRES_S).contains(seconds));
    seconds.ok_or_else(|| Rejected::incomplete(format!("{QUERY_EXPIRES} must be between 1 and {MAX_EXPIRES_S}.")))
}

/// The time `YYYYMMDDTHHMMSSZ` stands for. The shape is checked first because the parser is laxer about widths.
fn epoch_seconds(text: &str) -> Option<i64> {
    let has_shape = text.len() == "YYYYMMDDTHHMMSSZ".len()
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    let time = DateTime::strptime(TIME_FORMAT, text).ok().filter(|_| has_shape)?;
    TimeZone::UTC.to_timestamp(time).ok().map(Timestamp::as_second)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The values of a header, in the order in which they came.
pub(crate) fn header_values<'a>(headers: &'a [(String, String)], name: &str) -> impl Iterator<Item = &'a str> {
    headers.iter().filter(move |(sent, _)| sent.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn parameters<'a>(query: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(move |(sent, _)| *sent == name).map(|(_, value)| value)
}

fn decoded(text: &str) -> Result<String, Rejected> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(String::from).map_err(|_| Rejected::incomplete("The query string is not UTF-8."))
}

fn the_only<'a>(mut values: impl Iterator<Item = &'a str>, name: &str) -> Result<Option<&'a str>, Rejected> {
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(Rejected::incomplete(format!("The request has more than one '{name}'."))),
    }
}

fn required<T>(value: Option<T>, name: &str) -> Result<T, Rejected> {
    value.ok_or_else(|| Rejected::incomplete(format!("A signed request needs '{name}'.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_sent_as_it_is_signed_is_known() {
        for path in ["/", "", "/things/a", "/things/a%2Fb", "/things/a/", "/things/%2e%2e", "/a..b/.c"] {
            assert!(!is_rewritten(path), "{path}");
        }
        for path in ["//things", "/a/../b", "/..", "/a/./b", "/a//b", "/a/..", "/a//"] {
            assert!(is_rewritten(path), "{path}");
        }
    }

    #[test]
    fn a_path_of_s3_is_signed_as_it_is_sent() {
        let payload = b"{}";
        let hash = payload_hash(payload);
        let headers = [("host", "s3.eu-west-1.amazonaws.com"), ("x-amz-content-sha256", hash.as_str())];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let request = Signable { method: "PUT", path: "/b/plant/a%20key%2Bx", query: "", headers: &headers, payload };
        let signed = sign(&request, "AKID", "secret", "eu-west-1", "s3", 1_369_353_600);
        // What botocore signs.
        let signature = "950abe1d76212055d2a993d5ef6e61e59c152fedaa459a62c175e421525472f4";
        assert!(signed[1].1.ends_with(signature), "{}", signed[1].1);
    }
}
