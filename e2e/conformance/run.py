"""Run scripts against a broker, many at once, and keep the ledger of how they ended."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import (
    connecting,
    flow,
    malformed,
    passing,
    publishing,
    retained,
    sessions,
    subscribing,
    wills,
)
from .scripts import CASES, Broker, Case, Verdict, judge

#: What is imported for the scripts that it lists.
THEMES_OF_SCRIPTS = (
    connecting, malformed, publishing, subscribing, retained, sessions, flow, wills, passing,
)
LEDGER = Path(__file__).parent / "verdicts.jsonl"
#: Scripts mostly wait, so that many at once make the whole as short as its longest.
AT_ONCE = 24


def chosen(only: str = "", version: int | None = None) -> list[Case]:
    """The cases of a theme (`4`, `400`) or number (`412`) and of a version (3 or 5), in their order."""
    wanted = int(only) if only else 0
    wanted = wanted * 100 if 0 < wanted < 10 else wanted

    def is_wanted(case: Case) -> bool:
        in_theme = not wanted or case.number == wanted or (wanted % 100 == 0 and case.number // 100 == wanted // 100)
        return in_theme and (version is None or case.id.endswith(str(version)))

    return sorted(filter(is_wanted, CASES), key=lambda case: (case.number, case.version))


def run(broker: Broker, cases: list[Case]) -> Iterable[Verdict]:
    """Every verdict, in the order of the cases."""
    broker.ask()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(lambda case: judge(broker, case), cases)


def read_ledger() -> dict[str, dict]:
    """What is recorded for each case."""
    lines = LEDGER.read_text().splitlines() if LEDGER.exists() else []
    return {entry["id"]: entry for entry in map(json.loads, lines)}


def record(name: str, verdicts: list[Verdict]) -> None:
    """Write how a broker of this name did; what other brokers did stays."""
    ledger, now = read_ledger(), {verdict.case.id: verdict for verdict in verdicts}
    lines = []
    for case in chosen():
        entry = {"id": case.id, "title": case.title, "rules": list(case.rules)}
        told = {key: value for key, value in ledger.get(case.id, {}).items() if key not in entry}
        if case.id in now:
            told[name] = now[case.id].verdict
            told.pop(f"{name}_because", None)
            if now[case.id].verdict != "pass":
                told[f"{name}_because"] = now[case.id].difference
        lines.append(json.dumps(entry | dict(sorted(told.items())), ensure_ascii=False) + "\n")
    LEDGER.write_text("".join(lines))
