//! MQTT over WebSockets: the request that opens one, and who it proves to be. Inside, the MQTT door reads and writes as
//! it does anywhere else.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloud::{Peer, Principal, Refused};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use wire::Refusal;
use wire::sign::{self, Rejected, Signable};

use crate::http::{self, Entry};
use crate::identify::{self, Body, Holder};
use crate::mqtt;
use crate::server::Server;
use stream::Framed;

pub(crate) mod stream;

/// Where MQTT is spoken.
pub(crate) const PATH: &str = "/mqtt";

/// The subprotocol, which the client must offer [MQTT-6.0.0-3] and gets back [MQTT-6.0.0-4].
pub(crate) const SUBPROTOCOL: &str = "mqtt";

/// The name of the service that is signed for.
const SERVICE: &str = "iotdevicegateway";

/// How long a WebSocket lasts that a signature opened (mqtt.md §12).
const LASTS: Duration = Duration::from_hours(24);

/// What RFC 6455 adds to the client's key.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request that was granted, until the connection is handed over.
#[derive(Default)]
pub(crate) struct Granted(Mutex<Option<Grant>>);

struct Grant {
    upgrade: OnUpgrade,
    peer: Peer,
    lasts: Option<Duration>,
}

/// The value of `sec-websocket-accept` for a request that is in order; from then on the connection is a WebSocket.
pub(crate) fn open(
    server: &Server,
    entry: &Entry,
    request: &mut Request<Incoming>,
    granted: &Granted,
) -> Result<String, Refusal> {
    let accept = shake_hands(request.method(), request.headers())?;
    let principal = principal(server, entry, request).inspect_err(|refusal| {
        server.refused(Refused {
            action: "iot:Connect".to_owned(),
            decision: "WEBSOCKET".to_owned(),
            reason: format!("{}: {}", refusal.error(), refusal.message()),
            peer: entry.address.clone(),
            ..Refused::default()
        });
    })?;
    let lasts = matches!(principal, Principal::Key { .. }).then_some(LASTS);
    let (ip, address, server_name) = (entry.ip.clone(), entry.address.clone(), entry.server_name.clone());
    let peer = Peer { ip, address, local: entry.local.clone(), server_name, principal };
    let upgrade = hyper::upgrade::on(request);
    *granted.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Grant { upgrade, peer, lasts });
    Ok(accept)
}

/// Serves the WebSocket that a connection of such streams became, if it did.
pub(crate) async fn serve<S>(server: &Server, granted: &Granted)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let grant = granted.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(Grant { upgrade, peer, lasts }) = grant else { return };
    let Ok(upgraded) = upgrade.await else { return };
    // The stream is what it was before, and need not be called through a table.
    if let Ok(parts) = upgraded.downcast::<TokioIo<S>>() {
        let stream = Framed::new(parts.io.into_inner(), parts.read_buf, lasts).await;
        mqtt::serve(server, stream, peer).await;
    }
}

/// The opening handshake as RFC 6455 has it, section 4.2.
fn shake_hands(method: &Method, headers: &HeaderMap) -> Result<String, Refusal> {
    let lists = |name: header::HeaderName, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|listed| listed.trim().eq_ignore_ascii_case(word))
    };
    let invalid = |message: &str| Err(Refusal::invalid_request(message));
    if method != Method::GET || !lists(header::UPGRADE, "websocket") || !lists(header::CONNECTION, "upgrade") {
        return invalid("/mqtt speaks MQTT over WebSockets: ask with GET and Upgrade: websocket.");
    }
    if !lists(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(Refusal::invalid_request("Sec-WebSocket-Version must be 13.")
            .with_status(StatusCode::UPGRADE_REQUIRED.as_u16()));
    }
    if !lists(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return invalid("Sec-WebSocket-Protocol must offer mqtt.");
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map_or(&b""[..], |key| key.as_bytes().trim_ascii());
    if !STANDARD.decode(key).is_ok_and(|key| key.len() == 16) {
        return invalid("Sec-WebSocket-Key must be 16 bytes in base64.");
    }
    Ok(STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID.as_bytes()].concat())))
}

