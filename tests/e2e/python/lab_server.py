"""Plain socket servers, as a course has them, and some that misbehave, for the clients of `relay lab`.

Usage: lab_server.py MODE [ARGUMENT]. It listens on a free port of 127.0.0.1, says where, and prints what it notices.
"""

import datetime
import hashlib
import json
import select
import socket
import struct
import sys
import threading
import time


def receive_exactly(client, size):
    data = b""
    while len(data) < size:
        piece = client.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def notice(text):
    # One write for the whole line: several threads do this.
    sys.stdout.write(text + "\n")


def received(client):
    while data := client.recv(65536):
        client.sendall(b"Server received: " + data)


def echo(client):
    while data := client.recv(65536):
        client.sendall(data)


def timestamp(client):
    message = client.recv(1024)
    now = datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S")
    client.sendall(f"Server received at {now}: ".encode() + message)


def lines(client):
    """Answers whole lines only."""
    with client.makefile("rb") as file:
        while (line := file.readline()).endswith(b"\n"):
            client.sendall(b"line: " + line)


def greeting(client):
    """Speaks first, and twice."""
    client.sendall(b"\x1b[2JWelcome\xff\n")
    while data := client.recv(1024):
        client.sendall(data.upper())


def late(client):
    """Answers in two parts, with the pause between them that the argument says."""
    client.recv(1024)
    client.sendall(b"first ")
    time.sleep(float(sys.argv[2]))
    client.sendall(b"second")


def slow(client):
    """Answers after the time that the argument says."""
    client.recv(1024)
    time.sleep(float(sys.argv[2]))
    client.sendall(b"here I am")


def flood(client):
    """Answers without end."""
    client.recv(1024)
    while True:
        client.sendall(b"x" * 65536)


def drip(client):
    """Echoes pieces shorter than the argument says, and answers a longer one a byte at a time, without end."""
    while (data := client.recv(65536)) and len(data) < int(sys.argv[2]):
        client.sendall(data)
    while data:
        client.sendall(b".")
        time.sleep(0.02)


def drip_frame(client):
    """Announces a megabyte of JSON and sends it a byte at a time."""
    client.recv(65536)
    client.sendall(struct.pack(">I", 1 << 20))
    while True:
        client.sendall(b" ")
        time.sleep(0.02)


def count(client):
    """Counts the connections and their bytes on standard output, and echoes."""
    notice("connection")
    total = 0
    while data := client.recv(65536):
        total += len(data)
        client.sendall(data)
    notice(f"bytes {total}")


def silent(client):
    while client.recv(65536):
        pass


def deaf(client):
    """Neither reads nor answers."""
    threading.Event().wait()


def closing(client):
    client.recv(1)


def resetting(client):
    client.recv(1)
    # Windows has two shorts where others have two ints.
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def json_frames(client):
    while True:
        (length,) = struct.unpack(">I", receive_exactly(client, 4))
        request = json.loads(receive_exactly(client, length))
        notice(f"request {json.dumps(request)}")
        body = json.dumps({"status": "ok", "echo": request}, ensure_ascii=False).encode()
        client.sendall(struct.pack(">I", len(body)) + body)


def raw(client):
    """Answers anything with the bytes that the argument gives in hexadecimal, and closes."""
    client.recv(65536)
    client.sendall(bytes.fromhex(sys.argv[2]))


def files(client):
    with client.makefile("rb") as file:
        name = file.readline().rstrip(b"\n")
        (size,) = struct.unpack(">Q", file.read(8))
        data = file.read(size)
    digest = hashlib.sha256(data).hexdigest()
    notice(f"file {name.decode()} {len(data)} {digest}")
    answer = {
        "line": f"OK {name.decode()} {len(data)} bytes {digest}\n",
        "plain": "File received successfully",
        "wrong": f"OK sha256 {'0' * 64}\n",
    }[sys.argv[2]]
    client.sendall(answer.encode())


def refusing(client):
    """Says no before the data is there, and closes."""
    client.recv(10)
    client.sendall(b"error: the disk is full\n")
    client.shutdown(socket.SHUT_WR)
    while client.recv(65536):
        pass


def serve(client, mode):
    with client:
        try:
            mode(client)
        except (EOFError, ConnectionError):
            pass


def full(server):
    """Fills the queue of connections that are not accepted, so that further ones get no answer at all."""
    server.listen(0)
    waiting = []
    while True:
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(server.getsockname())
        waiting.append(client)
        if not select.select([], [client], [], 0.3)[1]:
            return waiting


def main():
    mode = sys.argv[1]
    server = socket.socket(socket.AF_INET6 if mode == "echo6" else socket.AF_INET)
    server.bind(("::1" if mode == "echo6" else "127.0.0.1", 0))
    host, port = server.getsockname()[:2]
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if mode == "full":
        waiting = full(server)
        notice(f"Listening on {where} with {len(waiting)} waiting")
        threading.Event().wait()
    # A delayed start: the port is known, but refuses until a line arrives on standard input.
    if mode == "later":
        notice(f"Listening on {where}")
        sys.stdin.readline()
    server.listen(64)
    if mode != "later":
        notice(f"Listening on {where}")
    function = {"later": echo, "echo6": echo}.get(mode) or globals()[mode]
    while True:
        client, _ = server.accept()
        threading.Thread(target=serve, args=(client, function), daemon=True).start()


if __name__ == "__main__":
    main()
