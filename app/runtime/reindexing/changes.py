"""How another generation differs from the active one, and how its job keeps that."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.database.tables import Storage, VectorIndex
from app.encoders.model_pool import ModelName
from app.errors import CollectionRejected
from app.index.vector_indexes import Shape
from app.vectors import Arithmetic, VectorSpace

NOTHING_CHANGES = (
    "reindex: nothing would change. Name another model, precision, storage, m or ef_construction."
)


@dataclass(frozen=True)
class Changes:
    """How a new generation differs from the active one; None leaves a property as it is.

    A model that is named has the server's precision unless `precision` gives another.
    """

    model: ModelName | None = None
    storage: Storage | None = None
    m: int | None = None
    ef_construction: int | None = None
    precision: Arithmetic | None = None

    def model_of(self, active: VectorIndex) -> ModelName:
        """The model of the new generation."""
        model = self.model or ModelName.of(active.space)
        return replace(model, precision=self.precision or model.precision)

    def shape(self, active: VectorIndex) -> Shape:
        """The storage and the graph's parameters of the new generation."""
        shape = Shape(
            self.storage or active.storage,
            self.m or active.m,
            self.ef_construction or active.ef_construction,
        )
        if shape.ef_construction < 2 * shape.m:
            raise CollectionRejected("ef_construction: it must be at least 2 m.")
        return shape

    def resolved(self, active: VectorIndex) -> "Changes":
        """The same with every property named. Raises CollectionRejected."""
        return Changes(self.model_of(active), **vars(self.shape(active)))

    def to_json(self) -> dict[str, Any]:
        """As the job of the reindexing keeps them."""
        return {**vars(self), **(vars(self.model) if self.model else {})}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Changes":
        """Read what `to_json` wrote."""
        own = {name: kept[name] for name in ("storage", "m", "ef_construction")}
        precision = kept.get("precision")  # a job of a former version has none
        return cls(ModelName(kept["model"], kept["pretrained"], precision), **own)


def require_change(active: VectorIndex, space: VectorSpace, shape: Shape) -> None:
    """Raises CollectionRejected if a generation like this would be as the active one."""
    if space.fingerprint == active.fingerprint and shape == Changes().shape(active):
        raise CollectionRejected(NOTHING_CHANGES)
