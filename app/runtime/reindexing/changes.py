"""How another generation differs from the active one, and how its job keeps that."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.database.tables import Regions, Storage, VectorIndex
from app.encoders.model_pool import ModelName
from app.errors import CollectionRejected
from app.index.vector_indexes import Shape
from app.vectors import Arithmetic, VectorSpace

NOTHING_CHANGES = (
    "reindex: nothing would change. Name another model, precision, storage, m, ef_construction or "
    "regions."
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
    regions: Regions | None = None

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

    def regions_beside(self, current: Regions) -> Regions | None:
        """The new generation's own regions; None if they are those of the collection."""
        return None if self.regions == current else self.regions

    def resolved(self, active: VectorIndex) -> "Changes":
        """The same with every property named but for `regions`. Raises CollectionRejected."""
        model, shape = self.model_of(active), self.shape(active)
        return Changes(model, **vars(shape), regions=self.regions)

    def to_json(self) -> dict[str, Any]:
        """As the job of the reindexing keeps them."""
        return {**vars(self), **(vars(self.model) if self.model else {})}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Changes":
        """Read what `to_json` wrote."""
        own = {name: kept[name] for name in ("storage", "m", "ef_construction")}
        own["regions"] = kept.get("regions")  # a job of a former version has none, nor a precision
        return cls(ModelName(kept["model"], kept["pretrained"], kept.get("precision")), **own)


def require_change(
    active: VectorIndex, space: VectorSpace, shape: Shape, own_regions: Regions | None
) -> None:
    """Raises CollectionRejected if a generation like this would be as the active one."""
    is_same = space.fingerprint == active.fingerprint and shape == Changes().shape(active)
    if is_same and own_regions is None:
        raise CollectionRejected(NOTHING_CHANGES)
