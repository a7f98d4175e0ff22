"""Requests as values, which both clients send: each operation is described once."""

import base64
import io
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Generic, NamedTuple, TypeGuard, TypeVar

import httpx
from pydantic import TypeAdapter

from picture_search_client.errors import ApiError, Outcome
from picture_search_client.models import (
    Feedback,
    Image,
    ImagePage,
    Job,
    JobAccepted,
    SearchAnswer,
    UploadOutcome,
)

T = TypeVar("T")

File = Path | str | tuple[str, bytes]
"""A path, or a name and the bytes."""

Progress = Callable[[int, int], object]
"""Told how many bytes of all files have been sent, and how many there are."""


class Route(NamedTuple):
    """A method and a path, as in the service's OpenAPI document."""

    method: str
    path: str


SEARCH = Route("POST", "/api/v1/search")
UPLOAD = Route("POST", "/upload")
UPLOAD_JOB = Route("POST", "/api/v1/images")
JOB = Route("GET", "/api/v1/jobs/{job_id}")
IMAGES = Route("GET", "/api/v1/images")
IMAGE = Route("GET", "/api/v1/images/{image_id}")
CHANGE = Route("PATCH", "/api/v1/images/{image_id}")
DELETE = Route("DELETE", "/api/v1/images/{image_id}")
ORIGINAL = Route("GET", "/api/v1/images/{image_id}/file")
SIMILAR = Route("GET", "/api/v1/images/{image_id}/similar")
FEEDBACK = Route("POST", "/api/v1/feedback")

ANSWER = TypeAdapter(SearchAnswer).validate_json


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request; it may be sent again, since doing it twice is the same as doing it once.

    Those that would add something twice have an `idempotency`, which the service knows again.
    `read` makes its result of the body of the response. `redirected`: the answer may be elsewhere.
    `gone` is the code of the problem that what is to be deleted is not there.
    """

    route: Route
    read: Callable[[bytes], T]
    values: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str] = field(default_factory=dict)
    file_field: str = "file"
    files: Sequence[File] = ()
    progress: Progress | None = None
    idempotency: str | None = None
    redirected: bool = False
    gone: str | None = None

    def has_succeeded(self, outcome: Outcome, attempt: int) -> TypeGuard[httpx.Response]:
        """Whether that came of it; the attempts count from 1.

        What a further attempt to delete does not find was deleted by one whose answer was lost.
        """
        if not isinstance(outcome, httpx.Response):
            return False
        if self.gone is not None and attempt > 1 and outcome.status_code == httpx.codes.NOT_FOUND:
            # A proxy's 404 has another code: it knows nothing of the picture.
            return ApiError.of(outcome).problem.code == self.gone
        return outcome.is_success

    @contextmanager
    def request(self) -> Iterator[dict[str, Any]]:
        """The arguments of httpx's `request`; files are open meanwhile."""
        with ExitStack() as stack:
            options: dict[str, Any] = {
                "method": self.route.method,
                "url": self.route.path.format(**self.values),
                "params": {
                    name: json.dumps(value) if isinstance(value, Mapping) else value
                    for name, value in self.params.items()
                    if value is not None
                },
            }
            if self.redirected:
                # httpx tells the key to no other host than the first.
                options["follow_redirects"] = True
            if self.idempotency is not None:
                options["headers"] = {"Idempotency-Key": self.idempotency}
            if self.json is not None:
                options["json"] = self.json
            if self.files:
                options["files"] = self._opened(stack)
                options["data"] = dict(self.form)
            yield options

    def _opened(self, stack: ExitStack) -> list[tuple[str, tuple[str, Any]]]:
        named = [_open(file, stack) for file in self.files]
        if self.progress is not None:
            sent = _Sent(sum(_size(file) for _, file in named), self.progress)
            return [(self.file_field, (name, _Counted(file, sent))) for name, file in named]
        return [(self.file_field, one) for one in named]


def _open(file: File, stack: ExitStack) -> tuple[str, BinaryIO]:
    if isinstance(file, tuple):
        return file[0], io.BytesIO(file[1])
    return Path(file).name, stack.enter_context(Path(file).open("rb"))


