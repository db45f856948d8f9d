"""Random memory onto a tmpfs, against a bare pair of threads that reads and writes."""

import os
from functools import partial

from ..peers import bare_pipe
from ..ratios import Comparison, at_least, take_turns
from ..rows import compared
from ..setup import GB, settle, size_text
from ..sluice import pre_dump, remove_images
from ..targets import stopped_target


def _measure(setup, name, parts):
    images, file = setup.tmpfs / "images", setup.tmpfs / "file"
    size = setup.size // parts
    setup.need_memory(2 * size)

    def clean():
        remove_images(images)
        file.unlink(missing_ok=True)
        settle()

    with stopped_target(setup.memory_target, "--size", str(size)) as pid:
        warm(file, size)
        ours, peers = take_turns(
            [lambda: pre_dump(setup, pid, images), lambda: bare_pipe(setup, pid, file)],
            setup.pairs,
            clean,
            setup.progress,
        )
    clean()
    yield compared(
        name,
        f"{size_text(size)} onto tmpfs; bare pipe",
        "GB/s",
        Comparison(
            [figures["bytes_written"] / run.wall_seconds / GB for run, figures in ours],
            [run.bytes / run.seconds / GB for run in peers],
        ),
        setup.bound(name, at_least(0.95)),
    )


measure = partial(_measure, name="tmpfs", parts=1)
measure_half = partial(_measure, name="tmpfs-half", parts=2)
measure_quarter = partial(_measure, name="tmpfs-quarter", parts=4)


def warm(file, size):
    """Has the tmpfs take memory and give it back: a virtual machine's memory costs more the first time."""
    with open(file, "wb") as warmed:
        os.posix_fallocate(warmed.fileno(), 0, size + size // 8)
    file.unlink()
