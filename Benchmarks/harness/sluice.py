"""Runs of sluice."""

import shutil

from . import children


def pre_dump(setup, pid, directory, *options, watch=None):
    """Copies the process into the directory, which is left for the caller; gives the run and its figures."""
    finished = children.run(
        str(setup.sluice), "pre-dump", "-t", str(pid), "-D", str(directory), "--json", "--progress", "none",
        *options, watch=watch,
    )
    return finished, finished.json


def remove_images(directory):
    """Removes what `pre_dump` made."""
    shutil.rmtree(directory, ignore_errors=True)
