#!/usr/bin/env python3
"""Floods a seL4 image from all sides at once, for tests/sel4-flood: PORT CONSOLE HERE THERE TICKETFILE TOKENFILE. Frames
from a network of which HERE and THERE are the ends; clients that come and go; clients that ask and do not listen. One
that asks one thing at a time is answered all the while."""
import os
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
import sel4_hive as hive

CLIENTS = 1500
DEAF = 8
KEPT = 150
HELLO = hive.message(hive.TVERSION, 0xFFFF, struct.pack("<I", 8192) + hive.text(b"9P2000.L"))


def frames(here, there):
    """In a process of its own, as fast as it goes."""
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sel4_net.py")
    subprocess.run([program, "flood", here, there], check=True)


def crowd(ports, noise):
    """Clients that go without a word, in the middle of one, or with a reset; then, when there is room on the line
    again, some that stay for a while."""
    for n in range(CLIENTS):
        try:
            client = hive.connect(ports[n % 4 == 3])
            if n % 3 == 1:
                client.sendall(b"\x13\0")
            elif n % 3 == 2:
                client.sendall(HELLO)
            if n % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        except OSError:
            pass
    noise.join()
    kept, refused = [], 0
    for _ in range(KEPT):
        client = hive.connect(ports[0])
        kept.append(client)
        try:
            client.sendall(HELLO)
            hive.answer(client)
        except OSError:
            refused += 1
    for client in kept:
        client.close()
    print(f"sel4-flood: {CLIENTS} clients that went, {KEPT} that stayed, of whom {refused} were turned away")


def shout(clients, is_over):
    """Each asks as fast as it can, and takes no answer: sockets, and what they ask."""
    sent = [0] * len(clients)
    for client, _ in clients:
        client.setblocking(False)
    while not is_over.is_set():
        for n, (client, request) in enumerate(clients):
            begun = sent[n] % len(request)
            try:
                sent[n] += client.send(request[begun:] + request * 100)
            except OSError:
                pass
        time.sleep(0.05)
    for client, _ in clients:
        client.close()
    print(f"sel4-flood: {sum(sent)} bytes asked by {len(clients)} clients that take no answer")


def flood(port, console, here, there, ticket, token):
    ticket = open(ticket, "rb").read().strip()
    witness = hive.connect(port)
    hive.attach(witness, ticket)
    getattr_ = hive.message(hive.TGETATTR, 2, struct.pack("<IQ", 0, 0x7FF))
    deaf = []
    for _ in range(DEAF):
        client = hive.connect(port)
        hive.attach(client, ticket)
        deaf.append((client, getattr_))
    line = hive.connect(console)
    line.sendall(hive.line(b"AUTH " + open(token, "rb").read().strip()))
    assert hive.said(line) == "OK AUTH", "no AUTH"
    deaf.append((line, hive.line(b"help")))
    is_over = threading.Event()
    shouts = [threading.Thread(target=shout, args=(deaf, is_over))]
    noise = threading.Thread(target=frames, args=(here, there))
    floods = [noise, threading.Thread(target=crowd, args=([port, console], noise))]
    for thread in shouts + floods:
        thread.start()
    worst, count = 0.0, 0
    try:
        while any(thread.is_alive() for thread in floods):
            began = time.monotonic()
            hive.getattr_(witness)
            worst, count = max(worst, time.monotonic() - began), count + 1
            time.sleep(0.02)
    finally:
        is_over.set()
        for thread in shouts + floods:
            thread.join()
    hive.getattr_(witness)
    print(f"sel4-flood: another session was answered {count} times meanwhile, the slowest after {worst:.1f} s")
    assert count >= 10, "another session was not answered"


if __name__ == "__main__":
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    flood(*sys.argv[1:])
