//! Requests to URLs that rules name: at most three tries within three seconds, again only where AWS would (rules.md §6). Whether a
//! destination is confirmed was asked before.

use std::time::Duration;

use cloud::Scope;
use cloud::actions::{Cause, Failure, HttpRequest, Outcome};
use tokio::time::{Instant, sleep, timeout_at};

use super::aws::Aws;
use super::client::{Answer, Client, Line, Url};

/// How often a request is tried, and how long all tries may take together.
const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(3);

/// How long is waited before the second try; twice as long before the third.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Sends a request until somebody takes it or it is not worth another try.
pub(super) async fn carry(client: &Client, aws: &Aws, line: &mut Line, scope: &Scope, request: HttpRequest) -> Outcome {
    let url = Url::parse(&request.url)?;
    let until = Instant::now() + PATIENCE;
    let mut tries = 1;
    loop {
        let headers = request.headers.clone();
        let headers = match &request.sign {
            Some(to) => aws.sign_for(scope, to, request.method, &url, headers, &request.body)?,
            None => headers,
        };
        let sending = client.send(line, request.method, &url, &headers, &request.body);
        let answer = timeout_at(until, sending).await.unwrap_or_else(|_| {
            let message = format!("{} did not answer within {} ms.", url.authority(), PATIENCE.as_millis());
            Err(Failure::new(Cause::TimedOut, message))
        })?;
        if (200..300).contains(&answer.status) {
            return Ok(());
        }
        let pause = BACK_OFF * tries;
        if tries >= TRIES || !is_passing(&answer) || Instant::now() + pause >= until {
            return Err(refused(&url, &answer));
        }
        tries += 1;
        sleep(pause).await;
    }
}

/// Whether the same request may fare better a little later. An answer that was too long to read to its end is final.
pub(super) fn is_passing(answer: &Answer) -> bool {
    answer.is_whole && (answer.status == 429 || (500..600).contains(&answer.status))
}

