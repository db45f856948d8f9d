"""What can go wrong, said in one line."""


class SoakError(Exception):
    """Something cannot be tried here; the text says what and why."""


class Skipped(Exception):
    """A kind of process that cannot be made here; the text says why."""


class Harm(Exception):
    """Something was found that must not be; the text says what."""


class Late(Harm):
    """Somebody did not answer in time."""