/// Who asks: the holder of an access key by a signature, else a device by its certificate.
fn principal(server: &Server, entry: &Entry, request: &Request<Incoming>) -> Result<Principal, Refusal> {
    let headers = http::text_headers(request.headers())?;
    let (method, uri) = (request.method().as_str(), request.uri());
    let query = uri.query().unwrap_or_default();
    let signed = Signable { method, path: uri.path(), query, headers: &headers, payload: &[] };
    let refusal = |rejected: Rejected| identify::refusal(&rejected);
    let Some(credential) = sign::credential(&signed).map_err(refusal)? else {
        return match &entry.device {
            Some(certificate_id) => Ok(Principal::Certificate(certificate_id.clone())),
            None if query.contains("x-amz-customauthorizer-name") => Err(Refusal::forbidden(
                "Custom authorizers are not built yet; sign the request, or use TLS with a client certificate.",
            )),
            None => Err(identify::refusal(&Rejected::missing())),
        };
    };
    credential.check_time(server.now().div_euclid(1000)).map_err(refusal)?;
    credential.check_scope(&credential.region, &[SERVICE]).map_err(refusal)?;
    let holder = identify::holder(server, &signed, &credential, Body::Here);
    let Holder { scope, identity, is_kept, is_proved, .. } = holder.map_err(|no| no.told(identify::refusal))?;
    if !is_proved {
        check_origin(&headers, entry.pages)?;
    }
    Ok(Principal::Key { access_key_id: credential.access_key_id, scope, identity, is_kept })
}

/// A browser lets any page open a WebSocket to anywhere, and in development a key need prove nothing: then a page must come
/// from this machine or, where TLS has shown it whom it speaks with, from the host that it asks. Other clients do not say
/// where they come from, or name the host.
fn check_origin(headers: &[(String, String)], plain: bool) -> Result<(), Refusal> {
    let header = |name: &str| headers.iter().find(|(sent, _)| sent == name).map(|(_, value)| value.as_str());
    let Some(origin) = header("origin") else { return Ok(()) };
    let host = origin.split_once("://").map_or("", |(_, host)| host_of(host));
    let asked = header("host").map_or("", host_of);
    let is_local = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if is_local || (!plain && !host.is_empty() && host.eq_ignore_ascii_case(asked)) {
        return Ok(());
    }
    Err(Refusal::forbidden(format!(
        "Pages of {origin} may not connect: in development a page must be served from localhost, or over TLS from the \
         host it connects to."
    )))
}

/// An authority without its port, and without the brackets of an IPv6 address.
fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(host, _)| host),
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    const GOOD: [(&str, &str); 5] = [
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "mqttv3.1, mqtt"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn the_handshake_of_the_standard_is_answered_as_there() {
        assert_eq!(shake_hands(&Method::GET, &headers(&GOOD)).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_handshake_that_lacks_something_says_what() {
        let check = |name: &'static str, value: &'static str, status: u16, expected: &str| {
            let mut bad = headers(&GOOD);
            bad.insert(name, value.parse().unwrap());
            let refusal = shake_hands(&Method::GET, &bad).unwrap_err();
            assert_eq!(refusal.status(None), status, "{name}");
            assert!(refusal.message().contains(expected), "{}", refusal.message());
        };
        check("upgrade", "h2c", 400, "Upgrade: websocket");
        check("connection", "close", 400, "Upgrade: websocket");
        check("sec-websocket-version", "8", 426, "must be 13");
        check("sec-websocket-protocol", "mqttv3.1", 400, "must offer mqtt");
        check("sec-websocket-key", "c2hvcnQ=", 400, "16 bytes");
        assert!(shake_hands(&Method::POST, &headers(&GOOD)).is_err());
    }

    #[test]
    fn a_page_from_elsewhere_is_kept_out() {
        let check = |origin: Option<&str>, host: &str, plain: bool, good: bool| {
            let mut headers = vec![("host".to_owned(), host.to_owned())];
            headers.extend(origin.map(|origin| ("origin".to_owned(), origin.to_owned())));
            assert_eq!(check_origin(&headers, plain).is_ok(), good, "{origin:?} {host} {plain}");
        };
        check(None, "127.0.0.1:4583", true, true);
        check(Some("http://localhost:3000"), "127.0.0.1:4583", true, true);
        check(Some("http://[::1]:3000"), "127.0.0.1:4583", true, true);
        check(Some("https://evil.example"), "127.0.0.1:4583", true, false);
        // A name that was made to lead here is still not us.
        check(Some("http://evil.example:4583"), "evil.example:4583", true, false);
        check(Some("https://ombra.plant:8443"), "ombra.plant:8443", false, true);
        check(Some("https://evil.example"), "ombra.plant:8443", false, false);
        check(Some("null"), "localhost:8443", false, false);
        check(Some("http://localhost.evil.example"), "localhost:8443", false, false);
    }
}
