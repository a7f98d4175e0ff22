"""Says in the log that people search in a language that the model does not understand."""

import logging
import threading
from collections.abc import Sequence

import regex

from app.command_names import typed
from app.encoders.presets import MULTILINGUAL_PRESET, understands_english_alone

log = logging.getLogger(__name__)

OTHER_SCRIPT = regex.compile(r"(?V1)[\p{L}--[\p{Latin}\p{Greek}\p{Common}]]")
"""A letter that English texts do not have; Greek ones they do, as symbols."""


class LanguageNotice:
    """Notices it once for each model. Any thread may call."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def look_at(self, model: str, texts: Sequence[str]) -> None:
        """Log a warning at the first text in another script that an English model is to encode."""
        if model in self._told or not understands_english_alone(model):
            return
        if not any(OTHER_SCRIPT.search(text) for text in texts):
            return
        with self._lock:
            if model in self._told:
                return
            self._told.add(model)
        log.warning(
            "People search in other languages than English, which is all that %s understands. "
            "IMAGE_SEARCH_CLIP_MODEL=%s and `%s` help: see docs/models.md.",
            *(model, MULTILINGUAL_PRESET, typed("reindex")),
        )
