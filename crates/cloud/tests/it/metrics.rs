//! Metrics: values are found again as statistics of periods, alarms follow them, and the platform's own figures are among them.

use cloud::{Kind, Total};
use mqtt::{Packet, Version};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::device::{packet_id, subscribe, subscription};
use crate::house::{DAWN, Lab, column, everything, hello, seconds, statement, text};

/// A whole minute shortly after every test begins, in seconds.
const START: i64 = DAWN.div_euclid(60_000) * 60 + 60;
const MINUTE: i64 = 60_000;

/// A lab at that minute.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.pass(START * 1000 - DAWN);
    lab
}

fn put(lab: &Lab, data: Value) {
    lab.ok("PutMetricData", json!({"Namespace": "N", "MetricData": data}));
}

/// A value of metric `m` so many seconds after the start.
fn value(lab: &Lab, after: i64, value: f64) {
    put(lab, json!([{"MetricName": "m", "Timestamp": START + after, "Value": value}]));
}

fn asked(period: i64, minutes: i64, statistics: Value) -> Value {
    json!({
        "Namespace": "N", "MetricName": "m", "StartTime": START, "EndTime": START + minutes * 60, "Period": period,
        "Statistics": statistics,
    })
}

/// Seconds after the start and one statistic of each datapoint.
#[expect(clippy::cast_possible_truncation, reason = "whole seconds of our time")]
fn points(answer: &Value, statistic: &str) -> Vec<(i64, f64)> {
    let points = answer["Datapoints"].as_array().unwrap().iter();
    let point =
        |point: &Value| (point["Timestamp"].as_f64().unwrap() as i64 - START, point[statistic].as_f64().unwrap());
    points.map(point).collect()
}

#[test]
fn values_become_statistics_of_periods() {
    let lab = lab();
    for (after, number) in [(0, 1.0), (59, 3.0), (60, 5.0), (200, 7.0)] {
        value(&lab, after, number);
    }
    let all = json!(["SampleCount", "Sum", "Average", "Minimum", "Maximum"]);
    let answer = lab.ok("GetMetricStatistics", asked(60, 4, all));
    assert_eq!(answer["Label"], "m");
    assert_eq!(points(&answer, "Sum"), [(0, 4.0), (60, 5.0), (180, 7.0)]);
    let first = json!({
        "Timestamp": seconds(START * 1000), "SampleCount": 2.0, "Sum": 4.0, "Average": 2.0, "Minimum": 1.0, "Maximum": 3.0,
        "Unit": "None",
    });
    assert_eq!(answer["Datapoints"][0], first);
    let answer = lab.ok("GetMetricStatistics", asked(120, 4, json!(["Sum"])));
    assert_eq!(points(&answer, "Sum"), [(0, 9.0), (120, 7.0)]);
    let answer = lab.ok("GetMetricStatistics", asked(60, 1, json!(["Sum"])));
    assert_eq!(points(&answer, "Sum"), [(0, 4.0)], "the end does not belong to it");
}

#[test]
fn sets_and_lists_of_values_count_as_what_they_stand_for() {
    let lab = lab();
    put(
        &lab,
        json!([
            {"MetricName": "m", "Values": [1.0, 2.0], "Counts": [3.0, 1.0]},
            {"MetricName": "m", "Values": [4.0]},
            {"MetricName": "m", "StatisticValues": {"SampleCount": 2.0, "Sum": 10.0, "Minimum": 5.0, "Maximum": 5.0}},
        ]),
    );
    let answer = lab.ok("GetMetricStatistics", asked(60, 1, json!(["SampleCount", "Sum", "Minimum", "Maximum"])));
    let first = &answer["Datapoints"][0];
    let numbers = ["SampleCount", "Sum", "Minimum", "Maximum"].map(|name| first[name].clone());
    assert_eq!(json!(numbers), json!([7.0, 19.0, 1.0, 5.0]));
    let mut extended = asked(60, 1, Value::Null);
    extended.as_object_mut().unwrap().remove("Statistics");
    extended["ExtendedStatistics"] = json!(["p50", "p99.9"]);
    let answer = lab.ok("GetMetricStatistics", extended.clone());
    assert_eq!(answer["Datapoints"][0]["ExtendedStatistics"], json!({"p50": 2.0, "p99.9": 5.0}));
    put(
        &lab,
        json!([{"MetricName": "m", "StatisticValues": {"SampleCount": 2.0, "Sum": 3.0, "Minimum": 1.0, "Maximum": 2.0}}]),
    );
    let answer = lab.ok("GetMetricStatistics", extended);
    assert!(answer["Datapoints"][0].get("ExtendedStatistics").is_none(), "the values are no longer known");
}

