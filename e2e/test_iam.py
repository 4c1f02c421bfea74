"""IAM, STS and Secrets Manager by boto3 and both versions of the AWS CLI, unmodified: what is written comes back whole, temporary
credentials are somebody and end, secrets survive a restart and lie sealed.

botocore's models judge the answers: whatever they require must be there.
"""

import base64
import json
import re
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from house import ACCOUNT
from test_aws_cli import Shell
from test_boto3 import Checked

TRUST = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"},
]}
GRANT = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "arn:aws:s3:::bücket/*"},
]}
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


@pytest.fixture(scope="module")
def iam(ombra):
    """Every answer is held against the model."""
    return Checked(ombra.client("iam"))


@pytest.fixture(scope="module")
def sts(ombra):
    """The same."""
    return Checked(ombra.client("sts"))


@pytest.fixture(scope="module")
def secrets(ombra):
    """The same."""
    return Checked(ombra.client("secretsmanager"))


def code(refused) -> tuple[str, int]:
    """Name and status of a refusal."""
    answer = refused.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


# Roles and policies.


def test_a_role_with_all_that_hangs_on_it_comes_back_whole(iam):
    made = iam.create_role(
        RoleName="whole", Path="/service/", AssumeRolePolicyDocument=json.dumps(TRUST), Description='<"&\'> é',
        MaxSessionDuration=7200, Tags=[{"Key": "team", "Value": "a b"}],
    )["Role"]
    got = iam.get_role(RoleName="whole")["Role"]
    assert got.pop("RoleLastUsed") == {}
    assert got == made
    assert made["AssumeRolePolicyDocument"] == TRUST
    assert made["Description"] == '<"&\'> é'
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/service/whole"
    policy = iam.create_policy(PolicyName="grant", PolicyDocument=json.dumps(GRANT))["Policy"]
    assert iam.get_policy_version(PolicyArn=policy["Arn"], VersionId="v1")["PolicyVersion"]["Document"] == GRANT
    for policy_arn in (policy["Arn"], BASIC):
        iam.attach_role_policy(RoleName="whole", PolicyArn=policy_arn)
    attached = iam.list_attached_role_policies(RoleName="whole")["AttachedPolicies"]
    assert [one["PolicyName"] for one in attached] == ["grant", "AWSLambdaBasicExecutionRole"]
    assert iam.list_entities_for_policy(PolicyArn=BASIC)["PolicyRoles"][0]["RoleId"] == made["RoleId"]
    iam.put_role_policy(RoleName="whole", PolicyName="inside", PolicyDocument=json.dumps(GRANT))
    assert iam.get_role_policy(RoleName="whole", PolicyName="inside")["PolicyDocument"] == GRANT
    assert iam.list_instance_profiles_for_role(RoleName="whole")["InstanceProfiles"] == []


def test_a_policy_is_replaced_version_by_version(iam):
    arn = iam.create_policy(PolicyName="versions", PolicyDocument=json.dumps(GRANT))["Policy"]["Arn"]
    changed = {**GRANT, "Statement": [{**GRANT["Statement"][0], "Effect": "Deny"}]}
    version = iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(changed), SetAsDefault=True)
    assert version["PolicyVersion"]["VersionId"] == "v2"
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v2"
    assert [one["VersionId"] for one in iam.list_policy_versions(PolicyArn=arn)["Versions"]] == ["v2", "v1"]
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_policy(PolicyArn=arn)
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy(PolicyArn=arn)


def test_refusals_have_the_classes_that_sdks_catch(iam):
    iam.create_role(RoleName="refusals", AssumeRolePolicyDocument=json.dumps(TRUST))
    with pytest.raises(iam.exceptions.EntityAlreadyExistsException) as refused:
        iam.create_role(RoleName="REFUSALS", AssumeRolePolicyDocument=json.dumps(TRUST))
    assert code(refused) == ("EntityAlreadyExists", 409)
    with pytest.raises(iam.exceptions.NoSuchEntityException) as refused:
        iam.attach_role_policy(RoleName="refusals", PolicyArn="arn:aws:iam::aws:policy/NoSuchThing")
    assert code(refused) == ("NoSuchEntity", 404)
    with pytest.raises(iam.exceptions.MalformedPolicyDocumentException) as refused:
        iam.create_policy(PolicyName="bad", PolicyDocument='{"Version":"2012-10-17",\n"Statement":{"Effect":"Maybe"}}')
    assert code(refused) == ("MalformedPolicyDocument", 400)
    assert "Syntax errors in policy. (line 2, column 23: " in str(refused.value)
    with pytest.raises(iam.exceptions.DeleteConflictException) as refused:
        iam.put_role_policy(RoleName="refusals", PolicyName="p", PolicyDocument=json.dumps(GRANT))
        iam.delete_role(RoleName="refusals")
    assert code(refused) == ("DeleteConflict", 409)
    with pytest.raises(ClientError) as refused:
        iam.list_open_id_connect_providers()
    assert code(refused) == ("NotImplementedException", 501)


