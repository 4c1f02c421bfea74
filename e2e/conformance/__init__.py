"""Packet scripts that tell whether an MQTT broker, any broker, keeps the rules of MQTT 3.1.1 and MQTT 5.

`python -m conformance HOST PORT` runs them from the directory above. Each script is numbered, names the rules that it
proves by their identifiers, and knows of the broker only what it answers on the wire. `verdicts.jsonl` is the ledger.
"""
