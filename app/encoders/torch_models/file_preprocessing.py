"""Chooses the preprocessing for a checkpoint that is given as a file.

open_clip uses OpenAI's mean, standard deviation and resizing for every file, whatever the
architecture. Here a configuration file beside the checkpoint takes precedence, then whatever all
tags of the architecture agree on. OpenAI's values fill in the rest, with a warning in the log.
"""

import json
import logging
import math
from pathlib import Path
from typing import Any

from app.encoders.file_identity import CONFIG_FILE
from app.encoders.inputs.preprocessing import MODES
from app.encoders.torch_models.architectures import PREPROCESS_KEYS, preprocess_of_tags
from app.errors import ModelUnavailable

log = logging.getLogger(__name__)

INTERPOLATIONS = ("bicubic", "bilinear")
CHANNELS = 3


def preprocess_of_file(model: str, file: Path) -> dict[str, Any]:
    """Overrides for open_clip, keyed by PREPROCESS_KEYS; it uses OpenAI's value for a missing key.

    Raises ModelUnavailable if CONFIG_FILE beside `file` cannot be read or has an invalid value.
    """
    config = file.with_name(CONFIG_FILE)
    known = preprocess_of_tags(model)
    if config.is_file():
        known |= _configured(config)
    if unknown := [key for key in PREPROCESS_KEYS if key not in known]:
        log.warning(
            "%s: the %s that %s was trained with is unknown, so OpenAI's is used. "
            'If it is another, write {"preprocess_cfg": {…}} into %s',
            *(file, ", ".join(unknown), model, config),
        )
    else:
        source = config if config.is_file() else f"the tags of {model}"
        log.info("%s: pictures are prepared as %s says: %s", file, source, known)
    return known


def _configured(config: Path) -> dict[str, Any]:
    """A configuration's `preprocess_cfg`, validated and limited to PREPROCESS_KEYS."""
    try:
        found = json.loads(config.read_text()).get("preprocess_cfg", {})
        chosen = {key: found[key] for key in PREPROCESS_KEYS if key in found}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ModelUnavailable(f"{config} is not an open_clip configuration: {error}") from error
    for key, value in chosen.items():
        if not _is_valid(key, value):
            raise ModelUnavailable(
                f"{config}: preprocess_cfg.{key} is {value!r}. mean has to be three numbers; std, "
                "three numbers above 0; "
                f"interpolation, one of {', '.join(INTERPOLATIONS)}; "
                f"resize_mode, one of {', '.join(MODES)}."
            )
    return chosen


def _is_valid(key: str, value: Any) -> bool:
    if key == "interpolation":
        return value in INTERPOLATIONS
    if key == "resize_mode":
        return value in MODES
    least = 0.0 if key == "std" else -math.inf
    return (
        isinstance(value, list)
        and len(value) == CHANNELS
        and all(type(one) in {int, float} and math.isfinite(one) and one > least for one in value)
    )
