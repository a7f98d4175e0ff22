"""A typed client of picture-search: `Client`, and `AsyncClient` with the same methods."""

from picture_search_client.asynchronous import AsyncClient
from picture_search_client.errors import ApiError, JobUnfinished
from picture_search_client.models import (
    Feedback,
    Hit,
    Image,
    ImagePage,
    Job,
    JobAccepted,
    Problem,
    SearchAnswer,
    UploadOutcome,
)
from picture_search_client.synchronous import Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "Feedback",
    "Hit",
    "Image",
    "ImagePage",
    "Job",
    "JobAccepted",
    "JobUnfinished",
    "Problem",
    "SearchAnswer",
    "UploadOutcome",
]
