//! `ombra key`: makes, lists, switches off and deletes access keys, by the operations of IAM that everybody has: through the
//! server if one runs, else in the data directory itself. It knows the answers' names, and nothing of how keys are kept.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use wire::s3::Element;

use super::api::{Api, ApiError};
use super::{Failure, Output, say};
use crate::data_dir::{DataDir, DataDirError, Endpoints};
use crate::operator::is_account;
use crate::serve;
use crate::server::{entropy, now_ms};
use crate::settings::{ACCOUNT, Flags, REGION, Settings};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key: of the account's root, of a user, or for an hour of a role. Its secret is shown this once
    Create(Create),
    /// List the keys of the root and of all users
    List {
        #[command(flatten)]
        at: At,
    },
    /// Switch a key off: from then on it opens nothing
    Disable {
        /// The key's id
        id: String,
        #[command(flatten)]
        at: At,
    },
    /// Switch a key on again
    Enable {
        /// The key's id
        id: String,
        #[command(flatten)]
        at: At,
    },
    /// Delete a key
    Delete {
        /// The key's id
        id: String,
        #[command(flatten)]
        at: At,
    },
}

#[derive(Args, Debug)]
pub(super) struct Create {
    /// The user whose key it is; made if there is none of this name
    #[arg(long, value_name = "NAME", conflicts_with = "role")]
    user: Option<String>,
    /// Temporary keys of this role instead, which must trust the account
    #[arg(long, value_name = "NAME|ARN", conflicts_with = "policy")]
    role: Option<String>,
    /// What the user may do: a file with a policy, or the ARN of a managed one
    #[arg(long, value_name = "FILE|ARN", requires = "user")]
    policy: Option<String>,
    #[command(flatten)]
    at: At,
}

#[derive(Args, Debug)]
pub(super) struct At {
    /// The account
    #[arg(long, value_name = "DIGITS", default_value = ACCOUNT, value_parser = account)]
    account: String,
}

/// An account as it is typed.
pub(super) fn account(text: &str) -> Result<String, String> {
    if is_account(text) { Ok(text.to_owned()) } else { Err("twelve digits".to_owned()) }
}

/// How the operations of IAM are reached.
enum Way {
    Server(Box<Endpoints>),
    Directory(Box<(DataDir, cloud::House)>),
}

/// Does what was typed.
pub(super) async fn run(command: Command, data: &Path, output: Output) -> Result<(), Failure> {
    let makes = matches!(command, Command::Create(_));
    let way = Way::find(data, makes)?;
    match command {
        Command::Create(create) => made(&create_key(&way, &create).await?, output),
        Command::List { at } => listed(&list(&way, &at.account).await?, output),
        Command::Disable { id, at } => status(&way, &at.account, &id, "Inactive").await?,
        Command::Enable { id, at } => status(&way, &at.account, &id, "Active").await?,
        Command::Delete { id, at } => {
            way.call(&at.account, "DeleteAccessKey", json!({ "AccessKeyId": id })).await?;
        }
    }
    Ok(())
}

impl Way {
    /// The server that runs with this directory, or the directory if none does. One that is not there has no keys, and is made for the
    /// first: what else is asked of it was meant for another.
    fn find(data: &Path, makes: bool) -> Result<Self, Failure> {
        match Endpoints::of(data) {
            Ok(endpoints) if is_alive(&endpoints) => return Ok(Self::Server(Box::new(endpoints))),
            // What a killed server left behind says nothing; if one runs all the same, the lock says so.
            Ok(_) | Err(DataDirError::NotRunning(_)) => {}
            Err(error) => return Err(error.into()),
        }
        if !makes && !data.exists() {
            return Err(DataDirError::NotRunning(data.to_owned()).into());
        }
        let settings = Settings::new(PathBuf::from(data), Flags::default(), &|_| None)?;
        let unserved = serve::unserved(&settings).map_err(|error| Failure::Failed(error.to_string()))?;
        Ok(Self::Directory(Box::new(unserved)))
    }

