"""What runs in the process that reads texts: PP-OCR by rapidocr, on OpenVINO.

It imports nothing heavy before its first picture. `read` is called by `text_reader.py` alone.
"""

import os
import signal
import threading
from functools import cache
from multiprocessing import parent_process
from typing import Any

import numpy as np
import numpy.typing as npt

from app.understanding.texts.text_lines import TextLine

NICENESS = 5  # searches and indexing come first
DETECTION_SIDE = 1280  # pixels: words are looked for in pictures reduced to it, their longer side
MAX_READING_SECONDS = 120  # on one picture; then the process ends, and the picture has failed
MAX_LINES = 500  # of a picture, the first in reading order
MAX_CHARACTERS = 1_000  # of a line
LEAST_CONFIDENCE = 0.5  # of a line that is kept


def begin() -> None:
    """Prepare the process: it ends with its parent, and signals for all of a group pass it by."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    os.nice(NICENESS)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(0)


def read(pixels: npt.NDArray[np.uint8]) -> list[TextLine]:
    """The lines of text in a picture, RGB of shape (height, width, 3), in reading order."""
    signal.alarm(MAX_READING_SECONDS)
    try:
        found = _engine()(np.ascontiguousarray(pixels[:, :, ::-1]))  # it takes BGR
    finally:
        signal.alarm(0)
    if found.txts is None or found.boxes is None:
        return []
    height, width = pixels.shape[:2]
    lines = (
        TextLine(text.strip()[:MAX_CHARACTERS], _box(corners, width, height), float(score))
        for text, corners, score in zip(found.txts, found.boxes, found.scores, strict=True)
        if score >= LEAST_CONFIDENCE
    )
    return [line for line in lines if line.text][:MAX_LINES]


def _box(corners: Any, width: int, height: int) -> tuple[float, float, float, float]:
    """The upright box around four corners in pixels."""
    x, y = np.asarray(corners, np.float64).T
    x, y = np.clip(x / width, 0, 1), np.clip(y / height, 0, 1)
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


@cache
def _engine() -> Any:
    """The reader; its models lie in rapidocr's own folder, nothing is downloaded."""
    from rapidocr import EngineType, RapidOCR
    from rapidocr.inference_engine.openvino.device_config import CPUConfig

    told = CPUConfig.get_config

    def get_config(config: Any) -> dict[str, Any]:
        """OpenVINO keeps what it compiled for each shape that it met: memory would only grow."""
        return {**told(config), "CPU_RUNTIME_CACHE_CAPACITY": 0}

    setattr(CPUConfig, "get_config", get_config)  # noqa: B010  # mypy knows no other way
    size = {"Det.limit_type": "max", "Det.limit_side_len": DETECTION_SIDE}
    engines = {f"{step}.engine_type": EngineType.OPENVINO for step in ("Det", "Cls", "Rec")}
    return RapidOCR(params={"Global.log_level": "error", **size, **engines})
