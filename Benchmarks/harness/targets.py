"""Processes whose memory is copied."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from . import children
from .errors import BenchmarkError


@contextlib.contextmanager
def stopped_target(program, *options):
    """Starts memory-target and stops it when it is filled, so that all see the same; gives its pid."""
    with idle_target(program, *options) as pid:
        os.kill(pid, signal.SIGSTOP)
        while _state(pid) != "T":
            time.sleep(0.001)
        yield pid


@contextlib.contextmanager
def idle_target(program, *options):
    """Starts memory-target, for those that take no stopped process; it does nothing once it is filled. Gives its pid."""
    # setpriv: it should not outlive us even if we are killed without a chance to clean up.
    arguments = ["setpriv", "--pdeathsig", "KILL", "--", str(program), "--random", "--huge-pages", "no"]
    child = subprocess.Popen(
        [*arguments, "--seconds", "86400", *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        line = child.stdout.readline().decode()
        if not line.startswith("ready"):
            raise BenchmarkError(f"memory-target did not get ready: {line.strip() or 'it ended'}")
        yield child.pid
    finally:
        children.end(child)
        child.stdout.close()


@contextlib.contextmanager
def process_tree(program, count, pages):
    """Starts so many processes, one of which is the parent of the others; each of those has so many pages. Gives its pid."""
    arguments = ["setpriv", "--pdeathsig", "KILL", "--", str(program), str(count - 1), str(pages)]
    child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        if child.stdout.readline() != b"ready\n":
            raise BenchmarkError(f"process-tree did not make {count} processes")
        yield child.pid
    finally:
        children.end(child)
        child.stdout.close()


def _state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
