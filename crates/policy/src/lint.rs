//! Remarks on a policy that is valid and yet does not do what it seems to. It looks at one document alone, so
//! it speaks of what may happen, and it never changes a decision.

use crate::document::{Document, Effect, Statement};

/// One remark on one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The statement's place in the policy, from 0.
    pub statement: usize,
    /// The resource that is remarked on, as the policy spells it.
    pub resource: String,
    /// What is wrong with it, in a sentence.
    pub message: &'static str,
}

const RECEIVE_ON_FILTER: &str = "iot:Receive is checked on the topic of the message, never on a topicfilter, \
     so this grants nothing to receive: name the topic";
const CLIENT_ID_IN_FILTER: &str = "a client that may choose its id can call itself + or #, and this filter then \
     covers the topics of others: restrict iot:Connect, or use the name of the thing";
const DENIED_FILTER: &str = "the filter is compared as text, so a wider subscription still receives these topics: \
     deny iot:Receive on the topic too";

/// Remarks on a document; none if nothing strikes.
pub fn lint(document: &Document) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (index, statement) in document.statements.iter().enumerate() {
        for template in &statement.resources.items {
            let resource = template.source();
            let remark = |message| Warning { statement: index, resource: resource.to_owned(), message };
            warnings.extend(remarks(statement, resource).map(remark));
        }
    }
    warnings
}

fn remarks(statement: &Statement, resource: &str) -> impl Iterator<Item = &'static str> {
    let filter = resource.split_once(":topicfilter/").map(|(_, filter)| filter.to_ascii_lowercase());
    let names = |action: &str| statement.actions.items.iter().any(|item| item.source.eq_ignore_ascii_case(action));
    let subscribes = statement.covers_action("iot:Subscribe");
    let allows = statement.effect == Effect::Allow;
    let remarks = [
        // security.md §3.2: the recipe that grants Subscribe and Receive on one topicfilter.
        (allows && names("iot:Receive"), RECEIVE_ON_FILTER),
        // security.md §3.3: a client id of + or # opens wildcards.
        (
            allows && subscribes && filter.as_ref().is_some_and(|filter| filter.contains("${iot:clientid}")),
            CLIENT_ID_IN_FILTER,
        ),
        // security.md §3.3: a Deny on topicfilter/a/restricted/* does not stop a/#.
        (!allows && subscribes && !statement.covers_action("iot:Receive"), DENIED_FILTER),
    ];
    remarks.into_iter().filter(move |(strikes, _)| filter.is_some() && *strikes).map(|(_, message)| message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(statement: &str) -> Vec<&'static str> {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":{{{statement}}}}}"#);
        lint(&Document::parse(&text).unwrap()).into_iter().map(|warning| warning.message).collect()
    }

    #[test]
    fn each_remark_is_made_where_it_is_due_and_only_there() {
        let cases: &[(&str, &[&str])] = &[
            (
                r#""Effect":"Allow","Action":["iot:Subscribe","iot:Receive"],"Resource":["arn:aws:iot:r:1:topicfilter/a/*"]"#,
                &[RECEIVE_ON_FILTER],
            ),
            (r#""Effect":"Allow","Action":"iot:Receive","Resource":"arn:aws:iot:r:1:topic/a/*""#, &[]),
            (r#""Effect":"Allow","Action":"iot:*","Resource":"arn:aws:iot:r:1:topicfilter/a/*""#, &[]),
            (
                r#""Effect":"Allow","Action":"iot:Subscribe","Resource":"arn:aws:iot:r:1:topicfilter/${iot:clientId}/*""#,
                &[CLIENT_ID_IN_FILTER],
            ),
            (r#""Effect":"Allow","Action":"iot:Publish","Resource":"arn:aws:iot:r:1:topic/${iot:ClientId}/*""#, &[]),
            (
                r#""Effect":"Allow","Action":"iot:Subscribe","Resource":"arn:aws:iot:r:1:topicfilter/${iot:Connection.Thing.ThingName}""#,
                &[],
            ),
            (
                r#""Effect":"Deny","Action":"iot:Subscribe","Resource":"arn:aws:iot:r:1:topicfilter/a/restricted/*""#,
                &[DENIED_FILTER],
            ),
            (r#""Effect":"Deny","Action":"iot:*","Resource":"arn:aws:iot:r:1:topicfilter/a/*""#, &[]),
            (r#""Effect":"Deny","Action":"iot:Receive","Resource":"arn:aws:iot:r:1:topic/a/*""#, &[]),
        ];
        for (statement, expected) in cases {
            assert_eq!(messages(statement), *expected, "{statement}");
        }
    }
}