#[test]
fn each_set_of_dimensions_and_each_unit_is_its_own() {
    let lab = lab();
    let dimension = |name: &str, value: &str| json!({"Name": name, "Value": value});
    let (a, b) = (dimension("a", "1"), dimension("b", "2"));
    put(
        &lab,
        json!([
            {"MetricName": "m", "Value": 1.0},
            {"MetricName": "m", "Value": 2.0, "Dimensions": [a, b]},
            {"MetricName": "m", "Value": 4.0, "Dimensions": [b, a], "Unit": "Bytes"},
        ]),
    );
    let sum = |dimensions: Value, unit: Option<&str>| {
        let mut input = asked(60, 1, json!(["Sum"]));
        input["Dimensions"] = dimensions;
        if let Some(unit) = unit {
            input["Unit"] = json!(unit);
        }
        let answer = lab.ok("GetMetricStatistics", input);
        points(&answer, "Sum").into_iter().map(|(_, sum)| sum).collect::<Vec<_>>()
    };
    assert_eq!(sum(json!([]), None), [1.0]);
    assert_eq!(sum(json!([a, b]), None), [2.0, 4.0]);
    assert_eq!(sum(json!([a, b]), Some("Bytes")), [4.0]);
    assert!(sum(json!([a]), None).is_empty());
    let twice = json!({"Namespace": "N", "MetricData": [{"MetricName": "m", "Value": 1.0, "Dimensions": [a, a]}]});
    assert_eq!(lab.no("PutMetricData", twice), "InvalidParameterValue");
}

#[test]
fn high_resolution_has_seconds_for_three_hours() {
    let lab = lab();
    for after in [0, 5, 12] {
        put(&lab, json!([{"MetricName": "m", "Timestamp": START + after, "Value": 1.0, "StorageResolution": 1}]));
    }
    let sums = |period: i64| points(&lab.ok("GetMetricStatistics", asked(period, 1, json!(["Sum"]))), "Sum");
    assert_eq!(sums(1), [(0, 1.0), (5, 1.0), (12, 1.0)]);
    assert_eq!(sums(10), [(0, 2.0), (10, 1.0)]);
    assert_eq!(sums(60), [(0, 3.0)]);
    lab.tick().unwrap();
    lab.pass(3 * 3600 * 1000 + MINUTE);
    lab.tick().unwrap();
    assert!(sums(1).is_empty());
    assert_eq!(sums(60), [(0, 3.0)]);
}

#[test]
fn values_go_after_fifteen_days_and_metrics_with_their_last_one() {
    let lab = lab();
    value(&lab, 0, 1.0);
    lab.tick().unwrap();
    lab.pass(15 * 24 * 3600 * 1000);
    lab.tick().unwrap();
    assert_eq!(["metric_series", "metric_minutes"].map(|table| lab.rows(table)), [1, 1]);
    lab.pass(10 * MINUTE);
    lab.tick().unwrap();
    assert_eq!(["metric_series", "metric_minutes", "metric_numbers"].map(|table| lab.rows(table)), [0, 0, 0]);
    assert_eq!(lab.faults(), 0);
}

#[test]
fn what_cannot_be_a_value_is_refused_and_nothing_of_its_request_is_taken() {
    let lab = lab();
    let refused = |datum: Value| {
        let data = json!([{"MetricName": "m", "Value": 1.0}, datum]);
        lab.no("PutMetricData", json!({"Namespace": "N", "MetricData": data}))
    };
    let with = |key: &str, value: Value| {
        let mut datum = json!({"MetricName": "m", "Value": 1.0});
        datum[key] = value;
        datum
    };
    assert_eq!(refused(json!({"MetricName": "m"})), "MissingParameter");
    assert_eq!(refused(with("Values", json!([1.0]))), "InvalidParameterCombination");
    assert_eq!(refused(with("Value", json!(1e200))), "InvalidParameterValue");
    assert_eq!(refused(with("Timestamp", json!(START - 15 * 24 * 3600))), "InvalidParameterValue");
    assert_eq!(refused(with("Timestamp", json!(START + 3 * 3600))), "InvalidParameterValue");
    assert_eq!(refused(with("StorageResolution", json!(30))), "InvalidParameterValue");
    assert_eq!(refused(json!({"MetricName": "m", "Values": [1.0], "Counts": [1.0, 2.0]})), "InvalidParameterValue");
    assert_eq!(refused(json!({"MetricName": "m", "Values": vec![1.0; 151]})), "InvalidParameterValue");
    let set = json!({"SampleCount": 1.0, "Sum": 1.0, "Minimum": 2.0, "Maximum": 1.0});
    assert_eq!(refused(json!({"MetricName": "m", "StatisticValues": set})), "InvalidParameterValue");
    assert_eq!(lab.no("PutMetricData", json!({"Namespace": "N"})), "MissingParameter");
    let aws = json!({"Namespace": "AWS/IoT", "MetricData": [{"MetricName": "m", "Value": 1.0}]});
    assert_eq!(lab.no("PutMetricData", aws), "InvalidParameterValue");
    assert_eq!(lab.rows("metric_series"), 0);
}

