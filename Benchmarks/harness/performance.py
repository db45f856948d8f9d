"""The rows of scale in docs/performance.md: a drawing and a table of each, between marks that say where they belong."""

import datetime
import re

from .errors import BenchmarkError
from .plots import svg, table


def write_plots(directory, where, rows):
    """Draws each row that has a plot into DIRECTORY/performance-ROW.svg, and puts its table into DIRECTORY/performance.md.

    What stands between the marks of a row, in lines of their own, is replaced; all else is left to who writes it.
    """
    page = directory / "performance.md"
    text = page.read_text()
    for row in rows:
        if row.plot is not None:
            drawing = directory / f"performance-{row.name}.svg"
            drawing.write_text(svg(row.plot))
            text = replaced(text, row.name, section(row, where, drawing.name))
    page.write_text(text)


def section(row, where, drawing):
    """What stands between the marks."""
    today = datetime.datetime.now(datetime.timezone.utc).date()
    # A ratio to a peer has a spread; what has a limit is given itself.
    figure = f"{row.ratio} (the peer to itself {row.own_spread})" if row.own_spread else row.ours
    return (
        f"![{row.plot.x_title}]({drawing})\n\n{table(row.plot)}\n\n"
        f"`{row.name}`, {row.what}: {figure}; bound {row.bound}: {row.verdict}. {today}, {where}."
    )


def replaced(text, name, content):
    """The text with other content between the marks of that name."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(re.escape(begin) + r"\n.*?" + re.escape(end), re.DOTALL)
    if not pattern.search(text):
        raise BenchmarkError(f"performance.md has no place for {name}: {begin} and {end}")
    return pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text)
