//! What a policy lets its holder do to others. The document is asked what a device called `one` may do that is another's:
//! connect under another name, write what another is told. It is asked as the broker asks, so a Deny or a condition that
//! stands in the way counts. Whether the policy is ever attached to anything is unknown here.

use std::sync::Arc;

use super::{Home, Warning};
use crate::context::{Context, keys};
use crate::decide::{PolicySet, Request};
use crate::document::{Document, Effect, Statement};
use crate::explain::variables;
use crate::pattern::Resource;
use crate::template::Template;

/// What the holder of the policy is called, and somebody else. No real name looks like either.
const ONE: &str = "\u{1}one\u{1}";
const ANOTHER: &str = "\u{1}another\u{1}";

const EVERYTHING: &str = "it allows every action on every resource: whoever holds it can be, tell and hear any device";
const AS_ANOTHER: &str = "the client id is what a client says, so a device can connect under that of another, and the \
     policy opens topics by ${iot:ClientId}: it then speaks as the other";
const ANY_CLIENT: &str = "the client id is what a client says, so a device can connect under that of another, throw it \
     out and take over its session: ${iot:Connection.Thing.ThingName} lets it be its own thing only";
const SHADOWS: &str = "it lets a device write the shadows of every thing, not only its own";
const LISTENS: &str = "it lets a device subscribe to the shadows of every thing, not only its own";

/// Remarks on what the document lets its holder do as another, or to another.
pub(super) fn lint(document: &Document, home: Option<Home<'_>>) -> Vec<Warning> {
    if let Some(warning) = everything(document) {
        return vec![warning];
    }
    let asked = Asked::new(document, home);
    let by_id = document.statements.iter().any(opens_by_client_id);
    let as_another = if by_id { AS_ANOTHER } else { ANY_CLIENT };
    let shadow = |suffix: &str| format!("$aws/things/{ANOTHER}/shadow/{suffix}");
    // Whoever connects as another is no thing: the thing of a certificate is found by the client id.
    let no_thing = |context: &mut Context| {
        context.set(keys::CLIENT_ID, ANOTHER);
        context.set(keys::THING_IS_ATTACHED, "false");
        for name in [keys::THING_NAME, keys::THING_TYPE_NAME] {
            context.set_all(name, []);
        }
    };
    let its_own = |_: &mut Context| {};
    let found = [
        asked.finds("client-id-of-another", as_another, ("iot:Connect", "client/", ANOTHER), &no_thing),
        asked.finds("shadows-of-others", SHADOWS, ("iot:Publish", "topic/", &shadow("update")), &its_own),
        asked.finds("shadows-of-others", SHADOWS, ("iot:UpdateThingShadow", "thing/", ANOTHER), &its_own),
        asked.finds("hears-others", LISTENS, ("iot:Subscribe", "topicfilter/", &shadow("update/delta")), &its_own),
    ];
    found.into_iter().flatten().collect()
}

/// `*` or `iot:*` on `*`, without a condition.
fn everything(document: &Document) -> Option<Warning> {
    let is_all = |statement: &&Statement| {
        let actions = statement.actions.items.iter().any(|action| ["*", "iot:*"].contains(&&*action.source));
        let resources = statement.resources.items.iter().any(|template| template.source() == "*");
        statement.effect == Effect::Allow
            && statement.clauses.is_empty()
            && (actions && !statement.actions.negated)
            && (resources && !statement.resources.negated)
    };
    let statements = document.statements.iter().map(|statement| &**statement);
    let statement = statements.enumerate().find(|(_, statement)| is_all(statement)).map(|(index, _)| index)?;
    let (code, subject, message) = ("everything", "*".to_owned(), EVERYTHING.to_owned());
    Some(Warning { statement, code, subject, message })
}

/// Whether a statement opens topics by the client id.
fn opens_by_client_id(statement: &Arc<Statement>) -> bool {
    let by_id = |source: &str| {
        let source = source.to_ascii_lowercase();
        (source.contains(":topic/") || source.contains(":topicfilter/")) && source.contains("${iot:clientid}")
    };
    statement.effect == Effect::Allow && statement.resources.items.iter().any(|template| by_id(template.source()))
}

/// A document that is asked, with the beginning of the ARNs it is asked about.
struct Asked<'d> {
    document: &'d Document,
    prefix: String,
    context: Context,
}

impl<'d> Asked<'d> {
    fn new(document: &'d Document, home: Option<Home<'_>>) -> Self {
        let prefix = home.map_or_else(
            || prefix_of(document).unwrap_or_else(|| "arn:aws:iot:us-east-1:000000000000:".to_owned()),
            |home| format!("arn:aws:iot:{}:{}:", home.region, home.account),
        );
        let mut context = Context::new();
        // Whatever a resource is named after is the holder's own; what conditions ask for is not known.
        for key in document.statements.iter().flat_map(|statement| variables(statement)) {
            context.set(&key.written, ONE);
        }
        context.set(keys::THING_IS_ATTACHED, "true");
        Self { document, prefix, context }
    }