#[test]
fn what_is_asked_must_make_sense() {
    let lab = lab();
    let refused = |key: &str, value: Value| {
        let mut input = asked(60, 1, json!(["Sum"]));
        input[key] = value;
        lab.no("GetMetricStatistics", input)
    };
    assert_eq!(refused("Period", json!(61)), "InvalidParameterValue");
    assert_eq!(refused("EndTime", json!(START)), "InvalidParameterValue");
    assert_eq!(refused("ExtendedStatistics", json!(["p50"])), "InvalidParameterCombination");
    assert_eq!(refused("Statistics", json!([])), "InvalidParameterCombination");
    // Nothing is asked of a moment, though it lies in a period.
    let moment = lab.call("GetMetricStatistics", {
        let mut input = asked(60, 1, json!(["Sum"]));
        (input["StartTime"], input["EndTime"]) = (json!(START + 10), json!(START + 10));
        input
    });
    assert_eq!(moment.unwrap_err().1, "The parameter StartTime must be less than the parameter EndTime.");
    assert_eq!(refused("Statistics", json!(["p101"])), "InvalidParameterValue");
    assert_eq!(refused("Statistics", json!(["tm99"])), "NotImplemented");
    assert_eq!(refused("EndTime", json!(START + 1441 * 60)), "InvalidParameterCombination");
}

fn query(id: &str, metric: &str, stat: &str) -> Value {
    json!({
        "Id": id,
        "MetricStat": {"Metric": {"Namespace": "N", "MetricName": metric}, "Period": 60, "Stat": stat},
    })
}

#[test]
fn several_metrics_are_asked_at_once_and_in_pages() {
    let lab = lab();
    for after in [0, 60, 120] {
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        value(&lab, after, after as f64);
    }
    put(&lab, json!([{"MetricName": "other", "Timestamp": START, "Value": 8.0}]));
    let asked = |queries: Value| json!({"MetricDataQueries": queries, "StartTime": START, "EndTime": START + 600, "ScanBy": "TimestampAscending"});
    let queries = json!([query("a", "m", "Sum"), query("b", "other", "p50"), query("c", "none", "Average")]);
    let answer = lab.ok("GetMetricData", asked(queries.clone()));
    let expected = json!([
        {"Id": "a", "Label": "m Sum", "Timestamps": [START, START + 60, START + 120], "Values": [0.0, 60.0, 120.0], "StatusCode": "Complete"},
        {"Id": "b", "Label": "other p50", "Timestamps": [START], "Values": [8.0], "StatusCode": "Complete"},
        {"Id": "c", "Label": "none Average", "Timestamps": [], "Values": [], "StatusCode": "Complete"},
    ]);
    assert_eq!(answer["MetricDataResults"], expected);
    let mut descending = asked(queries.clone());
    descending.as_object_mut().unwrap().remove("ScanBy");
    let answer = lab.ok("GetMetricData", descending);
    assert_eq!(answer["MetricDataResults"][0]["Values"], json!([120.0, 60.0, 0.0]));
    let mut small = asked(queries);
    small["MaxDatapoints"] = json!(2);
    let pages = lab.pages("GetMetricData", small, "MetricDataResults", ("NextToken", "NextToken"));
    let values = |page: &Vec<Value>| page.iter().map(|result| result["Values"].clone()).collect::<Vec<_>>();
    let expected =
        [vec![json!([0.0, 60.0])], vec![json!([120.0]), json!([8.0])], vec![json!([]), json!([]), json!([])]];
    assert_eq!(pages.iter().map(values).collect::<Vec<_>>(), expected);
}

#[test]
fn a_label_says_what_queries_differ_in_unless_one_is_given() {
    let lab = lab();
    let labels = |queries: Value| {
        let input = json!({"MetricDataQueries": queries, "StartTime": START, "EndTime": START + 600});
        column(&lab.ok("GetMetricData", input)["MetricDataResults"], "Label")
    };
    let of = |id: &str, stat: &str, period: i64| {
        let mut query = query(id, "m", stat);
        query["MetricStat"]["Period"] = json!(period);
        query
    };
    assert_eq!(labels(json!([of("a", "Sum", 60)])), ["m"]);
    assert_eq!(labels(json!([of("a", "Sum", 60), of("b", "Sum", 120)])), ["m 60", "m 120"]);
    assert_eq!(labels(json!([of("a", "Sum", 60), of("b", "Average", 120)])), ["m Sum 60", "m Average 120"]);
    let mut named = of("b", "Average", 60);
    named["Label"] = json!("mine");
    assert_eq!(labels(json!([of("a", "Sum", 60), named])), ["m Sum", "mine"]);
}

