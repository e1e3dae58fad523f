"""Send bytes by name through a relay. Python 3.8 or later, standard library only.

    with SessionClient("relay.example.org", 8080, "device_a") as relay:
        relay.send("device_b", b"hello")
        sender, payload = relay.recv()

There is one class for each way in which a relay talks to its clients:

* `RawClient`: version 1. `recv()` gives bytes as they come; who sent them, and where one message ends and the next
  begins, is not known.
* `FramedClient`: version 1 of a relay that runs with `--delivery framed`. `recv()` gives `Message(sender, payload)`.
* `SessionClient`: version 2. The same, and the relay answers: a name that is taken, an error, what nobody received
  and a relay that is gone are reported.

Every client registers its name when it is made, keeps its connection alive from a thread in the background, and may
be used from several threads. What goes wrong is a `RelayError` whose text is a sentence. Names are `str` or `bytes`;
a sender's name is a `str` in which bytes that are not UTF-8 are kept as Python keeps those of file names
(surrogateescape), so that `send(message.sender, ...)` reaches it whatever it is called.

`relay_connection.py` and `relay_wire.py` belong beside this file.
"""

from __future__ import annotations

import collections
import math
import os
import random
import threading
import time
from typing import Callable, Deque, Dict, NamedTuple, Optional, TypeVar

from relay_connection import KEEPALIVE, KEEPALIVE_MIN, READ_BYTES, Connection
from relay_wire import CONTROL_BYTES_MAX, PAYLOAD_BYTES_MAX, Closing, Control, Frame, FrameDecoder, Name, Pong
from relay_wire import ConnectError, Disconnected, ErrorReply, ProtocolError, RelayError, RelayTimeout, TooLarge
from relay_wire import Challenge, Secret, TokenNeeded, Undeliverable, Welcome
from relay_wire import decode_control, decode_name, encode_answer, encode_hello, encode_secret

__all__ = ["FramedClient", "Message", "RawClient", "SessionClient", "retry"]
__all__ += ["ConnectError", "Disconnected", "ErrorReply", "ProtocolError", "RelayError", "RelayTimeout", "TokenNeeded"]
__all__ += ["TooLarge"]

T = TypeVar("T")

# What keeping a message costs besides its bytes, roughly, so that a flood of empty ones is bounded as well.
MESSAGE_BYTES_EXTRA = 64
# Destinations and errors that are remembered until somebody asks.
NOTICES_MAX = 1024
# What to do about a relay that does not send frames.
RAW_HINT = "If it runs with --delivery raw, which is the default, do not ask for frames (no --framed)."


class Message(NamedTuple):
    """What somebody sent."""

    sender: str
    payload: bytes


def retry(connect: Callable[[], T], patience: float = 60.0, pause: float = 0.5, pause_max: float = 10.0) -> T:
    """Calls `connect`, such as `lambda: SessionClient(...)`, until it gives a client. Waits `pause` seconds after the
    first failure, then twice as long each time up to `pause_max`, less a random part so that many programs do not
    return at the same moment. Raises the last failure when `patience` seconds would be over, and at once what waiting
    does not cure. A name that is taken counts as a failure: its holder may be one's own lost connection."""
    deadline = time.monotonic() + patience
    while True:
        wait = random.uniform(pause / 2, pause)
        try:
            return connect()
        except (ConnectError, Disconnected, ErrorReply) as error:
            is_final = isinstance(error, ErrorReply) and error.code != "name_taken"
            if is_final or time.monotonic() + wait > deadline:
                raise
        time.sleep(wait)
        pause = min(2 * pause, pause_max)


class RawClient(Connection):
    """Version 1, raw delivery: `recv()` gives bytes as they come. A name that is taken shows as `Disconnected` in the
    next `recv()` or `send()`.

    `timeout` is in how many seconds each address of `host` has to answer, `keepalive` after how many seconds of
    silence a sign of life is sent (`None`: never)."""

    def recv(self, timeout: Optional[float] = None) -> bytes:
        """All that has arrived, at least one byte; waits for it. `RelayTimeout` if nothing comes in `timeout` s."""
        with self._changed:
            self._wait(lambda: self._bytes or self._ended, timeout)
            if not self._bytes:
                self._raise_if_ended()
                raise RelayTimeout(f"Nothing arrived within {timeout} s.")
            data = bytes(self._bytes)
            self._bytes.clear()
            self._inbox_bytes = 0
            self._changed.notify_all()
            return data

    def _prepare(self) -> None:
        self._bytes = bytearray()

    def _take(self, data: bytes) -> None:
        self._bytes += data
        self._inbox_bytes = len(self._bytes)


