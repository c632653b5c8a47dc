"""The children of a night while they work: each has a thread that waits for it, and what came of it is an event.

Events are taken one after the other in the thread of whoever calls, and so are the signals that are to end the night.
"""

import contextlib
import math
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from harness.nightly.night.book import ENDING_S
from harness.nightly.night.hands import Begun, Endable

Came = TypeVar("Came")
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Crew:
    """Those who are at work now."""

    def __init__(self, ending_s: float = ENDING_S) -> None:
        """What has not ended so long after it was told to is killed."""
        self._ending_s, self._kill_at = ending_s, math.inf
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()  # a signal handler may put into it
        self._children: dict[int, Endable] = {}
        self._ending = False

    def __len__(self) -> int:
        return len(self._children)

    def start(self, number: int, work: Callable[[Begun], Came], take: Callable[[int, Came | Exception], None]) -> None:
        """Have *work* for job *number* done in a thread; *take* gets what it returns, or raises, in its turn."""

        def begun(process: Endable) -> None:
            self._children[number] = process
            if self._ending:
                process.end(signal.SIGTERM)

        def wait() -> None:
            came: Came | Exception
            try:
                came = work(begun)
            except Exception as error:  # noqa: BLE001 - one job's; the others go on
                came = error
            self._events.put(lambda: self._came(number, came, take))

        self._children[number] = _NotYet()
        threading.Thread(target=wait, name=f"job {number}", daemon=True).start()

    def serve(self, timeout_s: float) -> None:
        """Wait for one event, not longer than *timeout_s*, and do what is to be done about it."""
        with contextlib.suppress(queue.Empty):
            self._events.get(timeout=timeout_s)()
        if time.monotonic() > self._kill_at:
            self._pass_on(signal.SIGKILL)

    def end(self) -> None:
        """Tell all to end: boards go off, records are written. Whoever is about to start does not."""
        self._ending = True
        self._kill_at = time.monotonic() + self._ending_s
        self._pass_on(signal.SIGTERM)

    def _pass_on(self, number: int) -> None:
        for process in list(self._children.values()):
            process.end(number)

    @contextlib.contextmanager
    def signals(self, take: Callable[[str], None]) -> Iterator[None]:
        """Have a signal that is to end the night be an event: *take* gets its name.

        A second one ends us at once, and the children end as ours do.
        """
        seen: list[int] = []

        def put(number: int, _: Any) -> None:
            if seen:
                raise KeyboardInterrupt
            seen.append(number)
            self._events.put(lambda: take(signal.Signals(number).name))

        ours = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, put) for number in ours}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _came(self, number: int, came: Came | Exception, take: Callable[[int, Came | Exception], None]) -> None:
        del self._children[number]
        take(number, came)


class _NotYet:
    """A child of which only the thread has been started."""

    def end(self, number: int) -> None:
        """Leave it: it is asked for the moment it begins."""
