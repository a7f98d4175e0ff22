"""A video is imported with the frames that it was exported with."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.runtime.dataset.importing import import_dataset
from app.runtime.dataset.manifest import FileKind
from app.runtime.services import Services
from scripts.drawn_videos import film
from tests.conftest import TEST_IMAGES
from tests.fixtures.extras import needs_parquet, needs_video
from tests.fixtures.folder_jobs import sql
from tests.fixtures.videos import reading_videos
from tests.runtime.dataset.test_round_trip import export, nothing

FRAMES = """
SELECT frame_times, array_agg(region ORDER BY region) FROM embeddings
JOIN images ON images.id = image_id JOIN collections ON collections.id = collection_id
WHERE collections.name = :name GROUP BY images.id
"""


@needs_video
@pytest.mark.parametrize("kind", [pytest.param("parquet", marks=needs_parquet), "npy"])
def test_a_video_keeps_its_frames(
    kind: FileKind, services: Services, client: TestClient, tmp_path: Path
) -> None:
    client.patch("/api/v1/collections/default", json={"pages": "all"})
    scenes = [(Image.open(TEST_IMAGES / name), 3.0) for name in ("green-tree.jpg", "pizza.jpg")]
    with reading_videos():
        sent = client.post("/upload", files={"file": ("two.mp4", film(scenes))})
    assert sent.status_code in {200, 201}, sent.text
    export(services, tmp_path / "dataset", kind)
    done = import_dataset(services.sessions, ("default", kind), tmp_path / "dataset", nothing)
    assert done.counts["added"] == 1
    ((times, pages),) = sql(services, FRAMES, name="default")
    assert len(times) == len(pages) > 1
    assert sql(services, FRAMES, name=kind) == [(times, pages)]
