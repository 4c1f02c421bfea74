//! `ombra env`: shell lines that point the AWS CLI, the SDKs and scripts at this ombra, and nothing else at all:
//! the configuration they read lies in the data directory, so the user's own profile is neither used nor touched.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::api::ACCESS_KEY;
use super::{Failure, Output, say};
use crate::banner::quote;
use crate::data_dir::{DataDirError, Endpoints, Secrecy, make_dir, write_file};

/// What would override the lines below, if the user's shell has it.
const UNSET: [&str; 2] = ["AWS_SESSION_TOKEN", "AWS_PROFILE"];

/// Writes the private configuration and prints the variables.
pub(super) fn run(data: &Path, output: Output) -> Result<(), Failure> {
    let endpoints = Endpoints::of(data)?;
    // The lines must hold in whatever directory the shell goes to.
    let data = std::path::absolute(data).map_err(|error| DataDirError::Io {
        doing: "find the way to",
        path: data.to_owned(),
        error,
    })?;
    let aws = data.join("aws");
    make_dir(&aws)?;
    write_file(&aws.join("config"), config(&endpoints).as_bytes(), Secrecy::Private)?;
    if endpoints.verifies {
        // Who signs is for the user to say: with a key of `ombra key create`.
        say(format_args!("{}", text(&variables(&endpoints, &data), output)));
        return Ok(());
    }
    let credentials = format!("[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {ACCESS_KEY}\n");
    write_file(&aws.join("credentials"), credentials.as_bytes(), Secrecy::Private)?;
    say(format_args!("{}", text(&variables(&endpoints, &data), output)));
    Ok(())
}

fn text(variables: &[(&'static str, String)], output: Output) -> String {
    // Temporary keys and profiles would override the keys below, if there are any.
    let keys = variables.iter().any(|(name, _)| *name == "AWS_ACCESS_KEY_ID");
    match output {
        Output::Table => {
            let unset = keys.then(|| format!("unset {}", UNSET.join(" ")));
            let exports = variables.iter().map(|(name, value)| format!("export {name}={}", quote(value)));
            unset.into_iter().chain(exports).collect::<Vec<_>>().join("\n")
        }
        Output::Json => {
            let unset = UNSET.iter().filter(|_| keys).map(|name| ((*name).to_owned(), Value::Null));
            let set = variables.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())));
            Value::Object(set.chain(unset).collect::<Map<_, _>>()).to_string()
        }
    }
}

fn variables(endpoints: &Endpoints, data: &Path) -> Vec<(&'static str, String)> {
    let url = format!("http://{}", endpoints.http);
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    let of_keys =
        |name: &str| ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SHARED_CREDENTIALS_FILE"].contains(&name);
    let plain = endpoints.mqtt_plain.map(|address| ("OMBRA_MQTT_PLAIN", address.to_string()));
    let policy = endpoints.mqtt_plain_policy.clone().map(|policy| ("OMBRA_MQTT_PLAIN_POLICY", policy));
    let mut variables = vec![
        ("AWS_ENDPOINT_URL", url.clone()),
        ("AWS_ENDPOINT_URL_IOT", url.clone()),
        ("AWS_ENDPOINT_URL_IOT_DATA_PLANE", url.clone()),
        ("AWS_ENDPOINT_URL_IOT_JOBS_DATA_PLANE", url),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", ACCESS_KEY.to_owned()),
        ("AWS_REGION", endpoints.region.clone()),
        ("AWS_DEFAULT_REGION", endpoints.region.clone()),
        ("AWS_CONFIG_FILE", path(data.join("aws/config"))),
        ("AWS_SHARED_CREDENTIALS_FILE", path(data.join("aws/credentials"))),
        // With it `ombra tail` and the like find this server from whatever directory they are typed in.
        ("OMBRA_DATA", path(data.to_owned())),
        ("OMBRA_CA", path(data.join("ca.pem"))),
        // The server takes these and the next for its own, so they must stay what it would accept.
        ("OMBRA_HTTP", endpoints.http.to_string()),
        ("OMBRA_MQTTS", endpoints.mqtts.to_string()),
        ("OMBRA_TLS", endpoints.tls.to_string()),
    ];
    variables.extend(plain.into_iter().chain(policy));
    // A server that verifies keys knows no key that everybody has; the user's own stay.
    variables.retain(|(name, _)| !endpoints.verifies || !of_keys(name));
    variables
}

fn config(endpoints: &Endpoints) -> String {
    let Endpoints { http, region, .. } = endpoints;
    format!(
        "[default]\nregion = {region}\noutput = json\ncli_binary_format = raw-in-base64-out\ncli_pager =\n\
         endpoint_url = http://{http}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::DataDir;

    #[test]
    fn the_lines_survive_a_shell() {
        let lines = text(&variables(&Endpoints::example(), Path::new("/my data")), Output::Table);
        assert!(
            lines.starts_with("unset AWS_SESSION_TOKEN AWS_PROFILE\nexport AWS_ENDPOINT_URL=http://127.0.0.1:4583\n")
        );
        assert!(lines.contains("\nexport AWS_CONFIG_FILE='/my data/aws/config'\n"), "{lines}");
        assert!(lines.ends_with("\nexport OMBRA_TLS=127.0.0.1:8443"), "{lines}");
        let (mqtt_plain, mqtt_plain_policy) = (Some("127.0.0.1:1883".parse().unwrap()), Some("bench".to_owned()));
        let plain = Endpoints { mqtt_plain, mqtt_plain_policy, ..Endpoints::example() };
        let lines = text(&variables(&plain, Path::new("/d")), Output::Table);
        let last = "\nexport OMBRA_MQTT_PLAIN=127.0.0.1:1883\nexport OMBRA_MQTT_PLAIN_POLICY=bench";
        assert!(lines.ends_with(last), "{lines}");
    }

    #[test]
    fn where_keys_are_verified_the_users_own_stay() {
        let endpoints = Endpoints { verifies: true, ..Endpoints::example() };
        let lines = text(&variables(&endpoints, Path::new("/d")), Output::Table);
        assert!(!lines.contains("unset") && !lines.contains("_KEY"), "{lines}");
        assert!(lines.contains("export AWS_ENDPOINT_URL=http://127.0.0.1:4583"), "{lines}");
    }

    #[test]
    fn a_program_gets_an_object() {
        let object: Value =
            serde_json::from_str(&text(&variables(&Endpoints::example(), Path::new("/d")), Output::Json)).unwrap();
        assert_eq!(object["OMBRA_CA"], "/d/ca.pem");
        assert_eq!(object["OMBRA_DATA"], "/d");
        assert_eq!(object["AWS_PROFILE"], Value::Null);
    }

    #[test]
    fn a_private_configuration_is_written_and_a_stopped_ombra_is_unreachable() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(run(home.path(), Output::Json), Err(Failure::Unreachable(_))));
        let data = DataDir::open(home.path()).unwrap();
        data.publish(&Endpoints::example()).unwrap();
        run(home.path(), Output::Json).unwrap();
        let config = std::fs::read_to_string(home.path().join("aws/config")).unwrap();
        assert!(config.contains("region = us-east-1\n") && config.contains("endpoint_url = http://127.0.0.1:4583\n"));
    }
}
