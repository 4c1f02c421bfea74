//! What must hold of any bytes that come as a policy document, shared by the tests of this crate and the fuzz targets in
//! `fuzz/`: nothing panics, and the short answer and the long one agree. IAM's documents say whom they trust.

use std::sync::Arc;

use policy::iam::{self, Kind, Who};
use policy::{Context, Document, Home, PolicySet, Request, Verdict, keys, lint};

/// A document, asked about actions and resources that documents like to name.
pub(crate) fn documents(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let document = match Document::parse(text) {
        Ok(document) => Arc::new(document),
        Err(malformed) => {
            let _ = malformed.to_string();
            return;
        }
    };
    for home in [None, Some(Home { region: "us-east-1", account: "000000000000" })] {
        for warning in lint(&document, home) {
            let _ = warning.to_string();
        }
    }
    let mut context = Context::new();
    context.set(keys::CLIENT_ID, "a*b");
    context.set(keys::SOURCE_IP, "192.0.2.1");
    context.set_all(keys::CONNECT_ATTRIBUTES, ["LastWill", "PersistentConnect"]);
    let set = PolicySet::compile([("p", document)], context);
    for action in ["iot:Publish", "iot:Connect", ""] {
        for resource in
            ["arn:aws:iot:us-east-1:000000000000:topic/a/b", "arn:aws:iot:us-east-1:000000000000:client/a*b", ""]
        {
            let request = Request::new(action, resource, 1_700_000_000_000);
            let (decision, explanation) = (set.decide(&request), set.explain(&request));
            assert_eq!(decision.verdict, explanation.verdict);
            assert_eq!(explanation.deciding_policies().is_empty(), decision.verdict == Verdict::ImplicitDeny);
            let _ = explanation.to_string();
        }
    }
}

/// A document of IAM's, of each kind: what is taken as a trust document trusts nobody by accident.
pub(crate) fn iam_documents(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for kind in [Kind::Managed, Kind::Inline, Kind::Trust] {
        let document = match iam::Document::parse(text, kind) {
            Ok(document) => document,
            Err(malformed) => {
                assert!(!malformed.to_string().is_empty());
                continue;
            }
        };
        let arns = ["arn:aws:iam::000000000000:role/a"];
        for who in [Who::Service("lambda.amazonaws.com"), Who::Account { id: "000000000000", arns: &arns }] {
            let trusts = |action| document.trusts(&who, action, &Context::new(), 1_700_000_000_000);
            assert!(!trusts("sts:AssumeRole") || text.contains("Allow"));
            assert!(!trusts("iot:Publish") || kind != Kind::Trust);
        }
    }
}
