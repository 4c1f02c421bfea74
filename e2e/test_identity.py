"""Who may call: `ombra serve`, where every request is verified and held to the policies of whoever signed it.

boto3 and the AWS CLI sign; what no client would send is written by hand on a raw socket. Each refusal must be an event.
"""

import base64
import datetime
import hashlib
import hmac
import json
import os
import socket
import sys
import time
import urllib.parse
from pathlib import Path

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import house
import packets
import websockets
from devices import Workshop, tls_context, tls_socket
from house import ACCOUNT, PATIENCE, REGION, Ombra
from test_aws_cli import Shell
from test_boto3 import Checked

THINGS = f"arn:aws:iot:{REGION}:{ACCOUNT}:thing"


def allow(actions, resources) -> dict:
    """A policy with one grant."""
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": resources}]}


def code(refused) -> tuple[str, int]:
    """Name and status of a refusal."""
    answer = refused.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


class Served(Ombra):
    """A server in a network, with the keys that were made for it."""

    def start(self, *flags) -> "Served":
        doors = ["--http", house.LOOPBACK, "--mqtts", house.LOOPBACK, "--tls", house.LOOPBACK]
        return self.launch(["serve", "--data", self.data, *doors, *flags], house.plain_environment())

    def key(self, *arguments) -> dict:
        """A new key, as boto3 wants it."""
        done = house.run("key", "create", *arguments, "-o", "json", "--data", self.data, env=house.plain_environment())
        assert done.returncode == 0, done.stderr
        made = json.loads(done.stdout)
        keys = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
        return keys | ({"aws_session_token": made["SessionToken"]} if "SessionToken" in made else {})

    def ombra(self, *arguments):
        """One of its commands."""
        return house.run(*arguments, "--data", self.data, env=house.plain_environment())

    def client(self, service: str, account: str | None = None, region: str = REGION, **keys):
        """A boto3 client: of the root, unless other keys are named."""
        return super().client(service, account, region, **(keys or self.root_key))

    def events(self, kind: str = "refusal", **fields) -> list[dict]:
        """The operator alone sees them: signed with the root's key."""
        path = f"/_ombra/events?kind={kind}"
        head = signed(self, self.root_key, "GET", path)
        answer = exchange(self, "GET", path, head)
        events = [json.loads(line) for line in answer.body.splitlines() if line]
        return [event for event in events if all(event.get(name) == value for name, value in fields.items())]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server that verifies; its first key was made before it ran."""
    server = Served(tmp_path_factory.mktemp("served"))
    try:
        server.root_key = server.key()
        yield server.start()
    finally:
        server.clean_up()


@pytest.fixture(scope="module")
def root(served):
    """The control plane, for the root of the account."""
    return served.client("iot", **served.root_key)


def user(served, name: str, policy: dict | str) -> dict:
    """A new user's key."""
    if isinstance(policy, dict):
        path = served.root / f"{name}.json"
        path.write_text(json.dumps(policy))
        policy = str(path)
    return served.key("--user", name, "--policy", policy)


# Requests by hand.


class Answer:
    """What came back on a raw socket."""

    def __init__(self, raw: bytes):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        self.status = int(head.split(b" ")[1]) if head else 0
        lines = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
        self.headers = {name.decode().lower(): value.strip().decode() for name, _, value in lines}
        if self.headers.get("transfer-encoding") == "chunked":
            self.body = b"".join(chunks(self.body))

    @property
    def error(self) -> str:
        """AWS's name of the error."""
        return self.headers.get("x-amzn-errortype", "").split(":")[0]


def chunks(body: bytes):
    """The chunks of a body."""
    while body:
        size, _, rest = body.partition(b"\r\n")
        if (length := int(size, 16)) == 0:
            return
        yield rest[:length]
        body = rest[length + 2:]


def send(served, raw: bytes) -> Answer:
    """Raw bytes to the API, and what is said until the connection ends."""
    with socket.create_connection(served.address("http"), timeout=PATIENCE) as sock:
        sock.sendall(raw)
        said = b""
        try:
            while piece := sock.recv(65536):
                said += piece
        except ConnectionResetError:
            pass
    return Answer(said)


