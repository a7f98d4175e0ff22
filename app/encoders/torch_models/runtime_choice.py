"""Chooses a model's runtime and precision: as configured, or the fastest faithful one here.

Each combination of the two, a variant, is tried on this machine: how close its vectors are to those
of torch in fp32, and how long it takes. The results are stored with the converted models; a
different processor or a different version of the libraries that compute means new trials.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from app.encoders import fidelity, hardware, timing
from app.encoders.model_request import RuntimeOptions
from app.encoders.torch_models import gpu_batching
from app.errors import ModelUnavailable
from app.storage.disk import whole_file

if TYPE_CHECKING:
    from app.encoders.encoder import OpenClipEncoder
    from app.encoders.torch_models.int8 import Quantised
    from app.encoders.torch_models.loaded_model import LoadedModel

log = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
GATES = {"fp32": fidelity.EXACT_COSINE}  # others: fidelity.MINIMUM_COSINE
BFLOAT16 = ("avx512_bf16", "amx_bf16")  # flags of CPUs that multiply bf16 in hardware

Variant = tuple[str, str]
"""A runtime and a precision to run it in."""

REFERENCE: Variant = ("torch", "fp32")


@dataclass(frozen=True)
class Trial:
    """The result of trying a variant: the lowest cosine to torch in fp32, and the best times."""

    cosine: float = 0.0
    picture_seconds: float = 0.0
    text_seconds: float = 0.0
    fault: str | None = None
    passing: bool = False  # the fault is temporary, such as a full disk, not the model's

    def is_faithful(self, precision: str) -> bool:
        """Whether its vectors may share an index with fp32 vectors."""
        return self.fault is None and self.cosine >= GATES.get(precision, fidelity.MINIMUM_COSINE)

    @property
    def cost(self) -> float:
        """The product of both times: twice as fast on pictures offsets half as fast on texts."""
        return self.picture_seconds * self.text_seconds


Trials = dict[Variant, Trial]


class Choice(NamedTuple):
    """The encoder to use, and the file of measurements if they settle the choice for next time."""

    encoder: "OpenClipEncoder"
    settled: Path | None


def choose_runtime(loaded: "LoadedModel", options: RuntimeOptions) -> Choice:
    """Choose the encoder. Raises ModelUnavailable if int8 is requested but not possible."""
    if options.precision == "int8" and (found := _int8(loaded, options)):
        return Choice(_with_texts(loaded, options, found.encoder), found.verdict)
    variants = candidates(loaded.device, options)
    encoders: dict[Variant, OpenClipEncoder] = {REFERENCE: loaded.encoder}
    trials = _trials(loaded, options, variants, encoders)
    settled = options.precision != "int8" and not any(one.passing for one in trials.values())
    for variant in best_first(variants, trials):
        try:
            encoder = encoders.get(variant) or _make(loaded, options, variant)
        except Exception:  # as in `_run_trials`; it worked when it was tried
            log.exception("%s %s is no longer available", *variant)
            settled = False
            continue
        encoder = gpu_batching.tuned(encoder) if loaded.device == "cuda" else encoder
        if options.precision != "fp32":
            encoder = _with_texts(loaded, options, encoder)
        return Choice(encoder, _trials_file(loaded, options) if settled else None)
    return Choice(loaded.encoder, None)


def candidates(device: str, options: RuntimeOptions) -> list[Variant]:
    """The variants that `options` allows on `device`; torch in fp32 if there is no other."""
    runtimes = ["torch", "openvino"] if options.runtime == "auto" else [options.runtime]
    if device != "cpu" or options.folder is None or find_spec("openvino") is None:
        if options.runtime == "openvino":
            log.warning("OpenVINO cannot be used here; using torch")
        runtimes = ["torch", "compiled"] if device == "cuda" and options.folder else ["torch"]
    return [(runtime, one) for runtime in runtimes for one in _precisions(device, options)]


def _precisions(device: str, options: RuntimeOptions) -> list[str]:
    """The precisions to try, likely fastest first."""
    able = {"cuda": ["fp16", "bf16"], "cpu": ["bf16"] if has_bfloat16() else []}.get(device, [])
    if options.precision in {"auto", "int8"}:  # int8 comes here where it is not faithful
        return [*able, "fp32"]
    if options.precision == "bf16" and "bf16" not in able:
        log.warning("this %s does not multiply bf16; using fp32", device)
    return ["bf16"] if options.precision == "bf16" and "bf16" in able else ["fp32"]


def best_first(variants: Sequence[Variant], trials: Trials) -> list[Variant]:
    """The faithful ones among `variants`, fastest first; logs why the others are rejected."""
    faithful = []
    for variant in variants:
        trial = trials.get(variant)
        if trial is None or trial.is_faithful(variant[1]):
            faithful.append(variant)
        elif trial.fault:
            log.warning("%s %s: %s", *variant, trial.fault)
        else:
            log.warning("%s %s: a cosine of only %.5f to fp32", *variant, trial.cosine)
    return sorted(faithful, key=lambda variant: trials[variant].cost if variant in trials else 0.0)


def has_bfloat16() -> bool:
    """Whether the CPU multiplies bf16 in hardware."""
    capabilities = dict(torch.cpu.get_capabilities())
    return any(capabilities.get(name) for name in BFLOAT16)


def _int8(loaded: "LoadedModel", options: RuntimeOptions) -> "Quantised | None":
    if loaded.device != "cpu" or options.runtime == "torch" or options.folder is None:
        raise ModelUnavailable(
            "int8 runs in OpenVINO on the CPU: set IMAGE_SEARCH_DEVICE=cpu and "
            "IMAGE_SEARCH_RUNTIME=auto, or choose another precision."
        )
    if find_spec("openvino") is None:
        raise ModelUnavailable(
            "int8 needs openvino, which is not installed. Choose another precision."
        )
    from app.encoders.torch_models import int8

    return int8.encoder(loaded, options, options.folder)


def _with_texts(
    loaded: "LoadedModel", options: RuntimeOptions, encoder: "OpenClipEncoder"
) -> "OpenClipEncoder":
    """The encoder with the text tower's weights in 8 bits, where that pays."""
    if encoder.runtime != "openvino" or options.folder is None:
        return encoder
    from app.encoders.torch_models import compressed_texts

    key = f"{encoder.precision}-{_key(loaded)}"
    return compressed_texts.tried(loaded, encoder, options.folder, key, timing.text_seconds)


