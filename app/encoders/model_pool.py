"""The models of a process: each created once, with a limit on how many are in memory at a time.

There are two kinds of lock. A ResidentModel holds its own while it loads, and waits for room while
holding it. The room's lock is held only briefly, and never while waiting for a ResidentModel:
`unload` and `is_loaded` take no lock. Waiting for room means waiting for other loads, which
already have theirs.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from app.encoders.batching import Batcher
from app.encoders.resident_model import ResidentModel, UnboundedPool
from app.vectors import Arithmetic, VectorSpace

if TYPE_CHECKING:
    from app.encoders.encoder import OpenClipEncoder


@dataclass(frozen=True)
class ModelName:
    """Identifies a model's weights, by values as for CLIP_MODEL and CLIP_PRETRAINED.

    `precision` is what its pictures are computed in; None: as the server's setting says.
    """

    model: str
    pretrained: str
    precision: Arithmetic | None = None

    @classmethod
    def of(cls, space: VectorSpace) -> "ModelName":
        """The model of these vectors."""
        return cls(space.model, space.pretrained, space.precision)

    def has_weights_of(self, other: "ModelName") -> bool:
        """Whether they are the same but for their precision."""
        return (self.model, self.pretrained) == (other.model, other.pretrained)


class ModelPool:
    """One ResidentModel per name, at most `max_loaded` of them loaded at a time.

    Before one is loaded, the least recently used are unloaded; calls still running on them may
    hold their memory a little longer. `load` creates the encoder for a name; `precision` is that of
    names that have none. Raises ValueError if `max_loaded` is less than 1.
    """

    def __init__(
        self,
        load: Callable[[ModelName], "OpenClipEncoder"],
        batcher: Batcher,
        max_loaded: int,
        precision: Arithmetic = "float",
    ) -> None:
        self._load = load
        self._precision = precision
        self._batcher = batcher
        self._room = _BoundedRoom(max_loaded)
        self._lock = threading.Lock()
        self._made: dict[ModelName, ResidentModel] = {}
        self._preferred: ModelName | None = None

    def of(self, name: ModelName) -> ResidentModel:
        """The ResidentModel for a name, the same one every time; this does not load it."""
        name = self.resolved(name)
        with self._lock:
            if name not in self._made:
                load = partial(self._load, name)
                self._made[name] = ResidentModel(load, self._batcher, self._room)
            return self._made[name]

    def resolved(self, name: ModelName) -> ModelName:
        """The name with its precision."""
        preferred = self._preferred
        if name.precision is None and preferred is not None and name.has_weights_of(preferred):
            return replace(name, precision=preferred.precision)
        return replace(name, precision=name.precision or self._precision)

    def prefer(self, name: ModelName) -> None:
        """From now on, the same weights under a name without precision are meant in this one's."""
        self._preferred = self.resolved(name)


class _BoundedRoom(UnboundedPool):
    """Room for `max_loaded` encoders, including those being loaded."""

    def __init__(self, max_loaded: int) -> None:
        if max_loaded < 1:
            raise ValueError(f"room for {max_loaded} models: at least one must fit")
        self._max_loaded = max_loaded
        self._changed = threading.Condition()
        self._used: OrderedDict[ResidentModel, None] = OrderedDict()  # least recently used first
        self._loading: set[ResidentModel] = set()

    def used(self, resident: ResidentModel) -> None:
        """Mark `resident` as most recently used, and so the last to be unloaded."""
        with self._changed:
            self._used[resident] = None
            self._used.move_to_end(resident)

    @contextmanager
    def taken(self, resident: ResidentModel) -> Iterator[None]:
        """Wait until fewer than `max_loaded` are loading, then unload others to make room."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._loading) < self._max_loaded)
            self._loading.add(resident)
            self._unload_others()
        try:
            yield
        finally:
            with self._changed:
                self._loading.remove(resident)  # by now it counts as loaded, or it failed
                self._changed.notify()

    def _unload_others(self) -> None:
        loaded = [one for one in self._used if one.is_loaded and one not in self._loading]
        spare = len(loaded) + len(self._loading) - self._max_loaded
        for resident in loaded[: max(spare, 0)]:
            resident.unload()
