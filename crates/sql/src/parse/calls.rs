//! What AWS checks of calls when a rule is created: how often some functions may be called, and which of their arguments
//! have to stand in the statement. It does not know what the functions do.

use super::{Parse, Parser};
use crate::error::ParseError;
use crate::expression::Expression;
use crate::functions::Function;

/// The functions whose last argument is the role that they ask as.
const TAKE_ROLES: [&str; 4] = ["get_dynamodb", "get_registry_data", "get_secret", "get_thing_shadow"];

/// The most protobuf payloads that a statement may decode.
const PROTOBUF: usize = 2;

impl Parser<'_> {
    /// Refuses a call that stands at `start` and can never be right.
    pub(super) fn admit(&mut self, function: &Function, arguments: &[Expression], start: usize) -> Parse<()> {
        let message = match function.name {
            "get_dynamodb" => once(&mut self.seen.dynamodb, function, start),
            "get_registry_data" => once(&mut self.seen.registry, function, start).or_else(|| registry_data(arguments)),
            "get_or_default" => get_or_default(arguments),
            "decode" | "encode" if !matches!(arguments.get(1), None | Some(Expression::Text(_))) => {
                Some(format!("the scheme of {}() is a string that stands in the statement", function.name))
            }
            "decode" if is_text(arguments.get(1), "proto") => self.protobuf(),
            "transform" if is_variable(arguments.first()) => {
                Some("the mode of transform() cannot be a variable".to_owned())
            }
            _ => None,
        };
        let takes_role = function.looks_outside() && function.name != "aws_lambda";
        let role = if takes_role && is_variable(arguments.last()) {
            Some(format!("the roleArn of {}() cannot be a variable", function.name))
        } else {
            None
        };
        if TAKE_ROLES.contains(&function.name) {
            self.seen.roles.push(match arguments.last() {
                Some(Expression::Text(role)) => Some(role.clone()),
                _ => None,
            });
        }
        match message.or(role) {
            Some(message) => Err(ParseError::at(self.text, start, message)),
            None => Ok(()),
        }
    }

    fn protobuf(&mut self) -> Option<String> {
        self.seen.protobuf += 1;
        if self.seen.in_template {
            return Some("decode(…, 'proto', …) cannot stand in a substitution template".to_owned());
        }
        let message = || format!("Rule cannot contain more than {PROTOBUF} decode(…, 'proto', …) function calls");
        (self.seen.protobuf > PROTOBUF).then(message)
    }
}

/// The text is AWS's, as it was seen for get_registry_data.
fn once(seen: &mut Option<usize>, function: &Function, start: usize) -> Option<String> {
    let before = seen.replace(start);
    before.map(|_| format!("Rule cannot contain more than 1 {} function calls", function.name))
}

/// The text on the role is AWS's.
fn registry_data(arguments: &[Expression]) -> Option<String> {
    let apis = ["DescribeThing", "ListThingGroupsForThing"];
    if !apis.iter().any(|api| is_text(arguments.first(), api)) {
        return Some("get_registry_data() takes 'DescribeThing' or 'ListThingGroupsForThing' first".to_owned());
    }
    match arguments.last() {
        Some(Expression::Text(role)) if arguments.len() == 3 && role.starts_with("arn:") => None,
        _ => Some("Get registry data requires its last parameter to be roleArn".to_owned()),
    }
}

fn get_or_default(arguments: &[Expression]) -> Option<String> {
    if arguments.iter().any(|argument| matches!(argument, Expression::Star)) {
        return Some("get_or_default() takes no raw payload; encode() it first".to_owned());
    }
    let default = arguments.get(1)?;
    looks_outside(default)
        .then(|| "the default of get_or_default() cannot call a function that may fail itself".to_owned())
}

/// Whether an expression, or a part of it, asks the world.
fn looks_outside(expression: &Expression) -> bool {
    let mut found = match expression {
        Expression::Call(call) => call.function.looks_outside(),
        _ => false,
    };
    expression.each_part(&mut |part| found = found || looks_outside(part));
    found
}

fn is_text(argument: Option<&Expression>, text: &str) -> bool {
    matches!(argument, Some(Expression::Text(found)) if **found == *text)
}

fn is_variable(argument: Option<&Expression>) -> bool {
    match argument {
        Some(Expression::Member(base, _)) => is_variable(Some(base)),
        argument => matches!(argument, Some(Expression::Variable(_))),
    }
}
