//! Remarks on a policy that is valid and yet does not do what it seems to, or does more. It looks at one document alone,
//! so it speaks of what may happen, and it never changes a decision. Who holds the policy is unknown here.

use std::collections::BTreeSet;

use crate::document::{Document, Effect, Statement};
use crate::explain::variables;
use crate::template::Template;

mod others;
mod vocabulary;

use vocabulary::Action;

/// One remark on one statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// The statement's place in the policy, from 0.
    pub statement: usize,
    /// The remark in one word, for programs: `unknown-action` …
    pub code: &'static str,
    /// The action, resource, key or variable that is remarked on, as the policy spells it.
    pub subject: String,
    /// What is wrong with it, in a sentence.
    pub message: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "statement {}: {}: {} [{}]", self.statement, self.subject, self.message, self.code)
    }
}

/// Where the policy is to live.
#[derive(Clone, Copy, Debug)]
pub struct Home<'a> {
    /// The region's name.
    pub region: &'a str,
    /// The account's twelve digits.
    pub account: &'a str,
}

const RECEIVE_ON_FILTER: &str = "iot:Receive is checked on the topic of the message, never on a topicfilter, \
     so this grants nothing to receive: name the topic";
const SUBSCRIBE_ON_TOPIC: &str = "iot:Subscribe is checked on the filter, never on a topic, so this grants nothing \
     to subscribe to: name the topicfilter";
const CLIENT_ID_IN_FILTER: &str = "on AWS a client that may choose its id can call itself + or #, and this filter \
     then covers the topics of others: restrict iot:Connect, or use the name of the thing";
const DENIED_FILTER: &str = "the filter is compared as text, so a wider subscription still receives these topics: \
     deny iot:Receive on the topic too";

/// Remarks on a document; none if nothing strikes. Without a home, ARNs of any account and region are taken to be right.
pub fn lint(document: &Document, home: Option<Home<'_>>) -> Vec<Warning> {
    let mut warnings = BTreeSet::new();
    for (index, statement) in document.statements.iter().enumerate() {
        let mut remark = |code, subject: &str, message: String| {
            warnings.insert(Warning { statement: index, code, subject: subject.to_owned(), message });
        };
        on_actions(statement, &mut remark);
        on_resources(statement, home, &mut remark);
        on_names(statement, &mut remark);
    }
    warnings.extend(others::lint(document, home));
    warnings.into_iter().collect()
}

/// Takes a remark: its code, what it is about, what it says.
type Remark<'r> = dyn FnMut(&'static str, &str, String) + 'r;

/// Actions nobody asks for, and actions that none of the statement's resources is for.
fn on_actions(statement: &Statement, remark: &mut Remark<'_>) {
    for action in &statement.actions.items {
        if vocabulary::actions().all(|known| !action.matches(known.name)) {
            let message =
                "no device is ever asked for this action; operations of the control plane are the affair of IAM";
            remark("unknown-action", &action.source, message.to_owned());
        }
    }
    if statement.effect == Effect::Deny || statement.resources.negated || statement.actions.negated {
        return;
    }
    let sources: Vec<&str> = statement.resources.items.iter().map(Template::source).collect();
    let named =
        |known: &Action| statement.actions.items.iter().any(|action| action.source.eq_ignore_ascii_case(known.name));
    for action in vocabulary::actions().filter(named) {
        if sources.iter().any(|source| action.may_be_on(source)) {
            continue;
        }
        let message = match action.name {
            "iot:Receive" if sources.iter().any(|source| source.contains(":topicfilter/")) => {
                RECEIVE_ON_FILTER.to_owned()
            }
            "iot:Subscribe" if sources.iter().any(|source| source.contains(":topic/")) => SUBSCRIBE_ON_TOPIC.to_owned(),
            _ => format!("it is checked on {}, and the statement names none, so this grants nothing", action.kinds()),
        };
        remark("never-matches", action.name, message);
    }
}

