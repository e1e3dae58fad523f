"""The interactive client, run as its users run it: prompts, what commands show, and how it ends."""

import contextlib
import io
import os
import socket
import subprocess
import sys
import threading
import unittest
from unittest import mock

import fake_relay
from fake_relay import DEADLINE, HELLO, FakeRelay, control, frame, session
import test_client
from relay_client import Message, RawClient

COMMAND, DEST, DATA = b"Command > ", b"Dest name > ", b"Data > "
SENDING = DEST + DATA


class Program:
    """A running test_client.py."""

    def __init__(self, *arguments):
        script = os.path.join(fake_relay.CLIENTS, "test_client.py")
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", LC_ALL="C", PYTHONUTF8="0")
        environment.pop("PYTHONUNBUFFERED", None)
        pipe = subprocess.PIPE
        command = [sys.executable, script, *(str(argument) for argument in arguments)]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=environment)
        self._watchdog = threading.Timer(DEADLINE, self.process.kill)
        self._watchdog.start()

    def write(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def read(self, wanted):
        """Reads exactly what standard output is to show next."""
        got = piece = self.process.stdout.read(len(wanted))
        while piece and len(got) < len(wanted):
            piece = self.process.stdout.read(len(wanted) - len(got))
            got += piece
        if got != wanted:
            raise AssertionError(f"wanted {wanted!r}, got {got!r}, then {self.end()}")

    def end(self, text=b""):
        """Writes the last of the input; gives the exit code and what is shown from here on."""
        output, errors = self.process.communicate(text)
        self._watchdog.cancel()
        lines = os.linesep.encode()
        return self.process.returncode, output.replace(lines, b"\n"), errors.replace(lines, b"\n").decode()


def talk(text, relay, *options):
    """What the program shows and how it ends when `text` is all its input."""
    with FakeRelay(relay) as fake:
        return Program(*options, fake.host, fake.port, "me").end(text)


def silent(connection):
    connection.expect(b"me|")
    connection.expect_end()


class Commands(unittest.TestCase):
    def test_send_counts_bytes_and_takes_them_as_they_are(self):
        sent = frame(b"b", b"hello") + frame("größe".encode(), "größe €".encode()) + frame(b"b", b"\xff\x00 x \t")
        text = b"send\nb\nhello\nsend\n" + "größe\ngröße €".encode() + b"\n send \nb\n\xff\x00 x \t\nquit\n"
        shown = talk(text, lambda c: (c.expect(b"me|" + sent), c.expect_end()))
        self.assertEqual(shown, (0, (COMMAND + SENDING) * 3 + COMMAND, ""))

    def test_lines_may_end_as_on_windows(self):
        shown = talk(b"send\r\nb\r\nhello\r\nquit\r\n", lambda c: (c.expect(b"me|b|5|hello"), c.expect_end()))
        self.assertEqual(shown, (0, COMMAND + SENDING + COMMAND, ""))

    def test_recv_shows_bytes_as_python_does_and_waits_for_them(self):
        asked = threading.Event()

        def relay(connection):
            connection.expect(b"me|")
            for data in (b"hello", b"\x00'\xff\n"):
                asked.wait(DEADLINE)
                asked.clear()
                connection.send(data)
            connection.expect_end()

        with FakeRelay(relay) as fake:
            program = Program(fake.host, fake.port, "me")
            for shown in (b"b'hello'", b'b"\\x00\'\\xff\\n"'):
                program.read(COMMAND)
                program.write(b"recv\n")
                asked.set()  # Before or after the client waits: both are to work.
                program.read(shown + os.linesep.encode())
            self.assertEqual(program.end(), (0, COMMAND + b"\n", ""))

    def test_framed_recv_shows_senders_that_cannot_steer_the_terminal(self):
        messages = frame(b"b", b"hello") + frame(b"\x1b[2J\xff\n", b"") + frame("größe".encode(), b"x")
        shown = talk(b"recv\n", lambda c: (c.expect(b"me|"), c.send(messages), c.expect_end()), "--framed")
        # The terminal of this test knows only ASCII.
        expected = (b"b: b'hello'", b"\\x1b[2J\\xff\\n: b''", b"gr\\xf6\\xdfe: b'x'")
        self.assertEqual(shown, (0, COMMAND + b"".join(line + b"\n" for line in expected) + COMMAND + b"\n", ""))

    def test_framed_tells_that_a_relay_sends_no_frames(self):
        for sent in (b"hello", b"a|12", b"a|b|c", b"x" * 300):
            relay = lambda c, sent=sent: (c.expect(b"me|"), c.send(sent), c.expect_end())
            code, _, said = talk(b"recv\n", relay, "--framed")
            self.assertEqual(code, 1)
            self.assertIn("--delivery raw", said)

    def test_version_2_tells_what_nobody_received(self):
        def relay(connection):
            connection.expect(frame(b"nobody", b"hi") + b'|10|{"ping":1}')
            connection.send(control(b'{"undeliverable":{"dest":"nobody","count":1}}') + control(b'{"pong":1}'))
            connection.expect(frame(b"b", b"hi") + b'|10|{"ping":2}')
            connection.send(control(b'{"pong":2}') + frame(b"b", b"hey"))
            connection.expect_end()

        shown = talk(b"send\nnobody\nhi\nsend\nb\nhi\nrecv\n", session(relay), "--v2")
        lost = b"Nobody has the name 'nobody'; what was sent to it was discarded.\n"
        self.assertEqual(
            shown, (0, COMMAND + SENDING + lost + COMMAND + SENDING + COMMAND + b"b: b'hey'\n" + COMMAND + b"\n", "")
        )

    def test_version_2_tells_errors_and_goes_on(self):
        def relay(connection):
            connection.expect(frame(b"b", b"hi") + b'|10|{"ping":1}')
            connection.send(control(b'{"error":{"code":"too_large","message":"no"}}') + control(b'{"pong":1}'))
            connection.expect_end()

        shown = talk(b"send\nb\nhi\nsend\nb\n" + b"x" * 101 + b"\nquit\n", session(relay), "--v2")
        told = b"The relay reports too_large: no.\n"
        large = b"The relay takes messages of up to 100 bytes, and this one has 101. Nothing was sent.\n"
        self.assertEqual(shown, (0, COMMAND + SENDING + told + COMMAND + SENDING + large + COMMAND, ""))

    def test_an_unknown_command_says_what_exists(self):
        code, shown, errors = talk(b"receive\n", silent)
        line = b"There is no command 'receive'; there are recv, send, help, quit and exit.\n"
        self.assertEqual((code, shown, errors), (0, COMMAND + line + COMMAND + b"\n", ""))

    def test_help_shows_every_command(self):
        code, shown, errors = talk(b"help\n\nexit\n", silent)
        self.assertEqual((code, errors), (0, ""))
        self.assertTrue(shown.endswith(COMMAND + COMMAND), shown)
        for command in (b"recv ", b"send ", b"help ", b"quit "):
            self.assertIn(b"\n" + command, shown.replace(COMMAND, b"\n", 1))

    def test_a_name_that_is_none_is_told_and_nothing_is_sent(self):
        text = b"send\n\nx\nsend\na|b\nx\nsend\n" + b"n" * 256 + b"\nx\n"
        code, shown, errors = talk(text, silent)
        self.assertEqual((code, errors), (0, ""))
        for part in (b"at least one byte", b"no '|'", b"at most 255 bytes"):
            self.assertIn(part, shown)
        self.assertEqual(shown.count(b". Nothing was sent.\n"), 3)

    def test_input_that_ends_inside_a_command_is_an_error(self):
        for text in (b"send\n", b"send\nb\n"):
            code, _, errors = talk(text, silent)
            self.assertEqual(code, 1)
            self.assertEqual(errors, "\nThe input ended inside a command; nothing was sent.\n")

    def test_the_last_line_needs_no_end(self):
        shown = talk(b"send\nb\nhello", lambda c: (c.expect(b"me|b|5|hello"), c.expect_end()))
        self.assertEqual(shown, (0, COMMAND + SENDING + COMMAND + b"\n", ""))

    def test_output_that_nobody_reads_is_no_crash(self):
        with FakeRelay(lambda c: c.expect(b"me|")) as fake:
            program = Program(fake.host, fake.port, "me")
            program.read(COMMAND)
            program.process.stdout.close()
            program.write(b"help\n" * 10)
            program.process.stdin.close()
            errors = program.process.stderr.read()
            program.process.wait()
            program._watchdog.cancel()
            program.process.stderr.close()
        self.assertNotIn(b"Traceback", errors)


class Ends(unittest.TestCase):
    def test_a_name_that_is_taken_is_told_while_the_prompt_waits(self):
        with FakeRelay(lambda c: c.expect(b"me|")) as fake:
            program = Program(fake.host, fake.port, "me")
            program.process.wait()
            code, shown, errors = program.end()
        self.assertEqual((code, shown), (1, COMMAND + b"\n"))
        self.assertRegex(
            errors, r"^The relay ended the connection right after registration: .* has the name 'me'; .*\.\n$"
        )

    def test_version_2_is_told_before_the_first_prompt(self):
        answer = control(b'{"error":{"code":"name_taken","message":"the name me is taken"}}')
        shown = talk(b"recv\n", lambda c: (c.expect(HELLO), c.send(answer), c.expect_end()), "--v2")
        self.assertEqual(shown, (1, b"", "The relay reports name_taken: the name me is taken.\n"))

    def test_an_end_while_receiving(self):
        for options, registration in (((), b"me|"), (("--framed",), b"me|")):
            code, shown, errors = talk(b"recv\n", lambda c, r=registration: c.expect(r), *options)
            # It may come before the command is read.
            self.assertEqual((code, shown.rstrip()), (1, COMMAND.rstrip()))
            self.assertIn("The relay ended the connection", errors)

    def test_what_had_arrived_is_shown_before_the_end_is_told(self):
        for options, wire, expected in (
            ((), b"unread", b"b'unread'\n"),
            (("--framed",), frame(b"b", b"1") + frame(b"c", b"2") + b"d|5|un", b"b: b'1'\nc: b'2'\n"),
        ):
            with FakeRelay(lambda c, wire=wire: (c.expect(b"me|"), c.send(wire))) as fake:
                program = Program(*options, fake.host, fake.port, "me")
                program.process.wait()
                code, shown, errors = program.end()
            self.assertEqual((code, shown), (1, COMMAND + b"\n" + expected))
            self.assertEqual(errors, "The relay ended the connection; its log says why.\n")

    def test_a_relay_that_stops(self):
        closing = control(b'{"closing":{"reason":"shutdown","retry_ms":1000}}')
        code, _, errors = talk(b"recv\n", session(lambda c: c.send(closing)), "--v2")
        self.assertEqual((code, errors), (1, "The relay stops (shutdown); connect again in 1 s.\n"))

    def test_nobody_there(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            code, shown, errors = Program("127.0.0.1", port, "me").end()
        self.assertEqual((code, shown), (1, b""))
        self.assertEqual(errors, f"127.0.0.1:{port} refused the connection; check that a relay runs there.\n")

    def test_wrong_usage(self):
        for arguments in (
            (),
            ("127.0.0.1",),
            ("127.0.0.1", "1"),
            ("127.0.0.1", "port", "me"),
            ("127.0.0.1", "0", "me"),
            ("127.0.0.1", "65536", "me"),
            ("127.0.0.1", "1", ""),
            ("127.0.0.1", "1", "a|b"),
            ("127.0.0.1", "1", "n" * 256),
            ("127.0.0.1", "1", "me", "more"),
            ("--framed", "--v2", "127.0.0.1", "1", "me"),
            ("--raw", "127.0.0.1", "1", "me"),
        ):
            code, shown, errors = Program(*arguments).end()
            self.assertEqual((code, shown), (2, b""), arguments)
            self.assertRegex(errors, r"^usage: test_client.py ", arguments)

    def test_help(self):
        code, shown, errors = Program("--help").end()
        self.assertEqual((code, errors), (0, ""))
        for word in (b"HOST", b"PORT", b"NAME", b"--framed", b"--v2"):
            self.assertIn(word, shown)


class Interrupted(unittest.TestCase):
    """Ctrl-C, which Python turns into an exception wherever the main thread is."""

    def run_console(self, lines, is_terminal, client):
        given = iter(lines)

        def readline():
            line = next(given, "")
            if line == "^C":
                raise KeyboardInterrupt
            return line

        stdin = mock.Mock(readline=readline, isatty=lambda: is_terminal)
        output = io.StringIO()
        with mock.patch("sys.stdin", stdin), contextlib.redirect_stdout(output):
            return test_client.Console(client).run(), output.getvalue()

    def client(self, *received):
        client = mock.Mock(spec=RawClient)
        client.recv.side_effect = received
        client.wait_ended.side_effect = threading.Event().wait
        return client

    def test_gives_up_waiting_and_returns_to_the_prompt(self):
        for is_terminal in (True, False):
            client = self.client(KeyboardInterrupt, b"hello")
            code, output = self.run_console(["recv\n", "recv\n", "quit\n"], is_terminal, client)
            self.assertEqual((code, output), (0, "Command > \nCommand > b'hello'\nCommand > "))
            client.close.assert_called_once_with()

    def test_gives_up_a_message_that_is_being_typed(self):
        for lines in (["send\n", "^C", "quit\n"], ["send\n", "b\n", "^C", "quit\n"]):
            client = self.client()
            code, output = self.run_console(lines, True, client)
            self.assertEqual(code, 0)
            self.assertTrue(output.endswith(" > \nCommand > "), output)
            client.send.assert_not_called()

    def test_at_the_prompt_a_terminal_stays_and_a_script_ends(self):
        self.assertEqual(self.run_console(["^C", "quit\n"], True, self.client()), (0, "Command > \nCommand > "))
        self.assertEqual(self.run_console(["^C", "quit\n"], False, self.client()), (130, "Command > \n"))

    def test_messages_and_bytes_are_both_shown(self):
        client = self.client(Message("b\x1b", b"x"))
        self.assertEqual(self.run_console(["recv\n"], True, client)[1], "Command > b\\x1b: b'x'\nCommand > \n")


if __name__ == "__main__":
    unittest.main()
