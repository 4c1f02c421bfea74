//! An explained refusal for a person, top down: what, who, as what, with which policies, statement by statement, what is missing,
//! what to paste. It knows the explanation by its JSON and adds nothing to it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::text;

/// The lines of an answer.
pub(super) fn answer(answer: &Value) -> String {
    let mut page = Page::default();
    let (refusal, why) = (&answer["refusal"], &answer["why"]);
    if refusal.is_null() {
        page.line(&format!("{} {} on {}", text(why, "decision"), text(why, "action"), text(why, "resource")));
    } else {
        page.refusal(refusal, why);
    }
    if why.is_object() {
        page.who(why);
        page.policies(why);
        page.statements(why);
        page.way_out(why);
    }
    page.also(answer);
    page.0.join("\n")
}

#[derive(Default)]
struct Page(Vec<String>);

impl Page {
    fn line(&mut self, line: &str) {
        self.0.push(printable(line));
    }

    /// A line under a heading that stands before the first of several.
    fn under(&mut self, heading: &str, line: &str) {
        self.line(&format!("{heading:<12} {line}"));
    }

    fn list(&mut self, heading: &str, lines: impl IntoIterator<Item = String>) {
        for (index, line) in lines.into_iter().enumerate() {
            self.under(if index == 0 { heading } else { "" }, &line);
        }
    }

    fn refusal(&mut self, refusal: &Value, why: &Value) {
        let at = refusal["at"].as_i64().and_then(|at| Timestamp::from_millisecond(at).ok());
        let at = at.map(|at| format!(", {}", at.to_zoned(TimeZone::system()).strftime("%F %T"))).unwrap_or_default();
        let decision = text(refusal, "decision");
        self.line(&format!("{decision} {} on {}{at}", text(refusal, "action"), text(refusal, "resource")));
        let statement = text(refusal, "statement");
        if !statement.is_empty() {
            self.under("decided by", statement);
        }
        if why.is_null() {
            self.under("client id", text(refusal, "client_id"));
            self.under("principal", text(refusal, "principal"));
            self.list("because", text(refusal, "reason").lines().map(str::to_owned));
        } else if text(why, "decision") == "ALLOWED" {
            // What a session was narrowed to is known to the session alone.
            let or = if text(&why["principal"], "kind") == "role" { ", or the session was narrowed" } else { "" };
            self.under("now", &format!("it would be allowed: something has changed since{or}"));
        } else if text(why, "decision") != decision {
            self.under("now", &format!("it would be {}: something has changed since", text(why, "decision")));
        }
        self.under("peer", text(refusal, "peer"));
    }

    fn who(&mut self, why: &Value) {
        let (principal, thing) = (&why["principal"], &why["thing"]);
        let mut words = vec![text(principal, "kind"), text(principal, "id"), text(principal, "status")];
        let until = principal["valid"][1].as_i64().and_then(|at| Timestamp::from_millisecond(at).ok());
        let until = until.map(|until| format!("until {}", until.strftime("%F"))).unwrap_or_default();
        words.extend([text(principal, "validity"), &until]);
        words.retain(|word| !word.is_empty());
        self.under("principal", &words.join(" "));
        if !text(principal, "reason").is_empty() {
            self.under("", text(principal, "reason"));
        }
        if !text(why, "client_id").is_empty() {
            self.under("client id", text(why, "client_id"));
        }
        let name = thing["name"].as_str().unwrap_or("none");
        self.under("thing", &format!("{name}: {}", text(thing, "because")));
        self.list("groups", strings(&thing["groups"]));
    }

    fn policies(&mut self, why: &Value) {
        let policies: Vec<String> = each(&why["policies"])
            .map(|policy| {
                let version =
                    policy["version"].as_u64().map(|version| format!(" version {version}")).unwrap_or_default();
                format!("{}{version}, through {}", text(policy, "name"), text(policy, "through"))
            })
            .collect();
        self.list("policies", if policies.is_empty() { vec!["none".to_owned()] } else { policies });
        let variable = |variable: &Value| match variable["value"].as_str() {
            Some(value) => format!("${{{}}} is {value:?}", text(variable, "name")),
            None => format!("${{{}}} {}", text(variable, "name"), text(variable, "empty")),
        };
        self.list("variables", each(&why["variables"]).map(variable));
    }

