//! What is told of rules: entries of the platform's logs in AWS's words (rules.md §11), and an event for each failure, since
//! one that nobody asked to log is the one that is searched for. What happens because of it is unknown here.

use std::sync::Arc;

use sql::Failed;

use super::execution::Run;
use super::heard::Heard;
use crate::actions::{Failure, Outcome};
use crate::events::{Event, Kind};
use crate::figures::{Count, Figures, RuleCount};
use crate::house::House;
use crate::logging::{Level, Record};

impl House {
    fn log_of_rule(&self, heard: &Heard, rule: &str, now: i64, level: Level, compose: impl FnOnce() -> Record) {
        self.space(&heard.scope).books.logging.note(now, level, || {
            compose().of(&heard.origin).traced(heard.trace_id()).with("topicName", heard.topic()).with("ruleName", rule)
        });
    }

    /// Tells that a rule came to nothing for a message.
    fn tell_rule_failed(&self, heard: &Heard, rule: &str, now: i64, action: &'static str, reason: &str) {
        if self.space(&heard.scope).overheard.take(now) {
            let (topic, reason) = (heard.topic().to_owned(), reason.to_owned());
            let kind = Kind::RuleFailed { rule: rule.to_owned(), topic, action, reason };
            self.witness.event(Event::new(now, &heard.scope, kind));
        }
    }

    /// A message has come to a rule.
    pub(super) fn tell_match(&self, run: &Run, now: i64) {
        self.figures_of(&run.heard).count_rule(&run.rule.name, RuleCount::TopicMatch);
        self.log_of_rule(&run.heard, &run.rule.name, now, Level::Info, || Record::success("RuleMatch"));
    }

    /// The statement reads members of a message that has none.
    pub(super) fn tell_not_json(&self, run: &Run) {
        self.figures_of(&run.heard).count_rule(&run.rule.name, RuleCount::ParseError);
    }

    /// The statement has let it through.
    pub(super) fn tell_start(&self, run: &Run, now: i64) {
        self.figures_of(&run.heard).count(Count::RulesExecuted);
        self.log_of_rule(&run.heard, &run.rule.name, now, Level::Debug, || Record::success("StartingRuleExecution"));
    }

    /// The statement itself failed: no action is carried out, not even the error action.
    pub(super) fn tell_statement_failed(&self, run: &Run, now: i64, failed: &Failed) {
        self.tell_rule_failed(&run.heard, &run.rule.name, now, "", &failed.to_string());
        self.log_of_rule(&run.heard, &run.rule.name, now, Level::Error, || {
            Record::failure("FunctionExecution", failed.reason.as_str()).with("functionName", failed.function)
        });
    }

    fn figures_of(&self, heard: &Heard) -> Arc<Figures> {
        Arc::clone(&self.space(&heard.scope).books.figures)
    }

    /// Counts what became of an action, or of the error action; of an HTTP action also how it failed.
    pub(super) fn count_action(&self, run: &Run, action: &'static str, is_error_action: bool, outcome: &Outcome) {
        let result = match (is_error_action, outcome.is_ok()) {
            (false, true) => "Success",
            (false, false) => "Failure",
            (true, true) => "ErrorActionSuccess",
            (true, false) => "ErrorActionFailure",
        };
        let how = outcome.as_ref().err().filter(|_| action == "HttpAction").and_then(Failure::http_metric);
        let metrics: Vec<&str> = std::iter::once(result).chain(how).collect();
        let kind = action.strip_suffix("Action").unwrap_or(action);
        self.figures_of(&run.heard).count_action(&run.rule.name, kind, &metrics);
    }

    /// What became of an action.
    pub(super) fn tell_action(&self, run: &Run, now: i64, action: &'static str, resource: &str, outcome: &Outcome) {
        let (heard, rule) = (&run.heard, &run.rule.name);
        let with = |record: Record| {
            let resources = serde_json::json!({ resource_name(action): resource });
            record.with("ruleAction", action).with("resources", resources)
        };
        match outcome {
            Ok(()) => self.log_of_rule(heard, rule, now, Level::Info, || with(Record::success("RuleExecution"))),
            Err(Failure { message, .. }) => {
                self.tell_rule_failed(heard, rule, now, action, message);
                self.log_of_rule(heard, rule, now, Level::Error, || {
                    with(Record::failure("RuleExecution", message.as_str()))
                });
            }
        }
    }

    /// Basic ingest named no rule.
    pub(super) fn tell_rule_not_found(&self, heard: &Heard, name: &str, now: i64) {
        self.figures_of(heard).count_rule(name, RuleCount::RuleNotFound);
        let reason = "there is no rule of this name, or it is disabled";
        self.tell_rule_failed(heard, name, now, "", reason);
        self.log_of_rule(heard, name, now, Level::Error, || Record::failure("RuleNotFound", reason));
    }

    /// More waits for rules than there is room for, and a message has been dropped.
    pub(super) fn tell_throttled(&self, heard: &Heard) {
        if self.space(&heard.scope).overheard.take(heard.at) {
            let limit = "more messages wait for rules than there is room for: those of QoS 0 are dropped";
            let kind = Kind::Quota { client_id: String::new(), limit: limit.to_owned() };
            self.witness.event(Event::new(heard.at, &heard.scope, kind));
        }
        for rule in &heard.rules {
            self.figures_of(heard).count_rule(rule, RuleCount::RuleExecutionThrottled);
            self.log_of_rule(heard, rule, heard.at, Level::Error, || {
                Record::failure("RuleMessageThrottled", "too many messages wait for rules")
            });
        }
    }
}

/// How AWS names the resource of an action in its logs: `RepublishTopic`.
/// unconfirmed: the names of all but that one.
fn resource_name(action: &str) -> &'static str {
    match action {
        "RepublishAction" => "RepublishTopic",
        "S3Action" => "Bucket",
        "LambdaAction" => "FunctionArn",
        "DynamoDBAction" | "DynamoDBv2Action" => "TableName",
        "HttpAction" => "Url",
        _ => "Resource",
    }
}
