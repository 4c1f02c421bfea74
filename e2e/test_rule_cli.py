"""Rules tried before they are anybody's: `ombra rule test` and `ombra rule check`, and the same from a program.

Exit codes are part of the contract: 0 done or all passed, 1 a mistake or a failed test, 2 cannot be meant, 3 nobody there to ask.
"""

import base64
import contextlib
import http.client
import json
import subprocess
import urllib.error
import urllib.request

import pytest

from house import PATIENCE, binary, plain_environment, run, wait_for

WARM = "SELECT t AS celsius, topic(2) AS room FROM 'rooms/+' WHERE t > 20"


def rule(*arguments, code: int = 0, **options):
    """What `ombra rule` prints, and what it says beside it."""
    done = run("rule", *arguments, env=plain_environment(), **options)
    assert done.returncode == code, done.stdout + done.stderr
    assert "panicked" not in done.stderr
    return done


def trace(*arguments, **options) -> dict:
    """The step trace of a trial."""
    return json.loads(rule("test", *arguments, "-o", "json", **options).stdout)


# One statement, one message; nobody serves.


def test_a_result_is_told_clause_by_clause(tmp_path):
    told = rule("test", WARM, "--topic", "rooms/attic", "--payload", '{"t": 21}', cwd=tmp_path).stdout
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert lines == [
        f"statement {WARM}",
        "version 2016-03-23",
        "FROM rooms/attic matches 'rooms/+'",
        "WHERE t > 20 -> true",
        "t -> 21",
        "SELECT celsius = t -> 21",
        'room = topic(2) -> "attic"',
        'result {"celsius":21,"room":"attic"}',
    ]


def test_what_does_not_match_says_why(tmp_path):
    told = rule("test", WARM, "--topic", "rooms/attic", "--payload", '{"t": 1}', cwd=tmp_path).stdout
    assert told.endswith("no result  WHERE is false, and only true selects\n")
    told = rule("test", WARM, "--topic", "halls/attic", cwd=tmp_path).stdout
    assert told.endswith("no result  the topic halls/attic does not match rooms/+\n")


def test_a_program_gets_the_same_as_json(tmp_path):
    told = trace(WARM, "--topic", "rooms/attic", "--payload", '{"t": 21}', cwd=tmp_path)
    assert told["verdict"] == "selected"
    assert told["output"] == {"celsius": 21, "room": "attic"}


def test_a_payload_comes_from_a_file_from_standard_input_or_as_it_is_typed(tmp_path):
    (tmp_path / "p.json").write_text('{"a": "file"}')
    assert trace("SELECT a FROM 't'", "--payload", "p.json", cwd=tmp_path)["output"] == {"a": "file"}
    with (tmp_path / "p.json").open() as stdin:
        assert trace("SELECT a FROM 't'", "--payload", "-", cwd=tmp_path, stdin=stdin)["output"] == {"a": "file"}
    (tmp_path / "p.bin").write_bytes(b"\xff\x00")
    told = trace("SELECT * FROM 't'", "--payload", "p.bin", cwd=tmp_path)
    assert base64.b64decode(told["output_base64"]) == b"\xff\x00"


def test_a_statement_comes_from_a_file(tmp_path):
    (tmp_path / "s.sql").write_text("SELECT a\nFROM 't'\n")
    assert trace("@s.sql", "--payload", '{"a": 1}', cwd=tmp_path)["output"] == {"a": 1}


def test_time_and_names_are_what_one_says(tmp_path):
    sql = "SELECT parse_time('yyyy-MM-dd', timestamp()) AS day, clientid() AS who FROM 't'"
    told = trace(sql, "--now", "1612325106789", "--client-id", "lamp", cwd=tmp_path)
    assert told["output"] == {"day": "2021-02-03", "who": "lamp"}


def test_a_mistake_is_shown_where_it_is(tmp_path):
    said = rule("test", "SELECT * FROM 't' WHERE )", code=1, cwd=tmp_path).stderr
    assert said.startswith("ombra: line 1, column 25: ")
    assert said.splitlines()[1:] == ["  SELECT * FROM 't' WHERE )", "  " + " " * 24 + "^"]


