//! `ombra device new`: a thing with key, certificate and a policy that allows it its own topics and no others,
//! all through the public API, and the files that its firmware needs.

use std::fs;
use std::path::{Path, PathBuf};

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::api::{Api, ApiError};
use super::{Failure, Output, check_name, say};
use crate::banner::quote;
use crate::data_dir::{DataDirError, Endpoints, Secrecy, make_dir, write_file};

/// What was made.
pub(super) struct Made {
    /// Where the device's files are.
    pub(super) dir: PathBuf,
    /// The policy attached to the certificate.
    pub(super) policy: String,
    /// The certificate's id.
    pub(super) certificate_id: String,
    certificate_arn: String,
}

/// Makes the device in `./NAME/` and prints what to paste.
pub(super) async fn run(endpoints: &Endpoints, data: &Path, name: &str, output: Output) -> Result<(), Failure> {
    check_name(name)?;
    let made = make(endpoints, data, name, &Path::new(".").join(name)).await?;
    match output {
        Output::Table => say(format_args!("{}", lines_to_paste(endpoints, name, &made))),
        Output::Json => say(format_args!(
            "{}",
            json!({
                "thingName": name, "policyName": made.policy, "certificateId": made.certificate_id,
                "certificateArn": made.certificate_arn, "directory": made.dir, "mqtts": endpoints.mqtts,
            })
        )),
    }
    Ok(())
}

/// Makes the device; its files go to `dir`, which must not exist yet.
pub(super) async fn make(endpoints: &Endpoints, data: &Path, name: &str, dir: &Path) -> Result<Made, Failure> {
    if dir.exists() {
        let dir = dir.display();
        return Err(Failure::Failed(format!(
            "failed to make the device: {dir} exists already, and its key would be lost; move it away or choose \
             another name"
        )));
    }
    let ca_path = data.join("ca.pem");
    let ca = fs::read(&ca_path).map_err(|error| DataDirError::Io { doing: "read", path: ca_path, error })?;
    let api = Api::control(endpoints);
    // Making a thing that is there already changes nothing, so a thing made by other means is used as it is.
    step("make the thing", api.call(Method::POST, &format!("/things/{name}"), &[], Some(&json!({}))).await)?;
    let document = policy_document(endpoints, name);
    let policy = make_policy(&api, name, &document).await?;
    let keys = step(
        "make key and certificate",
        api.call(Method::POST, "/keys-and-certificate?setAsActive=true", &[], None).await,
    )?;
    let arn = text(&keys, "/certificateArn")?;
    // The key comes this once only, so it goes to disk before anything else can fail.
    make_dir(dir)?;
    write_file(&dir.join("private.key"), text(&keys, "/keyPair/PrivateKey")?.as_bytes(), Secrecy::Private)?;
    write_file(&dir.join("public.key"), text(&keys, "/keyPair/PublicKey")?.as_bytes(), Secrecy::Public)?;
    write_file(&dir.join("certificate.pem"), text(&keys, "/certificatePem")?.as_bytes(), Secrecy::Public)?;
    write_file(&dir.join("ca.pem"), &ca, Secrecy::Public)?;
    write_file(&dir.join("policy.json"), format!("{document:#}\n").as_bytes(), Secrecy::Public)?;
    let target = json!({ "target": arn });
    step("attach the policy", api.call(Method::PUT, &format!("/target-policies/{policy}"), &[], Some(&target)).await)?;
    step(
        "attach the certificate to the thing",
        api.call(Method::PUT, &format!("/things/{name}/principals"), &[("x-amzn-principal", arn)], None).await,
    )?;
    let certificate_id = text(&keys, "/certificateId")?.to_owned();
    Ok(Made { dir: dir.to_owned(), policy, certificate_id, certificate_arn: arn.to_owned() })
}

