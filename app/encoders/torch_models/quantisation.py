"""Quantises an image tower to 8-bit integers by NNCF, in one of several named ways."""

import io
import re
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from app.encoders.interfaces import Pixels

MULTIPLIED = {"MatMul", "Convolution", "GroupConvolution"}  # operations that are quantised


@dataclass(frozen=True)
class Recipe:
    """A way to quantise.

    `alpha`, 0 to 1, is SmoothQuant's: how much of the spread of activations is moved into the
    weights. `floating` matches names of the operations that are not quantised; None: all are.
    """

    name: str
    alpha: float
    floating: str | None = None


# The second layer of an MLP, as open_clip, timm and Hugging Face call it: behind the activation
# function values have outliers, for which eight bits are too few.
SECOND_LAYERS = r"\b(mlp\.c_proj|mlp\.fc2|output\.dense)\b"
RECIPES = (
    Recipe("alpha 0.95", 0.95),  # NNCF's own
    Recipe("alpha 0.5", 0.5),
    Recipe("alpha 0.5, second layers of MLPs in floating point", 0.5, SECOND_LAYERS),
)
"""In the order in which they are tried: the fastest towers first."""


def quantise(source: Path, pixels: "Sequence[Pixels]", recipe: Recipe, target: Path) -> bool:
    """Quantise the tower `source` by the ranges that `pixels` give; False if nothing would differ.

    It writes nothing where the recipe leaves operations in floating point, and the tower has none
    of that name.
    """
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # it draws bars and tables
        warnings.simplefilter("ignore")  # from its dependencies
        import nncf  # takes seconds, and most starts do not need it
        import openvino as ov

        model = ov.Core().read_model(source)
        floating = _named(model, recipe.floating)
        if recipe.floating and not floating:
            return False
        smooth = nncf.AdvancedSmoothQuantParameters(matmul=recipe.alpha)
        quantised = nncf.quantize(
            model,
            nncf.Dataset([one[np.newaxis] for one in pixels]),
            model_type=nncf.ModelType.TRANSFORMER,  # smooth quantisation; attention stays as it is
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(pixels),
            ignored_scope=nncf.IgnoredScope(names=floating),
            advanced_parameters=nncf.AdvancedQuantizationParameters(smooth_quant_alphas=smooth),
        )
        ov.save_model(quantised, target, compress_to_fp16=False)
    return True


def _named(model: Any, pattern: str | None) -> list[str]:
    """The names of those of the model's multiplying operations that `pattern` matches."""
    if pattern is None:
        return []
    wanted = re.compile(pattern)
    names = [
        one.get_friendly_name() for one in model.get_ops() if one.get_type_name() in MULTIPLIED
    ]
    return [name for name in names if wanted.search(name)]