def test_what_cannot_be_meant_says_so(tmp_path):
    assert "which topic" in rule("test", "SELECT * FROM 'a/+'", code=2, cwd=tmp_path).stderr
    assert "version 2017" in rule("test", "SELECT * FROM 'a'", "--version", "2017", code=2, cwd=tmp_path).stderr
    assert "failed to read" in rule("test", "@nowhere.sql", code=2, cwd=tmp_path).stderr
    (tmp_path / "large").write_bytes(b"a" * (128 * 1024 + 1))
    assert "more than 131072 bytes" in rule("test", "SELECT * FROM 'a'", "--payload", "large", code=2, cwd=tmp_path).stderr


def test_what_asks_outside_says_that_nobody_runs(tmp_path):
    told = trace("SELECT get_thing_shadow('lamp', 'r') AS s FROM 't'", cwd=tmp_path)
    assert told["verdict"] == "failed"
    assert "asks a running ombra, and none runs here" in told["why"]
    rule("test", "SELECT * FROM 't'", "--last", code=3, cwd=tmp_path)


# Tests in a file.

GOOD = """
rule = "rule.json"
topic = "rooms/attic"

[[test]]
name = "a warm room is told"
payload = { t = 21 }
output = { celsius = 21, room = "attic" }

[[test]]
name = "a cold one is not"
payload = '{"t": 1}'
unmatched = true

[[test]]
name = "the lamp comes from its shadow"
sql = "SELECT get_thing_shadow('lamp', 'arn:aws:iam::000000000000:role/r').state.reported.on AS lit FROM 'rooms/+'"
world = [{ function = "get_thing_shadow", thing = "lamp", answer.state.reported.on = true }]
output = { lit = true }
"""
BAD = """
[[test]]
name = "a cold room is told"
payload = { t = 1 }
output = { celsius = 1, room = "attic" }
"""


@pytest.fixture
def rules(tmp_path):
    """A directory with a rule, and tests that pass."""
    payload = {"sql": WARM, "awsIotSqlVersion": "2016-03-23", "actions": []}
    (tmp_path / "rule.json").write_text(json.dumps(payload))
    (tmp_path / "good.toml").write_text(GOOD)
    (tmp_path / "bad.toml").write_text(GOOD + BAD)
    return tmp_path


def test_tests_that_pass_end_with_0(rules):
    told = rule("check", "good.toml", cwd=rules).stdout.splitlines()
    assert told == [
        "ok      a warm room is told",
        "ok      a cold one is not",
        "ok      the lamp comes from its shadow",
        "3 tests: 3 ok, 0 failed",
    ]


def test_one_that_fails_ends_with_1_and_shows_the_trace(rules):
    done = rule("check", "bad.toml", code=1, cwd=rules)
    told = done.stdout.splitlines()
    assert told[3] == "FAILED  a cold room is told"
    assert 'expected {"celsius":1,"room":"attic"}' in told[4]
    assert told[-2].endswith("no result  WHERE is false, and only true selects")
    assert told[-1] == "4 tests: 3 ok, 1 failed"
    assert done.stderr == "ombra: 1 of 4 tests failed\n"


def test_verdicts_are_json_for_a_program(rules):
    told = json.loads(rule("check", "bad.toml", "-o", "json", code=1, cwd=rules).stdout)
    assert (told["passed"], told["failed"]) == (3, 1)
    assert [test["passed"] for test in told["tests"]] == [True, True, True, False]
    assert told["tests"][3]["trace"]["verdict"] == "unmatched"


def test_a_file_that_means_nothing_names_the_test(rules):
    (rules / "odd.toml").write_text(GOOD.replace("unmatched", "unmatch"))
    said = rule("check", "odd.toml", code=2, cwd=rules).stderr
    assert said.startswith("ombra: odd.toml: a cold one is not: say exactly one of ")
    rule("check", "nowhere.toml", code=2, cwd=rules)


# With a server.


