"""What goes wrong."""


class DigestError(Exception):
    """Nothing could be compared: a program fails, or images cannot be read."""


class Skipped(Exception):
    """This machine cannot do it."""
