"""Metrics as stock clients use them: boto3 (JSON, and compressed once a request is large), the AWS CLI, and the platform's own
figures, in CloudWatch's form and in Prometheus's.

What a period holds and how an alarm is judged is in the tests of the nouns; here the wire is tested.
"""

import datetime
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from house import ACCOUNT, PATIENCE, REGION, wait_for
from test_aws_cli import Shell
from test_boto3 import Checked, refused

pytestmark = pytest.mark.timeout(180)
UTC = datetime.timezone.utc


@pytest.fixture(scope="module")
def cloudwatch(ombra):
    """The metrics, held against their model."""
    return Checked(ombra.client("cloudwatch"))


@pytest.fixture(scope="module")
def aws(ombra, tmp_path_factory):
    """A prompt."""
    beside = Path(sys.executable).with_name("aws")
    assert beside.exists(), "no AWS CLI in this Python's environment"
    return Shell(ombra, tmp_path_factory.mktemp("shell"), str(beside))


def minutes(ago: int, ahead: int = 2) -> dict:
    """A span around now in whole minutes."""
    now = datetime.datetime.now(UTC).replace(second=0, microsecond=0)
    return {"StartTime": now - datetime.timedelta(minutes=ago), "EndTime": now + datetime.timedelta(minutes=ahead)}


def total(cloudwatch, namespace: str, metric: str, **dimensions) -> float:
    """The sum of a metric in the last hour."""
    pairs = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    told = cloudwatch.get_metric_statistics(
        Namespace=namespace, MetricName=metric, Dimensions=pairs, Period=60, Statistics=["Sum"], **minutes(60)
    )
    return sum(point["Sum"] for point in told["Datapoints"])


def test_values_are_put_and_asked_for_as_statistics(cloudwatch):
    room = [{"Name": "Room", "Value": "hall"}]
    data = [
        {"MetricName": "Temperature", "Dimensions": room, "Value": 20.5, "Unit": "None"},
        {"MetricName": "Temperature", "Dimensions": room, "Values": [21.5, 22.5], "Counts": [1, 2]},
    ]
    assert cloudwatch.put_metric_data(Namespace="House", MetricData=data) == {}
    asked = {"Namespace": "House", "MetricName": "Temperature", "Dimensions": room, "Period": 3600, **minutes(30)}
    told = cloudwatch.get_metric_statistics(Statistics=["SampleCount", "Average", "Minimum", "Maximum", "Sum"], **asked)
    assert told["Label"] == "Temperature"
    [point] = told["Datapoints"]
    assert point.pop("Timestamp") == asked["StartTime"]
    assert point == {"SampleCount": 4.0, "Average": 21.75, "Minimum": 20.5, "Maximum": 22.5, "Sum": 87.0, "Unit": "None"}
    told = cloudwatch.get_metric_statistics(ExtendedStatistics=["p50"], **asked)
    assert told["Datapoints"][0]["ExtendedStatistics"] == {"p50": 21.5}
    [metric] = cloudwatch.list_metrics(Namespace="House")["Metrics"]
    assert metric == {"Namespace": "House", "MetricName": "Temperature", "Dimensions": room}


def test_several_metrics_are_asked_for_at_once(ombra, cloudwatch):
    for name in ["a", "b"]:
        cloudwatch.put_metric_data(Namespace="Several", MetricData=[{"MetricName": name, "Value": 1.0}])
    query = lambda name: {
        "Id": name, "MetricStat": {"Metric": {"Namespace": "Several", "MetricName": name}, "Period": 60, "Stat": "Sum"},
    }
    told = cloudwatch.get_metric_data(MetricDataQueries=[query("a"), query("b"), query("c")], **minutes(10))
    assert [(result["Id"], result["Values"], result["StatusCode"]) for result in told["MetricDataResults"]] == [
        ("a", [1.0], "Complete"), ("b", [1.0], "Complete"), ("c", [], "Complete"),
    ]
    assert told["MetricDataResults"][0]["Timestamps"][0].tzinfo is not None
    expression = {"Id": "e", "Expression": "a + b"}
    refused(cloudwatch.get_metric_data, 501, "NotImplementedException", MetricDataQueries=[expression], **minutes(10))


