"""Every other page present: the most runs that memory can have."""

from ..ratios import at_least
from ..setup import size_text
from .read import compare


def measure(setup):
    what = f"every other page of {size_text(setup.size)}, 1 reader; bare read"
    yield compare(setup, "alternate", what, at_least(0.90), target_options=("--layout", "alternate"))
