"""The image tower in 8-bit integers, calibrated on pictures and evaluated before it is used.

Its vectors differ from fp32's by more than rounding and depend on the calibration pictures, so
they get their own fingerprint. Texts stay in fp32, and pictures are compared with those vectors.
"""

import hashlib
import json
import logging
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.encoders import fidelity
from app.encoders.model_request import RuntimeOptions
from app.encoders.openvino import IMAGE, LARGEST_BATCH, NAME_DIGITS, TEXT, OpenVinoTowers
from app.encoders.torch_models.conversion import conversion, whole_folder
from app.errors import ModelUnavailable
from app.vectors import Vectors

if TYPE_CHECKING:
    from app.encoders.encoder import OpenClipEncoder
    from app.encoders.interfaces import Pixels
    from app.encoders.torch_models.loaded_model import LoadedModel

log = logging.getLogger(__name__)

MINIMUM_MEAN_COSINE = 0.995  # to fp32, on pictures not used for calibration
MINIMUM_OVERLAP = 0.95  # of nearest pictures with fp32's, on the same pictures
SAMPLE = 200  # pictures: every other one for calibration, the rest for evaluation
FEWEST = 40  # pictures: fewer would be meaningless
VERDICT = "verdict.json"


def encoder(
    loaded: "LoadedModel", options: RuntimeOptions, folder: Path
) -> "OpenClipEncoder | None":
    """The int8 encoder, quantised now unless `folder` has it; None if it is not faithful to fp32.

    Raises ModelUnavailable if it cannot be made, and whatever `conversion.towers` raises.
    """
    fp32 = conversion(loaded, folder)
    # No version in the name: newer OpenVINO can read it, and recalibrating would make a new model.
    mine = folder / f"{loaded.encoder.space.fingerprint[:NAME_DIGITS]}-int8"
    if not mine.is_dir():
        pixels = _sampled(loaded, options)
        whole_folder(mine, lambda part: _make(loaded, fp32, pixels, part))
    verdict = json.loads((mine / VERDICT).read_text())
    if not _is_faithful(verdict):
        log.warning(
            "int8 is not faithful to fp32 (mean cosine %.4f of at least %g, overlap %.3f of at "
            "least %g); using fp32",
            *(verdict["cosine"], MINIMUM_MEAN_COSINE, verdict["overlap"], MINIMUM_OVERLAP),
        )
        return None
    towers = OpenVinoTowers(mine / IMAGE, fp32 / TEXT, "int8")
    return loaded.encoder.on(towers, verdict["fingerprint"], LARGEST_BATCH)


def _is_faithful(verdict: dict[str, Any]) -> bool:
    close: bool = verdict["cosine"] >= MINIMUM_MEAN_COSINE
    return close and bool(verdict["overlap"] >= MINIMUM_OVERLAP)


def _sampled(loaded: "LoadedModel", options: RuntimeOptions) -> "list[Pixels]":
    if find_spec("nncf") is None:
        raise ModelUnavailable(
            "int8 needs nncf: install this project with its extra `int8`, or choose another "
            "precision."
        )
    pictures = options.samples(SAMPLE)
    if len(pictures) < FEWEST:
        raise ModelUnavailable(
            f"int8 is calibrated on pictures: {FEWEST} at least, {len(pictures)} found."
        )
    return [loaded.encoder.prepare(picture) for picture in pictures]


def _make(loaded: "LoadedModel", fp32: Path, pixels: "list[Pixels]", part: Path) -> None:
    """Quantise, compare with fp32, and record the verdict."""
    log.info("quantising %s on %d pictures, once", loaded.encoder.space.name, len(pixels))
    _quantise(fp32 / IMAGE, pixels[::2], part / IMAGE)
    reference = loaded.encoder.on(OpenVinoTowers(fp32 / IMAGE, fp32 / TEXT, "fp32"))
    quantised = loaded.encoder.on(OpenVinoTowers(part / IMAGE, fp32 / TEXT, "int8"))
    held_out = pixels[1::2]
    verdict = {
        "fingerprint": _fingerprint(loaded.encoder.space.fingerprint, part),
        **judged(reference, quantised, held_out),
    }
    (part / VERDICT).write_text(json.dumps(verdict))


def judged(
    reference: "OpenClipEncoder", quantised: "OpenClipEncoder", pixels: "list[Pixels]"
) -> dict[str, float]:
    """The mean cosine between two encoders' embeddings, and the overlap of nearest pictures."""
    exact, other = _embedded(reference, pixels), _embedded(quantised, pixels)
    return {
        "cosine": fidelity.mean_cosine(exact, other),
        "overlap": fidelity.overlap(exact, other),
    }


def _embedded(encoder: "OpenClipEncoder", pixels: "list[Pixels]") -> Vectors:
    starts = range(0, len(pixels), LARGEST_BATCH)
    return np.concatenate([encoder.encode_pixels(pixels[at : at + LARGEST_BATCH]) for at in starts])


def _quantise(source: Path, pixels: "list[Pixels]", target: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from its dependencies
        import nncf  # takes seconds, and most starts do not need it
    import openvino as ov

    batches = nncf.Dataset([one[np.newaxis] for one in pixels])
    model = nncf.quantize(
        ov.Core().read_model(source),
        batches,
        model_type=nncf.ModelType.TRANSFORMER,  # smooth quantisation; attention stays in fp32
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(pixels),
    )
    ov.save_model(model, target, compress_to_fp16=False)


def _fingerprint(fp32: str, folder: Path) -> str:
    """SHA-256 of the fp32 fingerprint and the quantised weights and ranges, as hex."""
    digest = hashlib.sha256(f"{fp32} int8".encode())
    for file in (IMAGE, Path(IMAGE).with_suffix(".bin").name):
        digest.update((folder / file).read_bytes())
    return digest.hexdigest()
