"""One connection to a relay: the socket, a thread that reads, a thread that keeps it alive, and its end.

What the clients of `relay_client` have in common; programs use those.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from typing import Callable, Optional, TypeVar, Union

from relay_wire import ConnectError, Disconnected, Name, RelayError, TooLarge, decode_name, encode_name

T = TypeVar("T")

# What may wait for recv(). Beyond it nothing is read, and the relay pauses whoever sends to us.
INBOX_BYTES_MAX = 1 << 20
# Seconds of silence after which a sign of life is sent: a third of what a relay allows unless told otherwise.
KEEPALIVE = 10.0
KEEPALIVE_MIN = 0.05
# Version 1 is told nothing: an end within so many seconds of registering most likely means that the name is taken.
REGISTRATION_WINDOW = 5.0
READ_BYTES = 64 << 10
# Up to this size, copying a payload behind its header costs less than a second system call.
COPY_BYTES_MAX = 64 << 10


class Connection:
    """A registered connection. Subclasses say how to register and what to do with what arrives."""

    _max_message: Optional[int] = None

    def __init__(
        self,
        host: str,
        port: int,
        name: Name,
        *,
        timeout: float = 10.0,
        keepalive: Optional[float] = KEEPALIVE,
    ) -> None:
        self._name = encode_name(name)
        self._keepalive = math.inf if keepalive is None else max(keepalive, KEEPALIVE_MIN)
        self._changed = threading.Condition()  # Guards what has arrived and the end, and tells of both.
        self._sending = threading.RLock()  # Held for the length of a frame.
        self._stop = threading.Event()
        self._inbox_bytes = 0
        self._ended: Optional[RelayError] = None
        self._farewell: Optional[RelayError] = None  # What the relay said before it ended the connection.
        self._is_known = False  # The relay has sent something, so it has let us in.
        self._is_closed = False
        self._is_broken = False
        self._is_paused = False  # The inbox is full.
        self._is_writing = False
        self._prepare()
        self._socket = _connect(host, port, timeout)
        try:
            self._begun = self._sent = self._heard = time.monotonic()
            self._register(timeout)
            self._socket.settimeout(None)
        except BaseException as error:
            self._socket.close()
            if isinstance(error, RelayError) or not isinstance(error, OSError):
                raise
            raise ConnectError(f"The relay did not answer: {error.strerror or error}.") from None
        self._reader = threading.Thread(target=self._read, name="relay-read", daemon=True)
        self._keeper = threading.Thread(target=self._keep_alive, name="relay-keepalive", daemon=True)
        self._reader.start()
        self._keeper.start()

    @property
    def name(self) -> str:
        """The registered name."""
        return decode_name(self._name)

    def send(self, dest: Name, data: Union[bytes, bytearray, memoryview]) -> None:
        """Sends `data` to whoever has the name `dest`. Returns when the system has taken it, which may have to wait
        while the relay holds this client back for a slow recipient. Interrupting that wait ends the connection."""
        if isinstance(data, str):
            raise TypeError("Data is bytes; text.encode() makes them of a text.")
        view = memoryview(data)
        size, most = view.nbytes, self._max_message
        if most is not None and size > most:
            raise TooLarge(f"The relay takes messages of up to {most} bytes, and this one has {size}.")
        self._send(encode_name(dest), view.cast("B") if size else b"")

    def wait_ended(self, timeout: Optional[float] = None) -> Optional[RelayError]:
        """Waits until the connection has ended and gives the reason; `None` if it has not in `timeout` seconds."""
        with self._changed:
            self._wait(lambda: self._ended, timeout)
            return self._ended

    def close(self, timeout: float = 3.0) -> None:
        """Ends the connection and waits, for at most `timeout` seconds, until the relay has taken what was sent. What
        arrives meanwhile is lost."""
        with self._changed:
            already, self._is_closed = self._is_closed, True
            self._changed.notify_all()
        if already:
            return
        try:
            # Closing at once, with something unread, would reset the connection and take what was sent with it.
            self._socket.shutdown(socket.SHUT_WR)
            self._reader.join(timeout)
        except OSError:
            pass  # The connection is gone already.
        finally:
            self._end(self._lost())
            for thread in (self._reader, self._keeper):
                thread.join(1.0)
            self._socket.close()

    def __enter__(self: T) -> T:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What the kinds of clients differ in.

    def _prepare(self) -> None:
        """Makes room for what will arrive."""
        raise NotImplementedError

    def _register(self, timeout: float) -> None:
        """Registers the name on the new connection, within `timeout` seconds."""
        self._socket.sendall(self._name + b"|")

    def _take(self, data: bytes) -> None:
        """Puts what was read where the program finds it. `_changed` is held."""
        raise NotImplementedError

    def _next_check(self) -> float:
        """When `_check` is of use next."""
        return self._sent + self._keepalive

    def _check(self, now: float) -> None:
        """Sends a sign of life if it is time to."""
        if now >= self._next_check():
            self._send(self._name, b"")

    # Waiting and ending.

    def _wait(self, ready: Callable[[], object], timeout: Optional[float]) -> None:
        """Waits until `ready()` or for `timeout` seconds. `_changed` is held."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        # On Windows Ctrl-C does not interrupt a wait; many short ones let it through.
        wait_max = 0.2 if os.name == "nt" else threading.TIMEOUT_MAX
        while not ready():
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(min(left, wait_max))

    def _end(self, reason: RelayError) -> None:
        """Records why the connection is over (the first reason stands) and stops whatever still uses it."""
        with self._changed:
            self._ended = self._ended or reason
            self._changed.notify_all()
        self._stop.set()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # It is no longer connected.

    def _raise_if_ended(self) -> None:
        if self._ended is not None:
            # The same reason for every call, without the trace of the call before.
            raise self._ended.with_traceback(None)

    def _lost(self, error: Optional[OSError] = None) -> RelayError:
        """The reason when the relay has closed the connection, or the system has with `error`."""
        closed = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)
        if self._is_closed:
            return Disconnected("The connection was closed by this program.")
        if self._farewell is not None:
            return self._farewell
        if error is not None and not isinstance(error, closed):
            return Disconnected(f"The connection to the relay was lost: {error.strerror or error}.")
        if not self._is_known and time.monotonic() < self._begun + REGISTRATION_WINDOW:
            taken = f"most likely another client has the name {self.name!r}; choose a different one"
            taken += ", or use version 2 if the relay asks for a token"
            return Disconnected(f"The relay ended the connection right after registration: {taken}.")
        return Disconnected("The relay ended the connection; its log says why.")

    # The threads.

    def _read(self) -> None:
        try:
            data = b""  # There may be something to take that came with the answer to the registration.
            while True:
                with self._changed:
                    if not self._is_closed:
                        self._receive(data)
                data = self._socket.recv(READ_BYTES)
                if not data:
                    raise self._lost()
                self._is_known = True
                self._heard = time.monotonic()
        except RelayError as error:
            self._end(error)
        except OSError as error:
            self._end(self._lost(error))
        except Exception as error:  # Such as MemoryError: nobody is to wait for a thread that is gone.
            self._end(Disconnected(f"The connection was given up: {error!r}."))

    def _receive(self, data: bytes) -> None:
        try:
            self._take(data)
        finally:
            self._changed.notify_all()
        if not self._has_room():
            self._is_paused = True
            self._wait(self._has_room, None)
            self._is_paused = False
            self._heard = time.monotonic()

    def _has_room(self) -> bool:
        is_over = self._is_closed or self._is_broken or self._ended is not None
        return is_over or self._inbox_bytes < INBOX_BYTES_MAX

    def _keep_alive(self) -> None:
        try:
            while True:
                wait = self._next_check() - time.monotonic()
                if self._stop.wait(min(max(wait, 0.0), threading.TIMEOUT_MAX)):
                    return
                self._check(time.monotonic())
        except RelayError as error:
            self._end(error)

    # Sending.

    def _send(self, name: bytes, payload: Union[bytes, memoryview]) -> None:
        header = b"%b|%d|" % (name, len(payload))
        with self._sending:
            self._raise_if_ended()
            self._is_writing = True
            begun = time.monotonic()
            try:
                if len(payload) <= COPY_BYTES_MAX:
                    self._socket.sendall(b"".join((header, payload)))
                else:
                    self._socket.sendall(header)
                    self._socket.sendall(payload)
            except OSError as error:
                raise self._why(error) from None
            except BaseException:
                # Within a frame: whatever were sent next would be taken for the rest of it.
                self._end(Disconnected("The connection was given up: sending was interrupted within a message."))
                raise
            finally:
                self._is_writing = False
            self._sent = time.monotonic()
            if self._sent > begun + 1.0:
                # It had to wait, and found room: somebody is there.
                self._heard = self._sent

    def _why(self, error: OSError) -> RelayError:
        """Sending failed; what the relay sent before, and is about to be read, may say why."""
        with self._changed:
            self._is_broken = True
            self._changed.notify_all()
            self._wait(lambda: self._ended, 2.0)
        reason = self._ended or self._lost(error)
        self._end(reason)
        return reason


def _connect(host: str, port: int, timeout: float) -> socket.socket:
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if not host or not 0 < port < 65536:
        raise ValueError(f"{where} is not a host and a port of 1 to 65535.")
    try:
        connection = socket.create_connection((host, port), timeout)
    except (socket.gaierror, UnicodeError):
        raise ConnectError(f"The name {host} was not found; check its spelling and the network.") from None
    except socket.timeout:
        raise ConnectError(f"{where} did not answer within {timeout:g} s; check the address and firewalls.") from None
    except ConnectionRefusedError:
        raise ConnectError(f"{where} refused the connection; check that a relay runs there.") from None
    except OSError as error:
        raise ConnectError(f"{where} cannot be reached: {error.strerror or error}.") from None
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
