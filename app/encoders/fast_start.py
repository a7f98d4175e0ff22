"""A record that lets the next start serve a model in OpenVINO without importing torch.

Importing torch and open_clip and reading a checkpoint takes most of the startup time and half the
memory, and for a converted model the outcome is the same each time. So it is recorded next to the
conversion, along with everything it depends on. If any of that has changed, or the encoder built
from the record no longer gives the recorded vectors, the model is loaded through torch again.
"""

import hashlib
import json
import logging
import os
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from app.encoders import fidelity, hardware
from app.encoders.encoder import OpenClipEncoder
from app.encoders.file_identity import Files, identities
from app.encoders.inputs.preprocessing import Preprocessing
from app.encoders.inputs.tokenizer import ClipTokenizer, read_merges, vocabulary
from app.encoders.interfaces import TokenCut, Towers
from app.encoders.model_request import ModelRequest
from app.storage.disk import whole_file
from app.vectors import VectorSpace

if TYPE_CHECKING:
    from app.encoders.openvino import OpenVinoTowers
    from app.encoders.torch_models.loaded_model import LoadedModel

log = logging.getLogger(__name__)

FORMAT = 4  # bump it when the record, or what is built from it, changes
PRECISIONS = ("fp32", "bf16", "int8")
VERSIONS = (
    *("torch", "torchvision", "open-clip-torch", "openvino"),
    *("numpy", "pillow", "ftfy", "regex", "huggingface-hub"),
)
# These determine where the hub's cache is and where a path written with `~` leads.
ENVIRONMENT = ("HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME")
PROBE = "a tree"  # as short as the warm-up text: the text tower prepares for each length
SIZES = ((256, 256), (500, 375), (61, 130), (1200, 90), (224, 224), (7, 9))  # of pictures compared
TEXTS = (
    *(
        "",
        "  ",
        "a green tree",
        "自行车 and a RED car",
        "don't — we'LL it's I'm",
        "naïve  CAFÉ, ﬁn",
    ),
    *("😀👩‍👩‍👧 12½ ²", "&amp;lt;b&gt; a_b--c!!!", "long " * 300, "x" * 700, "İSTANBUL \x07 ſ'ſ"),
    "<start_of_text> a <END_OF_TEXT>",
)


@dataclass(frozen=True)
class Record:
    """What is stored, as JSON-compatible types."""

    circumstances: dict[str, Any]
    places: list[str]  # files and folders whose state is recorded in `files`
    files: Files
    space: dict[str, Any]
    logit_scale: float
    image_file: str
    text_file: str
    precision: str
    text_precision: str
    cut: dict[str, Any]
    shaping: dict[str, Any]
    context: int
    probe: list[list[float]]  # the vectors of PROBE and of a golden picture


def find(request: ModelRequest) -> OpenClipEncoder | None:
    """The encoder an earlier start recorded, or None if anything it depends on has changed."""
    file = None if request.options.folder is None else _file(request, request.options.folder)
    if file is None or not file.is_file() or not _is_for_cpu(request.device):
        return None
    try:
        record = _read(file)
        if (changed := _changed(record, request)) is None:
            return _checked(record)
        reason = f"changed since: {changed}"
    except Exception as error:  # noqa: BLE001  # whatever is wrong, torch can still load it
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    log.info(
        "loading %s with torch, as at the first start: %s", request.name or request.model, reason
    )
    return None


def keep(
    request: ModelRequest, loaded: "LoadedModel", encoder: OpenClipEncoder, trials: Path
) -> None:
    """Write the record `find` needs, if `encoder` can be rebuilt identically without torch.

    `loaded` is the model it was built from; `trials` is the file of measurements that it was chosen
    by, or the verdict on int8.
    """
    folder = request.options.folder
    if folder is None or encoder.runtime != "openvino" or encoder.precision not in PRECISIONS:
        return
    try:
        record = _record(request, loaded, encoder, trials)
        with whole_file(_file(request, folder)) as out:
            out.write(_written(record))
    except Exception as error:  # noqa: BLE001  # the only cost is a slower next start
        log.info("the next start loads it with torch again: %s", error)


def _file(request: ModelRequest, folder: Path) -> Path:
    """The record's file: one per request, so that each of several models has its own."""
    about = json.dumps(_request_values(request)).encode()
    return folder / f"start-{hashlib.sha256(about).hexdigest()[:16]}.json"


def _request_values(request: ModelRequest) -> list[str | None]:
    options = request.options
    model = [request.model, request.pretrained, request.name]
    return [*model, request.device, options.runtime, options.precision]


def _is_for_cpu(device: str) -> bool:
    return device == "cpu" or (device == "auto" and not hardware.may_have_gpu())


def _circumstances(request: ModelRequest) -> dict[str, Any]:
    """What determines the encoder torch would choose, besides files, as JSON-compatible types."""
    return {
        "format": FORMAT,
        "question": _request_values(request),
        "processor": hardware.processor(),
        "cores": hardware.cores(),
        "python": platform.python_version(),
        "versions": [version(name) for name in VERSIONS],
        "working directory": str(Path.cwd()),
        "environment": [os.environ.get(name) for name in ENVIRONMENT],
    }


