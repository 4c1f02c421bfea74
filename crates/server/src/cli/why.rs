//! `ombra why`: what was refused last to a client, or to anybody, and everything that led to it, down to the statement that is
//! missing; or the same of something that nobody has tried yet. The explanation comes from the server that runs.

use clap::Args;
use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::api::{Api, ApiError};
use super::{Failure, Output, say};

mod print;

/// What is asked about.
#[derive(Debug, Args)]
pub(super) struct Why {
    /// The MQTT client id, the id of a certificate, or the ARN of a user or a role [default: whoever was refused something last]
    client: Option<String>,
    /// Whoever was refused something last
    #[arg(long, conflicts_with = "client")]
    last: bool,
    /// Not what was refused, but whether this would be, as in iot:Publish
    #[arg(long, requires = "resource", conflicts_with = "last", value_name = "ACTION")]
    action: Option<String>,
    /// On what: an ARN, or what follows the account in it, as in topic/a/b
    #[arg(long, requires = "action", value_name = "RESOURCE")]
    resource: Option<String>,
    /// Who asks: a certificate by id or ARN, a user or a role by ARN [default: that of the client]
    #[arg(long, requires = "action", value_name = "ID")]
    principal: Option<String>,
}

/// Runs the command.
pub(super) async fn run(why: Why, api: &Api, output: Output) -> Result<(), Failure> {
    let answer = match &why.action {
        Some(action) => {
            let question = json!({
                "client_id": why.client.as_deref().unwrap_or_default(),
                "principal": why.principal.as_deref().unwrap_or_default(),
                "action": action,
                "resource": why.resource.as_deref().unwrap_or_default(),
            });
            api.call(Method::POST, crate::why::PATH, &[], Some(&question)).await
        }
        None => api.call(Method::GET, &path(why.client.as_deref()), &[], None).await,
    };
    let answer = answer.map_err(|error| match error {
        // That nothing was refused needs no name of an error before it.
        ApiError::Refused { status: StatusCode::NOT_FOUND, message, .. } => Failure::Failed(message),
        error => error.into(),
    })?;
    match output {
        Output::Json => say(format_args!("{answer}")),
        Output::Table => say(format_args!("{}", print::answer(&answer))),
    }
    Ok(())
}

/// The explanation of what was refused last to a client, for a person.
pub(super) async fn of_client(api: &Api, client: &str) -> Result<String, Failure> {
    Ok(print::answer(&api.call(Method::GET, &path(Some(client)), &[], None).await?))
}

fn path(client: Option<&str>) -> String {
    match client {
        Some(client) => format!("{}?client={}", crate::why::PATH, utf8_percent_encode(client, NON_ALPHANUMERIC)),
        None => crate::why::PATH.to_owned(),
    }
}

/// A member that is a text.
fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_be_called_anything() {
        assert_eq!(path(None), "/_ombra/why");
        assert_eq!(path(Some("a/b&c=é")), "/_ombra/why?client=a%2Fb%26c%3D%C3%A9");
    }
}
