"""Runs of `sluice pre-dump` with rounds, and what its report must say."""

import json
import subprocess
from dataclasses import dataclass

from .errors import Harm, SoakError

_LONGEST_RUN = 300
_EXIT_ENDED = 75  # the process ended, or executed another program, meanwhile
_EXIT_NOT_PERMITTED = 77
# None of the rules by which rounds end early.
_ALL_ROUNDS = ["--until-pages", "0", "--until-skipped", "100", "--max-growth", "1000000000"]


@dataclass
class Rounds:
    """What a run did."""

    reports: list
    gave_up: bool
    said: str


def arguments(programs, pid, directory, rounds, *options):
    """The command line of a run."""
    return [
        str(programs.sluice), "pre-dump", "-t", str(pid), "-D", str(directory), "--rounds", str(rounds), "--json",
        "--progress", "none", *_ALL_ROUNDS, *programs.sluice_options, *options,
    ]


def run(programs, subject, directory, rounds, *options):
    """Makes the rounds into directory/1, directory/2 and so on; raises Harm if it cannot."""
    command = arguments(programs, subject.pid, directory, rounds, *options)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LONGEST_RUN, check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Harm(f"sluice did not end within {_LONGEST_RUN} s") from error
    if done.returncode == _EXIT_ENDED and subject.may_give_up:
        return Rounds([], True, done.stderr.strip())
    if done.returncode == _EXIT_NOT_PERMITTED:
        raise SoakError(done.stderr.strip())
    if done.returncode != 0:
        raise Harm(f"sluice failed with {done.returncode}: {done.stderr.strip()}")
    reports = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if len(reports) != rounds:
        raise Harm(f"sluice reported {len(reports)} rounds instead of {rounds}")
    return Rounds(reports, False, done.stderr.strip())


def expect_unstopped(reports):
    """That no round says it stopped the process."""
    for number, report in enumerate(reports, 1):
        if report["frozen_us"] != 0:
            raise Harm(f"round {number} stopped the process for {report['frozen_us']} us")
