"""Every error of the domain.

A `StartError` stops a command before it serves. Every other leaf class has an HTTP status in the
table of `app.web.problems.problems`.
"""

from typing import ClassVar


class ImageSearchError(Exception):
    """Base class; the message is a sentence that a person can act on.

    Errors that can be the reason of a job or of one of its files have a `code` for programs.
    """

    code: ClassVar[str | None] = None


class StartError(ImageSearchError):
    """The server cannot start, or a command cannot run."""


class SettingsInvalid(StartError):
    """A setting is unknown or malformed, or contradicts another."""


class ResourceInUse(StartError):
    """The port or the data folder belongs to a running process."""


class DatabaseUnusable(StartError):
    """Postgres cannot be started or reached, or lacks pgvector."""


class ModelUnavailable(StartError):
    """The model's weights are not available; random weights are never used instead.

    The only StartError that a request can meet: a collection's own model is loaded on demand.
    """

    code = "model_unavailable"


class CalibrationLost(ModelUnavailable):
    """Vectors in int8 need a calibrated model that is no longer there."""


class ModelUnknown(ModelUnavailable):
    """No model can be had by this name: there is none, or its folder or a package is missing.

    Where models are loaded it becomes a ModelUnavailable that names the setting.
    """


class ModelMismatch(StartError):
    """The pictures were indexed with another model than the one that starts."""


class BackupFailed(StartError):
    """A backup cannot be made or restored, or is damaged."""


class NothingToBackUp(BackupFailed):
    """The database has never been used."""


class DatasetRejected(StartError):
    """A dataset cannot be written there, or not be imported: it is damaged, or of another model."""


class SourceUnreadable(StartError):
    """A folder to be indexed does not exist or cannot be listed."""

    code = "source_unavailable"


class QueryRejected(ImageSearchError):
    """A search that cannot be answered: an empty text, a text too long, a bad limit."""


class QueryEmpty(QueryRejected):
    """A query without a word."""


class QueryTooSlow(ImageSearchError):
    """A search of a batch that takes the database too long."""


class FilterRejected(ImageSearchError):
    """A filter, order or facet that names an unknown field, or does not fit the field's type."""


class Busy(ImageSearchError):
    """All that the service can do at a time is in progress; the request may be sent again."""


class TokenRejected(ImageSearchError):
    """A signed token that was altered, has expired, or was issued for something else."""


class KeyRejected(ImageSearchError):
    """The API key is missing, unknown, expired or revoked."""


class AddressRejected(ImageSearchError):
    """A signed address that was altered or has expired."""


class RoleRejected(ImageSearchError):
    """The API key's role or namespace does not allow this."""


class KeyNotFound(ImageSearchError):
    """No API key has this id."""


class NewKeyRejected(ImageSearchError):
    """The name, the namespace or the end of a new API key is not allowed."""


class NewKeyOutlives(ImageSearchError):
    """A new API key would be valid longer than the one that makes it."""


class LastAdminKey(ImageSearchError):
    """Without this API key nobody could make or revoke keys of the namespace."""


class TooManyRequests(ImageSearchError):
    """The key or the address has sent too many requests and has to wait `seconds`."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class IdempotencyKeyRejected(ImageSearchError):
    """An idempotency key that is empty, too long, or sent twice."""


class IdempotencyKeyReused(ImageSearchError):
    """The idempotency key was sent with another request."""


class IdempotencyKeyInUse(ImageSearchError):
    """A request with this idempotency key is being answered."""


class FeedbackRejected(ImageSearchError):
    """A rating of a picture that was not shown, or a comment that is too long."""


class GoldenQueryNotFound(ImageSearchError):
    """No golden query of the collection has this id."""


class GoldenQueryRejected(ImageSearchError):
    """A golden query that is no query, or that names pictures the collection does not have."""


class EvaluationNotFound(ImageSearchError):
    """No job of the collection with this id has the result of an evaluation."""


class EvaluationRejected(ImageSearchError):
    """An evaluation that cannot be made: without golden queries, or of too many systems."""


class AnswerOutdated(ImageSearchError):
    """The answer to be rated came from an index that no longer exists."""


class CursorRejected(ImageSearchError):
    """The cursor is not ours, has expired, or belongs to another query."""


class CollectionNotFound(ImageSearchError):
    """No collection has this name."""


class CollectionExists(ImageSearchError):
    """A collection with this name already exists."""


class CollectionRejected(ImageSearchError):
    """A collection whose name, fields, model or index options are not allowed."""


class LabelsRejected(ImageSearchError):
    """Labels that cannot be told apart, too many prompts, or a template without a place."""


class LabelSetNotFound(ImageSearchError):
    """The collection has no label set of this name."""


class StandingSearchNotFound(ImageSearchError):
    """There is no standing search with this id."""


class StandingSearchRejected(ImageSearchError):
    """A standing search of what cannot be kept, or one too many."""


class AnnotatorUnavailable(ImageSearchError):
    """An annotator whose package is not installed."""

    code = "annotator_unavailable"


class GateUnready(ImageSearchError):
    """A label set that is a gate is being changed, so that no picture can be judged by it now."""


class GenerationNotFound(ImageSearchError):
    """The collection has no generation with this id, or none to go back to."""


class GenerationConflict(ImageSearchError):
    """The generation's state does not allow this, or another one is being built."""