#[test]
fn what_is_wrong_with_a_request_is_told_in_the_words_of_aws() {
    let lab = lab();
    let put = |datum: Value| lab.message("PutMetricData", json!({"Namespace": "N", "MetricData": [datum]}));
    let set = json!({"SampleCount": 1.0, "Sum": 1.0, "Minimum": 1.0, "Maximum": 1.0});
    for (datum, message) in [
        (
            json!({"MetricName": "m", "Value": 1.0, "Values": [1.0]}),
            "The parameters MetricData.member.1.Value and MetricData.member.1.Values are mutually exclusive and you have \
             specified both.",
        ),
        (
            json!({"MetricName": "m", "Value": 1.0, "StatisticValues": set}),
            "The parameters MetricData.member.1.Value and MetricData.member.1.StatisticValues are mutually exclusive and you \
             have specified both.",
        ),
        (
            json!({"MetricName": "m", "Values": [1.0], "Counts": [1.0, 2.0]}),
            "The parameters MetricData.member.1.Values and MetricData.member.1.Counts must be of the same size.",
        ),
    ] {
        assert_eq!(put(datum), message);
    }
    let ask = |start: i64, end: i64, queries: Value| {
        lab.refused("GetMetricData", json!({"MetricDataQueries": queries, "StartTime": start, "EndTime": end}))
    };
    let validation = |message: &str| ("ValidationError".to_owned(), message.to_owned());
    let some = json!([query("a", "m", "Sum")]);
    assert_eq!(
        ask(START, START, some.clone()),
        validation("The parameter StartTime must not equal parameter EndTime.")
    );
    assert_eq!(ask(START + 1, START, some), validation("The parameter EndTime must be greater than StartTime."));
    assert_eq!(
        ask(START, START + 60, json!([query("a", "m", "Sum"), {"Id": "b"}])),
        validation("The parameter MetricDataQueries.member.2.MetricStat is required.\n")
    );
}

#[test]
fn expressions_are_refused_by_name() {
    let lab = lab();
    let refused = |queries: Value| {
        lab.no("GetMetricData", json!({"MetricDataQueries": queries, "StartTime": START, "EndTime": START + 60}))
    };
    assert_eq!(refused(json!([{"Id": "e", "Expression": "a + 1"}])), "NotImplemented");
    assert_eq!(refused(json!([query("a", "m", "Sum"), query("a", "m", "Sum")])), "ValidationError");
    assert_eq!(refused(json!([query("Big", "m", "Sum")])), "ValidationError");
}

#[test]
fn metrics_are_listed_by_what_they_have() {
    let lab = lab();
    let dimension = |name: &str, value: &str| json!({"Name": name, "Value": value});
    put(&lab, json!([{"MetricName": "a", "Value": 1.0, "Dimensions": [dimension("k", "1"), dimension("l", "2")]}]));
    put(&lab, json!([{"MetricName": "b", "Value": 1.0, "Dimensions": [dimension("k", "2")]}]));
    lab.ok("PutMetricData", json!({"Namespace": "M", "MetricData": [{"MetricName": "a", "Value": 1.0}]}));
    let names = |input: Value| column(&lab.ok("ListMetrics", input)["Metrics"], "MetricName");
    assert_eq!(names(json!({})), ["a", "b", "a"]);
    assert_eq!(names(json!({"Namespace": "N"})), ["a", "b"]);
    assert_eq!(names(json!({"MetricName": "a"})), ["a", "a"]);
    assert_eq!(names(json!({"Dimensions": [{"Name": "k"}]})), ["a", "b"]);
    assert_eq!(names(json!({"Dimensions": [{"Name": "k", "Value": "2"}]})), ["b"]);
    let listed = lab.ok("ListMetrics", json!({"Namespace": "N", "MetricName": "a"}));
    assert_eq!(listed["Metrics"][0]["Dimensions"], json!([dimension("k", "1"), dimension("l", "2")]));
    lab.pass(4 * 3600 * 1000);
    assert!(names(json!({"RecentlyActive": "PT3H"})).is_empty());
    assert_eq!(names(json!({})).len(), 3);
    assert_eq!(lab.no("ListMetrics", json!({"NextToken": "?"})), "InvalidParameterValue");
}

fn alarm(lab: &Lab, more: Value) {
    let mut input = json!({
        "AlarmName": "high", "Namespace": "N", "MetricName": "m", "Statistic": "Maximum", "Period": 60,
        "EvaluationPeriods": 2, "Threshold": 10.0, "ComparisonOperator": "GreaterThanThreshold",
    });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    lab.ok("PutMetricAlarm", input);
}

fn state(lab: &Lab) -> String {
    lab.tick().unwrap();
    text(&lab.ok("DescribeAlarms", json!({}))["MetricAlarms"][0]["StateValue"])
}

