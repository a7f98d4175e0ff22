"""The image tower in 8-bit integers: calibrated on pictures, and judged before it is used.

Its vectors are others than fp32's, by more than rounding, and depend on the pictures: they have a
fingerprint of their own. Texts stay in fp32, whose vectors these pictures are compared with.
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

MINIMUM_MEAN_COSINE = 0.995  # to fp32, over pictures that it was not calibrated on
MINIMUM_OVERLAP = 0.95  # of the nearest pictures in both, likewise
SAMPLE = 200  # pictures: every other one calibrates, the rest judge
FEWEST = 40  # pictures: fewer say nothing
VERDICT = "verdict.json"


def encoder(
    loaded: "LoadedModel", wanted: RuntimeOptions, folder: Path
) -> "OpenClipEncoder | None":
    """The encoder in int8, quantised now unless `folder` has it; None where it is unfaithful.

    Raises ModelUnavailable where it cannot be made, and as `conversion.towers`.
    """
    fp32 = conversion(loaded, folder)
    # No version in the name: a newer OpenVINO reads it, and new calibration would be a new model.
    mine = folder / f"{loaded.encoder.space.fingerprint[:NAME_DIGITS]}-int8"
    if not mine.is_dir():
        pixels = _sampled(loaded, wanted)
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


def _sampled(loaded: "LoadedModel", wanted: RuntimeOptions) -> "list[Pixels]":
    if find_spec("nncf") is None:
        raise ModelUnavailable(
            "PRECISION=int8 needs nncf: install this project with its extra `int8`, "
            "or set PRECISION=auto."
        )
    pictures = wanted.samples(SAMPLE)
    if len(pictures) < FEWEST:
        raise ModelUnavailable(
            f"PRECISION=int8 is calibrated on pictures: {FEWEST} at least, {len(pictures)} found."
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
    """The mean cosine of two encoders' pictures, and the overlap of what is nearest in both."""
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
        warnings.simplefilter("ignore")  # of what it is made of
        import nncf  # takes seconds, and most starts need none of it
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
    """SHA-256 over that of the exact model and the quantised weights and ranges, as hex."""
    digest = hashlib.sha256(f"{fp32} int8".encode())
    for file in (IMAGE, Path(IMAGE).with_suffix(".bin").name):
        digest.update((folder / file).read_bytes())
    return digest.hexdigest()
