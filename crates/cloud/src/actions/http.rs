//! The actions that send the payload to a URL: http, to whatever a confirmed destination covers, and the two for documents of a
//! search cluster (rules.md §5, §6). Confirming a destination is `destinations`' affair.

use wire::Refusal;

use super::aws;
use super::effect::{Batch, Effect, Failure, HttpRequest, SigningScope, Work};
use super::fields::Fields;
use super::json::Json;
use super::text::Text;
use super::{Prepare, Prepared, Unprepared};

/// Bytes of a URL and of the name of a header, and how many headers there may be.
const MOST_URL: usize = 2000;
const MOST_HEADER_NAME: usize = 256;
const MOST_HEADERS: usize = 100;

/// Headers that are the transport's own.
const TRANSPORT: [&str; 7] =
    ["connection", "content-length", "host", "keep-alive", "te", "transfer-encoding", "upgrade"];

struct Http {
    url: Text,
    confirmation_url: Option<Text>,
    headers: Vec<(String, Text)>,
    sign: Option<SigningScope>,
    batch: Option<Batch>,
}

struct Document {
    endpoint: Text,
    index: Text,
    kind: Text,
    id: Text,
    role: String,
}

pub(super) fn parse(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    let url = url(fields, "url")?.ok_or_else(|| fields.invalid("url", "it is required"))?;
    let confirmation_url = self::url(fields, "confirmationUrl")?;
    match (url.literal(), confirmation_url.as_ref()) {
        (None, None) => {
            let why = "it is required where url has a template";
            return Err(fields.invalid("confirmationUrl", why));
        }
        (Some(url), Some(confirmation)) if confirmation.literal().is_some_and(|base| !url.starts_with(base)) => {
            return Err(fields.invalid("url", "it must begin with the confirmationUrl"));
        }
        _ => {}
    }
    let headers = fields.list("headers")?;
    if headers.len() > MOST_HEADERS {
        return Err(fields.invalid("headers", "there may be 100"));
    }
    let headers = headers.iter().map(|header| Ok((header_name(header)?, header.text("value")?)));
    let headers = headers.collect::<Result<_, Refusal>>()?;
    let auth = fields.inner("auth")?.map(|auth| auth.inner("sigv4")).transpose()?.flatten();
    let sign = auth.map(|sigv4| signing(&sigv4)).transpose()?;
    Ok(Box::new(Http { url, confirmation_url, headers, sign, batch: batch(fields)? }))
}

/// A URL, of which at least the beginning is known.
fn url(fields: &Fields<'_>, name: &str) -> Result<Option<Text>, Refusal> {
    let Some(url) = fields.optional_text(name)? else { return Ok(None) };
    if url.written().len() > MOST_URL {
        return Err(fields.invalid(name, "it may have 2000 characters"));
    }
    // AWS wants https; here http is good enough for a sink on the same machine.
    let known = |url: &str| url.starts_with("https://") || url.starts_with("http://") || url.starts_with("${");
    if !known(url.written()) {
        return Err(fields.invalid(name, "it must be an https or http URL"));
    }
    Ok(Some(url))
}

fn header_name(header: &Fields<'_>) -> Result<String, Refusal> {
    let name = header.written("key")?.ok_or_else(|| header.invalid("headers", "each needs a key"))?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !(1..=MOST_HEADER_NAME).contains(&name.len()) || !name.bytes().all(is_token) {
        return Err(header.invalid("headers", &format!("{name:?} is not the name of a header")));
    }
    let name = name.to_ascii_lowercase();
    if TRANSPORT.contains(&name.as_str()) {
        return Err(header.invalid("headers", &format!("{name} is not a rule's to set")));
    }
    Ok(name)
}

fn signing(sigv4: &Fields<'_>) -> Result<SigningScope, Refusal> {
    let member = |name| sigv4.written(name)?.ok_or_else(|| sigv4.invalid(name, "it is required"));
    let (region, service) = (member("signingRegion")?.to_owned(), member("serviceName")?.to_owned());
    Ok(SigningScope { region, service, role: sigv4.role()? })
}