/// Makes the policy, or finds it made: a policy of the same name must say the same.
async fn make_policy(api: &Api, name: &str, document: &Value) -> Result<String, Failure> {
    // Policy names know no colon, thing names do.
    let policy = format!("{}-policy", name.replace(':', "_"));
    let path = format!("/policies/{policy}");
    let body = json!({ "policyDocument": document.to_string() });
    match api.call(Method::POST, &path, &[], Some(&body)).await {
        Ok(_) => Ok(policy),
        Err(ApiError::Refused { status: StatusCode::CONFLICT, .. }) => {
            let there = step("read the policy", api.call(Method::GET, &path, &[], None).await)?;
            let there: Option<Value> = serde_json::from_str(text(&there, "/policyDocument")?).ok();
            if there.as_ref() == Some(document) {
                return Ok(policy);
            }
            Err(Failure::Failed(format!(
                "failed to make the policy: {policy} exists already and allows something else; delete it or choose \
                 another name for the device"
            )))
        }
        Err(error) => step("make the policy", Err(error)).map(|_| policy),
    }
}

/// The least a device needs: to connect as itself, and its own topics.
fn policy_document(endpoints: &Endpoints, name: &str) -> Value {
    let Endpoints { region, account, .. } = endpoints;
    let arn = |resource: String| format!("arn:aws:iot:{region}:{account}:{resource}");
    let own = |kind: &str| [arn(format!("{kind}/$aws/things/{name}/*")), arn(format!("{kind}/{name}/*"))];
    json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Allow", "Action": "iot:Connect", "Resource": arn(format!("client/{name}")) },
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive", "iot:RetainPublish"],
                "Resource": own("topic"),
            },
            { "Effect": "Allow", "Action": "iot:Subscribe", "Resource": own("topicfilter") },
        ],
    })
}

