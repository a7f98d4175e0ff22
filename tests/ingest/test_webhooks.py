"""Webhooks at a job's end (issue 19, line 8), sent to a real receiver on loopback."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, BinaryIO

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from app.errors import SettingsInvalid
from app.ingest.webhooks import delivery
from app.ingest.webhooks.delivery import ENDED_JOB, RETRY_SECONDS, TOTAL_SECONDS, Attempt
from app.ingest.webhooks.messages import WebhookMessage
from app.metrics import REGISTRY
from app.runtime import worker
from app.runtime.services import Services
from app.settings import Settings
from app.sources.checked_connections import Connector
from app.sources.url_check import NOT_ALLOWED
from tests.fixtures.drawn_pictures import png
from tests.fixtures.http_jobs import IMAGES, JOBS, Details, accepted, send, working
from tests.fixtures.search_library import refused
from tests.fixtures.web_server import Site, found, http, serving

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
LOOPBACK = (ip_network("127.0.0.1/32"),)
SECONDS = 30.0  # that a delivery may take here


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    changes = {"webhook_secret": SecretStr(SECRET), "download_allow": LOOPBACK}
    return settings.model_copy(update=changes)


@pytest.fixture
def receiver() -> Iterator[Site]:
    with serving() as site:
        site.answers["/hook"] = http(204)
        yield site


def at(receiver: Site, path: str = "/hook") -> str:
    return f"http://127.0.0.1:{receiver.port}{path}"


def until(client: TestClient, url: str, is_there: Callable[[Details], bool]) -> Details:
    """The job, once its webhook is as expected."""
    deadline = time.monotonic() + SECONDS
    while True:
        job: Details = client.get(url).json()
        if job["webhook"] and is_there(job["webhook"]):
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.03)


def is_delivered(webhook: Details) -> bool:
    return bool(webhook["status"] == "delivered")


def verified(receiver: Site, number: int) -> dict[str, Any]:
    """A message as its receiver checks it, by the specification's words."""
    (_, headers), body = receiver.asked[number], receiver.posted[number]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(SECRET.split("_", 1)[1])
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < SECONDS + TOTAL_SECONDS
    assert headers["content-type"] == "application/json"
    content: dict[str, Any] = json.loads(body)
    return content


def count(outcome: str) -> float:
    return REGISTRY.get_sample_value("image_search_webhooks_total", {"outcome": outcome}) or 0.0


@pytest.mark.usefixtures("worker")
def test_the_end_of_a_job_is_reported_and_signed(client: TestClient, receiver: Site) -> None:
    before = count("delivered")
    url = accepted(send(client, ("a.png", png(1)), ("b.png", b"x"), webhook_url=at(receiver)))
    job = until(client, url, is_delivered)
    content = verified(receiver, 0)
    assert (content["type"], content["timestamp"]) == ("job.ended", content["data"]["finished_at"])
    told = content["data"]
    assert (told["job_id"], told["status"], told["collection"]) == (
        job["id"],
        "succeeded",
        "default",
    )
    assert (told["total"], told["added"], told["failed"]) == (2, 1, 1)
    webhook_id = receiver.asked[0][1]["webhook-id"]
    assert job["webhook"] == {
        "status": "delivered",
        "id": webhook_id,
        "attempts": 1,
        "reason": None,
    }
    assert at(receiver) not in json.dumps(job)  # an address may hold a secret
    assert len(receiver.posted) == 1
    assert count("delivered") == before + 1


def test_after_a_500_and_a_restart_the_same_message_comes_again(
    client: TestClient, services: Services, receiver: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RETRY_SECONDS", (1,) * 99)
    receiver.answers["/hook"] = http(500)
    url = accepted(send(client, ("c.png", png(3)), webhook_url=at(receiver)))
    assert client.get(url).json()["webhook"]["status"] == "waiting"
    with working(services):
        job = until(client, url, lambda webhook: webhook["attempts"] > 0)
    assert job["webhook"]["status"] == "pending"
    assert job["webhook"]["reason"] == "The receiver answers with status 500."
    receiver.answers["/hook"] = http(200)
    with working(services):
        job = until(client, url, is_delivered)
    assert job["webhook"]["attempts"] == len(receiver.posted) > 1
    assert job["webhook"]["reason"] is None
    assert len(set(receiver.posted)) == 1
    assert {headers["webhook-id"] for _, headers in receiver.asked} == {job["webhook"]["id"]}
    verified(receiver, -1)


@pytest.mark.usefixtures("worker")
def test_a_job_that_is_tried_again_is_reported_again(client: TestClient, receiver: Site) -> None:
    body = {"urls": [at(receiver, "/absent.png")], "webhook_url": at(receiver)}
    url = accepted(client.post(IMAGES, json=body))
    first = until(client, url, is_delivered)["webhook"]["id"]
    assert client.post(f"{url}/retry").json()["webhook"]["status"] == "waiting"
    second = until(client, url, lambda webhook: is_delivered(webhook) and webhook["id"] != first)
    assert second["webhook"]["attempts"] == 1
    assert verified(receiver, -1)["data"]["failed"] == 1


def silent(_: BinaryIO) -> None:
    time.sleep(0.4)


def endless(out: BinaryIO) -> None:
    """A body without end, to a client that hangs up after the headers."""
    out.write(http(200))
    while True:
        out.write(b"x" * 65_536)


def boundless(out: BinaryIO) -> None:
    """Headers without end."""
    out.write(b"HTTP/1.1 200 x\r\n")
    while True:
        out.write(b"X-More: " + b"x" * 1_000 + b"\r\n")


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (endless, "delivered", None),
        (http(410), "failed", "The receiver answers with status 410."),
        (found("/elsewhere"), "pending", "The receiver answers with status 302."),
        (b"SSH-2.0\r\n", "pending", "127.0.0.1 does not speak HTTP as it should."),
        (b"", "pending", "127.0.0.1 cannot be reached, or broke off."),
        (silent, "pending", "127.0.0.1 did not answer in time."),
        (boundless, "pending", None),
    ],
)
def test_what_receivers_do(
    client: TestClient,
    services: Services,
    receiver: Site,
    monkeypatch: pytest.MonkeyPatch,
    answer: Any,
    status: str,
    reason: str | None,
) -> None:
    """Each is tried again on schedule, but for 410; no redirect is followed, no body is read."""
    monkeypatch.setattr(delivery, "TOTAL_SECONDS", 0.3)
    job = reported(client, receiver)
    receiver.answers["/hook"] = answer
    services.webhooks.deliver(attempt_of(job, at(receiver), 1))
    webhook = client.get(f"{JOBS}/{job['id']}").json()["webhook"]
    assert webhook["status"] == status
    assert reason is None or webhook["reason"] == reason
    assert (webhook["reason"] is None) is (status == "delivered")
    assert receiver.paths == ["/hook", "/hook"]


