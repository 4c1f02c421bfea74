//! The actions that start something with the result as its input: functions and state machines (rules.md §5). What becomes of
//! it afterwards is not waited for.

use serde_json::json;
use wire::Refusal;

use super::aws;
use super::effect::{AwsRequest, Effect, Failure, Service, Work};
use super::fields::Fields;
use super::json::Json;
use super::text::{Text, render};
use super::{Prepare, Prepared, Unprepared};

struct Lambda {
    function: Text,
}

struct StateMachine {
    name: Text,
    prefix: Option<Text>,
    role: String,
}

pub(super) fn parse_lambda(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    fields.need(Service::Lambda)?;
    let function = fields.text("functionArn")?;
    if function.literal().is_some_and(|arn| !arn.starts_with("arn:aws")) {
        return Err(fields.invalid("functionArn", "it must be an ARN"));
    }
    Ok(Box::new(Lambda { function }))
}

pub(super) fn parse_step_functions(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    fields.need(Service::StepFunctions)?;
    Ok(Box::new(StateMachine {
        name: fields.text("stateMachineName")?,
        prefix: fields.optional_text("executionNamePrefix")?,
        role: fields.role()?,
    }))
}

impl Prepare for Lambda {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let function = self.function.render_some("functionArn", cx)?;
        let payload = document(cx)?.to_owned();
        let path = format!("/2015-03-31/functions/{}/invocations", aws::label(&function));
        let headers = [("content-type", "application/json".to_owned()), ("x-amz-invocation-type", "Event".to_owned())];
        let request = aws::plain(Service::Lambda, "POST", &path, headers, cx);
        let region = aws::region_of(&function).map_or(request.region, str::to_owned);
        Ok(Effect::new(function, Work::Aws(AwsRequest { region, body: payload.into(), ..request })))
    }
}

impl Prepare for StateMachine {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let name = self.name.render_some("stateMachineName", cx)?;
        let prefix = render(self.prefix.as_ref(), cx)?.unwrap_or_default();
        // Prepared again, a message gives the same name: what was started already is not started twice.
        let execution = format!("{prefix}{}", crate::entropy::uuid(cx.message.seed));
        let arn = format!("arn:aws:states:{}:{}:stateMachine:{name}", cx.scope.region, cx.scope.account);
        let body = json!({"stateMachineArn": arn, "name": execution, "input": document(cx)?});
        let request = aws::json(Service::StepFunctions, "1.0", "AWSStepFunctions.StartExecution", &body, cx);
        Ok(Effect::new(name, Work::Aws(AwsRequest { role: Some(self.role.clone()), ..request })))
    }
}

/// The payload as a JSON document.
fn document<'p>(cx: &Prepared<'p>) -> Result<&'p str, Unprepared> {
    let text = aws::text_payload(cx)?;
    match Json::read(text.as_bytes()) {
        Some(_) => Ok(text),
        None => Err(Failure::unusable("The payload is not JSON, which is all that can be an input.").into()),
    }
}
