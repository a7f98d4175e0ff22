"""Opens the default collection at start, with the model that its pictures were indexed with."""

import logging
from contextlib import suppress
from dataclasses import replace

from app.catalog import collections
from app.command_names import typed
from app.database.connections import Sessions
from app.database.tables import Collection, VectorIndex
from app.encoders.model_pool import ModelName, ModelPool
from app.encoders.resident_model import ResidentModel
from app.errors import (
    CalibrationLost,
    CollectionNotFound,
    IndexGone,
    ModelMismatch,
    ModelUnavailable,
)
from app.index import vector_indexes
from app.runtime import models
from app.runtime.precision_choice import PrecisionChoice
from app.settings import Settings

log = logging.getLogger(__name__)


Opened = tuple[Collection, VectorIndex, ResidentModel]
"""The default collection with its active index and a model."""


def open_default(
    settings: Settings,
    sessions: Sessions,
    model_pool: ModelPool,
    precision: PrecisionChoice,
    *,
    to_reindex: bool,
) -> Opened:
    """The default collection with its active index and its model, as `_open` chooses it.

    Where the calibrated model of an index in int8 is lost, `to_reindex` opens the same weights in
    floating point: they cannot search that index, but may take its place. Raises as `_open`.
    """
    try:
        return _open(settings, sessions, model_pool, precision)
    except CalibrationLost:
        if not to_reindex:
            raise
    with sessions.begin() as session:
        default = collections.default(session)
        index = vector_indexes.active_index(session, default.id)
    return default, index, model_pool.of(replace(ModelName.of(index.space), precision="float"))


def _open(
    settings: Settings, sessions: Sessions, model_pool: ModelPool, precision: PrecisionChoice
) -> Opened:
    """The default collection with its active index and the model of that.

    It is the settings' model, or where pictures were indexed with another one, that one, if it can
    be had: then `make reindex` changes to the settings'. Where the settings name none, a database
    that has one keeps it. Raises ModelMismatch, ModelUnavailable, CalibrationLost.
    """
    try:
        with precision.made(_wanted(settings, sessions)) as name:
            encoder = model_pool.of(name)
            space = encoder.space
            with sessions.begin() as session:
                default = collections.default(session)
                return default, vector_indexes.open_index(session, default.id, space), encoder
    except ModelMismatch:
        with sessions.begin() as session:
            default = collections.default(session)
            index = vector_indexes.active_index(session, default.id)
        former = _former(settings, model_pool, index)
        if former is None:
            raise
    log.warning(
        "The default collection was indexed with %s and is served with that, not with %s. "
        "`%s` changes it to the latter.",
        index.space.name, space.name, typed("reindex"),
    )  # fmt: skip
    return default, index, former


def _wanted(settings: Settings, sessions: Sessions) -> ModelName:
    """The model that is tried first: a database's own is not asked of the hub for nothing."""
    if not models.is_named(settings):
        with sessions.begin() as session, suppress(CollectionNotFound, IndexGone):
            index = vector_indexes.active_index(session, collections.default(session).id)
            if index.model != models.DEMO_MODEL:  # which stays with those who ask for it
                return ModelName(index.model, index.pretrained)
    return models.default_model(settings)


def _former(settings: Settings, model_pool: ModelPool, index: VectorIndex) -> ResidentModel | None:
    """The model of the index, if its weights can be had and are the same.

    The demo model stays with those who ask for it, and asks for no other. Raises CalibrationLost.
    """
    name = ModelName.of(index.space)
    named = [*models.further_models(settings), models.default_model(settings)]
    is_named = any(name.has_weights_of(one) for one in named)
    if not is_named and (settings.testing or index.model == models.DEMO_MODEL):
        return None
    former = model_pool.of(name)
    try:
        return former if former.space.fingerprint == index.fingerprint else None
    except CalibrationLost:
        raise
    except ModelUnavailable:
        return None
