"""What a small budget costs."""

from ..ratios import Comparison, at_least, take_turns
from ..rows import compared
from ..setup import GB, settle
from ..sluice import pre_dump, remove_images
from ..targets import stopped_target


def measure(setup):
    images = setup.disk / "images"

    def clean():
        remove_images(images)
        settle()

    with stopped_target(setup.memory_target, "--size", str(setup.size)) as pid:
        small, large = take_turns(
            [
                lambda: pre_dump(setup, pid, images, "--memory-budget", "4M"),
                lambda: pre_dump(setup, pid, images, "--memory-budget", "64M"),
            ],
            setup.pairs,
            clean,
            setup.progress,
        )
    clean()
    yield compared(
        "budget",
        f"budget of 4M onto {setup.disk_kind}; 64M",
        "GB/s",
        Comparison(_rates(small), _rates(large)),
        setup.bound("budget", at_least(0.90)),
    )


def _rates(side):
    return [figures["bytes_written"] / run.wall_seconds / GB for run, figures in side]
