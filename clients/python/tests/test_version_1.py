"""The version 1 clients against a socket that plays the relay."""

import array
import os
import socket
import struct
import threading
import unittest

from fake_relay import DEADLINE, FakeRelay, SendsThrough, eventually, frame
from relay_client import (
    ConnectError,
    Disconnected,
    ErrorReply,
    FramedClient,
    Message,
    ProtocolError,
    RawClient,
    RelayTimeout,
    retry,
)
from relay_connection import INBOX_BYTES_MAX, READ_BYTES

# The two numbers of the option are not of the same size everywhere.
LINGER = "hh" if os.name == "nt" else "ii"


class Raw(unittest.TestCase):
    def test_registers_sends_and_receives_bytes(self):
        def relay(connection):
            connection.expect(b"device_a|")
            connection.expect(b"device_b|5|hello" + b"gr\xc3\xb6\xc3\x9fe|2|\xff\x00" + b"\xff|0|")
            connection.send(b"o")
            connection.send(b"k")
            connection.expect_end()

        with FakeRelay(relay) as fake, RawClient(fake.host, fake.port, "device_a") as client:
            self.assertEqual(client.name, "device_a")
            client.send("device_b", b"hello")
            client.send("größe", bytearray(b"\xff\x00"))
            client.send(b"\xff", b"")
            got = b""
            while len(got) < 2:
                got += client.recv(DEADLINE)
            self.assertEqual(got, b"ok")

    def test_lengths_count_bytes_and_not_elements(self):
        with FakeRelay(lambda c: c.expect(b"a|b|6|\x01\x00\x02\x00\x03\x00c|4|abcd")) as fake:
            with RawClient(fake.host, fake.port, b"a") as client:
                client.send("b", memoryview(array.array("H", b"\x01\x00\x02\x00\x03\x00")))
                client.send("c", memoryview(b"a.b.c.d.")[::2].tobytes())

    def test_a_large_message_arrives_whole(self):
        payload = bytes(range(256)) * 20_000
        with FakeRelay(lambda c: c.expect(b"a|" + frame(b"b", payload))) as fake:
            with RawClient(fake.host, fake.port, "a") as client:
                client.send("b", payload)

    def test_threads_do_not_mix_their_frames(self):
        count, size = 20, 100_000

        def relay(connection):
            connection.expect(b"a|")
            seen = []
            for _ in range(count * 3):
                connection.expect(b"b|%d|" % size)
                first = connection.socket.recv(1)
                connection.expect(first * (size - 1))
                seen.append(first)
            self.assertEqual([seen.count(letter) for letter in (b"x", b"y", b"z")], [count] * 3)

        def flood(client, letter):
            for _ in range(count):
                client.send("b", letter * size)

        with FakeRelay(relay) as fake, RawClient(fake.host, fake.port, "a") as client:
            threads = [threading.Thread(target=flood, args=(client, letter)) for letter in (b"x", b"y", b"z")]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def test_recv_waits_no_longer_than_asked(self):
        with FakeRelay(lambda c: (c.expect(b"a|"), c.expect_end())) as fake:
            with RawClient(fake.host, fake.port, "a") as client:
                self.assertRaises(RelayTimeout, client.recv, 0.01)
                self.assertRaises(TimeoutError, client.recv, 0)
                self.assertIsNone(client.wait_ended(0.01))

    def test_a_sign_of_life_is_sent_when_silent(self):
        with FakeRelay(lambda c: c.expect(b"a|" + b"a|0|" * 3)) as fake:
            with RawClient(fake.host, fake.port, "a", keepalive=0.05) as client:
                self.assertIsInstance(client.wait_ended(DEADLINE), Disconnected)

    def test_no_sign_of_life_is_due_when_it_is_switched_off_or_something_was_sent(self):
        with FakeRelay(lambda c: (c.expect(b"a|b|1|x"), c.expect_end())) as fake:
            with RawClient(fake.host, fake.port, "a", keepalive=100) as client:
                before = client._next_check()
                client.send("b", b"x")
                self.assertGreater(client._next_check(), before)
        with FakeRelay(lambda c: (c.expect(b"a|"), c.expect_end())) as fake:
            with RawClient(fake.host, fake.port, "a", keepalive=None) as client:
                self.assertEqual(client._next_check(), float("inf"))

    def test_an_inbox_that_is_full_holds_the_sender_back_and_loses_nothing(self):
        payload = bytes(range(256)) * 65536

        with FakeRelay(lambda c: (c.send(payload), c.expect(b"a|"), c.expect_end())) as fake:
            with RawClient(fake.host, fake.port, "a") as client:
                eventually(lambda: client._is_paused)
                self.assertLess(client._inbox_bytes, INBOX_BYTES_MAX + READ_BYTES)
                got = b""
                while len(got) < len(payload):
                    got += client.recv(DEADLINE)
                self.assertEqual(got, payload)

    def test_closing_delivers_what_was_sent_although_more_arrives(self):
        payload = bytes(1 << 20)
        closing = threading.Event()

        def relay(connection):
            connection.expect(b"a|")
            closing.wait(DEADLINE)
            # A socket that is closed already would answer this with a reset and drop what it still has to send.
            connection.send(b"more")
            connection.expect(frame(b"b", payload))
            connection.expect_end()

        with FakeRelay(relay) as fake:
            client = RawClient(fake.host, fake.port, "a")
            client.send("b", payload)
            threading.Timer(0.05, closing.set).start()
            client.close()
            client.close()
            for use in (lambda: client.send("b", b"x"), client.recv):
                with self.assertRaisesRegex(Disconnected, "closed by this program"):
                    use()

    def test_wrong_use_is_told_before_anything_is_sent(self):
        with FakeRelay(lambda c: (c.expect(b"a|"), c.expect_end())) as fake:
            with RawClient(fake.host, fake.port, "a") as client:
                self.assertRaisesRegex(TypeError, "text.encode", client.send, "b", "text")
                self.assertRaisesRegex(ValueError, "at least one byte", client.send, "", b"x")
                self.assertRaisesRegex(ValueError, "at most 255", client.send, "n" * 256, b"x")
        self.assertRaisesRegex(ValueError, "no '|'", RawClient, "127.0.0.1", 1, "a|b")
        for port in (0, -1, 65536):
            self.assertRaisesRegex(ValueError, "1 to 65535", RawClient, "127.0.0.1", port, "a")


