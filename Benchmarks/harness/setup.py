"""What all measurements have in common: sizes, programs and places."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from .errors import BenchmarkError
from .machine import available_memory

GIB = 1 << 30
MIB = 1 << 20
# Rates are in these, as the disk's maker counts.
GB = 10**9


@dataclass
class Setup:
    sluice: Path
    memory_target: Path
    bare_read: Path
    bare_stop: Path
    bare_copy: Path
    bare_pipe: Path
    bare_wire: Path
    watch_target: Path
    process_tree: Path
    slow_disk: Path
    # The real one, which need not be there.
    criu: Path
    # Directories of our own, which are removed at the end.
    disk: Path
    tmpfs: Path
    disk_kind: str
    # Of the targets that are measured.
    size: int
    pairs: int
    # Of the rounds that are measured.
    tracker: str
    bounds: dict

    def bound(self, name, default):
        """The bound of a row, which --bound may have changed."""
        return self.bounds.get(name, default)

    def progress(self, text):
        print(f"bench: {text}", file=sys.stderr, flush=True)

    def need_memory(self, size):
        if available_memory() < size + GIB:
            raise BenchmarkError(f"{size_text(size)} of memory are needed, and not available")


def settle():
    """Leaves no writing to the next run that the last one began."""
    os.sync()


def size_text(size):
    for unit, shift in (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 1 << shift and size % (1 << shift) == 0:
            return f"{size >> shift} {unit}"
    return f"{size} bytes"
