"""Log groups as stock clients use them: boto3 and its paginators, the AWS CLI as at a prompt, and the platform's own logs.

What a group keeps, and how pages and patterns behave in every corner, is in the tests of the nouns; here the wire is tested.
"""

import json
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from house import ACCOUNT, REGION, wait_for
from test_aws_cli import Shell
from test_boto3 import Checked, refused

pytestmark = pytest.mark.timeout(120)


def now() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)


@pytest.fixture(scope="module")
def logs(ombra):
    """The log groups, held against their model."""
    return Checked(ombra.client("logs"))


@pytest.fixture(scope="module")
def aws(ombra, tmp_path_factory):
    """A prompt."""
    beside = Path(sys.executable).with_name("aws")
    assert beside.exists(), "no AWS CLI in this Python's environment"
    return Shell(ombra, tmp_path_factory.mktemp("shell"), str(beside))


def test_a_group_is_made_filled_read_and_deleted(logs):
    assert logs.create_log_group(logGroupName="/app/one", tags={"team": "a"}) == {}
    assert logs.create_log_stream(logGroupName="/app/one", logStreamName="s") == {}
    moment = now()
    events = [{"timestamp": moment + index, "message": f"line {index}"} for index in range(3)]
    put = logs.put_log_events(logGroupName="/app/one", logStreamName="s", logEvents=events)
    assert put["nextSequenceToken"] and "rejectedLogEventsInfo" not in put
    read = logs.get_log_events(logGroupName="/app/one", logStreamName="s", startFromHead=True)
    assert [(event["timestamp"], event["message"]) for event in read["events"]] == [
        (event["timestamp"], event["message"]) for event in events
    ]
    again = logs.get_log_events(
        logGroupName="/app/one", logStreamName="s", nextToken=read["nextForwardToken"], startFromHead=True
    )
    assert (again["events"], again["nextForwardToken"]) == ([], read["nextForwardToken"])
    group = logs.describe_log_groups(logGroupNamePrefix="/app/")["logGroups"][0]
    assert group["arn"] == f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/app/one:*"
    assert group["storedBytes"] == 3 * (6 + 26)
    assert logs.list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"] == {"team": "a"}
    stream = logs.describe_log_streams(logGroupName="/app/one", orderBy="LastEventTime", descending=True)["logStreams"][0]
    assert (stream["firstEventTimestamp"], stream["lastEventTimestamp"]) == (moment, moment + 2)
    assert logs.delete_log_group(logGroupName="/app/one") == {}
    assert logs.describe_log_groups(logGroupNamePrefix="/app/")["logGroups"] == []


def test_a_protected_group_is_not_deleted(logs):
    logs.create_log_group(logGroupName="kept", deletionProtectionEnabled=True)
    refused(logs.delete_log_group, 400, "ValidationException", logGroupName="kept")
    logs.put_log_group_deletion_protection(logGroupIdentifier="kept", deletionProtectionEnabled=False)
    assert [group["logGroupName"] for group in logs.list_log_groups(logGroupNamePattern="^kept")["logGroups"]] == ["kept"]
    logs.delete_log_group(logGroupName="kept")


def test_refusals_have_the_names_and_statuses_of_the_service(logs):
    refused(logs.get_log_events, 400, "ResourceNotFoundException", "The specified log group does not exist.",
            logGroupName="none", logStreamName="s")
    logs.create_log_group(logGroupName="twice")
    refused(logs.create_log_group, 400, "ResourceAlreadyExistsException", logGroupName="twice")
    refused(logs.create_log_group, 400, "InvalidParameterException", logGroupName="no spaces")
    refused(logs.filter_log_events, 400, "InvalidParameterException", "Invalid character(s) in term 'a-b'",
            logGroupName="twice", filterPattern="a-b")
    refused(logs.put_metric_filter, 501, "NotImplementedException", logGroupName="twice", filterName="f",
            filterPattern="", metricTransformations=[{"metricName": "m", "metricNamespace": "n", "metricValue": "1"}])
    refused(logs.start_query, 501, "NotImplementedException", logGroupName="twice", startTime=0, endTime=1,
            queryString="fields @message")


def test_a_batch_of_the_largest_size_passes_and_one_byte_more_does_not(logs):
    logs.create_log_group(logGroupName="large")
    logs.create_log_stream(logGroupName="large", logStreamName="s")
    put = lambda *sizes: logs.put_log_events(
        logGroupName="large", logStreamName="s", logEvents=[{"timestamp": now(), "message": "\n" * size} for size in sizes]
    )
    put(1_048_576 - 26)
    put(*[79] * 9_986)
    with pytest.raises(ClientError, match="Upload too large: 1048577 bytes"):
        put(1_048_576 - 26 - 27, 2)
    read = logs.get_log_events(logGroupName="large", logStreamName="s", startFromHead=True)
    assert len(read["events"]) == 1


