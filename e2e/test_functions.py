"""Lambda functions, made and invoked by boto3 and run by AWS's own runtime clients: what they answer, what their logs say,
and what becomes of those that loop, allocate, fork, write or hide without end.

The Python that runs them is the one that runs these tests, which has `awslambdaric`.
"""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from house import ACCOUNT, REGION, Ombra, wait_for

ROLE = f"arn:aws:iam::{ACCOUNT}:role/lambda"
RUNTIME = f"python3.{sys.version_info.minor}"
FLAGS = ("--functions-python", sys.executable, "--functions-retry", "1")
pytestmark = pytest.mark.timeout(120)


def package(files: dict[str, str], executable: tuple = ()) -> bytes:
    """A zip file of these files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o755 if name in executable else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text)
    return packed.getvalue()


class Workbench:
    """A server and the clients that make functions on it and look after them."""

    def __init__(self, ombra: Ombra):
        self.ombra = ombra
        self.functions = ombra.client("lambda")
        self.logs = ombra.client("logs")
        assert role(ombra) == ROLE

    def make(self, name: str, code: str, **configuration) -> str:
        """A function whose handler is `handler` in this Python; answers with its ARN."""
        wanted = {"Runtime": RUNTIME, "Handler": "code.handler", "Timeout": 20} | configuration
        made = self.functions.create_function(
            FunctionName=name, Role=ROLE, Code={"ZipFile": package({"code.py": code})}, **wanted,
        )
        return made["FunctionArn"]

    def invoke(self, name: str, event=None, **how):
        """Invoke a function, and read what it answers; an error is an error."""
        answer = self.functions.invoke(FunctionName=name, Payload=json.dumps(event), **how)
        assert "FunctionError" not in answer, answer["Payload"].read()
        return json.loads(answer["Payload"].read())

    def fail(self, name: str, event=None) -> dict:
        """Invoke a function that fails, and read how."""
        answer = self.functions.invoke(FunctionName=name, Payload=json.dumps(event))
        assert answer["StatusCode"] == 200 and answer["FunctionError"] == "Unhandled", answer
        return json.loads(answer["Payload"].read())

    def log(self, name: str) -> list[str]:
        """What the log group of a function holds, the oldest first."""
        group = f"/aws/lambda/{name}"
        try:
            pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=group)
            return [event["message"].rstrip("\n") for page in pages for event in page["events"]]
        except self.logs.exceptions.ResourceNotFoundException:
            return []

    def logged(self, name: str, words: str) -> str:
        """A line with these words, which may come a moment later."""
        return wait_for(lambda: [line for line in self.log(name) if words in line], f"{words!r} in {self.log(name)}")[-1]


def role(ombra: Ombra, account: str = ACCOUNT) -> str:
    """A role that functions may have."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam = ombra.client("iam", account=None if account == ACCOUNT else account)
    try:
        made = iam.create_role(RoleName="lambda", AssumeRolePolicyDocument=document)["Role"]["Arn"]
        # What a function may do is what its role may.
        iam.attach_role_policy(RoleName="lambda", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        return made
    except iam.exceptions.EntityAlreadyExistsException:
        return iam.get_role(RoleName="lambda")["Role"]["Arn"]


def refused(code: str, call, **arguments) -> str:
    """Call what is refused with this code, and read the words."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return caught.value.response["Error"]["Message"]


@pytest.fixture(scope="module")
def ombra(tmp_path_factory):
    """A server that runs functions with this Python."""
    server = Ombra(tmp_path_factory.mktemp("ombra"))
    try:
        yield server.start(*FLAGS)
    finally:
        server.clean_up()


@pytest.fixture(scope="module")
def bench(ombra):
    """A workbench on it."""
    return Workbench(ombra)


def below(pid: int) -> list[int]:
    """The processes that came of this one."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *below(int(child))]
    return found


# What is made.


ECHO = "def handler(event, context): return {'event': event, 'id': context.aws_request_id}"


def test_a_function_is_made_described_changed_and_deleted(bench):
    functions, code = bench.functions, package({"code.py": ECHO})
    made = functions.create_function(
        FunctionName="life", Role=ROLE, Runtime=RUNTIME, Handler="code.handler", Code={"ZipFile": code},
        Environment={"Variables": {"NAME": "b"}}, Tags={"team": "hall"}, Description="first",
    )
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:life"
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert made["FunctionArn"] == arn and made["Version"] == "$LATEST" and made["CodeSize"] == len(code)
    assert made["CodeSha256"] == base64.b64encode(hashlib.sha256(code).digest()).decode()
    assert (made["Timeout"], made["MemorySize"], made["EphemeralStorage"]) == (3, 128, {"Size": 512})
    assert made["Environment"] == {"Variables": {"NAME": "b"}}
    refused("ResourceConflictException", functions.create_function, FunctionName="life", Role=ROLE, Runtime=RUNTIME,
            Handler="code.handler", Code={"ZipFile": code})
    functions.get_waiter("function_active_v2").wait(FunctionName="life")
    found = functions.get_function(FunctionName=arn)
    assert found["Tags"] == {"team": "hall"}
    assert urllib.request.urlopen(found["Code"]["Location"]).read() == code
    changed = functions.update_function_configuration(FunctionName="life", Timeout=7, Environment={"Variables": {}})
    functions.get_waiter("function_updated_v2").wait(FunctionName="life")
    assert changed["Timeout"] == 7 and "Environment" not in changed and changed["Description"] == "first"
    refused("PreconditionFailedException", functions.update_function_configuration, FunctionName="life",
            RevisionId=made["RevisionId"])
    other = package({"code.py": "def handler(event, context): return 2"})
    functions.update_function_code(FunctionName="life", ZipFile=other)
    assert bench.invoke("life") == 2
    names = [it["FunctionName"] for page in functions.get_paginator("list_functions").paginate(
        PaginationConfig={"PageSize": 1}) for it in page["Functions"]]
    assert "life" in names
    gone = functions.delete_function(FunctionName="life")
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    message = refused("ResourceNotFoundException", functions.get_function, FunctionName="life")
    assert message == f"Function not found: {arn}"


def test_what_cannot_be_a_function_is_refused(bench):
    create, good = bench.functions.create_function, package({"code.py": ECHO})

    def refuse(code, **changes):
        wanted = {"FunctionName": "bad", "Role": ROLE, "Runtime": RUNTIME, "Handler": "code.handler"}
        wanted |= {"Code": {"ZipFile": good}} | changes
        return refused(code, create, **{name: value for name, value in wanted.items() if value is not None})

    assert "Could not unzip" in refuse("InvalidParameterValueException", Code={"ZipFile": b"print(1)"})
    assert "Could not unzip" in refuse("InvalidParameterValueException", Code={"ZipFile": package({"../x": ""})})
    bomb = package({"zeros": "\0" * 263_000_000})
    assert "Unzipped size" in refuse("InvalidParameterValueException", Code={"ZipFile": bomb})
    assert "Value 'nobody' at 'role'" in refuse("ValidationException", Role="nobody")
    assert "Value python3.99 at 'runtime'" in refuse("InvalidParameterValueException", Runtime="python3.99")
    stranger = "arn:aws:iam::999999999999:role/lambda"
    assert "Cross-account" in refuse("AccessDeniedException", Role=stranger)
    message = refuse("InvalidParameterValueException", Role=ROLE + "-of-nobody")
    assert message == "The role defined for the function cannot be assumed by Lambda."
    refuse("InvalidParameterValueException", Runtime=None)
    refuse("ValidationException", Timeout=901)
    assert "AWS_REGION" in refuse("InvalidParameterValueException", Environment={"Variables": {"AWS_REGION": "x"}})
    refuse("InvalidParameterValueException", Environment={"Variables": {"LONG": "x" * 5000}})
    assert "java21" in refuse("NotImplementedException", Runtime="java21")
    assert "Layers" in refuse("NotImplementedException", Layers=[f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:a:1"])
    assert bench.functions.list_functions()["Functions"] == [
        it for it in bench.functions.list_functions()["Functions"] if it["FunctionName"] != "bad"
    ]


def test_code_may_come_from_a_bucket(bench):
    objects, functions = bench.ombra.client("s3"), bench.functions
    objects.create_bucket(Bucket="packages")
    objects.put_object(Bucket="packages", Key="my code/one+1.zip", Body=package({"code.py": ECHO}))
    source = {"S3Bucket": "packages", "S3Key": "my code/one+1.zip"}
    functions.create_function(
        FunctionName="bucket", Role=ROLE, Runtime=RUNTIME, Handler="code.handler", Code=source, Timeout=20,
    )
    assert bench.invoke("bucket", 1)["event"] == 1
    two = package({"code.py": "def handler(event, context): return 2"})
    objects.put_object(Bucket="packages", Key="two.zip", Body=two)
    functions.update_function_code(FunctionName="bucket", S3Bucket="packages", S3Key="two.zip")
    assert bench.invoke("bucket") == 2
    message = refused("InvalidParameterValueException", functions.update_function_code, FunctionName="bucket",
                      S3Bucket="packages", S3Key="none.zip")
    assert "NoSuchKey" in message, message


def test_versions_stay_and_aliases_move(bench):
    functions = bench.functions
    bench.make("versions", "def handler(event, context): return ['one', context.function_version, context.invoked_function_arn]")
    one = functions.publish_version(FunctionName="versions")
    assert one["Version"] == "1" and one["FunctionArn"].endswith(":versions:1")
    assert functions.publish_version(FunctionName="versions")["Version"] == "1"
    alias = functions.create_alias(FunctionName="versions", Name="live", FunctionVersion="1")
    code = package({"code.py": "def handler(event, context): return ['two', context.function_version]"})
    functions.update_function_code(FunctionName="versions", ZipFile=code, Publish=True)
    assert bench.invoke("versions") == ["two", "$LATEST"]
    assert bench.invoke("versions", Qualifier="live") == ["one", "1", alias["AliasArn"]]
    functions.update_alias(FunctionName="versions", Name="live", FunctionVersion="2")
    assert bench.invoke(alias["AliasArn"]) == ["two", "2"]
    listed = functions.list_versions_by_function(FunctionName="versions")["Versions"]
    assert [it["Version"] for it in listed] == ["$LATEST", "1", "2"]
    refused("ResourceConflictException", functions.delete_function, FunctionName="versions", Qualifier="2")
    functions.delete_function(FunctionName="versions", Qualifier="1")
    refused("ResourceNotFoundException", functions.invoke, FunctionName="versions", Qualifier="1")


def test_permissions_are_statements_of_a_policy(bench):
    functions = bench.functions
    arn = bench.make("permitted", ECHO)
    rule = f"arn:aws:iot:{REGION}:{ACCOUNT}:rule/R"
    granted = functions.add_permission(
        FunctionName="permitted", StatementId="AllowIoTInvoke", Action="lambda:InvokeFunction",
        Principal="iot.amazonaws.com", SourceArn=rule,
    )
    assert granted["ResponseMetadata"]["HTTPStatusCode"] == 201
    statement = {
        "Sid": "AllowIoTInvoke", "Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"},
        "Action": "lambda:InvokeFunction", "Resource": arn, "Condition": {"ArnLike": {"AWS:SourceArn": rule}},
    }
    assert json.loads(granted["Statement"]) == statement
    policy = json.loads(functions.get_policy(FunctionName="permitted")["Policy"])
    assert policy == {"Version": "2012-10-17", "Id": "default", "Statement": [statement]}
    refused("ResourceConflictException", functions.add_permission, FunctionName="permitted",
            StatementId="AllowIoTInvoke", Action="lambda:InvokeFunction", Principal="iot.amazonaws.com")
    removed = functions.remove_permission(FunctionName="permitted", StatementId="AllowIoTInvoke")
    assert removed["ResponseMetadata"]["HTTPStatusCode"] == 204
    refused("ResourceNotFoundException", functions.remove_permission, FunctionName="permitted", StatementId="gone")
    refused("ResourceNotFoundException", functions.get_policy, FunctionName="permitted")


# What runs.


def test_a_handler_answers_and_its_log_says_so(bench):
    code = """
print("module")
def handler(event, context):
    print("hello", event["name"])
    assert context.get_remaining_time_in_millis() > 0
    return {"got": event, "memory": context.memory_limit_in_mb}
"""
    bench.make("answering", code, MemorySize=256)
    answer = bench.functions.invoke(FunctionName="answering", Payload='{"name": "hall"}', LogType="Tail")
    assert answer["StatusCode"] == 200 and answer["ExecutedVersion"] == "$LATEST"
    assert json.loads(answer["Payload"].read()) == {"got": {"name": "hall"}, "memory": "256"}
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert "hello hall\n" in tail and "REPORT RequestId:" in tail
    bench.invoke("answering", {"name": "stairs"})
    bench.logged("answering", "hello stairs")
    wait_for(lambda: len([line for line in bench.log("answering") if line.startswith("REPORT")]) == 2, "two reports")
    log = bench.log("answering")
    assert log.count("module") == 1, "the second invocation was warm"
    first = log[log.index("module") + 1:][:4]
    identity = first[0].split()[2]
    assert first[0] == f"START RequestId: {identity} Version: $LATEST"
    assert first[1:3] == ["hello hall", f"END RequestId: {identity}"]
    assert first[3].startswith(f"REPORT RequestId: {identity}\tDuration: ")
    assert "\tMemory Size: 256 MB\tMax Memory Used: " in first[3] and "\tInit Duration: " in first[3]
    assert "Init Duration" not in log[-1]
    stream = bench.logs.describe_log_streams(logGroupName="/aws/lambda/answering")["logStreams"][0]["logStreamName"]
    day, _, rest = stream.partition("/[$LATEST]")
    assert len(rest) == 32 and time.strptime(day, "%Y/%m/%d")


def test_a_handler_finds_its_environment_and_this_house(bench):
    code = """
import boto3, os
def handler(event, context):
    iot = boto3.client('iot')
    iot.create_thing(thingName=os.environ['THING'])
    return {'account': boto3.client('sts').get_caller_identity()['Account'],
            'environment': dict(os.environ), 'here': os.getcwd(), 'files': sorted(os.listdir('.'))}
"""
    bench.make("environment", code, Environment={"Variables": {"THING": "made-by-a-function"}})
    answer = bench.invoke("environment")
    assert bench.ombra.client("iot").describe_thing(thingName="made-by-a-function")["version"] == 1
    environment = answer["environment"]
    assert answer["account"] == ACCOUNT and "code.py" in answer["files"]
    assert environment["AWS_REGION"] == REGION and environment["AWS_LAMBDA_FUNCTION_NAME"] == "environment"
    assert environment["LAMBDA_TASK_ROOT"] == answer["here"]
    assert environment["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{RUNTIME}" and environment["TZ"] == ":UTC"
    assert not [name for name in environment if name.startswith("OMBRA")]


def test_an_account_of_its_own_has_functions_of_its_own(bench):
    other, own = bench.ombra.client("lambda", account="111111111111"), role(bench.ombra, "111111111111")
    code = "import boto3\ndef handler(event, context): return boto3.client('sts').get_caller_identity()['Account']"
    other.create_function(
        FunctionName="elsewhere", Role=own, Runtime=RUNTIME, Handler="code.handler", Timeout=20,
        Code={"ZipFile": package({"code.py": code})},
    )
    assert json.loads(other.invoke(FunctionName="elsewhere")["Payload"].read()) == "111111111111"
    refused("ResourceNotFoundException", bench.functions.invoke, FunctionName="elsewhere")


def test_what_a_handler_raises_is_told(bench):
    bench.make("raising", "def handler(event, context):\n    raise ValueError('no ' + event)")
    failure = bench.fail("raising", "way")
    assert (failure["errorType"], failure["errorMessage"]) == ("ValueError", "no way")
    assert "code.py" in failure["stackTrace"][0]
    assert "Traceback" in bench.logged("raising", "[ERROR] ValueError: no way")
    bench.make("unimportable", "import nothing_of_this_name")
    assert bench.fail("unimportable")["errorType"] == "Runtime.ImportModuleError"
    bench.logged("unimportable", "REPORT RequestId")
    bench.make("leaving", "import os\ndef handler(event, context): os._exit(3)")
    failure = bench.fail("leaving")
    assert failure["errorType"] == "Runtime.ExitError" and "exit status 3" in failure["errorMessage"]
    bench.make("large", "def handler(event, context): return 'x' * 7_000_000")
    assert bench.fail("large")["errorType"] == "Function.ResponseSizeTooLarge"


def test_a_program_of_any_kind_may_speak_the_runtime_api(bench):
    bootstrap = """#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
exec "%s" - "$api" "$_HANDLER" <<'PY'
import sys, urllib.request
api, handler = sys.argv[1:]
while True:
    with urllib.request.urlopen(f"{api}/invocation/next") as given:
        identity, event = given.headers["Lambda-Runtime-Aws-Request-Id"], given.read()
        assert int(given.headers["Lambda-Runtime-Deadline-Ms"]) > 0
    print("doing", identity, flush=True)
    body = b'["' + handler.encode() + b'",' + event + b"]"
    urllib.request.urlopen(f"{api}/invocation/{identity}/response", data=body)
PY
""" % shutil.which("python3", path="/usr/bin:/bin")
    bench.functions.create_function(
        FunctionName="provided", Role=ROLE, Runtime="provided.al2023", Handler="mine", Timeout=20,
        Code={"ZipFile": package({"bootstrap": bootstrap}, executable=("bootstrap",))},
    )
    assert bench.invoke("provided", {"a": 1}) == ["mine", {"a": 1}]
    assert bench.invoke("provided", 2) == ["mine", 2]
    bench.logged("provided", "doing ")


def test_who_waits_is_ended_without_a_word(own_ombra):
    """A log group that was deleted with its function does not come back for the sake of a dying process's complaint."""
    bench = Workbench(own_ombra.start(*FLAGS))
    names = [f"waiting-{number}" for number in range(12)]
    for name in [*names, "witness"]:
        bench.make(name, ECHO)
    for name in names:
        bench.invoke(name)
        bench.logged(name, "REPORT")
    with crowd():
        for name in names:
            bench.functions.delete_function(FunctionName=name)
            bench.logs.delete_log_group(logGroupName=f"/aws/lambda/{name}")
        wait_for(lambda: below(bench.ombra.process.pid) == [], "no process of a function is left", 40)
    # Lines are written in the order in which they were said.
    bench.invoke("witness")
    bench.logged("witness", "REPORT")
    groups = bench.logs.describe_log_groups()["logGroups"]
    assert [group["logGroupName"] for group in groups] == ["/aws/lambda/witness"]


@contextmanager
def crowd():
    """Processes that want all of the processor, so that others come in any order; they end by themselves in any case."""
    busy = [subprocess.Popen(["timeout", "60", "sh", "-c", "while :; do :; done"]) for _ in range(4)]
    try:
        yield
    finally:
        for process in busy:
            process.terminate()
            process.wait()


def test_a_node_handler_answers(own_ombra):
    installed = os.environ.get("OMBRA_TEST_NODE_RUNTIME")
    if not installed:
        pytest.skip("aws-lambda-ric takes a compiler, cmake and minutes: name a directory made by `ombra runtime install`")
    shutil.copytree(installed, own_ombra.data / "runtimes/nodejs", symlinks=True)
    bench = Workbench(own_ombra.start(*FLAGS))
    code = "exports.handler = async (event, context) => { console.log('node', event.a); return {got: event.a}; };"
    bench.functions.create_function(
        FunctionName="node", Role=ROLE, Runtime="nodejs20.x", Handler="index.handler", Timeout=20, MemorySize=256,
        Code={"ZipFile": package({"index.js": code})},
    )
    assert bench.invoke("node", {"a": 1}) == {"got": 1}
    bench.logged("node", "node 1")


def test_a_function_may_be_an_address(bench):
    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = event.get("status", 200)
            body = json.dumps({"path": self.path, "event": event, "id": self.headers["Lambda-Runtime-Aws-Request-Id"]})
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    hook = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    try:
        made = bench.functions.create_function(
            FunctionName="address", Role=ROLE, PackageType="Image",
            Code={"ImageUri": f"http://127.0.0.1:{hook.server_port}/hook?a=b"},
        )
        assert made["PackageType"] == "Image" and "Runtime" not in made
        answer = bench.invoke("address", {"x": 1})
        assert answer["path"] == "/hook?a=b" and answer["event"] == {"x": 1}
        assert bench.logged("address", "START").split()[2] == answer["id"]
        assert bench.fail("address", {"status": 500})["event"] == {"status": 500}
    finally:
        hook.shutdown()
        hook.server_close()
    assert bench.fail("address", {})["errorType"] == "Function.Unreachable"
    message = refused("NotImplementedException", bench.functions.create_function, FunctionName="image", Role=ROLE,
                      PackageType="Image", Code={"ImageUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/a:b"})
    assert "ImageUri" in message


def test_nothing_is_run_without_a_runtime_and_the_way_out_is_told(own_ombra):
    bench = Workbench(own_ombra.start("--functions-python", "/nowhere/python"))
    bench.make("lost", ECHO)
    failure = bench.fail("lost")
    assert "ombra runtime install python3" in failure["errorMessage"]
    bench.logged("lost", "ombra runtime install python3")


def test_functions_can_be_off(own_ombra):
    bench = Workbench(own_ombra.start("--functions", "off"))
    bench.make("off", ECHO)
    assert "off" in refused("NotImplementedException", bench.functions.invoke, FunctionName="off")


# When.


def test_invocations_are_answered_side_by_side_and_within_what_was_reserved(bench):
    bench.make("side", "import time\ndef handler(event, context):\n    time.sleep(event)\n    return event")
    began = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: bench.invoke("side", 1), range(4))) == [1] * 4
    assert time.monotonic() - began < 4 + 4
    bench.functions.put_function_concurrency(FunctionName="side", ReservedConcurrentExecutions=0)
    assert bench.functions.get_function(FunctionName="side")["Concurrency"] == {"ReservedConcurrentExecutions": 0}
    refused("TooManyRequestsException", bench.functions.invoke, FunctionName="side", Payload="0")
    bench.functions.delete_function_concurrency(FunctionName="side")
    assert bench.invoke("side", 0) == 0


def test_what_cannot_be_invoked_is_refused(bench):
    bench.make("invoked", ECHO)
    invoke = bench.functions.invoke
    refused("InvalidRequestContentException", invoke, FunctionName="invoked", Payload=b"{not json")
    refused("ResourceNotFoundException", invoke, FunctionName="nobody")
    refused("ResourceNotFoundException", invoke, FunctionName="invoked", Qualifier="7")
    dry = invoke(FunctionName="invoked", InvocationType="DryRun")
    assert dry["StatusCode"] == 204
    refused("RequestTooLargeException", invoke, FunctionName="invoked", InvocationType="Event",
            Payload=json.dumps("x" * 1_100_000))
    assert len(bench.invoke("invoked", "x" * 3_000_000)["event"]) == 3_000_000


def test_an_event_is_taken_and_done_later_and_tried_again(bench):
    code = """
import boto3
def handler(event, context):
    boto3.client('iot').create_thing(thingName=event['thing'] + str(len(list(
        boto3.client('iot').get_paginator('list_things').paginate().search('things[].thingName')))))
    if event.get('fails'):
        raise RuntimeError('as told')
"""
    bench.make("later", code)
    taken = bench.functions.invoke(FunctionName="later", InvocationType="Event", Payload='{"thing": "later-"}')
    assert taken["StatusCode"] == 202 and taken["Payload"].read() == b""
    iot = bench.ombra.client("iot")

    def things(prefix):
        pages = iot.get_paginator("list_things").paginate()
        return [thing["thingName"] for page in pages for thing in page["things"] if thing["thingName"].startswith(prefix)]

    wait_for(lambda: things("later-"), "the event was done")
    payload = '{"thing": "again-", "fails": true}'
    bench.functions.invoke(FunctionName="later", InvocationType="Event", Payload=payload)
    wait_for(lambda: len(things("again-")) == 3, "one try and two more")
    dropped = bench.ombra.event("event_dropped", function="later")
    assert "as told" in dropped["why"]
    start = f"START RequestId: {dropped['request_id']} Version: $LATEST"
    wait_for(lambda: bench.log("later").count(start) == 3, "the log tells of three tries")
    assert len(things("again-")) == 3 and len(things("later-")) == 1


def test_an_event_that_was_taken_outlives_the_server(own_ombra):
    bench = Workbench(own_ombra.start(*FLAGS))
    slow = "import boto3, time\ndef handler(event, context):\n    time.sleep(1)\n    boto3.client('iot').create_thing(thingName=event)"
    bench.make("survivor", slow)
    for number in range(6):
        taken = bench.functions.invoke(FunctionName="survivor", InvocationType="Event", Payload=f'"done-{number}"')
        assert taken["StatusCode"] == 202
    children = wait_for(lambda: below(own_ombra.process.pid), "the function has begun")
    own_ombra.kill()
    wait_for(lambda: not any(is_running(pid) for pid in children), "no process outlives the server")
    iot = own_ombra.start(*FLAGS).client("iot")
    wait_for(lambda: len(iot.list_things()["things"]) == 6, "all events were done")


def is_running(pid: int) -> bool:
    """Whether a process is there and more than a name."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


# Those who take what they can get, with walls around them and without.


ABUSES = {
    "loops": ("while True: pass", {"Timeout": 2}, "Sandbox.Timedout", "Task timed out after 2.00 seconds"),
    "allocates": (
        "kept = []\n    while True: kept.append(bytearray(1 << 20))", {}, "Runtime.OutOfMemory", "more than its 128 MB",
    ),
    "forks": (
        "while True:\n        try: os.fork()\n        except OSError: time.sleep(1)", {"Timeout": 4}, None, None,
    ),
    "writes": ("while True: print('x' * 1000)", {"Timeout": 2}, "Sandbox.Timedout", "the rest is cut"),
    "fills": (
        "n = 0\n    while True:\n        n += 1\n"
        "        open(f\"{os.environ['TMPDIR']}/{n}\", 'wb').write(b'x' * (100 << 20))",
        {"MemorySize": 512}, None, "MB of files and was ended",
    ),
    "ignores": (
        "[signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]\n    time.sleep(60)",
        {"Timeout": 2}, "Sandbox.Timedout", "Task timed out",
    ),
    "hides": (
        "if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0:\n            os.setsid()\n"
        "            [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]\n            time.sleep(600)\n        os._exit(0)\n"
        "    time.sleep(60)",
        {"Timeout": 2}, "Sandbox.Timedout", "Task timed out",
    ),
}


@pytest.fixture(scope="module", params=["auto", "off"])
def guarded(request, tmp_path_factory):
    """A server with walls around its functions, if the system has them, and one without."""
    server = Ombra(tmp_path_factory.mktemp("ombra"))
    try:
        server.start(*FLAGS, "--functions-sandbox", request.param)
        bench = Workbench(server)
        bench.make("neighbour", "def handler(event, context): return event")
        bench.invoke("neighbour", 0)
        yield bench
    finally:
        server.clean_up()


@pytest.mark.parametrize("abuse", ABUSES)
def test_who_takes_too_much_is_ended_and_nobody_else(guarded, abuse):
    body, configuration, kind, words = ABUSES[abuse]
    code = f"import os, signal, time\ndef handler(event, context):\n    {body}\n"
    guarded.make(abuse, code, **({"Timeout": 30} | configuration))
    with ThreadPoolExecutor(1) as threads:
        failing = threads.submit(guarded.fail, abuse)
        answered = 0
        while not failing.done():
            assert guarded.invoke("neighbour", answered) == answered
            answered += 1
            time.sleep(0.05)
    failure = failing.result()
    assert answered > 0
    if kind:
        assert failure["errorType"] == kind, failure
    if words:
        guarded.logged(abuse, words)
    guarded.logged(abuse, "REPORT RequestId")
    wait_for(lambda: not [it for it in Path("/proc").glob("[0-9]*/environ") if abuse in function_of(it)], "all is ended")
    written = sum(len(line) for line in guarded.log(abuse))
    assert written < 2 << 20, written
    assert guarded.ombra.alive()


def function_of(path: Path) -> set[str]:
    """The function's name in a process's environment, if it has one that can be read."""
    try:
        variables = path.read_bytes().split(b"\0")
    except OSError:
        return set()
    return {it.split(b"=", 1)[1].decode() for it in variables if it.startswith(b"AWS_LAMBDA_FUNCTION_NAME=")}


def test_a_child_sees_neither_the_house_nor_its_siblings(bench):
    code = """
import glob, os
def handler(event, context):
    def attempt(what):
        try: return what()
        except Exception as error: return type(error).__name__
    return {
        'processes': len(glob.glob('/proc/[0-9]*')),
        'data': os.path.exists(event['data']),
        'writes': {path: attempt(lambda: open(path + '/x', 'w').close()) for path in ('/usr', '/etc', '/tmp', '.')},
        'core': __import__('resource').getrlimit(__import__('resource').RLIMIT_CORE),
        'status': dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines()),
    }
"""
    bench.make("looking", code)
    seen = bench.invoke("looking", {"data": str(bench.ombra.data)})
    if not unshares():
        pytest.skip("no namespaces here, so no walls")
    assert seen["processes"] == 1 and not seen["data"] and seen["core"] == [0, 0]
    assert seen["writes"]["/tmp"] is None
    assert all(seen["writes"][path] == "OSError" for path in ("/usr", "/etc", ".")), seen["writes"]
    status = seen["status"]
    assert status["NoNewPrivs"].strip() == "1"
    assert all(int(status[name], 16) == 0 for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"))
    if os.geteuid() == 0:
        assert int(status["Uid"].split()[0]) >= 2_000_000_000


def unshares() -> bool:
    """Whether this system lets us make namespaces."""
    how = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return subprocess.run(["unshare", *how, "--mount", "--pid", "--fork", "true"], check=False).returncode == 0


def test_a_stranger_is_turned_away_from_the_runtime_api(bench):
    bench.make("door", "import os\ndef handler(event, context): return os.environ['AWS_LAMBDA_RUNTIME_API']")
    address = bench.invoke("door")
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://{address}/2018-06-01/runtime/invocation/next", timeout=10).read()
    assert bench.invoke("door") == address
