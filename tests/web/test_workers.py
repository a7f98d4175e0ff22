"""A job that nobody works on says so."""

from fastapi.testclient import TestClient

from app.ingest.jobs.task_queue import NO_WORKER
from app.runtime.services import Services
from tests.fixtures.drawn_pictures import png
from tests.fixtures.http_jobs import JOBS, done, send, working


def test_a_job_without_any_worker_says_so(client: TestClient, services: Services) -> None:
    answer = send(client, ("a.png", png(1)))
    job = client.get(answer.json()["url"]).json()
    assert (job["status"], job["waiting"]) == ("pending", NO_WORKER)
    assert client.get(JOBS).json()["data"][0]["waiting"] == NO_WORKER
    with working(services):
        assert done(client, answer)["waiting"] is None
