"""How late a machine that is busy with other things lets sleepers be, whoever they are."""

import threading
import time

_PAUSE_S = 0.02


class Lateness:
    """Sleeps again and again until it is left, and takes note of how much later than asked it was woken at worst."""

    def __init__(self):
        self.worst_us = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sleep_on, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()

    def _sleep_on(self):
        while not self._is_over.is_set():
            began = time.monotonic()
            time.sleep(_PAUSE_S)
            self.worst_us = max(self.worst_us, int((time.monotonic() - began - _PAUSE_S) * 1e6))