    /// Asks for an operation of IAM or STS, as the account's root.
    async fn call(&self, account: &str, operation: &str, input: Value) -> Result<Value, Failure> {
        match self {
            Self::Server(endpoints) => {
                let of_sts = operation == "AssumeRole";
                let api = if of_sts { Api::sts(endpoints, account) } else { Api::iam(endpoints, account) };
                let answer = api.form(form(operation, &input)).await?;
                let result = answer.first(&format!("{operation}Result"));
                Ok(result.map_or(Value::Null, value))
            }
            Self::Directory(unserved) => {
                let service = if operation == "AssumeRole" { "sts" } else { "iam" };
                let mut known = wire::SERVICES.iter().filter(|known| known.name == service);
                let found = known.next().and_then(|service| service.operations.iter().find(|op| op.name == operation));
                let model = found.ok_or_else(|| Failure::Failed(format!("{operation} is not known")))?;
                let caller =
                    cloud::Caller::new(cloud::Scope::new(account, REGION), cloud::Identity::Key(account.to_owned()));
                let input = wire::Input::of(input, bytes::Bytes::new());
                let answer = unserved.1.call(&caller, model, input, now_ms(), entropy());
                let refused = |refusal: wire::Refusal| {
                    let (kind, message) = (refusal.error().to_owned(), refusal.message().to_owned());
                    let status = hyper::StatusCode::BAD_REQUEST;
                    Failure::from(ApiError::Refused { status, kind, message })
                };
                answer.map(|output| Value::Object(output.fields().clone())).map_err(refused)
            }
        }
    }
}

/// Whether somebody answers there.
fn is_alive(endpoints: &Endpoints) -> bool {
    std::net::TcpStream::connect_timeout(&endpoints.http, std::time::Duration::from_secs(5)).is_ok()
}

/// An operation as a form.
fn form(operation: &str, input: &Value) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let version = if operation == "AssumeRole" { "2011-06-15" } else { "2010-05-08" };
    let fields = input.as_object().into_iter().flatten().filter_map(|(name, value)| {
        let text = value.as_str()?;
        Some(format!("&{name}={}", encoded(text)))
    });
    format!("Action={operation}&Version={version}{}", fields.collect::<String>())
}

