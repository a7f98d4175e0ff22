"""How close the vectors of an int8 image tower are to fp32's, and whether that is enough."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from app.encoders import fidelity
from app.encoders.model_request import Captioned
from app.encoders.openvino import LARGEST_BATCH
from app.vectors import Vectors

if TYPE_CHECKING:
    from app.encoders.encoder import OpenClipEncoder
    from app.encoders.interfaces import Pixels

MINIMUM_MEAN_COSINE = 0.995  # to fp32, on pictures not used for calibration
MINIMUM_OVERLAP = 0.95  # of nearest pictures with fp32's, on the same pictures
MOST_LOST_RECALL = 0.01  # of recall@1 of captioned pictures by their captions


@dataclass(frozen=True)
class Quality:
    """What int8 was measured to keep of fp32's vectors.

    `cosine` is the mean cosine between the two vectors of a picture, `overlap` the mean share of
    a picture's nearest pictures on which they agree. `recall` and `fp32_recall` are the shares of
    captions whose nearest picture is their own; None where there were no captioned pictures.
    """

    cosine: float
    overlap: float
    recall: float | None = None
    fp32_recall: float | None = None

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Read a verdict, also one of a version that measured no recall."""
        return cls(**{name: kept.get(name) for name in cls.__dataclass_fields__})  # type: ignore[arg-type]

    def to_json(self) -> dict[str, float | None]:
        """As a verdict keeps it."""
        return asdict(self)

    @property
    def is_faithful(self) -> bool:
        """Whether pictures may be indexed by such vectors."""
        lost = (self.fp32_recall or 0.0) - (self.recall or 0.0)
        close = self.cosine >= MINIMUM_MEAN_COSINE and self.overlap >= MINIMUM_OVERLAP
        return close and lost <= MOST_LOST_RECALL

    def __str__(self) -> str:
        told = (
            f"mean cosine to fp32 {self.cosine:.4f} (at least {MINIMUM_MEAN_COSINE:g}), same "
            f"neighbours {self.overlap:.3f} (at least {MINIMUM_OVERLAP:g})"
        )
        if self.recall is None:
            return told
        return f"{told}, recall@1 of captions {self.recall:.3f} (in fp32 {self.fp32_recall:.3f})"


class QualityCheck:
    """Compares int8 encoders with `reference`, in fp32, on pictures and on captioned pictures.

    `seconds` is what `reference` takes for one picture.
    """

    def __init__(
        self,
        reference: "OpenClipEncoder",
        pixels: "Sequence[Pixels]",
        captioned: Sequence[Captioned],
    ) -> None:
        """Nothing is embedded yet but one batch; more than fidelity.NEIGHBOURS `pixels`."""
        self._began = time.monotonic()
        self._reference = reference
        self._pixels = pixels
        self._shown = [reference.prepare(picture) for picture, _ in captioned]
        self._captions = [caption for _, caption in captioned]
        self.captioned = len(captioned)
        some = pixels[:LARGEST_BATCH]
        reference.encode_pixels(some)  # the first of a shape prepares for it
        before = time.monotonic()
        reference.encode_pixels(some)
        self.seconds = (time.monotonic() - before) / len(some)

    def elapsed(self) -> float:
        """Seconds since this was made."""
        return time.monotonic() - self._began

    def embed_reference(self) -> None:
        """Embed everything in fp32, which `judged` compares with."""
        self._exact = embedded(self._reference, self._pixels)
        if self._captions:
            self._exact_shown = embedded(self._reference, self._shown)
            self._texts = self._reference.encode_texts(self._captions)

    def judged(self, other: "OpenClipEncoder") -> Quality:
        """How close its pictures are; its texts are not asked for: they stay in fp32."""
        found = embedded(other, self._pixels)
        cosine = fidelity.mean_cosine(self._exact, found)
        overlap = fidelity.overlap(self._exact, found)
        if not self._captions:
            return Quality(cosine, overlap)
        recall = fidelity.recall(self._texts, embedded(other, self._shown))
        return Quality(cosine, overlap, recall, fidelity.recall(self._texts, self._exact_shown))


def embedded(encoder: "OpenClipEncoder", pixels: "Sequence[Pixels]") -> Vectors:
    """The vectors of prepared pictures, shape (len(pixels), dimensions), in several batches."""
    starts = range(0, len(pixels), LARGEST_BATCH)
    return np.concatenate([encoder.encode_pixels(pixels[at : at + LARGEST_BATCH]) for at in starts])
