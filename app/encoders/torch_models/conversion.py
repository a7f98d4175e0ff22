"""Converts CLIP's towers from torch to OpenVINO once, and keeps the result on disk.

A conversion is a folder that appears complete or not at all, and is never written to again.
"""

import logging
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as ov
import torch

from app.encoders.interfaces import Pixels, Tokens
from app.encoders.openvino import IMAGE, NAME_DIGITS, TEXT, OpenVinoTowers, place

if TYPE_CHECKING:
    from app.encoders.torch_models.loaded_model import LoadedModel

log = logging.getLogger(__name__)

EXAMPLE_TEXTS = ["a green tree", "two dogs"]  # conversion traces one run on them
EXAMPLE_PICTURES = 2  # not one: some modules special-case a batch of one
PART = ".part-"
FOLDER_MODE = 0o755  # lets other users' processes read what this one made
CONVERTING = threading.Lock()


def towers(loaded: "LoadedModel", folder: Path, precision: str) -> OpenVinoTowers:
    """The towers of `loaded` in fp32 or bf16, converted now unless `folder` already has them.

    Raises whatever torch and OpenVINO raise if an architecture cannot be converted, and OSError
    if nothing can be written.
    """
    mine = conversion(loaded, folder)
    try:
        return OpenVinoTowers(mine / IMAGE, mine / TEXT, precision)
    except RuntimeError:  # OpenVINO's only error type: a damaged disk, an edited file
        log.exception("the converted model in %s cannot be read; converting it anew", mine)
        shutil.rmtree(mine)
        conversion(loaded, folder)
        return OpenVinoTowers(mine / IMAGE, mine / TEXT, precision)


def conversion(loaded: "LoadedModel", folder: Path) -> Path:
    """The folder with both fp32 towers, IMAGE and TEXT, made if absent. Raises like `towers`."""
    fingerprint = loaded.encoder.space.fingerprint
    mine = place(folder, fingerprint)
    if not mine.is_dir():
        log.info("converting %s for OpenVINO, once", loaded.encoder.space.name)
        whole_folder(mine, lambda part: _convert(loaded, part))
        for old in folder.glob(f"{fingerprint[:NAME_DIGITS]}-fp32-openvino-*"):
            if old != mine:  # an older version's; processes that have it open keep it
                shutil.rmtree(old, ignore_errors=True)
    return mine


def _convert(loaded: "LoadedModel", part: Path) -> None:
    encoder = loaded.encoder
    blank = np.stack([encoder.prepare(image) for image in _blanks()])
    tokens = loaded.text.cut(loaded.tokenizer(EXAMPLE_TEXTS).numpy())
    length = -1 if loaded.text.cuts else tokens.shape[1]
    image, text = loaded.image_tower().eval(), loaded.text.eval()
    _save(image, blank, [-1, *blank.shape[1:]], part / IMAGE)
    _save(text, tokens, [-1, length], part / TEXT)


def _blanks() -> list[Any]:
    from PIL import Image

    return [Image.new("RGB", (256, 256), shade) for shade in ("gray", "white")][:EXAMPLE_PICTURES]


def _save(tower: torch.nn.Module, example: Pixels | Tokens, shape: list[int], path: Path) -> None:
    """Convert and save a tower, keeping fp32 weights: fp16 ones would change the vectors."""
    kind = ov.Type.u8 if example.dtype == np.uint8 else ov.Type.i64
    with _own_logging(), warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # OpenVINO's tracing uses APIs that torch has deprecated
        given = [(ov.PartialShape(shape), kind)]
        model = ov.convert_model(tower, example_input=torch.from_numpy(example), input=given)
    ov.save_model(model, path, compress_to_fp16=False)


@contextmanager
def _own_logging() -> Iterator[None]:
    """Restore logging: OpenVINO's converter silences the process, for good if it fails.

    One at a time: the second would take the silence of the first for the state to restore.
    """
    with CONVERTING:
        root = logging.getLogger()
        level, filters, handlers = root.level, root.filters[:], root.handlers[:]
        try:
            yield
        finally:
            root.setLevel(level)
            root.filters, root.handlers = filters, handlers


def whole_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Have `fill` write to a new folder that becomes `target` only once it is complete.

    If two processes create it at the same time, one result is kept.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=target.parent, prefix=PART))
    try:
        fill(part)
        part.chmod(FOLDER_MODE)
        part.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