fn lines_to_paste(endpoints: &Endpoints, name: &str, made: &Made) -> String {
    let port = endpoints.mqtts.port();
    let Made { policy, certificate_id, .. } = made;
    let dir = format!("./{name}");
    let file = |file: &str| quote(&format!("{dir}/{file}"));
    let (ca, certificate, key) = (file("ca.pem"), file("certificate.pem"), file("private.key"));
    let quoted = quote(name);
    let topics = quote(&format!("{name}/#"));
    format!(
        "thing        {name}
certificate  {certificate_id}  (active)
policy       {policy}  (may connect as {name}, and use {name}/# and $aws/things/{name}/#)
files        {dir}/  certificate.pem  private.key  public.key  ca.pem  policy.json

# simulate it
ombra device run {quoted}

# mosquitto
mosquitto_sub -h localhost -p {port} -V mqttv5 -i {quoted} -q 1 -t {topics} --cafile {ca} --cert {certificate} --key {key}

# AWS IoT Device SDK for Python (pip install awsiotsdk)
from awsiot import mqtt_connection_builder
connection = mqtt_connection_builder.mtls_from_path(
    endpoint=\"localhost\", port={port}, client_id=\"{name}\", clean_session=True,
    ca_filepath=\"{dir}/ca.pem\", cert_filepath=\"{dir}/certificate.pem\", pri_key_filepath=\"{dir}/private.key\")
connection.connect().result()"
    )
}

fn step(doing: &str, result: Result<Value, ApiError>) -> Result<Value, Failure> {
    result.map_err(|error| match error {
        ApiError::Unreachable { .. } => error.into(),
        error => Failure::Failed(format!("failed to {doing}: {error}")),
    })
}

fn text<'a>(answer: &'a Value, pointer: &str) -> Result<&'a str, Failure> {
    let text = answer.pointer(pointer).and_then(Value::as_str);
    text.ok_or_else(|| Failure::Failed(format!("failed to understand the answer: it has no {pointer}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_of_the_longest_name_fits_aws() {
        let text = policy_document(&Endpoints::example(), &"n".repeat(128)).to_string();
        assert!(text.len() <= 2048, "{}", text.len());
        assert!(text.contains("\"arn:aws:iot:us-east-1:000000000000:client/nnn"));
    }

    #[test]
    fn nothing_strikes_in_the_policy() {
        let endpoints = Endpoints::example();
        let text = policy_document(&endpoints, "lamp").to_string();
        let home = policy::Home { region: &endpoints.region, account: &endpoints.account };
        assert_eq!(policy::lint(&policy::Document::parse(&text).unwrap(), Some(home)), []);
    }

    #[test]
    fn the_policy_grants_nothing_to_everyone() {
        let policy = policy_document(&Endpoints::example(), "lamp");
        for statement in policy["Statement"].as_array().unwrap() {
            for resource in statement["Resource"].as_array().unwrap_or(&vec![statement["Resource"].clone()]) {
                assert!(resource.as_str().unwrap().contains("lamp"), "{resource}");
            }
        }
    }

    #[tokio::test]
    async fn files_that_are_there_are_never_overwritten() {
        let home = tempfile::tempdir().unwrap();
        // Port 1 answers nobody, so that a call would be noticed.
        let nowhere = Endpoints { http: ([127, 0, 0, 1], 1).into(), ..Endpoints::example() };
        let result = make(&nowhere, home.path(), "lamp", home.path()).await;
        let Err(Failure::Failed(text)) = result else { panic!() };
        assert!(text.contains("exists already"), "{text}");
    }

    /// An API that answers each request with what is said for it, and tells in the end what it was asked.
    async fn api(
        answers: fn(&str) -> (u16, &'static str),
    ) -> (Endpoints, std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoints = Endpoints { http: listener.local_addr().unwrap(), ..Endpoints::example() };
        let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let log = std::sync::Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let log = std::sync::Arc::clone(&log);
                let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let asked = format!("{} {}", request.method(), request.uri());
                    let (status, body) = answers(&asked);
                    log.lock().unwrap().push(asked);
                    let body = http_body_util::Full::new(bytes::Bytes::from(body));
                    std::future::ready(hyper::Response::builder().status(status).body(body))
                });
                let io = hyper_util::rt::TokioIo::new(tcp);
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
            }
        });
        (endpoints, asked)
    }

    const KEYS: &str = r#"{"certificateArn":"arn:x","certificateId":"ab","certificatePem":"CERT","keyPair":{"PublicKey":"PUB","PrivateKey":"KEY"}}"#;

    #[tokio::test]
    async fn a_device_is_made_in_order_and_its_files_are_written() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("ca.pem"), "CA").unwrap();
        let answers = |asked: &str| if asked.contains("/keys-and") { (200, KEYS) } else { (200, "{}") };
        let (endpoints, asked) = api(answers).await;
        let dir = home.path().join("lamp");
        let made = make(&endpoints, home.path(), "la:mp", &dir).await.unwrap();
        assert_eq!((made.policy.as_str(), made.certificate_id.as_str()), ("la_mp-policy", "ab"));
        assert_eq!(
            *asked.lock().unwrap(),
            [
                "POST /things/la:mp",
                "POST /policies/la_mp-policy",
                "POST /keys-and-certificate?setAsActive=true",
                "PUT /target-policies/la_mp-policy",
                "PUT /things/la:mp/principals",
            ]
        );
        for (file, text) in
            [("private.key", "KEY"), ("public.key", "PUB"), ("certificate.pem", "CERT"), ("ca.pem", "CA")]
        {
            assert_eq!(fs::read_to_string(dir.join(file)).unwrap(), text, "{file}");
        }
        let policy: Value = serde_json::from_slice(&fs::read(dir.join("policy.json")).unwrap()).unwrap();
        assert_eq!(policy, policy_document(&endpoints, "la:mp"));
    }

    #[tokio::test]
    async fn a_policy_that_allows_something_else_stops_before_keys_are_made() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("ca.pem"), "CA").unwrap();
        let (endpoints, asked) = api(|asked| match asked {
            "POST /policies/lamp-policy" => (409, "{}"),
            "GET /policies/lamp-policy" => (200, r#"{"policyDocument":"{\"Statement\":[]}"}"#),
            _ => (200, "{}"),
        })
        .await;
        let Err(Failure::Failed(text)) = make(&endpoints, home.path(), "lamp", &home.path().join("lamp")).await else {
            panic!()
        };
        assert!(text.contains("lamp-policy exists already"), "{text}");
        assert_eq!(asked.lock().unwrap().len(), 3);
        assert!(!home.path().join("lamp").exists());
    }

    #[test]
    fn pasted_lines_name_files_and_port() {
        let made = Made {
            dir: "./lamp".into(),
            policy: "lamp-policy".into(),
            certificate_id: "ab".into(),
            certificate_arn: String::new(),
        };
        let text = lines_to_paste(&Endpoints::example(), "lamp", &made);
        assert!(text.contains("-p 8883 -V mqttv5 -i lamp -q 1 -t 'lamp/#' --cafile ./lamp/ca.pem "), "{text}");
    }
}