def test_a_large_request_comes_compressed(ombra, cloudwatch):
    data = [
        {"MetricName": f"m{index:03}", "Value": float(index), "Dimensions": [{"Name": "Padding", "Value": "x" * 100}]}
        for index in range(500)
    ]
    sent = []
    client = ombra.client("cloudwatch")
    client.meta.events.register("before-send.cloudwatch.PutMetricData", lambda request, **_: sent.append(request.headers))
    client.put_metric_data(Namespace="Large", MetricData=data)
    assert sent[0]["Content-Encoding"] in (b"gzip", "gzip")
    pages = client.get_paginator("list_metrics").paginate(Namespace="Large")
    assert sum(len(page["Metrics"]) for page in pages) == 500


def test_refusals_have_the_names_of_the_service(cloudwatch):
    refused(cloudwatch.put_metric_data, 400, "InvalidParameterValue", Namespace="AWS/IoT",
            MetricData=[{"MetricName": "m", "Value": 1.0}])
    refused(cloudwatch.put_metric_data, 400, "MissingParameter", Namespace="N", MetricData=[{"MetricName": "m"}])
    refused(cloudwatch.set_alarm_state, 404, "ResourceNotFound", AlarmName="none", StateValue="OK", StateReason="r")
    refused(cloudwatch.put_dashboard, 501, "NotImplementedException", DashboardName="d", DashboardBody="{}")


def test_an_alarm_goes_off_and_is_told(ombra, cloudwatch):
    cloudwatch.put_metric_alarm(
        AlarmName="hot", Namespace="Alarms", MetricName="Heat", Statistic="Maximum", Period=10, EvaluationPeriods=1,
        Threshold=30.0, ComparisonOperator="GreaterThanThreshold", TreatMissingData="notBreaching",
    )
    [alarm] = cloudwatch.describe_alarms(AlarmNames=["hot"])["MetricAlarms"]
    assert alarm["AlarmArn"] == f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:hot"
    data = [{"MetricName": "Heat", "Value": 40.0, "StorageResolution": 1}]

    def is_alarming():
        cloudwatch.put_metric_data(Namespace="Alarms", MetricData=data)
        time.sleep(0.5)
        return cloudwatch.describe_alarms(AlarmNames=["hot"], StateValue="ALARM")["MetricAlarms"]

    [alarm] = wait_for(is_alarming, "the alarm", patience=60)
    assert "greater than the threshold (30.0)" in alarm["StateReason"]
    assert ombra.event("alarm", name="hot", state="ALARM")
    items = cloudwatch.describe_alarm_history(AlarmName="hot", HistoryItemType="StateUpdate")["AlarmHistoryItems"]
    assert items[0]["HistorySummary"].endswith("to ALARM")
    refused(cloudwatch.put_metric_alarm, 501, "NotImplementedException", AlarmName="acts", Namespace="N", MetricName="m",
            Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1.0, ComparisonOperator="GreaterThanThreshold",
            AlarmActions=[f"arn:aws:sns:{REGION}:{ACCOUNT}:topic"])
    assert cloudwatch.delete_alarms(AlarmNames=["hot"]) == {}


def test_the_cli_puts_and_reads_a_metric(aws):
    aws("cloudwatch", "put-metric-data", "--namespace", "Prompt", "--metric-name", "m", "--value", "3", "--unit", "Count")
    span = minutes(10)
    told = aws(
        "cloudwatch", "get-metric-statistics", "--namespace", "Prompt", "--metric-name", "m", "--period", "60",
        "--statistics", "Sum", "--start-time", span["StartTime"].isoformat(), "--end-time", span["EndTime"].isoformat(),
    )
    assert [(point["Sum"], point["Unit"]) for point in told["Datapoints"]] == [(3.0, "Count")]
    assert aws("cloudwatch", "list-metrics", "--namespace", "Prompt")["Metrics"][0]["MetricName"] == "m"