def exchange(served, method: str, path: str, head: dict, body: bytes = b"") -> Answer:
    """One request with just these headers."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return send(served, "\r\n".join(lines).encode() + body)


def signed(served, keys: dict, method: str, path: str, body: bytes = b"", service="iot", at: float | None = None,
           extra: dict | None = None) -> dict:
    """The headers of a request as AWS's rules sign it, at a time of our choice; the path is signed as it is sent."""
    host = served.endpoints["http"]
    now = time.gmtime(time.time() if at is None else at)
    stamp, day = time.strftime("%Y%m%dT%H%M%SZ", now), time.strftime("%Y%m%d", now)
    head = {"host": host, "x-amz-date": stamp, **(extra or {})}
    if token := keys.get("aws_session_token"):
        head["x-amz-security-token"] = token
    path, _, query = path.partition("?")
    names = ";".join(sorted(head))
    lines = "".join(f"{name}:{head[name]}\n" for name in sorted(head))
    canonical = "\n".join([
        method, urllib.parse.quote(path, safe="/-._~"), "&".join(sorted(query.split("&"))) if query else "", lines, names,
        head.get("x-amz-content-sha256", hashlib.sha256(body).hexdigest()),
    ])
    scope = f"{day}/{REGION}/{service}/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signing = signature(keys, stamp, service, to_sign)
    credential = f"{keys['aws_access_key_id']}/{scope}"
    head["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signing}"
    return head


def signature(keys: dict, stamp: str, service: str, text: str) -> str:
    """What a key makes of a text."""
    signing = f"AWS4{keys['aws_secret_access_key']}".encode()
    for part in (stamp[:8], REGION, service, "aws4_request", text):
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    return signing.hex()


# Keys.


def test_a_first_key_is_made_before_the_server_runs_and_is_the_root(served):
    who = served.client("sts", **served.root_key).get_caller_identity()
    assert who["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"


def test_a_secret_is_shown_once_and_lies_nowhere_in_the_open(served):
    keys = user(served, "once", allow("iot:*", "*"))
    listed = served.ombra("key", "list", "-o", "json")
    assert keys["aws_access_key_id"] in listed.stdout
    assert keys["aws_secret_access_key"] not in listed.stdout
    for path in served.data.rglob("*"):
        if path.is_file():
            assert keys["aws_secret_access_key"].encode() not in path.read_bytes(), path


def test_a_disabled_key_opens_nothing_and_an_enabled_one_does_again(served):
    keys = user(served, "switch", allow("iot:*", "*"))
    iot = served.client("iot", **keys)
    iot.list_things()
    assert served.ombra("key", "disable", keys["aws_access_key_id"]).returncode == 0
    with pytest.raises(ClientError) as refused:
        iot.list_things()
    assert code(refused) == ("UnrecognizedClientException", 403)
    assert served.event(principal=keys["aws_access_key_id"], decision="UnrecognizedClientException")
    assert served.ombra("key", "enable", keys["aws_access_key_id"]).returncode == 0
    iot.list_things()
    assert served.ombra("key", "delete", keys["aws_access_key_id"]).returncode == 0
    with pytest.raises(ClientError) as refused:
        iot.list_things()
    assert code(refused) == ("UnrecognizedClientException", 403)
    gone = served.ombra("key", "disable", keys["aws_access_key_id"])
    assert gone.returncode == 1 and "NoSuchEntity" in gone.stderr


def test_a_key_of_another_account_is_another_house(served):
    keys = served.key("--account", "111111111111")
    assert served.client("sts", **keys).get_caller_identity()["Account"] == "111111111111"
    served.client("iot", **served.root_key).create_thing(thingName="ours")
    things = served.client("iot", **keys).list_things()["things"]
    assert "ours" not in [thing["thingName"] for thing in things]


def test_keys_outlive_a_restart(served):
    keys = user(served, "lasting", allow("iot:*", "*"))
    served.stop()
    served.start()
    served.client("iot", **keys).list_things()


def test_users_and_keys_are_made_by_the_operations_of_iam_too(served):
    iam = served.client("iam", **served.root_key)
    iam.create_user(UserName="by-api", Tags=[{"Key": "team", "Value": "blue"}])
    made = iam.create_access_key(UserName="by-api")["AccessKey"]
    keys = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
    iam.put_user_policy(UserName="by-api", PolicyName="grant", PolicyDocument=json.dumps(allow("iot:ListThings", "*")))
    served.client("iot", **keys).list_things()
    assert iam.get_user_policy(UserName="by-api", PolicyName="grant")["PolicyDocument"] == allow("iot:ListThings", "*")
    assert iam.list_access_keys(UserName="by-api")["AccessKeyMetadata"][0]["Status"] == "Active"
    iam.update_access_key(UserName="by-api", AccessKeyId=made["AccessKeyId"], Status="Inactive")
    with pytest.raises(ClientError):
        served.client("iot", **keys).list_things()


# What a user may.


def test_what_is_permitted_is_permitted_by_operation_and_resource(served):
    document = allow(["iot:CreateThing", "iot:DescribeThing"], f"{THINGS}/plant-*")
    iot = served.client("iot", **user(served, "gardener", document))
    iot.create_thing(thingName="plant-1")
    assert iot.describe_thing(thingName="plant-1")["thingName"] == "plant-1"
    for call, name in [(iot.create_thing, "lamp"), (iot.delete_thing, "plant-1")]:
        with pytest.raises(ClientError) as refused:
            call(thingName=name)
        assert code(refused) == ("AccessDeniedException", 403)
    message = refused.value.response["Error"]["Message"]
    arn = f"arn:aws:iam::{ACCOUNT}:user/gardener"
    assert message == (f"User: {arn} is not authorized to perform: iot:DeleteThing on resource: {THINGS}/plant-1 because no "
                       "identity-based policy allows the iot:DeleteThing action")
    event = served.event(principal=arn, action="iot:DeleteThing")
    assert (event["decision"], event["resource"]) == ("IMPLICIT_DENY", f"{THINGS}/plant-1")


def test_a_denial_names_its_statement(served):
    document = allow("*", "*")
    document["Statement"].append({"Sid": "KeepPolicies", "Effect": "Deny", "Action": "iot:DeletePolicy", "Resource": "*"})
    iot = served.client("iot", **user(served, "careful", document))
    with pytest.raises(ClientError) as refused:
        iot.delete_policy(policyName="any")
    assert code(refused) == ("AccessDeniedException", 403)
    assert served.event(action="iot:DeletePolicy")["statement"] == "careful#1 (KeepPolicies)"


def test_every_service_refuses_in_its_own_words(served):
    keys = user(served, "nobody", allow("iot:Connect", "*"))
    calls = [
        ("iot", "list_things", {}, ("AccessDeniedException", 403)),
        ("iot-data", "publish", {"topic": "a"}, ("AccessDeniedException", 403)),
        ("dynamodb", "list_tables", {}, ("AccessDeniedException", 400)),
        ("lambda", "list_functions", {}, ("AccessDeniedException", 403)),
        ("logs", "describe_log_groups", {}, ("AccessDeniedException", 400)),
        ("secretsmanager", "list_secrets", {}, ("AccessDeniedException", 400)),
        ("iam", "list_users", {}, ("AccessDenied", 403)),
        ("cloudwatch", "list_metrics", {}, ("AccessDenied", 403)),
        ("s3", "list_buckets", {}, ("AccessDenied", 403)),
    ]
    for service, call, arguments, expected in calls:
        with pytest.raises(ClientError) as refused:
            getattr(served.client(service, **keys), call)(**arguments)
        assert code(refused) == expected, service
    assert served.client("sts", **keys).get_caller_identity()["Arn"].endswith("user/nobody")


def test_unknown_keys_are_refused_by_every_service(served):
    keys = {"aws_access_key_id": "AKIAAAAAAAAAAAAAAAAA", "aws_secret_access_key": "x"}
    calls = [
        ("iot", "list_things", ("UnrecognizedClientException", 403)),
        ("dynamodb", "list_tables", ("UnrecognizedClientException", 400)),
        ("iam", "list_users", ("InvalidClientTokenId", 403)),
        ("sts", "get_caller_identity", ("InvalidClientTokenId", 403)),
        ("s3", "list_buckets", ("InvalidAccessKeyId", 403)),
    ]
    for service, call, expected in calls:
        with pytest.raises(ClientError) as refused:
            getattr(served.client(service, **keys), call)()
        assert code(refused) == expected, service
    assert served.event(principal="AKIAAAAAAAAAAAAAAAAA", decision="UnrecognizedClientException")


def test_wrong_secrets_are_refused_by_every_service(served):
    keys = served.root_key | {"aws_secret_access_key": "x" * 40}
    calls = [
        ("iot", "list_things", ("InvalidSignatureException", 403)),
        ("dynamodb", "list_tables", ("InvalidSignatureException", 400)),
        ("iam", "list_users", ("SignatureDoesNotMatch", 403)),
        ("s3", "list_buckets", ("SignatureDoesNotMatch", 403)),
    ]
    for service, call, expected in calls:
        with pytest.raises(ClientError) as refused:
            getattr(served.client(service, **keys), call)()
        assert code(refused) == expected, service


def test_objects_are_permitted_one_by_one(served):
    s3 = served.client("s3", **served.root_key)
    s3.create_bucket(Bucket="identity")
    s3.put_object(Bucket="identity", Key="open/a", Body=b"a")
    s3.put_object(Bucket="identity", Key="closed/b", Body=b"b")
    reader = served.client("s3", **user(served, "reader", allow("s3:GetObject", "arn:aws:s3:::identity/open/*")))
    assert reader.get_object(Bucket="identity", Key="open/a")["Body"].read() == b"a"
    for call, arguments in [
        (reader.get_object, {"Key": "closed/b"}),
        (reader.put_object, {"Key": "open/c", "Body": b"c"}),
        (reader.copy_object, {"Key": "open/d", "CopySource": "identity/closed/b"}),
        (reader.list_objects_v2, {}),
    ]:
        with pytest.raises(ClientError) as refused:
            call(Bucket="identity", **arguments)
        assert code(refused)[0] == "AccessDenied"


def test_a_body_that_is_signed_chunk_by_chunk_is_verified(served):
    served.client("s3", **served.root_key).create_bucket(Bucket="chunked")
    path, pieces = "/chunked/key", [b"a" * 8192, b"bc", b""]
    head = signed(served, served.root_key, "PUT", path, service="s3", extra={
        "content-encoding": "aws-chunked", "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "x-amz-decoded-content-length": "8194"})
    previous, body, stamp = head["authorization"].rsplit("=", 1)[1], b"", head["x-amz-date"]
    for piece in pieces:
        text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", stamp, f"{stamp[:8]}/{REGION}/s3/aws4_request", previous,
                          hashlib.sha256().hexdigest(), hashlib.sha256(piece).hexdigest()])
        previous = signature(served.root_key, stamp, "s3", text)
        body += f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece + b"\r\n"
    bent = exchange(served, "PUT", path, head, body.replace(b"bc", b"bd"))
    assert bent.status == 403 and b"<Code>SignatureDoesNotMatch</Code>" in bent.body
    assert exchange(served, "PUT", path, head, body).status == 200
    got = served.client("s3", **served.root_key).get_object(Bucket="chunked", Key="key")
    assert got["Body"].read() == b"".join(pieces)
    # A header that nobody signed does not make another body of one that was.
    whole = signed(served, served.root_key, "PUT", path, b"abc", service="s3",
                   extra={"x-amz-content-sha256": hashlib.sha256(b"abc").hexdigest()})
    evil = b"4\r\nevil\r\n0\r\n\r\n"
    assert exchange(served, "PUT", path, whole | {"content-encoding": "aws-chunked"}, evil).status in (400, 403)
    assert exchange(served, "PUT", path, whole, b"abc").status == 200


def test_a_presigned_address_is_verified_and_held_to_the_policies_of_who_signed_it(served):
    s3 = served.client("s3", **served.root_key)
    s3.create_bucket(Bucket="presigned")
    s3.put_object(Bucket="presigned", Key="a", Body=b"hello")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "presigned", "Key": "a"}, ExpiresIn=60)
    if "X-Amz-Signature" not in url:
        config = Config(signature_version="s3v4")
        s3 = boto3.client("s3", region_name=REGION, endpoint_url=served.url, config=config, **served.root_key)
        url = s3.generate_presigned_url("get_object", Params={"Bucket": "presigned", "Key": "a"}, ExpiresIn=60)
    path = url.removeprefix(served.url)
    host = {"Host": served.endpoints["http"]}
    assert exchange(served, "GET", path, host).body == b"hello"
    assert exchange(served, "GET", path.replace("/a?", "/b?"), host).status == 403
    assert exchange(served, "DELETE", path, host).status == 403
    # The older form is signed in another way, which is not verified, and so not taken.
    old = path.split("?")[0] + f"?AWSAccessKeyId={served.root_key['aws_access_key_id']}&Signature=x&Expires=9999999999"
    assert exchange(served, "GET", old, host).status == 400