class FramedClient(Connection):
    """Version 1, framed delivery: as `RawClient`, but `recv()` gives `Message(sender, payload)`. To a relay that delivers
    payloads alone, the first that comes ends the connection with a `ProtocolError`."""

    # How long a header may take to arrive whole, in seconds. A relay sends each in one piece.
    _header_timeout: Optional[float] = 5.0

    def recv(self, timeout: Optional[float] = None) -> Message:
        """The next message; waits for it. `RelayTimeout` if none comes in `timeout` seconds."""
        with self._changed:
            self._wait(lambda: self._messages or self._errors or self._ended, timeout)
            if self._errors:
                raise self._errors.popleft()
            if not self._messages:
                self._raise_if_ended()
                raise RelayTimeout(f"Nothing arrived within {timeout} s.")
            message = self._messages.popleft()
            self._inbox_bytes -= len(message.payload) + MESSAGE_BYTES_EXTRA
            self._changed.notify_all()
            return message

    @property
    def waiting(self) -> int:
        """How many messages have arrived and wait to be received."""
        return len(self._messages)

    def _prepare(self) -> None:
        self._decoder = FrameDecoder()
        self._messages: Deque[Message] = collections.deque()
        self._errors: Deque[ErrorReply] = collections.deque(maxlen=NOTICES_MAX)
        self._pieces = 0  # Counts what was read, so that a header that is unfinished for long can be told from a later one.

    def _take(self, data: bytes) -> None:
        was_unfinished = bool(self._decoder.unfinished_header)
        self._decoder.feed(data)
        taken = 0
        try:
            frame = self._decoder.next_frame()
            while frame is not None:
                self._take_frame(frame)
                taken += 1
                frame = self._decoder.next_frame()
        except ProtocolError as error:
            raise error if self._header_timeout is None else ProtocolError(f"{error} {RAW_HINT}") from None
        is_unfinished = bool(self._decoder.unfinished_header)
        if taken or not is_unfinished:
            self._pieces += 1
        if self._header_timeout is not None and is_unfinished and (taken or not was_unfinished):
            timer = threading.Timer(self._header_timeout, self._give_up_header, (self._pieces,))
            timer.daemon = True
            timer.start()

    def _give_up_header(self, pieces: int) -> None:
        """Ends the connection if the header that was unfinished after so many pieces still is."""
        with self._changed:
            header = self._decoder.unfinished_header if self._pieces == pieces else b""
        if header:
            self._end(ProtocolError(f"The relay sent {header[:80]!r}, which is no frame. {RAW_HINT}"))

    def _take_frame(self, frame: Frame) -> None:
        self._messages.append(Message(decode_name(frame.name), frame.payload))
        self._inbox_bytes += len(frame.payload) + MESSAGE_BYTES_EXTRA


