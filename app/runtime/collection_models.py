"""Which models collections have and may have: the service's own, and those that settings name."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.database.tables import VectorIndex
from app.encoders.model_pool import ModelName, ModelPool
from app.encoders.resident_model import ResidentModel
from app.errors import CollectionRejected, ModelUnavailable


@dataclass(frozen=True)
class CollectionModels:
    """`own` is the service's model; requests may choose the `permitted` ones besides it."""

    pool: ModelPool
    permitted: Sequence[ModelName]
    own: ResidentModel

    def encoder_of(self, index: VectorIndex) -> ResidentModel:
        """The model of the index. Raises ModelUnavailable if its weights have changed."""
        if index.fingerprint == self.own.space.fingerprint:
            return self.own
        resident = self.pool.of(ModelName.of(index.space))
        if resident.space.fingerprint != index.fingerprint:
            raise ModelUnavailable(
                f"The weights of {index.space.name} are not those that this collection was "
                "indexed with: its vectors cannot be compared with theirs. Put the old weights "
                "back and restart, or make a new collection."
            )
        return resident

    def allowed(self, model: ModelName) -> ResidentModel:
        """A model that collections may have, in any precision. Raises CollectionRejected."""
        own = ModelName.of(self.own.space)
        if not any(model.has_weights_of(one) for one in (*self.permitted, own)):
            raise CollectionRejected(
                f"model: {model.model} {model.pretrained}".rstrip()
                + " is not open to collections: "
                "IMAGE_SEARCH_COLLECTION_MODELS names those that are."
            )
        return self.of(model)

    def of(self, model: ModelName) -> ResidentModel:
        """Any model; this does not load it."""
        is_own = self.pool.resolved(model) == ModelName.of(self.own.space)
        return self.own if is_own else self.pool.of(model)

    def has_model(self, index: VectorIndex, model: ModelName) -> bool:
        """Whether the index was made with that model; this does not load it."""
        resolved = self.pool.resolved
        return resolved(ModelName.of(index.space)) == resolved(model)
