//! Laws that hold of every set of policies, and of every text that is offered as one. Fixed seed.

use std::sync::Arc;

use policy::{Context, Document, PolicySet, Request, Verdict, lint, literal};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() }
}

/// A statement from a small world, so that statements often meet.
fn statement() -> impl Strategy<Value = (bool, String)> {
    let action = prop::sample::select(vec!["iot:Publish", "iot:Receive", "iot:*", "*", "iot:P*", "iot:Connect"]);
    let resource = prop::sample::select(vec![
        "*",
        "arn:aws:iot:r:1:topic/*",
        "arn:aws:iot:r:1:topic/a",
        "arn:aws:iot:r:1:topic/a/*",
        "arn:aws:iot:r:1:topic/?",
        "arn:aws:iot:r:1:topic/${iot:ClientId}",
        "arn:aws:iot:r:1:topic/${iot:DomainName}",
    ]);
    let condition = prop::sample::select(vec![
        "",
        r#","Condition":{"StringEquals":{"iot:ClientId":"a"}}"#,
        r#","Condition":{"StringNotEquals":{"iot:ClientId":"a"}}"#,
        r#","Condition":{"Null":{"iot:DomainName":"true"}}"#,
        r#","Condition":{"ForAllValues:StringLike":{"iot:ConnectAttributes":["P*"]}}"#,
    ]);
    (any::<bool>(), any::<bool>(), any::<bool>(), action, resource, condition).prop_map(
        |(deny, not_action, not_resource, action, resource, condition)| {
            let effect = if deny { "Deny" } else { "Allow" };
            let not = |negated| if negated { "Not" } else { "" };
            let (a, r) = (not(not_action), not(not_resource));
            let text =
                format!(r#"{{"Effect":"{effect}","{a}Action":"{action}","{r}Resource":"{resource}"{condition}}}"#);
            (deny, text)
        },
    )
}

fn statements() -> impl Strategy<Value = Vec<(bool, String)>> {
    prop::collection::vec(statement(), 0..6)
}

/// The verdict of policies with these statements, two to a policy.
fn verdict(statements: &[(bool, String)], action: &str, topic: &str) -> Verdict {
    let policies = statements.chunks(2).map(|pair| {
        let list: Vec<&str> = pair.iter().map(|(_, text)| &**text).collect();
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, list.join(","));
        ("p", Arc::new(Document::parse(&text).unwrap()))
    });
    let mut context = Context::new();
    context.set("iot:ClientId", "a");
    let resource = format!("arn:aws:iot:r:1:topic/{topic}");
    PolicySet::compile(policies, context).decide(&Request::new(action, &*resource, 0)).verdict
}

fn action() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["iot:Publish", "iot:Receive", "iot:Connect"])
}

fn topic() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "a/b", "c/d"])
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn a_deny_that_applies_always_wins(list in statements(), action in action(), topic in topic(), at in 0usize..6) {
        let alone = list.iter().any(|s| verdict(std::slice::from_ref(s), action, topic) == Verdict::ExplicitDeny);
        prop_assert_eq!(verdict(&list, action, topic) == Verdict::ExplicitDeny, alone);
        let mut denied = list;
        let deny = r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#.to_owned();
        denied.insert(at.min(denied.len()), (true, deny));
        prop_assert_eq!(verdict(&denied, action, topic), Verdict::ExplicitDeny);
    }

    #[test]
    fn an_allow_more_never_takes_a_permission_away(list in statements(), more in statement(), action in action(), topic in topic()) {
        let before = verdict(&list, action, topic);
        let mut longer = list;
        longer.push((false, more.1.replace("Deny", "Allow")));
        let after = verdict(&longer, action, topic);
        prop_assert!(after == before || (before == Verdict::ImplicitDeny && after == Verdict::Allowed));
    }

    #[test]
    fn order_does_not_matter(
        (list, shuffled) in statements().prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
        action in action(),
        topic in topic(),
    ) {
        prop_assert_eq!(verdict(&list, action, topic), verdict(&shuffled, action, topic));
    }

    #[test]
    fn without_an_allow_nothing_is_allowed(list in statements(), action in action(), topic in topic()) {
        let denies: Vec<(bool, String)> = list.into_iter().filter(|(deny, _)| *deny).collect();
        prop_assert_ne!(verdict(&denies, action, topic), Verdict::Allowed);
    }
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn a_literal_is_granted_and_nothing_beside_it(topic in "[a*?${}/+#:]{1,12}", other in "[a*?${}/+#:]{1,12}") {
        let resource = quoted(&format!("arn:aws:iot:r:1:topic/{}", literal(&topic)));
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"iot:Publish","Resource":{resource}}}}}"#
        );
        let mut context = Context::new();
        context.set("iot:ClientId", "a");
        let set = PolicySet::compile([("p", Arc::new(Document::parse(&text).unwrap()))], context);
        let ask = |topic: &str| {
            let arn = format!("arn:aws:iot:r:1:topic/{topic}");
            set.decide(&Request::new("iot:Publish", &*arn, 0)).is_allowed()
        };
        prop_assert!(ask(&topic));
        prop_assert_eq!(ask(&other), topic == other);
    }
}

/// A text as JSON writes it; nothing in it needs more than quotes.
fn quoted(text: &str) -> String {
    assert!(!text.contains(['"', '\\']));
    format!("\"{text}\"")
}

const WHOLE: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"s","Effect":"Allow","Action":["iot:Publish","iot:*"],
    "Resource":"arn:aws:iot:r:1:topicfilter/${iot:ClientId}/*","Condition":{"ForAllValues:StringLike":{"k":["a*",1,true]},
    "NumericLessThan":{"k":"-1.5e3"},"IpAddress":{"k":"10.0.0.0/8"},"DateEquals":{"k":"2030-01-01"},"ArnLike":{"k":"arn:a:b:c:d:e"}}}]}"#;

/// Reads, and uses what could be read, so that nothing behind the reader panics either.
fn exercise(text: &str) {
    if let Ok(document) = Document::parse(text) {
        lint(&document, None);
        let set = PolicySet::compile([("p", Arc::new(document))], Context::new());
        let request = Request::new("iot:Publish", "arn:aws:iot:r:1:topic/a", 0);
        assert_eq!(set.decide(&request).verdict, set.explain(&request).verdict);
    }
}

proptest! {
    #![proptest_config(config(3000))]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_almost_policy_makes_the_reader_panic(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..3, "[\\PC]|[\"{}\\[\\],:\\\\$*u0-9]{0,3}"), 1..4),
    ) {
        let mut text: Vec<char> = WHOLE.chars().collect();
        for (at, remove, insert) in cuts {
            let at = at.index(text.len());
            let end = (at + remove).min(text.len());
            text.splice(at..end, insert.chars());
        }
        exercise(&text.into_iter().collect::<String>());
    }
}

#[test]
fn the_whole_policy_that_is_mutilated_is_one() {
    assert!(Document::parse(WHOLE).is_ok());
}
