"""Runs one case against the relay at HOST:PORT: `driver.py HOST PORT CASE`. `driver.py --list` prints all cases.

A case is a function of `version_1` or `version_2` named after the promise it keeps; it fails by raising.
"""

import sys

import support
import version_1
import version_2

CASES = {
    name: case
    for module in (version_1, version_2)
    for name, case in vars(module).items()
    if getattr(case, "__module__", None) == module.__name__ and not name.startswith("_")
}

if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print("\n".join(CASES))
    else:
        host, port, name = sys.argv[1:]
        support.relay = (host, int(port))
        CASES[name]()
        print("done")