fn batch(fields: &Fields<'_>) -> Result<Option<Batch>, Refusal> {
    let config = fields.inner("batchConfig")?;
    if !fields.flag("enableBatching")? {
        return Ok(None);
    }
    let number = |name, least, most, default| {
        config.as_ref().map_or(Ok(default), |config| config.number(name, least, most, default))
    };
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let across = config.as_ref().map_or(Ok(false), |config| config.flag("batchAcrossTopics"))?;
    Ok(Some(Batch {
        // What batches may span; completed for each message.
        key: if across { String::new() } else { "topic".to_owned() },
        open_ms: number("maxBatchOpenMs", 5, 200, 20)?,
        count: size(number("maxBatchSize", 2, 10, 10)?),
        bytes: size(number("maxBatchSizeBytes", 100, 131_072, 5120)?),
    }))
}

impl Prepare for Http {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let url = self.url.render_some("url", cx)?;
        if !(cx.is_confirmed)(&url) {
            return Err(Failure::unusable(format!("No confirmed and enabled destination covers {url}.")).into());
        }
        let mut headers = Vec::with_capacity(self.headers.len() + 1);
        for (name, value) in &self.headers {
            headers.push((name.clone(), header_value(name, value.render(cx)?)?));
        }
        let mut body = cx.selected.payload.clone();
        let is_json = Json::read(&body).is_some();
        if self.batch.is_some() && !is_json {
            body = serde_json::Value::from(aws::text_payload(cx)?).to_string().into();
        }
        if headers.iter().all(|(name, _)| name != "content-type") {
            let is_json = is_json || self.batch.is_some();
            let kind = if is_json { "application/json" } else { "application/octet-stream" };
            headers.push(("content-type".to_owned(), kind.to_owned()));
        }
        let batch = self.batch.clone().map(|batch| {
            let key = if batch.key.is_empty() { url.clone() } else { format!("{url} {}", cx.message.topic) };
            Batch { key, ..batch }
        });
        let sign = self.sign.clone();
        let request = HttpRequest { method: "POST", url: url.clone(), headers, body, sign };
        Ok(Effect { batch, ..Effect::new(url, Work::Http(request)) })
    }

    fn confirmation_url(&self) -> Option<&str> {
        self.confirmation_url.as_ref().unwrap_or(&self.url).literal()
    }
}

fn header_value(name: &str, value: String) -> Result<String, Unprepared> {
    if value.bytes().all(|byte| byte >= b' ' && byte != 0x7f || byte == b'\t') {
        return Ok(value);
    }
    Err(Failure::unusable(format!("The value of the header {name} has a character that no header may have.")).into())
}

pub(super) fn parse_document(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    Ok(Box::new(Document {
        endpoint: url(fields, "endpoint")?.ok_or_else(|| fields.invalid("endpoint", "it is required"))?,
        index: fields.text("index")?,
        kind: fields.text("type")?,
        id: fields.text("id")?,
        role: fields.role()?,
    }))
}

impl Prepare for Document {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let endpoint = self.endpoint.render_some("endpoint", cx)?;
        let mut url = endpoint.trim_end_matches('/').to_owned();
        for (name, part) in [("index", &self.index), ("type", &self.kind), ("id", &self.id)] {
            url.push('/');
            url.push_str(&aws::label(&part.render_some(name, cx)?));
        }
        if !matches!(Json::read(&cx.selected.payload), Some(Json::Object(_))) {
            return Err(
                Failure::unusable("The payload is not a JSON object, and only such a one is a document.").into()
            );
        }
        let region = cx.scope.region.to_string();
        let request = HttpRequest {
            method: "PUT",
            url,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: cx.selected.payload.clone(),
            sign: Some(SigningScope { region, service: "es".to_owned(), role: self.role.clone() }),
        };
        Ok(Effect::new(endpoint, Work::Http(request)))
    }
}
