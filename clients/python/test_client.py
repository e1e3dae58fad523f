#!/usr/bin/env python3
"""The interactive client: talk to others by name through a relay, by hand or from a script.

    test_client.py [--framed | --v2] HOST PORT NAME

Connects to the relay at HOST:PORT, registers as NAME, and asks for commands:

    Command > send
    Dest name > device_b
    Data > hello
    Command > recv
    b'hello'

* `recv` shows all that has arrived, as Python shows bytes, and waits if nothing has. Plain version 1 does not tell
  where a message ends: what has arrived is shown as one. With `--framed` (version 1 of a relay that runs with
  `--delivery framed`) and with `--v2` (version 2) each message has a line, with its sender: `device_b: b'hello'`.
* `send` asks for a name and a text and sends the text as UTF-8. With `--v2` it says so when nobody has the name.
* `help` shows the commands. `quit`, `exit` and the end of the input leave. An empty line does nothing; after anything
  else the client says which commands there are.

Ctrl-C gives up a command and returns to `Command > `. There it does nothing on a terminal, and leaves when the input is
a pipe. Prompts and answers are written to standard output, at once, whether or not it is a terminal.

If the relay ends the connection, what had arrived but was not yet shown is shown, and a sentence on standard error says
that it did and why, also while a prompt waits.

Exit codes: 0 left; 1 no connection, or the relay ended it, or the input ended inside a command; 2 wrong usage; 130
left by Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import threading
from typing import List, NoReturn, Union

from relay_client import ErrorReply, FramedClient, Message, RawClient, RelayError, RelayTimeout, SessionClient, TooLarge
from relay_wire import printable

COMMANDS = {
    "recv": "show what has arrived, or wait for it",
    "send": "send a text to a name",
    "help": "show this",
    "quit": "leave, as exit and the end of the input do",
}
# How long `send` waits to hear whether somebody has the name, in seconds.
ANSWER_TIMEOUT = 5.0

Client = Union[RawClient, FramedClient, SessionClient]


def main(words: List[str]) -> int:
    """Runs the client with the arguments `words` and gives its exit code."""
    parser = argument_parser()
    arguments = parser.parse_args(words)
    prepare_streams()
    try:
        client = arguments.kind(arguments.host, arguments.port, os.fsencode(arguments.name))
    except ValueError as error:
        parser.error(str(error))
    except RelayError as error:
        print(error, file=sys.stderr)
        return 1
    return Console(client).run()


def prepare_streams() -> None:
    """Lets nothing that is typed or shown fail for its characters."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        if sys.stdin.isatty():
            sys.stdin.reconfigure(errors="surrogateescape")
        else:
            # What a pipe holds is sent byte for byte; a terminal has an encoding of its own.
            sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="test_client.py", description="Talk to others by name through a relay.", allow_abbrev=False
    )
    parser.set_defaults(kind=RawClient)
    kinds = parser.add_mutually_exclusive_group()
    framed = "version 1 of a relay that runs with --delivery framed: recv shows who sent a message"
    kinds.add_argument("--framed", dest="kind", action="store_const", const=FramedClient, help=framed)
    session = "version 2: recv shows who sent a message, and send says so when nobody has the name"
    kinds.add_argument("--v2", dest="kind", action="store_const", const=SessionClient, help=session)
    parser.add_argument("host", metavar="HOST", help="name or address of the relay")
    parser.add_argument("port", metavar="PORT", type=int, help="its port")
    parser.add_argument("name", metavar="NAME", help="the name to register")
    return parser


class Console:
    """The conversation with whoever types the commands."""

    def __init__(self, client: Client) -> None:
        self._client = client
        # Held by the main thread except while it waits for input: only then may the end of the connection be told by
        # the thread that waits for it. It is never let go for good, so this thread is silent after the last command.
        self._turn = threading.Lock()

    def run(self) -> int:
        """Asks for commands and obeys them until there are no more; gives the exit code."""
        self._turn.acquire()
        threading.Thread(target=self._watch, daemon=True).start()
        code = None
        while code is None:
            try:
                code = self._command()
            except KeyboardInterrupt:
                print()
        self._client.close()
        return code

    def _command(self) -> Union[int, None]:
        """Obeys one command; gives an exit code when it was the last."""
        try:
            command = self._ask("Command > ").strip()
        except EOFError:
            print()
            return 0
        except KeyboardInterrupt:
            print()
            return None if sys.stdin.isatty() else 130
        try:
            if command in ("quit", "exit"):
                return 0
            if command == "recv":
                self._recv()
            elif command == "send":
                self._send(self._ask("Dest name > "), self._ask("Data > "))
            elif command == "help":
                for name, text in COMMANDS.items():
                    print(f"{name}  {text}")
            elif command:
                print(f"There is no command {command!r}; there are {', '.join(COMMANDS)} and exit.")
        except EOFError:
            print("\nThe input ended inside a command; nothing was sent.", file=sys.stderr)
            return 1
        except (ValueError, TooLarge) as error:
            print(f"{error} Nothing was sent.")
        except RelayTimeout as error:
            print(error)
        except RelayError as error:
            if isinstance(error, ErrorReply) and not error.fatal:
                print(error)
            else:
                self._tell_end(error)
                return 1
        return None

    def _ask(self, prompt: str) -> str:
        """The next line of the input, without its end."""
        print(prompt, end="", flush=True)
        self._turn.release()
        try:
            line = sys.stdin.readline() if sys.stdin else ""
        finally:
            self._turn.acquire()
        if not line:
            raise EOFError
        line = line[:-1] if line.endswith("\n") else line
        return line[:-1] if line.endswith("\r") else line

    def _recv(self) -> None:
        self._show(self._client.recv())
        if isinstance(self._client, FramedClient):
            for _ in range(self._client.waiting):
                self._show(self._client.recv(0))

    def _send(self, dest: str, data: str) -> None:
        self._client.send(dest, data.encode("utf-8", "surrogateescape"))
        if isinstance(self._client, SessionClient):
            for name in self._client.sync(ANSWER_TIMEOUT):
                print(f"Nobody has the name {printable(name)!r}; what was sent to it was discarded.")

    def _show(self, arrived: Union[bytes, Message]) -> None:
        if isinstance(arrived, Message):
            print(f"{printable(arrived.sender)}: {arrived.payload!r}", flush=True)
        else:
            print(repr(arrived), flush=True)

    def _watch(self) -> NoReturn:
        """Tells the end of the connection when it comes while a prompt waits."""
        reason = self._client.wait_ended()
        self._turn.acquire()
        try:
            print()
            self._tell_end(reason)
            sys.stdout.flush()
        finally:
            # The main thread is inside a read that nothing else ends on every system.
            os._exit(1)

    def _tell_end(self, reason: Union[RelayError, None]) -> None:
        try:
            while True:
                self._show(self._client.recv(0))
        except RelayError:
            pass  # That was all.
        print(reason, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Nobody reads what is shown any more; without this, Python complains once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