def asked(ombra, body, content_type: str = "application/json") -> tuple[int, dict]:
    """What the API says to a trial."""
    request = urllib.request.Request(
        f"{ombra.url}/_ombra/rules/test", json.dumps(body).encode(), {"content-type": content_type}, method="POST"
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def at(ombra, *arguments, code: int = 0):
    """`ombra rule test` beside a running server."""
    return rule("test", *arguments, "--data", ombra.data, code=code)


@contextlib.contextmanager
def followed(ombra):
    """Somebody follows what is published."""
    command = [binary(), "tail", "--data", ombra.data, "-o", "json"]
    with subprocess.Popen(command, env=plain_environment(), stdout=subprocess.PIPE, text=True) as tail:
        try:
            yield tail.stdout
        finally:
            tail.kill()


def test_a_statement_asks_the_shadows_and_the_registry_of_the_running_server(ombra, iot, iot_data):
    iot.create_thing(thingName="lamp", attributePayload={"attributes": {"floor": "3"}})
    iot_data.update_thing_shadow(thingName="lamp", payload=json.dumps({"state": {"reported": {"on": True}}}))
    role = "arn:aws:iam::000000000000:role/r"
    sql = (
        f"SELECT get_thing_shadow('lamp', '{role}').state.reported.on AS lit, "
        f"get_registry_data('DescribeThing', 'lamp', '{role}').attributes.floor AS floor FROM 't'"
    )
    assert json.loads(at(ombra, sql, "-o", "json").stdout)["output"] == {"lit": True, "floor": "3"}
    missing = json.loads(at(ombra, sql.replace("'lamp'", "'nobody'"), "-o", "json").stdout)
    assert missing["verdict"] == "failed" and "get_thing_shadow" in missing["why"]


def test_the_last_message_is_one_that_a_rule_heard(ombra, iot, iot_data):
    role = "arn:aws:iam::000000000000:role/r"
    action = {"republish": {"roleArn": role, "topic": "elsewhere"}}
    payload = {"sql": "SELECT * FROM 'heard/+' WHERE never", "awsIotSqlVersion": "2016-03-23", "actions": [action]}
    said = at(ombra, "SELECT * FROM 'heard/+'", "--last", code=1).stderr
    assert "no message to heard/+ is remembered" in said and "ombra tail" in said
    iot.create_topic_rule(ruleName="hears", topicRulePayload=payload)
    iot_data.publish(topic="heard/1", payload=b'{"t": 21}', qos=0)

    def told():
        done = run("rule", "test", "SELECT t, topic(2) AS n FROM 'heard/+'", "--last", "--data", ombra.data,
                   env=plain_environment())
        return done.stdout if done.returncode == 0 else None

    lines = wait_for(told, "a message that is remembered").splitlines()
    assert lines[0] == 'message    to heard/1: {"t": 21}'
    assert lines[-1] == 'result     {"t":21,"n":"1"}'


def test_the_last_message_is_any_that_was_published_while_somebody_followed(ombra, iot_data):
    with followed(ombra) as lines:
        # Published again and again, because nobody says when the follower has begun to hear.
        def heard():
            iot_data.publish(topic="loose/1", payload=b"\xff\x00", qos=0)
            status, told = asked(ombra, {"sql": "SELECT * FROM 'loose/#'", "last": True})
            return told if status == 200 else None

        told = wait_for(heard, "a message that is remembered")
        assert "loose/1" in lines.readline()
    assert base64.b64decode(told["message"]["payload_base64"]) == b"\xff\x00"
    assert base64.b64decode(told["output_base64"]) == b"\xff\x00"


def test_a_program_asks_the_server(ombra):
    status, told = asked(ombra, {"sql": WARM, "topic": "rooms/attic", "payload": {"t": 21}})
    assert (status, told["output"]) == (200, {"celsius": 21, "room": "attic"})
    sql = "SELECT clientid() AS who, accountid() AS account, timestamp() AS at FROM 't'"
    status, told = asked(ombra, {"sql": sql, "client_id": "lamp", "now": 5})
    assert (status, told["output"]) == (200, {"who": "lamp", "account": "000000000000", "at": 5})


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"sql": "SELEC"}, 400, "SqlParseException"),
        ({"sql": "SELECT * FROM 'a/+'"}, 400, "InvalidRequestException"),
        ({"sql": "SELECT * FROM 'a'", "topics": "a"}, 400, "InvalidRequestException"),
        ({"sql": "SELECT * FROM 'a'", "payload_base64": "?"}, 400, "InvalidRequestException"),
        ([], 400, "InvalidRequestException"),
        ({"sql": "SELECT * FROM 'silence'", "last": True}, 404, "ResourceNotFoundException"),
    ],
)
def test_what_the_server_cannot_try_it_refuses(ombra, body, status, kind):
    found, told = asked(ombra, body)
    assert (found, told["__type"]) == (status, kind)
    assert told["message"]


def test_a_page_from_elsewhere_cannot_ask(ombra):
    assert asked(ombra, {"sql": "SELECT * FROM 'a'"}, "text/plain")[0] == 415


def test_a_body_has_a_bound(ombra):
    # What announces itself as too large is refused before it is sent.
    connection = http.client.HTTPConnection(*ombra.address("http"), timeout=PATIENCE)
    connection.putrequest("POST", "/_ombra/rules/test")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str((1 << 20) + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
