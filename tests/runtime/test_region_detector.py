"""A detector that is plugged in: what it finds is embedded; files that are programs are refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision import models, ops

from app.encoders.detector import PluggedInDetector
from app.encoders.torch_models.detection import MAX_BOXES, MAX_OVERLAP, MIN_SIDE
from app.errors import AnnotatorUnavailable
from app.runtime.services import Services
from app.settings import Settings
from tests.conftest import TEST_IMAGES
from tests.fixtures.folder_jobs import run, sql
from tests.fixtures.http_jobs import working
from tests.fixtures.search_library import answer

ARCHITECTURE = "ssdlite320_mobilenet_v3_large"
CLASSES = 4  # background among them


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """It sees the things of class 2 in all of its anchors, whatever a picture shows."""
    torch.manual_seed(1)
    made: Any = models.get_model(
        ARCHITECTURE, weights=None, weights_backbone=None, num_classes=CLASSES
    )
    for layer in made.head.classification_head.module_list:
        last = layer[-1]
        nn.init.zeros_(last.weight)
        last.bias.data = torch.tensor([0.0, 0.0, 3.0, 0.0]).repeat(len(last.bias) // CLASSES)
    for layer in made.head.regression_head.module_list:
        nn.init.zeros_(layer[-1].weight)
        nn.init.zeros_(layer[-1].bias)
    return made  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def weights(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("detector") / "detector.safetensors"
    save_file(dict(model.state_dict()), path)
    return path


@pytest.fixture(scope="module")
def settings(settings: Settings, weights: Path) -> Settings:
    """With the detector plugged in."""
    return settings.model_copy(update={"region_detector": f"{ARCHITECTURE}@{weights}"})


def test_what_is_detected_is_embedded_and_found(
    client: TestClient, services: Services, settings: Settings
) -> None:
    folder = Path(settings.source_dir)
    folder.mkdir()
    for name in ("green-tree.jpg", "taxi.jpg"):
        (folder / name).write_bytes((TEST_IMAGES / name).read_bytes())
    with working(services):
        run(services, folder)
        changed = client.patch("/api/v1/collections/default", json={"regions": "detector"})
        assert (changed.status_code, changed.json()["regions"]) == (200, "detector")
        (found,) = client.get("/api/v1/collections/default/annotators").json()["data"]
        job = services.job_submission.follow(found["job_id"])
    assert (job.state, job.failed) == ("succeeded", 0)
    assert found["version"].startswith(f"{ARCHITECTURE} ")
    boxes = [box for (box,) in sql(services, "SELECT box FROM embeddings WHERE box IS NOT NULL")]
    assert 2 <= len(boxes) <= 2 * MAX_BOXES
    for x, y, width, height in boxes:
        assert min(x, y) >= 0
        assert max(x + width, y + height) <= 1 + 1e-6
        assert min(width, height) >= MIN_SIDE
    region = next(box for box in boxes if box[2] < 0.9)
    image_id = sql(services, "SELECT min(image_id) FROM embeddings WHERE box IS NOT NULL")[0][0]
    best = answer(client, query=[{"id": image_id, "box": region}])["hits"][0]
    assert best["box"] in boxes


@pytest.mark.parametrize("kind", ["safetensors", "state_dict", "checkpoint"])
def test_plain_weights_are_read_and_boxes_are_of_things_apart(
    model: nn.Module, weights: Path, tmp_path: Path, kind: str
) -> None:
    path = weights if kind == "safetensors" else tmp_path / "weights.pth"
    if kind != "safetensors":
        state = model.state_dict()
        torch.save({"model": state} if kind == "checkpoint" else state, path)
    detector = PluggedInDetector(f"{ARCHITECTURE}@{path}")
    boxes = torch.tensor(detector.boxes(Image.new("RGB", (400, 300), "red")))
    assert 1 <= len(boxes) <= MAX_BOXES
    corners = torch.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    overlaps = ops.box_iou(corners, corners) - torch.eye(len(boxes))
    assert overlaps.max() <= MAX_OVERLAP + 1e-6


class Program:
    """What would run if a file were unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("was-run"),))


@pytest.mark.parametrize("kind", ["program", "model", "list", "other", "nothing", "torn"])
def test_other_files_are_refused_and_nothing_in_them_is_run(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    content = {
        "program": Program(),
        "model": model,
        "list": [torch.zeros(2)],
        "other": {"layer.weight": torch.zeros(2, 2)},
    }
    if kind in content:
        torch.save(content[kind], path)
    elif kind == "torn":
        path.write_bytes(b"PK\x03\x04 and then nothing")
    detector = PluggedInDetector(f"{ARCHITECTURE}@{path}")
    with pytest.raises(AnnotatorUnavailable, match="weights"):
        _ = detector.version, detector.boxes(Image.new("RGB", (64, 64)))
    assert not (tmp_path / "was-run").exists()


def test_an_architecture_that_does_not_exist_is_said(weights: Path) -> None:
    with pytest.raises(AnnotatorUnavailable, match=r"has no detector nonsense; it has .*ssdlite"):
        PluggedInDetector(f"nonsense@{weights}").boxes(Image.new("RGB", (64, 64)))
