#!/usr/bin/env python3
"""Compares consoles of a seL4 image, byte for byte, with the hosted hive's golden transcripts, for tests/sel4:
type LOG SCRIPT GOLDEN: plays the script on a serial root console, where a user is attached already; what is typed goes
to stdout, what the line says is in LOG.
said GOLDEN tcp|serial: stdin is what cohsh printed there."""
import re
import sys
import time

PATIENCE_S = 300
PROMPT = b"cohesix> "
# What is another thing there: it resets the machine.
NOT_HERE = ["reboot"]
# What differs from one run, or one target, to the next; as tests/tests/console.rs has it.
NAMES = [
    (rb"manifest=[0-9a-f]+", b"manifest={sha256}"),
    (rb"elapsed_ms=[0-9]+", b"elapsed_ms={ms}"),
    (rb"seq=[0-9]+", b"seq={n}"),
    (rb" target=[a-z-]+", b" target={target}"),
]


def named(text):
    for pattern, name in NAMES:
        text = re.sub(pattern, name, text)
    return text


def expected(golden):
    """What each line of the script comes to: itself, its answer, a prompt."""
    said = []
    for line in golden.splitlines(keepends=True):
        if line.startswith(b"> "):
            said.append(line[2:])
        else:
            said[-1] += line
    return [named(text.replace(b"\n", b"\r\n")) + PROMPT for text in said]


def tail(log, at):
    log.seek(at)
    return log.read()


def play(log, script, golden):
    with open(golden, "rb") as file:
        want = expected(file.read())
    with open(script) as file:
        lines = file.read().splitlines()
    assert len(lines) == len(want), f"{script} and {golden} are not of one script"
    log = open(log, "rb")
    for line, answer in zip(lines, want):
        if line in NOT_HERE:
            print(f"sel4: not on the serial line: `{line}`", file=sys.stderr)
            continue
        at = log.seek(0, 2)
        sys.stdout.buffer.write(line.encode() + b"\r")
        sys.stdout.buffer.flush()
        end = time.monotonic() + PATIENCE_S
        while True:
            said = tail(log, at)
            # The answer is over with the prompt; what comes behind it, comes at the next line.
            if said.endswith(b"\r\n" + PROMPT) or time.monotonic() > end:
                break
            time.sleep(0.02)
        if named(said) != answer:
            sys.exit(f"sel4: the serial line says\n{named(said)!r}\ninstead of\n{answer!r}")


def said(golden, way):
    """Without what was typed, behind the attach."""
    with open(golden, "rb") as file:
        want = file.read().splitlines()
    lines, is_here = [b"OK ATTACH role=queen"], True
    for line in want:
        if line.startswith(b"> "):
            is_here = way != "serial" or line[2:].decode() not in NOT_HERE
        elif is_here:
            lines.append(named(line))
    found = named(sys.stdin.buffer.read()).splitlines()
    for n, (line, other) in enumerate(zip(lines + [None] * len(found), found + [None] * len(lines))):
        if line != other:
            sys.exit(f"sel4: line {n + 1} over {way} is\n{other!r}\ninstead of\n{line!r}")


VERBS = {"type": (play, 3), "said": (said, 2)}
if __name__ == "__main__":
    verb, count = VERBS.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, 0))
    if verb is None or len(sys.argv) != 2 + count:
        sys.exit(__doc__)
    verb(*sys.argv[2:])