    fn statements(&mut self, why: &Value) {
        for statement in each(&why["statements"]) {
            let sid = statement["sid"].as_str().map(|sid| format!(" {sid:?}")).unwrap_or_default();
            let applies = if statement["applies"] == true {
                "applies".to_owned()
            } else {
                // A statement about other actions has nothing to say of this resource.
                let failed = strings(&statement["failed"]);
                let of_action = failed.iter().any(|part| part == "action");
                format!("does not apply: {}", if of_action { "action".to_owned() } else { failed.join(", ") })
            };
            let place = format!("{}[{}]{sid}", text(statement, "policy"), statement["index"]);
            self.line(&format!("\n{place} {} {applies}", text(statement, "effect")));
            for note in strings(&statement["notes"]).iter().filter(|note| !note.starts_with("${")) {
                self.line(&format!("    {note}"));
            }
        }
    }

    fn way_out(&mut self, why: &Value) {
        let missing = &why["missing"];
        if missing.is_object() {
            self.line("");
            self.under("missing", &format!("{} on {}", text(missing, "action"), text(missing, "resource")));
        }
        let patch = &why["patch"];
        if patch.is_object() {
            self.line("");
            self.under("patch", text(patch, "what"));
            if patch["statement"].is_object() {
                self.line(&format!("    {}", patch["statement"]));
            }
            for command in strings(&patch["commands"]) {
                self.line(&format!("    {command}"));
            }
        }
        for policy in each(&why["policies"]) {
            for warning in each(&policy["warnings"]) {
                self.line("");
                let place = format!("{}[{}]", text(policy, "name"), warning["statement"]);
                self.under("warning", &format!("{place} {}: {}", text(warning, "subject"), text(warning, "message")));
            }
        }
    }

    fn also(&mut self, answer: &Value) {
        let also: Vec<String> = each(&answer["also"])
            .map(|it| format!("{} {} on {}", text(it, "decision"), text(it, "action"), text(it, "resource")))
            .collect();
        if !also.is_empty() {
            self.line("");
            self.list("also", also);
        }
    }
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn strings(list: &Value) -> Vec<String> {
    each(list).filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Text without control characters that could play with the terminal, but for the ends of lines.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_explanation_reads_top_down() {
        let told = json!({
            "refusal": {
                "decision": "IMPLICIT_DENY", "action": "iot:Publish", "resource": "arn:x:topic/a", "statement": "",
                "peer": "127.0.0.1:5"
            },
            "why": {
                "decision": "IMPLICIT_DENY", "action": "iot:Publish", "resource": "arn:x:topic/a", "client_id": "lamp",
                "principal": {"kind": "certificate", "id": "ab", "status": "ACTIVE", "valid": [0, 86_400_000], "validity": "expired"},
                "thing": {"name": null, "because": "the certificate is attached to no thing"},
                "policies": [{"name": "p", "through": "certificate", "version": 2, "warnings": [
                    {"statement": 0, "subject": "*", "message": "too much", "code": "everything"}]}],
                "statements": [{
                    "policy": "p", "index": 0, "effect": "Allow", "applies": false, "failed": ["resource"],
                    "notes": ["the resource is not arn:x:topic/\u{1b}b", "${iot:ClientId} is \"lamp\""]}],
                "variables": [
                    {"name": "iot:ClientId", "value": "lamp"},
                    {"name": "iot:Connection.Thing.ThingName", "empty": "has no value here"}],
                "missing": {"action": "iot:Publish", "resource": "arn:x:topic/a"},
                "patch": {"what": "add it", "statement": {"Effect": "Allow"}, "commands": ["aws iot x"]}
            },
            "also": [{"decision": "IMPLICIT_DENY", "action": "iot:Subscribe", "resource": "arn:x:topicfilter/a"}]
        });
        let expected = "\
IMPLICIT_DENY iot:Publish on arn:x:topic/a
peer         127.0.0.1:5
principal    certificate ab ACTIVE expired until 1970-01-02
client id    lamp
thing        none: the certificate is attached to no thing
policies     p version 2, through certificate
variables    ${iot:ClientId} is \"lamp\"
             ${iot:Connection.Thing.ThingName} has no value here

p[0] Allow does not apply: resource
    the resource is not arn:x:topic/\u{fffd}b

missing      iot:Publish on arn:x:topic/a

patch        add it
    {\"Effect\":\"Allow\"}
    aws iot x

warning      p[0] *: too much

also         IMPLICIT_DENY iot:Subscribe on arn:x:topicfilter/a";
        assert_eq!(answer(&told), expected);
    }

    #[test]
    fn what_no_policy_decided_has_its_own_reason() {
        let told = json!({
            "refusal": {
                "decision": "NO_CERTIFICATE", "action": "TLS", "resource": "", "reason": "no certificate\nwas shown",
                "client_id": "", "principal": "", "peer": "127.0.0.1:5"
            },
            "why": null, "also": []
        });
        let expected = "NO_CERTIFICATE TLS on \nclient id    \nprincipal    \nbecause      no certificate\n             was shown\npeer         127.0.0.1:5";
        assert_eq!(answer(&told), expected);
    }
}
