"""Loads a model of random weights from a hub on this machine, and compares its vectors.

`python -m tests.full_size_models.compare_model MODEL TAG` prints the lowest cosines to open_clip's.
The folder of WORK is written to.
"""

import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tests.fixtures import model_hub as hubs
from tests.fixtures.drawn_pictures import noise
from tests.fixtures.model_hub import Hub

TEXTS = ["a green tree", "", "two dogs and a red car on a long road " * 9, "自行车 and 狗"]
PICTURES = [noise(1, (500, 375)), noise(2, (61, 130)), noise(3, (384, 384))]


def main(model: str, tag: str) -> None:
    """Make the model, serve it, and print the cosines as JSON."""
    work = Path(os.environ["WORK"])
    with hubs.serve(Hub("", {})) as hub:
        # Before anything is imported that reads them:
        os.environ |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(work / "cache")}
        from tests.full_size_models import random_models

        hub.others = random_models.text_repositories(model, TEXTS)
        for repository, files in random_models.weights_repository(model, tag).items():
            hub.others.setdefault(repository, {}).update(files)
        print(json.dumps(cosines(model, tag, work)))


def cosines(model: str, tag: str, work: Path) -> dict[str, float]:
    """The lowest cosine of each tower on each runtime, singly and together."""
    import open_clip
    import torch

    from app.encoders.model_request import RuntimeOptions
    from app.encoders.torch_models import openclip
    from app.encoders.torch_models.runtime_choice import choose_runtime

    theirs, _, prepare = open_clip.create_model_and_transforms(model, pretrained=tag)
    tokens = open_clip.get_tokenizer(model)(TEXTS)
    with torch.inference_mode():
        texts = theirs.eval().encode_text(tokens, normalize=True).numpy()
        shaped = torch.stack([prepare(one) for one in PICTURES])
        pictures = theirs.encode_image(shaped, normalize=True).numpy()
    del theirs
    loaded = openclip.load_torch(model, tag, "cpu")
    converted = choose_runtime(loaded, RuntimeOptions("openvino", "fp32", work / "converted"))
    found = {}
    for encoder in (loaded.encoder, converted.encoder):
        found[f"{encoder.runtime} texts"] = lowest(encoder.encode_texts, TEXTS, texts)
        pixels = [encoder.prepare(one) for one in PICTURES]
        found[f"{encoder.runtime} pictures"] = lowest(encoder.encode_pixels, pixels, pictures)
    shutil.rmtree(work / "converted")
    return found


def lowest(encode: Any, inputs: list[Any], theirs: Any) -> float:
    """The lowest cosine to `theirs`, of inputs that are run together and singly."""
    singly = np.concatenate([encode([one]) for one in inputs])
    return float(min((ours * theirs).sum(axis=1).min() for ours in (encode(inputs), singly)))


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main(*sys.argv[1:])