def by_form(ombra, action: str, **parameters) -> str:
    """A request as older clients write it: a form, answered by XML."""
    body = urllib.parse.urlencode({"Action": action, "Version": "2010-08-01", **parameters})
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    request = AWSRequest("POST", ombra.url + "/", headers=headers, data=body)
    SigV4Auth(Credentials("test", "test"), "monitoring", REGION).add_auth(request)
    sent = urllib.request.Request(ombra.url + "/", data=body.encode(), headers=dict(request.headers))
    with urllib.request.urlopen(sent, timeout=PATIENCE) as answer:
        return answer.read().decode()


def test_older_clients_speak_in_forms(ombra):
    put = {
        "Namespace": "Forms", "MetricData.member.1.MetricName": "m", "MetricData.member.1.Value": "4.5",
        "MetricData.member.1.Dimensions.member.1.Name": "d", "MetricData.member.1.Dimensions.member.1.Value": "v",
    }
    assert "<PutMetricDataResponse" in by_form(ombra, "PutMetricData", **put)
    span = {name: moment.strftime("%Y-%m-%dT%H:%M:%SZ") for name, moment in minutes(10).items()}
    asked = {
        "Namespace": "Forms", "MetricName": "m", "Period": "60", "Statistics.member.1": "Sum",
        "Dimensions.member.1.Name": "d", "Dimensions.member.1.Value": "v", **span,
    }
    told = by_form(ombra, "GetMetricStatistics", **asked)
    assert "<Sum>4.5</Sum>" in told and "<Unit>None</Unit>" in told, told
    query = {
        "MetricDataQueries.member.1.Id": "q", "MetricDataQueries.member.1.MetricStat.Metric.Namespace": "Forms",
        "MetricDataQueries.member.1.MetricStat.Metric.MetricName": "m",
        "MetricDataQueries.member.1.MetricStat.Metric.Dimensions.member.1.Name": "d",
        "MetricDataQueries.member.1.MetricStat.Metric.Dimensions.member.1.Value": "v",
        "MetricDataQueries.member.1.MetricStat.Period": "60", "MetricDataQueries.member.1.MetricStat.Stat": "Sum", **span,
    }
    told = by_form(ombra, "GetMetricData", **query)
    assert "<Values><member>4.5</member></Values>" in told and "Z</member></Timestamps>" in told, told


def test_a_protocol_that_is_not_spoken_is_refused_by_name(ombra):
    path = "/service/GraniteServiceVersion20100801/operation/ListMetrics"
    headers = {"smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}
    request = AWSRequest("POST", ombra.url + path, headers=headers, data=b"\xa0")
    SigV4Auth(Credentials("test", "test"), "monitoring", REGION).add_auth(request)
    sent = urllib.request.Request(ombra.url + path, data=b"\xa0", headers=dict(request.headers))
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(sent, timeout=PATIENCE)
    assert caught.value.code == 501 and b"rpc-v2-cbor is not implemented" in caught.value.read()


def test_the_platforms_figures_are_in_both_places(own_ombra):
    """Written to CloudWatch once a minute, and on `/metrics` at once."""
    own_ombra.start()
    iot_data, cloudwatch = own_ombra.client("iot-data"), own_ombra.client("cloudwatch")
    update = lambda state: iot_data.update_thing_shadow(thingName="lamp", payload=json.dumps({"state": state}))
    update({"desired": {"on": True}})
    time.sleep(0.2)
    update({"reported": {"on": True}})
    iot_data.publish(topic="hello", payload=b"x")
    _, page = own_ombra.get("/metrics")
    assert 'ombra_iot_total{metric="UpdateThingShadow.Accepted",protocol="HTTP"} 2' in page
    assert 'ombra_iot_total{metric="PublishIn.Success",protocol="HTTP"} 1' in page
    written = lambda: total(cloudwatch, "AWS/IoT", "UpdateThingShadow.Accepted", Protocol="HTTP") == 2
    wait_for(written, "the figures of a minute", patience=90)
    assert total(cloudwatch, "Ombra/Shadow", "UpdateCount", ThingName="lamp") == 2
    latency = total(cloudwatch, "Ombra/Shadow", "DesiredToReportedLatency", ThingName="lamp")
    assert 150 <= latency < 20_000, latency
    names = {metric["MetricName"] for metric in cloudwatch.list_metrics(Namespace="Ombra/Shadow")["Metrics"]}
    assert names == {"UpdateCount", "DocumentBytes", "DesiredToReportedLatency"}
