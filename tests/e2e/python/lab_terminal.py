"""Runs a program on a pseudo-terminal: standard input is typed there, and what is shown there goes to standard output.

Usage: lab_terminal.py PROGRAM [ARGUMENT...]. The exit code is the program's.
"""

import os
import pty
import select
import sys


def main():
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm"
        os.execvp(sys.argv[1], sys.argv[1:])
    sources = [terminal, sys.stdin.fileno()]
    while True:
        ready = select.select(sources, [], [])[0]
        if terminal in ready:
            try:
                shown = os.read(terminal, 65536)
            except OSError:
                # Linux reports the end of a terminal as an error.
                shown = b""
            if not shown:
                break
            os.write(sys.stdout.fileno(), shown)
        elif typed := os.read(sys.stdin.fileno(), 65536):
            os.write(terminal, typed)
        else:
            sources.remove(sys.stdin.fileno())
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()
