//! A small HTTP/1.1 client for what leaves the house: one connection to a line, kept while it is good for the next request, TLS
//! with the system's authorities, everything bounded. What is asked, and how often, is unknown here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cloud::actions::{Cause, Failure};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long a name may take to be looked up, and a connection to open.
const CONNECT: Duration = Duration::from_secs(2);

/// Bytes of an answer that are kept where nobody wants more; AWS looks at no more of one either (rules.md §6).
const MOST_ANSWER: usize = 16 * 1024;

/// Bytes of the head of an answer.
const MOST_HEAD: usize = 64 * 1024;

/// What all lines share: whom to trust.
pub(super) struct Client {
    roots: Arc<RootCertStore>,
    tls: Arc<ClientConfig>,
}

/// A certificate with those that vouch for it, and its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A connection that is kept for the next request to the same place.
pub(super) struct Line {
    open: Option<(Origin, SendRequest<Full<Bytes>>)>,
    /// Bytes of an answer that are kept.
    pub(super) most: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self::keeping(MOST_ANSWER)
    }
}

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    tls: bool,
    host: String,
    port: u16,
}

/// A place that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Url {
    uri: Uri,
    origin: Origin,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// The body, or its beginning.
    pub(super) body: Bytes,
    /// Whether that is all of it.
    pub(super) is_whole: bool,
}

impl Url {
    /// Reads an http or https URL.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let invalid = |why: &str| Failure::new(Cause::InvalidUrl, format!("{text} is not a URL: {why}."));
        let uri: Uri = text.parse().map_err(|_| invalid("it cannot be read"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(invalid("it must begin with https:// or http://")),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| invalid("it names no host"))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(invalid("a user name has no place in it"));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { origin: Origin { tls, host, port }, uri })
    }

    /// Host and port as the `host` header has them.
    pub(super) fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    pub(super) fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }

    fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("/", |it| it.as_str())
    }
}

impl Client {
    /// A client that trusts the authorities of this machine, or those of the file that `SSL_CERT_FILE` names.
    pub(super) fn new() -> Result<Self, String> {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's certificate authorities could not be read");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        let roots = Arc::new(roots);
        Ok(Self { tls: speaking(Arc::clone(&roots), None)?, roots })
    }

    /// How TLS is spoken with others.
    pub(super) fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    /// The authorities that are trusted where nobody says otherwise.
    pub(super) fn roots(&self) -> &Arc<RootCertStore> {
        &self.roots
    }

    /// Sends one request and reads the answer. Whoever does not wait for the end loses the connection, not the line.
    pub(super) async fn send(
        &self,
        line: &mut Line,
        method: &'static str,
        url: &Url,
        headers: &[(String, String)],
        body: &Bytes,
    ) -> Result<Answer, Failure> {
        let request = || request(method, url, headers, body.clone());
        // A connection that was kept may have been closed from the other end meanwhile: that is no failure of anybody.
        if let Some(mut sender) = line.take(&url.origin) {
            match ask(&mut sender, request()?, line.most).await {
                Ok(answer) => return Ok(line.keep(url, sender, answer)),
                Err(error) if is_stale(&error) => {}
                Err(error) => return Err(broken(url, &error)),
            }
        }
        let mut sender = self.connect(&url.origin).await?;
        let answer = ask(&mut sender, request()?, line.most).await.map_err(|error| broken(url, &error))?;
        Ok(line.keep(url, sender, answer))
    }

    async fn connect(&self, origin: &Origin) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let opening = async {
            let tcp = dial(&origin.host, origin.port).await?;
            if !origin.tls {
                return speak(tcp, origin).await;
            }
            speak(encrypt(&self.tls, &origin.host, tcp).await?, origin).await
        };
        timeout(CONNECT, opening).await.unwrap_or_else(|_| {
            let message = format!("{}:{} took too long to connect.", origin.host, origin.port);
            Err(Failure::new(Cause::TimedOut, message))
        })
    }
}

/// How TLS is spoken by whoever trusts these authorities, and shows this certificate when asked for one.
pub(super) fn speaking(roots: Arc<RootCertStore>, identity: Option<Identity>) -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let builder = builder.with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())?,
    };
    Ok(Arc::new(config))
}

/// Opens a connection to the first of a host's addresses that takes it.
pub(super) async fn dial(host: &str, port: u16) -> Result<TcpStream, Failure> {
    let addresses = lookup_host((host, port)).await;
    let addresses: Vec<_> = addresses.map(Iterator::collect).unwrap_or_default();
    if addresses.is_empty() {
        return Err(Failure::new(Cause::UnknownHost, format!("The host {host} is not known.")));
    }
    match TcpStream::connect(&*addresses).await {
        Ok(tcp) => {
            // Small requests are not to wait for one another; without the option they still arrive.
            let _ = tcp.set_nodelay(true);
            Ok(tcp)
        }
        Err(error) => Err(unreachable(host, port, &error)),
    }
}

/// Speaks TLS on a connection.
pub(super) async fn encrypt(
    tls: &Arc<ClientConfig>,
    host: &str,
    tcp: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Failure::new(Cause::InvalidUrl, format!("{host} is not a name that a certificate can have.")))?;
    TlsConnector::from(Arc::clone(tls))
        .connect(name, tcp)
        .await
        .map_err(|error| Failure::new(Cause::Unreachable, format!("TLS with {host} came to nothing: {error}.")))
}

