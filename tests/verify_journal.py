#!/usr/bin/env python3
"""Verifies a journal (journal(5)) by its page alone, independently of the hive's own programs.

Usage: verify_journal.py [--key PUBLIC_HEX] [--head SHA256] FILE|DIR...
Prints `ok records=... head=...` or `bad seq=... ...`; signatures are checked where a key is given and
the package `cryptography` is there.
"""
import argparse
import hashlib
import json
import os
import sys

KEYS = ["seq", "ts_ms", "kind", "role", "subject", "ticket", "session", "path", "cmd", "ack", "prev"]
KINDS = {"ctl", "system", "gate", "deny", "attach", "detach", "boot", "checkpoint"}


def files(paths):
    for path in paths:
        if os.path.isdir(path):
            yield from sorted(os.path.join(path, name) for name in os.listdir(path) if name.endswith(".jsonl"))
        else:
            yield path


def lines(paths):
    for path in files(paths):
        with open(path, "rb") as file:
            yield from file


def signer(public_hex):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_hex))

    def check(cmd):
        message = b"cohesix journal checkpoint\0" + cmd["seq"].to_bytes(8, "big") + bytes.fromhex(cmd["sha256"])
        key.verify(bytes.fromhex(cmd["sig"]), message)

    return check


def record(line, seq, prev):
    """The record, or why the line is not the one that belongs there."""
    if not line.endswith(b"\n"):
        raise ValueError("torn")
    text = line[:-1].decode()
    found = json.loads(text)
    if list(found) != KEYS or found["kind"] not in KINDS or not isinstance(found["cmd"], dict):
        raise ValueError("not a record")
    # The one spelling; within cmd the server chooses the order of keys, which json keeps.
    if json.dumps(found, separators=(",", ":"), ensure_ascii=False) != text:
        raise ValueError("not in canonical form")
    if seq is not None and (found["seq"] != seq or found["prev"] != prev):
        raise ValueError(f"does not chain: seq={found['seq']}")
    if found["kind"] == "checkpoint" and (found["cmd"]["seq"], found["cmd"]["sha256"]) != (found["seq"] - 1, found["prev"]):
        raise ValueError("a checkpoint of another record")
    return found


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--key")
    args.add_argument("--head")
    args.add_argument("paths", nargs="+")
    args = args.parse_args()
    check = signer(args.key) if args.key else None
    seq, prev, count, signed = None, None, 0, 0
    for line in lines(args.paths):
        try:
            found = record(line, seq, prev)
            if check and found["kind"] == "checkpoint":
                check(found["cmd"])
                signed = found["seq"] - 1
        except Exception as error:  # Whatever is wrong, this is the line.
            sys.exit(f"bad seq={seq if seq is not None else 1} {error!r}")
        if seq is None and found["seq"] == 1 and found["prev"] != "0" * 64:
            sys.exit("bad seq=1 the first record has a prev")
        seq, prev, count = found["seq"] + 1, hashlib.sha256(line[:-1]).hexdigest(), count + 1
    if args.head and prev != args.head:
        sys.exit(f"bad seq={seq} the head is {prev}")
    print(f"ok records={count} signed={signed} head={prev}")


if __name__ == "__main__":
    main()
