"""What can go wrong, said in one line."""


class SoakError(Exception):
    """Something cannot be tried here; the text says what and why."""


class Harm(Exception):
    """Something was found that must not be; the text says what."""