/// What a sink said against a request, in short.
pub(super) fn refused(url: &Url, answer: &Answer) -> Failure {
    const MOST: usize = 256;
    let said = String::from_utf8_lossy(&answer.body);
    let said: String = said.chars().map(|it| if it.is_control() { ' ' } else { it }).take(MOST).collect();
    let message = format!("{} answered {}: {said}", url.authority(), answer.status);
    Failure::new(Cause::Status(answer.status), message.trim_end_matches([':', ' ']).to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cloud::actions::SigningScope;

    use super::super::client::stand_in::{Said, Seen, StandIn};
    use super::super::credentials::{Credentials, Keys};
    use super::*;

    const LONG: &str = match std::str::from_utf8(&[b'x'; 20_000]) {
        Ok(long) => long,
        Err(_) => "",
    };

    struct World {
        client: Client,
        aws: Aws,
        line: Line,
        sink: StandIn,
    }

    impl World {
        async fn saying(answers: &'static [Said]) -> Self {
            let keys =
                Keys { access_key_id: "AKID".into(), secret: "secret".into(), session_token: Some("tok".into()) };
            let aws = Aws::new(BTreeMap::new(), Credentials::Keys(keys));
            let sink = StandIn::saying(answers).await;
            Self { client: Client::new().unwrap(), aws, line: Line::default(), sink }
        }

        async fn post(&mut self, body: &'static str, sign: Option<SigningScope>) -> Outcome {
            let url = format!("{}/in/x?a=b", self.sink.url);
            self.post_to(url, body, sign).await
        }

        async fn post_to(&mut self, url: String, body: &'static str, sign: Option<SigningScope>) -> Outcome {
            let headers = vec![("x-own".to_owned(), "é".to_owned())];
            let request = HttpRequest { method: "POST", url, headers, body: body.into(), sign };
            let scope = Scope::new("123456789012", "eu-west-1");
            carry(&self.client, &self.aws, &mut self.line, &scope, request).await
        }

        fn bodies(&self) -> Vec<String> {
            self.sink.seen().iter().map(|seen| String::from_utf8_lossy(&seen.body).into_owned()).collect()
        }
    }

    #[tokio::test]
    async fn requests_of_a_lane_share_a_connection() {
        let mut world = World::saying(&[(200, "ok")]).await;
        for body in ["1", "2", "3"] {
            world.post(body, None).await.unwrap();
        }
        let seen = world.sink.seen();
        assert_eq!(world.bodies(), ["1", "2", "3"]);
        assert!(seen.iter().all(|seen| seen.connection == 0), "{seen:?}");
        assert_eq!((seen[0].method.as_str(), seen[0].path.as_str(), seen[0].query.as_str()), ("POST", "/in/x", "a=b"));
    }

    #[tokio::test]
    async fn what_passes_is_tried_three_times_and_what_stays_once() {
        for (answers, expected) in [
            (&[(500, "a"), (429, "b"), (200, "")][..], Ok(3)),
            (&[(503, "busy")], Err((3, Cause::Status(503)))),
            (&[(404, "gone")], Err((1, Cause::Status(404)))),
            (&[(302, "")], Err((1, Cause::Status(302)))),
            (&[(500, LONG)], Err((1, Cause::Status(500)))),
        ] {
            let mut world = World::saying(answers).await;
            let outcome = world.post("x", None).await;
            let count = world.sink.seen().len();
            let got = outcome.map(|()| count).map_err(|failure| (count, failure.cause));
            assert_eq!(got, expected, "{:?}", answers[0].0);
        }
    }

    #[tokio::test]
    async fn a_failure_says_what_the_sink_said() {
        let mut world = World::saying(&[(404, "no\nsuch thing")]).await;
        let failure = world.post("x", None).await.unwrap_err();
        let host = world.sink.url.strip_prefix("http://").unwrap();
        assert_eq!(failure.message, format!("{host} answered 404: no such thing"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_that_says_nothing_is_given_up_after_three_seconds() {
        let mut world = World::saying(&[(0, "")]).await;
        let began = Instant::now();
        let failure = world.post("x", None).await.unwrap_err();
        assert_eq!((failure.cause, began.elapsed().as_millis() / 10), (Cause::TimedOut, 300));
        assert_eq!(failure.http_metric(), Some("HttpRequestTimeout"));
    }

    #[tokio::test]
    async fn who_is_not_there_is_told_by_cause() {
        let mut world = World::saying(&[(200, "")]).await;
        for (url, cause) in [
            ("http://nobody.invalid/", Cause::UnknownHost),
            ("http://127.0.0.1:1/", Cause::Unreachable),
            ("ftp://h/", Cause::InvalidUrl),
            ("http:///x", Cause::InvalidUrl),
            ("http://a b/", Cause::InvalidUrl),
            ("http://user:pass@h/", Cause::InvalidUrl),
        ] {
            let failure = world.post_to(url.to_owned(), "x", None).await.unwrap_err();
            assert_eq!(failure.cause, cause, "{url}: {failure}");
        }
    }

    #[tokio::test]
    async fn a_signed_request_can_be_verified() {
        let mut world = World::saying(&[(200, "")]).await;
        let to = SigningScope {
            region: "us-west-2".into(),
            service: "execute-api".into(),
            role: "arn:aws:iam::1:role/r".into(),
        };
        world.post("{}", Some(to)).await.unwrap();
        let seen = world.sink.seen().remove(0);
        let credential = verified(&seen);
        assert_eq!((credential.region.as_str(), credential.service.as_str()), ("us-west-2", "execute-api"));
        assert_eq!(credential.session_token.as_deref(), Some("tok"));
    }

    fn verified(seen: &Seen) -> wire::sign::Credential {
        let signed = wire::sign::Signable {
            method: &seen.method,
            path: &seen.path,
            query: &seen.query,
            headers: &seen.headers,
            payload: &seen.body,
        };
        let credential = wire::sign::credential(&signed).unwrap().expect("signed");
        wire::sign::verify(&signed, &credential, "secret", crate::server::now_ms() / 1000).unwrap();
        credential
    }
}
