//! `ombra demo`: the first minute, unattended and in seconds. A server of its own, a device, a shadow that the
//! device follows, and a publish that its policy refuses, each through the doors that everybody uses.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::api::Api;
use super::mqtt_client::{Credentials, Mqtt, MqttError};
use super::{Failure, device, say, simulator, why};
use crate::data_dir::Endpoints;
use crate::log;
use crate::serve;
use crate::settings::{Flags, Settings};

/// The whole demo takes a second or two; what has not come by then will not.
const PATIENCE: Duration = Duration::from_secs(10);
/// What `ombra env` says of another server.
const ADDRESSES: [&str; 5] = ["OMBRA_HTTP", "OMBRA_MQTTS", "OMBRA_TLS", "OMBRA_MQTT_PLAIN", "OMBRA_MQTT_PLAIN_POLICY"];
const FORBIDDEN: &str = "factory/secret";

/// Runs the demo in the given data directory, or in one that is gone afterwards.
pub(super) async fn run(data: Option<PathBuf>, env: &dyn Fn(&str) -> Option<OsString>) -> Result<(), Failure> {
    log::start("warn");
    let began = Instant::now();
    let pid = std::process::id();
    let temporary = data.is_none();
    let data = data.unwrap_or_else(|| std::env::temp_dir().join(format!("ombra-demo-{pid}")));
    // In a directory that stays, yesterday's demo has left its lamp.
    let name = if temporary { "lamp".to_owned() } else { format!("lamp-{pid}") };
    // Ports are its own, so that it runs beside anything, and only the environment's other wishes count.
    let env = |name: &str| env(name).filter(|_| !ADDRESSES.contains(&name));
    let settings = Settings::new(data.clone(), Flags::default(), &env)?.on_free_ports();
    let result = served(&settings, &data, &name).await;
    if temporary {
        // The system clears its temporary directory anyway.
        let _ = fs::remove_dir_all(&data);
    }
    result?;
    say(format_args!("\n  that was everything, in {} ms. Your turn: ombra", began.elapsed().as_millis()));
    Ok(())
}

async fn served(settings: &Settings, data: &Path, name: &str) -> Result<(), Failure> {
    let running = serve::start(settings).await.map_err(|error| Failure::Failed(error.to_string()))?;
    let endpoints = running.endpoints.clone();
    step("server", &format!("api http://{}  mqtt mqtts://{}", endpoints.http, endpoints.mqtts));
    let acting = timeout(PATIENCE, act(&endpoints, data, name)).await;
    running.stop().await;
    acting.unwrap_or_else(|_| Err(Failure::Failed("failed to finish the demo within 10 s".to_owned())))
}

async fn act(endpoints: &Endpoints, data: &Path, name: &str) -> Result<(), Failure> {
    let made = device::make(endpoints, data, name, &data.join(name)).await?;
    let short: String = made.certificate_id.chars().take(12).collect();
    step("device", &format!("thing {name}, certificate {short}…, policy {}", made.policy));
    let client = follow_desired(endpoints, &Credentials::read(&made.dir)?, name).await?;
    refuse(endpoints, client, name).await
}

/// Desires a colour and waits until the simulated device reports it.
async fn follow_desired(endpoints: &Endpoints, credentials: &Credentials, name: &str) -> Result<Mqtt, Failure> {
    let api = Api::data(endpoints);
    let mut client = Mqtt::connect(endpoints.mqtts, credentials, name).await?;
    step("connect", &format!("{name} over TLS with its certificate"));
    let (lines, mut heard) = mpsc::unbounded_channel();
    let thing = name.to_owned();
    let playing = tokio::spawn(async move {
        let mut tell = move |line| drop(lines.send(line));
        let settled = simulator::obey(&mut client, &thing, true, &mut tell).await;
        settled.map(|()| client)
    });
    // Its first word is about the shadow it found: from then on it listens.
    if let Some(line) = heard.recv().await {
        step("", &line);
    }
    let desired = json!({ "state": { "desired": { "color": "red" } } });
    let shadow = format!("/things/{name}/shadow");
    api.call(Method::POST, &shadow, &[], Some(&desired)).await?;
    step("desire", "color red, over HTTP");
    while let Some(line) = heard.recv().await {
        step("", &line);
    }
    let client = playing.await.map_err(|error| Failure::Failed(format!("failed to play the device: {error}")))??;
    let state = in_sync(&api, &shadow).await?;
    step("shadow", &state.to_string());
    Ok(client)
}

/// The state once reported equals desired.
async fn in_sync(api: &Api, shadow: &str) -> Result<Value, Failure> {
    loop {
        let document = api.call(Method::GET, shadow, &[], None).await?;
        let state = &document["state"];
        if state["desired"].is_object() && state["desired"] == state["reported"] {
            return Ok(state.clone());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Publishes what the policy does not allow, and explains the refusal.
async fn refuse(endpoints: &Endpoints, mut client: Mqtt, name: &str) -> Result<(), Failure> {
    match client.publish(FORBIDDEN, "?").await {
        Err(error @ MqttError::Refused { .. }) => step("refusal", &error.to_string()),
        Err(error) => return Err(error.into()),
        Ok(()) => return Err(Failure::Failed(format!("failed to see a refusal: {name} may publish to {FORBIDDEN}"))),
    }
    client.disconnect().await;
    step("why", &why::of_client(&Api::control(endpoints), name).await?);
    Ok(())
}

fn step(what: &str, line: &str) {
    say(format_args!("  {what:<9}{}", line.replace('\n', "\n           ")));
}
