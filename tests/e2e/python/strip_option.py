"""Runs a program without one of the options of one command: strip_option.py COMMAND OPTION PROGRAM ARGUMENT..."""

import os
import sys

command, option, program, arguments = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
kept = []
while arguments:
    word = arguments.pop(0)
    if [command] != (kept + [word])[:1]:
        kept.append(word)
    elif word == option:
        # Its value goes with it.
        del arguments[:1]
    elif not word.startswith(option + "="):
        kept.append(word)
os.execv(program, [program] + kept)