fn unreachable(host: &str, port: u16, error: &io::Error) -> Failure {
    Failure::new(Cause::Unreachable, format!("{host}:{port} could not be reached: {error}."))
}

async fn speak<T>(stream: T, origin: &Origin) -> Result<SendRequest<Full<Bytes>>, Failure>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let opened =
        hyper::client::conn::http1::Builder::new().max_buf_size(MOST_HEAD).handshake(TokioIo::new(stream)).await;
    let (sender, connection) = opened
        .map_err(|error| Failure::new(Cause::Unreachable, format!("{} does not speak HTTP: {error}.", origin.host)))?;
    // Errors of the connection reach whoever waits for an answer.
    tokio::spawn(connection);
    Ok(sender)
}

fn request(
    method: &'static str,
    url: &Url,
    headers: &[(String, String)],
    body: Bytes,
) -> Result<Request<Full<Bytes>>, Failure> {
    let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::POST);
    let mut request = Request::builder().method(method).uri(url.path_and_query());
    if headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case(HOST.as_str())) {
        request = request.header(HOST, url.authority());
    }
    for (name, value) in headers {
        // In UTF-8, which the http crate takes as bytes.
        request = request.header(
            name,
            HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
                Failure::new(
                    Cause::Unusable,
                    format!("The value of the header {name} has a character that none may have."),
                )
            })?,
        );
    }
    let invalid = |error| Failure::new(Cause::Unusable, format!("The request cannot be sent: {error}."));
    request.body(Full::new(body)).map_err(invalid)
}

async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<Answer, hyper::Error> {
    sender.ready().await?;
    let (head, mut body) = sender.send_request(request).await?.into_parts();
    let mut kept = BytesMut::new();
    let mut is_whole = true;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if kept.len() + data.len() > most {
            kept.extend_from_slice(&data[..most - kept.len()]);
            is_whole = false;
            break;
        }
        kept.extend_from_slice(&data);
    }
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: kept.freeze(), is_whole })
}

/// Whether a connection was closed before the request was looked at.
fn is_stale(error: &hyper::Error) -> bool {
    error.is_closed() || error.is_canceled() || error.is_incomplete_message()
}

fn broken(url: &Url, error: &hyper::Error) -> Failure {
    Failure::new(Cause::Unreachable, format!("{} broke off: {error}.", url.authority()))
}

impl Line {
    /// A line that keeps so many bytes of an answer.
    pub(super) fn keeping(most: usize) -> Self {
        Self { open: None, most }
    }

    /// The connection, if it leads there and is still open.
    fn take(&mut self, origin: &Origin) -> Option<SendRequest<Full<Bytes>>> {
        let (kept, sender) = self.open.take()?;
        (kept == *origin && !sender.is_closed()).then_some(sender)
    }

    /// Keeps the connection, unless part of the answer still stands in it.
    fn keep(&mut self, url: &Url, sender: SendRequest<Full<Bytes>>, answer: Answer) -> Answer {
        if answer.is_whole {
            self.open = Some((url.origin.clone(), sender));
        }
        answer
    }
}

/// A sink for tests: an HTTP server on loopback that answers as it is told and keeps what it was asked, and on which connection.
#[cfg(test)]
pub(super) mod stand_in {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Full};
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpListener;

    /// A request as it came.
    #[derive(Clone, Debug)]
    pub(in crate::effects) struct Seen {
        pub(in crate::effects) connection: usize,
        pub(in crate::effects) method: String,
        pub(in crate::effects) path: String,
        pub(in crate::effects) query: String,
        pub(in crate::effects) headers: Vec<(String, String)>,
        pub(in crate::effects) body: Bytes,
    }

    impl Seen {
        pub(in crate::effects) fn header(&self, name: &str) -> &str {
            self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
        }
    }

    /// One answer: its status and its body. Status 0 is none at all.
    pub(in crate::effects) type Said = (u16, &'static str);

    /// The server.
    pub(in crate::effects) struct StandIn {
        pub(in crate::effects) url: String,
        seen: Arc<Mutex<Vec<Seen>>>,
    }

    impl StandIn {
        /// Gives these answers in order, and the last one ever after.
        pub(in crate::effects) async fn saying(answers: &'static [Said]) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
            let kept = Arc::clone(&seen);
            tokio::spawn(async move {
                for connection in 0.. {
                    let (tcp, _) = listener.accept().await.unwrap();
                    let seen = Arc::clone(&kept);
                    let service = service_fn(move |request| answer(connection, Arc::clone(&seen), answers, request));
                    tokio::spawn(
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service),
                    );
                }
            });
            Self { url, seen }
        }

        pub(in crate::effects) fn seen(&self) -> Vec<Seen> {
            self.seen.lock().unwrap().clone()
        }
    }

    async fn answer(
        connection: usize,
        seen: Arc<Mutex<Vec<Seen>>>,
        answers: &'static [Said],
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let text = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
            (name.to_string(), String::from_utf8(value.as_bytes().to_vec()).unwrap())
        };
        let came = Seen {
            connection,
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers.iter().map(text).collect(),
            body: body.collect().await.unwrap().to_bytes(),
        };
        let (status, text) = {
            let mut seen = seen.lock().unwrap();
            seen.push(came);
            answers[(seen.len() - 1).min(answers.len() - 1)]
        };
        if status == 0 {
            tokio::time::sleep(Duration::from_hours(1)).await;
        }
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status.try_into().unwrap_or_default();
        Ok(response)
    }
}
