"""Exported, and imported into an empty place without the model: the same answers (issue 20)."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from app.errors import CollectionNotFound, DatasetRejected
from app.runtime import dataset
from app.runtime.dataset.exporting import export_dataset
from app.runtime.dataset.importing import import_dataset
from app.runtime.dataset.manifest import MANIFEST, FileKind, read_manifest
from app.runtime.services import Services
from app.settings import Settings
from scripts.commands import commands
from tests.fixtures.extras import needs_parquet
from tests.fixtures.folder_jobs import sql
from tests.fixtures.search_library import FIELDS, answer
from tests.runtime.dataset.conftest import served, sessions_on
from tests.runtime.test_worker import wait_until

DEFAULT = ("default", "default")
THINGS = ("a tree", "a red car", "fruit", "the sea", "an animal", "yellow", "the sky", "a lamp",
          "two apples", "a road")  # fmt: skip
FILTERS: tuple[dict[str, Any] | None, ...] = (
    None, {"place": "Lisbon"}, {"stars": {"gte": 3}}, {"tags": {"contains": "green"}},
    {"sold": True},
)  # fmt: skip
SEARCHES = [
    {"query": query, "limit": 5, "mode": mode, **({"filter": one} if one else {})}
    for query in THINGS for mode in ("vector", "hybrid") for one in FILTERS
]  # fmt: skip


def nothing(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


def export(services: Services, folder: Path, kind: FileKind) -> dict[str, int]:
    return export_dataset(services.sessions, DEFAULT, folder, kind, nothing).rows


def first_confidence(client: TestClient) -> float | None:
    found: float | None = answer(client, query="a tree")["hits"][0]["confidence"]
    return found


def answers(client: TestClient) -> list[list[tuple[Any, ...]]]:
    """What all searches find, by what does not depend on ids."""
    shown = ("original_filename", "score", "confidence", "width", "caption", "metadata")
    found = (answer(client, **search)["hits"] for search in SEARCHES)
    return [[tuple(json.dumps(hit.get(name)) for name in shown) for hit in hits] for hits in found]


@pytest.mark.parametrize("kind", [pytest.param("parquet", marks=needs_parquet), "npy"])
def test_what_is_imported_answers_as_what_was_exported(
    kind: FileKind, settings: Settings, services: Services, client: TestClient,
    library: dict[str, int], elsewhere: Settings, tmp_path: Path,
) -> None:  # fmt: skip
    folder = tmp_path / "dataset"
    rows = export(services, folder, kind)
    assert rows == {"images": 10, "pages": 0, "label_sets": 1, "labels": rows["labels"],
                    "queries": 1, "ratings": 2}  # fmt: skip
    assert rows["labels"] >= 10
    with sessions_on(elsewhere) as sessions:
        done = import_dataset(sessions, DEFAULT, folder, nothing)
        assert (done.counts["added"], done.counts["known"], done.counts["left out"]) == (10, 0, 0)
        assert (done.counts["labels"], done.counts["ratings"]) == (rows["labels"], 2)
        again = import_dataset(sessions, DEFAULT, folder, nothing).counts
        assert (again["added"], again["known"], again["ratings"]) == (0, 10, 0)
        back = export_dataset(sessions, DEFAULT, tmp_path / "back", kind, nothing)
    assert (back.rows, back.model, back.fields) == (rows, read_manifest(folder).model, FIELDS)
    assert len(SEARCHES) == 100
    with served(elsewhere) as api:
        # The first search measures what is chance.
        wait_until(lambda: None not in {first_confidence(api), first_confidence(client)})
        assert answers(api) == answers(client)
        found = answer(api, query="a tree", filter={"labels.things": "tree"})["hits"]
        gone = api.get(f"/api/v1/images/{found[0]['id']}/thumbnail")
        assert gone.status_code == 404
        assert "another store of uploads" in gone.json()["detail"]
        summary = api.get("/api/v1/feedback/summary").json()
        assert summary["by_model"][0]["ratings"] == 2


@needs_parquet
def test_other_programs_read_the_files(
    services: Services, library: dict[str, int], tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    export(services, tmp_path / "parquet", "parquet")
    export(services, tmp_path / "npy", "npy")
    table = pq.read_table(tmp_path / "parquet" / "images.parquet")
    space = services.search.index.space
    assert table.schema.field("vector").type.list_size == space.dimensions
    vectors = np.load(tmp_path / "npy" / "images.npy")
    assert (vectors.dtype, vectors.shape) == (np.float32, (10, space.dimensions))
    flat = table.column("vector").combine_chunks().flatten().to_numpy()
    assert np.array_equal(flat.reshape(vectors.shape), vectors)
    lines = (tmp_path / "npy" / "images.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [one["id"] for one in records] == table.column("id").to_pylist()
    assert {one["metadata"].get("place") for one in records} >= {"Łódź", "Lisbon"}
    manifest = json.loads((tmp_path / "npy" / MANIFEST).read_text())
    assert manifest["model"]["fingerprint"] == space.fingerprint
    assert manifest["version"]


def test_a_new_collection_is_made_as_the_exported_one_was_and_shares_no_upload(
    services: Services, client: TestClient, library: dict[str, int], tmp_path: Path
) -> None:
    export(services, tmp_path / "dataset", "npy")
    names = ("default", "copy")
    done = import_dataset(services.sessions, names, tmp_path / "dataset", nothing)
    assert (done.counts["added"], done.counts["without file"]) == (10, 10)
    hits = answer(client, query="a tree", collection="copy", filter={"stars": 5})["hits"]
    assert [hit["caption"] for hit in hits] == ["A tall tree"]
    lost = client.get(f"/images/{hits[0]['id']}/file")
    assert lost.status_code == 404
    assert "imported without a file" in lost.json()["detail"]
    assert client.get(f"/images/{hits[0]['id']}/thumbnail").status_code == 404
    assert client.delete(f"/images/{hits[0]['id']}").status_code == 204
    assert client.get(f"/images/{library['tree.jpg']}/file").status_code == 200
    found = {one.name: one.found for one in services.doctor.examine().findings}
    assert found["rows without file"] == []
    again = import_dataset(services.sessions, names, tmp_path / "dataset", nothing).counts
    assert (again["added"], again["known"]) == (1, 9)


def test_an_export_that_fails_or_has_no_place_leaves_nothing(
    services: Services, library: dict[str, int], tmp_path: Path
) -> None:
    def fails(_done: int, _total: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        export_dataset(services.sessions, DEFAULT, tmp_path / "new", "npy", fails)
    with pytest.raises(CollectionNotFound, match="There is no collection"):
        export_dataset(services.sessions, ("default", "none"), tmp_path / "new", "npy", nothing)
    assert list(tmp_path.iterdir()) == []
    left = tmp_path / ".part-new-killed"
    left.mkdir()
    (tmp_path / "new").mkdir()
    export(services, tmp_path / "new", "npy")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    with pytest.raises(DatasetRejected, match="not an empty folder"):
        export(services, tmp_path / "new", "npy")


def test_the_commands(
    settings: Settings, services: Services, library: dict[str, int], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, kept_signals: None,
) -> None:  # fmt: skip
    monkeypatch.setenv("DATABASE_URL", settings.database_url or "")
    monkeypatch.setenv("TESTING", "1")
    runner, folder = CliRunner(), tmp_path / "dataset"
    made = runner.invoke(commands, ["export", "dataset", "--files", "npy", str(folder)])
    assert made.exit_code == 0, made.output
    assert f"{folder}: 10 images, 1 label_sets, " in made.output
    known = runner.invoke(commands, ["import", "dataset", str(folder)])
    assert "0 added, 10 already there, 0 left out." in known.output
    none = runner.invoke(commands, ["import", "dataset", str(tmp_path)])
    assert none.exit_code == 1
    assert f"Not imported: {tmp_path} holds no dataset" in str(none.exception)


def test_a_picture_that_is_sent_again_gives_a_record_its_file(
    services: Services, client: TestClient, library: dict[str, int], tmp_path: Path
) -> None:
    export(services, tmp_path / "dataset", "npy")
    import_dataset(services.sessions, ("default", "sent"), tmp_path / "dataset", nothing)
    file = client.get(f"/images/{library['cat.jpg']}/file").content
    sent = client.post("/upload?collection=sent", files={"file": ("cat.jpg", file)})
    assert sent.status_code in {200, 201}, sent.text
    (stored,) = sent.json()
    assert client.get(f"/images/{stored['id']}/file").content == file
    rows = sql(services, "SELECT count(*) FROM images i JOIN collections c ON c.id = collection_id "
                         "WHERE c.name = 'sent'")  # fmt: skip
    assert rows == [(10,)]


def test_without_pyarrow_parquet_is_refused_with_what_to_install(
    services: Services, library: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "app.runtime.dataset.parquet_files", raising=False)
    monkeypatch.delattr(dataset, "parquet_files", raising=False)
    with pytest.raises(DatasetRejected, match=r"picture-search\[parquet\]"):
        export(services, tmp_path / "dataset", "parquet")
    assert list(tmp_path.iterdir()) == []
