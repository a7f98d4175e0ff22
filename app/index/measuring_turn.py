"""Whose turn it is to measure recall: each reads all vectors and takes a core, so one at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import Busy, Interrupted

GIVE_WAY_SECONDS = 10.0  # for the step that goes on: one reads all vectors of an index


class MeasuringTurn:
    """Taken by one measurement of a process at a time. Thread-safe.

    A measurement that nobody asked for gives way to one that somebody waits for.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_taken = False
        self._gives_way = False  # whoever has taken it
        self._is_wanted = False  # by one that waits for it

    @contextmanager
    def taken(self, *, gives_way: bool = False) -> Iterator[None]:
        """Have the turn, after GIVE_WAY_SECONDS at most. Raises Busy, mostly at once.

        Who `gives_way` must call `give_way` before each of its steps.
        """
        with self._changed:
            if self._is_taken and self._gives_way and not (gives_way or self._is_wanted):
                self._wait()
            if self._is_taken or self._is_wanted:
                raise Busy("Recall is being measured already; try again when that has ended.")
            self._is_taken, self._gives_way = True, gives_way
        try:
            yield
        finally:
            with self._changed:
                self._is_taken = False
                self._changed.notify_all()

    def _wait(self) -> None:
        """Until it is given way. Raises Busy."""
        self._is_wanted = True
        try:
            if not self._changed.wait_for(lambda: not self._is_taken, GIVE_WAY_SECONDS):
                raise Busy(
                    "The service is tuning a graph by itself, and stops that for you at its next "
                    "step; try again in a few seconds."
                )
        finally:
            self._is_wanted = False

    def give_way(self) -> None:
        """Raises Interrupted if somebody waits for the turn, which whoever calls this has."""
        if self._is_wanted:
            raise Interrupted("Somebody asks for recall to be measured.")
