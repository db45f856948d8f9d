"""The independent reader: Tests/Programs/image-compare."""

import re
import subprocess

from .errors import Harm

_LONGEST_COMPARISON = 300


def compare(programs, pid, images, *options):
    """Compares the images with the stopped process: the counts, and all that was said; raises Harm if it cannot."""
    try:
        done = subprocess.run(
            [str(programs.image_compare), "--pid", str(pid), "--images", str(images), *options],
            capture_output=True, text=True, timeout=_LONGEST_COMPARISON, check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Harm(f"image-compare of process {pid} did not end within {_LONGEST_COMPARISON} s") from error
    if done.returncode not in (0, 1):
        raise Harm(f"image-compare of process {pid}: {done.stderr.strip()}")
    counts = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", done.stdout.splitlines()[-1])}
    return done.returncode == 0, counts, done.stdout


def expect_equal(programs, pid, images, *options):
    """That they hold exactly the memory of the process; the number of pages."""
    is_equal, counts, said = compare(programs, pid, images, *options)
    if not is_equal:
        raise Harm(f"the images of process {pid} are not its memory:\n{said}")
    if counts["expected"] == 0 or counts["expected"] != counts["equal"]:
        raise Harm(f"nothing was compared for process {pid}: {said}")
    return counts["expected"]
