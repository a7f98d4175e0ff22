"""Awkward files, each with what it must become, through an upload and through a folder."""

import csv
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.runtime.services import Services
from tests.conftest import SHARED
from tests.fixtures.folder_jobs import run

HOSTILE = SHARED / "hostile"
STATUSES = {"indexed": {201, 200}, "too large": {413}, "corrupt": {422}, "unsupported": {415}}
REASONS = {"too large": "megapixels", "corrupt": "damaged", "unsupported": "not a picture"}

# Decoders warn of what they then survive or raise for; both outcomes are judged here.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.skipif(not HOSTILE.is_dir(), reason=f"{HOSTILE} is absent"),
]


def expected() -> list[tuple[str, str]]:
    if not HOSTILE.is_dir():
        return []
    with (HOSTILE / "expected.csv").open() as file:
        return [(row["file"], row["expected"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(("name", "outcome"), expected())
def test_upload(client: TestClient, name: str, outcome: str) -> None:
    answer = client.post("/upload", files={"file": (name, (HOSTILE / name).read_bytes())})
    assert answer.status_code in STATUSES[outcome], answer.text
    if outcome == "indexed":
        image_id = answer.json()[0]["id"]
        assert client.get(f"/images/{image_id}/thumbnail?size=128").status_code == 200
        found = client.post("/search-by-image?limit=1", content=(HOSTILE / name).read_bytes())
        assert found.json()[0]["distance"] < 0.01
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert REASONS[outcome] in answer.json()["detail"]


def test_folder(services: Services, worker: None, tmp_path: Path) -> None:
    listed = expected()
    for name, _ in listed:
        shutil.copy(HOSTILE / name, tmp_path / name)
    job = run(services, tmp_path)
    failed = services.job_submission.every(job.id, "failed")
    refused = {Path(item.path).name: item.reason or "" for item in failed}
    assert job.added == sum(outcome == "indexed" for _, outcome in listed)
    assert set(refused) == {name for name, outcome in listed if outcome != "indexed"}
    for name, outcome in listed:
        assert outcome == "indexed" or REASONS[outcome] in refused[name]
