"""Every packet script of `conformance/` against ombra over plain TCP, held against the verdicts on record.

The scripts wait more than they work, so they are run once, many at a time; each has its own test all the same. A
verdict that differs from the ledger fails in either direction. `pytest test_conformance.py --record` writes it anew;
`python -m conformance HOST PORT --record NAME` does so for another broker.
"""

import json

import pytest

from conformance.rules import ALL
from conformance.run import chosen, read_ledger, record, run
from conformance.scripts import Broker
from devices import ALLOW_ALL
from house import LOOPBACK, Ombra

CASES = chosen()
PLAIN = ["--mqtt-plain", LOOPBACK, "--mqtt-plain-policy", "everything", "--quotas", "off"]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory, request):
    """How each case ended, by its id."""
    server = Ombra(tmp_path_factory.mktemp("conformance"))
    try:
        server.start(*PLAIN)
        server.client("iot").create_policy(policyName="everything", policyDocument=json.dumps(ALLOW_ALL))
        found = list(run(Broker(*server.address("mqtt_plain")), CASES))
        assert server.alive(), "ombra did not survive the scripts"
    finally:
        server.clean_up()
    if request.config.getoption("--record"):
        record("ombra", found)
    return {verdict.case.id: verdict for verdict in found}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_script_ends_as_the_ledger_says(verdicts, case):
    now, recorded = verdicts[case.id], read_ledger().get(case.id, {}).get("ombra")
    assert now.verdict == recorded, f"{case.title}: {now.verdict} {now.difference}"


def test_each_script_has_a_number_and_cites_a_rule():
    assert len({case.id for case in CASES}) == len(CASES)
    assert all(case.rules for case in CASES)


def test_the_ledger_lists_just_the_scripts_that_there_are():
    assert list(read_ledger()) == [case.id for case in CASES]


def test_every_section_counts_its_rules_from_one():
    assert all(rule.split("-")[1].isdigit() for rules in ALL.values() for rule in rules)