def _changed(record: Record, request: ModelRequest) -> str | None:
    """The name of the first thing that has changed since the record; None if nothing has."""
    now = _circumstances(request)
    for name in sorted({*now, *record.circumstances}):
        if name not in now or now[name] != record.circumstances.get(name):
            return name
    there = identities([Path(place) for place in record.places])
    for path in sorted({*there, *record.files}):
        if there.get(path) != record.files.get(path):
            return path
    return None


def _checked(record: Record) -> OpenClipEncoder:
    """The encoder built from a record. Raises ValueError if its vectors differ from those kept."""
    encoder = _made(record, _towers(record))
    least = fidelity.MINIMUM_COSINE
    if record.precision == "fp32":
        least = fidelity.EXACT_COSINE
    cosines = (np.array(_probed(encoder)) * np.array(record.probe)).sum(axis=1)
    if not (cosines >= least).all():
        raise ValueError(f"its vectors differ: their cosine is {cosines.min():.5f}")
    return encoder


def _towers(record: Record) -> "OpenVinoTowers":
    from app.encoders.openvino import OpenVinoTowers

    files = Path(record.image_file), Path(record.text_file)
    return OpenVinoTowers(*files, record.precision, record.text_precision)


def _made(record: Record, towers: Towers) -> OpenClipEncoder:
    from app.encoders.openvino import LARGEST_BATCH

    tokenizer, cut = ClipTokenizer(record.context), TokenCut(**record.cut)
    shaping, space = Preprocessing(**record.shaping), VectorSpace(**record.space)
    parts = (shaping, tokenizer, cut, space, record.logit_scale)
    return OpenClipEncoder(towers, *parts, LARGEST_BATCH)


def _probed(encoder: OpenClipEncoder) -> list[list[float]]:
    """The vectors of PROBE and of a golden picture."""
    picture = encoder.prepare(fidelity.golden_images()[0])
    return [encoder.encode_texts([PROBE])[0].tolist(), encoder.encode_pixels([picture])[0].tolist()]


def _record(
    request: ModelRequest, loaded: "LoadedModel", encoder: OpenClipEncoder, trials: Path
) -> Record:
    """The record for `encoder`. Raises ValueError if it cannot be rebuilt without torch."""
    from app.encoders import openvino

    if request.options.folder is None or loaded.place is None:
        raise ValueError("its files lie in several places")
    converted = openvino.place(request.options.folder, loaded.encoder.space.fingerprint)
    towers = cast("OpenVinoTowers", encoder.towers)
    image, text = towers.image_file.absolute(), towers.text_file.absolute()
    parts = (loaded.place, converted, trials, image.parent, text.parent)
    places = [place.absolute() for place in parts]
    files = identities(places)
    if identities([loaded.place]) != loaded.files:
        raise ValueError("its files were changed while they were read")
    return Record(
        circumstances=_circumstances(request),
        places=[str(place) for place in places],
        files=files,
        space=asdict(encoder.space),
        logit_scale=encoder.logit_scale,
        image_file=str(image),
        text_file=str(text),
        precision=towers.precision,
        text_precision=towers.text_precision,
        cut=asdict(loaded.text.cut),
        shaping=asdict(_shaping(loaded)),
        context=_context(loaded.tokenizer),
        probe=_probed(encoder),
    )


def _context(theirs: Any) -> int:
    """The context length; ValueError unless vocabulary and TEXTS' ids match ClipTokenizer's."""
    merges = read_merges()
    if type(theirs).__name__ != "SimpleTokenizer" or theirs.reduction_fn is not None:
        raise ValueError("its tokenizer is not CLIP's own")
    if theirs.encoder != vocabulary(merges) or list(theirs.bpe_ranks) != merges:
        raise ValueError("its tokenizer has a vocabulary of its own")
    context: int = theirs.context_length
    if not np.array_equal(theirs(list(TEXTS)).numpy(), ClipTokenizer(context)(TEXTS)):
        raise ValueError("its tokenizer cleans texts in another way")
    return context


def _shaping(loaded: "LoadedModel") -> Preprocessing:
    """The Preprocessing equal to that of `loaded`, pixel by pixel; raises ValueError if none is."""
    config = loaded.text.model.visual.preprocess_cfg
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else size
    mode, interpolation = config["resize_mode"], config["interpolation"]
    shaping = Preprocessing(height, width, mode, interpolation, config["fill_color"])
    some = fidelity.golden_images()[0]
    for image in [some.resize(sides) for sides in SIZES]:
        if not np.array_equal(loaded.encoder.prepare(image), np.asarray(shaping(image))):
            raise ValueError("its pictures are prepared in another way")
    return shaping


def _written(record: Record) -> bytes:
    content = json.dumps(asdict(record), sort_keys=True)
    return json.dumps({"sha256": _digest(content), "record": content}).encode()


def _read(file: Path) -> Record:
    """The record in `file`. Raises ValueError if it is not intact."""
    with suppress(KeyError, TypeError):
        whole = json.loads(file.read_text())
        if whole["sha256"] == _digest(whole["record"]):
            return Record(**json.loads(whole["record"]))
    raise ValueError(f"{file} is damaged")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