class Ends(unittest.TestCase):
    def reason(self, relay, use=lambda client: None, **options):
        with FakeRelay(relay) as fake, RawClient(fake.host, fake.port, "a", **options) as client:
            use(client)
            reason = client.wait_ended(DEADLINE)
            with self.assertRaises(Disconnected) as raised:
                client.recv()
            self.assertIs(raised.exception, reason)
            with self.assertRaises(Disconnected):
                client.send("b", b"x")
            return str(reason)

    def test_right_after_registration_the_name_is_the_likely_cause(self):
        self.assertIn("another client has the name 'a'", self.reason(lambda c: c.expect(b"a|")))

    def test_a_reset_is_an_end_like_any_other(self):
        def relay(connection):
            connection.expect(b"a|")
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(LINGER, 1, 0))

        self.assertIn("another client has the name 'a'", self.reason(relay))

    def test_later_the_log_of_the_relay_says_why(self):
        def relay(connection):
            connection.expect(b"a|")
            connection.send(b"x")

        self.assertEqual(
            self.reason(relay, lambda client: client.recv(DEADLINE)),
            "The relay ended the connection; its log says why.",
        )

    def test_what_arrived_before_the_end_is_received_first(self):
        with FakeRelay(lambda c: (c.expect(b"a|"), c.send(b"last words"))) as fake:
            with RawClient(fake.host, fake.port, "a") as client:
                client.wait_ended(DEADLINE)
                self.assertEqual(client.recv(), b"last words")
                self.assertRaises(Disconnected, client.recv)

    def test_a_send_that_is_held_back_ends_with_the_connection(self):
        release = threading.Event()

        def relay(connection):
            connection.expect(b"a|")
            release.wait(DEADLINE)

        with FakeRelay(relay) as fake, RawClient(fake.host, fake.port, "a") as client:
            threading.Thread(target=lambda: (eventually(lambda: client._is_writing), release.set())).start()
            self.assertRaises(Disconnected, client.send, "b", bytes(64 << 20))

    def test_an_interrupted_send_ends_the_connection(self):
        with FakeRelay(lambda c: (c.expect(b"a|b|5"), c.expect_end())) as fake:
            with RawClient(fake.host, fake.port, "a") as client:
                client._socket = SendsThrough(client._socket, 3, KeyboardInterrupt)
                self.assertRaises(KeyboardInterrupt, client.send, "b", b"hello")
                self.assertRaisesRegex(Disconnected, "interrupted within a message", client.send, "b", b"x")


