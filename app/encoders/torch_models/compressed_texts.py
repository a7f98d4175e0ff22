"""The text tower with its weights in 8-bit integers, where that is faster and close enough to fp32.

A text alone is bound by reading weights, and these are a quarter of fp32's bytes. Its vectors
differ from fp32's by no more than rounding, or it is not used: so the fingerprint stays.
"""

import io
import json
import logging
import warnings
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from app.encoders import fidelity
from app.encoders.openvino import COMPRESSED, LARGEST_BATCH, NAME_DIGITS, TEXT, OpenVinoTowers
from app.encoders.torch_models.conversion import conversion, whole_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.encoders.encoder import OpenClipEncoder
    from app.encoders.torch_models.loaded_model import LoadedModel

    TextTimer = Callable[[list[OpenClipEncoder]], list[float]]
    """The best seconds per text of each encoder."""

log = logging.getLogger(__name__)

MINIMUM_COSINE = 0.9995  # to fp32, of every golden text
GAIN = 0.9  # of the other tower's time: for less the vectors stay as they are
WORTH_SECONDS = 0.002  # a tower that takes less for a text has little to gain
VERDICT = "verdict.json"


def tried(
    loaded: "LoadedModel",
    encoder: "OpenClipEncoder",
    folder: Path,
    key: str,
    text_seconds: "TextTimer",
) -> "OpenClipEncoder":
    """The encoder with the compressed text tower, or as it is if that does not pay here.

    It runs in OpenVINO. `key` names its precision, the machine and the versions: for each, the
    trial is made once and kept in `folder`.
    """
    if find_spec("nncf") is None:
        return encoder
    mine = folder / f"{loaded.encoder.space.fingerprint[:NAME_DIGITS]}-texts-{key}"
    try:
        if not mine.is_dir():
            if min(text_seconds([encoder])) < WORTH_SECONDS:
                return encoder
            whole_folder(mine, lambda part: _make(loaded, encoder, folder, part, text_seconds))
        verdict = json.loads((mine / VERDICT).read_text())
        return _on(encoder, mine / TEXT) if _pays(verdict) else encoder
    except Exception as error:  # noqa: BLE001  # as with conversions: it costs speed alone
        log.warning(
            "texts stay as they are: %s", (str(error).strip() or repr(error)).splitlines()[0]
        )
        return encoder


def _on(encoder: "OpenClipEncoder", text: Path) -> "OpenClipEncoder":
    plain = cast("OpenVinoTowers", encoder.towers)
    towers = OpenVinoTowers(plain.image_file, text, plain.precision, COMPRESSED)
    return encoder.on(towers, encoder.space.fingerprint, LARGEST_BATCH)


def _pays(verdict: dict[str, float]) -> bool:
    is_faster = verdict["seconds"] <= GAIN * verdict["plain_seconds"]
    return is_faster and verdict["cosine"] >= MINIMUM_COSINE


def _make(
    loaded: "LoadedModel",
    encoder: "OpenClipEncoder",
    folder: Path,
    part: Path,
    text_seconds: "TextTimer",
) -> None:
    """Compress, compare and time; a tower that does not pay leaves nothing but the verdict."""
    _compress(conversion(loaded, folder) / TEXT, part / TEXT)
    compressed = _on(encoder, part / TEXT)
    plain, seconds = text_seconds([encoder, compressed])
    cosine = fidelity.lowest_text_cosine(loaded.encoder, compressed)
    verdict = {"cosine": cosine, "seconds": seconds, "plain_seconds": plain}
    (part / VERDICT).write_text(json.dumps(verdict))
    log.info(
        "texts with weights in 8 bits: %.1f ms, otherwise %.1f; a cosine of %.5f to fp32",
        *(1e3 * seconds, 1e3 * plain, cosine),
    )
    if not _pays(verdict):
        for file in (part / TEXT, (part / TEXT).with_suffix(".bin")):
            file.unlink()


def _compress(source: Path, target: Path) -> None:
    import openvino as ov

    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # it draws bars and tables
        warnings.simplefilter("ignore")  # from its dependencies
        import nncf  # takes seconds, and most starts do not need it

        model: Any = nncf.compress_weights(ov.Core().read_model(source))  # 8 bits, asymmetric
    ov.save_model(model, target, compress_to_fp16=False)
