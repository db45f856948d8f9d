"""A case as a series of actions: each brings the process into a state, and has a program make or change images."""

from dataclasses import dataclass
from typing import Callable

from .cases import STEPS

_ALL = tuple(str(step) for step in STEPS)


@dataclass(frozen=True)
class Action:
    """`prepare` is done to the process, and `perform` with a program and the directory of all images of the case."""

    name: str
    prepare: Callable
    perform: Callable
    # The directories, in the one of the case, that are as they should be now.
    results: tuple = ()


def actions_of(case, target):
    """What is done one after the other."""
    made = _chain(case, target) if case.way == "chain" else [_rounds(case, target)]
    return made + [_AFTERWARDS[name]() for name in case.then]


def _dump(case, target):
    sync = [] if "--sync" in case.options else ["--no-sync"]
    return ["pre-dump", "-t", str(target.top), "--tracker", case.tracker, *sync, *case.options]


def _stopped_at(target, step):
    def prepare():
        target.write(step)
        target.stop()

    return prepare


def _chain(case, target):
    def performing(step):
        def perform(sluice, images):
            parent = ["--prev-images-dir", f"../{step - 1}"] if step > STEPS[0] else []
            sluice.run([*_dump(case, target), "-D", str(images / str(step)), *parent])

        return perform

    # Parents change when others build on them, so that all are looked at when the last one is made.
    return [
        Action(f"dump {step}", _stopped_at(target, step), performing(step), _ALL if step == STEPS[-1] else ())
        for step in STEPS
    ]


def _rounds(case, target):
    def perform(sluice, images):
        write = target.write if case.way == "rounds" else lambda _: None
        sluice.rounds([*_dump(case, target), "-D", str(images)], len(STEPS), write)

    def prepare():
        target.write(STEPS[0])
        if case.way == "still":
            target.stop()

    return Action("rounds", prepare, perform, _ALL)


def _flatten():
    def perform(sluice, images):
        sluice.run(["flatten", "--no-sync", "-D", str(images / str(STEPS[-1])), "-o", str(images / "flat")])

    return Action("flatten", lambda: None, perform, ("flat",))


def _dedup():
    def perform(sluice, images):
        sluice.run(["dedup", "-D", str(images / str(STEPS[-1]))])

    return Action("dedup", lambda: None, perform, _ALL)


_AFTERWARDS = {"flatten": _flatten, "dedup": _dedup}
