"""One cycle: a subject is started, copied in rounds, compared while it is left stopped, and asked how it is."""

import contextlib
import random
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from . import comparison, outside, rounds, surroundings
from .errors import Harm
from .lateness import Lateness

# A sleep that begins anew after it was interrupted is late by up to its length, four seconds; others are late by this, and
# by what the machine makes of it.
_LATEST_US = 2_000_000


@dataclass
class Programs:
    """What is run."""

    sluice: Path
    sluice_options: list
    trial_target: Path
    memory_target: Path
    image_compare: Path
    images: Path
    java_source: Path
    round_count: int
    # Without a tracker that never stops, rounds may.
    may_stop: bool


@dataclass
class Outcome:
    pages: int = 0
    tasks: int = 0
    gave_up: bool = False
    # Rounds that were made again, because the process executed another program in the middle of one.
    again: int = 0
    stop_us: int = 0
    interrupted: int = 0
    latest_us: int = 0


def run(kind, programs, directory):
    """The whole of it; raises Harm for anything that must not be."""
    merging = surroundings.merging() if kind.is_merged else contextlib.nullcontext()
    with Lateness() as lateness, merging, surroundings.Flapping() if kind.flaps else surroundings.Calm() as around:
        subject = kind.start(programs, directory)
        try:
            around.begin(subject)
            time.sleep(random.random() / 4)
            outcome = Outcome()
            # Rounds alone, now and then: whatever happens to the subject then is not the final stop's doing.
            if random.random() < 0.3:
                _rounds_alone(subject, programs, directory / "alone", lateness)
            _rounds_and_stop(kind, subject, programs, directory, outcome)
            return outcome
        finally:
            # It may be stopped, and so may its children, whom nobody else would end.
            around.rest()
            outside.resume(outside.tree(subject.pid))
            subject.end()


def _rounds_alone(subject, programs, images, lateness):
    before = subject.check()
    done = rounds.run(programs, subject, images, programs.round_count)
    if not programs.may_stop:
        rounds.expect_unstopped(done.reports)
    pids = outside.tree(subject.pid)
    outside.expect_running(pids)
    outside.expect_untouched(pids, subject.own_userfaultfds)
    after = subject.check()
    if not programs.may_stop and after.interrupted != before.interrupted:
        raise Harm(f"{after.interrupted - before.interrupted} system calls ended early (EINTR) in rounds without a stop")
    if after.latest_us > _LATEST_US + lateness.worst_us:
        raise Harm(f"a sleep ended {after.latest_us} us too late, and others {lateness.worst_us} us at worst")
    shutil.rmtree(images)


def _rounds_and_stop(kind, subject, programs, directory, outcome):
    images = directory / "images"
    before = subject.check()
    beside = surroundings.another_run(programs, subject, directory / "other") if kind.has_another_run else None
    # What the other leaves is right before it is looked at.
    with beside or contextlib.nullcontext():
        done = rounds.run(programs, subject, images, programs.round_count, "--final", "--leave-stopped")
    if done.gave_up:
        outcome.gave_up = True
        outside.expect_running(outside.tree(subject.pid))
    else:
        if not programs.may_stop:
            rounds.expect_unstopped(done.reports[:-1])
        outcome.stop_us = done.reports[-1]["frozen_us"]
        outcome.again = sum(report["tries"] - 1 for report in done.reports)
        _compare_all(subject, programs, images, outcome, done.reports[-1]["tasks_skipped"])
    pids = outside.tree(subject.pid)
    outside.expect_untouched(pids, subject.own_userfaultfds)
    outside.resume(pids)
    after = subject.check()
    outcome.interrupted = after.interrupted - before.interrupted
    outcome.latest_us = after.latest_us
    if not programs.may_stop and outcome.interrupted > subject.interruptions_a_stop:
        raise Harm(f"{outcome.interrupted} system calls ended early (EINTR) in rounds with one stop")


def _compare_all(subject, programs, images, outcome, left_out):
    pids = outside.tree(subject.pid)
    if not pids:
        raise Harm("the process is gone")
    outside.expect_stopped(pids)
    last = images / str(programs.round_count)
    left_out = {pid: reason for pid, reason in left_out.items() if int(pid) in pids}
    if len(left_out) != subject.left_out:
        raise Harm(f"{subject.left_out} processes were to be left out, and these were: {left_out}")
    for pid in pids:
        options = []
        if reason := left_out.get(str(pid)):
            owner = re.fullmatch(r"shares the memory of process (\d+)", reason)
            if not owner:
                continue
            # What it sees is in the images of the one that has the memory.
            options = ["--vpid", owner[1]]
        outcome.pages += comparison.expect_equal(programs, pid, last, *options)
        outcome.tasks += 1
    outside.expect_stopped(pids)


@contextlib.contextmanager
def kept_on_harm(directory, keep):
    """A directory that is removed, unless there was harm and it is wanted."""
    directory.mkdir(parents=True)
    try:
        yield directory
    except Harm:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    else:
        shutil.rmtree(directory, ignore_errors=True)
