"""Server-sent events of a job, from a live server: the answer has begun long before its end."""

import pytest
import requests

from app.runtime.services import Services
from app.settings import Settings
from tests.fixtures.served_application import served

SECONDS = 30


def test_it_ends_where_the_jobs_collection_is_deleted(
    settings: Settings, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    """Quietly: an exception then is a traceback in the log, since the answer has begun."""
    with served(settings, services) as port:
        address = f"http://127.0.0.1:{port}"
        collections = f"{address}/api/v1/collections"
        assert requests.post(collections, json={"name": "passing"}, timeout=SECONDS).ok
        body = {"urls": ["http://127.0.0.1/a.png"]}  # nobody works on the queue
        path = f"{address}/api/v1/images?collection=passing"
        sent = requests.post(path, json=body, timeout=SECONDS)
        assert sent.status_code == 202, sent.text
        events = address + sent.json()["events_url"]
        with requests.get(events, stream=True, timeout=SECONDS) as answer:
            lines = answer.iter_lines(decode_unicode=True)
            assert next(lines) == "event: progress"
            assert requests.delete(f"{collections}/passing", timeout=SECONDS).status_code == 204
            assert "event: end" not in list(lines)
    assert [one.name for one in caplog.records if one.exc_info] == []