def test_paginators_meet_every_event_once(ombra, logs):
    logs.create_log_group(logGroupName="paged")
    moment = now() - 1000
    for stream in ["a", "b"]:
        logs.create_log_stream(logGroupName="paged", logStreamName=stream)
        events = [{"timestamp": moment + index, "message": f"{stream}{index}"} for index in range(25)]
        logs.put_log_events(logGroupName="paged", logStreamName=stream, logEvents=events)
    client = ombra.client("logs")
    pages = client.get_paginator("filter_log_events").paginate(logGroupName="paged", PaginationConfig={"PageSize": 7})
    found = [event["message"] for page in pages for event in page["events"]]
    assert found == [f"{stream}{index}" for index in range(25) for stream in "ab"]
    for index in range(60):
        logs.create_log_stream(logGroupName="paged", logStreamName=f"x{index:02}")
    streams = client.get_paginator("describe_log_streams").paginate(logGroupName="paged")
    assert len([stream for page in streams for stream in page["logStreams"]]) == 62


def test_patterns_find_words_json_and_fields(logs):
    logs.create_log_group(logGroupName="patterns")
    logs.create_log_stream(logGroupName="patterns", logStreamName="s")
    lines = ["[ERROR] one", "[WARN] two", json.dumps({"level": "ERROR", "code": 500}), "127.0.0.1 GET 404"]
    events = [{"timestamp": now(), "message": line} for line in lines]
    logs.put_log_events(logGroupName="patterns", logStreamName="s", logEvents=events)
    find = lambda pattern: [
        event["message"] for event in logs.filter_log_events(logGroupName="patterns", filterPattern=pattern)["events"]
    ]
    assert find("ERROR") == [lines[0], lines[2]]
    assert find("ERROR -one") == [lines[2]]
    assert find("?one ?two") == lines[:2]
    assert find('{ $.level = "ERROR" && $.code >= 500 }') == [lines[2]]
    assert find("[ip, verb, status = 4*]") == [lines[3]]


def test_the_recipes_two_commands_show_a_functions_lines(ombra, aws, logs):
    """As in a walkthrough: the group by its prefix, then its events since some minutes ago."""
    group = "/aws/lambda/shadow-processor"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="2025/01/01/[$LATEST]0")
    lines = ["START RequestId: 1", "shadow updated", "END RequestId: 1", "REPORT RequestId: 1"]
    events = [{"timestamp": now(), "message": line} for line in lines]
    logs.put_log_events(logGroupName=group, logStreamName="2025/01/01/[$LATEST]0", logEvents=events)
    listed = aws("logs", "describe-log-groups", "--log-group-name-prefix", group)
    assert [found["logGroupName"] for found in listed["logGroups"]] == [group]
    since = f"{int(time.time()) - 300}000"
    found = aws("logs", "filter-log-events", "--log-group-name", group, "--start-time", since)
    assert [event["message"] for event in found["events"]] == lines
    aws("logs", "put-retention-policy", "--log-group-name", group, "--retention-in-days", "7")
    assert aws("logs", "describe-log-groups", "--log-group-name-prefix", group)["logGroups"][0]["retentionInDays"] == 7
    aws.refused("NotImplementedException", "logs", "describe-metric-filters")
    aws("logs", "delete-log-group", "--log-group-name", group)
    aws.refused("ResourceNotFoundException", "logs", "filter-log-events", "--log-group-name", group)


def test_what_was_logged_survives_a_power_cut(own_ombra):
    own_ombra.start()
    logs = own_ombra.client("logs")
    logs.create_log_group(logGroupName="kept")
    logs.create_log_stream(logGroupName="kept", logStreamName="s")
    for index in range(20):
        logs.put_log_events(
            logGroupName="kept", logStreamName="s", logEvents=[{"timestamp": now(), "message": str(index)}]
        )
    own_ombra.kill()
    own_ombra.start()
    read = own_ombra.client("logs").get_log_events(logGroupName="kept", logStreamName="s", startFromHead=True)
    assert [event["message"] for event in read["events"]] == [str(index) for index in range(20)]


def test_the_platform_logs_what_it_does_once_it_is_asked_to(ombra, logs, iot, iot_data, aws):
    refused(iot.get_v2_logging_options, 404, "NotConfiguredException")
    role = f"arn:aws:iam::{ACCOUNT}:role/logs"
    aws("iot", "set-v2-logging-options", "--role-arn", role, "--default-log-level", "INFO")
    assert iot.get_v2_logging_options()["defaultLogLevel"] == "INFO"
    iot_data.update_thing_shadow(thingName="lamp", payload=json.dumps({"state": {"desired": {"on": True}}}))
    iot_data.publish(topic="hello", payload=b"x")

    def told():
        try:
            events = logs.filter_log_events(logGroupName="AWSIotLogsV2")["events"]
        except ClientError:
            return None
        entries = [json.loads(event["message"]) for event in events]
        return entries if len(entries) >= 2 else None

    entries = wait_for(told, "the platform's log entries")
    assert [(entry["eventType"], entry["status"]) for entry in entries] == [
        ("UpdateThingShadow", "Success"), ("Publish-In", "Success"),
    ]
    assert entries[0]["accountId"] == ACCOUNT and entries[1]["topicName"] == "hello"
    found = logs.filter_log_events(logGroupName="AWSIotLogsV2", filterPattern='{ $.eventType = "Publish-In" }')
    assert len(found["events"]) == 1
    aws("iot", "set-v2-logging-options", "--default-log-level", "DISABLED")