def test_the_command_line_of_aws_is_permitted_and_refused_as_boto3_is(served, tmp_path):
    keys = user(served, "typist", allow("iot:ListThings", "*"))
    lines = served.ombra("env")
    assert lines.returncode == 0 and "AWS_ACCESS_KEY_ID" not in lines.stdout and "unset" not in lines.stdout
    aws = Shell(served, tmp_path, str(Path(sys.executable).with_name("aws")))
    aws.environment |= {name.upper(): value for name, value in keys.items()}
    assert "things" in aws("iot", "list-things")
    assert "iot:CreateThing" in aws.refused("AccessDeniedException", "iot", "create-thing", "--thing-name", "x")


def test_a_role_is_taken_and_its_session_narrowed(served):
    iam = served.client("iam", **served.root_key)
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}]}
    arn = iam.create_role(RoleName="worker", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName="worker", PolicyName="p", PolicyDocument=json.dumps(allow("iot:*", "*")))
    keys = served.key("--role", "worker")
    iot = served.client("iot", **keys)
    iot.create_thing(thingName="made-by-worker")
    narrowed = served.client("sts", **served.root_key).assume_role(
        RoleArn=arn, RoleSessionName="narrow", Policy=json.dumps(allow("iot:ListThings", "*")))["Credentials"]
    narrow = served.client("iot", aws_access_key_id=narrowed["AccessKeyId"],
                           aws_secret_access_key=narrowed["SecretAccessKey"], aws_session_token=narrowed["SessionToken"])
    narrow.list_things()
    with pytest.raises(ClientError) as refused:
        narrow.create_thing(thingName="x")
    assert "because no session policy allows" in str(refused.value)
    # A token is good with its own key only, and a signature with the token's secret only.
    for wrong in ({"aws_secret_access_key": "x"}, {"aws_access_key_id": served.root_key["aws_access_key_id"]},
                  {"aws_session_token": keys["aws_session_token"][:-2] + "AA"}):
        with pytest.raises(ClientError):
            served.client("iot", **keys | wrong).list_things()


