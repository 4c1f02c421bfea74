"""The operations of the neighbours that no walkthrough of the other files comes by, each called once by boto3 with what its answer
must say. Every answer is held against botocore's model.
"""

import json

import pytest

from house import ACCOUNT, REGION
from test_boto3 import Checked
from test_functions import package, refused, role

TAGS = {"team": "lamps", "stage": "test"}
PAIRS = [{"Key": key, "Value": value} for key, value in sorted(TAGS.items())]


@pytest.fixture(scope="module")
def client(ombra):
    """Clients of the one server, whose answers are checked."""
    made = {}
    return lambda service: made.setdefault(service, Checked(ombra.client(service)))


def pairs(tags: list[dict]) -> list[dict]:
    """Tags in the order of their keys."""
    return sorted(tags, key=lambda tag: tag["Key"])


def test_a_function_has_aliases_tags_and_reserved_concurrency(ombra, client):
    functions = client("lambda")
    code = {"ZipFile": package({"bootstrap": "#!/bin/sh\nexit 1\n"}, executable=("bootstrap",))}
    arn = functions.create_function(
        FunctionName="lamp", Role=role(ombra), Runtime="provided.al2023", Handler="x", Code=code, Tags=TAGS, Publish=True,
    )["FunctionArn"].removesuffix(":1")
    configuration = functions.get_function_configuration(FunctionName="lamp")
    assert (configuration["Handler"], configuration["Runtime"], configuration["State"]) == ("x", "provided.al2023", "Active")
    functions.create_alias(FunctionName="lamp", Name="live", FunctionVersion="1", Description="what is used")
    assert functions.get_alias(FunctionName="lamp", Name="live")["FunctionVersion"] == "1"
    assert [alias["Name"] for alias in functions.list_aliases(FunctionName="lamp")["Aliases"]] == ["live"]
    assert functions.get_function_configuration(FunctionName="lamp", Qualifier="live")["Version"] == "1"
    functions.delete_alias(FunctionName="lamp", Name="live")
    refused("ResourceNotFoundException", functions.get_alias, FunctionName="lamp", Name="live")
    functions.put_function_concurrency(FunctionName="lamp", ReservedConcurrentExecutions=3)
    assert functions.get_function_concurrency(FunctionName="lamp")["ReservedConcurrentExecutions"] == 3
    functions.tag_resource(Resource=arn, Tags={"stage": "live", "owner": "me"})
    functions.untag_resource(Resource=arn, TagKeys=["team"])
    assert functions.list_tags(Resource=arn)["Tags"] == {"stage": "live", "owner": "me"}


def test_items_go_in_and_come_out_in_batches_and_together(client):
    tables = client("dynamodb")
    arn = tables.create_table(
        TableName="lamps", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )["TableDescription"]["TableArn"]
    items = [{"id": {"S": f"lamp-{number}"}, "hours": {"N": str(number)}} for number in range(25)]
    left = tables.batch_write_item(RequestItems={"lamps": [{"PutRequest": {"Item": item}} for item in items]})
    assert left["UnprocessedItems"] == {}
    keys = [{"id": item["id"]} for item in items]
    got = tables.batch_get_item(RequestItems={"lamps": {"Keys": keys}})["Responses"]["lamps"]
    assert sorted(got, key=lambda item: int(item["hours"]["N"])) == items
    both = tables.transact_get_items(TransactItems=[{"Get": {"TableName": "lamps", "Key": key}} for key in keys[:2]])
    assert [answer["Item"] for answer in both["Responses"]] == items[:2]
    gone = tables.delete_item(TableName="lamps", Key=keys[0], ReturnValues="ALL_OLD")["Attributes"]
    assert gone == items[0] and "Item" not in tables.get_item(TableName="lamps", Key=keys[0])
    tables.tag_resource(ResourceArn=arn, Tags=PAIRS)
    tables.untag_resource(ResourceArn=arn, TagKeys=["stage"])
    assert tables.list_tags_of_resource(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "lamps"}]