def _size(file: BinaryIO) -> int:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size


@dataclass
class _Sent:
    """How many bytes of all files of a request have been sent."""

    total: int
    progress: Progress
    done: int = 0


@dataclass(frozen=True)
class _Counted:
    """A file that tells how much of it was read: httpx reads what it sends."""

    file: BinaryIO
    sent: _Sent

    def read(self, size: int = -1) -> bytes:
        piece = self.file.read(size)
        if piece:
            self.sent.done += len(piece)
            self.sent.progress(self.sent.done, self.sent.total)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()


def search(query: Any, **options: Any) -> Call[SearchAnswer]:
    """`options` are the other fields of the request's body."""
    given = {name: value for name, value in options.items() if value is not None}
    return Call(SEARCH, ANSWER, json={"query": query, **given})


def search_by_image(image: File | bytes, **options: Any) -> Call[SearchAnswer]:
    """The picture travels inside the query."""
    if isinstance(image, bytes):
        data = image
    else:
        data = image[1] if isinstance(image, tuple) else Path(image).read_bytes()
    return search([{"image": base64.b64encode(data).decode()}], **options)


def next_page(cursor: str) -> Call[SearchAnswer]:
    """The page after the one that the cursor came with."""
    return Call(SEARCH, ANSWER, json={"cursor": cursor})


def upload(
    files: Sequence[File], form: Mapping[str, str], progress: Progress | None, **params: Any
) -> Call[list[UploadOutcome]]:
    """Stored when the answer comes."""
    read = TypeAdapter(list[UploadOutcome]).validate_json
    return Call(UPLOAD, read, params=params, form=form, files=files, progress=progress,
                idempotency=str(uuid.uuid4()))  # fmt: skip


def upload_job(
    files: Sequence[File], form: Mapping[str, str], progress: Progress | None, **params: Any
) -> Call[JobAccepted]:
    """Stored by a job."""
    read = TypeAdapter(JobAccepted).validate_json
    return Call(UPLOAD_JOB, read, params=params, form=form, files=files, file_field="files",
                progress=progress, idempotency=str(uuid.uuid4()))  # fmt: skip


def job(job_id: int) -> Call[Job]:
    """The state of a job."""
    return Call(JOB, TypeAdapter(Job).validate_json, values={"job_id": job_id})


def images(cursor: str | None, **params: Any) -> Call[ImagePage]:
    """A page of a collection's pictures."""
    return Call(IMAGES, TypeAdapter(ImagePage).validate_json, params={**params, "cursor": cursor})


def image(image_id: int) -> Call[Image]:
    """A picture's record."""
    return Call(IMAGE, TypeAdapter(Image).validate_json, values={"image_id": image_id})


def change(image_id: int, changes: Mapping[str, Any]) -> Call[Image]:
    """Another caption, metadata or external id of a picture."""
    read = TypeAdapter(Image).validate_json
    return Call(CHANGE, read, values={"image_id": image_id}, json=dict(changes))


def delete(image_id: int) -> Call[None]:
    """Forget a picture."""
    return Call(DELETE, _nothing, values={"image_id": image_id}, gone="image_not_found")


def _nothing(_body: bytes) -> None:
    return None


def original(image_id: int) -> Call[bytes]:
    """A picture's file; one in a bucket is fetched there."""
    return Call(ORIGINAL, bytes, values={"image_id": image_id}, redirected=True)


def similar(image_id: int, **params: Any) -> Call[SearchAnswer]:
    """The pictures most like it."""
    return Call(SIMILAR, ANSWER, values={"image_id": image_id}, params=params)


def rate(token: str, rating: int, image_id: int | None, comment: str | None) -> Call[Feedback]:
    """A rating from 1 to 10 of an answer, or of one of its hits."""
    body: dict[str, Any] = {"token": token, "rating": rating}
    body |= {} if image_id is None else {"image_id": image_id}
    body |= {} if comment is None else {"comment": comment}
    return Call(
        FEEDBACK, TypeAdapter(Feedback).validate_json, json=body, idempotency=str(uuid.uuid4())
    )
