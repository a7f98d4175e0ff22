"""The model alone, on the runtime that the server would choose: `python -m benchmarks.bare`.

Reads a task as JSON from standard input: paths of JPEGs, the number of batches, the number of
pictures to encode one by one, and texts. Prints JSON. Runs with a server's environment variables.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from app.pictures.decoding import decode
from app.runtime import models
from app.settings import Settings

WARM_UP = 3  # batches, and pictures, not counted


def main() -> None:
    """Time the forward pass of each batch, decoding and encoding each picture, and each text."""
    task = json.load(sys.stdin)
    settings = Settings.load()
    encoder = models.load_encoder(settings, models.default_model(settings))
    files = [Path(path).read_bytes() for path in task["photographs"]]
    told = {
        "runtime": getattr(encoder, "runtime", "torch"),
        "precision": encoder.precision,
        "texts": getattr(encoder.towers, "text_precision", encoder.precision),
        "device": encoder.device,
        "batch": settings.batch_size,
        "forward": _forward(encoder, settings, files, task["batches"]),
        "one": _one_by_one(encoder, settings, files[: task["ones"]]),
        "text": [_seconds(lambda: encoder.encode_texts([one])) for one in task["texts"]],  # noqa: B023
    }
    print(json.dumps(told))


def _forward(encoder: Any, settings: Settings, files: list[bytes], batches: int) -> list[float]:
    if not batches:
        return []
    size = settings.batch_size
    shown = (files * size)[:size]
    pixels = [encoder.prepare(decode(data, settings.max_megapixels).image) for data in shown]
    return [_seconds(lambda: encoder.encode_pixels(pixels)) for _ in range(WARM_UP + batches)][
        WARM_UP:
    ]


def _one_by_one(encoder: Any, settings: Settings, files: list[bytes]) -> list[float]:
    def one(data: bytes) -> None:
        image = decode(data, settings.max_megapixels).image
        encoder.encode_pixels([encoder.prepare(image)])

    for data in files[:WARM_UP]:
        one(data)
    return [_seconds(lambda: one(data)) for data in files]  # noqa: B023  # called at once


def _seconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
