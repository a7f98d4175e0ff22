"""The weights that all of them load: a local file of random ViT-B-32 weights from a fixed seed.

Random weights take the same time as trained ones, and need no download.
"""

from pathlib import Path

from benchmarks.server import MODEL

SEED = 3


def checkpoint(folder: Path) -> Path:
    """The path of the file; if it is missing it is created, which takes seconds."""
    path = folder / f"{MODEL}-random-{SEED}.safetensors"
    if not path.exists():
        import open_clip
        import torch
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(SEED)
        model = open_clip.create_model(MODEL)
        part = path.with_suffix(".part")
        weights = {name: each.contiguous() for name, each in model.state_dict().items()}
        save_file(weights, part)
        part.rename(path)
    return path
