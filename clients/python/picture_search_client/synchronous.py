"""The client of programs without an event loop."""

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from picture_search_client import calls
from picture_search_client.calls import Call, File, Progress
from picture_search_client.errors import JobUnfinished, Outcome, failure_of
from picture_search_client.models import (
    Feedback,
    Hit,
    Image,
    Job,
    JobAccepted,
    SearchAnswer,
    UploadOutcome,
)
from picture_search_client.options import form_of, headers_of
from picture_search_client.retries import poll_pauses, seconds_before_next

T = TypeVar("T")

TIMEOUT_SECONDS = 60.0


class Client:
    """A service at `address`; `key` is an API key. `http` is used instead of a client of its own.

    Requests that meet 429, 502, 503, 504 or no answer are sent again, as Retry-After says. Methods
    raise ApiError if the service refuses, and httpx's errors if it does not answer.
    """

    def __init__(
        self, address: str = "http://127.0.0.1:8000", key: str | None = None,
        http: httpx.Client | None = None,
    ) -> None:  # fmt: skip
        self._http = http or httpx.Client(base_url=address, timeout=TIMEOUT_SECONDS)
        self._headers = headers_of(key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def search(self, query: Any, **options: Any) -> SearchAnswer:
        """A page of hits for a text, or for weighted terms (`[{"text": "a car"}, …]`).

        `options` are the other fields of POST /api/v1/search: collection, limit, filter, mode, ….
        """
        return self._call(calls.search(query, **options))

    def search_by_image(self, image: File | bytes, **options: Any) -> SearchAnswer:
        """The same for a picture: its path, or its bytes."""
        return self._call(calls.search_by_image(image, **options))

    def hits(self, query: Any, **options: Any) -> Iterator[Hit]:
        """All hits of a search, page by page as they are taken."""
        page = self.search(query, **options)
        while True:
            yield from page.hits
            if page.next_cursor is None:
                return
            page = self._call(calls.next_page(page.next_cursor))

    def images(self, **options: Any) -> Iterator[Image]:
        """All pictures of a collection: `collection`, `filter`, `order_by`, `limit` of a page."""
        cursor = None
        while True:
            page = self._call(calls.images(cursor, **options))
            yield from page.data
            cursor = page.next_cursor
            if cursor is None:
                return

    def image(self, image_id: int) -> Image:
        """A picture's record."""
        return self._call(calls.image(image_id))

    def similar(self, image_id: int, **options: Any) -> SearchAnswer:
        """The pictures of its collection that are most like it: `limit`, `filter`."""
        return self._call(calls.similar(image_id, **options))

    def original(self, image_id: int) -> bytes:
        """The bytes of a picture's file."""
        return self._call(calls.original(image_id))

    def change(self, image_id: int, **changes: Any) -> Image:
        """Change `caption`, `metadata` or `external_id` of a picture; the rest stays.

        Of `metadata`, too, only the keys that are named change; None removes what it stands for.
        """
        return self._call(calls.change(image_id, changes))

    def delete(self, image_id: int) -> None:
        """Forget a picture. An uploaded file is deleted; one in a folder of the service stays."""
        self._call(calls.delete(image_id))

    def upload(
        self, files: Sequence[File], *, collection: str = "default", caption: str | None = None,
        metadata: dict[str, Any] | None = None, progress: Progress | None = None,
    ) -> list[UploadOutcome]:  # fmt: skip
        """Send pictures, which are found as soon as this returns: an outcome for each.

        Raises ApiError if all of them are refused; `problem.files` says why.
        """
        form = form_of(caption, metadata)
        return self._call(calls.upload(files, form, progress, collection=collection))

    def upload_job(
        self, files: Sequence[File], *, collection: str = "default", caption: str | None = None,
        metadata: dict[str, Any] | None = None, progress: Progress | None = None,
    ) -> JobAccepted:  # fmt: skip
        """Send pictures to a job: see `wait`."""
        form = form_of(caption, metadata)
        return self._call(calls.upload_job(files, form, progress, collection=collection))

    def job(self, job_id: int) -> Job:
        """The state of a job."""
        return self._call(calls.job(job_id))

    def wait(
        self, job: JobAccepted | int, *, seconds: float | None = None,
        progress: Callable[[Job], object] | None = None,
    ) -> Job:  # fmt: skip
        """Wait for the end of a job, whatever it is. Raises JobUnfinished after `seconds`."""
        job_id = job if isinstance(job, int) else job.job_id
        ends = None if seconds is None else time.monotonic() + seconds
        for pause in poll_pauses():
            found = self.job(job_id)
            if progress is not None:
                progress(found)
            if found.is_finished:
                return found
            if ends is not None and time.monotonic() + pause > ends:
                raise JobUnfinished(found)
            time.sleep(pause)
        raise AssertionError  # unreachable: pauses never end

    def rate(
        self, answer: SearchAnswer | str, rating: int, *, image_id: int | None = None,
        comment: str | None = None,
    ) -> Feedback:  # fmt: skip
        """Rate an answer, or one of its hits, from 1 to 10; `answer` may be its token."""
        token = answer if isinstance(answer, str) else answer.token or ""
        return self._call(calls.rate(token, rating, image_id, comment))

    def _call(self, call: Call[T]) -> T:
        attempt = 1
        while True:
            outcome = self._attempt(call)
            if call.has_succeeded(outcome, attempt):
                return call.read(outcome.content)
            pause = seconds_before_next(outcome, attempt)
            if pause is None:
                raise failure_of(outcome)
            time.sleep(pause)
            attempt += 1

    def _attempt(self, call: Call[Any]) -> Outcome:
        with call.request() as options:
            options["headers"] = {**self._headers, **options.get("headers", {})}
            try:
                return self._http.request(**options)
            except httpx.TransportError as error:
                return error
