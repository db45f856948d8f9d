"""What is drawn of figures that are known, and where it goes."""

import tempfile
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

from harness.errors import BenchmarkError
from harness.performance import replaced, write_plots
from harness.plots import LINEAR, LOGARITHMIC, Panel, Plot, Series, svg, table
from harness.rows import Row, limited

SVG = "{http://www.w3.org/2000/svg}"
PLOT = Plot("Number of things", [1, 10, 100], [
    Panel("Time, ms", LOGARITHMIC, [Series("a & b", [[1, 2, 3], [20, 10, 30], [100]])]),
    Panel("Rate, GB/s", LINEAR, [Series("a", [[4], [4], [8]]), Series("b", [[2], [2], [2]])]),
])


class DrawingTests(unittest.TestCase):
    def lines(self, plot):
        """The points of each line."""
        return [
            [tuple(map(float, point.split(","))) for point in line.get("points").split()]
            for line in xml.fromstring(svg(plot)).iter(f"{SVG}polyline")
        ]

    def test_each_series_is_a_line_with_a_point_for_each_place(self):
        self.assertEqual([len(line) for line in self.lines(PLOT)], [3, 3, 3])

    def test_a_decade_is_as_long_as_any_other(self):
        line = self.lines(PLOT)[0]
        for axis in (0, 1):
            steps = [abs(after[axis] - before[axis]) for before, after in zip(line, line[1:])]
            # 2, 20 and 100: the last of the vertical steps is shorter, by log(5).
            self.assertAlmostEqual(steps[1] / steps[0], 1 if axis == 0 else 0.69897, places=2)

    def test_a_linear_axis_begins_at_nothing(self):
        rates, others = self.lines(PLOT)[1:]
        bottom = 44 + 220
        self.assertAlmostEqual((bottom - rates[2][1]) / (bottom - rates[0][1]), 2, places=2)
        self.assertAlmostEqual((bottom - rates[0][1]) / (bottom - others[0][1]), 2, places=2)

    def test_more_is_higher(self):
        line = self.lines(PLOT)[0]
        self.assertGreater(line[0][1], line[1][1])
        self.assertGreater(line[1][1], line[2][1])

    def test_numbers_that_would_lie_upon_each_other_are_left_out(self):
        plot = Plot("Number of things", [1, 500, 1000, 2000], [Panel("a", LINEAR, [Series("a", [[1]] * 4)])])
        texts = [text.text for text in xml.fromstring(svg(plot)).iter(f"{SVG}text")]
        self.assertEqual([text for text in texts if text in ("1", "500", "1,000", "2,000")][-3:], ["1", "500", "2,000"])

    def test_titles_are_told_whatever_is_in_them(self):
        texts = [text.text for text in xml.fromstring(svg(PLOT)).iter(f"{SVG}text")]
        for title in ("a & b", "Time, ms", "Number of things"):
            self.assertIn(title, texts)


class TableTests(unittest.TestCase):
    def test_medians_and_what_they_are_between(self):
        lines = table(PLOT).splitlines()
        self.assertEqual(lines[0], "| Number of things | Time, ms: a & b | Rate, GB/s: a | Rate, GB/s: b |")
        self.assertEqual(lines[3], "| 10 | 20 (10–30) | 4 | 2 |")
        self.assertEqual(lines[4], "| 100 | 100 | 8 | 2 |")


class PageTests(unittest.TestCase):
    PAGE = "Before.\n<!-- one -->\nold\n<!-- end of one -->\nBetween.\n<!-- two -->\n<!-- end of two -->\nAfter.\n"

    def test_only_what_is_between_the_marks_changes(self):
        self.assertEqual(replaced(self.PAGE, "one", r"new \1"), self.PAGE.replace("old", r"new \1"))
        self.assertIn("<!-- two -->\nmore\n<!-- end of two -->", replaced(self.PAGE, "two", "more"))

    def test_a_page_without_the_marks_is_an_error(self):
        with self.assertRaises(BenchmarkError):
            replaced(self.PAGE, "three", "")

    def test_rows_with_a_plot_are_drawn_and_others_left_alone(self):
        with tempfile.TemporaryDirectory(prefix="sluice-bench-") as directory:
            page = Path(directory) / "performance.md"
            page.write_text(self.PAGE)
            write_plots(Path(directory), "a machine", [limited("one", "", "ms", 1, 2).with_plot(PLOT), Row("two", "")])
            self.assertEqual(sorted(file.name for file in Path(directory).iterdir()), ["performance-one.svg", "performance.md"])
            text = page.read_text()
            self.assertIn("| 100 | 100 | 8 | 2 |", text)
            self.assertIn("a machine", text)
            self.assertNotIn("old", text)


if __name__ == "__main__":
    unittest.main()
