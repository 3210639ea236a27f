"""A polite end: the first Ctrl-C (or SIGTERM) lets the step under way finish, a second one does not."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

# torchrun passes a signal on that the terminal sent to everyone already.
SAME_REQUEST_SECONDS = 1.0


class StopRequest:
    """While entered, `asked` says whether someone wants the work to end; when they ask again, it ends."""

    def __init__(self) -> None:
        self.asked = False
        self._when = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        # Signals are the main thread's; elsewhere whoever started the thread looks after them.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, _signal: int, _frame: FrameType | None) -> None:
        if self.asked and time.monotonic() - self._when > SAME_REQUEST_SECONDS:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked, self._when = True, time.monotonic()
