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


# For programs of others to get ready.
_LONGEST_START = 30
_REDIS_KEYS = 50_000


@contextlib.contextmanager
def redis(directory):
    """Starts a redis-server with some memory, and a client that keeps writing to it; gives the server's pid."""
    socket = Path(directory) / "redis.sock"
    with contextlib.ExitStack() as stack:

        def start(*arguments):
            child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(children.end, child)
            return child

        server = start("redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(directory))
        ready = time.monotonic() + _LONGEST_START
        while not socket.exists():
            if server.poll() is not None or time.monotonic() > ready:
                raise BenchmarkError("redis-server does not start: is it installed, with redis-benchmark?")
            time.sleep(0.01)
        load = ["redis-benchmark", "-s", str(socket), "-q", "-t", "set", "-r", str(_REDIS_KEYS), "-d", "2000"]
        children.run(*load, "-n", str(4 * _REDIS_KEYS), "-P", "16")
        start(*load, "-c", "1", "-l")
        yield server.pid


@contextlib.contextmanager
def java(source):
    """Starts a Java virtual machine whose program fills and drops memory all the while; gives its pid."""
    child = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", "java", "-Xmx192m", "-Xms64m", str(source)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        line = child.stdout.readline().decode().strip()
        if line != "ready":
            raise BenchmarkError(f"java does not get ready: {line or 'it ended'}")
        yield child.pid
    finally:
        children.end(child)
        child.stdin.close()
        child.stdout.close()


def _state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
