"""What the cases are written with: clients of every kind for the relay under test, and a plain socket."""

import os
import socket
import sys
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
CLIENTS = os.path.join(ROOT, "clients", "python")
sys.path.insert(0, CLIENTS)

import relay_client  # noqa: E402
import relay_wire  # noqa: E402

# How long any single event may take, in seconds; only what is broken takes so long.
DEADLINE = 20.0 * int(os.environ.get("RELAY_TEST_PATIENCE", "1"))

# Host and port of the relay under test; the driver sets them.
relay = ("", 0)


def raw(name, **options):
    """A raw client that is registered for certain."""
    client = relay_client.RawClient(*relay, name, timeout=DEADLINE, **options)
    client.send(name, b"sync")
    expect(client, b"sync")
    return client


def framed(name, **options):
    """A framed client that is registered for certain."""
    client = relay_client.FramedClient(*relay, name, timeout=DEADLINE, **options)
    client.send(name, b"sync")
    expect(client, (name, b"sync"))
    return client


def session(name, **options):
    """A version 2 client."""
    return relay_client.SessionClient(*relay, name, timeout=DEADLINE, **options)


def expect(client, wanted):
    """Receives exactly this next: bytes from a raw client, (sender, payload) from the others."""
    if isinstance(client, relay_client.RawClient):
        got = getattr(client, "unexpected", b"")
        while len(got) < len(wanted):
            got += client.recv(DEADLINE)
        client.unexpected = got[len(wanted) :]
        check(got[: len(wanted)], wanted)
    else:
        check(tuple(client.recv(DEADLINE)), wanted)


def check(got, wanted):
    if got != wanted:
        raise AssertionError(f"wanted {wanted!r:.200}, got {got!r:.200}")


def ended(client):
    """Waits for the end of a connection and gives its reason."""
    reason = client.wait_ended(DEADLINE)
    if reason is None:
        raise AssertionError("the connection goes on")
    return reason


def in_background(work):
    """Runs `work` in a thread; the function that is returned waits for it and raises what it raised."""
    failures = []

    def run():
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def join():
        thread.join(DEADLINE)
        if thread.is_alive():
            raise AssertionError("it takes too long")
        if failures:
            raise failures[0]

    join.is_running = thread.is_alive
    return join


class Plain:
    """A socket as any program has it, for what the clients refuse to send."""

    def __init__(self, *sent):
        self._socket = socket.create_connection(relay, DEADLINE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in sent:
            self.send(piece)

    @classmethod
    def named(cls, name):
        """A version 1 client that is registered for certain, of a relay with raw delivery."""
        plain = cls(name + b"|" + name + b"|4|sync")
        plain.expect(b"sync")
        return plain

    def send(self, data):
        self._socket.sendall(data)

    def expect(self, wanted):
        got = b""
        while len(got) < len(wanted):
            piece = self._socket.recv(len(wanted) - len(got))
            if not piece:
                break
            got += piece
        check(got, wanted)

    def expect_control(self):
        """The next frame, which is to be a control frame, decoded."""
        decoder = relay_wire.FrameDecoder()
        frame = None
        while frame is None:
            byte = self._socket.recv(1)
            if not byte:
                raise AssertionError("the end came instead of a frame")
            decoder.feed(byte)
            frame = decoder.next_frame()
        check(frame.name, b"")
        return relay_wire.decode_control(frame.payload)

    def expect_end(self):
        """The end, by closing or by a reset, and nothing before it."""
        try:
            check(self._socket.recv(1), b"")
        except ConnectionError:
            pass

    def finish(self):
        """Ends the sending side."""
        self._socket.shutdown(socket.SHUT_WR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Leaves as a program does that has all it wants; afterwards its name is free."""
        try:
            self.finish()
            while self._socket.recv(65536):
                pass
        except OSError:
            pass  # The relay was first.
        self._socket.close()
