#!/usr/bin/env python3
"""The host's side of tests/sel4-net: echo PORT, many PORT, killed PORT, flood HERE THERE."""
import random
import socket
import struct
import sys
import threading
import time

PATIENCE_S = 60
# What QEMU sent to a process that has died meanwhile is lost.
TRY_S = 5


def connect(port):
    """A connection whose first echo has come: QEMU accepts before the image does."""
    end = time.monotonic() + PATIENCE_S
    while True:
        client = socket.create_connection(("127.0.0.1", port), timeout=TRY_S)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            exchange(client, b"hello")
            client.settimeout(PATIENCE_S)
            return client
        except OSError:
            client.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def exchange(client, data):
    """Sends and takes the echo."""
    sender = threading.Thread(target=client.sendall, args=(data,)) if len(data) > 4096 else None
    if sender:
        sender.start()
    else:
        client.sendall(data)
    got = b""
    while len(got) < len(data):
        more = client.recv(65536)
        if not more:
            raise ConnectionResetError("closed")
        got += more
    if sender:
        sender.join()
    assert got == data, "the echo differs"


def echo(port):
    client = connect(port)
    times = []
    for n in range(300):
        began = time.perf_counter()
        exchange(client, bytes([n % 256]) * 24)
        times.append(time.perf_counter() - began)
    times.sort()
    began = time.perf_counter()
    exchange(client, bytes(n * 7 % 251 for n in range(200_000)))
    took = time.perf_counter() - began
    median, most = 1e6 * times[150], 1e6 * times[297]
    print(f"sel4-net: echo median {median:.0f} us, p99 {most:.0f} us; 200 kB there and back in {took:.2f} s")


def many(port):
    clients = []
    for _ in range(200):
        clients.append(connect(port))
    for n, client in enumerate(clients):
        client.sendall(b"I am %d" % n)
    for n, client in enumerate(clients):
        want = b"I am %d" % n
        got = b""
        while len(got) < len(want):
            got += client.recv(64)
        assert got == want, f"client {n} got {got}"
    more = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    try:
        assert more.recv(1) == b"", "one more than 200 was let in"
    except ConnectionResetError:
        pass
    print("sel4-net: 200 connections at once, and one more refused")


def killed(port):
    """Waits for the connection to be reset under it."""
    client = connect(port)
    try:
        assert client.recv(1) == b""
    except ConnectionResetError:
        pass


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def syn(rng):
    """A request for a connection from anywhere on the image's network."""
    source = bytes([10, 0, 2, rng.randrange(20, 250)])
    target = bytes([10, 0, 2, 15])
    tcp = struct.pack("!HHIIBBHHH", rng.randrange(1024, 65535), 5640, rng.getrandbits(32), 0, 5 << 4, 2, 1024, 0, 0)
    sum_ = checksum(source + target + struct.pack("!BBH", 0, 6, len(tcp)) + tcp)
    tcp = tcp[:16] + struct.pack("!H", sum_) + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0) + source + target
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return bytes.fromhex("525400123456") + b"\2\0\0\0\1" + source[3:] + b"\x08\x00" + ip + tcp


def flood(here, there):
    """10,000 malformed frames and as many requests for connections, as fast as they go."""
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind(("127.0.0.1", here))
    rng = random.Random(7)
    mac = bytes.fromhex("525400123456")
    for n in range(10_000):
        noise = rng.randbytes(rng.randrange(0, 1500))
        kind = rng.choice([b"\x08\x00", b"\x08\x06", b"\x86\xdd", noise[:2]])
        broken = bytearray(syn(rng))
        broken[rng.randrange(14, len(broken))] ^= 1 << rng.randrange(8)
        for frame in (mac + b"\2\0\0\0\0\7" + kind + noise, bytes(broken), syn(rng)):
            line.sendto(frame[:1514], ("127.0.0.1", there))
        if n % 10 == 0:
            # A burst is as much as the machine's socket holds.
            time.sleep(0.002)


VERBS = {"echo": echo, "many": many, "killed": killed, "flood": flood}
if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in VERBS:
        sys.exit(__doc__)
    VERBS[sys.argv[1]](*map(int, sys.argv[2:]))
