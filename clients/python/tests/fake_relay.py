"""What the tests talk to instead of a relay: a socket that says what a test tells it to."""

import os
import socket
import sys
import threading
import time

CLIENTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, CLIENTS)

# How long any single event may take, in seconds; only what is broken takes so long.
DEADLINE = 20.0

HELLO = b'|27|{"hello":2,"register":"me"}'
WELCOME = b'{"hello":2,"registered":"me","max_message":100,"idle_ms":30000}'


def frame(name, payload):
    return name + b"|" + str(len(payload)).encode() + b"|" + payload


def control(json):
    return frame(b"", json)


def eventually(check):
    """Waits for what gives no event."""
    deadline = time.monotonic() + DEADLINE
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError("it never happened")
        time.sleep(0.005)


class Connection:
    """One connection, seen from the relay's side."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.settimeout(DEADLINE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def expect(self, wanted):
        """Receives exactly these bytes next."""
        got = bytearray()
        while len(got) < len(wanted):
            piece = self.socket.recv(len(wanted) - len(got))
            if not piece:
                break
            got += piece
        if got != wanted:
            raise AssertionError(f"wanted {wanted!r:.300}, got {bytes(got)!r:.300}")

    def expect_end(self):
        piece = self.socket.recv(1000)
        if piece:
            raise AssertionError(f"wanted the end, got {piece!r}")

    def send(self, data):
        self.socket.sendall(data)

    def close(self):
        self.socket.close()


class SendsThrough:
    """A client's socket whose sending takes so many bytes and then fails."""

    def __init__(self, real, size, failure):
        self._real = real
        self._size = size
        self._failure = failure

    def __getattr__(self, name):
        return getattr(self._real, name)

    def sendall(self, data):
        self._real.sendall(data[: self._size])
        raise self._failure


class FakeRelay:
    """Listens on a free port; `conversation(connection)` runs for the one client that comes. What it raises fails the
    test at the end of the `with` block, as does a client that never comes."""

    def __init__(self, conversation, family=socket.AF_INET):
        self._listener = socket.socket(family)
        self._listener.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        self._listener.listen(1)
        self._listener.settimeout(DEADLINE)
        self.host, self.port = self._listener.getsockname()[:2]
        self._conversation = conversation
        self._failure = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            connection = Connection(self._listener.accept()[0])
            try:
                self._conversation(connection)
            finally:
                connection.close()
        except BaseException as error:
            self._failure = error

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._thread.join(DEADLINE)
        self._listener.close()
        if kind is None and self._failure is not None:
            raise self._failure


def session(conversation):
    """The conversation of a version 2 relay: the hello and its answer, then `conversation`."""

    def whole(connection):
        connection.expect(HELLO)
        connection.send(control(WELCOME))
        conversation(connection)

    return whole
