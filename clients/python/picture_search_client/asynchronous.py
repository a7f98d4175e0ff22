"""The client of programs with an event loop: the methods of `synchronous.Client`, awaited."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
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
from picture_search_client.synchronous import TIMEOUT_SECONDS

T = TypeVar("T")


class AsyncClient:
    """A service at `address`; `key` is an API key. `http` is used instead of a client of its own.

    Requests that meet 429, 502, 503, 504 or no answer are sent again, as Retry-After says. Methods
    raise ApiError if the service refuses, and httpx's errors if it does not answer.
    """

    def __init__(
        self, address: str = "http://127.0.0.1:8000", key: str | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:  # fmt: skip
        self._http = http or httpx.AsyncClient(base_url=address, timeout=TIMEOUT_SECONDS)
        self._headers = headers_of(key)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def search(self, query: Any, **options: Any) -> SearchAnswer:
        """A page of hits for a text, or for weighted terms (`[{"text": "a car"}, …]`).

        `options` are the other fields of POST /api/v1/search: collection, limit, filter, mode, ….
        """
        return await self._call(calls.search(query, **options))

    async def search_by_image(self, image: File | bytes, **options: Any) -> SearchAnswer:
        """The same for a picture: its path, or its bytes."""
        return await self._call(calls.search_by_image(image, **options))

    async def hits(self, query: Any, **options: Any) -> AsyncIterator[Hit]:
        """All hits of a search, page by page as they are taken."""
        page = await self.search(query, **options)
        while True:
            for hit in page.hits:
                yield hit
            if page.next_cursor is None:
                return
            page = await self._call(calls.next_page(page.next_cursor))

    async def images(self, **options: Any) -> AsyncIterator[Image]:
        """All pictures of a collection: `collection`, `filter`, `order_by`, `limit` of a page."""
        cursor = None
        while True:
            page = await self._call(calls.images(cursor, **options))
            for image in page.data:
                yield image
            cursor = page.next_cursor
            if cursor is None:
                return

    async def image(self, image_id: int) -> Image:
        """A picture's record."""
        return await self._call(calls.image(image_id))

    async def similar(self, image_id: int, **options: Any) -> SearchAnswer:
        """The pictures of its collection that are most like it: `limit`, `filter`."""
        return await self._call(calls.similar(image_id, **options))

    async def original(self, image_id: int) -> bytes:
        """The bytes of a picture's file."""
        return await self._call(calls.original(image_id))

    async def change(self, image_id: int, **changes: Any) -> Image:
        """Change `caption`, `metadata` or `external_id` of a picture; the rest stays.

        Of `metadata`, too, only the keys that are named change; None removes what it stands for.
        """
        return await self._call(calls.change(image_id, changes))

    async def delete(self, image_id: int) -> None:
        """Forget a picture. An uploaded file is deleted; one in a folder of the service stays."""
        await self._call(calls.delete(image_id))

    async def upload(
        self, files: Sequence[File], *, collection: str = "default", caption: str | None = None,
        metadata: dict[str, Any] | None = None, progress: Progress | None = None,
    ) -> list[UploadOutcome]:  # fmt: skip
        """Send pictures, which are found as soon as this returns: an outcome for each.

        Raises ApiError if all of them are refused; `problem.files` says why.
        """
        form = form_of(caption, metadata)
        return await self._call(calls.upload(files, form, progress, collection=collection))

    async def upload_job(
        self, files: Sequence[File], *, collection: str = "default", caption: str | None = None,
        metadata: dict[str, Any] | None = None, progress: Progress | None = None,
    ) -> JobAccepted:  # fmt: skip
        """Send pictures to a job: see `wait`."""
        form = form_of(caption, metadata)
        return await self._call(calls.upload_job(files, form, progress, collection=collection))

    async def job(self, job_id: int) -> Job:
        """The state of a job."""
        return await self._call(calls.job(job_id))

    async def wait(
        self, job: JobAccepted | int, *, seconds: float | None = None,
        progress: Callable[[Job], object] | None = None,
    ) -> Job:  # fmt: skip
        """Wait for the end of a job, whatever it is. Raises JobUnfinished after `seconds`."""
        job_id = job if isinstance(job, int) else job.job_id
        ends = None if seconds is None else time.monotonic() + seconds
        for pause in poll_pauses():
            found = await self.job(job_id)
            if progress is not None:
                progress(found)
            if found.is_finished:
                return found
            if ends is not None and time.monotonic() + pause > ends:
                raise JobUnfinished(found)
            await asyncio.sleep(pause)
        raise AssertionError  # unreachable: pauses never end

    async def rate(
        self, answer: SearchAnswer | str, rating: int, *, image_id: int | None = None,
        comment: str | None = None,
    ) -> Feedback:  # fmt: skip
        """Rate an answer, or one of its hits, from 1 to 10; `answer` may be its token."""
        token = answer if isinstance(answer, str) else answer.token or ""
        return await self._call(calls.rate(token, rating, image_id, comment))

    async def _call(self, call: Call[T]) -> T:
        attempt = 1
        while True:
            outcome = await self._attempt(call)
            if call.has_succeeded(outcome, attempt):
                return call.read(outcome.content)
            pause = seconds_before_next(outcome, attempt)
            if pause is None:
                raise failure_of(outcome)
            await asyncio.sleep(pause)
            attempt += 1

    async def _attempt(self, call: Call[Any]) -> Outcome:
        with call.request() as options:
            options["headers"] = {**self._headers, **options.get("headers", {})}
            try:
                return await self._http.request(**options)
            except httpx.TransportError as error:
                return error
