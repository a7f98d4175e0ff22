"""CLIP's towers in OpenVINO on the CPU, from files made by `conversion`; does not need torch."""

import threading
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import openvino as ov

from app.encoders.interfaces import Features, Pixels, Tokens
from app.encoders.memory import release_mapped

RECIPE = 2  # bump it when conversion changes, so that older conversions are not used
IMAGE, TEXT = "image.xml", "text.xml"
LARGEST_BATCH = 16  # pictures or texts: larger ones are not verified, nor any faster
COMPRESSED = "int8 weights"  # a precision: weights in 8 bits, all between them in fp32
GROUP = 64  # inputs that are multiplied in 8 bits share a scale; of 128, cosines were too low
NAME_DIGITS = 16  # of the fingerprint: enough to tell models apart


class OpenVinoTowers:
    """Both towers, compiled for this CPU. Any thread may call; calls run one at a time."""

    runtime = "openvino"
    device = "cpu"

    def __init__(
        self, image: Path, text: Path, precision: str, text_precision: str | None = None
    ) -> None:
        """`precision` is fp32, bf16, or int8 where `image` is quantised.

        What is not quantised in `image` is then computed in bf16 where the CPU multiplies that.

        `text_precision` is COMPRESSED where `text` has its weights in 8 bits, otherwise the same.
        """
        self.precision = precision
        self.text_precision = text_precision or precision
        self.image_file, self.text_file = image, text
        self._lock = threading.Lock()
        self._met: set[tuple[int, ...]] = set()  # shapes that the towers are prepared for
        self._image = _compiled(image, _between(precision))
        self._text = _compiled(text, self.text_precision)

    def texts(self, tokens: Tokens) -> Features:
        """Embed texts."""
        return self._run(self._text, tokens)

    def images(self, batch: Pixels) -> Features:
        """Embed pictures."""
        return self._run(self._image, batch)

    def _run(self, request: Any, inputs: Pixels | Tokens) -> Features:
        with self._lock:  # a request has one set of buffers
            result: Features = request.infer([inputs], share_inputs=True)[0]
            if inputs.shape not in self._met:  # weights have now been read and repacked for it
                self._met.add(inputs.shape)
                files = (self.image_file, self.text_file)
                release_mapped([file.with_suffix(".bin") for file in files])
        return result


def _between(precision: str) -> str:
    """What an image tower in `precision` computes in where it is not quantised."""
    if precision != "int8":
        return precision
    able = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in able else "fp32"


def _compiled(path: Path, precision: str) -> Any:
    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",  # one batch on all cores: batches never overlap
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "ENABLE_CPU_PINNING": False,  # decoding shares the cores
    }
    if precision == COMPRESSED:
        options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = GROUP
    return _core().compile_model(path, "CPU", options).create_infer_request()


@cache
def _core() -> ov.Core:
    """The process's only core, which is never freed.

    A core's first compilation gives its thread a stack for signal handlers, which it unmaps when
    it is freed with its models. The thread may keep the address, and the next signal, such as
    Ctrl-C, then ends the process by SIGSEGV: findings/openvino_signal_stack.sh.
    """
    return ov.Core()


def place(folder: Path, fingerprint: str) -> Path:
    """The folder under `folder` that holds both of a model's towers in fp32, as IMAGE and TEXT."""
    return folder / f"{fingerprint[:NAME_DIGITS]}-fp32-openvino-{version('openvino')}-{RECIPE}"
