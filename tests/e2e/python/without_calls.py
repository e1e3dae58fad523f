"""Runs a program for which system calls fail, as they do on file systems and kernels that do not have them.

Usage: without_calls.py CALLS PROGRAM [ARGUMENT...]. CALLS is `link` (FAT), or `link,renameat2` (FAT through an old FUSE driver, which does
not know the flags of that call; without flags it is the only call for renaming that newer processors have), or `splice=ENOSYS` (old
kernels; others have `EPERM` or `EINVAL`), or `splice-of-less=ENOSYS`, which fails unless a whole megabyte is asked for.
"""

import ctypes
import errno
import os
import struct
import sys

# The numbers of the calls by the kernel's own number of the architecture (a system may run programs of two), and what a file system
# without them says.
CALLS = {
    0xC000003E: {"link": [86, 265], "renameat2": [316], "splice": [275], "splice-of-less": [275]},  # x86_64
    0x40000003: {"link": [9, 303], "renameat2": [353], "splice": [313], "splice-of-less": [313]},  # i386
    0xC00000B7: {"link": [37], "renameat2": [276], "splice": [76], "splice-of-less": [76]},  # aarch64
}
ERRORS = {"link": errno.EPERM, "renameat2": errno.EINVAL}

# Where they stand in what a filter is shown.
NUMBER_AT, ARCHITECTURE_AT, FLAGS_AT = 0, 4, 48
# The fifth argument of splice, in its lower half.
LENGTH_AT = 48

LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
SECCOMP_ERRNO, SECCOMP_ALLOW = 0x50000, 0x7FFF0000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2


def main():
    rules = []
    for architecture, calls in CALLS.items():
        failing = [(LOAD, 0, 0, NUMBER_AT)]
        for call in sys.argv[1].split(","):
            name, _, error = call.partition("=")
            for number in calls[name]:
                fails = [(RETURN, 0, 0, SECCOMP_ERRNO | (getattr(errno, error) if error else ERRORS[name]))]
                if name == "splice-of-less":
                    fails = [(LOAD, 0, 0, LENGTH_AT), (JUMP_EQUAL, 1, 0, 1 << 20), *fails, (LOAD, 0, 0, NUMBER_AT)]
                if name == "renameat2":
                    fails = [(LOAD, 0, 0, FLAGS_AT), (JUMP_EQUAL, 1, 0, 0), *fails, (LOAD, 0, 0, NUMBER_AT)]
                failing += [(JUMP_EQUAL, 0, len(fails), number), *fails]
        failing.append((RETURN, 0, 0, SECCOMP_ALLOW))
        rules += [(LOAD, 0, 0, ARCHITECTURE_AT), (JUMP_EQUAL, 0, len(failing), architecture), *failing]
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