class Framed(unittest.TestCase):
    def test_messages_have_their_senders(self):
        messages = [(b"device_b", b"hello"), (b"\xff", b""), (b"x", b"|1|"), (b"y", b"z" * 100_000)]
        wire = b"".join(frame(*message) for message in messages)

        with FakeRelay(lambda c: (c.expect(b"a|"), c.send(wire[:9]), c.send(wire[9:]), c.expect(b"\xff|2|me"))) as fake:
            with FramedClient(fake.host, fake.port, "a") as client:
                eventually(lambda: client.waiting == len(messages))
                got = [client.recv(DEADLINE) for _ in messages]
                self.assertEqual(client.waiting, 0)
                client.send(got[1].sender, b"me")
                self.assertEqual(got[0], Message("device_b", b"hello"))
                self.assertEqual([(m.sender.encode("utf-8", "surrogateescape"), m.payload) for m in got], messages)

    def test_what_is_no_frame_ends_the_connection_after_the_messages_before_it(self):
        for bad, part in ((b"x|y|", "0x79"), (b"x|67108865|", "67108864 are the most"), (b"n" * 256, "255 bytes")):
            wire = frame(b"b", b"hello") + bad
            with FakeRelay(lambda c, wire=wire: (c.expect(b"a|"), c.send(wire), c.expect_end())) as fake:
                with FramedClient(fake.host, fake.port, "a") as client:
                    self.assertEqual(client.recv(DEADLINE), Message("b", b"hello"))
                    self.assertRaisesRegex(ProtocolError, part, client.recv, DEADLINE)
                    self.assertRaisesRegex(ProtocolError, part, client.send, "b", b"x")

    def test_an_unfinished_message_is_never_seen(self):
        with FakeRelay(lambda c: (c.expect(b"a|"), c.send(b"b|5|hell"))) as fake:
            with FramedClient(fake.host, fake.port, "a") as client:
                self.assertRaises(Disconnected, client.recv, DEADLINE)

    def test_a_flood_of_empty_messages_is_held_back(self):
        empty = frame(b"b", b"")
        with FakeRelay(lambda c: (c.expect(b"a|"), c.send(empty * 100_000), c.expect_end())) as fake:
            with FramedClient(fake.host, fake.port, "a") as client:
                eventually(lambda: client._is_paused)
                for _ in range(100_000):
                    self.assertEqual(client.recv(DEADLINE), Message("b", b""))


class Connecting(unittest.TestCase):
    def test_nobody_there(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            with self.assertRaisesRegex(ConnectError, rf"^127.0.0.1:{port} refused the connection; check .*\.$"):
                RawClient("127.0.0.1", port, "a")

    def test_no_such_host(self):
        for host in ("no-such-host.invalid", "x" * 100):
            self.assertRaisesRegex(ConnectError, f"^The name {host} was not found", RawClient, host, 1, "a")

    def test_ipv6_with_and_without_brackets(self):
        for host in ("::1", "[::1]"):
            try:
                fake = FakeRelay(lambda c: (c.expect(b"a|"), c.send(b"x")), socket.AF_INET6)
            except OSError:
                self.skipTest("this machine has no IPv6")
            with fake, RawClient(host, fake.port, "a") as client:
                self.assertEqual(client.recv(DEADLINE), b"x")

    def test_a_host_name(self):
        with FakeRelay(lambda c: (c.expect(b"a|"), c.send(b"x"))) as fake:
            with RawClient("localhost", fake.port, "a") as client:
                self.assertEqual(client.recv(DEADLINE), b"x")

    def test_nothing_is_left_behind(self):
        before = threading.active_count()
        with FakeRelay(lambda c: (c.expect(b"a|"), c.expect_end())) as fake:
            with RawClient(fake.host, fake.port, "a") as client:
                pass
            self.assertEqual(client._socket.fileno(), -1)
        self.assertEqual(threading.active_count(), before)


class Retrying(unittest.TestCase):
    def attempts(self, *results, **options):
        waiting = list(results)

        def connect():
            result = waiting.pop(0)
            if isinstance(result, Exception):
                raise result
            return result

        try:
            return retry(connect, pause=0.001, **options), len(waiting)
        except Exception as error:
            return str(error), len(waiting)

    def test_until_it_works(self):
        failures = (ConnectError("no"), Disconnected("gone"))
        self.assertEqual(self.attempts(*failures, "client", "another"), ("client", 1))

    def test_not_for_longer_than_there_is_patience(self):
        self.assertEqual(self.attempts(ConnectError("first"), "client", patience=0), ("first", 1))

    def test_not_what_waiting_does_not_cure(self):
        self.assertEqual(self.attempts(ValueError("wrong"), "client"), ("wrong", 1))
        self.assertEqual(self.attempts(ProtocolError("odd"), "client"), ("odd", 1))
        self.assertEqual(self.attempts(ErrorReply("bad_name", "no"), "client"), ("The relay reports bad_name: no.", 1))
        self.assertEqual(self.attempts(ErrorReply("name_taken", "no"), "client"), ("client", 0))


if __name__ == "__main__":
    unittest.main()