def test_who_comes_without_a_key_is_told_what_is_not_built(sts):
    """boto3 signs neither of these."""
    asked = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r", "PrincipalArn": f"arn:aws:iam::{ACCOUNT}:saml-provider/p"}
    for call in (
        lambda: sts.assume_role_with_saml(**asked, SAMLAssertion="YWJjZA=="),
        lambda: sts.assume_role_with_web_identity(RoleArn=asked["RoleArn"], RoleSessionName="me", WebIdentityToken="abcd"),
    ):
        with pytest.raises(ClientError) as refused:
            call()
        assert code(refused) == ("NotImplementedException", 501)


def test_the_paginators_of_boto3_see_every_page(ombra, iam):
    for number in range(7):
        iam.create_role(RoleName=f"page{number}", Path="/pages/", AssumeRolePolicyDocument=json.dumps(TRUST))
    pages = iam.client.get_paginator("list_roles").paginate(PathPrefix="/pages/", PaginationConfig={"PageSize": 3})
    assert [len(page["Roles"]) for page in pages] == [3, 3, 1]
    elsewhere = ombra.client("iam", region="eu-central-1")
    assert elsewhere.get_role(RoleName="page3")["Role"]["Path"] == "/pages/"


# Temporary credentials.


def keys(credentials: dict) -> dict:
    """Credentials as boto3 takes them."""
    return {
        "aws_access_key_id": credentials["AccessKeyId"], "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    }


def test_whoever_takes_a_role_is_somebody_else(ombra, iam, sts):
    iam.create_role(RoleName="taken", AssumeRolePolicyDocument=json.dumps(TRUST))
    grant = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:ListThings", "Resource": "*"}]}
    iam.put_role_policy(RoleName="taken", PolicyName="list", PolicyDocument=json.dumps(grant))
    taken = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/taken", RoleSessionName="me@here")
    mine = keys(taken["Credentials"])
    who = ombra.client("sts", **mine).get_caller_identity()
    assert who["Arn"] == taken["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/taken/me@here"
    assert who["UserId"] == taken["AssumedRoleUser"]["AssumedRoleId"]
    assert ombra.client("iot", **mine).list_things()["things"] == []
    changed = {**mine, "aws_session_token": mine["aws_session_token"][:-8] + "AAAAAAA="}
    for service, call, wanted in [
        ("sts", "get_caller_identity", ("InvalidClientTokenId", 403)),
        ("iot", "list_things", ("UnrecognizedClientException", 403)),
        ("secretsmanager", "list_secrets", ("UnrecognizedClientException", 400)),
    ]:
        with pytest.raises(ClientError) as refused:
            getattr(ombra.client(service, **changed), call)()
        assert code(refused) == wanted
    with pytest.raises(ClientError) as refused:
        ombra.client("iot", **mine).create_thing(thingName="not-granted")
    assert code(refused) == ("AccessDeniedException", 403)


def test_a_role_is_denied_to_whom_it_does_not_trust(iam, sts):
    other = json.dumps(TRUST).replace(ACCOUNT, "999999999999")
    iam.create_role(RoleName="others", AssumeRolePolicyDocument=other)
    with pytest.raises(ClientError) as refused:
        sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/others", RoleSessionName="me")
    assert code(refused) == ("AccessDenied", 403)
    assert f"User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: sts:AssumeRole" in str(refused.value)


# Secrets.


def test_a_secret_goes_through_its_life(secrets):
    made = secrets.create_secret(Name="app/db", SecretString='{"user":"u","password":"päss"}', Description="d")
    assert re.fullmatch(rf"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:app/db-[A-Za-z0-9]{{6}}", made["ARN"])
    for secret_id in ("app/db", made["ARN"], made["ARN"][:-7]):
        assert secrets.get_secret_value(SecretId=secret_id)["SecretString"] == '{"user":"u","password":"päss"}'
    secrets.put_secret_value(SecretId="app/db", SecretBinary=b"\x00\xff")
    assert secrets.get_secret_value(SecretId="app/db")["SecretBinary"] == b"\x00\xff"
    assert secrets.get_secret_value(SecretId="app/db", VersionStage="AWSPREVIOUS")["VersionId"] == made["VersionId"]
    described = secrets.describe_secret(SecretId="app/db")
    assert sorted(stage for stages in described["VersionIdsToStages"].values() for stage in stages) == [
        "AWSCURRENT", "AWSPREVIOUS",
    ]
    secrets.delete_secret(SecretId="app/db", RecoveryWindowInDays=7)
    with pytest.raises(secrets.exceptions.InvalidRequestException):
        secrets.get_secret_value(SecretId="app/db")
    secrets.restore_secret(SecretId="app/db")
    secrets.delete_secret(SecretId="app/db", ForceDeleteWithoutRecovery=True)
    with pytest.raises(secrets.exceptions.ResourceNotFoundException):
        secrets.describe_secret(SecretId="app/db")


def test_a_password_is_what_was_asked_for(secrets):
    for _ in range(20):
        password = secrets.get_random_password(
            ExcludePunctuation=True, ExcludeUppercase=True, PasswordLength=6, RequireEachIncludedType=True,
        )["RandomPassword"]
        assert re.fullmatch(r"(?=.*[a-z])(?=.*[0-9])[a-z0-9]{6}", password), password
    assert len(secrets.get_random_password(PasswordLength=4096)["RandomPassword"]) == 4096
    with pytest.raises(ClientError) as refused:
        secrets.get_random_password(PasswordLength=4097)
    assert code(refused)[0] == "ValidationException"


def test_secrets_and_sessions_survive_a_restart_and_no_value_lies_open(own_ombra):
    own_ombra.start()
    words = b"correct horse battery staple"
    own_ombra.client("secretsmanager").create_secret(Name="s", SecretBinary=words)
    session = keys(own_ombra.client("sts").get_session_token()["Credentials"])
    assert own_ombra.stop() == 0
    held = [path for path in own_ombra.data.rglob("*") if path.is_file()]
    for path in held:
        content = path.read_bytes()
        assert words not in content and base64.b64encode(words) not in content, path
    assert (own_ombra.data / "vault.key").stat().st_mode & 0o777 == 0o600
    own_ombra.start()
    assert own_ombra.client("secretsmanager", **session).get_secret_value(SecretId="s")["SecretBinary"] == words
    assert words.decode() not in own_ombra.printed() + own_ombra.get("/_ombra/events")[1]
    own_ombra.stop()
    (own_ombra.data / "vault.key").unlink()
    own_ombra.start()
    with pytest.raises(ClientError) as refused:
        own_ombra.client("secretsmanager").get_secret_value(SecretId="s")
    assert code(refused)[0] == "DecryptionFailure"


# The command line.


def pip(shell: Shell) -> tuple[str, ...]:
    """Version 1, which pip installs."""
    return (str(Path(sys.executable).with_name("aws")),)


def debian(shell: Shell) -> tuple[str, ...]:
    """Version 2 as Debian packages it, which has to be told the endpoint."""
    return ("/usr/bin/aws", "--endpoint-url", shell.environment["AWS_ENDPOINT_URL"])


@pytest.mark.timeout(180)
@pytest.mark.parametrize("version", [pip, debian])
def test_the_command_line_reads_every_field(ombra, tmp_path, version):
    aws = Shell(ombra, tmp_path)
    aws.aws = version(aws)
    name = version.__name__
    (tmp_path / "trust.json").write_text(json.dumps(TRUST))
    role = aws("iam", "create-role", "--role-name", name, "--assume-role-policy-document", "file://trust.json")["Role"]
    assert role["AssumeRolePolicyDocument"] == TRUST
    assert {"Path", "RoleName", "RoleId", "Arn", "CreateDate"} <= role.keys()
    aws("iam", "attach-role-policy", "--role-name", name, "--policy-arn", BASIC)
    attached = aws("iam", "list-attached-role-policies", "--role-name", name)["AttachedPolicies"]
    assert attached == [{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": BASIC}]
    taken = aws("sts", "assume-role", "--role-arn", role["Arn"], "--role-session-name", "me")
    assert taken["Credentials"].keys() == {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    secret = aws("secretsmanager", "create-secret", "--name", f"cli/{name}", "--secret-string", "x y")
    value = aws("secretsmanager", "get-secret-value", "--secret-id", secret["ARN"])
    assert (value["SecretString"], value["VersionStages"]) == ("x y", ["AWSCURRENT"])
    aws("iam", "detach-role-policy", "--role-name", name, "--policy-arn", BASIC)
    aws("iam", "delete-role", "--role-name", name)
    assert "cannot be found" in aws.refused("NoSuchEntity", "iam", "get-role", "--role-name", name)
