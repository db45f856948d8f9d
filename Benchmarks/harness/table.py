"""The table that is printed at the end."""

_COLUMNS = (
    ("", "name"),
    ("what", "what"),
    ("Sluice", "ours"),
    ("peer", "peer"),
    ("ratio [q1 q3]", "ratio"),
    ("peer to itself", "own_spread"),
    ("bound", "bound"),
    ("", "verdict"),
)


def table(rows):
    """The rows under their titles, in columns as wide as they need to be."""
    lines = [[title for title, _ in _COLUMNS]]
    lines += [[getattr(row, field) for _, field in _COLUMNS] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def matrix(corner, columns, rows):
    """A title line and rows of cells; the first column is set to the left, the others to the right."""
    lines = [[corner, *columns], *rows]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines
    )
