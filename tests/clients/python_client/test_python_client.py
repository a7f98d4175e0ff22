"""The Python client fits the service's OpenAPI document, and its examples run (issue 20)."""

import asyncio
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, get_args, get_origin

import httpx
import picture_search_client
import pytest
import uvicorn
from fastapi.testclient import TestClient
from picture_search_client import ApiError, AsyncClient, Client, JobUnfinished, calls, models
from picture_search_client.calls import Route
from picture_search_client.retries import ATTEMPTS, MOST_SECONDS, seconds_before_next

from app.main import create_app
from app.runtime.services import Services
from app.settings import ROOT, Settings
from tests.conftest import TEST_IMAGES
from tests.fixtures.drawn_pictures import png

README = ROOT / "clients" / "python" / "README.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
SCHEMAS = {
    models.Hit: "SearchHit",
    models.Warned: "SearchWarning",
    models.SearchAnswer: "SearchResponse",
    models.Image: "ImageDetails",
    models.ImagePage: "ImagePage",
    models.UploadOutcome: "UploadResult",
    models.JobAccepted: "JobAccepted",
    models.Job: "JobDetails",
    models.Feedback: "FeedbackDetails",
    models.Problem: "Problem",
}
ROUTES = {name: one for name, one in vars(calls).items() if isinstance(one, Route)}


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def address(settings: Settings, services: Services, worker: None) -> Iterator[str]:
    """A real server."""
    app = create_app(settings, services)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    socket = server.config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    socket.close()


def test_every_model_of_the_client_is_compared() -> None:
    own = {one for one in vars(models).values()
           if isinstance(one, type) and issubclass(one, models.Model)}  # fmt: skip
    assert own - {models.Model} == set(SCHEMAS)
    assert {"Client", "AsyncClient"} <= set(picture_search_client.__all__)


@pytest.mark.parametrize("model", SCHEMAS, ids=lambda model: str(model.__name__))
def test_a_model_has_only_fields_that_the_service_sends(
    model: type[models.Model], document: dict[str, Any]
) -> None:
    schema = document["components"]["schemas"][SCHEMAS[model]]
    for name, field in model.model_fields.items():
        assert name in schema["properties"], name
        there = schema["properties"][name]
        if field.is_required():
            assert name in schema["required"], f"{name} may be absent"
        is_nullable = any(one.get("type") == "null" for one in there.get("anyOf", ()))
        assert not is_nullable or type(None) in get_args(field.annotation), f"{name} may be null"
        if "enum" in there and field.annotation is not str:
            assert set(get_args(field.annotation)) == set(there["enum"]), name
        assert (get_origin(field.annotation) is list) <= (there.get("type") == "array"), name


@pytest.mark.parametrize("name", ROUTES)
def test_a_route_of_the_client_is_one_of_the_services(name: str, document: dict[str, Any]) -> None:
    route = ROUTES[name]
    assert route.method.lower() in document["paths"][route.path]


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (calls.search("a", limit=1), "application/json"),
        (calls.next_page("a"), "application/json"),
        (calls.rate("a", 1, 2, "b"), "application/json"),
        (calls.upload([("a", b"")], {"caption": "", "metadata": ""}, None), "multipart/form-data"),
        (calls.upload_job([("a", b"")], {"caption": "", "metadata": ""}, None),
         "multipart/form-data"),
        (calls.images("a", collection="b", filter="c", order_by="d", limit=1), None),
        (calls.job(1), None),
        (calls.image(1), None),
        (calls.similar(1, limit=1, filter="a"), None),
        (calls.original(1), None),
        (calls.delete(1), None),
        (calls.change(1, {"caption": "a", "metadata": {}, "external_id": "b"}), "application/json"),
    ],
)  # fmt: skip
def test_a_call_sends_only_what_the_service_takes(
    call: calls.Call[Any], kind: str | None, document: dict[str, Any]
) -> None:
    operation = document["paths"][call.route.path][call.route.method.lower()]
    parameters = {one["name"] for one in operation.get("parameters", ())}
    assert {*call.params, *call.values} - {"collection"} <= parameters
    assert call.idempotency is None or "Idempotency-Key" in parameters
    sent = {*(call.json or {}), *call.form, *([call.file_field] if call.files else [])}
    if kind is None:
        assert not sent
        return
    schema = operation["requestBody"]["content"][kind]["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert sent <= set(schema["properties"])


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_of_the_readme_runs(
    example: str, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(EXAMPLES) == 3
    monkeypatch.chdir(ROOT)
    exec(compile(example.replace("http://127.0.0.1:8000", address), str(README), "exec"), {})
    assert capsys.readouterr().out


def test_progress_is_told_and_ends_with_all_bytes(address: str) -> None:
    told: list[tuple[int, int]] = []
    path = TEST_IMAGES / "zebra.jpg"
    files: list[calls.File] = [path, ("drawn.png", png(1))]
    with Client(address) as client:
        stored = client.upload(files, progress=lambda done, total: told.append((done, total)))
    assert [one.status for one in stored] == ["stored", "stored"]
    total = path.stat().st_size + len(png(1))
    assert told[-1] == (total, total)
    assert told == sorted(told)


def test_a_picture_is_changed_compared_read_and_deleted(address: str) -> None:
    with Client(address) as client:
        first, other = client.upload([("one.png", png(11)), ("two.png", png(12))])
        assert first.id is not None
        changed = client.change(first.id, caption="a drawing", metadata={"place": "Lisbon"})
        assert (changed.caption, changed.metadata["place"]) == ("a drawing", "Lisbon")
        assert client.change(first.id, metadata={"place": None}).caption == "a drawing"
        assert "place" not in client.image(first.id).metadata
        assert client.original(first.id) == png(11)
        near = [hit.id for hit in client.similar(first.id, limit=100).hits]
        assert other.id in near
        assert first.id not in near
        client.delete(first.id)
        with pytest.raises(ApiError, match="404"):
            client.image(first.id)


def test_an_event_loop_changes_and_deletes_too(address: str) -> None:
    async def run() -> None:
        async with AsyncClient(address) as client:
            (stored,) = await client.upload([("three.png", png(13))])
            assert stored.id is not None
            assert (await client.change(stored.id, caption="a line")).caption == "a line"
            assert await client.original(stored.id) == png(13)
            assert (await client.similar(stored.id)).hits is not None
            await client.delete(stored.id)
            with pytest.raises(ApiError, match="404"):
                await client.image(stored.id)

    asyncio.run(run())


def test_a_refusal_says_why(address: str) -> None:
    with Client(address) as client:
        with pytest.raises(ApiError, match="404") as missing:
            client.image(10**9)
        assert missing.value.problem.code == "image_not_found"
        with pytest.raises(ApiError) as refused:
            client.upload([("a.png", b"no picture")])
        assert refused.value.problem.files[0].status == "refused"


def test_a_job_that_takes_longer_is_given_up() -> None:
    job = {"id": 7, "collection": "default", "status": "running", "reason": None, "total": 2,
           "done": 1, "failed": 0, "added": 1, "changed": 0, "duplicate": 0,
           "created_at": "2026-01-01T00:00:00Z",
           "finished_at": None, "pictures_per_second": None, "seconds_left": None}  # fmt: skip
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=job))
    http = httpx.Client(transport=transport, base_url="http://service")
    with Client(http=http) as client, pytest.raises(JobUnfinished, match="1 of 2") as given_up:
        client.wait(7, seconds=0)
    assert given_up.value.job.id == 7


