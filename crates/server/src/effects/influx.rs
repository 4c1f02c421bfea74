//! Lines to an InfluxDB, of either version, with the token that a secret holds (rules.md §5). The secret is asked of Secrets
//! Manager and kept for a while by the lane that needs it; a token that is refused is asked for again, once.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloud::Scope;
use cloud::actions::{AwsRequest, Cause, Failure, InfluxDestination, InfluxWrite, Outcome, Service};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::aws::Aws;
use super::client::{Answer, Client, Line, Url};
use super::http::{is_passing, refused};

/// How often lines are tried, how long one try may take, and how long is waited before the next.
const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(5);
const BACK_OFF: Duration = Duration::from_millis(200);

/// How long a token is kept.
const KEPT: Duration = Duration::from_mins(15);

/// A token that a lane keeps.
pub(super) struct Token {
    destination: InfluxDestination,
    value: String,
    until: Instant,
}

/// One lane on its way to a database.
pub(super) struct Way<'a> {
    pub(super) client: &'a Client,
    pub(super) aws: &'a Aws,
    pub(super) scope: &'a Scope,
    pub(super) line: &'a mut Line,
    pub(super) token: &'a mut Option<Token>,
}

impl Way<'_> {
    /// Writes lines until the database takes them or it is not worth another try.
    pub(super) async fn carry(&mut self, write: &InfluxWrite) -> Outcome {
        let url = Url::parse(&url(write))?;
        let mut may_renew = true;
        let mut tries = 0;
        loop {
            let token = self.token(&write.destination).await?;
            let sent = self.send(&url, write, &token).await;
            if may_renew && matches!(&sent, Ok(answer) if answer.status == 401) {
                may_renew = false;
                *self.token = None;
                continue;
            }
            tries += 1;
            let again = match &sent {
                Ok(answer) => is_passing(answer),
                Err(failure) => matches!(failure.cause, Cause::TimedOut | Cause::Unreachable | Cause::UnknownHost),
            };
            if !again || tries >= TRIES {
                let answer = sent?;
                return if (200..300).contains(&answer.status) { Ok(()) } else { Err(refused(&url, &answer)) };
            }
            sleep(BACK_OFF * 2_u32.pow(tries - 1)).await;
        }
    }

    async fn send(&mut self, url: &Url, write: &InfluxWrite, token: &str) -> Result<Answer, Failure> {
        let scheme = if write.destination.version == 2 { "Token" } else { "Bearer" };
        let headers = [
            ("authorization".to_owned(), format!("{scheme} {token}")),
            ("content-type".to_owned(), "text/plain; charset=utf-8".to_owned()),
        ];
        let sending = self.client.send(self.line, "POST", url, &headers, &write.lines);
        timeout(PATIENCE, sending).await.unwrap_or_else(|_| {
            let message = format!("{} did not answer within {} s.", url.authority(), PATIENCE.as_secs());
            Err(Failure::new(Cause::TimedOut, message))
        })
    }

    /// The token that is kept, or the one that the secret holds now.
    async fn token(&mut self, destination: &InfluxDestination) -> Result<String, Failure> {
        let now = Instant::now();
        if let Some(kept) = self.token.as_ref().filter(|kept| kept.destination == *destination && kept.until > now) {
            return Ok(kept.value.clone());
        }
        let token = self.fetch(destination).await?;
        *self.token = Some(Token { destination: destination.clone(), value: token.clone(), until: now + KEPT });
        Ok(token)
    }

    async fn fetch(&mut self, destination: &InfluxDestination) -> Result<String, Failure> {
        let id = &destination.secret_id;
        let request = AwsRequest {
            service: Service::SecretsManager,
            region: self.scope.region.to_string(),
            method: "POST",
            path: "/".to_owned(),
            query: String::new(),
            headers: vec![
                ("content-type".to_owned(), "application/x-amz-json-1.1".to_owned()),
                ("x-amz-target".to_owned(), "secretsmanager.GetSecretValue".to_owned()),
            ],
            body: json!({"SecretId": id}).to_string().into(),
            role: None,
            create: None,
            refused: None,
        };
        // A connection of its own: the lane's leads to the database.
        let said = self.aws.ask(self.client, &mut Line::default(), self.scope, &request).await?;
        let value: Value = serde_json::from_slice(&said.body).unwrap_or_default();
        let token = if said.is_good() { read(&value, destination) } else { None };
        token.ok_or_else(|| {
            let why = said.error.unwrap_or_else(|| "it has no token where the destination says".to_owned());
            Failure::new(Cause::Refused, format!("The secret {id} gave no token: {why}."))
        })
    }
}

/// The token in the answer to `GetSecretValue`.
fn read(value: &Value, destination: &InfluxDestination) -> Option<String> {
    let secret = if destination.is_binary {
        String::from_utf8(STANDARD.decode(value.get("SecretBinary")?.as_str()?).ok()?).ok()?
    } else {
        value.get("SecretString")?.as_str()?.to_owned()
    };
    let Some(key) = &destination.secret_key else { return Some(secret.trim().to_owned()) };
    let members: Value = serde_json::from_str(&secret).ok()?;
    members.get(key)?.as_str().map(str::to_owned)
}

/// Where the lines go. The two versions name the same things differently.
fn url(write: &InfluxWrite) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let base = write.destination.endpoint.trim_end_matches('/');
    let database = encoded(&write.database);
    if write.destination.version == 2 {
        let organization = encoded(write.organization.as_deref().unwrap_or_default());
        return format!("{base}/api/v2/write?org={organization}&bucket={database}&precision={}", write.precision);
    }
    let precision = match write.precision {
        "s" => "second",
        "us" => "microsecond",
        "ns" => "nanosecond",
        _ => "millisecond",
    };
    format!("{base}/api/v3/write_lp?db={database}&precision={precision}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(version: u8, key: Option<&str>, is_binary: bool) -> InfluxDestination {
        let secret_key = key.map(str::to_owned);
        InfluxDestination { endpoint: "http://h:1/".into(), version, secret_id: "s".into(), is_binary, secret_key }
    }

    fn write(version: u8) -> InfluxWrite {
        InfluxWrite {
            destination: destination(version, None, false),
            database: "my db".to_owned(),
            organization: Some("o&o".to_owned()),
            precision: "us",
            lines: "m f=1i 1\n".into(),
        }
    }

    #[test]
    fn each_version_has_its_own_url() {
        assert_eq!(url(&write(2)), "http://h:1/api/v2/write?org=o%26o&bucket=my%20db&precision=us");
        assert_eq!(url(&write(3)), "http://h:1/api/v3/write_lp?db=my%20db&precision=microsecond");
    }

    #[test]
    fn a_token_is_the_secret_or_a_member_of_it() {
        let text = json!({"SecretString": " tok\n"});
        assert_eq!(read(&text, &destination(2, None, false)).as_deref(), Some("tok"));
        let object = json!({"SecretString": r#"{"token":"tok"}"#});
        assert_eq!(read(&object, &destination(2, Some("token"), false)).as_deref(), Some("tok"));
        assert_eq!(read(&object, &destination(2, Some("other"), false)), None);
        let binary = json!({"SecretBinary": STANDARD.encode("tok")});
        assert_eq!(read(&binary, &destination(2, None, true)).as_deref(), Some("tok"));
        assert_eq!(read(&binary, &destination(2, None, false)), None);
    }
}
