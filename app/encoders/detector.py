"""A detector of things in pictures that the operator has plugged in; importable without torch."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from PIL import Image

from app.errors import AnnotatorUnavailable
from app.pictures.crops import Box

SEPARATOR = "@"
SETTING = "IMAGE_SEARCH_REGION_DETECTOR"

Detect = Callable[[Image.Image], Sequence[Box]]


class PluggedInDetector:
    """A detection model of torchvision, loaded with its first picture. Any thread may call.

    `named` is `<architecture>@<file>`: a builder of torchvision, and its weights on this disk.
    """

    def __init__(self, named: str) -> None:
        self._architecture, _, file = named.partition(SEPARATOR)
        self._file = Path(file).expanduser()
        self._lock = threading.Lock()
        self._detect: Detect | None = None

    @cached_property
    def version(self) -> str:
        """The architecture and a hash of the weights. Raises AnnotatorUnavailable."""
        try:
            with self._file.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise AnnotatorUnavailable(
                f"regions: the detector's weights {self._file} cannot be read: {error.strerror}. "
                f"{SETTING} is <architecture>@<file>, for example "
                "fasterrcnn_mobilenet_v3_large_320_fpn@/models/detector.safetensors."
            ) from error
        return f"{self._architecture} {digest[:12]}"

    def boxes(self, image: Image.Image) -> Sequence[Box]:
        """Where there are things in an RGB picture, the surest first. Raises AnnotatorUnavailable.

        Pictures wait for each other: a model takes all cores.
        """
        with self._lock:
            if self._detect is None:
                from app.encoders.torch_models.detection import load_detector  # torch: seconds

                self._detect = load_detector(self._architecture, self._file)
            return self._detect(image)
