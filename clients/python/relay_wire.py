"""The relay's protocol without a socket: names, frames, control frames, and all errors of the clients.

Programs with an event loop of their own use it directly; the others use `relay_client`, which stands on it.
docs/protocol.md is the normative description.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, Dict, NamedTuple, Optional, Tuple, Union

Name = Union[str, bytes]
Secret = Union[str, bytes]

NAME_BYTES_MAX = 255
LENGTH_DIGITS_MAX = 20
LENGTH_MAX = 2**64 - 1
CONTROL_BYTES_MAX = 16384
SECRET_BYTES_MAX = 1024
# A MAC and a challenge are 32 bytes, written in hexadecimal.
MAC_DIGITS = 64
# A framed message is collected whole. Relays take 1 MiB unless told otherwise; this bounds what one can make us keep.
PAYLOAD_BYTES_MAX = 64 << 20


class RelayError(Exception):
    """Whatever goes wrong between this program and a relay. Its text is a sentence for a person."""


class ConnectError(RelayError, ConnectionError):
    """There is no connection: nothing answers there, or not as a relay does."""


class Disconnected(RelayError, ConnectionError):
    """The connection has ended. `retry_after` is in how many seconds the relay wants to be called again, if it said."""

    def __init__(self, sentence: str, retry_after: Optional[float] = None) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class RelayTimeout(RelayError, TimeoutError):
    """Nothing came in the time that was given; the connection goes on."""


class TooLarge(RelayError):
    """The relay takes no message of this size; nothing was sent."""


class TokenNeeded(RelayError):
    """The relay asks for a token and this program has none."""


class ProtocolError(RelayError):
    """What the other side sent does not follow the protocol."""


class ErrorReply(RelayError):
    """An error that a version 2 relay reported. `code` is for programs; a `fatal` one ends the connection."""

    FATAL = frozenset(("name_taken", "replaced", "bad_name", "bad_frame", "bad_hello", "unauthorized"))
    FATAL |= frozenset(("timeout", "too_slow"))

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"The relay reports {code}: {message}.")
        self.code = code
        self.fatal = code in self.FATAL


class Frame(NamedTuple):
    """One unit of the wire: a name, which is empty for the relay itself, and bytes."""

    name: bytes
    payload: bytes


class Welcome(NamedTuple):
    """The answer to a hello: the largest payload the relay takes, and how many seconds a client may be silent."""

    max_message: int
    idle: float


class Challenge(NamedTuple):
    """What the relay wants the token to be proved with before it answers the hello."""

    challenge: str


class Pong(NamedTuple):
    """The answer to the ping with the same number."""

    number: int


class Undeliverable(NamedTuple):
    """So many messages were discarded because nobody has the name."""

    dest: str
    messages: int


class Closing(NamedTuple):
    """The relay is about to stop, and wants to be called again after so many seconds."""

    reason: str
    retry_after: float


Control = Union[Welcome, Challenge, Pong, Undeliverable, Closing, ErrorReply]


def encode_name(name: Name) -> bytes:
    """The bytes of a name; a `ValueError` says what is wrong with what cannot be one."""
    try:
        encoded = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else bytes(name)
    except UnicodeEncodeError:
        raise ValueError(f"The name {name!r} cannot be written as UTF-8.") from None
    if not encoded:
        raise ValueError("A name has at least one byte.")
    if len(encoded) > NAME_BYTES_MAX:
        raise ValueError(f"A name has at most {NAME_BYTES_MAX} bytes; this one has {len(encoded)}.")
    if b"|" in encoded:
        raise ValueError("A name contains no '|'.")
    return encoded


def decode_name(name: bytes) -> str:
    """A name as text, from which `encode_name` makes the same bytes again whatever they are."""
    return name.decode("utf-8", "surrogateescape")


def encode_frame(name: bytes, payload: bytes) -> bytes:
    """`{name}|{length}|{payload}`, the length counted in bytes."""
    return b"%b|%d|%b" % (name, len(payload), payload)


def encode_hello(name: bytes) -> bytes:
    """The first frame of a version 2 session; a `ValueError` if the name is not UTF-8."""
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"Version 2 takes only names that are UTF-8, and {name!r} is not.") from None
    hello = {"hello": 2, "register": text}
    return encode_frame(b"", json.dumps(hello, separators=(",", ":")).encode())


def encode_secret(secret: Secret) -> bytes:
    """The bytes of a token, without white space around them; a `ValueError` says what is wrong with what cannot be
    one."""
    encoded = (secret.encode("utf-8", "surrogateescape") if isinstance(secret, str) else bytes(secret)).strip()
    if not encoded:
        raise ValueError("A token has at least one byte that is no white space.")
    if len(encoded) > SECRET_BYTES_MAX or b"\n" in encoded:
        raise ValueError(f"A token is one line of at most {SECRET_BYTES_MAX} bytes.")
    return encoded


def encode_answer(token: bytes, challenge: str, hello: bytes) -> bytes:
    """The frame that proves the token to a relay that sent `challenge` after `hello`, the frame as it was sent."""
    json_of_hello = hello.split(b"|", 2)[2]
    message = b"relay hello 2\n" + challenge.encode() + b"\n" + json_of_hello
    return encode_frame(b"", b'{"answer":"%b"}' % hmac.new(token, message, hashlib.sha256).hexdigest().encode())


class FrameDecoder:
    """Puts frames together from bytes that come in any split.

    It reserves no memory for a length that is announced: what it keeps is what has arrived, and a payload of more
    than `payload_bytes_max` is refused as soon as it is announced."""

    def __init__(self, payload_bytes_max: int = PAYLOAD_BYTES_MAX) -> None:
        self.payload_bytes_max = payload_bytes_max
        self._buffer = bytearray()
        self._start = 0  # Where the next frame starts in the buffer.
        self._end = 0  # Where it ends, as far as known: before, looking at the buffer again is of no use.

    def feed(self, data: bytes) -> None:
        """Adds received bytes."""
        del self._buffer[: self._start]
        self._end -= self._start
        self._start = 0
        self._buffer += data

    def next_frame(self) -> Optional[Frame]:
        """Takes the next whole frame; `None` until more bytes are fed. After a `ProtocolError` nothing can be
        understood: it is raised by every further call."""
        if len(self._buffer) < self._end:
            return None
        header = self._header()
        if header is None:
            return None
        name_end, start, length = header
        if length > self.payload_bytes_max:
            most = self.payload_bytes_max
            raise ProtocolError(f"A message of {length} bytes was announced, and {most} are the most taken.")
        self._end = start + length
        if len(self._buffer) < self._end:
            return None
        with memoryview(self._buffer) as view:
            frame = Frame(bytes(view[self._start : name_end]), bytes(view[start : self._end]))
        self._start = self._end
        return frame

    @property
    def unfinished_header(self) -> bytes:
        """What was fed and may still become a header, when that is all there is."""
        return bytes(self._buffer[self._start :]) if self._header() is None else b""

    @property
    def is_inside_frame(self) -> bool:
        """Whether an unfinished frame waits for more bytes."""
        return self._start < len(self._buffer)

    def _header(self) -> Optional[Tuple[int, int, int]]:
        """Where the name ends, where the payload starts, and its length; `None` until the header is complete. What
        is wrong is reported with the first byte that makes it so: the answer is the same for any split."""
        buffer, start = self._buffer, self._start
        name_end = buffer.find(b"|", start, start + NAME_BYTES_MAX + 1)
        if name_end < 0:
            if len(buffer) - start > NAME_BYTES_MAX:
                raise ProtocolError(f"A name of more than {NAME_BYTES_MAX} bytes was received.")
            return None
        first = name_end + 1
        end = buffer.find(b"|", first, first + LENGTH_DIGITS_MAX + 1)
        digits = buffer[first : end if end >= 0 else first + LENGTH_DIGITS_MAX + 1]
        length = 0
        for count, byte in enumerate(digits):
            if not ord("0") <= byte <= ord("9"):
                raise ProtocolError(f"A length with the byte 0x{byte:02x} in it was received.")
            if count == LENGTH_DIGITS_MAX:
                raise ProtocolError(f"A length of more than {LENGTH_DIGITS_MAX} digits was received.")
            length = length * 10 + byte - ord("0")
            if length > LENGTH_MAX:
                raise ProtocolError("A length over 64 bits was received.")
        if end < 0:
            return None
        if not digits:
            raise ProtocolError("A length without digits was received.")
        return name_end, end + 1, length


def decode_control(payload: bytes) -> Optional[Control]:
    """What a control frame of the relay says; `None` for a verb that is not known, since the relay may be newer."""
    try:
        if len(payload) > CONTROL_BYTES_MAX:
            raise ValueError
        control = _object(json.loads(payload.decode("utf-8")))
        if "hello" in control:
            return Welcome(_integer(control["max_message"]), _integer(control["idle_ms"]) / 1000)
        if "challenge" in control:
            challenge = _string(control["challenge"])
            if len(challenge) != MAC_DIGITS or not challenge.isascii():
                raise ValueError
            return Challenge(challenge)
        if "pong" in control:
            return Pong(_integer(control["pong"]))
        if "undeliverable" in control:
            lost = _object(control["undeliverable"])
            dest = _string(lost["dest"]) if "dest" in lost else decode_name(bytes.fromhex(lost["dest_hex"]))
            return Undeliverable(dest, _integer(lost["count"]))
        if "closing" in control:
            closing = _object(control["closing"])
            return Closing(printable(_string(closing["reason"])), _integer(closing["retry_ms"]) / 1000)
        if "error" in control:
            error = _object(control["error"])
            return ErrorReply(printable(_string(error["code"])), printable(_string(error["message"])))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        # Bad UTF-8 and bad JSON are ValueErrors, JSON nested without end is a RecursionError.
        start = payload[:80]
        raise ProtocolError(f"The relay sent a control frame that makes no sense: {start!r}.") from None
    return None


def printable(text: str) -> str:
    """A text in which nothing can end the line or steer the terminal it is shown on."""
    if text.isprintable():
        return text
    raw = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in raw)


def _object(value: Any) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _integer(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError
    return value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
