"""Runs a program for which system calls fail, as they do on file systems that do not have them.

Usage: without_calls.py CALLS PROGRAM [ARGUMENT...]. CALLS is `link` (FAT), or `link,renameat2` (FAT through an old FUSE driver).
"""

import ctypes
import errno
import os
import platform
import struct
import sys

# The numbers of the calls, and what a file system without them says.
CALLS = {
    "x86_64": {"link": [86, 265], "renameat2": [316]},
    "aarch64": {"link": [37], "renameat2": [276]},
}[platform.machine()]
ERRORS = {"link": errno.EPERM, "renameat2": errno.EINVAL}

LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
SECCOMP_ERRNO, SECCOMP_ALLOW = 0x50000, 0x7FFF0000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2


def main():
    rules = [(LOAD, 0, 0, 0)]
    for name in sys.argv[1].split(","):
        for number in CALLS[name]:
            rules.append((JUMP_EQUAL, 0, 1, number))
            rules.append((RETURN, 0, 0, SECCOMP_ERRNO | ERRORS[name]))
    rules.append((RETURN, 0, 0, SECCOMP_ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *rule) for rule in rules))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(rules), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in [(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0)]:
        if libc.prctl(*arguments) != 0:
            sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
