"""What can go wrong, said in one line."""


class BenchmarkError(Exception):
    """Something cannot be measured here; the text says what and why."""
