"""Drawings of how figures grow: SVG, and the same figures as a table of Markdown."""

import math
import statistics
from dataclasses import dataclass
from xml.sax.saxutils import escape

LINEAR, LOGARITHMIC = "linear", "logarithmic"

_COLOURS = ("#2166ac", "#b2182b", "#4d9221")
_WIDTH, _HEIGHT = 320, 220
_LEFT, _TOP, _GAP = 62, 44, 92
_BELOW, _LINE = 52, 18
# How wide a digit is, and the room between two numbers that are written beside each other, in pixels.
_DIGIT, _ROOM = 7, 6


@dataclass
class Series:
    """A line: for each place on the horizontal axis the figures of some runs."""

    title: str
    runs: list

    @property
    def medians(self):
        return [statistics.median(runs) for runs in self.runs]


@dataclass
class Panel:
    """One diagram."""

    title: str
    scale: str
    series: list


@dataclass
class Plot:
    """Diagrams beside each other, over the same places of a horizontal axis that is logarithmic."""

    x_title: str
    x_values: list
    panels: list

    @property
    def figures(self):
        """For JSON."""
        return {
            "x_title": self.x_title,
            "x": self.x_values,
            "panels": {panel.title: {line.title: line.runs for line in panel.series} for panel in self.panels},
        }


def number(value):
    """Three digits, of which none is behind the point where it says nothing."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(plot):
    """The medians of all lines, with the least and the most where there are several runs."""
    lines = [(f"{panel.title}: {line.title}", line) for panel in plot.panels for line in panel.series]
    rows = [[plot.x_title, *(title for title, _ in lines)], ["---:"] * (len(lines) + 1)]
    for at, x in enumerate(plot.x_values):
        rows.append([number(x), *(_cell(line.runs[at]) for _, line in lines)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(runs):
    middle = number(statistics.median(runs))
    return middle if len(runs) == 1 else f"{middle} ({number(min(runs))}–{number(max(runs))})"


def svg(plot):
    """The drawing: lines through the medians, and upright ones from the least run to the most."""
    width = _LEFT + len(plot.panels) * (_WIDTH + _GAP) - _GAP + 24
    height = _TOP + _HEIGHT + _BELOW + _LINE * max(len(panel.series) for panel in plot.panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for at, panel in enumerate(plot.panels):
        parts += _panel(plot, panel, _LEFT + at * (_WIDTH + _GAP))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(plot, panel, left):
    x_of = _x_axis(plot.x_values, left)
    values = [value for line in panel.series for runs in line.runs for value in runs]
    y_of, ticks = _y_axis(values, panel.scale)
    parts = [_text(left, _TOP - 26, panel.title, anchor="start", weight="bold")]
    for tick in ticks:
        parts.append(f'<path d="M{left} {y_of(tick):.1f}h{_WIDTH}" stroke="#ddd"/>')
        parts.append(_text(left - 6, y_of(tick) + 4, number(tick), anchor="end"))
    bottom = _TOP + _HEIGHT
    end = -math.inf
    for x in plot.x_values:
        parts.append(f'<path d="M{x_of(x):.1f} {bottom}v4" stroke="#888"/>')
        half = len(number(x)) * _DIGIT / 2
        if x_of(x) - half >= end + _ROOM:
            parts.append(_text(x_of(x), bottom + 18, number(x)))
            end = x_of(x) + half
    parts.append(_text(left + _WIDTH / 2, bottom + 36, plot.x_title))
    legend = bottom + _BELOW + 4
    for line, colour in zip(panel.series, _COLOURS):
        points = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in zip(plot.x_values, line.medians))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, runs, middle in zip(plot.x_values, line.runs, line.medians):
            parts.append(f'<path d="M{x_of(x):.1f} {y_of(min(runs)):.1f}V{y_of(max(runs)):.1f}" stroke="{colour}"/>')
            parts.append(f'<circle cx="{x_of(x):.1f}" cy="{y_of(middle):.1f}" r="3" fill="{colour}"/>')
        parts.append(f'<path d="M{left} {legend}h20" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(left + 26, legend + 4, line.title, anchor="start"))
        legend += _LINE
    return parts


def _x_axis(values, left):
    low, high = math.log(values[0]), math.log(values[-1])
    return lambda x: left + (math.log(x) - low) / ((high - low) or 1) * _WIDTH


def _y_axis(values, scale):
    """Where a value is, and the values that are written beside the axis."""
    if scale == LOGARITHMIC:
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        high = max(high, low + 1)
        return (
            lambda y: _TOP + _HEIGHT * (high - math.log10(y)) / (high - low),
            [10.0**exponent for exponent in range(low, high + 1)],
        )
    step = _step(max(values))
    count = math.ceil(max(values) / step)
    return lambda y: _TOP + _HEIGHT * (1 - y / (count * step)), [at * step for at in range(count + 1)]


def _step(most):
    """1, 2 or 5 times a power of ten, of which five or so come to the most."""
    power = 10.0 ** math.floor(math.log10(most / 4))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= most / 6)


def _text(x, y, content, anchor="middle", weight="normal"):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(content)}</text>'
    )