# What is tampered with.


def test_an_unsigned_request_is_refused(served):
    answer = exchange(served, "GET", "/things", {"Host": served.endpoints["http"]})
    assert (answer.status, answer.error) == (403, "MissingAuthenticationTokenException")
    assert json.loads(answer.body)["message"] == "Missing Authentication Token"
    assert served.event(decision="MissingAuthenticationTokenException")["resource"] == "GET /things"
    page = exchange(served, "GET", "/_ombra/events", {"Host": served.endpoints["http"]})
    assert page.status == 403
    assert exchange(served, "GET", "/livez", {"Host": served.endpoints["http"]}).status == 200


def test_a_request_is_good_for_five_minutes_and_no_longer(served):
    now = time.time()
    for at, good in [(now, True), (now - 290, True), (now + 290, True), (now - 310, False), (now + 310, False)]:
        head = signed(served, served.root_key, "GET", "/things", at=at)
        answer = exchange(served, "GET", "/things", head)
        assert answer.status == (200 if good else 403), at - now
        # The same again is the same: what was captured is worth nothing once the time is over.
        again = exchange(served, "GET", "/things", head)
        assert (again.status, again.error) == (answer.status, answer.error)
        if not good:
            assert answer.error == "InvalidSignatureException"
    event = served.event(decision="InvalidSignatureException")
    assert event["reason"].startswith("Signature"), event


def test_whatever_is_changed_of_a_signed_request_is_noticed(served):
    body = b'{"attributePayload":{"attributes":{"a":"b"}}}'
    path = "/things/tampered"
    extra = {"content-type": "application/json"}
    good = signed(served, served.root_key, "POST", path, body, extra=extra)
    assert exchange(served, "POST", path, good, body).status == 200

    def refused(method="POST", path=path, head=good, body=body):
        answer = exchange(served, method, path, head, body)
        assert (answer.status, answer.error) == (403, "InvalidSignatureException"), (method, path, answer.body)

    refused(method="PATCH")
    refused(path="/things/tampered2")
    refused(path=path + "?a=b")
    refused(body=body.replace(b"b", b"c"))
    refused(body=b"")
    refused(head=good | {"content-type": "text/plain"})
    refused(head=good | {"host": "elsewhere"})
    refused(head=good | {"x-amz-target": "another"})
    refused(head=good | {"x-amzn-iot-principal": "another"})
    refused(head=good | {"x-amz-content-sha256": hashlib.sha256(b"").hexdigest()})
    day = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - 1))
    refused(head=good | {"x-amz-date": day})
    for old, new in [(REGION, "eu-west-1"), ("/iot/", "/iotdata/"), ("host;", ""), ("SignedHeaders=content-type;", "SignedHeaders=")]:
        answer = exchange(served, "POST", path, good | {"authorization": good["authorization"].replace(old, new)}, body)
        assert answer.status == 403, (old, new, answer.body)
    assert served.event(decision="InvalidSignatureException", principal=served.root_key["aws_access_key_id"])


