"""The version 2 client against a socket that plays the relay."""

import contextlib
import os
import socket
import struct
import threading
import time
import unittest
from unittest import mock

from fake_relay import DEADLINE, HELLO, WELCOME, FakeRelay, SendsThrough, control, eventually, frame, session
from relay_client import ConnectError, Disconnected, ErrorReply, Message, ProtocolError, RelayTimeout, SessionClient
from relay_client import TokenNeeded, TooLarge
from relay_wire import encode_answer


def error(code, message="so it is"):
    return control(b'{"error":{"code":"%b","message":"%b"}}' % (code.encode(), message.encode()))


def pong(number):
    return control(b'{"pong":%d}' % number)


def ping(number):
    return control(b'{"ping":%d}' % number)


class Session(unittest.TestCase):
    def run_session(self, relay, use, **options):
        with FakeRelay(session(relay)) as fake, SessionClient(fake.host, fake.port, "me", **options) as client:
            return use(client)

    def test_messages_have_their_senders(self):
        def use(client):
            self.assertEqual(client.max_message, 100)
            self.assertEqual(client.recv(DEADLINE), Message("b", b"hello"))
            client.send("b", b"hi")

        self.run_session(lambda c: (c.send(frame(b"b", b"hello")), c.expect(b"b|2|hi"), c.expect_end()), use)

    def test_the_answer_may_come_in_any_pieces_and_with_messages_behind_it(self):
        wire = control(WELCOME) + frame(b"b", b"hello") + control(b'{"undeliverable":{"dest":"x","count":1}}')
        for cut in range(len(wire)):

            def relay(connection, cut=cut):
                connection.expect(HELLO)
                for piece in (wire[:cut], wire[cut:]):
                    connection.send(piece)
                connection.expect_end()

            with FakeRelay(relay) as fake, SessionClient(fake.host, fake.port, "me") as client:
                self.assertEqual(client.recv(DEADLINE), Message("b", b"hello"))
                eventually(lambda: client._undeliverable)
                self.assertEqual(client.undeliverable(), {"x": 1})

    def test_a_challenge_is_answered_with_a_proof_of_the_token(self):
        # The example of docs/protocol.md.
        token = "correct-horse-battery-staple"
        challenge = "00112233445566778899aabbccddeeff" * 2
        hello = b'|33|{"hello":2,"register":"device_a"}'

        def relay(connection):
            connection.expect(hello)
            connection.send(control(b'{"challenge":"%b"}' % challenge.encode()))
            connection.expect(encode_answer(token.encode(), challenge, hello))
            connection.send(control(WELCOME) + frame(b"b", b"hello"))
            connection.expect_end()

        answer = b"5980bbde840b0062c4d94d741b830ea62c5eac5e24df1f7f2d3938c2fbb4b4db"
        self.assertEqual(encode_answer(token.encode(), challenge, hello), control(b'{"answer":"%b"}' % answer))
        for given, variable in ((token, None), (token.encode() + b"\n", "not this"), (None, token)):
            with self.variable(variable), FakeRelay(relay) as fake:
                with SessionClient(fake.host, fake.port, "device_a", token=given) as client:
                    self.assertEqual(client.recv(DEADLINE), Message("b", b"hello"))

    def test_a_challenge_without_a_token_says_what_to_do(self):
        def relay(connection):
            connection.expect(HELLO)
            connection.send(control(b'{"challenge":"%b"}' % (b"0" * 64)))
            connection.expect_end()

        with self.variable(None), FakeRelay(relay) as fake, self.assertRaisesRegex(TokenNeeded, "set RELAY_TOKEN"):
            SessionClient(fake.host, fake.port, "me")

    def test_one_challenge_is_answered_and_no_other(self):
        def relay(connection):
            connection.expect(HELLO)
            connection.send(control(b'{"challenge":"%b"}' % (b"0" * 64)) * 2)
            connection.expect(encode_answer(b"token", "0" * 64, HELLO))
            connection.expect_end()

        with FakeRelay(relay) as fake, self.assertRaises(ProtocolError):
            SessionClient(fake.host, fake.port, "me", token="token")

    def test_what_is_no_challenge_is_not_answered(self):
        for challenge in (b'""', b'"00"', b"7", b'"%b"' % ("é".encode() * 64)):

            def relay(connection, challenge=challenge):
                connection.expect(HELLO)
                connection.send(control(b'{"challenge":%b}' % challenge))
                connection.expect_end()

            with FakeRelay(relay) as fake, self.assertRaises(ProtocolError):
                SessionClient(fake.host, fake.port, "me", token="token")

    def test_a_token_that_is_none_is_refused_before_connecting(self):
        for token in ("", " \n", b"a\nb", "x" * 1025):
            with self.assertRaises(ValueError):
                SessionClient("127.0.0.1", 1, "me", token=token)

    @contextlib.contextmanager
    def variable(self, value):
        """The environment with `RELAY_TOKEN` set to the value, or without it."""
        with mock.patch.dict(os.environ):
            os.environ.pop("RELAY_TOKEN", None)
            if value is not None:
                os.environ["RELAY_TOKEN"] = value
            yield

    def test_sync_waits_for_the_answer_and_gives_what_nobody_received(self):
        def relay(connection):
            connection.expect(b"x|1|1" + b"x|1|2" + b"\xff|1|3" + ping(1))
            connection.send(control(b'{"undeliverable":{"dest":"x","count":1}}'))
            connection.send(frame(b"b", b"between") + control(b'{"undeliverable":{"dest":"x","count":1}}'))
            connection.send(control(b'{"undeliverable":{"dest_hex":"ff","count":1}}') + pong(1))
            connection.expect(ping(2))
            connection.send(pong(2))
            connection.expect_end()

        def use(client):
            for dest, data in (("x", b"1"), ("x", b"2"), (b"\xff", b"3")):
                client.send(dest, data)
            self.assertEqual(client.sync(DEADLINE), {"x": 2, "\udcff": 1})
            self.assertEqual(client.sync(DEADLINE), {})
            self.assertEqual(client._dead_at(), float("inf"))
            self.assertEqual(client.recv(DEADLINE), Message("b", b"between"))

        self.run_session(relay, use)

    def test_the_names_that_are_remembered_are_bounded(self):
        def relay(connection):
            connection.expect(ping(1))
            for number in range(3000):
                connection.send(control(b'{"undeliverable":{"dest":"%d","count":2}}' % (number % 1500)))
            connection.send(pong(1))
            connection.expect_end()

        lost = self.run_session(relay, lambda client: client.sync(DEADLINE))
        self.assertEqual(lost, {str(number): 4 for number in range(1024)})

    def test_sync_waits_no_longer_than_asked(self):
        def use(client):
            self.assertRaisesRegex(RelayTimeout, r"within 0.01 s\.$", client.sync, 0.01)

        self.run_session(lambda c: (c.expect(ping(1)), c.expect_end()), use)

    def test_sync_says_when_messages_are_in_its_way(self):
        def relay(connection):
            connection.send(frame(b"b", b"x" * 100) * 20_000)
            connection.expect(ping(1))
            connection.send(pong(1))
            connection.expect_end()

        def use(client):
            eventually(lambda: client._is_paused)
            self.assertRaisesRegex(RelayTimeout, "wait for recv", client.sync, 0.01)
            for _ in range(20_000):
                client.recv(DEADLINE)

        self.run_session(relay, use)

    def test_an_error_that_is_not_fatal_is_raised_once_and_the_session_goes_on(self):
        def relay(connection):
            connection.send(error("too_large", "no") + frame(b"b", b"hello"))
            connection.expect(ping(1))
            connection.send(error("unknown_verb"))
            connection.send(pong(1))
            connection.expect(ping(2))
            connection.send(pong(2))
            connection.expect_end()

        def use(client):
            with self.assertRaisesRegex(ErrorReply, r"^The relay reports too_large: no\.$"):
                client.recv(DEADLINE)
            self.assertEqual(client.recv(DEADLINE), Message("b", b"hello"))
            with self.assertRaises(ErrorReply) as raised:
                client.sync(DEADLINE)
            self.assertEqual((raised.exception.code, raised.exception.fatal), ("unknown_verb", False))
            self.assertEqual(client.sync(DEADLINE), {})

        self.run_session(relay, use)

    def test_a_fatal_error_is_the_reason_of_the_end(self):
        def use(client):
            self.assertEqual(client.recv(DEADLINE), Message("b", b"before"))
            for call in (client.recv, client.sync, lambda: client.send("b", b"x")):
                with self.assertRaises(ErrorReply) as raised:
                    call()
                self.assertEqual((raised.exception.code, raised.exception.fatal), ("bad_frame", True))

        self.run_session(lambda c: c.send(frame(b"b", b"before") + error("bad_frame")), use)

    def test_a_relay_that_stops_says_when_to_return(self):
        def use(client):
            reason = client.wait_ended(DEADLINE)
            self.assertEqual(str(reason), "The relay stops (shutdown); connect again in 1.5 s.")
            self.assertEqual(reason.retry_after, 1.5)
            self.assertEqual(client.recv(), Message("b", b"last"))
            self.assertRaises(Disconnected, client.recv)

        closing = control(b'{"closing":{"reason":"shutdown","retry_ms":1500}}')
        self.run_session(lambda c: c.send(closing + frame(b"b", b"last")), use)

    def test_an_end_without_a_reason_does_not_blame_the_name(self):
        def use(client):
            self.assertEqual(str(client.wait_ended(DEADLINE)), "The relay ended the connection; its log says why.")

        self.run_session(lambda c: None, use)

    def test_the_reason_is_known_although_sending_failed_first(self):
        def relay(connection):
            connection.send(error("too_slow"))
            # Closing with something unread resets the connection.
            linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        def use(client):
            with self.assertRaises(ErrorReply) as raised:
                while True:
                    client.send("b", b"x" * 100)
            self.assertEqual(raised.exception.code, "too_slow")

        self.run_session(relay, use)

    def test_the_reason_is_found_behind_messages_that_wait(self):
        def relay(connection):
            connection.send(frame(b"b", b"x" * 100) * 20_000 + error("too_slow"))
            connection.expect_end()

        def use(client):
            eventually(lambda: client._is_paused)
            client._socket = SendsThrough(client._socket, 0, BrokenPipeError)
            with self.assertRaises(ErrorReply) as raised:
                client.send("b", b"hello")
            self.assertEqual(raised.exception.code, "too_slow")

        self.run_session(relay, use)

    def test_what_is_not_known_is_left_alone(self):
        odd = control(b'{"dance":{"x":[1]}}') + control(b"{}")
        self.run_session(
            lambda c: (c.send(odd + frame(b"b", b"x")), c.expect_end()),
            lambda client: self.assertEqual(client.recv(DEADLINE), Message("b", b"x")),
        )

    def test_what_makes_no_sense_ends_the_connection(self):
        for bad in (
            *(
                control(b"[]"),
                control(b"{"),
                control(b'{"pong":"x"}'),
                control(b"[" * 16000),
                b"|16385|" + b" " * 16385,
            ),
            *(b"b|x|", b"b|99999|", b"||"),
        ):

            def use(client, bad=bad):
                with self.assertRaises(ProtocolError, msg=bad[:20]):
                    client.recv(DEADLINE)

            self.run_session(lambda c, bad=bad: c.send(bad), use)

    def test_a_message_over_the_limit_is_not_sent(self):
        def use(client):
            self.assertRaisesRegex(TooLarge, "up to 100 bytes, and this one has 101", client.send, "b", bytes(101))
            self.assertRaises(TooLarge, client.send, "b", memoryview(bytes(101)))
            self.assertRaises(TypeError, client.send, "b", "x" * 101)
            client.send("b", b"x" * 100)

        self.run_session(lambda c: (c.expect(b"b|100|" + b"x" * 100), c.expect_end()), use)