class SessionClient(FramedClient):
    """Version 2: a session in which the relay answers.

    A name that is taken is an `ErrorReply` with the code `name_taken` at once; an error that does not end the
    connection is raised by the next `recv()` or `sync()`. When an answer is due and nothing at all comes from the relay
    for `pong_timeout` seconds, the connection is given up. A relay answers after it has routed what was sent before:
    choose a longer time for a program that floods slow recipients. `token` (without it, the variable `RELAY_TOKEN`) is
    proved to a relay that asks for one, and never sent. The other arguments are those of `RawClient`."""

    _header_timeout = None  # The answer to the hello was a frame.

    def __init__(
        self,
        host: str,
        port: int,
        name: Name,
        *,
        timeout: float = 10.0,
        keepalive: Optional[float] = KEEPALIVE,
        pong_timeout: float = 30.0,
        token: Optional[Secret] = None,
    ) -> None:
        self._pong_timeout = pong_timeout
        token = os.environ.get("RELAY_TOKEN") if token is None else token
        self._token = None if token is None else encode_secret(token)
        self._undeliverable: Dict[str, int] = {}
        super().__init__(host, port, name, timeout=timeout, keepalive=keepalive)

    @property
    def max_message(self) -> int:
        """The largest payload that the relay takes, in bytes."""
        return self._max_message or 0

    def sync(self, timeout: Optional[float] = 30.0) -> Dict[str, int]:
        """Waits until the relay has routed everything that was sent so far, then gives `undeliverable()`."""
        number = self._ping()
        with self._changed:
            self._wait(lambda: self._pong >= number or self._errors or self._ended, timeout)
            if self._errors:
                raise self._errors.popleft()
            if self._pong >= number:
                return self.undeliverable()
            self._raise_if_ended()
            hint = ", because messages before its answer wait for recv()" if self._is_paused else ""
            raise RelayTimeout(f"No answer of the relay arrived within {timeout} s{hint}.")

    def undeliverable(self) -> Dict[str, int]:
        """How many messages the relay discarded since this was last asked, because nobody has the name: counts by
        name, as far as it has told. At most 1,024 names are remembered."""
        with self._changed:
            counts, self._undeliverable = self._undeliverable, {}
            return counts

    def _prepare(self) -> None:
        super()._prepare()
        self._hello = encode_hello(self._name)
        self._pings = 0  # The number of the last ping,
        self._pong = 0  # and of the last that was answered.
        self._asked: Optional[float] = None  # Since when an answer is due.

    def _register(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self._decoder.payload_bytes_max = CONTROL_BYTES_MAX
        self._socket.sendall(self._hello)
        answer = self._next_answer(deadline)
        if isinstance(answer, Challenge):
            if self._token is None:
                raise TokenNeeded("The relay asks for a token; set RELAY_TOKEN, or pass the token to the client.")
            self._socket.sendall(encode_answer(self._token, answer.challenge, self._hello))
            answer = self._next_answer(deadline)
        if isinstance(answer, ErrorReply):
            raise answer
        if not isinstance(answer, Welcome):
            raise ProtocolError("What answered is no relay of version 2.")
        self._is_known = True
        self._heard = time.monotonic()
        if self._keepalive != math.inf:
            self._keepalive = min(self._keepalive, max(answer.idle / 3, KEEPALIVE_MIN))
        self._max_message = answer.max_message
        self._decoder.payload_bytes_max = min(max(CONTROL_BYTES_MAX, answer.max_message), PAYLOAD_BYTES_MAX)

    def _next_answer(self, deadline: float) -> Optional[Control]:
        """The relay's next control frame, while it is the only one that speaks."""
        frame = self._decoder.next_frame()
        while frame is None:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            data = self._socket.recv(READ_BYTES)
            if not data:
                raise ConnectError("The relay ended the connection without an answer; it may know only version 1.")
            self._decoder.feed(data)
            frame = self._decoder.next_frame()
        return None if frame.name else decode_control(frame.payload)

    def _take_frame(self, frame: Frame) -> None:
        if frame.name:
            super()._take_frame(frame)
            return
        control = decode_control(frame.payload)
        if isinstance(control, Pong):
            self._pong = control.number
            if self._pong >= self._pings:
                self._asked = None
        elif isinstance(control, Undeliverable):
            counts = self._undeliverable
            if control.dest in counts or len(counts) < NOTICES_MAX:
                counts[control.dest] = counts.get(control.dest, 0) + control.messages
        elif isinstance(control, Closing):
            sentence = f"The relay stops ({control.reason}); connect again in {control.retry_after:g} s."
            self._farewell = Disconnected(sentence, control.retry_after)
        elif isinstance(control, ErrorReply):
            if control.fatal:
                raise control
            self._errors.append(control)

    def _ping(self) -> int:
        with self._sending:
            self._pings += 1
            if self._asked is None:
                self._asked = time.monotonic()
            self._send(b"", b'{"ping":%d}' % self._pings)
            return self._pings

    def _next_check(self) -> float:
        # A ping that is on its way already asks whether the relay is there.
        since = min(self._sent, self._heard) if self._asked is None else self._sent
        return min(since + self._keepalive, self._dead_at())

    def _check(self, now: float) -> None:
        if now < self._next_check():
            return
        if now < self._dead_at():
            self._ping()
        elif self._is_paused or self._is_writing:
            # The answer may be behind what this program does not receive, the ping behind what somebody else does not.
            self._heard = now
        else:
            raise Disconnected(
                f"Nothing came from the relay for {self._pong_timeout:g} s; the connection was given up."
            )

    def _dead_at(self) -> float:
        """When the relay counts as gone unless something comes from it before."""
        asked = self._asked
        return math.inf if asked is None else max(asked, self._heard) + self._pong_timeout
