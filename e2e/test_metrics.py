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

import botocore.model
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
    told = refused(cloudwatch.put_metric_data, 400, "InvalidParameterValue", Namespace="AWS/IoT",
                   MetricData=[{"MetricName": "m", "Value": 1.0}])
    assert told["Error"]["QueryErrorCode"] == "InvalidParameterValueException"
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


def test_an_alarm_is_read_with_its_tags_as_terraform_reads_it(cloudwatch):
    cloudwatch.put_metric_alarm(
        AlarmName="tagged", Namespace="Alarms", MetricName="Heat", Statistic="Maximum", Period=60, EvaluationPeriods=1,
        Threshold=30.0, ComparisonOperator="GreaterThanThreshold", Tags=[{"Key": "room", "Value": "attic"}],
    )
    [alarm] = cloudwatch.describe_alarms(AlarmNames=["tagged"], AlarmTypes=["MetricAlarm"])["MetricAlarms"]
    arn = alarm["AlarmArn"]
    cloudwatch.tag_resource(ResourceARN=arn, Tags=[{"Key": "floor", "Value": "2"}])
    cloudwatch.untag_resource(ResourceARN=arn, TagKeys=["room"])
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "floor", "Value": "2"}]
    refused(cloudwatch.tag_resource, 404, "ResourceNotFoundException", ResourceARN=arn + "-not", Tags=[])
    cloudwatch.delete_alarms(AlarmNames=["tagged", "never-there"])
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == []


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


@pytest.fixture
def cbor(ombra, monkeypatch):
    """The metrics for a boto3 that puts CBOR before JSON, as the SDKs for Go, Rust and JavaScript do. Of an answer without members
    it tells nothing at all in CBOR, so those are not held against the model."""
    monkeypatch.setattr(botocore.model, "PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", ("smithy-rpc-v2-cbor",))
    client = ombra.client("cloudwatch")
    assert client.meta.service_model.resolved_protocol == "smithy-rpc-v2-cbor"
    answers = []
    client.meta.events.register("after-call", lambda http_response, **_: answers.append(http_response.headers))
    yield Checked(client)
    assert answers and all(it["smithy-protocol"] == "rpc-v2-cbor" for it in answers), answers


def test_metrics_are_put_and_read_in_cbor(cbor, cloudwatch):
    room = [{"Name": "Räum", "Value": "hall"}]
    seen = datetime.datetime.now(UTC).replace(microsecond=0) - datetime.timedelta(minutes=3)
    data = [
        {"MetricName": "T", "Dimensions": room, "Value": 20.5, "Unit": "None", "Timestamp": seen},
        {"MetricName": "T", "Dimensions": room, "Values": [21.5, 22.5], "Counts": [1, 2], "Timestamp": seen},
        {"MetricName": "T", "Dimensions": room, "Timestamp": seen,
         "StatisticValues": {"SampleCount": 2, "Sum": -7, "Minimum": -4, "Maximum": -3}},
    ]
    cbor.client.put_metric_data(Namespace="Cbor", MetricData=data)
    asked = {"Namespace": "Cbor", "MetricName": "T", "Dimensions": room, "Period": 60, **minutes(10)}
    told = cbor.get_metric_statistics(Statistics=["SampleCount", "Sum", "Minimum"], **asked)
    [point] = told["Datapoints"]
    assert point.pop("Timestamp") == seen.replace(second=0)
    assert point == {"SampleCount": 6.0, "Sum": 80.0, "Minimum": -4.0, "Unit": "None"}
    [same] = cloudwatch.get_metric_statistics(Statistics=["SampleCount", "Sum", "Minimum"], **asked)["Datapoints"]
    assert same == {**point, "Timestamp": seen.replace(second=0)}
    query = {"Id": "q", "MetricStat": {"Metric": {"Namespace": "Cbor", "MetricName": "T", "Dimensions": room},
                                       "Period": 60, "Stat": "Sum"}}
    [result] = cbor.get_metric_data(MetricDataQueries=[query], **minutes(10))["MetricDataResults"]
    assert (result["Values"], result["Timestamps"], result["StatusCode"]) == ([80.0], [seen.replace(second=0)], "Complete")
    assert cbor.list_metrics(Namespace="Cbor")["Metrics"] == cloudwatch.list_metrics(Namespace="Cbor")["Metrics"]
    assert cbor.list_metrics(Namespace="Nothing")["Metrics"] == []
    many = [{"MetricName": f"m{index}", "Value": float(index)} for index in range(900)]
    cbor.client.put_metric_data(Namespace="CborMany", MetricData=many)  # compressed


def test_alarms_are_put_and_described_in_cbor(cbor, cloudwatch):
    alarm = {
        "AlarmName": "cbor", "Namespace": "Cbor", "MetricName": "T", "Statistic": "Maximum", "Period": 60,
        "EvaluationPeriods": 2, "Threshold": 30.25, "ComparisonOperator": "GreaterThanThreshold", "ActionsEnabled": False,
    }
    cbor.client.put_metric_alarm(**alarm)
    [told] = cbor.describe_alarms(AlarmNames=["cbor"])["MetricAlarms"]
    assert {name: told[name] for name in alarm} == alarm
    [same] = cloudwatch.describe_alarms(AlarmNames=["cbor"])["MetricAlarms"]
    assert {**told, "StateUpdatedTimestamp": 0} == {**same, "StateUpdatedTimestamp": 0}
    cbor.client.delete_alarms(AlarmNames=["cbor"])


def test_refusals_in_cbor_have_the_names_that_forms_gave_them(cbor):
    metric = [{"MetricName": "m", "Value": 1.0}]
    told = refused(cbor.put_metric_data, 400, "InvalidParameterValue", Namespace="AWS/IoT", MetricData=metric)
    assert told["Error"]["QueryErrorCode"] == "InvalidParameterValueException" and told["Error"]["Type"] == "Sender"
    with pytest.raises(cbor.exceptions.ResourceNotFound):
        cbor.set_alarm_state(AlarmName="none", StateValue="OK", StateReason="r")
    refused(cbor.put_dashboard, 501, "NotImplementedException", DashboardName="d", DashboardBody="{}")


def test_a_request_in_cbor_must_be_signed_and_sound(ombra):
    path = "/service/GraniteServiceVersion20100801/operation/ListMetrics"

    def asked(body: bytes, service: str = "monitoring", path: str = path, **more):
        headers = {"smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor", **more}
        request = AWSRequest("POST", ombra.url + path, headers=headers, data=body)
        SigV4Auth(Credentials("test", "test"), service, REGION).add_auth(request)
        sent = urllib.request.Request(ombra.url + path, data=body, headers=dict(request.headers))
        try:
            with urllib.request.urlopen(sent, timeout=PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read()

    status, told = asked(b"\xa1iNamespaceeOther")
    assert status == 200 and told[1:].startswith(b"gMetrics\x80"), told
    for body, code, name in [
        (b"\xa1", 400, b"SerializationException"), (b"\x9f" * 2000, 400, b"SerializationException"),
        (b"\xa1iNamespace\x7b" + b"\xff" * 8, 400, b"SerializationException"), (b"{}", 400, b"SerializationException"),
    ]:
        status, told = asked(body)
        assert status == code and b"f__type" in told and name in told, told
    assert asked(b"\xa0", path=path + "s")[0] == 404
    assert asked(b"\xa0", **{"Content-Type": "application/json"})[0] == 415
    # A service that does not speak it says so.
    status, told = asked(b"\xa0", service="iam")
    assert status == 501 and b"rpc-v2-cbor" in told


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
