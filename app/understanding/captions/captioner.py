"""What writes captions: a model in this process, or one that is reached by an address."""

from collections.abc import Sequence
from typing import Protocol

from PIL import Image as Pillow

from app.encoders.captions import Caption


class Captioner(Protocol):
    """Describes pictures. Any thread may call."""

    @property
    def language(self) -> str | None:
        """A text search configuration of Postgres's; None: not known."""

    def version(self) -> str:
        """Captions of another version are stale. Raises AnnotatorUnavailable."""

    def describe(self, images: Sequence[Pillow.Image]) -> list[Caption]:
        """A caption for each RGB picture; empty where there is nothing to say.

        Raises ModelUnavailable where all pictures have to wait, and other ImageSearchErrors where
        these alone cannot be described.
        """

    def close_if_idle(self) -> None:
        """Free its memory if it has had nothing to do for a while."""
