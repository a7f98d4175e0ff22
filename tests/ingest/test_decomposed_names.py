"""Names of files as macOS writes them, decomposed, and as people type them, composed."""

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.runtime.services import Services
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import ADD, counts, rows, run

pytestmark = pytest.mark.usefixtures("worker")

COMPOSED = "M\u00fcnchen"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


def test_a_decomposed_name_is_found_as_it_is_typed(
    services: Services, client: TestClient, tmp_path: Path
) -> None:
    """Issue 21, line 25: by words, by each way to filter a path, and in `explain`."""
    name = f"{DECOMPOSED} 1.png"
    (tmp_path / name).write_bytes(png(1))
    (tmp_path / "other.png").write_bytes(png(2))
    assert counts(run(services, tmp_path, ADD)) == {"added": 2}
    image_id = rows(services)[name]

    def found(**body: Any) -> list[int]:
        answer = client.post("/api/v1/search", json=body)
        assert answer.status_code == 200, answer.text
        return [hit["id"] for hit in answer.json()["hits"]]

    assert found(query=COMPOSED, mode="lexical") == [image_id]
    whole = unicodedata.normalize("NFC", str(tmp_path / name))
    for condition in (
        {"contains": COMPOSED.lower()},
        {"contains": DECOMPOSED},
        {"prefix": whole[:-4]},
        {"eq": whole},
        {"in": [whole]},
    ):
        assert found(query="a tree", filter={"path": condition}) == [image_id], condition
    assert image_id not in found(query="a tree", filter={"path": {"ne": whole}})
    told = client.get("/api/v1/explain", params={"q": "a tree", "path": whole}).json()
    assert (told["cause"], told["image_id"]) == ("found", image_id)
    assert client.get(f"/images/{image_id}/file").content == png(1)