def busy(seconds: str, status: int = 503) -> httpx.Response:
    return httpx.Response(status, headers={"Retry-After": seconds})


def test_when_a_request_is_sent_again() -> None:
    assert seconds_before_next(busy("3"), 1) == 3
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    assert 0 < (seconds_before_next(busy(soon, 429), 1) or 0) <= 20
    assert seconds_before_next(busy(str(int(MOST_SECONDS) + 1)), 1) is None
    assert seconds_before_next(busy("0"), ATTEMPTS) is None
    for status in (200, 404, 422, 500):
        assert seconds_before_next(busy("1", status), 1) is None
    growing = [seconds_before_next(httpx.ConnectError("none"), n) or 0 for n in range(1, ATTEMPTS)]
    assert growing == sorted(growing)
    assert 0 < growing[0] <= 0.5


class Flaky:
    """A service that answers at the third attempt; it notes the keys and bodies that it is sent."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, bytes]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append((request.headers.get("Idempotency-Key"), request.read()))
        return self.answer()

    async def later(self, request: httpx.Request) -> httpx.Response:
        self.seen.append((request.headers.get("Idempotency-Key"), await request.aread()))
        return self.answer()

    def answer(self) -> httpx.Response:
        if len(self.seen) < 3:
            return busy("0", 429)
        return httpx.Response(201, json=[{"filename": "a.png", "status": "stored", "id": 1}])


def files_of(body: bytes) -> bytes:
    """A body without the boundary, which is another one in each request."""
    return body.partition(b"\r\n")[2].rpartition(b"\r\n--")[0]


def test_an_upload_is_sent_again_whole_and_by_the_same_key() -> None:
    flaky = Flaky()
    http = httpx.Client(transport=httpx.MockTransport(flaky), base_url="http://service")
    with Client(http=http) as client:
        (stored,) = client.upload([("a.png", png(2))])
    assert stored.id == 1
    check_sent(flaky)


def test_the_client_with_an_event_loop_does_so_too() -> None:
    flaky = Flaky()

    async def run() -> None:
        transport = httpx.MockTransport(flaky.later)
        http = httpx.AsyncClient(transport=transport, base_url="http://service")
        async with AsyncClient(key="isk_a", http=http) as client:
            (stored,) = await client.upload([("a.png", png(2))])
        assert stored.id == 1

    asyncio.run(run())
    check_sent(flaky)


def check_sent(flaky: Flaky) -> None:
    keys = {key for key, _ in flaky.seen}
    assert len(flaky.seen) == 3
    assert len(keys) == 1
    assert None not in keys
    bodies = {files_of(body) for _, body in flaky.seen}
    assert len(bodies) == 1
    assert png(2) in bodies.pop()


def test_both_clients_have_the_same_methods() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(Client) == public(AsyncClient)
