"""What can go wrong, in the words of the domain.

`StartError` and its kinds stop a command before it serves; every other leaf is answered
over HTTP by the table in `app.web.problems`.
"""


class ImageSearchError(Exception):
    """Base of all: its text is a sentence that a person can act on."""


class StartError(ImageSearchError):
    """The program cannot start, or a command cannot run."""


class SettingsInvalid(StartError):
    """A setting is unknown, malformed or contradicts another."""


class ResourceInUse(StartError):
    """The port or the data folder belongs to a running process."""


class DatabaseUnusable(StartError):
    """Postgres cannot be started or reached, or lacks pgvector."""


class ModelUnavailable(StartError):
    """The model's weights cannot be had; random weights are never a substitute.

    The only StartError that a request may meet: a collection's own model is loaded when needed.
    """


class ModelMismatch(StartError):
    """The pictures were indexed with another model than the one being started."""


class SourceUnreadable(StartError):
    """A folder that was to be indexed is absent or cannot be listed."""


class QueryRejected(ImageSearchError):
    """A search request that has no answer: an empty text, one too long, a bad limit."""


class FilterRejected(ImageSearchError):
    """A filter, an order or a facet that names no field, or asks what its type cannot answer."""


class Busy(ImageSearchError):
    """What takes so much that one at a time may ask for it is under way."""


class TokenRejected(ImageSearchError):
    """A signed token that was altered, has expired, or is meant for something else."""


class KeyRejected(ImageSearchError):
    """No API key where one is needed, or one that is unknown, expired or revoked."""


class RoleRejected(ImageSearchError):
    """The API key may not do this: its role or its namespace does not reach so far."""


class TooManyRequests(ImageSearchError):
    """The key or the address has asked so often that it is to wait `seconds`."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class FeedbackRejected(ImageSearchError):
    """A judgement that cannot be: of a picture that was not shown, or a comment out of bounds."""


class AnswerOutdated(ImageSearchError):
    """The answer that is judged came from an index that is no longer there."""


class CursorRejected(ImageSearchError):
    """The cursor is none of ours, has expired, or belongs to another query."""


class CollectionNotFound(ImageSearchError):
    """No collection has this name."""


class CollectionExists(ImageSearchError):
    """A collection of this name is there already."""


class CollectionRejected(ImageSearchError):
    """A collection that cannot be: a name, a field, a model or an index out of bounds."""


class UploadRejected(ImageSearchError):
    """The request around the pictures is wrong: no file, metadata that is no JSON object."""


class ImageRejected(ImageSearchError):
    """Base of the reasons for which a picture is refused."""


class ImageUnsupported(ImageRejected):
    """The bytes are not in a picture format that is accepted."""


class ImageCorrupt(ImageRejected):
    """The bytes are damaged, truncated or otherwise unreadable."""


class ImageTooLarge(ImageRejected):
    """Too many bytes or too many pixels."""


class ImageTooNarrow(ImageRejected):
    """One side is so much longer than the other that no model sees anything in it."""


class ImageVanished(ImageRejected):
    """The file was listed, but is gone now that it is to be read."""


class UrlNotAllowed(ImageRejected):
    """The URL leads where the server must not go; why is not told to who asked."""


class UrlUnreadable(ImageRejected):
    """The server behind the URL answers, but not with a file: asking again will not help."""


class EntryRefused(ImageRejected):
    """An entry of an archive that is not taken: its name, its kind or its size."""


class AnnotationInvalid(ImageSearchError):
    """A caption or metadata that is malformed or cannot be stored."""


class ArchiveRejected(ImageSearchError):
    """The archive is none, is damaged, or goes over a bound."""


class SourceUnavailable(ImageSearchError):
    """A disk, a bucket or a server does not answer now: trying again may help."""


class SourceNotAllowed(ImageSearchError):
    """A folder or bucket that the settings do not open to requests."""


class JobNotFound(ImageSearchError):
    """No job has this id."""


class JobConflict(ImageSearchError):
    """The job's state does not allow what was asked: cancelling what has ended, say."""


class ImageNotFound(ImageSearchError):
    """No picture has this id, or its file is gone."""


class Interrupted(ImageSearchError):
    """The worker stops: what it had begun is given back. Never reaches a request."""


class IndexGone(ImageSearchError):
    """The index that this process serves is no longer the collection's active one."""


def own_fault(error: Exception) -> str:
    """What a person is told of an error that is not theirs."""
    return f"An error of the program's own ({type(error).__name__}); its log has the details."
