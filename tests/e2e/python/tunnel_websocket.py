"""WebSocket (RFC 6455) in plain Python, for both ends of a tunnel.

tunnel_websocket.py serve              echoes messages on a free port of 127.0.0.1 and says where
tunnel_websocket.py talk HOST PORT     upgrades, has messages of every length form echoed, pings, and closes
"""

import base64
import hashlib
import os
import socket
import struct
import sys
import threading

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
TIMEOUT = 20 * int(os.environ.get("RELAY_TEST_PATIENCE", "1"))


def receive(stream, size):
    data = stream.read(size)
    if len(data) != size:
        raise EOFError("the connection ended within a frame")
    return data


def masked(data, mask):
    long_mask = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(long_mask, "big")).to_bytes(len(data), "big")


def read_frame(stream):
    first, second = receive(stream, 2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack(">H", receive(stream, 2))
    elif length == 127:
        (length,) = struct.unpack(">Q", receive(stream, 8))
    mask = receive(stream, 4) if second & 0x80 else None
    data = receive(stream, length)
    return first & 0x0F, masked(data, mask) if mask else data


def frame(opcode, data, mask=None):
    bit = 0x80 if mask else 0
    if len(data) < 126:
        header = struct.pack(">BB", 0x80 | opcode, bit | len(data))
    elif len(data) < 1 << 16:
        header = struct.pack(">BBH", 0x80 | opcode, bit | 126, len(data))
    else:
        header = struct.pack(">BBQ", 0x80 | opcode, bit | 127, len(data))
    return header + mask + masked(data, mask) if mask else header + data


def headers(stream):
    lines = []
    while line := stream.readline().strip():
        lines.append(line)
    return lines[0], {key.lower(): value.strip() for key, _, value in (line.partition(b":") for line in lines[1:])}


def accept_of(key):
    return base64.b64encode(hashlib.sha1(key + MAGIC).digest())


def echo(client):
    with client, client.makefile("rb") as stream:
        _, fields = headers(stream)
        client.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_of(fields[b"sec-websocket-key"]) + b"\r\n\r\n"
        )
        while True:
            opcode, data = read_frame(stream)
            client.sendall(frame(PONG if opcode == PING else opcode, data))
            if opcode == CLOSE:
                return


def serve():
    with socket.create_server(("127.0.0.1", 0)) as server:
        print("Listening on %s:%d" % server.getsockname())
        while True:
            threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()


def talk(host, port):
    with socket.create_connection((host, port), timeout=TIMEOUT) as client, client.makefile("rb") as stream:
        key = base64.b64encode(os.urandom(16))
        client.sendall(
            b"GET /echo HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n" % (host.encode(), key)
        )
        status, fields = headers(stream)
        assert b" 101 " in status, status
        assert fields[b"sec-websocket-accept"] == accept_of(key), fields
        for opcode, data in [
            (TEXT, "grüße".encode()),
            (BINARY, b""),
            (BINARY, os.urandom(125)),
            (BINARY, os.urandom(126)),
            (BINARY, os.urandom(65535)),
            (BINARY, os.urandom(1 << 20)),
            (PING, b"still there?"),
        ] * 5 + [(CLOSE, struct.pack(">H", 1000))]:
            client.sendall(frame(opcode, data, os.urandom(4)))
            wanted = (PONG if opcode == PING else opcode, data)
            assert read_frame(stream) == wanted, "another frame of opcode %d came back" % opcode
        assert stream.read() == b"", "nothing comes behind the close frame"
    print("all frames came back")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        talk(sys.argv[2], int(sys.argv[3]))
