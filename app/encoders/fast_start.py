"""A record from which the next start serves a model in OpenVINO without importing torch.

Importing torch and open_clip and reading a checkpoint takes most of a start and half its memory,
and for a converted model gives the same results each time. These are recorded beside the
conversion, with everything they depend on. If any of that has changed, or the encoder made from
the record gives other vectors than it did, the model is loaded by torch again.
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
from typing import TYPE_CHECKING, Any

import numpy as np

from app.encoders import fidelity, hardware
from app.encoders.encoder import OpenClipEncoder
from app.encoders.file_identity import Files, identities
from app.encoders.interfaces import TokenCut, Towers
from app.encoders.model_request import ModelRequest
from app.encoders.preprocessing import Preprocessing
from app.encoders.tokenizer import ClipTokenizer, read_merges, vocabulary
from app.storage.disk import whole_file
from app.vectors import VectorSpace

if TYPE_CHECKING:
    from app.encoders.torch_models.loaded_model import LoadedModel

log = logging.getLogger(__name__)

FORMAT = 2  # raise it when the record, or what is made from it, changes
PRECISIONS = ("fp32", "bf16")  # int8 has a verdict of its own to look at
VERSIONS = (
    *("torch", "torchvision", "open-clip-torch", "openvino"),
    *("numpy", "pillow", "ftfy", "regex", "huggingface-hub"),
)
# What decides where the hub's cache is, and a relative path leads.
ENVIRONMENT = ("HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME")
PROBE = "a tree"  # as short as what warms the text tower, which prepares for each length
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
    """What is kept, in types that JSON has."""

    circumstances: dict[str, Any]
    places: list[str]  # files and folders, of which `files` says how they were
    files: Files
    space: dict[str, Any]
    folder: str
    precision: str
    cut: dict[str, Any]
    shaping: dict[str, Any]
    context: int
    probe: list[list[float]]  # the vectors of PROBE and of a golden picture


def find(asked: ModelRequest) -> OpenClipEncoder | None:
    """The encoder as an earlier start has had it, if nothing that it depends on has changed."""
    file = None if asked.wanted.folder is None else _file(asked, asked.wanted.folder)
    if file is None or not file.is_file() or not _is_for_cpu(asked.device):
        return None
    try:
        record = _read(file)
        if (changed := _changed(record, asked)) is None:
            return _checked(record)
        reason = f"changed since: {changed}"
    except Exception as error:  # noqa: BLE001  # whatever is wrong with it, torch is there
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    log.info("%s is loaded by torch, as at first: %s", asked.name or asked.model, reason)
    return None


def keep(
    asked: ModelRequest, loaded: "LoadedModel", encoder: OpenClipEncoder, trials: Path
) -> None:
    """Write down what `find` needs, if `encoder` can be made without torch and be the same.

    `loaded` is what it was made of, and `trials` the file that says why it was chosen.
    """
    folder = asked.wanted.folder
    if folder is None or encoder.runtime != "openvino" or encoder.precision not in PRECISIONS:
        return
    try:
        record = _record(asked, loaded, encoder, trials)
        with whole_file(_file(asked, folder)) as out:
            out.write(_written(record))
    except Exception as error:  # noqa: BLE001  # it costs the next start its seconds, no more
        log.info("the next start goes through torch again: %s", error)


def _file(asked: ModelRequest, folder: Path) -> Path:
    """One for each question, so that models side by side have one each."""
    about = json.dumps(_question(asked)).encode()
    return folder / f"start-{hashlib.sha256(about).hexdigest()[:16]}.json"


def _question(asked: ModelRequest) -> list[str | None]:
    wanted = asked.wanted
    model = [asked.model, asked.pretrained, asked.name]
    return [*model, asked.device, wanted.runtime, wanted.precision]


def _is_for_cpu(device: str) -> bool:
    return device == "cpu" or (device == "auto" and not hardware.may_have_gpu())


def _circumstances(asked: ModelRequest) -> dict[str, Any]:
    """What decides, beside files, which encoder torch would come to; in types that JSON has."""
    return {
        "format": FORMAT,
        "question": _question(asked),
        "processor": hardware.processor(),
        "cores": hardware.cores(),
        "python": platform.python_version(),
        "versions": [version(name) for name in VERSIONS],
        "working directory": str(Path.cwd()),
        "environment": [os.environ.get(name) for name in ENVIRONMENT],
    }


def _changed(record: Record, asked: ModelRequest) -> str | None:
    """What is no longer as it was; None where all is."""
    now = _circumstances(asked)
    for name in sorted({*now, *record.circumstances}):
        if name not in now or now[name] != record.circumstances.get(name):
            return name
    there = identities([Path(place) for place in record.places])
    for path in sorted({*there, *record.files}):
        if there.get(path) != record.files.get(path):
            return path
    return None


def _checked(record: Record) -> OpenClipEncoder:
    """The encoder of a record. Raises ValueError where its vectors are not those that it had."""
    from app.encoders.openvino import IMAGE, TEXT, OpenVinoTowers

    folder = Path(record.folder)
    encoder = _made(record, OpenVinoTowers(folder / IMAGE, folder / TEXT, record.precision))
    least = fidelity.MINIMUM_COSINE
    if record.precision == "fp32":
        least = fidelity.EXACT_COSINE
    cosines = (np.array(_probed(encoder)) * np.array(record.probe)).sum(axis=1)
    if not (cosines >= least).all():
        raise ValueError(f"its vectors are others, by a cosine of {cosines.min():.5f}")
    return encoder


def _made(record: Record, towers: Towers) -> OpenClipEncoder:
    from app.encoders.openvino import LARGEST_BATCH

    tokenizer, cut = ClipTokenizer(record.context), TokenCut(**record.cut)
    shaping, space = Preprocessing(**record.shaping), VectorSpace(**record.space)
    return OpenClipEncoder(towers, shaping, tokenizer, cut, space, LARGEST_BATCH)


def _probed(encoder: OpenClipEncoder) -> list[list[float]]:
    """The vectors of PROBE and of a golden picture."""
    picture = encoder.prepare(fidelity.golden_images()[0])
    return [encoder.encode_texts([PROBE])[0].tolist(), encoder.encode_pixels([picture])[0].tolist()]


def _record(
    asked: ModelRequest, loaded: "LoadedModel", encoder: OpenClipEncoder, trials: Path
) -> Record:
    """What is true of `encoder`. Raises ValueError where it cannot be made without torch."""
    from app.encoders import openvino

    if asked.wanted.folder is None or loaded.place is None:
        raise ValueError("its files lie in several places")
    converted = openvino.place(asked.wanted.folder, encoder.space.fingerprint)
    places = [place.absolute() for place in (loaded.place, converted, trials)]
    files = identities(places)
    if identities([loaded.place]) != loaded.files:
        raise ValueError("its files were changed while they were read")
    return Record(
        circumstances=_circumstances(asked),
        places=[str(place) for place in places],
        files=files,
        space=asdict(encoder.space),
        folder=str(converted.absolute()),
        precision=encoder.precision,
        cut=asdict(loaded.text.cut),
        shaping=asdict(_shaping(loaded)),
        context=_context(loaded.tokenizer),
        probe=_probed(encoder),
    )


def _context(theirs: Any) -> int:
    """What makes a ClipTokenizer do the same: by its vocabulary and on TEXTS; else ValueError."""
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
    """What prepares pictures as `loaded` does, compared pixel by pixel; ValueError if nothing."""
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
    told = json.dumps(asdict(record), sort_keys=True)
    return json.dumps({"sha256": _digest(told), "record": told}).encode()


def _read(file: Path) -> Record:
    """What was written. Raises ValueError where it is not that any more."""
    with suppress(KeyError, TypeError):
        whole = json.loads(file.read_text())
        if whole["sha256"] == _digest(whole["record"]):
            return Record(**json.loads(whole["record"]))
    raise ValueError(f"{file} is damaged")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
