//! The words that mean something in a policy of devices: the actions that are ever asked for with the kinds of resources
//! they are asked on (security.md §3.2), the variables and the condition keys that ever have a value (§3.4, §3.6). What a
//! policy does with them is unknown here.

use crate::context::Key;

/// An action that a device may be asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Action {
    /// With its service.
    pub(super) name: &'static str,
    /// What its resources begin with, after the account; none if it is asked of everything.
    on: &'static [&'static str],
}

const THING: &[&str] = &["thing/"];
const TOPIC: &[&str] = &["topic/"];
const CLIENT: &[&str] = &["client/"];

const ACTIONS: [(&str, &[&str]); 20] = [
    ("iot:Connect", CLIENT),
    ("iot:Publish", TOPIC),
    ("iot:RetainPublish", TOPIC),
    ("iot:Receive", TOPIC),
    ("iot:Subscribe", &["topicfilter/"]),
    ("iot:GetThingShadow", THING),
    ("iot:UpdateThingShadow", THING),
    ("iot:DeleteThingShadow", THING),
    ("iot:ListNamedShadowsForThing", &[]),
    ("iot:GetRetainedMessage", TOPIC),
    ("iot:ListRetainedMessages", &[]),
    ("iot:DescribeJobExecution", THING),
    ("iot:GetPendingJobExecutions", THING),
    ("iot:StartNextPendingJobExecution", THING),
    ("iot:UpdateJobExecution", THING),
    ("iot:AssumeRoleWithCertificate", &["rolealias/"]),
    ("iot:DeleteConnection", CLIENT),
    ("iot:GetConnection", CLIENT),
    ("iot:ListSubscriptions", CLIENT),
    ("iot:SendDirectMessage", &["client/", "topic/"]),
];

/// Every action that a device may be asked for.
pub(super) fn actions() -> impl Iterator<Item = Action> {
    ACTIONS.iter().map(|(name, on)| Action { name, on })
}

impl Action {
    /// The kinds of its resources, for a sentence.
    pub(super) fn kinds(&self) -> String {
        self.on.iter().map(|kind| format!("{kind}…")).collect::<Vec<_>>().join(" or ")
    }

    /// Whether a resource as it is written may be one that the action is asked on.
    pub(super) fn may_be_on(&self, source: &str) -> bool {
        let Some(name) = source.splitn(6, ':').nth(5) else { return true };
        // A wildcard before the name may swallow anything.
        if self.on.is_empty() || source.starts_with('*') {
            return true;
        }
        let head = name.split(['*', '?']).next().unwrap_or_default();
        let head = head.split("${").next().unwrap_or_default();
        if head.len() == name.len() {
            return self.on.iter().any(|kind| head.starts_with(kind));
        }
        self.on.iter().any(|kind| head.starts_with(kind) || kind.starts_with(head))
    }
}

/// The attributes of a subject or an issuer, folded.
const ATTRIBUTES: [&str; 18] = [
    "distinguishednamequalifier",
    "country",
    "organization",
    "organizationalunit",
    "state",
    "commonname",
    "serialnumber",
    "title",
    "surname",
    "givenname",
    "initials",
    "pseudonym",
    "generationqualifier",
    "alternativename.rfc822name",
    "alternativename.dnsname",
    "alternativename.directoryname",
    "alternativename.uniformresourceidentifier",
    "alternativename.ipaddress",
];

/// Other variables, folded.
const VARIABLES: [&str; 9] = [
    "iot:clientid",
    "aws:sourceip",
    "iot:domainname",
    "iot:certificateid",
    "iot:certificate.serialnumber",
    "iot:certificate.availablekeys",
    "iot:connection.thing.thingname",
    "iot:connection.thing.thingtypename",
    "iot:connection.thing.isattached",
];

/// What a condition may ask of a request beside variables.
const OF_REQUESTS: [&str; 4] = ["iot:connectattributes", "iot:lastwilltopic", "aws:currenttime", "aws:epochtime"];

/// Whether a variable can ever have a value.
pub(super) fn is_variable(key: &Key) -> bool {
    let name = &*key.folded;
    let of_name = ["iot:certificate.subject.", "iot:certificate.issuer."].iter().find_map(|of| name.strip_prefix(of));
    VARIABLES.contains(&name)
        || name.starts_with("iot:connection.thing.attributes[")
        || of_name.is_some_and(|attribute| ATTRIBUTES.contains(&attribute))
}

/// Whether a condition key can ever have a value.
pub(super) fn is_key(key: &Key) -> bool {
    is_variable(key) || OF_REQUESTS.contains(&&*key.folded)
}
