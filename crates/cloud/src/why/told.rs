//! What the policies said, in the parts that an answer is made of: each statement with what matched and what did not, each
//! variable with its value. What the answer is, is the business of the `policy` crate.

use policy::{StatementReport, VariableReport, Warning};
use serde::Serialize;
use serde_json::{Value, json};

use super::who::Belongs;

/// A statement and what it made of the request.
#[derive(Clone, Debug, Serialize)]
pub struct Statement {
    /// The policy's name.
    pub policy: String,
    /// Through what the policy reaches the principal.
    pub through: String,
    /// Its place in the policy, from 0.
    pub index: usize,
    /// Its `Sid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// `Allow` or `Deny`.
    pub effect: String,
    /// Whether it applies: whether its action, its resource and its condition all match.
    pub applies: bool,
    /// Which of the three do not: `action`, `resource`, `condition`.
    pub failed: Vec<&'static str>,
    /// Its actions: whether they cover the one asked for, whether it is all but these, and how they are written.
    pub action: Value,
    /// The same of its resources.
    pub resource: Value,
    /// Its condition: whether it holds, and clause by clause what was wanted and found.
    pub condition: Value,
    /// The same for a person, a line for each.
    pub notes: Vec<String>,
}

/// A variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Variable {
    /// As the policies spell it.
    pub name: String,
    /// What stands in for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Why nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty: Option<String>,
}

impl Statement {
    pub(super) fn of(report: &StatementReport) -> Self {
        let parts = [("action", report.action), ("resource", report.resource), ("condition", report.condition)];
        let resources: Vec<Value> = report
            .resources
            .0
            .iter()
            .map(|resource| json!({"written": resource.written, "matches": resource.matches}))
            .collect();
        let clauses: Vec<Value> = report
            .clauses
            .iter()
            .map(|clause| {
                json!({
                    "operator": clause.operator, "key": clause.key, "wanted": clause.wanted, "found": clause.found,
                    "holds": clause.holds,
                })
            })
            .collect();
        Self {
            policy: report.policy.clone(),
            through: report.through.clone(),
            index: report.index,
            sid: report.sid.clone(),
            effect: report.effect.to_string(),
            applies: report.applies(),
            failed: parts.into_iter().filter(|(_, matches)| !matches).map(|(name, _)| name).collect(),
            action: json!({"matches": report.action, "all_but": report.actions.1, "written": report.actions.0}),
            resource: json!({"matches": report.resource, "all_but": report.resources.1, "written": resources}),
            condition: json!({"holds": report.condition, "clauses": clauses}),
            notes: report.notes(),
        }
    }
}

/// Every variable in statements, each once; one that has no value at all with the reason for it.
pub(super) fn variables(reports: &[StatementReport], thing: &Belongs) -> Vec<Variable> {
    let mut told: Vec<Variable> = Vec::new();
    for VariableReport { name, value } in reports.iter().flat_map(|report| &report.variables) {
        if told.iter().any(|known| known.name == *name) {
            continue;
        }
        let empty = value.as_ref().err().map(|empty| match empty.as_str() {
            NOTHING => absent(name, thing),
            other => other.to_owned(),
        });
        told.push(Variable { name: name.clone(), value: value.as_ref().ok().cloned(), empty });
    }
    told
}

/// What the policies say of a variable that has no value.
const NOTHING: &str = "has no value here";

/// Why a variable has no value.
fn absent(name: &str, thing: &Belongs) -> String {
    let name = name.to_ascii_lowercase();
    let of_thing = name.strip_prefix("iot:connection.thing.").or_else(|| name.strip_prefix("iot:thing."));
    let reason = match (of_thing, &thing.name, name.as_str()) {
        (Some(_), None, _) => "no thing belongs to the connection".to_owned(),
        (Some("thingtypename"), Some(thing), _) => format!("the thing {thing} has no type"),
        (Some(_), Some(thing), _) => format!("the thing {thing} has no such attribute"),
        (None, _, "iot:clientid") => "a request over HTTP has no client id".to_owned(),
        (None, _, "iot:domainname") => "the client asked for no host name".to_owned(),
        (None, _, "aws:sourceip" | "iot:sourceip") => "the address of the peer is not known".to_owned(),
        (None, _, name) if name.starts_with("iot:certificate") => "the certificate has none".to_owned(),
        (None, ..) => "there is no such variable".to_owned(),
    };
    format!("has no value: {reason}")
}

/// A remark on a policy.
pub(super) fn warning(warning: &Warning) -> Value {
    let Warning { statement, code, subject, message } = warning;
    json!({"statement": statement, "code": code, "subject": subject, "message": message})
}