def _make(loaded: "LoadedModel", options: RuntimeOptions, variant: Variant) -> "OpenClipEncoder":
    runtime, precision = variant
    if runtime == "openvino" and options.folder is not None:
        from app.encoders import openvino
        from app.encoders.torch_models import conversion

        towers = conversion.towers(loaded, options.folder, precision)
        return loaded.encoder.on(towers, max_batch=openvino.LARGEST_BATCH)
    torchs = loaded.towers(DTYPES[precision])
    return loaded.encoder.on(torchs.compiled() if runtime == "compiled" else torchs)


def _trials(
    loaded: "LoadedModel",
    options: RuntimeOptions,
    variants: Sequence[Variant],
    encoders: "dict[Variant, OpenClipEncoder]",
) -> Trials:
    """Trials of `variants`, read from disk or run now; adds what it builds to `encoders`."""
    if list(variants) == [REFERENCE]:
        return {}
    file = _trials_file(loaded, options)
    known = _read(file)
    missing = [variant for variant in variants if variant not in known]
    if missing:
        known |= _run_trials(loaded, options, variants, encoders)
        _keep(file, {variant: trial for variant, trial in known.items() if not trial.passing})
    return {variant: known[variant] for variant in variants}


def _trials_file(loaded: "LoadedModel", options: RuntimeOptions) -> Path | None:
    return None if options.folder is None else options.folder / f"trials-{_key(loaded)}.json"


def _run_trials(
    loaded: "LoadedModel",
    options: RuntimeOptions,
    variants: Sequence[Variant],
    encoders: "dict[Variant, OpenClipEncoder]",
) -> Trials:
    """Build each of `variants`, compare it with torch in fp32, and time those that work."""
    cosines: dict[Variant, float] = {}
    faults: Trials = {}
    for variant in variants:
        try:
            encoders[variant] = _make(loaded, options, variant)
            cosines[variant] = fidelity.lowest_cosine(loaded.encoder, encoders[variant])
        except Exception as error:  # noqa: BLE001  # converters can fail in any way on a model
            fault = (str(error).strip() or type(error).__name__).splitlines()[0]
            faults[variant] = Trial(fault=fault, passing=isinstance(error, OSError | MemoryError))
    if options.folder is None:  # nothing is stored: timing would delay every load
        return faults | {variant: Trial(cosine) for variant, cosine in cosines.items()}
    seconds = timing.best_seconds([encoders[variant] for variant in cosines])
    trials = {
        variant: Trial(cosine, *each)
        for (variant, cosine), each in zip(cosines.items(), seconds, strict=True)
    }
    for variant, trial in trials.items():
        per_second, milliseconds = 1 / trial.picture_seconds, 1e3 * trial.text_seconds
        log.info("%s %s: %.1f pictures/s, %.1f ms a text", *variant, per_second, milliseconds)
    return faults | trials


def _key(loaded: "LoadedModel") -> str:
    """A key that differs between models, processors and library versions."""
    versions = [version(name) for name in ("torch", "open-clip-torch")]
    if find_spec("openvino"):
        from app.encoders.openvino import RECIPE

        versions += [version("openvino"), str(RECIPE)]
    capabilities = dict(torch.cpu.get_capabilities())
    device = torch.cuda.get_device_name() if loaded.device == "cuda" else loaded.device
    about = [loaded.encoder.space.fingerprint, device, capabilities, hardware.cores(), versions]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def _read(file: Path | None) -> Trials:
    """The trials an earlier start stored; empty if they cannot be read."""
    if file is None:
        return {}
    with suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads(file.read_text())
        return {(one["runtime"], one["precision"]): Trial(**one["trial"]) for one in known}
    return {}


def _keep(file: Path | None, trials: Trials) -> None:
    if file is None:
        return
    stored = [
        {"runtime": runtime, "precision": precision, "trial": asdict(trial)}
        for (runtime, precision), trial in trials.items()
    ]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as out:
            out.write(json.dumps(stored, indent=1).encode())
    except OSError as error:
        log.warning(
            "IMAGE_SEARCH_MODEL_CACHE_DIR: what was measured of the model is not kept: %s", error
        )
