"""Each family of open_clip's at full size, from a hub on this machine.

Its weights are random. It is loaded, converted and compared with open_clip in a process of its own
(`compare_model.py`), since hundreds of megabytes are not given back. `make test-models` runs this:
a family takes minutes and up to 6 GB of memory, PE-Core-B 8 GB and NLLB 9 GB. Those that read texts
with the package transformers are skipped without it, as is open_clip's own way to write captions.
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from app.settings import ROOT, Settings
from tests.fixtures.process_environment import bare
from tests.full_size_models.compare_captions import PICTURES

LEAST = 0.9999  # cosine, in fp32
SECONDS = 1_800  # for one model, on a slow machine
MODELS = {
    "RN50-quickgelu": "cc12m",
    "MobileCLIP2-S0": "dfndr2b",
    "PE-Core-T-16-384": "meta",
    "PE-Core-S-16-384": "meta",
    "PE-Core-B-16": "meta",
    "EVA02-B-16": "merged2b_s8b_b131k",
    "coca_ViT-B-32": "laion2b_s13b_b90k",
    "convnext_base_w": "laion2b_s13b_b82k",
    "ViT-B-32-SigLIP2-256": "webli",
    "ViT-B-16-SigLIP2": "webli",
    "xlm-roberta-base-ViT-B-32": "laion5b_s13b_b90k",
    "nllb-clip-base": "v1",
}
OF_TRANSFORMERS = ("SigLIP2", "xlm-roberta", "nllb")


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `compare_captions.py` tells of the default captioner."""
    model, _, tag = Settings.model_fields["caption_model"].default.partition("@")
    return told("compare_captions", model, tag, tmp_path_factory.mktemp("captions"))


def test_the_default_captioner_is_pulled_and_writes_captions(captions: dict[str, Any]) -> None:
    assert captions["pulled"] == 1
    assert len(set(captions["ours"].values())) == len(PICTURES)
    assert all(captions["ours"].values())


def test_captions_are_those_of_open_clips_generate(captions: dict[str, Any]) -> None:
    if captions["theirs"] is None:
        pytest.skip("open_clip's `generate` needs the package transformers: see docs/models.md")
    assert captions["ours"] == captions["theirs"]


@pytest.mark.parametrize("model", MODELS)
def test_vectors_are_open_clips(model: str, tmp_path: Path) -> None:
    if any(part in model for part in OF_TRANSFORMERS) and find_spec("transformers") is None:
        pytest.skip("needs the package transformers: see docs/models.md")
    cosines = told("compare_model", model, MODELS[model], tmp_path)
    assert set(cosines) == {"torch texts", "torch pictures", "openvino texts", "openvino pictures"}
    assert min(cosines.values()) >= LEAST, cosines


def told(script: str, model: str, tag: str, work: Path) -> dict[str, Any]:
    """What a script of this folder prints last, as JSON."""
    ended = subprocess.run(
        [sys.executable, "-m", f"tests.full_size_models.{script}", model, tag],
        cwd=ROOT, env=bare(HOME=str(work), WORK=str(work)), capture_output=True, text=True,
        timeout=SECONDS,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found
