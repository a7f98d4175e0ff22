"""deploy/prometheus.yaml in Debian's Prometheus, and the dashboard's queries of what it scrapes."""

import json
import math
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.access import api_keys
from app.runtime.services import Services
from app.settings import ROOT, Settings
from tests.fixtures.drawn_pictures import png
from tests.fixtures.served_application import served
from tests.test_start import free_port

PROMETHEUS = shutil.which("prometheus")
SECONDS = 120  # far more than Prometheus takes to start, or to have seen two scrapes
INTERVAL = "1m"  # what Grafana writes for $__rate_interval where a scrape is every 15 s

Series = list[dict[str, Any]]


@contextmanager
def prometheus(folder: Path, configuration: str) -> Iterator[httpx.Client]:
    """A client of its API."""
    assert PROMETHEUS is not None
    file, log = folder / "prometheus.yaml", folder / "log"
    file.write_text(configuration)
    listening = f"127.0.0.1:{free_port()}"
    options = (f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}")
    command = [PROMETHEUS, *options, f"--web.listen-address={listening}"]
    with (
        log.open("wb") as output,
        httpx.Client(base_url=f"http://{listening}", timeout=60) as client,
        subprocess.Popen(command, stdout=output, stderr=output) as process,
    ):
        try:
            deadline = time.monotonic() + SECONDS
            while not _is_ready(client):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield client
        finally:
            process.terminate()


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def documented(port: int, key: Path) -> str:
    """The file that compose mounts, with a target and a key of the test's own, in a hurry."""
    text = (ROOT / "deploy" / "prometheus.yaml").read_text()
    for told, ours in (
        ("app:8000", f"127.0.0.1:{port}"),
        ("/run/metrics.key", str(key)),
        ("scrape_interval: 15s", "scrape_interval: 1s"),
    ):
        assert told in text
        text = text.replace(told, ours)
    return text


@pytest.fixture(scope="module")
def api(settings: Settings, services: Services, worker: None) -> Iterator[httpx.Client]:
    """The server, as an admin."""
    with services.sessions.begin() as session:
        _, key = api_keys.create(session, "default", "prometheus", "admin", None)
    with (
        served(settings, services) as port,
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
        ) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def scraper(api: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A Prometheus that scrapes the server."""
    if PROMETHEUS is None:
        pytest.skip("Prometheus is not installed: apt-get install prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    key = folder / "metrics.key"
    key.write_text(api.headers["Authorization"].removeprefix("Bearer ") + "\n")
    port = api.base_url.port
    assert port is not None
    with prometheus(folder, documented(port, key)) as client:
        yield client


def use(api: httpx.Client, number: int) -> None:
    """What moves each metric: searches one by one and in a batch, an upload, a job."""
    picture = ("x.png", png(number))
    used = [
        api.get("/api/v1/search", params={"q": f"a boat {number // 2}"}),
        api.post("/api/v1/search/batch", json={"searches": [{"query": "a tree"}] * 2}),
        api.post("/upload", files={"file": picture}),
        api.post("/api/v1/images", files={"files": picture}),
    ]
    assert [answer.status_code for answer in used if answer.status_code >= 400] == []


def queries() -> dict[str, list[str]]:
    """Those of each panel."""
    panels = json.loads((ROOT / "docs" / "grafana.json").read_text())["panels"]
    return {
        panel["title"]: [
            target["expr"].replace("$__rate_interval", INTERVAL) for target in panel["targets"]
        ]
        for panel in panels
    }


def series(scraper: httpx.Client, query: str) -> Series:
    """What a query finds that can be drawn: 0/0, before anything has moved, is none."""
    answer = scraper.get("/api/v1/query", params={"query": query})
    assert answer.status_code == 200, (query, answer.text)
    found: Series = answer.json()["data"]["result"]
    return [one for one in found if not math.isnan(float(one["value"][1]))]


def test_the_server_is_scraped_with_the_key(scraper: httpx.Client) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        targets = scraper.get("/api/v1/targets").json()["data"]["activeTargets"]
        if any(one["health"] != "unknown" for one in targets) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    (target,) = targets
    assert (target["health"], target["lastError"]) == ("up", "")
    assert target["labels"]["job"] == "picture-search"


def test_each_query_of_the_dashboard_finds_something(
    scraper: httpx.Client, api: httpx.Client
) -> None:
    panels = queries()
    wanted = {query for asked in panels.values() for query in asked}
    assert len(wanted) >= len(panels) >= 18
    deadline = time.monotonic() + SECONDS
    number = 0
    while wanted and time.monotonic() < deadline:
        use(api, number)
        number += 1
        time.sleep(1)  # for a scrape
        wanted = {query for query in wanted if not series(scraper, query)}
    assert not wanted
    assert float(series(scraper, "image_search_database_up")[0]["value"][1]) == 1