/// Resources that none of the statement's actions is for, that lie elsewhere, or that are weaker than they look.
fn on_resources(statement: &Statement, home: Option<Home<'_>>, remark: &mut Remark<'_>) {
    let subscribes = statement.covers_action("iot:Subscribe");
    let allows = statement.effect == Effect::Allow;
    for template in &statement.resources.items {
        let source = template.source();
        let covered = |known: &Action| statement.covers_action(known.name);
        let known = vocabulary::actions().any(|known| covered(&known));
        if known
            && !statement.resources.negated
            && !vocabulary::actions().any(|it| covered(&it) && it.may_be_on(source))
        {
            let message = "none of the statement's actions is ever checked on such a resource";
            remark("unused-resource", source, message.to_owned());
        }
        if let Some(message) = home.and_then(|home| elsewhere(source, home)) {
            remark("elsewhere", source, message);
        }
        let Some((_, filter)) = source.split_once(":topicfilter/") else { continue };
        // security.md §3.3: a client id of + or # opens wildcards.
        if allows && subscribes && filter.to_ascii_lowercase().contains("${iot:clientid}") {
            remark("client-id-in-filter", source, CLIENT_ID_IN_FILTER.to_owned());
        }
        // security.md §3.3: a Deny on topicfilter/a/restricted/* does not stop a/#.
        if !allows && subscribes && !statement.covers_action("iot:Receive") {
            remark("denied-filter", source, DENIED_FILTER.to_owned());
        }
    }
}

/// What is wrong with an ARN that names another account or region than that of the policy, literally.
fn elsewhere(source: &str, home: Home<'_>) -> Option<String> {
    let parts: Vec<&str> = source.splitn(6, ':').collect();
    let [_, _, "iot", region, account, _] = parts[..] else { return None };
    let differs = |part: &str, own: &str| !part.contains(['*', '?', '$']) && part != own;
    if differs(region, home.region) {
        return Some(format!("the policy is of region {}, so a resource of {region:?} never matches", home.region));
    }
    differs(account, home.account)
        .then(|| format!("the policy is of account {}, so a resource of {account:?} never matches", home.account))
}

