"""Runs the program on a terminal of its own: terminal.py CASE HOST PORT PROGRAM... Standard library only."""

import os
import pty
import select
import sys
import termios
import time

# How long any single event may take, in seconds.
DEADLINE = 20 * int(os.environ.get("RELAY_TEST_PATIENCE", "1"))


class Terminal:
    """A program whose three standard streams are a terminal."""

    def __init__(self, *command):
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.execvp(command[0], command)
        self.shown = b""

    def interrupt_until(self, part):
        """Presses Ctrl-C until `part` is shown: nothing shows when the program has begun to wait for it."""
        for _ in range(DEADLINE // 2):
            # A second Ctrl-C would throw away what is typed next, so each is given time.
            self.type(b"\x03")
            deadline = time.monotonic() + 2
            while (left := deadline - time.monotonic()) > 0 and select.select([self.file], [], [], left)[0]:
                self.shown += os.read(self.file, 65536)
                if part in self.shown:
                    self.shown = b""
                    return
        sys.exit(f"Ctrl-C never led to {part!r}, only {self.shown!r}")

    def expect(self, part):
        """Waits until `part` has been shown, and forgets what was shown up to it."""
        deadline = time.monotonic() + DEADLINE
        while part not in self.shown:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.file], [], [], left)[0]:
                sys.exit(f"never showed {part!r}, only {self.shown!r}")
            try:
                self.shown += os.read(self.file, 65536)
            except OSError:
                sys.exit(f"ended before it showed {part!r}: {self.shown!r}")
        self.shown = self.shown.split(part, 1)[1]

    def type(self, keys):
        os.write(self.file, keys)

    def end(self):
        """Reads to the end and gives all that was still shown, and the exit code."""
        try:
            while True:
                piece = os.read(self.file, 65536)
                if not piece:
                    break
                self.shown += piece
        except OSError:
            pass
        return self.shown, os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def editing(program, host, port):
    terminal = Terminal(*program, "connect", host, port, "typist")
    left, up, backspace = b"\x1b[D", b"\x1b[A", b"\x7f"
    terminal.expect(b"Command > ")
    terminal.type(b"senx" + backspace + b"d\r")
    terminal.expect(b"Dest name > ")
    terminal.type(b"b\r")
    terminal.expect(b"Data > ")
    terminal.type(b"helo world" + left * 7 + b"l\r")
    terminal.expect(b"Command > ")
    # The same three lines from the history.
    terminal.type(up * 3 + b"\r")
    terminal.expect(b"Dest name > ")
    terminal.type(up * 3 + b"\r")
    terminal.expect(b"Data > ")
    terminal.type(up * 3 + b"\r")
    terminal.expect(b"Command > ")
    # Ctrl-C ends the waiting, not the program.
    terminal.type(b"recv\r")
    terminal.expect(b"recv")
    terminal.expect(b"\n")
    terminal.interrupt_until(b"Command > ")
    terminal.type(b"quit\r")
    assert terminal.end()[1] == 0


def progress(program, host, port):
    relay = f"{host}:{port}"
    source = __file__ + ".data"
    with open(source, "wb") as file:
        file.truncate(64 << 20)
    try:
        shown, code = Terminal(*program, "send", "--relay", relay, "--transfer", "sink", source).end()
        assert code == 0, (code, shown)
        assert b"%" in shown and b"MiB" in shown, shown
    finally:
        os.remove(source)


def ended(program, host, port):
    terminal = Terminal(*program, "connect", host, port, "typist")
    terminal.expect(b"Command > ")
    raw = termios.tcgetattr(terminal.file)
    assert not raw[3] & termios.ICANON, "the line editor has the terminal"
    terminal.type(b"half a com")
    terminal.expect(b"half a com")
    print("waiting", flush=True)
    terminal.expect(b"ended the connection")
    code = os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1])
    modes = termios.tcgetattr(terminal.file)
    assert code == 1, code
    assert modes[3] & termios.ICANON and modes[3] & termios.ECHO and modes[0] & termios.ICRNL, modes


{"editing": editing, "progress": progress, "ended": ended}[sys.argv[1]](sys.argv[4:], *sys.argv[2:4])
