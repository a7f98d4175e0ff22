"""PRECISION=auto: which precision the default collection's model is computed in.

An index keeps the precision of its vectors. Where there are none yet, int8 is tried, calibrated on
the user's own pictures, and taken if it keeps the neighbours and is faster. This happens at the
server's start, before the first picture is indexed, once, and only within a limited time.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from app.catalog import collections
from app.database.connections import Sessions
from app.database.locks import alone
from app.database.tables import VectorIndex
from app.encoders import hardware, memory, timing
from app.encoders.model_pool import ModelName, ModelPool
from app.encoders.resident_model import ResidentModel
from app.errors import CollectionNotFound, IndexGone, ModelUnavailable
from app.index import generations, vector_indexes
from app.ingest.jobs import task_queue
from app.runtime.calibrations import Calibrations
from app.runtime.sample_pictures import FEWEST_SAMPLES, own_pictures
from app.settings import Settings

if TYPE_CHECKING:
    from app.encoders.encoder import OpenClipEncoder

MOST_SECONDS = 300.0  # that a start may be delayed by trying int8
WORTH_SECONDS = 0.005  # a model that takes less for a picture has little to gain
GAIN = 0.8  # of the time a picture takes otherwise: for less, vectors stay as exact as they are
LOCK = "int8 trial"
LOOK_SECONDS = 1.0  # between looks whether another server has ended its trial

Timer = Callable[[Sequence["OpenClipEncoder"]], list[float]]
"""The best seconds per picture of each encoder."""

Tell = Callable[[str], None]
"""Shows a line to whoever starts the server."""


@dataclass(frozen=True)
class PrecisionChoice:
    """Chooses at a start. Without `tell`, the start is of a command that must not take minutes."""

    settings: Settings
    sessions: Sessions
    model_pool: ModelPool
    calibrations: Calibrations
    tell: Tell | None
    picture_seconds: Timer = timing.picture_seconds

    @contextmanager
    def made(self, name: ModelName) -> Iterator[ModelName]:
        """The model with its precision; the caller opens the index in this block.

        Another server that starts meanwhile waits, and finds that index. Raises ModelUnavailable.
        """
        if self.settings.precision != "auto":
            yield name
            return
        with ExitStack() as stack:
            chosen = self._kept(name)
            if chosen is None and self._may_try():
                stack.enter_context(_one_at_a_time(self.sessions))
                chosen = self._kept(name) or self._tried(name)
            chosen = chosen or name
            self.model_pool.prefer(chosen)
            yield chosen

    def _kept(self, name: ModelName) -> ModelName | None:
        """The model in the precision that the database has; None if it is free to choose."""
        with self.sessions.begin() as session:
            default = _default_index(session)
            if default is not None and name.has_weights_of(ModelName.of(default.space)):
                if default.precision == "int8":
                    return replace(name, precision="int8")
            elif default is not None and _has_vectors(session, default):
                return name
            found = generations.of_model(session, name.model, name.pretrained)
            others_use_it = any(_has_vectors(session, one.index) for one in found)
            # A server that runs may have opened the empty index, and would lose it.
            return name if others_use_it or task_queue.has_worker(session) else None

    def _may_try(self) -> bool:
        wanted = self.settings
        has_gpu = wanted.device == "auto" and hardware.may_have_gpu()
        on_cpu = wanted.device in {"auto", "cpu"} and not has_gpu and wanted.runtime != "torch"
        able = on_cpu and hardware.has_fast_int8() and find_spec("nncf") is not None
        return able and self.tell is not None and not wanted.testing

    def _tried(self, name: ModelName) -> ModelName:
        """The model in int8 where that pays, else in floating point."""
        plain = replace(name, precision="float")
        quantised = replace(name, precision="int8")
        resident = self.model_pool.of(plain)
        if not self._is_worth_it(resident):
            return plain
        if not self._pays(resident, self.model_pool.of(quantised)):
            self.model_pool.of(quantised).unload()
            return plain
        resident.unload()
        memory.trim()
        return quantised

    def _is_worth_it(self, plain: ResidentModel) -> bool:
        if self.picture_seconds([plain.load()])[0] < WORTH_SECONDS:
            return False
        return len(own_pictures(self.settings, FEWEST_SAMPLES)) == FEWEST_SAMPLES

    def _pays(self, plain: ResidentModel, quantised: ResidentModel) -> bool:
        """Whether int8 is faithful and faster; says what was found."""
        from app.encoders.torch_models import int8

        tell = self.tell or (lambda _line: None)
        tell(
            "Trying int8 on a sample of your pictures, once: this takes up to "
            f"{MOST_SECONDS / 60:.0f} minutes (IMAGE_SEARCH_PRECISION=bf16 does without) …"
        )
        usual = plain.load()
        self.calibrations.most_seconds = MOST_SECONDS
        try:
            found = quantised.load()
        except ModelUnavailable as error:
            tell(f"Pictures are indexed in {usual.precision}, not in int8: {error}")
            return False
        finally:
            self.calibrations.most_seconds = None
        if found.precision != "int8":
            tell(f"Pictures are indexed in {usual.precision}: int8 changes their vectors too much.")
            return False
        seconds, usual_seconds = self.picture_seconds([found, usual])
        is_faster = seconds <= GAIN * usual_seconds
        rates = f"{1 / seconds:.0f} pictures/s, in {usual.precision} {1 / usual_seconds:.0f}"
        if is_faster:
            tell(f"Pictures are indexed in int8: {rates}; {int8.quality_of(found)}.")
        else:
            tell(f"Pictures are indexed in {usual.precision}: int8 gains too little ({rates}).")
        return is_faster


@contextmanager
def _one_at_a_time(sessions: Sessions) -> Iterator[None]:
    """Hold the lock of trials, once no other server of this database holds it."""
    while True:
        with alone(sessions, LOCK) as is_alone:
            if is_alone:
                yield
                return
        time.sleep(LOOK_SECONDS)


def _default_index(session: Session) -> VectorIndex | None:
    with suppress(CollectionNotFound, IndexGone):
        return vector_indexes.active_index(session, collections.default(session).id)
    return None


def _has_vectors(session: Session, index: VectorIndex) -> bool:
    return vector_indexes.count_vectors(session, index, limit=1) > 0
