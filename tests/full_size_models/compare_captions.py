"""Has the program caption pictures by CoCa with random weights, and open_clip's own `generate` too.

`python -m tests.full_size_models.compare_captions MODEL TAG` serves the model from a hub on this
machine. The program pulls, loads and runs it as the annotator `caption` of a collection does. It
prints the captions of both as JSON; open_clip's are null without the package transformers. The
folder of WORK is written to.
"""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.database.embedded.postgres_programs import temporary_folder
from app.settings import DEMO_MODEL_DIR, Settings
from tests.fixtures import model_hub as hubs
from tests.fixtures.drawn_pictures import noise
from tests.fixtures.model_hub import Hub

SIZES = ((500, 375), (61, 130), (384, 384))
PICTURES = {f"{n}.png": noise(n, size) for n, size in enumerate(SIZES)}
TOKENS = 30  # of open_clip's `generate` by default


def main(model: str, tag: str) -> None:
    """Make the model, serve it, and print the captions."""
    work = Path(os.environ["WORK"])
    with hubs.serve(Hub("", {})) as hub:
        # Before anything is imported that reads them:
        os.environ |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(work / "cache")}
        can_generate = has_generate()
        from tests.full_size_models import random_models

        hub.others = random_models.weights_repository(model, tag, begin_words)
        ours = captions(work, f"{model}@{tag}")
        pulled = sum(one.startswith("GET") and one.endswith("safetensors") for one in hub.requests)
        theirs = generated(model, tag) if can_generate else None
    print(json.dumps({"ours": ours, "theirs": theirs, "pulled": pulled}))


def begin_words(weights: dict[str, Any]) -> None:
    """Give the layer that chooses words its random weights: open_clip leaves it as memory was."""
    projection = weights["text_decoder.text_projection"]
    projection.normal_(std=len(projection) ** -0.5)


def captions(work: Path, caption_model: str) -> dict[str, str]:
    """What the program says of each picture, by the files' names."""
    from sqlalchemy import text

    from app.ingest.jobs.job_submission import JobOptions
    from app.runtime.assembly import open_services

    folder = work / "pictures"
    folder.mkdir()
    for name, picture in PICTURES.items():
        picture.save(folder / name)
    with temporary_folder("captions") as private:
        settings = Settings(
            clip_model=f"local-dir:{DEMO_MODEL_DIR}",
            caption_model=caption_model,
            postgres_dir=private / "postgres",
            images_dir=folder,
            runtime="torch",
            upload_dir=private / "uploads",
            thumbnail_dir=private / "thumbnails",
            model_cache_dir=private / "converted",
            precision="fp32",
        )
        with open_services(settings) as services, services.working():
            jobs, annotators = services.job_submission, services.annotators
            jobs.follow(jobs.folder(folder, JobOptions()))
            annotators.choose(services.registry.default, ["caption"])
            (caption,) = annotators.listed(services.registry.default)
            assert caption.turned_on.job_id is not None
            jobs.follow(caption.turned_on.job_id)
            with services.sessions.begin() as session:
                found = session.execute(text("SELECT path, generated_caption FROM images"))
                return {Path(path).name: caption for path, caption in found}


def has_generate() -> bool:
    """Whether open_clip, once imported, can `generate`; it needs the package transformers.

    open_clip takes transformers 5 for absent, since that has no BeamSearchScorer any more: see
    findings/open_clip_generate_transformers.sh. The most probable token needs no such thing.
    """
    with suppress(ImportError):
        import transformers

        transformers.BeamSearchScorer = None
        return True
    return False


def generated(model: str, tag: str) -> Mapping[str, str]:
    """What open_clip's `generate` says, the most probable token each time."""
    import open_clip
    import torch

    made, _, prepare = open_clip.create_model_and_transforms(model, pretrained=tag)
    pixels = torch.stack([prepare(picture) for picture in PICTURES.values()])
    rows = made.eval().generate(
        pixels, generation_type="top_k", top_k=1, min_seq_len=0, seq_len=TOKENS
    )
    said = [open_clip.decode(row).partition("<end_of_text>")[0] for row in rows]
    words = (" ".join(one.removeprefix("<start_of_text>").split()) for one in said)
    return dict(zip(PICTURES, words, strict=True))


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main(*sys.argv[1:])