def test_a_session_that_is_over_opens_nothing(served):
    """Sessions last a quarter of an hour at least, so one that is over is sealed here as the server would have sealed it."""
    keys = {"aws_access_key_id": "ASIAAAAAAAAAAAAAAAAA", "aws_secret_access_key": "secret"}

    def sealed(expires: float) -> dict:
        told = {"access_key_id": keys["aws_access_key_id"], "secret_access_key": keys["aws_secret_access_key"],
                "account": ACCOUNT, "expires": int(expires * 1000), "role": None}
        nonce = os.urandom(12)
        text = AESGCM((served.data / "vault.key").read_bytes()).encrypt(nonce, json.dumps(told).encode(), b"session token")
        return keys | {"aws_session_token": "OmbraSession" + base64.b64encode(nonce + text).decode()}

    served.client("iot", **sealed(time.time() + 60)).list_things()
    calls = [
        ("iot", "list_things", ("ExpiredTokenException", 403)), ("dynamodb", "list_tables", ("ExpiredTokenException", 400)),
        ("sts", "get_caller_identity", ("ExpiredToken", 403)), ("s3", "list_buckets", ("ExpiredToken", 400)),
    ]
    for service, call, expected in calls:
        with pytest.raises(ClientError) as refused:
            getattr(served.client(service, **sealed(time.time() - 1)), call)()
        assert code(refused) == expected, service
    short = served.client("iot", **sealed(time.time() + 5))
    short.list_things()
    house.wait_for(lambda: is_over(short), "the session is over")
    assert served.event(decision="ExpiredTokenException")


def is_over(iot) -> bool:
    """Whether a client's session is."""
    try:
        iot.list_things()
        return False
    except ClientError as error:
        return error.response["Error"]["Code"] == "ExpiredTokenException"


# Tricks with paths and heads.


def test_a_path_means_what_was_signed(served, root):
    root.create_thing(thingName="victim")
    tricks = ["/things/x/../victim", "//things/victim", "/things/./victim", "/things//victim", "/things/victim/.."]
    for path in tricks:
        # botocore's own signer, which takes such segments out as AWS does.
        request = AWSRequest("GET", served.url + path)
        credentials = Credentials(served.root_key["aws_access_key_id"], served.root_key["aws_secret_access_key"])
        SigV4Auth(credentials, "iot", REGION).add_auth(request)
        head = dict(request.headers) | {"Host": served.endpoints["http"]}
        answer = exchange(served, "GET", path, head)
        assert answer.status == 403, (path, answer.body)
        assert served.event(resource=f"GET {path}")
    # What was signed for one thing and is sent for another by a detour.
    head = signed(served, served.root_key, "GET", "/things/victim")
    assert exchange(served, "GET", "/things/victim", head).status == 200
    for path in ["/things/x/../victim", "/things/%76ictim", "/things/victim%2F", "/things/%252e%252e/victim"]:
        assert exchange(served, "GET", path, head).status == 403, path


def test_an_encoded_slash_is_part_of_a_name_and_no_way_out(served):
    keys = user(served, "one-thing", allow("iot:*", f"{THINGS}/mine"))
    for path in ["/things/mine%2F..%2Fvictim", "/things/mine%2Fvictim", "/things/..%2Fthings%2Fvictim", "/things/mine%252Fvictim"]:
        answer = exchange(served, "GET", path, signed(served, keys, "GET", path))
        assert answer.status in (400, 403), (path, answer.body)
    publish = user(served, "one-topic", allow("iot:Publish", f"arn:aws:iot:{REGION}:{ACCOUNT}:topic/a/b"))
    for path, good in [("/topics/a%2Fb", True), ("/topics/a/b", True), ("/topics/a%252Fb", False), ("/topics/a/../b", False),
                       ("/topics/a%2Fb%2F..", False)]:
        answer = exchange(served, "POST", path, signed(served, publish, "POST", path, service="iotdata"))
        assert (answer.status == 200) == good, (path, answer.status, answer.body)


