class CoreError(Exception):
    """What was asked for cannot be found out: no core, no such process, a program that is missing."""