class Hello(unittest.TestCase):
    def refused(self, kind, relay, timeout=DEADLINE):
        with FakeRelay(relay) as fake, self.assertRaises(kind) as raised:
            SessionClient(fake.host, fake.port, "me", timeout=timeout)
        return raised.exception

    def test_a_name_that_is_taken(self):
        answer = error("name_taken", "the name me is taken")
        taken = self.refused(ErrorReply, lambda c: (c.expect(HELLO), c.send(answer), c.expect_end()))
        self.assertEqual(taken.code, "name_taken")
        self.assertEqual(str(taken), "The relay reports name_taken: the name me is taken.")

    def test_no_answer(self):
        refused = self.refused(ConnectError, lambda c: (c.expect(HELLO), c.expect_end()), timeout=0.05)
        self.assertIn("timed out", str(refused))

    def test_an_answer_that_trickles_in_counts_as_one(self):
        def relay(connection):
            try:
                while True:
                    connection.send(b"0")
                    threading.Event().wait(0.01)
            except OSError:
                pass

        # Leading zeros of a length, then too many of them: long before that, the time is over.
        refused = self.refused((ConnectError, ProtocolError), relay, timeout=0.05)
        self.assertIn("timed out", str(refused))

    def test_an_end_instead_of_an_answer(self):
        self.assertIn("only version 1", str(self.refused(ConnectError, lambda c: c.expect(HELLO))))

    def test_an_answer_that_is_none(self):
        for answer in (
            *(b"SSH-2.0|x", frame(b"b", b"hello"), pong(1), control(b"{}"), control(b'{"hello":2}'), control(b"no")),
            b"|99999999999|",
        ):
            self.refused(ProtocolError, lambda c, answer=answer: (c.expect(HELLO), c.send(answer), c.expect_end()))

    def test_a_name_that_is_no_utf_8(self):
        self.assertRaisesRegex(ValueError, "UTF-8", SessionClient, "127.0.0.1", 1, b"\xff")


