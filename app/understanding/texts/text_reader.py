"""Reads texts in pictures, in a process of its own.

The process takes up to 1.2 GB while it reads. It is started with the first picture, replaced after
some hundreds, whatever it may have kept, and ended after a while without work. A picture that kills
it fails alone.
"""

import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing import get_context

import numpy as np
from PIL import Image as Pillow

from app.encoders.held_while_used import HeldWhileUsed
from app.errors import AnnotatorUnavailable, Interrupted
from app.understanding.texts import reading_process
from app.understanding.texts.text_likeness import looks_like_text
from app.understanding.texts.text_lines import TextLine

PACKAGE = "rapidocr"
RECIPE = 1  # bump it when other texts would be read, so that pictures are read again
PICTURES_PER_PROCESS = 300
IDLE_SECONDS = 60.0  # after which the process ends
STOP_SECONDS = 0.2  # between checks whether the worker stops
ATTEMPTS = 2  # at a picture whose process ends: it may have been ended for another reason


def is_installed() -> bool:
    """Whether the extra `ocr` is installed."""
    return find_spec(PACKAGE) is not None  # does not import it


def reader_version() -> str:
    """Of the reader, its models, and what is made of their answers: texts of another are stale.

    Raises AnnotatorUnavailable.
    """
    if not is_installed():
        raise AnnotatorUnavailable(
            "The annotator text needs the package rapidocr: install this project with its extra "
            "`ocr` (pip install 'picture-search[ocr]'), and restart."
        )
    return f"{PACKAGE} {version(PACKAGE)}, recipe {RECIPE}"


class ReaderEnded(Exception):
    """The process that reads texts ended while it read this picture."""


class TextReader:
    """Reads one picture at a time; any thread may call. `stop` interrupts."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._held = HeldWhileUsed(_shut_down)

    def read(self, image: Pillow.Image) -> list[TextLine] | None:
        """The lines of text in an RGB picture; None if it does not look as if there were any.

        Raises ReaderEnded, Interrupted.
        """
        if not looks_like_text(image):
            return None
        pixels = np.asarray(image)
        with self._held.use() as held:
            for _ in range(ATTEMPTS):
                held.value = held.value or _open_process()
                try:
                    return self._result(held.value.submit(reading_process.read, pixels))
                except BrokenProcessPool:
                    held.drop()
        raise ReaderEnded("The process that reads texts ended while it read this picture.")

    def _result(self, future: "Future[list[TextLine]]") -> list[TextLine]:
        while not self._stop.is_set():
            try:
                return future.result(STOP_SECONDS)
            except NotYet:
                if future.done():
                    raise
        raise Interrupted("The worker stops.")

    def close_if_idle(self) -> None:
        """End the process if it has had nothing to do for a while."""
        self._held.drop_if_idle(IDLE_SECONDS)

    def close(self) -> None:
        """End the process, once it has finished its picture."""
        with self._held.use() as held:
            held.drop()


def _open_process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        max_workers=1,
        mp_context=get_context("spawn"),
        initializer=reading_process.begin,
        max_tasks_per_child=PICTURES_PER_PROCESS,
    )


def _shut_down(process: ProcessPoolExecutor) -> None:
    process.shutdown(wait=False, cancel_futures=True)
