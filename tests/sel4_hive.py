#!/usr/bin/env python3
"""What clients that misbehave do to a seL4 image, for tests/sel4-hive: malformed PORT, frames PORT TOKENFILE,
sessions PORT TICKETFILE, silent PORT CONSOLE, again PORT."""
import random
import socket
import struct
import sys
import time

PATIENCE_S = 300
TVERSION, RVERSION, TATTACH, RATTACH, TGETATTR, RGETATTR = 100, 101, 104, 105, 24, 25
NOFID = 0xFFFFFFFF


def connect(port):
    client = socket.create_connection(("127.0.0.1", int(port)), timeout=PATIENCE_S)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def take(client, count):
    got = b""
    while len(got) < count:
        more = client.recv(count - len(got))
        if not more:
            raise ConnectionResetError("closed")
        got += more
    return got


def message(kind, tag, body):
    return struct.pack("<IBH", 7 + len(body), kind, tag) + body


def text(words):
    return struct.pack("<H", len(words)) + words


def answer(client):
    size, kind, tag = struct.unpack("<IBH", take(client, 7))
    return kind, tag, take(client, size - 7)


def attach(client, ticket):
    client.sendall(message(TVERSION, 0xFFFF, struct.pack("<I", 8192) + text(b"9P2000.L")))
    assert answer(client)[0] == RVERSION, "no Rversion"
    who = text(b"queen") + text(ticket) + struct.pack("<I", NOFID)
    client.sendall(message(TATTACH, 1, struct.pack("<II", 0, NOFID) + who))
    kind, _, body = answer(client)
    assert kind == RATTACH, f"attach: {body}"


def getattr_(client):
    client.sendall(message(TGETATTR, 2, struct.pack("<IQ", 0, 0x7FF)))
    assert answer(client)[0] == RGETATTR, "no Rgetattr"


def malformed(port):
    """10,000 frames that are none, on connections of a hundred each."""
    rng = random.Random(9)
    for _ in range(100):
        burst = b""
        for n in range(100):
            noise = rng.randbytes(rng.randrange(0, 60))
            # A length that holds, and one that does not.
            size = 7 + len(noise) if rng.randrange(4) else rng.choice([0, 3, 6, 9000, 1 << 31, 0xFFFFFFFF])
            burst += struct.pack("<IBH", size, rng.randrange(256), n) + noise
        client = connect(port)
        try:
            if rng.randrange(2):
                client.sendall(message(TVERSION, 0xFFFF, struct.pack("<I", 8192) + text(b"9P2000.L")))
            client.sendall(burst)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
        except OSError:
            pass
        client.close()
    print("sel4-hive: 10,000 malformed frames")


def line(words):
    return struct.pack("<I", 4 + len(words)) + words


def said(client):
    (size,) = struct.unpack("<I", take(client, 4))
    return take(client, size - 4).decode()


def frames(port, token):
    """A console that gets frames that are none."""
    rng = random.Random(10)
    client = connect(port)
    client.sendall(line(b"AUTH " + open(token, "rb").read().strip()))
    assert said(client) == "OK AUTH", "no AUTH"
    for _ in range(100):
        size = rng.choice([0, 3, 261, 4096])
        client.sendall(struct.pack("<I", size) + bytes(max(size - 4, 0)))
        assert said(client) == "ERR FRAME reason=invalid-length", "a bad frame is not refused"
    client.sendall(line(b"ping"))
    assert said(client) == "PONG", "the connection did not outlive bad frames"
    client.close()
    client = connect(port)
    try:
        client.sendall(rng.randbytes(20_000))
        while client.recv(65536):
            pass
    except OSError:
        pass
    client.close()
    print("sel4-hive: bad frames at the console")


def sessions(port, ticket):
    """200 sessions at once, each of which is answered."""
    ticket = open(ticket, "rb").read().strip()
    clients = []
    began = time.perf_counter()
    for n in range(200):
        clients.append(connect(port))
        try:
            attach(clients[-1], ticket)
        except OSError as error:
            sys.exit(f"session {n}: {error}")
    for client in clients:
        getattr_(client)
    print(f"sel4-hive: 200 sessions at once, begun and answered in {time.perf_counter() - began:.1f} s")
    for client in clients:
        client.close()


def silent(port, console):
    """Clients that say nothing, or half of a frame, while another is answered."""
    idle = [connect(port) for _ in range(60)] + [connect(console) for _ in range(10)]
    for n, client in enumerate(idle):
        if n % 2:
            client.sendall(b"\x13\0")
    client = connect(port)
    client.sendall(message(TVERSION, 0xFFFF, struct.pack("<I", 8192) + text(b"9P2000.L")))
    assert answer(client)[0] == RVERSION, "no Rversion"
    for client in idle[60:]:
        # No AUTH within 10 s: closed.
        try:
            assert client.recv(1) == b"", "a console without AUTH is kept"
        except ConnectionResetError:
            pass
    print("sel4-hive: 70 clients that say nothing")


def again(port):
    """A client that finds the door again: what was sent to a network that has died is lost."""
    end = time.monotonic() + PATIENCE_S
    while True:
        client = connect(port)
        client.settimeout(5)
        try:
            client.sendall(message(TVERSION, 0xFFFF, struct.pack("<I", 8192) + text(b"9P2000.L")))
            assert answer(client)[0] == RVERSION, "no Rversion"
            return
        except OSError:
            client.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


VERBS = {"malformed": malformed, "frames": frames, "sessions": sessions, "silent": silent, "again": again}
if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in VERBS:
        sys.exit(__doc__)
    VERBS[sys.argv[1]](*sys.argv[2:])