/// Variables and condition keys that never have a value.
fn on_names(statement: &Statement, remark: &mut Remark<'_>) {
    for key in variables(statement).filter(|key| !vocabulary::is_variable(key)) {
        let message = "no such variable ever has a value, so what it stands in matches nothing";
        remark("unknown-variable", &format!("${{{}}}", key.written), message.to_owned());
    }
    for key in statement.clauses.iter().map(|clause| &clause.key).filter(|key| !vocabulary::is_key(key)) {
        let message = "no request ever has a value under this condition key";
        remark("unknown-key", &key.written, message.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Home<'_> = Home { region: "r", account: "1" };

    fn codes(statements: &str) -> Vec<&'static str> {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        lint(&Document::parse(&text).unwrap(), Some(HOME)).into_iter().map(|warning| warning.code).collect()
    }

    fn allow(action: &str, resource: &str) -> String {
        let resource = resource.replace("@:", "arn:aws:iot:r:1:");
        format!(r#"{{"Effect":"Allow","Action":{action},"Resource":{resource}}}"#)
    }

    #[test]
    fn each_remark_is_made_where_it_is_due_and_only_there() {
        let cases: &[(&str, &str, &[&str])] = &[
            (r#"["iot:Subscribe","iot:Receive"]"#, r#"["@:topicfilter/a/*"]"#, &["never-matches"]),
            (r#"["iot:Subscribe","iot:Receive"]"#, r#"["@:topicfilter/a/*","@:topic/a/*"]"#, &[]),
            (r#""iot:Receive""#, r#""@:topic/a/*""#, &[]),
            (r#""iot:Subscribe""#, r#""@:topic/a/*""#, &["never-matches", "unused-resource"]),
            (r#""iot:Publish""#, r#""@:topicfilter/a/*""#, &["never-matches", "unused-resource"]),
            (r#""iot:Publish""#, r#"["@:topic/a","@:topicfilter/a"]"#, &["unused-resource"]),
            (r#""iot:Connect""#, r#""@:topic/a""#, &["never-matches", "unused-resource"]),
            (r#""iot:GetThingShadow""#, r#""@:topic/$aws/things/a/shadow/get""#, &["never-matches", "unused-resource"]),
            (r#""iot:*""#, r#""@:topicfilter/a/*""#, &[]),
            (r#""iot:Publish""#, r#""@:${iot:Connection.Thing.ThingName}/a""#, &[]),
            (r#""iot:Subscribe""#, r#""@:topicfilter/${iot:clientId}/*""#, &["client-id-in-filter"]),
            (r#""iot:Publish""#, r#""@:topic/${iot:ClientId}/*""#, &[]),
            (r#""iot:Subscribe""#, r#""@:topicfilter/${iot:Connection.Thing.ThingName}""#, &[]),
            (r#""iot:CreateThing""#, r#""*""#, &["unknown-action"]),
            (r#""iot:Pubish""#, r#""@:topic/a""#, &["unknown-action"]),
            (r#""greengrass:Discover""#, r#""*""#, &["unknown-action"]),
            (r#""iot: *""#, r#""*""#, &["unknown-action"]),
            (r#""iot:Describe*""#, r#""@:thing/a""#, &[]),
            (r#""iot:Publish""#, r#""@:topic/${iot:ClientID}/${iot:Clientname}""#, &["unknown-variable"]),
            (r#""iot:Publish""#, r#""@:topic/${iot:Connection.Thing.Attributes[a]}""#, &[]),
            (r#""iot:Publish""#, r#""@:topic/${iot:Certificate.Subject.CommonName.2}""#, &[]),
            (r#""iot:Publish""#, r#""@:topic/${iot:Certificate.Subject.Name}""#, &["unknown-variable"]),
            (r#""iot:Publish""#, r#""@:topic/${aws:CurrentTime}""#, &["unknown-variable"]),
            (r#""iot:Publish""#, r#""arn:aws:iot:eu-west-1:1:topic/a""#, &["elsewhere"]),
            (r#""iot:Publish""#, r#""arn:aws:iot:r:2:topic/a""#, &["elsewhere"]),
            (r#""iot:Publish""#, r#""arn:aws:iot:*:1:topic/a""#, &[]),
        ];
        for (action, resource, expected) in cases {
            assert_eq!(codes(&allow(action, resource)), *expected, "{action} on {resource}");
        }
    }

    #[test]
    fn a_deny_is_weak_on_filters_and_never_reproached_for_what_it_does_not_match() {
        let deny = |action: &str, resource: &str| {
            codes(&format!(r#"{{"Effect":"Deny","Action":"{action}","Resource":"arn:aws:iot:r:1:{resource}"}}"#))
        };
        assert_eq!(deny("iot:Subscribe", "topicfilter/a/restricted/*"), ["denied-filter"]);
        assert!(deny("iot:*", "topicfilter/a/*").is_empty());
        assert!(deny("iot:Receive", "topic/a/*").is_empty());
    }

    #[test]
    fn condition_keys_are_known_by_name() {
        let condition = |key: &str| {
            codes(&format!(
                r#"{{"Effect":"Allow","Action":"iot:Publish","Resource":"arn:aws:iot:r:1:topic/a",
                    "Condition":{{"StringEquals":{{"{key}":"a"}}}}}}"#
            ))
        };
        for key in ["iot:ClientId", "aws:SourceIp", "iot:SourceIp", "aws:CurrentTime", "iot:ConnectAttributes"] {
            assert!(condition(key).is_empty(), "{key}");
        }
        assert_eq!(condition("aws:UserAgent"), ["unknown-key"]);
    }

    #[test]
    fn a_remark_says_where_and_what() {
        let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:Pubish","Resource":"*"}}"#;
        let warnings = lint(&Document::parse(text).unwrap(), None);
        assert_eq!(
            warnings[0].to_string(),
            "statement 0: iot:Pubish: no device is ever asked for this action; operations of the control plane are the \
             affair of IAM [unknown-action]"
        );
    }
}
