"""Random memory onto a disk, against the best that fio does there; and the processor time that it takes."""

import statistics

from ..peers import IO_URING_DIRECT, bare_copy, bare_read, fio_write
from ..ratios import Comparison, at_least, at_most, take_turns
from ..rows import compared
from ..setup import GB, GIB, MIB, settle, size_text
from ..sluice import pre_dump, remove_images
from ..targets import stopped_target


def measure(setup):
    images, file = setup.disk / "images", setup.disk / "file"
    size = size_text(setup.size)

    def clean():
        remove_images(images)
        file.unlink(missing_ok=True)
        settle()

    # fio takes most of its processor time to start, whatever it writes then; that is no part of a limit.
    starts = [fio_write(file, MIB, IO_URING_DIRECT) for _ in range(setup.pairs)]
    starting = statistics.median(run.cpu_seconds for run in starts)
    with stopped_target(setup.memory_target, "--size", str(setup.size)) as pid:
        ours, disks, readers, copies = take_turns(
            [
                lambda: pre_dump(setup, pid, images),
                lambda: fio_write(file, setup.size, IO_URING_DIRECT),
                lambda: bare_read(setup, pid, threads=1),
                lambda: bare_copy(setup, pid, file),
            ],
            setup.pairs,
            clean,
            setup.progress,
        )
    clean()
    direct = all(figures["direct_io"] for _, figures in ours)
    kind = setup.disk_kind if direct else f"{setup.disk_kind} (no direct I/O!)"
    yield compared(
        "disk",
        f"{size} onto {kind}; fio, io_uring",
        "GB/s",
        Comparison(
            [figures["bytes_written"] / run.wall_seconds / GB for run, figures in ours],
            [setup.size / run.seconds / GB for run in disks],
        ),
        setup.bound("disk", at_least(0.95)),
    )
    cpu_seconds_per_gib = [run.cpu_seconds / figures["bytes_written"] * GIB for run, figures in ours]
    yield compared(
        "disk-cpu",
        "processor time of that; bare read + fio",
        "s/GiB",
        Comparison(
            cpu_seconds_per_gib,
            [
                (disk.cpu_seconds - starting) / setup.size * GIB + reader.cpu_seconds / reader.bytes * GIB
                for disk, reader in zip(disks, readers)
            ],
        ),
        setup.bound("disk-cpu", at_most(1.25)),
    )
    yield compared(
        "disk-cpu-copy",
        "the same; bare copy, from the buffers that are read into",
        "s/GiB",
        Comparison(cpu_seconds_per_gib, [copy.cpu_seconds / copy.bytes * GIB for copy in copies]),
        setup.bound("disk-cpu-copy", at_most(1.15)),
    )
