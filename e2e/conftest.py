"""One server for each test module, what it printed shown when a test fails, and the ledger of verdicts.

`verdicts.jsonl` says of every test how it ended when the ledger was last written (`pytest --record`), so that better
or worse shows in a diff. A run of the whole suite fails when a test that once passed is missing or no longer passes.
"""

import json
import resource
from pathlib import Path

import pytest

from devices import Workshop
from house import Ombra

LEDGER = Path(__file__).parent / "verdicts.jsonl"
verdicts: dict[str, str] = {}


def pytest_configure():
    """Servers inherit how many files may be open; crowds of connections need all that is allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# Servers.


@pytest.fixture(scope="module")
def ombra(tmp_path_factory):
    """A running server, shared by the tests of a module."""
    server = Ombra(tmp_path_factory.mktemp("ombra"))
    try:
        yield server.start()
    finally:
        server.clean_up()


@pytest.fixture
def own_ombra(tmp_path):
    """A server that is not started yet, for a test that ends it or fills it."""
    server = Ombra(tmp_path)
    yield server
    server.clean_up()


@pytest.fixture(scope="module")
def workshop(ombra, tmp_path_factory):
    """Makes things and certificates on the module's server."""
    return Workshop(ombra, tmp_path_factory.mktemp("devices"))


@pytest.fixture(scope="module")
def iot(ombra):
    """The control plane."""
    return ombra.client("iot")


@pytest.fixture(scope="module")
def iot_data(ombra):
    """The data plane."""
    return ombra.client("iot-data")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Show the server's own words beside a failure."""
    report = yield
    if report.failed:
        for server in {item.funcargs.get("ombra"), item.funcargs.get("own_ombra")} - {None}:
            report.sections.append(("ombra", server.printed()))
    return report


# Verdicts.


def pytest_addoption(parser):
    """One switch more."""
    parser.addoption("--record", action="store_true", help="write how each test ended to verdicts.jsonl")


def pytest_runtest_logreport(report):
    """The worst phase of a test is its verdict."""
    name = report.nodeid.removeprefix("e2e/")
    if report.when == "call" or not report.passed:
        if verdicts.get(name) != "failed":
            verdicts[name] = "expected failure" if hasattr(report, "wasxfail") else report.outcome


def is_whole(config) -> bool:
    """Whether the run was asked for every test."""
    here = Path(__file__).parent.resolve()
    named = [Path(config.invocation_params.dir, argument).resolve() for argument in config.args]
    narrowed = any(config.getoption(option, default=None) for option in ("keyword", "markexpr", "lf", "deselect"))
    return not narrowed and any(path == here or path in here.parents for path in named)


def pytest_sessionfinish(session):
    """Write the ledger, or hold the run against it."""
    if session.config.option.collectonly:
        return
    if session.config.getoption("--record"):
        known = {} if is_whole(session.config) else read_ledger()
        lines = sorted((known | verdicts).items())
        LEDGER.write_text("".join(json.dumps({"test": test, "verdict": verdict}) + "\n" for test, verdict in lines))
        return
    session.config.worse = worse = worsened(is_whole(session.config))
    if worse and session.exitstatus == 0:
        session.exitstatus = 1


def read_ledger() -> dict[str, str]:
    """Test and verdict."""
    lines = LEDGER.read_text().splitlines() if LEDGER.exists() else []
    return {entry["test"]: entry["verdict"] for entry in map(json.loads, lines)}


def worsened(whole: bool) -> list[str]:
    """What passed once and did not pass now."""
    now = {test: verdicts.get(test, "missing" if whole else "passed") for test in read_ledger()}
    return [f"{test}: {now[test]}" for test, before in read_ledger().items() if before == "passed" != now[test]]


def pytest_terminal_summary(terminalreporter, config):
    """Name what got worse."""
    if worse := getattr(config, "worse", []):
        terminalreporter.section("worse than verdicts.jsonl")
        for line in worse:
            terminalreporter.line(line)
