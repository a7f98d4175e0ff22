"""The models of a process: each made once, and only so many in memory at a time.

Two kinds of lock are used. A ResidentModel holds its own while it loads, and waits for room inside
it. The lock of the room is held briefly, and never while waiting for a ResidentModel: `unload` and
`is_loaded` take no lock. A wait for room is a wait for other loads, which have their room already.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from app.encoders.batching import Batcher
from app.encoders.resident import ResidentModel, UnboundedPool

if TYPE_CHECKING:
    from app.encoders.encoder import OpenClipEncoder


@dataclass(frozen=True)
class ModelName:
    """What finds a model's weights: values as of CLIP_MODEL and CLIP_PRETRAINED."""

    model: str
    pretrained: str


class ModelPool:
    """One ResidentModel for each name, of which at most `most` are loaded at a time.

    Before one loads, those used least recently are unloaded; what is under way with them may
    keep their memory a little longer. `load` makes the encoder of a name. Raises ValueError
    where `most` is less than 1.
    """

    def __init__(
        self, load: Callable[[ModelName], "OpenClipEncoder"], batcher: Batcher, most: int
    ) -> None:
        self._load = load
        self._batcher = batcher
        self._room = _BoundedRoom(most)
        self._lock = threading.Lock()
        self._made: dict[ModelName, ResidentModel] = {}

    def of(self, name: ModelName) -> ResidentModel:
        """The ResidentModel of a name, always the same; nothing is loaded yet."""
        with self._lock:
            if name not in self._made:
                load = partial(self._load, name)
                self._made[name] = ResidentModel(load, self._batcher, self._room)
            return self._made[name]


class _BoundedRoom(UnboundedPool):
    """Room for `most` encoders, counting those that are being loaded."""

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"room for {most} models: at least one must fit")
        self._most = most
        self._changed = threading.Condition()
        self._used: OrderedDict[ResidentModel, None] = OrderedDict()  # least recently used first
        self._loading: set[ResidentModel] = set()

    def used(self, resident: ResidentModel) -> None:
        """Make `resident` the last to be unloaded."""
        with self._changed:
            self._used[resident] = None
            self._used.move_to_end(resident)

    @contextmanager
    def taken(self, resident: ResidentModel) -> Iterator[None]:
        """Wait until fewer than `most` are being loaded, then unload others until one more fits."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._loading) < self._most)
            self._loading.add(resident)
            self._unload_others()
        try:
            yield
        finally:
            with self._changed:
                self._loading.remove(resident)  # it counts as loaded now, or has failed
                self._changed.notify()

    def _unload_others(self) -> None:
        loaded = [one for one in self._used if one.is_loaded and one not in self._loading]
        spare = len(loaded) + len(self._loading) - self._most
        for resident in loaded[: max(spare, 0)]:
            resident.unload()
