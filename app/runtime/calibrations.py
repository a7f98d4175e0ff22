"""Whether a model may be calibrated for int8, and on what.

Another calibration gives other vectors. So where the database has an index in int8, its model is
only ever loaded from MODEL_CACHE_DIR; if it is not there, that is said, and nothing is calibrated.
"""

from dataclasses import replace

from sqlalchemy.orm import Session

from app.command_names import typed
from app.database.connections import Sessions
from app.encoders.model_pool import ModelName
from app.encoders.model_request import RuntimeOptions
from app.errors import CalibrationLost
from app.index import generations, vector_indexes
from app.index.generations import Generation
from app.pictures.decoding import PillowImage
from app.runtime import models
from app.runtime.sample_pictures import sample_pictures
from app.settings import Settings


class Calibrations:
    """Says how models are loaded: with what int8 is calibrated on, unless it must not be.

    `sessions` is set once the database is open; no model in int8 is loaded before.
    `most_seconds` limits calibrations that nobody asked for.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.sessions: Sessions | None = None
        self.most_seconds: float | None = None

    def options(self, name: ModelName) -> RuntimeOptions:
        """How to run the model."""
        return replace(
            models.runtime_options(self._settings),
            samples=lambda count: self._samples(name, count),
            most_seconds=self.most_seconds,
        )

    def _samples(self, name: ModelName, count: int) -> list[PillowImage]:
        """Pictures to calibrate the model on. Raises CalibrationLost."""
        if self.sessions is not None:
            with self.sessions.begin() as session:
                found = generations.of_model(session, name.model, name.pretrained)
                for one in found:
                    if one.index.precision == "int8":
                        raise CalibrationLost(self._lost(one, _way_out(session, one)))
        return sample_pictures(self._settings, count)

    def _lost(self, generation: Generation, way_out: str) -> str:
        index = generation.index
        return (
            f"Generation {index.id} was made with {index.space.name}, and its calibrated model is "
            f"not in IMAGE_SEARCH_MODEL_CACHE_DIR={self._settings.model_cache_dir}. Another "
            "calibration would give other vectors, so none is made. Copy the folder that ends in "
            f"-int8 back there, from a backup or from another machine with the same database; "
            f"or {way_out}."
        )


def _way_out(session: Session, generation: Generation) -> str:
    """What to do without the calibrated model."""
    index = generation.index
    if generation.state != "active":
        return f"delete that generation (DELETE …/generations/{index.id})"
    if vector_indexes.count_vectors(session, index, limit=1) == 0:
        return (
            "start once with IMAGE_SEARCH_PRECISION=fp32: as it is still empty, it becomes one in "
            "floating point"
        )
    return f"have all pictures embedded anew by `{typed('reindex', PRECISION='float')}`"
