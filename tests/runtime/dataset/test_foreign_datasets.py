"""Datasets that others have written, damaged or made for another model: refused with a sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.errors import DatasetRejected
from app.runtime.dataset.clip_retrieval import import_clip_retrieval
from app.runtime.dataset.exporting import export_dataset
from app.runtime.dataset.importing import import_dataset
from app.runtime.dataset.manifest import MANIFEST
from app.runtime.models import DEMO_MODEL
from app.runtime.services import Services
from app.vectors import Vectors
from tests.fixtures.folder_jobs import sql
from tests.fixtures.search_library import answer
from tests.runtime.dataset.test_round_trip import DEFAULT, nothing

TARGET = ("default", "elsewhere")
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def exported(
    services: Services, library: dict[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The library as a dataset that nobody has touched."""
    folder = tmp_path_factory.mktemp("exported") / "dataset"
    export_dataset(services.sessions, DEFAULT, folder, "npy", nothing)
    return folder


@pytest.fixture
def dataset(exported: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return shutil.copytree(exported, tmp_path / "dataset")


def set_value(name: str, value: Any, table: str = "images") -> Damage:
    """Set a value in the second row of a table."""

    def damage(folder: Path) -> None:
        path = folder / f"{table}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines()
        row = 1 if len(lines) > 1 else 0
        lines[row] = json.dumps(json.loads(lines[row]) | {name: value})
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    return damage


def set_manifest(**values: Any) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / MANIFEST
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return damage


def set_vectors(change: Callable[[Vectors], Any]) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "images.npy"
        np.save(path, change(np.load(path)))

    return damage


def _with_nan(vectors: Vectors) -> Vectors:
    vectors[3, 0] = np.nan
    return vectors


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / MANIFEST).unlink(), "holds no dataset"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "is not a dataset's: JSON"),
        (lambda folder: (folder / "images.npy").write_bytes(b"\x93NUMPY"), "cannot be read"),
        (lambda folder: (folder / "images.jsonl").unlink(), r"images\.jsonl cannot be read"),
        (lambda folder: (folder / "labels.jsonl").write_text(""), "labels: there are 0 rows"),
        (set_manifest(format=99), "was written by version"),
        (set_manifest(model={}), r"model\.model: Field required"),
        (set_vectors(_with_nan), "images, row 4: the vector is not finite"),
        (set_vectors(lambda found: found * 2), r"images, row 1: the vector .* not of length 1"),
        (set_vectors(lambda found: found[:, 1:]), r"vectors of this model are float32"),
        (set_vectors(lambda found: found[1:]), "10 lines, but there are 9 vectors"),
        (set_vectors(lambda found: found.astype(object)), r"images\.npy cannot be read: "),
        (set_value("path", "store://../../etc/x.png"), r"row 2: path .* out of its folder"),
        (set_value("path", None), "row 2: path is missing"),
        (set_value("path", 7), "line 2: 7 has the wrong type"),
        (set_value("caption", "\0"), "row 2: caption has a character that no text may have"),
        (set_value("caption", "\ud800"), "row 2: caption has a character that no text may have"),
        (set_value("metadata", {"a": "\0"}), "row 2: metadata has a character"),
        (set_value("metadata", [1]), "row 2: metadata is not a JSON object"),
        (set_value("frame_times", {}), "row 2: frame_times is not a JSON array"),
        (set_value("frame_times", [2, 1]), "row 2: frame_times are no seconds in ascending"),
        (set_value("sha256", "abc"), "row 2: sha256 is not a SHA-256"),
        (set_value("format", "EXE"), "row 2: format 'EXE' is none of"),
        (set_value("width", -1), "row 2: width is negative"),
        (set_value("bytes", 2**70), "row 2: bytes is too large"),
        (set_value("taken_at", "yesterday"), "line 2: Invalid isoformat"),
        (set_value("rating", 11, "ratings"), "ratings, row 2: rating is not 1 to 10"),
        (set_value("search", "x", "ratings"), "ratings, row 2: search is not a UUID"),
        (set_value("definition", {}, "label_sets"), "definition is none of a label set"),
        (set_value("prompts", "AAAA", "label_sets"), "row 1: prompts are no vectors"),
    ],
)
def test_what_is_damaged_is_named_and_nothing_is_imported(
    damage: Damage, told: str, services: Services, dataset: Path
) -> None:
    damage(dataset)
    with pytest.raises(DatasetRejected, match=told):
        import_dataset(services.sessions, TARGET, dataset, nothing)
    assert sql(services, "SELECT 1 FROM collections WHERE name = 'elsewhere'") == []


def test_vectors_of_another_model_are_refused(services: Services, dataset: Path) -> None:
    model = json.loads((dataset / MANIFEST).read_text())["model"]
    set_manifest(model=model | {"fingerprint": "0" * 64, "model": "ViT-L-14"})(dataset)
    with pytest.raises(DatasetRejected, match=r"are of ViT-L-14 .*, and those of the collection"):
        import_dataset(services.sessions, DEFAULT, dataset, nothing)


