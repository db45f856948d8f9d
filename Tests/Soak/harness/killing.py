"""Runs of Sluice that are killed: whenever that happens, the process that is copied goes on as if nothing had been."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from . import outside, rounds
from .errors import Harm

# Longer than Sluice takes to start, inject and make some rounds.
_LATEST_S = 0.06
_LONGEST_WAIT_S = 10
# Longer than a thread is held for the injection.
_LONGEST_HOLD_S = 0.0004
# Long enough to be killed in any of them; without its guard Sluice goes on to the end, and that is waited for.
_ROUNDS = {"sluice": 50, "guard": 3}
# Each takes some microseconds to look at.
_MOST_WATCHED = 16
# Makes a run and all that it starts known by their environment, whatever sessions they are in.
_MARK = "SLUICE_KILL_TEST"


@dataclass
class Victim:
    """What is killed."""

    what: str  # "sluice" or "guard"
    is_aimed: bool  # while a thread of the process is held; else at any moment


def kill_once(programs, subject, victim, directory):
    """Starts rounds, kills, and looks at the process; what happened, as a word. Raises Harm."""
    before = subject.check()
    mark = uuid.uuid4().hex
    options = [] if random.random() < 0.7 else ["--final"]
    run = subprocess.Popen(
        rounds.arguments(programs, subject.pid, directory, _ROUNDS[victim.what], *options), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, _MARK: mark}, start_new_session=True,
    )
    try:
        moment = _wait_for_moment(subject, run, victim, mark)
        _strike(run, victim, mark)
        if victim.what == "guard":
            _wait_for_end(run)
    finally:
        run.kill()
        run.wait()
    _wait_for_helpers(mark)
    shutil.rmtree(directory, ignore_errors=True)
    _expect_well(subject, before)
    return moment


def _wait_for_moment(subject, run, victim, mark):
    if not victim.is_aimed:
        time.sleep(random.random() * _LATEST_S)
        return "ended" if run.poll() is not None else "running"
    end = time.monotonic() + _LATEST_S * 5
    with contextlib.ExitStack() as stack:
        files = list(_open_states(subject.pid, stack))
        while time.monotonic() < end:
            for file in files:
                with contextlib.suppress(ProcessLookupError):
                    # As fast as can be: it is held for a tenth of a millisecond.
                    if b") t " in os.pread(file.fileno(), 256, 0):
                        _spin(random.random() * _LONGEST_HOLD_S)
                        return "held"
    return "ended" if run.poll() is not None else "never held"


def _open_states(pid, stack):
    for thread in outside.threads(pid)[:_MOST_WATCHED]:
        # It may have ended.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield stack.enter_context(open(f"/proc/{pid}/task/{thread}/stat", "rb", buffering=0))


def _spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def _strike(run, victim, mark):
    if victim.what == "sluice":
        run.kill()
        return
    for pid in _marked(mark):
        if pid != run.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _marked(mark):
    """The run and what it has started."""
    wanted = f"{_MARK}={mark}".encode()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if wanted in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                yield int(name)


def _wait_for_end(run):
    try:
        run.wait(timeout=_LONGEST_WAIT_S * 6)
    except subprocess.TimeoutExpired as error:
        raise Harm("sluice does not end when its guard was killed") from error


def _wait_for_helpers(mark):
    """What the run has left behind has some little to finish, and then ends."""
    end = time.monotonic() + _LONGEST_WAIT_S
    while left := list(_marked(mark)):
        if time.monotonic() > end:
            raise Harm(f"{_LONGEST_WAIT_S} s after sluice was killed there still are {left}")
        time.sleep(0.001)


def _expect_well(subject, before):
    pids = outside.tree(subject.pid)
    if not pids:
        raise Harm(f"{subject.name}: the process is gone")
    try:
        outside.expect_running(pids)
        outside.expect_untouched(pids, subject.own_userfaultfds)
    finally:
        # Whatever was wrong: it must be able to answer.
        outside.resume(pids)
    after = subject.check()
    early = after.interrupted - before.interrupted
    if early > subject.interruptions_a_stop:
        raise Harm(f"{subject.name}: {early} system calls ended early (EINTR)")


class KillTally:
    """At what moments was killed, and what came of it, for each kind of process."""

    def __init__(self):
        self._moments, self._harms = {}, Counter()

    def add(self, kind, moment):
        self._moments.setdefault(kind.name, Counter())[moment] += 1

    def add_harm(self, kind):
        self._moments.setdefault(kind.name, Counter())
        self._harms[kind.name] += 1

    @property
    def harms(self):
        return sum(self._harms.values())

    @property
    def held(self):
        return sum(count["held"] for count in self._moments.values())

    def table(self):
        lines = [
            f"{name:16} " + ", ".join(f"{moment} {count}" for moment, count in sorted(moments.items()))
            + (f"  HARMED {self._harms[name]}" if self._harms[name] else "")
            for name, moments in self._moments.items()
        ]
        return "\n".join(lines)
