"""The models named by the settings, and how they are loaded."""

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from app.database.connections import Sessions
from app.encoders import presets
from app.encoders.captions import CaptionModel
from app.encoders.model_pool import ModelName
from app.encoders.model_request import ModelRequest, Precision, RuntimeOptions
from app.errors import ModelUnavailable, ModelUnknown, SettingsInvalid
from app.index import vector_indexes
from app.runtime.sample_pictures import captioned_pictures, sample_pictures
from app.settings import DEMO_CAPTIONER_DIR, DEMO_MODEL_DIR, Settings
from app.sources.checked_connections import Connector
from app.understanding.captions.caption_endpoint import CaptionEndpoint
from app.understanding.captions.captioner import Captioner
from app.vectors import Arithmetic

if TYPE_CHECKING:
    from app.encoders.encoder import OpenClipEncoder

DEMO_MODEL = "demo model"
FORMER_MODEL, FORMER_TAG = "ViT-B-32", "datacomp_xl_s13b_b90k"
"""What one of the two settings alone is completed with: the defaults before there were presets."""
INT8_FOLDERS = "*-int8"  # in MODEL_CACHE_DIR, of models that were calibrated


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


def check_further_models(settings: Settings, sessions: Sessions) -> None:
    """Raise SettingsInvalid naming an entry of COLLECTION_MODELS that no model can be had by.

    Nothing is downloaded. A model that this database has vectors of is not examined: its disk may
    be away, and searches in other collections need it not.
    """
    with sessions.begin() as session:
        known = vector_indexes.all_models(session)
    for text in settings.collection_models:
        name = model_name(text)
        if text not in presets.PRESETS and (name.model, name.pretrained) not in known:
            from app.encoders.torch_models.checkpoints import check_name

            try:
                check_name(name.model, name.pretrained)
            except ModelUnknown as error:
                raise SettingsInvalid(f"IMAGE_SEARCH_COLLECTION_MODELS={text}: {error}") from error


def model_name(text: str) -> ModelName:
    """Parse a preset or `model@tag`; `local-dir:/a@b` and `hf-hub:a/b` never have a tag."""
    if ":" in text.partition("@")[0]:
        return ModelName(text, "")
    model, _, tag = text.partition("@")
    return presets.resolve(model, tag)


def load_encoder(
    settings: Settings, name: ModelName, options: RuntimeOptions | None = None
) -> "OpenClipEncoder":
    """Load a model, in the precision of its name; `options` are by default those of the settings.

    Raises ModelUnavailable.
    """
    hand_over_hub_settings(settings)
    from app.encoders import loading

    options = options or runtime_options(settings)
    options = replace(options, precision=_precision(settings, name))
    request = ModelRequest(name.model, name.pretrained, settings.device, None, options)
    if settings.testing and name.has_weights_of(default_model(settings)):
        request = ModelRequest(
            f"local-dir:{DEMO_MODEL_DIR}", "", settings.device, DEMO_MODEL, options
        )
    try:
        return loading.load(request)
    except ModelUnknown as error:
        raise ModelUnavailable(f"{_setting_of(settings, name)}{error}") from error


def _setting_of(settings: Settings, name: ModelName) -> str:
    """The settings that a name of a model comes from, at the front of a sentence; or nothing."""
    if not (is_named(settings) and name.has_weights_of(default_model(settings))):
        return ""
    tag = f" IMAGE_SEARCH_CLIP_PRETRAINED={name.pretrained}" if settings.clip_pretrained else ""
    return f"IMAGE_SEARCH_CLIP_MODEL={settings.clip_model or FORMER_MODEL}{tag}: "


def captioner(settings: Settings) -> Captioner:
    """What writes captions; nothing is loaded or asked yet."""
    if settings.caption_url is not None:
        secret = settings.caption_key
        key = None if secret is None else secret.get_secret_value()
        connector = Connector(settings.download_allow)
        return CaptionEndpoint(settings.caption_url, settings.caption_model, key, connector)
    named = model_name(settings.caption_model)
    if settings.testing:
        named = ModelName(f"local-dir:{DEMO_CAPTIONER_DIR}", "")
    return CaptionModel(named, settings.device)


def arithmetic(settings: Settings) -> Arithmetic:
    """What models are computed in whose names do not say it."""
    return "int8" if settings.precision == "int8" else "float"


def may_be_int8(settings: Settings) -> bool:
    """Whether the database may say that the model is computed in int8."""
    if settings.precision != "auto":
        return settings.precision == "int8"
    return any(settings.model_cache_dir.glob(INT8_FOLDERS))


def _precision(settings: Settings, name: ModelName) -> Precision:
    """The precision to run a model in: the settings' unless that gives other vectors."""
    if name.precision in {None, arithmetic(settings)}:
        return settings.precision
    return "int8" if name.precision == "int8" else "auto"


def runtime_options(settings: Settings) -> RuntimeOptions:
    """The runtime options from the settings."""
    return RuntimeOptions(
        settings.runtime,
        settings.precision,
        settings.model_cache_dir,
        lambda count: sample_pictures(settings, count),
        captioned_pictures,
    )


def hand_over_hub_settings(settings: Settings) -> None:
    """Export the hub's settings: huggingface_hub reads the environment when it is imported."""
    for name in ("hf_home", "hf_endpoint"):
        if value := getattr(settings, name):
            os.environ[name.upper()] = value
    if settings.hf_hub_offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