/// XML as the JSON that the same operation answers inside the house: lists are made of members.
fn value(element: &Element) -> Value {
    match element.children.first() {
        None => Value::from(element.text.as_str()),
        Some(first) if first.name == "member" => element.children.iter().map(value).collect(),
        Some(_) => {
            let fields = element.children.iter().map(|child| (child.name.clone(), value(child)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

/// What was made, by the names of the answer.
async fn create_key(way: &Way, create: &Create) -> Result<Value, Failure> {
    let account = create.at.account.as_str();
    if let Some(role) = &create.role {
        let arn = if role.starts_with("arn:") { role.clone() } else { format!("arn:aws:iam::{account}:role/{role}") };
        let input = json!({ "RoleArn": arn, "RoleSessionName": "ombra-key-create" });
        return field(way.call(account, "AssumeRole", input).await?, "Credentials");
    }
    let Some(user) = &create.user else {
        return field(way.call(account, "CreateAccessKey", json!({})).await?, "AccessKey");
    };
    let document =
        create.policy.as_deref().filter(|policy| !policy.starts_with("arn:")).map(policy_file).transpose()?;
    match way.call(account, "CreateUser", json!({ "UserName": user })).await {
        Ok(_) => {}
        Err(Failure::Failed(why)) if why.starts_with("EntityAlreadyExists") => {}
        Err(failure) => return Err(failure),
    }
    match (&create.policy, document) {
        (_, Some((name, text))) => {
            let input = json!({ "UserName": user, "PolicyName": name, "PolicyDocument": text });
            way.call(account, "PutUserPolicy", input).await?;
        }
        (Some(arn), None) => {
            way.call(account, "AttachUserPolicy", json!({ "UserName": user, "PolicyArn": arn })).await?;
        }
        (None, None) => {}
    }
    field(way.call(account, "CreateAccessKey", json!({ "UserName": user })).await?, "AccessKey")
}

/// The name that a policy gets from its file, and what the file says.
fn policy_file(path: &str) -> Result<(String, String), Failure> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| Failure::Failed(format!("failed to read the policy {path}: {error}")))?;
    let stem = Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || "+=,.@_-".contains(letter) { letter } else { '-' };
    Ok((stem.chars().map(plain).take(128).collect(), text))
}

fn field(mut answer: Value, name: &str) -> Result<Value, Failure> {
    let found = answer.get_mut(name).map(Value::take);
    found.ok_or_else(|| Failure::Failed(format!("failed to understand the answer: it has no {name}")))
}

async fn list(way: &Way, account: &str) -> Result<Vec<Value>, Failure> {
    let mut keys = all(way, account, "ListAccessKeys", json!({}), "AccessKeyMetadata").await?;
    for user in all(way, account, "ListUsers", json!({}), "Users").await? {
        let input = json!({ "UserName": user["UserName"] });
        keys.extend(all(way, account, "ListAccessKeys", input, "AccessKeyMetadata").await?);
    }
    Ok(keys)
}

/// All pages of a listing.
async fn all(way: &Way, account: &str, operation: &str, mut input: Value, name: &str) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    loop {
        let mut answer = way.call(account, operation, input.clone()).await?;
        if let Some(Value::Array(page)) = answer.get_mut(name).map(Value::take) {
            found.extend(page);
        }
        match answer.get("Marker").and_then(Value::as_str) {
            Some(marker) => input["Marker"] = Value::from(marker),
            None => return Ok(found),
        }
    }
}

async fn status(way: &Way, account: &str, id: &str, status: &str) -> Result<(), Failure> {
    let input = json!({ "AccessKeyId": id, "Status": status });
    way.call(account, "UpdateAccessKey", input).await.map(drop)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// What is written into shells, and the same for programs as AWS's tools name it.
fn made(key: &Value, output: Output) {
    let names = [
        ("AccessKeyId", "AWS_ACCESS_KEY_ID"),
        ("SecretAccessKey", "AWS_SECRET_ACCESS_KEY"),
        ("SessionToken", "AWS_SESSION_TOKEN"),
    ];
    match output {
        Output::Json => {
            let shown = ["AccessKeyId", "SecretAccessKey", "SessionToken", "UserName", "Status", "Expiration"];
            let fields = shown.into_iter().filter_map(|name| Some((name.to_owned(), key.get(name)?.clone())));
            say(format_args!("{}", Value::Object(fields.collect())));
        }
        Output::Table => {
            for (name, variable) in names.into_iter().filter(|(name, _)| key.get(name).is_some()) {
                say(format_args!("export {variable}={}", text(key, name)));
            }
        }
    }
}

fn listed(keys: &[Value], output: Output) {
    if output == Output::Json {
        return say(format_args!("{}", Value::from(keys.to_vec())));
    }
    say(format_args!("{:<22} {:<10} {}", "ACCESS KEY", "STATUS", "USER"));
    for key in keys {
        say(format_args!("{:<22} {:<10} {}", text(key, "AccessKeyId"), text(key, "Status"), text(key, "UserName")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_says_what_an_input_says() {
        let input = json!({"UserName": "a b", "PolicyDocument": "{\"x\":1}"});
        let expected = "Action=PutUserPolicy&Version=2010-05-08&UserName=a%20b&PolicyDocument=%7B%22x%22%3A1%7D";
        assert_eq!(form("PutUserPolicy", &input), expected);
    }

    #[test]
    fn an_answer_in_xml_is_the_answer_in_json() {
        let xml = "<R><Users><member><UserName>a</UserName></member></Users><IsTruncated>false</IsTruncated></R>";
        let read = Element::read(xml.as_bytes()).unwrap();
        assert_eq!(value(&read), json!({"Users": [{"UserName": "a"}], "IsTruncated": "false"}));
    }

    #[tokio::test]
    async fn only_the_first_key_makes_a_directory() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        let list = || Command::List { at: At { account: ACCOUNT.to_owned() } };
        assert!(run(list(), &data, Output::Json).await.is_err());
        assert!(!data.exists());
        let create =
            Command::Create(Create { user: None, role: None, policy: None, at: At { account: ACCOUNT.to_owned() } });
        run(create, &data, Output::Json).await.unwrap();
        run(list(), &data, Output::Json).await.unwrap();
    }

    #[tokio::test]
    async fn keys_are_made_and_ended_in_a_directory_that_nobody_serves() {
        let home = tempfile::tempdir().unwrap();
        let at = |account: &str| At { account: account.to_owned() };
        let create = |user: Option<&str>, policy: Option<&str>| Create {
            user: user.map(str::to_owned),
            role: None,
            policy: policy.map(str::to_owned),
            at: at(ACCOUNT),
        };
        let way = Way::find(home.path(), true).unwrap();
        let file = home.path().join("my policy.json");
        let grant = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}"#;
        fs::write(&file, grant).unwrap();
        let root = create_key(&way, &create(None, None)).await.unwrap();
        let alice = create_key(&way, &create(Some("alice"), Some(&file.to_string_lossy()))).await.unwrap();
        assert_eq!((text(&root, "UserName"), text(&alice, "UserName")), ("root", "alice"));
        assert_eq!(text(&alice, "SecretAccessKey").len(), 40);
        let policies = way.call(ACCOUNT, "ListUserPolicies", json!({"UserName": "alice"})).await.unwrap();
        assert_eq!(policies["PolicyNames"], json!(["my-policy"]));
        status(&way, ACCOUNT, text(&alice, "AccessKeyId"), "Inactive").await.unwrap();
        let keys = list(&way, ACCOUNT).await.unwrap();
        let told: Vec<_> = keys.iter().map(|key| (text(key, "UserName"), text(key, "Status"))).collect();
        assert_eq!(told, [("root", "Active"), ("alice", "Inactive")]);
        assert!(keys.iter().all(|key| key.get("SecretAccessKey").is_none()), "{keys:?}");
        assert_eq!(list(&way, "111111111111").await.unwrap(), Vec::<Value>::new());
    }
}
