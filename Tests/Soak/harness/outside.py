"""What the kernel tells of a process: nothing here asks the process itself."""

import contextlib
import os
import re
import signal
import time
from pathlib import Path

from .errors import Harm

_GONE = (FileNotFoundError, ProcessLookupError)


def tree(pid):
    """The process and its descendants, parents first. Zombies are left out: they have no memory."""
    pids = []
    _add_tree(pid, pids)
    return pids


def _add_tree(pid, pids):
    if state(pid) in ("Z", "X", None):
        return
    pids.append(pid)
    for thread in threads(pid):
        with contextlib.suppress(*_GONE):
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
                _add_tree(int(child), pids)


def threads(pid):
    """The threads of a process; none if it is gone."""
    with contextlib.suppress(*_GONE):
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    return []


def state(pid, thread=None):
    """One letter, as /proc tells it; None if it is gone."""
    with contextlib.suppress(*_GONE):
        text = Path(f"/proc/{pid}/task/{thread or pid}/stat").read_text()
        return text.rpartition(")")[2].split()[0]
    return None


def expect_stopped(pids):
    """That job control has stopped every thread (T), as SIGSTOP does; an ended thread changes nothing any more."""
    for pid in pids:
        for thread in threads(pid):
            if (now := state(pid, thread)) not in ("T", "Z", "X", None):
                time.sleep(1)
                raise Harm(
                    f"thread {thread} of process {pid} was to be left stopped, and is in state {now}, a second later in "
                    f"state {state(pid, thread)}"
                )


def expect_running(pids):
    """That nobody keeps them stopped."""
    for pid in pids:
        for thread in threads(pid):
            if (now := state(pid, thread)) in ("T", "t"):
                raise Harm(f"thread {thread} of process {pid} is still stopped ({now})")


def resume(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def expect_untouched(pids, own_userfaultfds=0):
    """That nothing is left of a tracker: no mapping of its, no descriptor, no tracer."""
    for pid in pids:
        with contextlib.suppress(*_GONE):
            _expect_no_tracer(pid)
            _expect_no_descriptor(pid, own_userfaultfds)
            _expect_no_mapping(pid)


def _expect_no_tracer(pid):
    for thread in threads(pid):
        status = Path(f"/proc/{pid}/task/{thread}/status").read_text()
        tracer = re.search(r"^TracerPid:\s*(\d+)", status, re.MULTILINE)
        if tracer and tracer[1] != "0":
            raise Harm(f"thread {thread} of process {pid} still has a tracer, {tracer[1]}")


def _expect_no_descriptor(pid, own):
    count = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(*_GONE):
            count += os.readlink(f"/proc/{pid}/fd/{name}") == "anon_inode:[userfaultfd]"
    if count > own:
        raise Harm(f"process {pid} has {count} userfaultfds, {own} of its own")


def _expect_no_mapping(pid):
    mapping = ""
    with open(f"/proc/{pid}/smaps", errors="replace") as smaps:
        for line in smaps:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                mapping = line.strip()
            # uw: registered for write protection; of no target of ours by itself.
            elif line.startswith("VmFlags:") and " uw" in line:
                raise Harm(f"process {pid} still has a write-protected mapping: {mapping}")