def test_requests_are_not_smuggled(served):
    host = served.endpoints["http"]
    head = signed(served, served.root_key, "GET", "/things")
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    start = f"GET /things HTTP/1.1\r\n{lines}"
    smuggled = "GET /things/victim HTTP/1.1\r\nHost: x\r\n\r\n"
    attempts = {
        "two hosts": (f"{start}Host: elsewhere\r\n\r\n", "AMBIGUOUS"),
        "length, then chunks": (f"{start}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}", "AMBIGUOUS"),
        "chunks, then length": (f"{start}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{smuggled}", "AMBIGUOUS"),
        "two lengths": (f"{start}Content-Length: 0\r\nContent-Length: 5\r\n\r\n", "UNREADABLE"),
        "another encoding": (f"{start}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "UNREADABLE"),
        "a folded line": (f"{start}X-A: a\r\n b\r\n\r\n", "UNREADABLE"),
        "a space before the colon": (f"{start}Content-Length : 5\r\n\r\n", "UNREADABLE"),
        "a bare line feed in a value": (f"{start}X-A: a\nX-Amz-B: c\rd\r\n\r\n", "UNREADABLE"),
        "a null": (f"{start}X-A: a\0b\r\n\r\n", "UNREADABLE"),
        "a long head": (f"{start}X-A: {'a' * 500_000}\r\n\r\n", "UNREADABLE"),
        "many headers": (start + "".join(f"X-{n}: a\r\n" for n in range(2000)) + "\r\n", "UNREADABLE"),
        "no request": ("nonsense\r\n\r\n", "UNREADABLE"),
    }
    for name, (raw, decision) in attempts.items():
        before = len(served.events(decision=decision))
        answer = send(served, raw.encode())
        assert answer.status in (400, 431), (name, answer.status, answer.body)
        assert b"victim" not in answer.body
        house.wait_for(lambda: len(served.events(decision=decision)) > before, f"an event of {name}")
    assert exchange(served, "GET", "/livez", {"Host": host}).status == 200


# MQTT over WebSockets.


def wire(served, keys: dict) -> packets.Wire:
    """MQTT on a WebSocket that these keys opened."""
    host = served.endpoints["http"]
    path = websockets.signed(host, key=keys["aws_access_key_id"], secret=keys["aws_secret_access_key"],
                             token=keys.get("aws_session_token"))
    raw = socket.create_connection(served.address("http"), timeout=PATIENCE)
    answer = websockets.ask(raw, path, host)
    assert answer.status == 101, answer
    return packets.Wire(websockets.Socket(raw))


def test_a_websocket_is_verified_too(served):
    host = served.endpoints["http"]
    root = served.root_key
    for keys, error in [
        ({"key": root["aws_access_key_id"], "secret": "x"}, "InvalidSignatureException"),
        ({"key": "nobody", "secret": "x"}, "UnrecognizedClientException"),
        ({"key": root["aws_access_key_id"], "secret": root["aws_secret_access_key"], "at": time.time() - 310},
         "InvalidSignatureException"),
    ]:
        with socket.create_connection(served.address("http"), timeout=PATIENCE) as raw:
            answer = websockets.ask(raw, websockets.signed(host, **keys), host)
        assert (answer.status, answer.error) == (403, error)
    assert served.event(decision="WEBSOCKET")
    with wire(served, root) as client:
        assert client.connect("root").reason == 0
        client.publish("any/topic", "x")


def test_a_client_on_a_websocket_is_held_to_the_policies_of_its_user(served):
    topics = f"arn:aws:iot:{REGION}:{ACCOUNT}"
    document = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{topics}:client/${{aws:username}}-*"},
        {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": f"{topics}:topic/open/*"},
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{topics}:topicfilter/open/*"},
    ]}
    keys = user(served, "browser", document)
    with wire(served, keys) as client:
        assert client.connect("somebody").reason == 5
    assert served.event(action="iot:Connect", principal=f"arn:aws:iam::{ACCOUNT}:user/browser")
    with wire(served, keys) as client:
        assert client.connect("browser-1").reason == 0
        assert client.subscribe("open/#", "closed/#") == [0, 128]
        client.publish("open/a", "x")
        client.send(packets.publish("closed/a", "x", packets.V311, qos=1, identifier=7))
        client.closed()
    assert served.event(action="iot:Publish", principal=f"arn:aws:iam::{ACCOUNT}:user/browser")


def test_a_change_of_policies_or_keys_reaches_who_is_connected_at_once(served):
    iam = served.client("iam", **served.root_key)
    keys = user(served, "watched", allow("iot:*", "*"))
    with wire(served, keys) as client:
        assert client.connect("watched").reason == 0
        iam.delete_user_policy(UserName="watched", PolicyName="watched")
        began = time.monotonic()
        client.closed()
        assert time.monotonic() - began < 1
    iam.attach_user_policy(UserName="watched", PolicyArn="arn:aws:iam::aws:policy/AWSIoTDataAccess")
    with wire(served, keys) as client:
        assert client.connect("watched").reason == 0
        iam.update_access_key(UserName="watched", AccessKeyId=keys["aws_access_key_id"], Status="Inactive")
        began = time.monotonic()
        client.closed()
        assert time.monotonic() - began < 1


# Rules.


def test_what_a_rule_does_to_a_neighbour_its_role_must_allow(served, root):
    iam = served.client("iam", **served.root_key)
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="of-rules", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    tables = served.client("dynamodb", **served.root_key)
    tables.create_table(TableName="rows", KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
                        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}], BillingMode="PAY_PER_REQUEST")
    action = {"dynamoDBv2": {"roleArn": role, "putItem": {"tableName": "rows"}}}
    root.create_topic_rule(ruleName="rows", topicRulePayload={"sql": "SELECT * FROM 'rows'", "actions": [action]})
    data = served.client("iot-data", **served.root_key)

    def is_there(key: str) -> bool:
        return "Item" in tables.get_item(TableName="rows", Key={"k": {"S": key}})

    data.publish(topic="rows", qos=1, payload=json.dumps({"k": "denied"}))
    refused = served.event(action="dynamodb:PutItem", principal=f"arn:aws:sts::{ACCOUNT}:assumed-role/of-rules/rules")
    assert refused["decision"] == "IMPLICIT_DENY"
    grant = allow("dynamodb:PutItem", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/rows")
    iam.put_role_policy(RoleName="of-rules", PolicyName="p", PolicyDocument=json.dumps(grant))
    data.publish(topic="rows", qos=1, payload=json.dumps({"k": "allowed"}))
    house.wait_for(lambda: is_there("allowed"), "the row is written")
    assert not is_there("denied")
    iam.update_assume_role_policy(RoleName="of-rules", PolicyDocument=json.dumps(trust).replace("iot.", "lambda."))
    data.publish(topic="rows", qos=1, payload=json.dumps({"k": "untrusted"}))
    failed = house.wait_for(lambda: served.events("rule_failed", rule="rows"), "the failure is told")
    house.wait_for(lambda: any("does not trust" in event["reason"] for event in served.events("rule_failed")), "why")
    assert failed and not is_there("untrusted")


def test_what_a_rule_publishes_its_role_must_allow(served, root):
    iam = served.client("iam", **served.root_key)
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="of-republish", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    grant = allow("iot:Publish", f"arn:aws:iot:{REGION}:{ACCOUNT}:topic/to/open")
    iam.put_role_policy(RoleName="of-republish", PolicyName="p", PolicyDocument=json.dumps(grant))
    for rule, topic, taken in [("may", "to/open", role), ("may_not", "to/closed", role), ("nobody", "to/open", role + "-not")]:
        action = {"republish": {"roleArn": taken, "topic": topic, "qos": 1}}
        payload = {"sql": f"SELECT * FROM 'from/{rule}'", "actions": [action]}
        root.create_topic_rule(ruleName=rule, topicRulePayload=payload)
    data = served.client("iot-data", **served.root_key)
    with wire(served, served.root_key) as client:
        assert client.connect("listener").reason == 0
        assert client.subscribe("to/#") == [0]
        data.publish(topic="from/may_not", qos=1, payload=b'{"of":"may_not"}')
        data.publish(topic="from/nobody", qos=1, payload=b'{"of":"nobody"}')
        house.wait_for(lambda: served.events("rule_failed", rule="may_not"), "the role may not")
        failed = house.wait_for(lambda: served.events("rule_failed", rule="nobody"), "the role is nobody's")
        assert "does not exist" in failed[-1]["reason"]
        data.publish(topic="from/may", qos=1, payload=b'{"of":"may"}')
        got = client.expect(packets.PUBLISH)
        assert (got.topic, got.payload) == ("to/open", b'{"of":"may"}')
    event = served.event(action="iot:Publish", principal=f"arn:aws:sts::{ACCOUNT}:assumed-role/of-republish/rules")
    assert event["resource"].endswith(":topic/to/closed")


def test_what_a_statement_asks_its_role_must_allow(served, root):
    iam = served.client("iam", **served.root_key)
    secret = served.client("secretsmanager", **served.root_key).create_secret(Name="db", SecretString="hush")["ARN"]
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="of-statements", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    grant = allow("iot:Publish", f"arn:aws:iot:{REGION}:{ACCOUNT}:topic/told")
    iam.put_role_policy(RoleName="of-statements", PolicyName="publish", PolicyDocument=json.dumps(grant))
    root.create_topic_rule(ruleName="asks", topicRulePayload={
        "sql": f"SELECT get_secret('db', 'SecretString', '{role}') AS x FROM 'ask'", "awsIotSqlVersion": "2016-03-23",
        "actions": [{"republish": {"roleArn": role, "topic": "told", "qos": 1}}]})
    data = served.client("iot-data", **served.root_key)
    with wire(served, served.root_key) as client:
        assert client.connect("asker").reason == 0
        assert client.subscribe("told") == [0]
        data.publish(topic="ask", qos=1, payload=b"{}")
        failed = house.wait_for(lambda: served.events("rule_failed", rule="asks"), "the role may not")
        assert "secretsmanager:GetSecretValue" in failed[-1]["reason"]
        iam.put_role_policy(RoleName="of-statements", PolicyName="read",
                            PolicyDocument=json.dumps(allow("secretsmanager:GetSecretValue", secret)))
        data.publish(topic="ask", qos=1, payload=b"{}")
        assert json.loads(client.expect(packets.PUBLISH).payload) == {"x": "hush"}


# Devices that take roles.


def ask_for_keys(served, device, alias: str, head: dict | None = None) -> tuple[int, dict]:
    """What the credentials provider says to a device."""
    context = tls_context(served, device.certificate, device.key, "http/1.1")
    with tls_socket(served, context, "tls") as sock:
        lines = [f"GET /role-aliases/{alias}/credentials HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (head or {}).items()]
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        said = b""
        while piece := sock.recv(65536):
            said += piece
    answer = Answer(said)
    return answer.status, json.loads(answer.body)


TRUST_DEVICES = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "credentials.iot.amazonaws.com"}, "Action": "sts:AssumeRole"}]}


def test_a_role_alias_comes_back_as_it_was_made_and_changed(served, root):
    iot = Checked(root)
    role = f"arn:aws:iam::{ACCOUNT}:role/any"
    made = iot.create_role_alias(roleAlias="whole", roleArn=role, credentialDurationSeconds=900, tags=[{"Key": "a", "Value": "b"}])
    assert made["roleAliasArn"] == f"arn:aws:iot:{REGION}:{ACCOUNT}:rolealias/whole"
    got = iot.describe_role_alias(roleAlias="whole")["roleAliasDescription"]
    assert (got["roleArn"], got["credentialDurationSeconds"], got["owner"]) == (role, 900, ACCOUNT)
    iot.update_role_alias(roleAlias="whole", roleArn=role + "-other")
    assert iot.describe_role_alias(roleAlias="whole")["roleAliasDescription"]["roleArn"] == role + "-other"
    assert "whole" in iot.list_role_aliases()["roleAliases"]
    assert iot.list_tags_for_resource(resourceArn=made["roleAliasArn"])["tags"] == [{"Key": "a", "Value": "b"}]
    iot.delete_role_alias(roleAlias="whole")
    with pytest.raises(root.exceptions.ResourceNotFoundException):
        iot.describe_role_alias(roleAlias="whole")


def test_a_device_takes_a_role_and_may_what_the_role_may(served, root, tmp_path):
    workshop = Workshop(served, tmp_path)
    iam = served.client("iam", **served.root_key)
    role = iam.create_role(RoleName="of-devices", AssumeRolePolicyDocument=json.dumps(TRUST_DEVICES))["Role"]["Arn"]
    grant = allow("dynamodb:PutItem", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/${{credentials-iot:ThingName}}")
    iam.put_role_policy(RoleName="of-devices", PolicyName="p", PolicyDocument=json.dumps(grant))
    alias = root.create_role_alias(roleAlias="writer", roleArn=role, credentialDurationSeconds=900)["roleAliasArn"]
    assert root.describe_endpoint(endpointType="iot:CredentialProvider")["endpointAddress"]
    device = workshop.device("writing-thing", allow("iot:AssumeRoleWithCertificate", alias))
    stranger = workshop.device("no-writer", allow("iot:Connect", "*"))
    status, said = ask_for_keys(served, device, "writer", {"x-amzn-iot-thingname": "writing-thing"})
    assert status == 200, said
    given = said["credentials"]
    left = datetime.datetime.fromisoformat(given["expiration"]) - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(seconds=880) < left <= datetime.timedelta(seconds=900)
    keys = {"aws_access_key_id": given["accessKeyId"], "aws_secret_access_key": given["secretAccessKey"],
            "aws_session_token": given["sessionToken"]}
    tables = served.client("dynamodb", **served.root_key)
    for name in ("writing-thing", "other-thing"):
        tables.create_table(TableName=name, KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
                            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}], BillingMode="PAY_PER_REQUEST")
    mine = served.client("dynamodb", **keys)
    mine.put_item(TableName="writing-thing", Item={"k": {"S": "a"}})
    with pytest.raises(ClientError) as refused:
        mine.put_item(TableName="other-thing", Item={"k": {"S": "a"}})
    assert code(refused) == ("AccessDeniedException", 400)
    who = served.client("sts", **keys).get_caller_identity()["Arn"]
    assert who == f"arn:aws:sts::{ACCOUNT}:assumed-role/of-devices/{device.certificate_id}"
    # Without the header nobody says which thing it is, and the variable has no value.
    _, said = ask_for_keys(served, device, "writer")
    nameless = said["credentials"]
    without = served.client("dynamodb", aws_access_key_id=nameless["accessKeyId"],
                            aws_secret_access_key=nameless["secretAccessKey"], aws_session_token=nameless["sessionToken"])
    with pytest.raises(ClientError):
        without.put_item(TableName="writing-thing", Item={"k": {"S": "a"}})
    assert ask_for_keys(served, device, "writer", {"x-amzn-iot-thingname": "no-writer"})[0] == 403
    assert served.event(decision="NOT_ITS_THING", principal=device.certificate_id)
    assert ask_for_keys(served, stranger, "writer")[0] == 403
    assert served.event(action="iot:AssumeRoleWithCertificate", principal=stranger.certificate_id)
    root.update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")
    assert ask_for_keys(served, device, "writer")[0] == 403


def test_a_role_that_does_not_trust_the_provider_is_given_to_no_device(served, root, tmp_path):
    workshop = Workshop(served, tmp_path)
    iam = served.client("iam", **served.root_key)
    trust = json.dumps(TRUST_DEVICES).replace("credentials.iot", "lambda")
    role = iam.create_role(RoleName="of-functions", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    root.create_role_alias(roleAlias="wrong", roleArn=role)
    device = workshop.device("hopeful", allow("iot:AssumeRoleWithCertificate", "*"))
    assert ask_for_keys(served, device, "wrong")[0] == 403
    assert served.event(decision="ROLE_NOT_TRUSTING")
    assert ask_for_keys(served, device, "none")[0] == 404


# Development.


def test_in_development_a_key_that_was_made_here_is_verified_and_any_other_is_not(own_ombra):
    own_ombra.start()
    done = house.run("key", "create", "--user", "dev", "-o", "json", "--data", own_ombra.data, env=house.plain_environment())
    made = json.loads(done.stdout)
    keys = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
    own_ombra.client("iot").list_things()
    with pytest.raises(ClientError) as refused:
        own_ombra.client("iot", **keys).list_things()
    assert code(refused) == ("AccessDeniedException", 403)
    with pytest.raises(ClientError) as refused:
        own_ombra.client("iot", **keys | {"aws_secret_access_key": "x"}).list_things()
    assert code(refused) == ("InvalidSignatureException", 403)


def test_a_network_without_keys_says_how_to_make_one(tmp_path):
    server = Served(tmp_path)
    try:
        server.start()
        house.wait_for(lambda: "ombra key create --data" in server.printed(), "the way in is said")
    finally:
        server.clean_up()