class UploadRejected(ImageSearchError):
    """The request around the pictures is wrong: no file, or metadata that is not a JSON object."""


class WebhookRejected(ImageSearchError):
    """A webhook is asked for where none are sent."""


class ImageRejected(ImageSearchError):
    """Base class of the reasons to refuse a picture."""


class ImageUnsupported(ImageRejected):
    """The bytes are not in a supported picture format."""

    code = "image_unsupported"


class ImageCorrupt(ImageRejected):
    """The bytes are damaged, truncated or otherwise unreadable."""

    code = "image_corrupt"


class ImageTooLarge(ImageRejected):
    """Too many bytes or too many pixels."""

    code = "image_too_large"


class ImageTooNarrow(ImageRejected):
    """One side is so much longer than the other that a model sees nothing in it."""

    code = "image_too_narrow"


class ImageVanished(ImageRejected):
    """The file was listed, but was gone when it was to be read."""

    code = "image_vanished"


class SelectionTooLarge(ImageSearchError):
    """More pictures, or more bytes of them, than one request may ask for."""


class GateRefused(ImageRejected):
    """A label set that is a gate refuses the picture for what it shows."""

    code = "gate_refused"


class RangeNotSatisfiable(ImageRejected):
    """The requested bytes lie outside the file, which has `size` bytes; None if that is unknown."""

    def __init__(self, message: str, size: int | None) -> None:
        super().__init__(message)
        self.size = size


class UrlNotAllowed(ImageRejected):
    """The URL leads to an address that is not allowed; the client is not told why."""

    code = "url_not_allowed"


class UrlUnreadable(ImageRejected):
    """The server of the URL answers, but not with a file: trying again will not help."""

    code = "url_unreadable"


class EntryRefused(ImageRejected):
    """An archive entry that is refused because of its name, its kind or its size."""

    code = "archive_entry_refused"


class ExternalIdTaken(ImageSearchError):
    """Another picture of the collection has the external id, or this one has another."""


class ImageChanged(ImageSearchError):
    """The picture is no longer as the client read it."""


class AnnotationInvalid(ImageSearchError):
    """A caption or metadata that is malformed or cannot be stored."""


class ArchiveRejected(ImageSearchError):
    """The file is not an archive, is damaged, or exceeds a limit."""

    code = "archive_invalid"


class SourceUnavailable(ImageSearchError):
    """A disk, a bucket or a server does not answer now; trying again may help."""

    code = "source_unavailable"


class StorageUnwritable(ImageSearchError):
    """A folder of ours cannot be written: its disk is full or read-only. It may be mended soon."""

    code = "storage_unwritable"


class SourceNotAllowed(ImageSearchError):
    """A folder or bucket that the settings do not open to requests."""


class JobNotFound(ImageSearchError):
    """No job has this id."""


class JobConflict(ImageSearchError):
    """The job's state does not allow this, for example cancelling a finished job."""


class ImageNotFound(ImageSearchError):
    """No picture has this id, or its file is gone."""


class PageNotFound(ImageSearchError):
    """The picture has no page or frame of this number."""


class Interrupted(ImageSearchError):
    """The worker stops and gives its work back. Never reaches a request."""


class IndexGone(ImageSearchError):
    """The index that this process serves is no longer the collection's active index."""


OWN_FAULT = "internal_error"  # the code of what `own_fault` says


def own_fault(error: Exception) -> str:
    """The sentence for an error of ours: what a person sees instead of a traceback."""
    return f"An internal error of the program ({type(error).__name__}); its log has the details."
