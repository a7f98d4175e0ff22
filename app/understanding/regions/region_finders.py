"""What finds regions in pictures: the grid, or a detector that the operator has plugged in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from app.errors import AnnotatorUnavailable
from app.pictures.crops import Box, crop
from app.pictures.decoding import PillowImage
from app.understanding.regions.grid import GRID_VERSION, grid

MOST_CROPS = 16  # of a picture, by any finder
MARGIN = 0.1  # of a detected box's sides, added around it: what is near tells what it is

Crop = tuple[Box, PillowImage]


class Detector(Protocol):
    """Finds things in pictures, whatever they are."""

    @property
    def version(self) -> str:
        """What was found by another is stale. Raises AnnotatorUnavailable."""

    def boxes(self, image: PillowImage) -> Sequence[Box]:
        """Where there are things in an RGB picture. Raises AnnotatorUnavailable."""


@dataclass(frozen=True)
class RegionFinders:
    """The finders by the names of their annotators; `detector` is None if there is none."""

    detector: Detector | None = None

    def version(self, name: str) -> str:
        """Raises AnnotatorUnavailable."""
        return GRID_VERSION if name == "grid" else self._detector().version

    def version_in(self, name: str, generation: int | Literal["%"]) -> str:
        """The version of what is found for one generation, or for any (LIKE).

        Raises AnnotatorUnavailable.
        """
        return f"{self.version(name)}, generation {generation}"

    def of(self, name: str) -> Callable[[PillowImage], Sequence[Crop]]:
        """What finds regions of an RGB picture, with their crops. Raises AnnotatorUnavailable."""
        return grid if name == "grid" else _Detected(self._detector())

    def _detector(self) -> Detector:
        if self.detector is None:
            raise AnnotatorUnavailable(
                "regions: no detector is set: name a model of torchvision and the file of its "
                "weights in IMAGE_SEARCH_REGION_DETECTOR. `grid` needs no detector."
            )
        return self.detector


@dataclass(frozen=True)
class _Detected:
    detector: Detector

    def __call__(self, image: PillowImage) -> list[Crop]:
        boxes = [_with_margin(box) for box in self.detector.boxes(image)[:MOST_CROPS]]
        return [(box, crop(image, box)) for box in boxes]


def _with_margin(box: Box) -> Box:
    x, y, width, height = box
    left, top = max(0.0, x - MARGIN * width), max(0.0, y - MARGIN * height)
    right, bottom = min(1.0, x + (1 + MARGIN) * width), min(1.0, y + (1 + MARGIN) * height)
    return left, top, right - left, bottom - top