def test_what_only_postgres_refuses_is_a_sentence_too(services: Services, dataset: Path) -> None:
    set_value("external_id", "x" * 10_000)(dataset)  # larger than an index takes
    set_value("taken_at", "0001-01-01T00:00:00+23:59")(dataset)
    before = sql(services, "SELECT count(*) FROM images")
    with pytest.raises(DatasetRejected, match="Postgres refuses a row"):
        import_dataset(services.sessions, TARGET, dataset, nothing)
    assert sql(services, "SELECT count(*) FROM images") == before
    assert sql(services, "SELECT 1 FROM collections WHERE name = 'elsewhere'") == []


def test_two_pictures_of_one_external_id_are_not_mixed(services: Services, dataset: Path) -> None:
    lines = (dataset / "images.jsonl").read_text(encoding="utf-8").splitlines()
    twins = [json.dumps(json.loads(line) | {"external_id": "one"}) for line in lines]
    (dataset / "images.jsonl").write_text("\n".join(twins) + "\n", encoding="utf-8")
    done = import_dataset(services.sessions, ("default", "twins"), dataset, nothing)
    assert (done.counts["added"], done.counts["left out"]) == (1, 9)
    assert len(done.left_out) == 5


@pytest.fixture
def clip_retrieval(exported: Path, tmp_path: Path) -> Path:
    """Its layout: two parts of five pictures each, in half precision."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    lines = (exported / "images.jsonl").read_text(encoding="utf-8").splitlines()
    said = [json.loads(line)["caption"] for line in lines]
    vectors = np.load(exported / "images.npy").astype(np.float16)
    folder = tmp_path / "laion"
    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    for part in range(2):
        some = slice(5 * part, 5 * part + 5)
        np.save(folder / "img_emb" / f"img_emb_{part}.npy", vectors[some])
        urls = [f"https://pictures.example/{part}/{n}.jpg?size=2" for n in range(5)]
        records = {
            "image_path": [f"{part:05d}{n:04d}" for n in range(5)],
            "caption": said[some],
            "url": urls if part else [None] * 5,
            "similarity": [0.25, float("nan"), 0.5, 0.5, 0.5],
            "width": [640] * 5,
            "exif": ["{}"] * 5,
        }
        pq.write_table(pa.table(records), folder / "metadata" / f"metadata_{part}.parquet")
    return folder


def test_the_layout_of_clip_retrieval(
    services: Services, client: TestClient, clip_retrieval: Path
) -> None:
    client.post("/api/v1/collections", json={"name": "laion"})
    names, model = ("default", "laion"), (DEMO_MODEL, "")
    done = import_clip_retrieval(services.sessions, names, clip_retrieval, model, nothing)
    assert done.counts["added"] == 10
    ours = answer(client, query="a tree", limit=10)["hits"]
    hits = answer(client, query="a tree", limit=10, collection="laion")["hits"]
    assert [hit["caption"] for hit in hits] == [hit["caption"] for hit in ours]
    paths = {hit["path"] for hit in hits}
    assert "https://pictures.example/1/4.jpg?size=2" in paths
    assert "record://laion/000000000" in paths
    assert {hit["width"] for hit in hits} == {640}
    assert {json.dumps(hit["metadata"]) for hit in hits} == {
        "{}", '{"similarity": 0.25}', '{"similarity": 0.5}'
    }  # fmt: skip
    for hit in hits:
        gone = client.get(f"/api/v1/images/{hit['id']}/thumbnail")
        assert gone.status_code == 404
        assert "imported without a file" in gone.json()["detail"]
    again = import_clip_retrieval(services.sessions, names, clip_retrieval, model, nothing)
    assert (again.counts["added"], again.counts["known"]) == (0, 10)


@pytest.mark.parametrize(
    ("damage", "model", "told"),
    [
        (lambda folder: None, ("ViT-B-32", "openai"), "said to be of ViT-B-32@openai"),
        (
            lambda folder: (folder / "metadata" / "metadata_1.parquet").unlink(),
            (DEMO_MODEL, ""),
            "metadata has no file with the number 1",
        ),
        (
            lambda folder: np.save(folder / "img_emb" / "img_emb_0.npy", np.ones((5, 3))),
            (DEMO_MODEL, ""),
            r"shape \(5, 3\)",
        ),
        (
            lambda folder: (folder / "metadata" / "metadata_0.parquet").write_bytes(b"PAR1"),
            (DEMO_MODEL, ""),
            r"metadata_0\.parquet cannot be read",
        ),
        (
            lambda folder: [path.unlink() for path in (folder / "img_emb").iterdir()],
            (DEMO_MODEL, ""),
            "has no img_emb",
        ),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(
    damage: Damage, model: tuple[str, str], told: str, services: Services, clip_retrieval: Path
) -> None:
    damage(clip_retrieval)
    with pytest.raises(DatasetRejected, match=told):
        import_clip_retrieval(services.sessions, DEFAULT, clip_retrieval, model, nothing)


def test_parts_of_different_length_are_refused(services: Services, clip_retrieval: Path) -> None:
    path = clip_retrieval / "img_emb" / "img_emb_0.npy"
    np.save(path, np.load(path)[1:])
    with pytest.raises(DatasetRejected, match="does not have as many rows"):
        import_clip_retrieval(services.sessions, DEFAULT, clip_retrieval, (DEMO_MODEL, ""), nothing)