def reported(client: TestClient, receiver: Site) -> Details:
    """A job whose end was reported."""
    url = accepted(send(client, ("a.png", png(1)), webhook_url=at(receiver)))
    return until(client, url, is_delivered)


def attempt_of(job: Details, url: str, number: int) -> Attempt:
    return Attempt(ENDED_JOB, job["id"], url, WebhookMessage(job["webhook"]["id"], "{}"), number)


@pytest.mark.usefixtures("worker")
def test_attempts_end(client: TestClient, services: Services, receiver: Site) -> None:
    job = reported(client, receiver)
    receiver.answers["/hook"] = http(503)
    before = count("failed")
    services.webhooks.deliver(attempt_of(job, at(receiver), 1 + len(RETRY_SECONDS)))
    webhook = client.get(f"{JOBS}/{job['id']}").json()["webhook"]
    assert (webhook["status"], webhook["attempts"]) == ("failed", 1 + len(RETRY_SECONDS))
    assert webhook["reason"] == "The receiver answers with status 503."
    assert count("failed") == before + 1


@pytest.mark.usefixtures("worker")
def test_a_name_of_a_private_address_is_refused_when_it_is_connected_to(
    client: TestClient, services: Services, receiver: Site
) -> None:
    job = reported(client, receiver)
    private = Connector(LOOPBACK, resolve=lambda _host, _port: ["127.0.0.1", "10.0.0.1"])
    webhooks = replace(services.webhooks, connector=private)
    webhooks.check("http://pictures.test/hook")  # a name is resolved at each delivery
    webhooks.deliver(attempt_of(job, f"http://pictures.test:{receiver.port}/hook", 1))
    webhook = client.get(f"{JOBS}/{job['id']}").json()["webhook"]
    assert (webhook["status"], webhook["reason"]) == ("failed", NOT_ALLOWED)
    assert receiver.paths == ["/hook"]


@pytest.mark.parametrize(
    "url",
    [
        *("http://10.0.0.1/", "http://[::1]/", "http://169.254.169.254/", "http://0x7f.1/"),
        *("ftp://example.org/", "http://me:secret@example.org/", "example.org", "http://a b/", ""),
    ],
)
def test_an_address_of_our_own_network_is_refused_at_once(client: TestClient, url: str) -> None:
    answer = client.post(IMAGES, json={"urls": ["http://example.org/"], "webhook_url": url})
    assert refused(answer, 422)
    assert answer.json()["code"] == "url_not_allowed"


def test_without_a_secret_none_is_taken(client: TestClient, services: Services) -> None:
    silent_service = replace(services, webhooks=replace(services.webhooks, key=None))
    client.app.state.services = silent_service  # type: ignore[attr-defined]
    try:
        answer = send(client, ("a.png", png(1)), webhook_url="https://example.org/")
    finally:
        client.app.state.services = services  # type: ignore[attr-defined]
    assert "IMAGE_SEARCH_WEBHOOK_SECRET is not set" in refused(answer, 422)
    assert answer.json()["code"] == "webhook_invalid"


@pytest.mark.parametrize(
    "secret",
    [
        *("x" * 40, "whsec_", "whsec_" + "A" * 31, "whsec_" + "é" * 32, "WHSEC_" + SECRET[6:]),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
    ],
)
def test_a_secret_of_another_form_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, secret: str
) -> None:
    monkeypatch.setenv("IMAGE_SEARCH_WEBHOOK_SECRET", secret)
    with pytest.raises(SettingsInvalid, match=r"WEBHOOK_SECRET: .*whsec_ and 24 to 64") as caught:
        Settings.load(tmp_path / "none")
    assert secret not in str(caught.value) or secret == "whsec_"


def test_a_worker_that_stops_loses_no_attempt() -> None:
    assert TOTAL_SECONDS < worker.STOP_SECONDS
