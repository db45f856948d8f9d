"""That each row can be had without the others."""

import unittest

from harness.experiments import ALL, ROW_NAMES


class ExperimentTests(unittest.TestCase):
    def test_rows_of_many_threads_come_without_those_of_few(self):
        few = [name for name in ROW_NAMES if f"{name}-threads" in ROW_NAMES]
        many = [names for names, _ in ALL if any(name.removesuffix("-threads") in few for name in names if name not in few)]
        self.assertEqual(len(many), 6)
        self.assertTrue(all(len(names) == 1 for names in many))

    def test_no_name_is_given_twice(self):
        self.assertEqual(len(ROW_NAMES), len(set(ROW_NAMES)))


if __name__ == "__main__":
    unittest.main()