def test_a_table_says_when_its_items_expire_and_what_it_is_backed_up_by(client):
    tables = client("dynamodb")
    tables.create_table(
        TableName="fading", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    wanted = {"Enabled": True, "AttributeName": "until"}
    assert tables.update_time_to_live(TableName="fading", TimeToLiveSpecification=wanted)["TimeToLiveSpecification"] == wanted
    told = tables.describe_time_to_live(TableName="fading")["TimeToLiveDescription"]
    assert told["AttributeName"] == "until" and told["TimeToLiveStatus"] in ("ENABLING", "ENABLED")
    backups = tables.describe_continuous_backups(TableName="fading")["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "DISABLED"
    off = {"PointInTimeRecoveryEnabled": False}
    again = tables.update_continuous_backups(TableName="fading", PointInTimeRecoverySpecification=off)
    assert again["ContinuousBackupsDescription"] == backups
    assert tables.describe_limits()["TableMaxReadCapacityUnits"] > 0
    assert tables.describe_endpoints()["Endpoints"][0]["Address"]


def test_log_groups_lose_streams_retention_and_tags(client):
    logs = client("logs")
    logs.create_log_group(logGroupName="lamps", tags=TAGS)
    arn = logs.describe_log_groups(logGroupNamePrefix="lamps")["logGroups"][0]["logGroupArn"]
    logs.create_log_stream(logGroupName="lamps", logStreamName="a")
    logs.delete_log_stream(logGroupName="lamps", logStreamName="a")
    assert logs.describe_log_streams(logGroupName="lamps")["logStreams"] == []
    logs.put_retention_policy(logGroupName="lamps", retentionInDays=7)
    logs.delete_retention_policy(logGroupName="lamps")
    assert "retentionInDays" not in logs.describe_log_groups(logGroupNamePrefix="lamps")["logGroups"][0]
    logs.tag_log_group(logGroupName="lamps", tags={"owner": "me"})
    logs.untag_log_group(logGroupName="lamps", tags=["team"])
    assert logs.list_tags_log_group(logGroupName="lamps")["tags"] == {"stage": "test", "owner": "me"}
    logs.tag_resource(resourceArn=arn, tags={"stage": "live"})
    logs.untag_resource(resourceArn=arn, tagKeys=["owner"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"stage": "live"}


def test_alarms_are_found_by_their_metric_and_keep_whether_they_act(client):
    metrics = client("cloudwatch")
    metrics.put_metric_alarm(
        AlarmName="hot", Namespace="Lamps", MetricName="Heat", Statistic="Maximum", Period=60, EvaluationPeriods=1,
        Threshold=80.0, ComparisonOperator="GreaterThanThreshold", ActionsEnabled=False,
    )
    found = metrics.describe_alarms_for_metric(Namespace="Lamps", MetricName="Heat")["MetricAlarms"]
    assert [alarm["AlarmName"] for alarm in found] == ["hot"]
    acts = lambda: metrics.describe_alarms(AlarmNames=["hot"])["MetricAlarms"][0]["ActionsEnabled"]
    metrics.enable_alarm_actions(AlarmNames=["hot"])
    assert acts()
    metrics.disable_alarm_actions(AlarmNames=["hot"])
    assert not acts()


def test_roles_and_policies_of_iam_are_changed_and_tagged(client):
    iam = client("iam")
    trust = lambda service: json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"},
    ]})
    grant = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
    iam.create_role(RoleName="changes", AssumeRolePolicyDocument=trust("iot.amazonaws.com"))
    iam.update_assume_role_policy(RoleName="changes", PolicyDocument=trust("lambda.amazonaws.com"))
    iam.update_role_description(RoleName="changes", Description="first")
    iam.update_role(RoleName="changes", Description="second", MaxSessionDuration=7200)
    role_ = iam.get_role(RoleName="changes")["Role"]
    assert (role_["Description"], role_["MaxSessionDuration"]) == ("second", 7200)
    assert role_["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "lambda.amazonaws.com"}
    iam.put_role_policy(RoleName="changes", PolicyName="inline", PolicyDocument=json.dumps(grant))
    assert iam.list_role_policies(RoleName="changes")["PolicyNames"] == ["inline"]
    iam.delete_role_policy(RoleName="changes", PolicyName="inline")
    assert iam.list_role_policies(RoleName="changes")["PolicyNames"] == []
    iam.tag_role(RoleName="changes", Tags=PAIRS)
    iam.untag_role(RoleName="changes", TagKeys=["stage"])
    assert iam.list_role_tags(RoleName="changes")["Tags"] == [{"Key": "team", "Value": "lamps"}]
    arn = iam.create_policy(PolicyName="tagged", PolicyDocument=json.dumps(grant))["Policy"]["Arn"]
    iam.tag_policy(PolicyArn=arn, Tags=PAIRS)
    iam.untag_policy(PolicyArn=arn, TagKeys=["team"])
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == [{"Key": "stage", "Value": "test"}]


def test_a_user_is_in_groups_changes_its_name_and_has_nothing_else(client):
    iam = client("iam")
    grant = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]})
    iam.create_user(UserName="ann")
    made = iam.create_group(GroupName="crew", Path="/hall/")["Group"]
    iam.add_user_to_group(GroupName="crew", UserName="ann")
    arn = iam.create_policy(PolicyName="crew", PolicyDocument=grant)["Policy"]["Arn"]
    iam.attach_group_policy(GroupName="crew", PolicyArn=arn)
    iam.put_group_policy(GroupName="crew", PolicyName="inline", PolicyDocument=grant)
    iam.update_user(UserName="ann", NewUserName="anna")
    iam.update_group(GroupName="crew", NewGroupName="team")
    group = iam.get_group(GroupName="team")
    assert ([user["UserName"] for user in group["Users"]], group["Group"]["GroupId"]) == (["anna"], made["GroupId"])
    assert [one["GroupName"] for one in iam.list_groups()["Groups"]] == ["team"]
    assert [one["Arn"] for one in iam.list_groups_for_user(UserName="anna")["Groups"]] == [f"arn:aws:iam::{ACCOUNT}:group/hall/team"]
    assert iam.list_attached_group_policies(GroupName="team")["AttachedPolicies"] == [{"PolicyName": "crew", "PolicyArn": arn}]
    assert iam.list_group_policies(GroupName="team")["PolicyNames"] == ["inline"]
    assert iam.get_group_policy(GroupName="team", PolicyName="inline")["PolicyDocument"] == json.loads(grant)
    for what in ("mfa_devices", "ssh_public_keys", "signing_certificates", "service_specific_credentials"):
        listed = getattr(iam, f"list_{what}")(UserName="anna")
        assert [value for value in listed.values() if isinstance(value, list)] == [[]], what
    assert iam.list_virtual_mfa_devices()["VirtualMFADevices"] == []
    refused("NoSuchEntity", iam.get_login_profile, UserName="anna")
    refused("NoSuchEntity", iam.delete_login_profile, UserName="anna")
    iam.remove_user_from_group(GroupName="team", UserName="anna")
    iam.delete_group_policy(GroupName="team", PolicyName="inline")
    iam.detach_group_policy(GroupName="team", PolicyArn=arn)
    iam.delete_group(GroupName="team")
    iam.delete_user(UserName="anna")


