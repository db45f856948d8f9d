"""Programs that are run, and timed from their start to their end."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass

from .errors import BenchmarkError


@dataclass
class Finished:
    """A program that has ended well."""

    wall_seconds: float
    # User and system time of all its threads, those that the kernel runs for its io_uring included.
    cpu_seconds: float
    output: str

    @property
    def json(self):
        return json.loads(self.output)


def run(*arguments, watch=None):
    """Runs a program to its end, and kills it if we are ended; `watch` is given its pid as soon as it runs."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        try:
            if watch:
                watch(child.pid)
            _, status, usage = os.wait4(child.pid, 0)
            ended = time.monotonic()
            child.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if child.returncode is None:
                end(child)
        if child.returncode != 0:
            raise BenchmarkError(f"{arguments[0]} failed ({child.returncode}): {_last_line(errors)}")
        output.seek(0)
        text = output.read().decode()
    return Finished(ended - began, usage.ru_utime + usage.ru_stime, text)


def end(child):
    """Kills a program that we started, and waits until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGKILL)
    child.wait()


def end_on_signals():
    """Makes the usual signals leave by way of every `finally`, with the shell's exit code for them."""

    def leave(number, _):
        # Once: what comes next must not interrupt the cleaning up.
        for other in signals:
            signal.signal(other, signal.SIG_IGN)
        raise SystemExit(128 + number)

    signals = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    for number in signals:
        signal.signal(number, leave)


def _last_line(file):
    file.seek(0)
    lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it did not say why"