class Liveness(unittest.TestCase):
    def test_a_ping_is_sent_when_nothing_comes_and_its_answer_keeps_the_session(self):
        def relay(connection):
            for number in range(1, 6):
                connection.expect(ping(number))
                connection.send(pong(number))
            connection.send(frame(b"b", b"done"))
            connection.expect_end()

        with FakeRelay(session(relay)) as fake:
            with SessionClient(fake.host, fake.port, "me", keepalive=0.05, pong_timeout=DEADLINE) as client:
                self.assertEqual(client.recv(DEADLINE), Message("b", b"done"))

    def test_pings_follow_the_silence_that_the_relay_allows(self):
        def relay(connection):
            connection.expect(HELLO)
            connection.send(control(WELCOME.replace(b"30000", b"300")))
            connection.expect(ping(1))
            connection.send(frame(b"b", b"done"))
            connection.expect_end()

        with FakeRelay(relay) as fake, SessionClient(fake.host, fake.port, "me") as client:
            self.assertLess(client._next_check() - time.monotonic(), 0.2)
            self.assertEqual(client.recv(DEADLINE), Message("b", b"done"))

    def test_no_ping_is_due_when_they_are_switched_off(self):
        with FakeRelay(session(lambda c: c.expect_end())) as fake:
            with SessionClient(fake.host, fake.port, "me", keepalive=None) as client:
                self.assertEqual(client._next_check(), float("inf"))

    def test_a_relay_that_answers_no_ping_is_given_up(self):
        def relay(connection):
            connection.expect(ping(1))
            # What else is sent does not keep it alive: only what comes back would.
            while connection.socket.recv(1000):
                pass

        with FakeRelay(session(relay)) as fake:
            with SessionClient(fake.host, fake.port, "me", keepalive=0.05, pong_timeout=0.2) as client:
                with self.assertRaisesRegex(Disconnected, r"^Nothing came from the relay for 0.2 s"):
                    client.recv(DEADLINE)
                self.assertRaises(Disconnected, client.sync)

    def test_while_messages_wait_to_be_received_no_answer_is_missed(self):
        held = 3

        def relay(connection):
            connection.send(frame(b"b", b"x" * 100) * 20_000)
            for number in range(1, held + 1):
                connection.expect(ping(number))
            connection.send(pong(held) + frame(b"b", b"done"))
            connection.expect_end()

        with FakeRelay(session(relay)) as fake:
            with SessionClient(fake.host, fake.port, "me", keepalive=0.1, pong_timeout=0.05) as client:
                eventually(lambda: client._pings >= held)
                client._keepalive = float("inf")
                client._pong_timeout = DEADLINE
                got = client.recv(DEADLINE)
                while got.payload != b"done":
                    got = client.recv(DEADLINE)

    def test_while_sending_is_held_back_no_answer_is_missed(self):
        read = threading.Event()

        def relay(connection):
            connection.expect(HELLO)
            connection.send(control(WELCOME.replace(b"100", b"100000000")))
            read.wait(DEADLINE)
            connection.expect(frame(b"b", bytes(64 << 20)))
            connection.expect_end()

        with FakeRelay(relay) as fake:
            with SessionClient(fake.host, fake.port, "me", keepalive=None, pong_timeout=0.1) as client:
                sending = threading.Thread(target=client.send, args=("b", bytes(64 << 20)))
                sending.start()
                eventually(lambda: client._is_writing)
                client._asked = time.monotonic()
                client._check(client._dead_at())
                read.set()
                sending.join()
                with self.assertRaises(Disconnected):
                    client._check(client._dead_at())
                client._asked = None


if __name__ == "__main__":
    unittest.main()
