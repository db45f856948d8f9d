"""What the table says of figures that are known."""

import unittest

from harness.ratios import Comparison, Excess, Spread, at_least, at_most, take_turns
from harness.rows import compared, exceeding, limited

STEADY = [10.0] * 7
# Neighbours differ by a tenth, there and back.
UNEVEN = [10.0, 9.0] * 4


class SpreadTests(unittest.TestCase):
    def test_median_and_quartiles(self):
        self.assertEqual(Spread.of([5, 1, 4, 2, 3]), Spread(median=3, low=2, high=4))


class VerdictTests(unittest.TestCase):
    def verdict(self, ratio, bound, peers):
        return Comparison([ratio * peer for peer in peers], peers).verdict(bound)

    def test_a_rate_above_its_bound_is_met(self):
        self.assertEqual(self.verdict(0.91, at_least(0.90), STEADY), "met")

    def test_a_rate_below_its_bound_is_missed(self):
        self.assertEqual(self.verdict(0.89, at_least(0.90), STEADY), "MISSED")

    def test_a_rate_just_below_its_bound_is_met_within_the_spread_of_the_peer(self):
        self.assertEqual(self.verdict(0.85, at_least(0.90), UNEVEN), "met within the spread")
        self.assertEqual(self.verdict(0.80, at_least(0.90), UNEVEN), "MISSED")

    def test_a_cost_above_its_bound_is_missed(self):
        self.assertEqual(self.verdict(1.24, at_most(1.25), STEADY), "met")
        self.assertEqual(self.verdict(1.26, at_most(1.25), STEADY), "MISSED")
        self.assertEqual(self.verdict(1.30, at_most(1.25), UNEVEN), "met within the spread")

    def test_a_peer_that_differs_from_itself_is_called_noisy(self):
        self.assertEqual(self.verdict(1, at_least(0.90), [10.0, 5.0] * 4), "met, noisy")
        self.assertEqual(self.verdict(0.1, at_least(0.90), [10.0, 5.0] * 4), "MISSED, noisy")


class ExcessTests(unittest.TestCase):
    def test_it_is_in_parts_of_what_is_allowed(self):
        excess = Excess([12.0, 11.0, 14.0], [10.0, 10.0, 11.0], allowed=4)
        self.assertEqual(excess.ratio, Spread(median=0.5, low=0.375, high=0.625))
        self.assertEqual(excess.own_spread, Spread(median=0.125, low=0.0625, high=0.1875))

    def test_more_than_allowed_is_missed_whatever_the_peer_does(self):
        self.assertEqual(Excess([11.0] * 7, STEADY, allowed=1).verdict, "met")
        self.assertEqual(Excess([11.1] * 7, STEADY, allowed=1).verdict, "MISSED")
        uneven = [10.0, 12.0] * 4
        self.assertEqual(Excess([peer + 1 for peer in uneven], uneven, allowed=1).verdict, "met, noisy")
        self.assertEqual(Excess([peer + 1.5 for peer in uneven], uneven, allowed=1).verdict, "MISSED, noisy")

    def test_less_than_the_peer_is_met(self):
        self.assertEqual(Excess([1.0] * 7, STEADY, allowed=1).verdict, "met")


class RowTests(unittest.TestCase):
    def test_a_missed_bound_is_seen_as_such(self):
        slow = Comparison([5.0] * 7, STEADY)
        self.assertTrue(compared("read", "", "GB/s", slow, at_least(0.85)).is_missed)
        self.assertFalse(compared("read", "", "GB/s", slow, at_least(0.45)).is_missed)

    def test_a_figure_above_its_limit_is_missed(self):
        self.assertTrue(limited("startup", "", "ms", 15.1, 15).is_missed)
        self.assertFalse(limited("startup", "", "ms", 15, 15).is_missed)

    def test_an_excess_is_shown_in_its_unit_and_missed_above_its_limit(self):
        row = exceeding("stall", "", "ms", Excess([11.5] * 7, STEADY, allowed=1))
        self.assertTrue(row.is_missed)
        self.assertEqual((row.ours, row.peer, row.ratio), ("1.50 ms more", "10.00 ms", "1.50 [1.50 1.50]"))


class TurnTests(unittest.TestCase):
    def test_parties_take_turns_after_a_warm_up(self):
        calls = []

        def party(name):
            return lambda: calls.append(name) or f"{name}{len(calls)}"

        results = take_turns(
            [party("a"), party("b")], 2, before=lambda: calls.append("-"), progress=lambda _: None
        )
        self.assertEqual("".join(calls), "-a-b-a-b-a-b")
        self.assertEqual(results, [["a6", "a10"], ["b8", "b12"]])


if __name__ == "__main__":
    unittest.main()
