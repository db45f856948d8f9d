"""Runs of Sluice that are killed: whenever that happens, the process that is copied goes on as if nothing had been."""

import contextlib
import ctypes
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from . import outside, rounds
from .cgroups import Cgroup
from .errors import Harm, Skipped

VICTIMS = ("sluice", "guard", "both")
# Longer than Sluice takes to start, inject and make some rounds.
_LATEST_S = 0.06
_LONGEST_WAIT_S = 10
# A last round comes after others.
_LONGEST_AIM_S = {"rounds": 0.3, "final": 5, "frozen": 5}
# Longer than a thread is held for the injection.
_LONGEST_HOLD_S = 0.0004
# Long enough to be killed in any of them; without its guard Sluice goes on to the end, and that is waited for.
_ROUNDS = {"sluice": 50, "both": 50, "guard": 3}
# Each takes some microseconds to look at.
_MOST_WATCHED = 16
_PR_SET_CHILD_SUBREAPER = 36


@dataclass
class Victim:
    """What is killed, and in the middle of what."""

    what: str  # one of VICTIMS; "both" by cgroup.kill of the cgroup that Sluice is in
    mode: str  # "rounds"; "final", a last round that stops by ptrace; "frozen", one that freezes a cgroup
    is_aimed: bool  # while the process is held; else at any moment


class Place:
    """Where the process and Sluice run; what makes all that Sluice starts known to us."""

    def __init__(self):
        # Helpers are nobody's children, and so become ours.
        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")
        self.subject, self.sluice = Cgroup.make("subject"), Cgroup.make("sluice")

    def victims(self, wanted):
        """Those of VICTIMS that can be killed here; raises Skipped where there are none."""
        if wanted in ("sluice", "guard"):
            return [wanted]
        if self.sluice and self.sluice.can_kill:
            return VICTIMS if wanted == "any" else [wanted]
        if wanted == "any":
            print("kill: no cgroup of version 2 with cgroup.kill can be made here: none is killed", flush=True)
            return VICTIMS[:2]
        raise Skipped("no cgroup of version 2 with cgroup.kill can be made here")

    @property
    def modes(self):
        return ["rounds", "final", "frozen"] if self.subject else ["rounds", "final"]

    def take(self, subject):
        """Moves the process into its cgroup, with all that it has started."""
        if self.subject:
            for pid in outside.tree(subject.pid):
                self.subject.add(pid)

    def end(self):
        for cgroup in (self.subject, self.sluice):
            if cgroup:
                cgroup.end()


def kill_once(programs, subject, victim, directory, place):
    """Starts rounds, kills, and looks at the process; what happened, as a word. Raises Harm."""
    before = subject.check()
    options, count = [], _ROUNDS[victim.what]
    if victim.mode != "rounds":
        # Nothing is injected, so that what is held is held for the last round.
        options, count = ["--final", *([] if programs.sluice_options else ["--tracker", "content"])], 2
    if victim.mode == "frozen":
        options += ["--freeze-cgroup", place.subject.path]
    run = subprocess.Popen(
        rounds.arguments(programs, subject.pid, directory, count, *options), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        preexec_fn=place.sluice.enter if victim.what == "both" else None,
    )
    try:
        moment = _wait_for_moment(subject, run, victim, place)
        _strike(run, victim, programs, place)
        if victim.what == "guard":
            _wait_for_end(run)
    finally:
        run.kill()
        run.wait()
    _wait_for_helpers(programs)
    shutil.rmtree(directory, ignore_errors=True)
    _expect_well(subject, before, place, victim.mode)
    return f"{victim.mode} {moment}"


def _wait_for_moment(subject, run, victim, place):
    if not victim.is_aimed:
        time.sleep(random.random() * _LATEST_S * (1 if victim.mode == "rounds" else 5))
        return "ended" if run.poll() is not None else "running"
    end = time.monotonic() + _LONGEST_AIM_S[victim.mode]
    with contextlib.ExitStack() as stack:
        if victim.mode == "frozen":
            files, sign = [stack.enter_context(place.subject.open("cgroup.events"))], b"frozen 1"
        else:
            files, sign = list(_open_states(subject.pid, stack)), b") t "
        while time.monotonic() < end and run.poll() is None:
            # As fast as can be: it is held for a tenth of a millisecond.
            for _ in range(100):
                for file in files:
                    with contextlib.suppress(ProcessLookupError):
                        if sign in os.pread(file.fileno(), 256, 0):
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


def _strike(run, victim, programs, place):
    if victim.what == "sluice":
        run.kill()
    elif victim.what == "both":
        place.sluice.kill()
    else:
        for pid in _helpers(programs):
            if pid != run.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _helpers(programs):
    """Sluice and what it has started, but for what has ended."""
    for thread in outside.threads(os.getpid()):
        for child in Path(f"/proc/self/task/{thread}/children").read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                if os.readlink(f"/proc/{child}/exe") == str(programs.sluice):
                    yield int(child)


def _wait_for_end(run):
    try:
        run.wait(timeout=_LONGEST_WAIT_S * 6)
    except subprocess.TimeoutExpired as error:
        raise Harm("sluice does not end when its guard was killed") from error


def _wait_for_helpers(programs):
    """What the run has left behind has some little to finish, and then ends."""
    end = time.monotonic() + _LONGEST_WAIT_S
    while left := list(_helpers(programs)):
        if time.monotonic() > end:
            raise Harm(f"{_LONGEST_WAIT_S} s after sluice was killed there still are {left}")
        time.sleep(0.001)
    _reap_helpers()


def _reap_helpers():
    """Those that have ended and became ours; other children are waited for by who has started them."""
    for thread in outside.threads(os.getpid()):
        for child in Path(f"/proc/self/task/{thread}/children").read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, ChildProcessError):
                if Path(f"/proc/{child}/comm").read_text().startswith("sluice"):
                    os.waitpid(int(child), os.WNOHANG)


def _expect_well(subject, before, place, mode):
    pids = outside.tree(subject.pid)
    if not pids:
        raise Harm(f"{subject.name}: the process is gone")
    try:
        if place.subject and place.subject.asks_for_freezing:
            raise Harm(f"{subject.name}: its cgroup is still frozen")
        outside.expect_running(pids)
        outside.expect_untouched(pids, subject.own_userfaultfds)
    finally:
        # Whatever was wrong: it must be able to answer.
        if place.subject:
            place.subject.thaw()
        outside.resume(pids)
    after = subject.check()
    early = after.interrupted - before.interrupted
    # The freezer ends calls early, such as epoll_wait, and no tracer is there to have them begun anew (README).
    if early > subject.interruptions_a_stop + (1 if mode == "frozen" else 0):
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
        return sum(
            count for moments in self._moments.values() for moment, count in moments.items() if moment.endswith("held")
            and not moment.endswith("never held")
        )

    def table(self):
        lines = [
            f"{name:16} " + ", ".join(f"{moment} {count}" for moment, count in sorted(moments.items()))
            + (f"  HARMED {self._harms[name]}" if self._harms[name] else "")
            for name, moments in self._moments.items()
        ]
        return "\n".join(lines)
