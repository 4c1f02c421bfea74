//! Policies that reach a device by several ways, changed at random, by seed: a model of sets says after each step what it may,
//! and the house must say the same beforehand, in its list of effective policies, and to the device that is connected.

use std::collections::{BTreeMap, BTreeSet};

use mqtt::{Packet, Version};
use serde_json::{Value, json};

use crate::device::message_1;
use crate::house::{Lab, column, statement};
use crate::seeds::Dice;

const ACCOUNT: &str = "arn:aws:iot:us-east-1:000000000000:";
const POLICIES: [&str; 3] = ["p0", "p1", "p2"];
const TOPICS: [&str; 2] = ["a", "b"];
/// Groups, each with those that reach whoever is in it.
const GROUPS: [(&str, &[&str]); 3] = [("root", &["root"]), ("hall", &["hall", "root"]), ("attic", &["attic"])];

/// What a version of a policy says: its effect, and the topic.
fn says(policy: usize, version: usize) -> (&'static str, &'static str) {
    [[("Allow", "a"), ("Deny", "a")], [("Allow", "b"), ("Allow", "a")], [("Deny", "b"), ("Allow", "b")]][policy]
        [version]
}

fn document(policy: usize, version: usize) -> String {
    let (effect, topic) = says(policy, version);
    let statement = statement(effect, "iot:Publish", &[&format!("topic/{topic}")]);
    json!({"Version": "2012-10-17", "Statement": statement}).to_string()
}

/// What must be true.
#[derive(Default)]
struct Model {
    /// Policies by what they are attached to.
    attached: BTreeMap<String, BTreeSet<usize>>,
    /// The default version of each, from 0.
    version: [usize; 3],
    /// The groups that the thing is in.
    groups: BTreeSet<&'static str>,
}

impl Model {
    fn reaching(&self, certificate: &str) -> BTreeSet<usize> {
        let above = GROUPS.iter().filter(|(name, _)| self.groups.contains(name)).flat_map(|(_, reach)| reach.iter());
        let groups = above.map(|group| format!("{ACCOUNT}thinggroup/{group}"));
        let targets = groups.chain([certificate.to_owned()]);
        targets.filter_map(|target| self.attached.get(&target)).flatten().copied().collect()
    }

    fn decision(&self, certificate: &str, topic: &str) -> &'static str {
        let reaching = self.reaching(certificate);
        let said: Vec<&str> = reaching
            .iter()
            .map(|policy| says(*policy, self.version[*policy]))
            .filter(|(_, about)| *about == topic)
            .map(|(effect, _)| effect)
            .collect();
        match () {
            () if said.contains(&"Deny") => "EXPLICIT_DENY",
            () if said.contains(&"Allow") => "ALLOWED",
            () => "IMPLICIT_DENY",
        }
    }
}

/// One change at random, of the house and of the model.
fn change(lab: &Lab, model: &mut Model, certificate: &str, dice: &mut Dice) -> String {
    let roll = |dice: &mut Dice, sides: usize| usize::try_from(dice.roll(sides as u64)).unwrap();
    let policy = roll(dice, POLICIES.len());
    let (group, _) = GROUPS[roll(dice, GROUPS.len())];
    let target = if dice.one_in(3) { certificate.to_owned() } else { format!("{ACCOUNT}thinggroup/{group}") };
    let input = json!({"policyName": POLICIES[policy], "target": target});
    match roll(dice, 4) {
        0 => {
            let is_full = target != certificate && model.attached.get(&target).is_some_and(|held| held.len() >= 2);
            let held = model.attached.entry(target.clone()).or_default();
            if is_full && !held.contains(&policy) {
                assert_eq!(lab.no("AttachPolicy", input), "LimitExceeded");
            } else {
                lab.ok("AttachPolicy", input);
                held.insert(policy);
            }
            format!("attach p{policy} to {target}")
        }
        1 => {
            lab.ok("DetachPolicy", input);
            model.attached.entry(target.clone()).or_default().remove(&policy);
            format!("detach p{policy} from {target}")
        }
        2 => {
            model.version[policy] = roll(dice, 2);
            let id = (model.version[policy] + 1).to_string();
            lab.ok("SetDefaultPolicyVersion", json!({"policyName": POLICIES[policy], "policyVersionId": id}));
            format!("p{policy} is version {id}")
        }
        _ => {
            let input = json!({"thingName": "lamp", "thingGroupName": group});
            if model.groups.remove(group) {
                lab.ok("RemoveThingFromThingGroup", input);
                return format!("out of {group}");
            }
            // A thing is in one group of a tree.
            let in_tree = group != "attic" && (model.groups.contains("root") || model.groups.contains("hall"));
            if in_tree {
                assert_eq!(lab.no("AddThingToThingGroup", input), "InvalidRequest");
            } else {
                lab.ok("AddThingToThingGroup", input);
                model.groups.insert(group);
            }
            format!("into {group}")
        }
    }
}

fn furnished() -> (Lab, String, String) {
    let lab = Lab::new();
    let id = lab.identity(json!([statement("Allow", "iot:Connect", &["client/*"])]));
    let arn = format!("{ACCOUNT}cert/{id}");
    lab.ok("CreateThing", json!({"thingName": "lamp"}));
    lab.ok("AttachThingPrincipal", json!({"thingName": "lamp", "principal": arn}));
    for (name, parent) in [("root", None), ("hall", Some("root")), ("attic", None)] {
        let mut input = json!({"thingGroupName": name});
        if let Some(parent) = parent {
            input["parentGroupName"] = parent.into();
        }
        lab.ok("CreateThingGroup", input);
    }
    for (at, name) in POLICIES.iter().enumerate() {
        lab.ok("CreatePolicy", json!({"policyName": name, "policyDocument": document(at, 0)}));
        lab.ok("CreatePolicyVersion", json!({"policyName": name, "policyDocument": document(at, 1)}));
    }
    (lab, id, arn)
}

#[test]
fn whatever_changes_the_house_and_its_devices_agree_with_the_model() {
    for seed in 0..12 {
        let (lab, id, arn) = furnished();
        let (mut dice, mut model) = (Dice(seed), Model::default());
        let device = lab.device(&id, Version::V5, "lamp");
        for step in 0..60 {
            // No faster than AWS takes messages.
            lab.pass(100);
            let done = change(&lab, &mut model, &arn, &mut dice);
            let at = format!("seed {seed}, step {step}: {done}");
            let asked: Vec<Value> = TOPICS
                .map(|topic| json!({"actionType": "PUBLISH", "resources": [format!("{ACCOUNT}topic/{topic}")]}))
                .into();
            let input = json!({"principal": arn, "clientId": "lamp", "authInfos": asked});
            let told = column(&lab.ok("TestAuthorization", input)["authResults"], "authDecision");
            let wanted = TOPICS.map(|topic| model.decision(&arn, topic));
            assert_eq!(told, wanted, "{at}");
            for (topic, decision) in TOPICS.iter().zip(wanted) {
                device.give(Packet::Publish(message_1(1, topic, "x")));
                let code = if decision == "ALLOWED" { "00" } else { "87" };
                assert_eq!(device.told(), [format!("PUBACK 1 {code}")], "{at}: {topic}");
            }
            let effective = lab.ok("GetEffectivePolicies", json!({"principal": arn, "thingName": "lamp"}));
            let mut names = column(&effective["effectivePolicies"], "policyName");
            names.retain(|name| *name != id);
            names.sort_unstable();
            let wanted: Vec<&str> = model.reaching(&arn).into_iter().map(|policy| POLICIES[policy]).collect();
            assert_eq!(names, wanted, "{at}");
        }
    }
}