    /// The remark on the statement that allows this to a device that is changed so.
    fn finds(
        &self,
        code: &'static str,
        message: &str,
        (action, kind, name): (&str, &str, &str),
        change: &dyn Fn(&mut Context),
    ) -> Option<Warning> {
        let mut context = self.context.clone();
        change(&mut context);
        let policy = Arc::new(Document { statements: self.document.statements.clone() });
        let set = PolicySet::compile([("", policy)], context);
        let prefix = format!("{}{kind}", self.prefix);
        let resource = Resource::new(&prefix, name);
        let decision = set.decide(&Request::new(action, resource, 0));
        let place = decision.deciding.filter(|_| decision.is_allowed())?;
        let statement = self.document.statements.get(place.index)?;
        let matching =
            |template: &&Template| template.bind(set.context()).is_ok_and(|pattern| pattern.matches(resource));
        let templates = &statement.resources.items;
        let subject = templates.iter().find(matching).or_else(|| templates.first())?.source().to_owned();
        Some(Warning { statement: place.index, code, subject, message: message.to_owned() })
    }
}

/// What the first ARN that names account and region begins with.
fn prefix_of(document: &Document) -> Option<String> {
    let mut templates = document.statements.iter().flat_map(|statement| &statement.resources.items);
    templates.find_map(|template| {
        let parts: Vec<&str> = template.source().splitn(6, ':').collect();
        let head = parts.get(..5).filter(|_| parts.len() == 6)?.join(":");
        (!head.contains(['*', '?', '$'])).then(|| format!("{head}:"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(statements: &str) -> Vec<&'static str> {
        let statements = statements.replace("@:", "arn:aws:iot:r:1:");
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        lint(&Document::parse(&text).unwrap(), None).into_iter().map(|warning| warning.code).collect()
    }

    fn allow(action: &str, resource: &str) -> String {
        format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}"#)
    }

    const CONNECT: &str = "client-id-of-another";

    #[test]
    fn what_opens_the_things_of_others_is_found() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("iot:*", "*", &["everything"]),
            ("*", "*", &["everything"]),
            ("iot:Connect", "*", &[CONNECT]),
            ("iot:Connect", "@:client/*", &[CONNECT]),
            ("iot:Connect", "@:client/${iot:ClientId}", &[CONNECT]),
            ("iot:Connect", "@:client/${iot:Connection.Thing.ThingName}", &[]),
            ("iot:Connect", "@:client/lamp", &[]),
            ("iot:Publish", "@:topic/$aws/things/*", &["shadows-of-others"]),
            ("iot:Publish", "@:topic/$aws/things/*/shadow/*", &["shadows-of-others"]),
            ("iot:Publish", "@:topic/$aws/things/${iot:Connection.Thing.ThingName}/*", &[]),
            ("iot:Publish", "@:topic/rooms/*", &[]),
            ("iot:UpdateThingShadow", "@:thing/*", &["shadows-of-others"]),
            ("iot:Subscribe", "@:topicfilter/$aws/things/*", &["hears-others"]),
            ("iot:Receive", "*", &[]),
        ];
        for (action, resource, expected) in cases {
            assert_eq!(codes(&allow(action, resource)), *expected, "{action} on {resource}");
        }
    }

    #[test]
    fn topics_by_client_id_are_worse_when_any_may_be_taken() {
        let both = [allow("iot:Connect", "@:client/*"), allow("iot:Publish", "@:topic/${iot:ClientId}/*")].join(",");
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, both.replace("@:", "arn:aws:iot:r:1:"));
        let warnings = lint(&Document::parse(&text).unwrap(), None);
        assert_eq!(
            (warnings.len(), &*warnings[0].message, &*warnings[0].subject),
            (1, AS_ANOTHER, "arn:aws:iot:r:1:client/*")
        );
    }

    #[test]
    fn what_stands_in_the_way_counts() {
        let attached = r#"{"Effect":"Allow","Action":"iot:Connect","Resource":"@:client/*",
            "Condition":{"Bool":{"iot:Connection.Thing.IsAttached":"true"}}}"#;
        assert!(codes(attached).is_empty());
        let denied = [
            allow("iot:Publish", "@:topic/*"),
            r#"{"Effect":"Deny","Action":"iot:Publish","NotResource":"@:topic/$aws/things/${iot:Connection.Thing.ThingName}/*"}"#
                .to_owned(),
        ];
        assert!(codes(&denied.join(",")).is_empty());
        let conditional = r#"{"Effect":"Allow","Action":"iot:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}"#;
        assert!(codes(conditional).is_empty());
    }
}
