"""The models named by the settings, and sample pictures to calibrate one on."""

import os
import random
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from app.encoders import presets
from app.encoders.model_pool import ModelName
from app.encoders.model_request import ModelRequest, RuntimeOptions
from app.errors import ImageRejected, SettingsInvalid
from app.pictures.decoding import PillowImage, decode
from app.settings import DEMO_MODEL_DIR, ROOT, Settings

if TYPE_CHECKING:
    from app.encoders.encoder import OpenClipEncoder

DEMO_MODEL = "demo model"
FORMER_MODEL, FORMER_TAG = "ViT-B-32", "datacomp_xl_s13b_b90k"
"""What one of the two settings alone is completed with: the defaults before there were presets."""
BUNDLED_IMAGES = ROOT / "data" / "test_images"
FEWEST_SAMPLES = 100  # of the user's pictures for a calibration; with fewer, bundled ones serve
LISTED_SAMPLES = 50_000  # files listed to choose from: takes about a second


def default_model(settings: Settings) -> ModelName:
    """The model that the settings name; where they name none, that of a new database.

    Raises SettingsInvalid if a preset is given a tag.
    """
    if settings.testing:
        return ModelName(DEMO_MODEL, "")
    model, pretrained = settings.clip_model, settings.clip_pretrained
    if model is None and pretrained is None:
        return presets.resolve(presets.DEFAULT_PRESET)
    if model in presets.PRESETS and pretrained:
        raise SettingsInvalid(
            f"IMAGE_SEARCH_CLIP_MODEL={model} is a preset, which names its weights itself: leave "
            "IMAGE_SEARCH_CLIP_PRETRAINED empty."
        )
    if model is not None and (model in presets.PRESETS or ":" in model):
        return presets.resolve(model, pretrained or "")
    return ModelName(model or FORMER_MODEL, pretrained or FORMER_TAG)


def is_named(settings: Settings) -> bool:
    """Whether the settings name a model; else a database keeps its own."""
    named = settings.clip_model is not None or settings.clip_pretrained is not None
    return settings.testing or named


def further_models(settings: Settings) -> list[ModelName]:
    """The models collections may choose: presets, `model@tag`, or names that need no tag."""
    return [model_name(text) for text in settings.collection_models]


def model_name(text: str) -> ModelName:
    """Parse a preset or `model@tag`; `local-dir:/a@b` and `hf-hub:a/b` never have a tag."""
    if ":" in text.partition("@")[0]:
        return ModelName(text, "")
    model, _, tag = text.partition("@")
    return presets.resolve(model, tag)


def load_encoder(settings: Settings, name: ModelName) -> "OpenClipEncoder":
    """Load a model. Raises ModelUnavailable."""
    hand_over_hub_settings(settings)
    from app.encoders import loading

    options = runtime_options(settings)
    request = ModelRequest(name.model, name.pretrained, settings.device, None, options)
    if settings.testing and name == default_model(settings):
        request = ModelRequest(
            f"local-dir:{DEMO_MODEL_DIR}", "", settings.device, DEMO_MODEL, options
        )
    return loading.load(request)


def runtime_options(settings: Settings) -> RuntimeOptions:
    """The runtime options from the settings."""
    return RuntimeOptions(
        settings.runtime,
        settings.precision,
        settings.model_cache_dir,
        lambda count: sample_pictures(settings, count),
    )


def sample_pictures(settings: Settings, count: int) -> list[PillowImage]:
    """Up to `count` RGB pictures sampled from the user's folders, or from the bundled ones.

    Deterministic while the folders do not change. Unreadable files are skipped.
    """
    folders = (settings.source_dir, *settings.source_dirs, settings.storage_dir)
    found = list(islice(_pictures(folders, settings), count))
    bundled = _pictures((BUNDLED_IMAGES,), settings)
    return found if len(found) >= FEWEST_SAMPLES else list(islice(bundled, count))


def _pictures(folders: Iterable[Path], settings: Settings) -> Iterator[PillowImage]:
    """The pictures in `folders`, shuffled with a fixed seed."""
    listed = (path for folder in folders for path in folder.rglob("*"))
    paths = sorted(islice((path for path in listed if path.is_file()), LISTED_SAMPLES))
    random.Random(0).shuffle(paths)  # noqa: S311  # not a secret
    for path in paths:
        with suppress(ImageRejected, OSError):
            if path.stat().st_size <= settings.max_file_mb * 1e6:
                yield decode(path.read_bytes(), settings.max_megapixels).image


def hand_over_hub_settings(settings: Settings) -> None:
    """Export the hub's settings: huggingface_hub reads the environment when it is imported."""
    for name in ("hf_home", "hf_endpoint"):
        if value := getattr(settings, name):
            os.environ[name.upper()] = value
    if settings.hf_hub_offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
