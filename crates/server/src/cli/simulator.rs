//! `ombra device run`: a device that obeys. It asks for its shadow when it connects, and whatever differs between
//! desired and reported it reports as done. What it is made of, and what a colour is, it does not know.

use std::path::Path;
use std::time::Duration;

use mqtt::Publish;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::mqtt_client::{Credentials, Mqtt, MqttError};
use super::{Failure, check_name, say};
use crate::data_dir::Endpoints;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Plays the device whose files are in `./NAME/`, and comes back whenever the connection is lost.
pub(super) async fn run(endpoints: &Endpoints, name: &str, once: bool) -> Result<(), Failure> {
    check_name(name)?;
    let credentials = Credentials::read(&Path::new(".").join(name))?;
    let mut pause = FIRST_PAUSE;
    let mut tell = |line: String| say(format_args!("{line}"));
    loop {
        let lost = match Mqtt::connect(endpoints.mqtts, &credentials, name).await {
            Ok(mut client) => {
                pause = FIRST_PAUSE;
                tell(format!("connected    as {name} to mqtts://{}", endpoints.mqtts));
                match obey(&mut client, name, once, &mut tell).await {
                    Ok(()) => {
                        client.disconnect().await;
                        return Ok(());
                    }
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        if !lost.may_pass() || (once && matches!(lost, MqttError::Unreachable { .. })) {
            return Err(lost.into());
        }
        tell(format!("disconnected {lost}; trying again in {} s", pause.as_secs()));
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Reports what is desired, until the connection ends or, with `once`, until the first difference is settled.
pub(super) async fn obey(
    client: &mut Mqtt,
    name: &str,
    once: bool,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<(), MqttError> {
    let prefix = format!("$aws/things/{name}/shadow/");
    let filters = ["update/delta", "update/accepted", "update/rejected", "get/accepted", "get/rejected"]
        .map(|t| format!("{prefix}{t}"));
    client.subscribe(&filters).await?;
    client.publish(&format!("{prefix}get"), "").await?;
    let mut device = Device::default();
    loop {
        let Publish { topic, payload, .. } = client.next().await?;
        let Some(kind) = topic.as_ref().and_then(|topic| topic.as_str().strip_prefix(&prefix)) else { continue };
        let step = device.hear(kind, &payload);
        if let Some(line) = step.line {
            tell(line);
        }
        if let Some(report) = step.report {
            tell(format!("report       {}", report["state"]["reported"]));
            client.publish(&format!("{prefix}update"), report.to_string()).await?;
        }
        if step.settled && once {
            return Ok(());
        }
    }
}

/// What the device remembers between two messages.
#[derive(Default)]
struct Device {
    last: Option<Report>,
    reports: u64,
}

/// The difference last reported as done.
struct Report {
    delta: Value,
    /// Comes back with the answer.
    token: String,
    /// The version that the report made, once it is accepted.
    accepted: Option<u64>,
}

#[derive(Default)]
struct Step {
    /// What there is to tell.
    line: Option<String>,
    /// What there is to publish to `update`.
    report: Option<Value>,
    /// A difference has just been settled.
    settled: bool,
}

impl Device {
    /// What a message means; `kind` is its topic behind `shadow/`.
    fn hear(&mut self, kind: &str, payload: &[u8]) -> Step {
        let message: Value = serde_json::from_slice(payload).unwrap_or_default();
        match kind {
            "update/delta" => self.differ(&message, &message["state"], "delta        version"),
            "get/accepted" => match message.pointer("/state/delta") {
                Some(delta) => self.differ(&message, delta, "shadow       version"),
                None => Step::line(format!("shadow       version {}, in sync", message["version"])),
            },
            "get/rejected" if message["code"] == 404 => Step::line("shadow       none yet".to_owned()),
            "get/rejected" => Step::line(format!("rejected     {}", message["message"])),
            "update/accepted" | "update/rejected" => self.hear_answer(kind == "update/accepted", &message),
            _ => Step::default(),
        }
    }

    fn hear_answer(&mut self, accepted: bool, message: &Value) -> Step {
        // Others update the shadow, too.
        let own = |last: &&mut Report| message["clientToken"] == last.token.as_str();
        let Some(last) = self.last.as_mut().filter(own) else { return Step::default() };
        if !accepted {
            return Step::line(format!("rejected     {}", message["message"]));
        }
        last.accepted = message["version"].as_u64();
        let line = format!("accepted     version {}: reported is as desired", message["version"]);
        Step { settled: true, ..Step::line(line) }
    }

    fn differ(&mut self, message: &Value, delta: &Value, what: &str) -> Step {
        let line = format!("{what} {}, differs in {delta}", message["version"]);
        // A number that this program cannot hold exactly differs however often it is reported. What a later
        // version made differ is another matter.
        let is_later = |last: &Report| message["version"].as_u64() > last.accepted && last.accepted.is_some();
        if self.last.as_ref().is_some_and(|last| last.delta == *delta && !is_later(last)) {
            return Step::line(format!("{line}, as reported before; left alone"));
        }
        self.reports += 1;
        let token = format!("ombra-{}", self.reports);
        let report = Some(json!({ "state": { "reported": delta }, "clientToken": token }));
        self.last = Some(Report { delta: delta.clone(), token, accepted: None });
        Step { report, ..Step::line(line) }
    }
}

impl Step {
    fn line(line: String) -> Self {
        Self { line: Some(line), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(device: &mut Device, kind: &str, message: &Value) -> Step {
        device.hear(kind, message.to_string().as_bytes())
    }

    #[test]
    fn a_delta_is_reported_and_settled_by_its_own_acceptance() {
        let mut device = Device::default();
        let step = hear(&mut device, "update/delta", &json!({"version": 3, "state": {"color": "red"}}));
        let report = step.report.unwrap();
        assert_eq!(report["state"], json!({"reported": {"color": "red"}}));
        assert!(!hear(&mut device, "update/accepted", &json!({"version": 4, "clientToken": "else"})).settled);
        let step = hear(&mut device, "update/accepted", &json!({"version": 4, "clientToken": report["clientToken"]}));
        assert!(step.settled && step.line.unwrap().contains("version 4"));
    }

    #[test]
    fn what_differs_at_the_start_is_reported() {
        let mut device = Device::default();
        let shadow = json!({"version": 1, "state": {"desired": {"a": 1}, "delta": {"a": 1}}});
        assert_eq!(hear(&mut device, "get/accepted", &shadow).report.unwrap()["state"]["reported"], json!({"a": 1}));
        let shadow = json!({"version": 2, "state": {"desired": {"a": 1}, "reported": {"a": 1}}});
        assert!(hear(&mut Device::default(), "get/accepted", &shadow).report.is_none());
        let none = hear(&mut device, "get/rejected", &json!({"code": 404, "message": "x"}));
        assert_eq!(none.line.unwrap(), "shadow       none yet");
    }

    #[test]
    fn a_difference_that_stays_is_not_reported_for_ever_but_a_new_one_is() {
        let mut device = Device::default();
        let delta = |version: u64| json!({"version": version, "state": {"n": 1}});
        let report = hear(&mut device, "update/delta", &delta(3)).report.unwrap();
        let step = hear(&mut device, "update/delta", &delta(4));
        assert!(step.report.is_none() && step.line.unwrap().contains("left alone"));
        hear(&mut device, "update/accepted", &json!({"version": 4, "clientToken": report["clientToken"]}));
        assert!(hear(&mut device, "update/delta", &delta(4)).report.is_none());
        assert!(hear(&mut device, "update/delta", &delta(5)).report.is_some());
    }

    #[test]
    fn noise_is_ignored() {
        let mut device = Device::default();
        for (kind, payload) in [("update/accepted", &b"{}"[..]), ("other", b"{}"), ("update/accepted", b"\xff")] {
            let step = device.hear(kind, payload);
            assert!(step.report.is_none() && step.line.is_none() && !step.settled, "{kind}");
        }
    }
}
