"""`python -m conformance HOST PORT`: a table of every script, its verdict, and the first difference."""

import argparse
import ssl
import sys
import time
from collections import Counter
from pathlib import Path

from .lies import undisproved
from .rules import BROKERS
from .run import chosen, record, run
from .scripts import CASES, THEMES, Broker, Case, Verdict


def main() -> int:
    """Parse, run, print; the exit code is 1 when a script failed."""
    options = arguments().parse_args()
    if options.rules:
        return uncovered()
    if options.port is None:
        arguments().error("HOST and PORT are needed")
    broker, cases = Broker(options.host, options.port, tls(options)), chosen(options.only, options.version)
    if options.lies:
        return lies(broker, cases)
    began, verdicts = time.monotonic(), []
    for verdict in run(broker, cases):
        verdicts.append(verdict)
        if verdict.verdict != "pass" or not options.failures:
            print(line(verdict), flush=True)
    counts = Counter(verdict.verdict for verdict in verdicts)
    words = ", ".join(f"{counts[name]} {name}" for name in ("pass", "fail", "not-supported"))
    print(f"{len(verdicts)} scripts: {words}; {time.monotonic() - began:.1f} s")
    if options.record:
        record(options.record, verdicts)
    return 1 if counts["fail"] else 0


def arguments() -> argparse.ArgumentParser:
    """What may be said on the command line."""
    themes = ", ".join(f"{number}00 {name}" for number, name in THEMES.items())
    parser = argparse.ArgumentParser("conformance", description=__doc__, epilog=f"Themes: {themes}.")
    parser.add_argument("host", nargs="?", default="127.0.0.1")
    parser.add_argument("port", nargs="?", type=int)
    parser.add_argument("--only", default="", metavar="THEME", help="a theme or the number of one script")
    parser.add_argument("--version", type=int, choices=(3, 5), help="3 for MQTT 3.1.1, or 5")
    parser.add_argument("--failures", action="store_true", help="print only what did not pass")
    parser.add_argument("--tls-ca", type=Path, metavar="PEM", help="speak TLS, and trust this certificate")
    parser.add_argument("--tls-cert", type=Path, metavar="PEM", help="the client's certificate")
    parser.add_argument("--tls-key", type=Path, metavar="PEM", help="the key of the client's certificate")
    parser.add_argument("--record", metavar="NAME", help="write the verdicts to the ledger as those of this broker")
    parser.add_argument("--lies", action="store_true", help="lie about a good broker, to see that each script can fail")
    parser.add_argument("--rules", action="store_true", help="run nothing; print the rules that no script proves")
    return parser


def tls(options) -> ssl.SSLContext | None:
    """What the flags say of TLS."""
    if not options.tls_ca:
        return None
    context = ssl.create_default_context(cafile=str(options.tls_ca))
    if options.tls_cert:
        context.load_cert_chain(options.tls_cert, options.tls_key)
    return context


def line(verdict: Verdict) -> str:
    """One row of the table."""
    because = f"  -- {verdict.difference}" if verdict.difference else ""
    return f"{verdict.case.id}  {verdict.verdict:13}  {verdict.case.title}{because}"


def lies(broker: Broker, cases: list[Case]) -> int:
    """Print how many scripts each lie fails, and the scripts that none does."""
    left = cases
    for name, failed, left in undisproved(broker, cases):
        print(f"{failed:4} fail when the broker {name}", flush=True)
    for case in left:
        print(f"{case.id}  cannot fail  {case.title}")
    return 1 if left else 0


def uncovered() -> int:
    """Print the rules without a script."""
    for version, rules in BROKERS.items():
        proved = {rule.removeprefix("MQTT-") for case in CASES if case.version == version for rule in case.rules}
        left = [rule for rule in rules if rule not in proved]
        print(f"MQTT {'3.1.1' if version == 4 else '5'}: {len(rules) - len(left)} of {len(rules)} proved; not proved:")
        print(" ", " ".join(left))
    return 0


if __name__ == "__main__":
    sys.exit(main())
