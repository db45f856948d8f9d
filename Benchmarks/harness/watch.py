"""Processes that note how long they wait, and write pages as they are told: peers/watch-target."""

import contextlib
import os
import subprocess
import threading
import time
from pathlib import Path

from . import children
from .errors import BenchmarkError
from .peers import bare_read_running


class WatchTarget:
    """One that runs."""

    def __init__(self, child):
        self._child = child
        self.pid = child.pid

    def tell(self, command):
        """Has it do something, and gives the figures of its answer."""
        self._child.stdin.write(command.encode() + b"\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline().decode()
        if not answer.startswith("ok"):
            raise BenchmarkError(f"watch-target: {command}: {answer.strip() or 'it ended'}")
        return {name: float(value) for name, _, value in (word.partition("=") for word in answer.split()[1:])}

    @property
    def faults(self):
        """How many page faults it has had that needed no disk; each first write to a protected page is one."""
        return int(Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[7])


@contextlib.contextmanager
def watch_target(setup, *options):
    """Starts one of the usual size, and ends it."""
    # setpriv: it should not outlive us even if we are killed without a chance to clean up.
    arguments = ["setpriv", "--pdeathsig", "KILL", "--", str(setup.watch_target), "--size", str(setup.size), *options]
    child = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        line = child.stdout.readline().decode()
        if not line.startswith("ready"):
            raise BenchmarkError(f"watch-target did not get ready: {line.strip() or 'it ended'}")
        yield WatchTarget(child)
    finally:
        children.end(child)
        child.stdin.close()
        child.stdout.close()


@contextlib.contextmanager
def bare_reading(setup, pid):
    """Beside this all memory of the process is read by bare-read, again and again: what any copy costs it."""
    stop = threading.Event()
    failures = []

    def read():
        while not stop.is_set():
            try:
                bare_read_running(setup, pid)
            except BenchmarkError as error:
                failures.append(error)
                return

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]


class HeldThreads:
    """Looks at some threads of a process as often as can be, and counts how many are held at once."""

    _WATCHED = 8

    def __init__(self, pid):
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.looks = self.most_at_once = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _watch(self):
        with contextlib.ExitStack() as stack:
            names = sorted(os.listdir(f"/proc/{self._pid}/task"), key=int)[: self._WATCHED]
            files = [
                stack.enter_context(open(f"/proc/{self._pid}/task/{name}/stat", "rb", buffering=0)) for name in names
            ]
            while not self._stop.is_set():
                held = sum(os.pread(file.fileno(), 256, 0).rpartition(b")")[2][1:2] in b"tT" for file in files)
                self.looks += 1
                self.most_at_once = max(self.most_at_once, held)
                time.sleep(0.0001)
