"""What captioners give, and the one of open_clip's in memory while it is needed; without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image as Pillow

from app.encoders.file_identity import digest_of, identities
from app.encoders.held_while_used import HeldWhileUsed
from app.encoders.model_pool import ModelName
from app.errors import AnnotatorUnavailable

if TYPE_CHECKING:
    from app.encoders.torch_models.captioning import CocaCaptioner

RECIPE = 1  # bump it when other captions would be written, so that pictures are described again
IDLE_SECONDS = 60.0  # after which the model leaves the memory
LOCAL = "local-dir:"
DIGEST_CHARACTERS = 16


@dataclass(frozen=True)
class Caption:
    """A caption, and how sure its writer is, 0 to 1: the mean probability of its words.

    None: the writer does not say.
    """

    text: str
    confidence: float | None


class CaptionModel:
    """A captioner of open_clip, loaded on first use, unloaded after IDLE_SECONDS without any.

    One thread at a time describes; others wait.
    """

    language = "english"

    def __init__(self, name: ModelName, device: str) -> None:
        self._name = name
        self._device = device
        self._held: HeldWhileUsed[CocaCaptioner] = HeldWhileUsed()

    def version(self) -> str:
        """Of the model and what is made of its answers; of a folder's weights, their digest.

        Raises AnnotatorUnavailable if there is no such folder.
        """
        model, tag = self._name.model, self._name.pretrained
        if not model.startswith(LOCAL):
            return f"{model} {tag}".strip() + f", recipe {RECIPE}"
        folder = Path(model.removeprefix(LOCAL)).expanduser()
        if not folder.is_dir():
            raise AnnotatorUnavailable(
                f"The annotator caption needs its model: there is no folder {folder}, which "
                "IMAGE_SEARCH_CAPTION_MODEL names."
            )
        files = {path: one for path, one in identities([folder]).items() if not _is_readme(path)}
        return f"{folder.name} {digest_of(files)[:DIGEST_CHARACTERS]}, recipe {RECIPE}"

    def describe(self, images: Sequence[Pillow.Image]) -> list[Caption]:
        """A caption for each RGB picture. Raises ModelUnavailable."""
        with self._held.use() as held:
            if held.value is None:
                held.value = self._load()
            return held.value.describe(images)

    def _load(self) -> "CocaCaptioner":
        from app.encoders.torch_models import captioning  # takes seconds, hundreds of MB

        return captioning.load(self._name.model, self._name.pretrained, self._device)

    @property
    def is_loaded(self) -> bool:
        """Whether it takes memory now."""
        return self._held.value is not None

    def close_if_idle(self) -> None:
        """Unload the model if it has had nothing to do for a while."""
        self._held.drop_if_idle(IDLE_SECONDS)


def _is_readme(path: str) -> bool:
    """Whether a file of a model's folder is for people alone."""
    return path.endswith(".md")
