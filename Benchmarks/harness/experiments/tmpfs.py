"""Random memory onto a tmpfs, against fio there."""

import os

from ..peers import PSYNC, fio_write
from ..ratios import Comparison, at_least, take_turns
from ..rows import compared
from ..setup import GB, settle, size_text
from ..sluice import pre_dump, remove_images
from ..targets import stopped_target


def measure(setup):
    images, file = setup.tmpfs / "images", setup.tmpfs / "file"
    setup.need_memory(2 * setup.size)

    def clean():
        remove_images(images)
        file.unlink(missing_ok=True)
        settle()

    with stopped_target(setup.memory_target, "--size", str(setup.size)) as pid:
        warm(file, setup.size)
        ours, peers = take_turns(
            [lambda: pre_dump(setup, pid, images), lambda: fio_write(file, setup.size, PSYNC)],
            setup.pairs,
            clean,
            setup.progress,
        )
    clean()
    yield compared(
        "tmpfs",
        f"{size_text(setup.size)} onto tmpfs; fio, psync",
        "GB/s",
        Comparison(
            [figures["bytes_written"] / run.wall_seconds / GB for run, figures in ours],
            [setup.size / run.seconds / GB for run in peers],
        ),
        setup.bound("tmpfs", at_least(0.75)),
    )


def warm(file, size):
    """Has the tmpfs take memory and give it back: a virtual machine's memory costs more the first time."""
    with open(file, "wb") as warmed:
        os.posix_fallocate(warmed.fileno(), 0, size + size // 8)
    file.unlink()
