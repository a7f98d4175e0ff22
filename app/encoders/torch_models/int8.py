"""The image tower in 8-bit integers, calibrated on pictures and evaluated before it is used.

Its vectors differ from fp32's by more than rounding and depend on the calibration pictures, so
they get their own fingerprint. Texts stay in floating point, and are compared with those vectors.
"""

import hashlib
import json
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from app.encoders.model_request import RuntimeOptions
from app.encoders.openvino import IMAGE, LARGEST_BATCH, NAME_DIGITS, TEXT, OpenVinoTowers
from app.encoders.torch_models.conversion import conversion, whole_folder
from app.encoders.torch_models.int8_quality import Quality, QualityCheck
from app.encoders.torch_models.quantisation import RECIPES, Recipe, quantise
from app.errors import ModelUnavailable

if TYPE_CHECKING:
    from app.encoders.encoder import OpenClipEncoder
    from app.encoders.interfaces import Pixels
    from app.encoders.torch_models.loaded_model import LoadedModel

log = logging.getLogger(__name__)

SAMPLE = 200  # pictures: every other one for calibration, the rest for evaluation
FEWEST = 40  # pictures: fewer would be meaningless
PASSES = 2  # of all pictures through the fp32 tower: about what the first recipe takes
VERDICT = "verdict.json"
DAMAGED = (
    "IMAGE_SEARCH_MODEL_CACHE_DIR: the int8 model in {} is damaged. Put a copy of that folder "
    "back, from a backup or from another machine with the same database. If you have none and "
    "nothing was indexed with it, delete the folder: then the model is calibrated anew."
)


class Quantised(NamedTuple):
    """The encoder, and the file that says how it was judged."""

    encoder: "OpenClipEncoder"
    verdict: Path


def encoder(loaded: "LoadedModel", options: RuntimeOptions, folder: Path) -> Quantised | None:
    """The int8 encoder, quantised now unless `folder` has it; None if it is not faithful to fp32.

    Raises ModelUnavailable if it cannot be made, or is damaged.
    """
    # No version in the name: newer OpenVINO can read it, and recalibrating would make a new model.
    mine = folder / f"{loaded.encoder.space.fingerprint[:NAME_DIGITS]}-int8"
    pixels = [] if mine.is_dir() else _sampled(loaded, options)
    try:
        fp32 = conversion(loaded, folder)
        if pixels:
            whole_folder(mine, _Calibration(loaded, fp32, pixels, options).write)
    except ModelUnavailable:
        raise
    except Exception as error:  # converters can fail in any way on a model
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelUnavailable(f"int8 cannot be made of this model: {reason}") from error
    try:
        verdict = json.loads((mine / VERDICT).read_text())
        quality = Quality.from_json(verdict)
        if not quality.is_faithful:
            log.warning("int8 is not faithful to fp32, so floating point is used: %s", quality)
            return None
        towers = OpenVinoTowers(mine / IMAGE, fp32 / TEXT, "int8", "fp32")
        made = loaded.encoder.on(towers, verdict["fingerprint"], LARGEST_BATCH)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:  # a damaged disk
        raise ModelUnavailable(DAMAGED.format(mine)) from error
    return Quantised(made, mine / VERDICT)


def _sampled(loaded: "LoadedModel", options: RuntimeOptions) -> "list[Pixels]":
    """Pictures for calibration and evaluation, prepared. Raises ModelUnavailable."""
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


def quality_of(encoder: "OpenClipEncoder") -> Quality:
    """How an int8 encoder was judged when it was calibrated."""
    image = cast("OpenVinoTowers", encoder.towers).image_file
    return Quality.from_json(json.loads(image.with_name(VERDICT).read_text()))


class _Calibration:
    """One calibration: recipes are tried in turn until one is faithful."""

    def __init__(
        self, loaded: "LoadedModel", fp32: Path, pixels: "list[Pixels]", options: RuntimeOptions
    ) -> None:
        """Raises ModelUnavailable if it would take too long."""
        self._loaded, self._fp32 = loaded, fp32
        self._most_seconds = options.most_seconds
        self._calibrating, held_out = pixels[::2], pixels[1::2]
        reference = loaded.encoder.on(OpenVinoTowers(fp32 / IMAGE, fp32 / TEXT, "fp32"))
        self._check = QualityCheck(reference, held_out, options.captioned())
        self._limit_time(PASSES * (len(pixels) + self._check.captioned) * self._check.seconds)
        self._check.embed_reference()

    def _limit_time(self, seconds: float) -> None:
        """Raise ModelUnavailable if there is less time left than that."""
        if self._most_seconds is None:
            return
        left = max(0.0, self._most_seconds - self._check.elapsed())
        if seconds > left:
            raise ModelUnavailable(
                f"calibrating it would take about {seconds:.0f} s more, and {left:.0f} s are left. "
                "IMAGE_SEARCH_PRECISION=int8 does it nevertheless."
            )

    def write(self, part: Path) -> None:
        """Quantise, compare with fp32, and record the verdict.

        Only a faithful tower is kept: of the others the verdict says how close they were.
        Raises ModelUnavailable where the time is over.
        """
        name = self._loaded.encoder.space.name
        log.info("quantising %s on %d pictures, once", name, len(self._calibrating))
        tried: list[tuple[Recipe, Quality]] = []
        for recipe in RECIPES:
            if tried:
                self._limit_time(self._check.elapsed() / len(tried))
            if not quantise(self._fp32 / IMAGE, self._calibrating, recipe, part / IMAGE):
                continue  # it is the same as one before
            quality = self._check.judged(self._quantised(part))
            log.info("int8 with %s: %s", recipe.name, quality)
            tried.append((recipe, quality))
            if quality.is_faithful:
                break
        self._conclude(tried, part)

    def _conclude(self, tried: list[tuple[Recipe, Quality]], part: Path) -> None:
        recipe, quality = tried[-1]
        verdict = {
            "fingerprint": _fingerprint(self._loaded.encoder.space.fingerprint, part),
            "recipe": recipe.name,
            **quality.to_json(),
            "tried": [{"recipe": one.name, **found.to_json()} for one, found in tried],
        }
        (part / VERDICT).write_text(json.dumps(verdict, indent=1))
        if not quality.is_faithful:
            for file in _files(part):
                file.unlink()

    def _quantised(self, part: Path) -> "OpenClipEncoder":
        return self._loaded.encoder.on(OpenVinoTowers(part / IMAGE, self._fp32 / TEXT, "int8"))


def _fingerprint(fp32: str, folder: Path) -> str:
    """SHA-256 of the fp32 fingerprint and the quantised weights and ranges, as hex."""
    digest = hashlib.sha256(f"{fp32} int8".encode())
    for file in _files(folder):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _files(folder: Path) -> tuple[Path, Path]:
    return folder / IMAGE, (folder / IMAGE).with_suffix(".bin")