def test_an_account_has_an_alias(client):
    iam = client("iam")
    iam.create_account_alias(AccountAlias="plant")
    assert iam.list_account_aliases()["AccountAliases"] == ["plant"]
    iam.delete_account_alias(AccountAlias="plant")
    assert iam.list_account_aliases()["AccountAliases"] == []


def test_several_secrets_are_read_at_once(client):
    secrets = client("secretsmanager")
    for name in ("several-1", "several-2"):
        secrets.create_secret(Name=name, SecretString=f"of {name}")
    got = secrets.batch_get_secret_value(SecretIdList=["several-2", "nobody's"])
    assert [one["SecretString"] for one in got["SecretValues"]] == ["of several-2"]
    assert [(one["SecretId"], one["ErrorCode"]) for one in got["Errors"]] == [("nobody's", "ResourceNotFoundException")]
    meant = {"Filters": [{"Key": "name", "Values": ["several-"]}], "MaxResults": 1}
    first = secrets.batch_get_secret_value(**meant)
    second = secrets.batch_get_secret_value(**meant, NextToken=first["NextToken"])
    assert [one["Name"] for page in (first, second) for one in page["SecretValues"]] == ["several-1", "several-2"]
    assert "NextToken" not in second


def test_a_secret_has_versions_with_labels_and_tags(client):
    secrets = client("secretsmanager")
    first = secrets.create_secret(Name="wifi", SecretString="one")
    second = secrets.update_secret(SecretId="wifi", SecretString="two", Description="of the hall")["VersionId"]
    secrets.update_secret_version_stage(SecretId="wifi", VersionStage="SPARE", MoveToVersionId=second)
    listed = {it["VersionId"]: sorted(it["VersionStages"]) for it in secrets.list_secret_version_ids(SecretId="wifi")["Versions"]}
    assert listed == {first["VersionId"]: ["AWSPREVIOUS"], second: ["AWSCURRENT", "SPARE"]}
    secrets.tag_resource(SecretId="wifi", Tags=PAIRS)
    secrets.untag_resource(SecretId="wifi", TagKeys=["team"])
    assert secrets.describe_secret(SecretId="wifi")["Tags"] == [{"Key": "stage", "Value": "test"}]
    assert secrets.get_resource_policy(SecretId="wifi")["ARN"] == first["ARN"]
    assert first["ARN"].startswith(f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:wifi-")


def test_buckets_and_objects_lose_their_tags_and_parts_are_copied(client):
    objects = client("s3")
    objects.create_bucket(Bucket="tagged")
    objects.put_bucket_tagging(Bucket="tagged", Tagging={"TagSet": PAIRS})
    assert pairs(objects.get_bucket_tagging(Bucket="tagged")["TagSet"]) == PAIRS
    objects.delete_bucket_tagging(Bucket="tagged")
    refused("NoSuchTagSet", objects.get_bucket_tagging, Bucket="tagged")
    objects.put_object(Bucket="tagged", Key="a", Body=b"0123456789", Tagging="team=lamps")
    objects.delete_object_tagging(Bucket="tagged", Key="a")
    assert objects.get_object_tagging(Bucket="tagged", Key="a")["TagSet"] == []
    upload = objects.create_multipart_upload(Bucket="tagged", Key="b")["UploadId"]
    part = objects.upload_part_copy(
        Bucket="tagged", Key="b", UploadId=upload, PartNumber=1, CopySource="tagged/a", CopySourceRange="bytes=2-5",
    )["CopyPartResult"]
    objects.complete_multipart_upload(
        Bucket="tagged", Key="b", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    assert objects.get_object(Bucket="tagged", Key="b")["Body"].read() == b"2345"
