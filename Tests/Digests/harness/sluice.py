"""The program under test: its commands, and rounds that wait while the process writes."""

import fcntl
import json
import os
import signal
import subprocess

from .errors import DigestError

# Rounds end only by their number.
_ALL_ROUNDS = ["--until-pages", "0", "--until-skipped", "100", "--max-growth", "1000000"]
_LONGEST_S = 120


class Sluice:
    """One program."""

    def __init__(self, path):
        self.path = path

    def lacks(self):
        """What this kernel cannot do, and why."""
        findings = json.loads(self.run(["check", "--json"]))["findings"]
        return {finding["subject"]: finding["found"] for finding in findings if finding["available"] is False}

    def run(self, arguments):
        command = [str(self.path), *arguments]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LONGEST_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise DigestError(f"{' '.join(command)} comes to no end") from None
        if done.returncode != 0:
            self._fail(arguments, done.returncode, done.stderr.decode(errors="replace"))
        return done.stdout

    def rounds(self, arguments, count, write):
        """Makes so many rounds, and calls `write` with the number of the next one before each but the first.

        The program prints a line of figures after each round. It waits with that, and so with the next round, until there
        is room in the pipe, which holds a single line.
        """
        arguments = [*arguments, "--rounds", str(count), *_ALL_ROUNDS, "--json"]
        lines, room = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
        fcntl.fcntl(room, fcntl.F_SETPIPE_SZ, 4096)
        os.write(room, b"\n")
        child = subprocess.Popen(
            [str(self.path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=room,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(room)
        # Raises an error where something keeps it from coming to an end.
        signal.alarm(_LONGEST_S)
        try:
            messages = ""
            for number in range(1, count + 1):
                while f"sluice: round {number}:" not in messages:
                    line = child.stderr.readline()
                    if not line:
                        self._fail(arguments, child.wait(), messages)
                    messages += line
                if number < count:
                    write(number + 1)
                if not os.read(lines, 65536).endswith(b"\n"):
                    raise DigestError("a line of figures is too long for a pipe, so that rounds do not wait")
            os.read(lines, 65536)
            messages += child.stderr.read()
            if child.wait() != 0:
                self._fail(arguments, child.returncode, messages)
        finally:
            signal.alarm(0)
            child.kill()
            child.wait()
            child.stderr.close()
            os.close(lines)

    def _fail(self, arguments, status, messages):
        raise DigestError(f"{self.path} {' '.join(arguments)} ends with {status}: {messages.strip()[-400:]}")