#[test]
fn an_alarm_follows_its_metric() {
    let lab = lab();
    alarm(&lab, json!({"AlarmDescription": "too high"}));
    let described = lab.ok("DescribeAlarms", json!({"AlarmNames": ["high"]}))["MetricAlarms"][0].clone();
    assert_eq!(described["AlarmArn"], "arn:aws:cloudwatch:us-east-1:000000000000:alarm:high");
    assert_eq!(described["StateReason"], "Unchecked: Initial alarm creation");
    assert_eq!(state(&lab), "INSUFFICIENT_DATA");
    value(&lab, 0, 20.0);
    lab.pass(MINUTE);
    value(&lab, 60, 5.0);
    lab.pass(MINUTE);
    assert_eq!(state(&lab), "OK");
    value(&lab, 120, 20.0);
    lab.pass(MINUTE);
    assert_eq!(state(&lab), "OK", "one of two is not enough");
    value(&lab, 180, 30.0);
    lab.pass(MINUTE);
    assert_eq!(state(&lab), "ALARM");
    let described = lab.ok("DescribeAlarms", json!({"StateValue": "ALARM"}))["MetricAlarms"][0].clone();
    let reason = text(&described["StateReason"]);
    assert!(
        reason.starts_with("Threshold Crossed: 2 out of the last 2 datapoints [30.0, 20.0] was greater than"),
        "{reason}"
    );
    lab.pass(10 * MINUTE);
    assert_eq!(state(&lab), "INSUFFICIENT_DATA");
    let told: Vec<&str> = lab
        .events()
        .into_iter()
        .filter_map(|kind| match kind {
            Kind::Alarm { state, .. } => Some(state),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["OK", "ALARM", "INSUFFICIENT_DATA"]);
    let history = lab.ok("DescribeAlarmHistory", json!({"AlarmName": "high", "HistoryItemType": "StateUpdate"}));
    let summaries = column(&history["AlarmHistoryItems"], "HistorySummary");
    assert_eq!(summaries[0], "Alarm updated from ALARM to INSUFFICIENT_DATA");
    assert_eq!(summaries.len(), 3);
    assert_eq!(lab.faults(), 0);
}

#[test]
fn missing_data_counts_as_the_alarm_says() {
    for (treatment, expected) in [("breaching", "ALARM"), ("notBreaching", "OK"), ("ignore", "INSUFFICIENT_DATA")] {
        let lab = lab();
        alarm(&lab, json!({"TreatMissingData": treatment}));
        assert_eq!(state(&lab), expected, "{treatment}");
    }
}

#[test]
fn a_state_that_was_set_lasts_until_the_next_look() {
    let lab = lab();
    alarm(&lab, json!({"TreatMissingData": "notBreaching"}));
    assert_eq!(state(&lab), "OK");
    lab.ok("SetAlarmState", json!({"AlarmName": "high", "StateValue": "ALARM", "StateReason": "a test"}));
    let described = lab.ok("DescribeAlarms", json!({}))["MetricAlarms"][0].clone();
    assert_eq!((&described["StateValue"], &described["StateReason"]), (&json!("ALARM"), &json!("a test")));
    lab.pass(10_000);
    assert_eq!(state(&lab), "OK");
    let unknown = json!({"AlarmName": "x", "StateValue": "OK", "StateReason": "r"});
    assert_eq!(lab.no("SetAlarmState", unknown), "ResourceNotFound");
    let bad = json!({"AlarmName": "high", "StateValue": "OK", "StateReason": "r", "StateReasonData": "{"});
    assert_eq!(lab.no("SetAlarmState", bad), "InvalidFormat");
}

#[test]
fn what_an_alarm_would_not_do_is_refused() {
    let lab = lab();
    let refused = |more: Value| {
        let mut input = json!({
            "AlarmName": "a", "Namespace": "N", "MetricName": "m", "Statistic": "Sum", "Period": 60,
            "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
        });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        lab.no("PutMetricAlarm", input)
    };
    let topic = "arn:aws:sns:us-east-1:000000000000:topic";
    assert_eq!(refused(json!({"AlarmActions": [topic]})), "NotImplemented");
    assert_eq!(refused(json!({"ComparisonOperator": "GreaterThanUpperThreshold"})), "NotImplemented");
    assert_eq!(refused(json!({"Metrics": []})), "NotImplemented");
    assert_eq!(refused(json!({"Period": 61})), "InvalidParameterValue");
    assert_eq!(refused(json!({"EvaluationPeriods": 100_000})), "InvalidParameterValue");
    assert_eq!(refused(json!({"DatapointsToAlarm": 2})), "InvalidParameterValue");
    assert_eq!(refused(json!({"ExtendedStatistic": "p99"})), "InvalidParameterCombination");
    assert_eq!(refused(json!({"TreatMissingData": "never"})), "ValidationError");
    assert_eq!(refused(json!({"EvaluateLowSampleCountPercentile": "never"})), "ValidationError");
    assert_eq!(refused(json!({"EvaluateLowSampleCountPercentile": "ignore"})), "NotImplemented");
    alarm(&lab, json!({"AlarmActions": [topic], "ActionsEnabled": false}));
    assert_eq!(lab.no("EnableAlarmActions", json!({"AlarmNames": ["high"]})), "NotImplemented");
}

#[test]
fn alarms_are_found_by_name_metric_and_state_and_deleted_together() {
    let lab = lab();
    for name in ["a1", "a2", "b"] {
        alarm(&lab, json!({"AlarmName": name}));
    }
    alarm(&lab, json!({"AlarmName": "other", "MetricName": "x"}));
    let names = |input: Value| {
        let pages = lab.pages("DescribeAlarms", input, "MetricAlarms", ("NextToken", "NextToken"));
        column(&json!(pages.concat()), "AlarmName")
    };
    assert_eq!(names(json!({"AlarmNamePrefix": "a"})), ["a1", "a2"]);
    assert_eq!(names(json!({"MaxRecords": 1})), ["a1", "a2", "b", "other"]);
    assert_eq!(names(json!({"AlarmTypes": ["CompositeAlarm"]})), Vec::<String>::new());
    assert_eq!(names(json!({"StateValue": "OK"})), Vec::<String>::new());
    let of = lab.ok("DescribeAlarmsForMetric", json!({"Namespace": "N", "MetricName": "x"}));
    assert_eq!(column(&of["MetricAlarms"], "AlarmName"), ["other"]);
    lab.ok("DeleteAlarms", json!({"AlarmNames": ["a1", "none", "a2"]}));
    let history = lab.ok("DescribeAlarmHistory", json!({"AlarmName": "none"}));
    assert_eq!(history["AlarmHistoryItems"], json!([]));
    assert_eq!(names(json!({})), ["b", "other"]);
    lab.ok("DisableAlarmActions", json!({"AlarmNames": ["b"]}));
    lab.ok("EnableAlarmActions", json!({"AlarmNames": ["b"]}));
}

/// The sum of a figure of the platform in the last ten minutes.
fn figure(lab: &Lab, namespace: &str, metric: &str, dimensions: Value, statistic: &str) -> Option<f64> {
    let now = lab.now() / 1000;
    let input = json!({
        "Namespace": namespace, "MetricName": metric, "Dimensions": dimensions, "StartTime": now - 600, "EndTime": now,
        "Period": 600, "Statistics": [statistic],
    });
    let answer = lab.ok("GetMetricStatistics", input);
    let points = points(&answer, statistic);
    assert!(points.len() <= 1);
    points.first().map(|(_, value)| *value)
}

#[test]
fn what_the_platform_does_is_counted_and_written_once_a_minute() {
    let lab = lab();
    lab.tick().unwrap();
    let id = lab.identity(json!([
        statement("Allow", "iot:Connect", &["client/c"]),
        statement("Allow", "iot:*", &["topic/a", "topicfilter/a"]),
    ]));
    assert!(lab.arrive(&id, &hello(Version::V5, "other")).is_err());
    let device = lab.device(&id, Version::V5, "c");
    device.give(subscribe([subscription("a"), subscription("b")]));
    device.publish("a", "x");
    device.publish("a", "y");
    device.heard();
    device.give(Packet::Unsubscribe(mqtt::Unsubscribe {
        packet_id: packet_id(2),
        filters: vec![mqtt::Filter::try_from("a").unwrap()],
        properties: mqtt::UnsubscribeProperties::default(),
    }));
    let key = || cloud::Identity::Key("key".to_owned());
    lab.call_as(key(), "Publish", json!({"topic": "a"}), b"x").unwrap();
    lab.call_as(key(), "UpdateThingShadow", json!({"thingName": "t"}), br#"{"state":{"reported":{"a":1}}}"#).unwrap();
    lab.call_as(key(), "GetThingShadow", json!({"thingName": "t"}), b"").unwrap();
    assert_eq!(lab.rows("metric_series"), 0);
    lab.pass(MINUTE);
    lab.tick().unwrap();
    lab.pass(MINUTE);
    lab.tick().unwrap();
    let expected = [
        ("Connect.Success", "MQTT", 1.0),
        ("Connect.AuthError", "MQTT", 1.0),
        ("Subscribe.Success", "MQTT", 1.0),
        ("Subscribe.AuthError", "MQTT", 1.0),
        ("Unsubscribe.Success", "MQTT", 1.0),
        ("PublishIn.Success", "MQTT", 2.0),
        ("PublishOut.Success", "MQTT", 2.0),
        ("PublishIn.Success", "HTTP", 1.0),
        ("UpdateThingShadow.Accepted", "HTTP", 1.0),
        ("GetThingShadow.Accepted", "HTTP", 1.0),
    ];
    for (metric, protocol, sum) in expected {
        let dimensions = json!([{"Name": "Protocol", "Value": protocol}]);
        assert_eq!(figure(&lab, "AWS/IoT", metric, dimensions, "Sum"), Some(sum), "{metric} {protocol}");
        let dimensions = vec![("Protocol".to_owned(), protocol.to_owned())];
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
        let total = Total { metric: metric.to_owned(), dimensions, value: sum as u64 };
        assert!(lab.totals().contains(&total), "{total:?}");
    }
}

#[test]
fn rules_and_their_actions_are_counted() {
    let lab = lab();
    lab.tick().unwrap();
    let by = "arn:aws:iam::000000000000:role/r";
    let queue = json!({"sqs": {"roleArn": by, "queueUrl": "http://q/1"}});
    let error_action = json!({"republish": {"roleArn": by, "topic": "errors", "qos": 0}});
    let rule = json!({"sql": "SELECT * FROM 'x' WHERE a = 1", "actions": [queue], "errorAction": error_action});
    lab.ok("CreateTopicRule", json!({"ruleName": "r", "topicRulePayload": rule}));
    let device = lab.device(&lab.identity(everything()), Version::V311, "c");
    for (number, payload) in [r#"{"a":1}"#, r#"{"a":1}"#, r#"{"a":2}"#, "a=1"].into_iter().enumerate() {
        device.publish("x", payload);
        let fails = number == 0;
        let down = || cloud::actions::Failure::new(cloud::actions::Cause::Status(500), "down");
        lab.work(|_| if fails { Err(down()) } else { Ok(()) }, |_| Err(String::new()));
    }
    device.publish("$aws/rules/none/x", "{}");
    lab.work(|_| Ok(()), |_| Err(String::new()));
    lab.pass(MINUTE);
    lab.tick().unwrap();
    lab.pass(MINUTE);
    let of = |rule: &str, action: Option<&str>| {
        let action = action.map(|action| json!({"Name": "ActionType", "Value": action}));
        json!([json!({"Name": "RuleName", "Value": rule})].into_iter().chain(action).collect::<Vec<Value>>())
    };
    let expected = [
        ("TopicMatch", of("r", None), 4.0),
        ("ParseError", of("r", None), 1.0),
        ("RulesExecuted", json!([]), 2.0),
        ("Success", of("r", Some("Sqs")), 1.0),
        ("Failure", of("r", Some("Sqs")), 1.0),
        ("ErrorActionSuccess", of("r", Some("Republish")), 1.0),
        ("RuleNotFound", of("none", None), 1.0),
    ];
    for (metric, dimensions, sum) in expected {
        assert_eq!(figure(&lab, "AWS/IoT", metric, dimensions, "Sum"), Some(sum), "{metric}");
    }
    let total = lab.totals().into_iter().find(|total| total.metric == "TopicMatch").unwrap();
    assert_eq!((total.dimensions, total.value), (vec![("RuleName".to_owned(), "r".to_owned())], 4));
}

#[test]
fn how_an_http_action_failed_is_counted() {
    use cloud::actions::{Cause, Failure, Work};
    let lab = lab();
    lab.tick().unwrap();
    let rule = json!({"sql": "SELECT * FROM 'x'", "actions": [{"http": {"url": "https://sink.example.com/"}}]});
    lab.ok("CreateTopicRule", json!({"ruleName": "r", "topicRulePayload": rule}));
    let sent = lab.work(|_| Ok(()), |_| Err(String::new()));
    let Work::Http(challenge) = &sent[0].effect.work else { panic!() };
    let challenge: Value = serde_json::from_slice(&challenge.body).unwrap();
    lab.ok("ConfirmTopicRuleDestination", json!({"confirmationToken": challenge["confirmationToken"]}));
    let device = lab.device(&lab.identity(everything()), Version::V311, "c");
    for cause in [Cause::Status(404), Cause::Status(503), Cause::Status(503), Cause::TimedOut, Cause::Overflow] {
        device.publish("x", "{}");
        lab.work(|_| Err(Failure::new(cause, "no")), |_| Err(String::new()));
    }
    lab.pass(MINUTE);
    lab.tick().unwrap();
    lab.pass(MINUTE);
    let dimensions = json!([{"Name": "RuleName", "Value": "r"}, {"Name": "ActionType", "Value": "Http"}]);
    for (metric, sum) in [
        ("Failure", Some(5.0)),
        ("HttpCode_4XX", Some(1.0)),
        ("HttpCode_5XX", Some(2.0)),
        ("HttpRequestTimeout", Some(1.0)),
        ("HttpUnknownHost", None),
    ] {
        assert_eq!(figure(&lab, "AWS/IoT", metric, dimensions.clone(), "Sum"), sum, "{metric}");
    }
}

#[test]
fn shadows_have_figures_of_their_own() {
    let lab = lab();
    lab.tick().unwrap();
    let id = lab.identity(everything());
    let device = lab.device(&id, Version::V311, "c");
    let update = |shadow: &str, state: &str| {
        device.publish(&format!("$aws/things/t/shadow{shadow}/update"), &format!("{{\"state\":{state}}}"));
    };
    update("/name/s", r#"{"desired":{"a":1}}"#);
    lab.pass(1500);
    update("/name/s", r#"{"reported":{"b":2}}"#);
    lab.pass(1000);
    update("/name/s", r#"{"reported":{"a":1}}"#);
    lab.pass(500);
    update("/name/s", r#"{"reported":{"a":1}}"#);
    update("", r#"{"reported":{"a":1}}"#);
    lab.pass(MINUTE);
    lab.tick().unwrap();
    lab.pass(MINUTE);
    let thing = json!({"Name": "ThingName", "Value": "t"});
    let own = json!([thing, {"Name": "ShadowName", "Value": "s"}]);
    let of = |dimensions: &Value, metric: &str, statistic: &str| {
        figure(&lab, "Ombra/Shadow", metric, dimensions.clone(), statistic)
    };
    assert_eq!(of(&own, "UpdateCount", "Sum"), Some(4.0));
    assert_eq!(of(&own, "DocumentBytes", "Maximum"), Some(20.0));
    assert_eq!(of(&own, "DesiredToReportedLatency", "SampleCount"), Some(1.0));
    assert_eq!(of(&own, "DesiredToReportedLatency", "Sum"), Some(2500.0));
    assert_eq!(of(&json!([thing]), "UpdateCount", "Sum"), Some(1.0), "the classic shadow has no ShadowName");
    assert_eq!(of(&json!([]), "UpdateCount", "Sum"), Some(5.0), "all of them together");
}

#[test]
fn a_latency_outlives_a_restart_and_ends_with_its_shadow() {
    let lab = lab();
    let key = || cloud::Identity::Key("key".to_owned());
    let shadow = |lab: &Lab, operation: &str, payload: &str| {
        lab.call_as(key(), operation, json!({"thingName": "t"}), payload.as_bytes()).unwrap()
    };
    shadow(&lab, "UpdateThingShadow", r#"{"state":{"desired":{"a":1}}}"#);
    let lab = lab.restarted();
    lab.tick().unwrap();
    lab.pass(MINUTE);
    shadow(&lab, "UpdateThingShadow", r#"{"state":{"reported":{"a":1}}}"#);
    lab.pass(MINUTE);
    lab.tick().unwrap();
    assert_eq!(figure(&lab, "Ombra/Shadow", "DesiredToReportedLatency", json!([]), "Sum"), Some(60_000.0));
    shadow(&lab, "UpdateThingShadow", r#"{"state":{"desired":{"a":2}}}"#);
    assert_eq!(lab.rows("shadows_unsettled"), 1);
    shadow(&lab, "DeleteThingShadow", "");
    assert_eq!(lab.rows("shadows_unsettled"), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However values are cut into periods, none is lost and none counts twice.
    #[test]
    fn periods_of_any_length_hold_all_values(
        values in prop::collection::vec((0_i64..1200, 1_u8..10), 1..40),
        minutes in 1_i64..7,
    ) {
        let lab = lab();
        for (after, number) in &values {
            value(&lab, *after, f64::from(*number));
        }
        let answer = lab.ok("GetMetricStatistics", asked(minutes * 60, 20, json!(["Sum"])));
        let found = points(&answer, "Sum");
        let mut expected = std::collections::BTreeMap::<i64, f64>::new();
        for (after, number) in values {
            *expected.entry(after.div_euclid(minutes * 60) * minutes * 60).or_default() += f64::from(number);
        }
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn alarms_have_tags() {
    let lab = lab();
    alarm(&lab, json!({"Tags": [{"Key": "room", "Value": "attic"}]}));
    let arn = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:high";
    let tags = || lab.ok("cloudwatch:ListTagsForResource", json!({"ResourceARN": arn}))["Tags"].clone();
    assert_eq!(tags(), json!([{"Key": "room", "Value": "attic"}]));
    // An alarm that is there keeps its tags; those of the request are for new ones.
    alarm(&lab, json!({"Tags": [{"Key": "x", "Value": "y"}]}));
    let more = json!([{"Key": "room", "Value": "hall"}, {"Key": "floor", "Value": "2"}]);
    lab.ok("cloudwatch:TagResource", json!({"ResourceARN": arn, "Tags": more}));
    assert_eq!(tags(), json!([{"Key": "floor", "Value": "2"}, {"Key": "room", "Value": "hall"}]));
    lab.ok("cloudwatch:UntagResource", json!({"ResourceARN": arn, "TagKeys": ["floor", "none"]}));
    assert_eq!(tags(), json!([{"Key": "room", "Value": "hall"}]));
    let twice = json!([{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]);
    let refused =
        |resource: &str, tags: &Value| lab.no("cloudwatch:TagResource", json!({"ResourceARN": resource, "Tags": tags}));
    assert_eq!(refused(arn, &twice), "InvalidParameterValue");
    assert_eq!(refused(arn, &json!([{"Key": "aws:a", "Value": "1"}])), "InvalidParameterValue");
    let many: Vec<Value> = (0..50).map(|number| json!({"Key": format!("k{number}"), "Value": ""})).collect();
    assert_eq!(refused(arn, &json!(many)), "InvalidParameterValue");
    assert_eq!(refused(&format!("{arn}er"), &json!([])), "ResourceNotFound");
    assert_eq!(refused("high", &json!([])), "InvalidParameterValue");
    // Whoever asks for the tags of an alarm that is gone is told that it has none.
    lab.ok("DeleteAlarms", json!({"AlarmNames": ["high"]}));
    assert_eq!(tags(), json!([]));
}
