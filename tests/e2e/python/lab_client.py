"""Plain socket clients, as a course has them, against the servers of `relay lab serve`.

Usage: lab_client.py TEST HOST PORT. Each test asserts what it expects; a failed assertion is the exit code.
"""

import datetime
import hashlib
import json
import os
import re
import socket
import struct
import sys
import threading

# How long any single event may take, in seconds.
DEADLINE = 20 * int(os.environ.get("RELAY_TEST_PATIENCE", "1"))


def connect(address):
    return socket.create_connection(address, timeout=DEADLINE)


def receive_exactly(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, f"the connection ended after {data!r}"
        data += piece
    return data


def receive_all(connection):
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def received(address):
    with connect(address) as client:
        for message in ["Hello, server!", "Grüße", "third"]:
            client.sendall(message.encode())
            # One recv, as a first script does it.
            assert client.recv(1024).decode() == f"Server received: {message}"


def received_binary(address):
    with connect(address) as client:
        message = bytes(range(256))
        client.sendall(message)
        expected = b"Server received: " + message
        assert receive_exactly(client, len(expected)) == expected


def received_many_at_once(address):
    clients = [connect(address) for _ in range(30)]
    for number, client in enumerate(clients):
        client.sendall(f"client {number}".encode())
    for number, client in reversed(list(enumerate(clients))):
        assert client.recv(1024) == f"Server received: client {number}".encode()
        client.close()


def received_nothing_is_lost(address):
    with connect(address) as client:
        data = bytes(i * 7 % 251 for i in range(300_000))
        answer = []
        reader = threading.Thread(target=lambda: answer.append(receive_all(client)))
        reader.start()
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        reader.join(DEADLINE)
        assert answer[0].startswith(b"Server received: ")
        assert answer[0].replace(b"Server received: ", b"") == data


def echo(address):
    with connect(address) as client:
        data = bytes(range(256)) * 4000
        answer = []
        reader = threading.Thread(target=lambda: answer.append(receive_all(client)))
        reader.start()
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        reader.join(DEADLINE)
        assert answer[0] == data


def timestamp(address):
    with connect(address) as client:
        before = datetime.datetime.now().replace(microsecond=0)
        client.sendall("What time is it, père?".encode())
        answer = receive_all(client).decode()
        after = datetime.datetime.now()
    match = re.fullmatch(r"Server received at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d): What time is it, père\?", answer)
    assert match, answer
    at = datetime.datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S")
    assert before <= at <= after, f"{before} <= {at} <= {after}"


def send_frame(client, body):
    client.sendall(struct.pack(">I", len(body)) + body)


def receive_frame(client):
    (length,) = struct.unpack(">I", receive_exactly(client, 4))
    return json.loads(receive_exactly(client, length))


def json_frames(address):
    with connect(address) as client:
        send_frame(client, json.dumps({"command": "get_status"}).encode())
        status = receive_frame(client)
        assert status["status"] == "ok", status
        assert status["uptime"] >= 0 and status["connections"] == 1, status
        assert re.fullmatch(r"\d+\.\d+\.\d+.*", status["version"]), status
        datetime.datetime.strptime(status["time"], "%Y-%m-%d %H:%M:%S")
        request = {"command": "set", "data": {"name": "Zoë", "list": [1, 2.5, None, True]}}
        send_frame(client, json.dumps(request).encode())
        assert receive_frame(client) == {"status": "ok", "received": request}
        # In single bytes, as a slow network may deliver it.
        for byte in struct.pack(">I", 4) + b"null":
            client.sendall(bytes([byte]))
        assert receive_frame(client)["received"] is None
        with connect(address) as other:
            send_frame(other, b'{"command":"get_status"}')
            assert receive_frame(other)["connections"] == 2


def json_bad_input(address):
    with connect(address) as client:
        for body in [b"", b"{", b"\xff\xfe", b'{"a":"\xff"}', b"[" * 100_000 + b"]" * 100_000, b"hello"]:
            send_frame(client, body)
            answer = receive_frame(client)
            assert answer["status"] == "error" and answer["error"], answer
        send_frame(client, b"1")
        assert receive_frame(client) == {"status": "ok", "received": 1}, "the conversation goes on"
        client.sendall(b"\xff\xff\xff\xff{}")
        answer = receive_frame(client)
        assert answer["status"] == "error" and "4294967295" in answer["error"], answer
        assert client.recv(1) == b"", "nobody can tell where the next frame begins"


def files(address):
    with connect(address) as client:
        for name, data in [("notes.txt", b"hello"), ("empty", b""), ("big.bin", bytes(range(256)) * 5000)]:
            client.sendall(name.encode() + b"\n" + struct.pack(">Q", len(data)) + data)
            line = b""
            while not line.endswith(b"\n"):
                line += receive_exactly(client, 1)
            digest = hashlib.sha256(data).hexdigest()
            assert line.decode() == f"received {name}: {len(data)} bytes, sha256 {digest}\n", line


def main():
    test, host, port = sys.argv[1:]
    globals()[test]((host, int(port)))


if __name__ == "__main__":
    main()
