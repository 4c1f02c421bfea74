"""The identifiers of the rules of both standards, so that no script cites one that does not exist.

A section and how many of its rules are numbered; what a rule says is in the standards. Rules that bind only the
client are listed apart: no script can hold a broker against them.
"""

from packets import V5, V311

_FIVE = """
1.5.4:3 1.5.5:1 1.5.7:1 2.1.3:1 2.2.1:6 2.2.2:1 3.1.0:2 3.1.2:30 3.1.3:12 3.1.4:6 3.2.0:2 3.2.2:22 3.3.1:13 3.3.2:20
3.3.4:10 3.4.2:3 3.5.2:3 3.6.1:1 3.6.2:3 3.7.2:3 3.8.1:1 3.8.3:5 3.8.4:8 3.9.2:2 3.9.3:2 3.10.1:1 3.10.3:2 3.10.4:6
3.11.2:2 3.11.3:2 3.12.4:1 3.14.0:1 3.14.1:1 3.14.2:4 3.14.4:3 3.15.1:1 3.15.2:3 4.1.0:2 4.2.0:1 4.3.1:1 4.3.2:5
4.3.3:13 4.4.0:2 4.5.0:2 4.6.0:6 4.7.0:1 4.7.1:2 4.7.2:1 4.7.3:4 4.8.2:6 4.9.0:3 4.12.0:7 4.12.1:2 4.13.1:1 4.13.2:1
6.0.0:4
"""
_THREE = """
1.5.3:3 2.2.2:2 2.3.1:7 3.1.0:2 3.1.2:24 3.1.3:11 3.1.4:5 3.2.0:1 3.2.2:6 3.3.1:12 3.3.2:3 3.3.4:1 3.3.5:2 3.6.1:1
3.8.1:1 3.8.3:4 3.8.4:6 3.9.3:2 3.10.1:1 3.10.3:2 3.10.4:6 3.12.4:1 3.14.1:1 3.14.4:3 4.1.0:2 4.3.1:1 4.3.2:2 4.3.3:2
4.4.0:1 4.5.0:2 4.6.0:6 4.7.1:3 4.7.2:1 4.7.3:4 4.8.0:2 6.0.0:4
"""
#: Not a broker's to keep or to break; 6.0.0 is about WebSocket and 4.2.0 about there being a transport at all.
_FIVE_ELSEWHERE = """
2.2.1-1 2.2.1-3 3.1.0-1 3.1.2-20 3.1.2-21 3.1.2-30 3.2.2-4 3.2.2-5 3.2.2-11 3.2.2-14 3.2.2-15 3.2.2-17 3.2.2-18
3.2.2-21 3.3.2-10 3.3.4-7 3.3.4-8 4.2.0-1 4.5.0-2 4.6.0-1 4.6.0-2 4.6.0-3 4.6.0-4 4.12.0-3 4.12.0-7 4.12.1-1 6.0.0-1
6.0.0-2 6.0.0-3 6.0.0-4
"""
_THREE_ELSEWHERE = """
2.3.1-2 2.3.1-3 3.1.0-1 3.1.2-23 3.1.3-7 3.14.4-1 3.14.4-2 4.1.0-1 4.5.0-2 4.6.0-1 4.6.0-2 4.6.0-3 4.6.0-4 6.0.0-1
6.0.0-2 6.0.0-3 6.0.0-4
"""


def _expanded(table: str) -> list[str]:
    counts = (entry.split(":") for entry in table.split())
    return [f"{section}-{number}" for section, count in counts for number in range(1, int(count) + 1)]


#: Every rule of a version, in the order of the standard.
ALL = {V311: _expanded(_THREE), V5: _expanded(_FIVE)}
_ELSEWHERE = {V311: set(_THREE_ELSEWHERE.split()), V5: set(_FIVE_ELSEWHERE.split())}
#: Those that a broker keeps or breaks over a plain connection.
BROKERS = {version: [rule for rule in rules if rule not in _ELSEWHERE[version]] for version, rules in ALL.items()}
