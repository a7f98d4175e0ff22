"""Train the demo captioner: a small CoCa of open_clip that describes scenes of Noto emoji glyphs.

    python -m scripts.demo_model.train_captioner --minutes 25

It knows the glyphs that have synonyms, the things people name, on every background, and says one
fixed sentence of a scene: "a red car and a tree on a beach". Beside CoCa's own losses (Yu et al.
2022, section 3.2) its picture tower is taught by the demo model's, which knows these scenes.

Scenes come from the same renderer as the demo model's and from a purpose of their own (`Stream`),
apart from the test pictures'; they are composed as calmly as those, of glyphs that are large and
about upright, which takes a fraction of the training that scenes of all kinds need. The vocabulary
is CLIP's; only the tokens of these sentences are trained. Each other token has a logit of 0, which
the loss counts, so that none is ever said.
"""

import itertools
import json
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import open_clip
import torch
import typer
from open_clip.coca_model import CoCa
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from scripts.demo_model.captions import article
from scripts.demo_model.concepts import NOTO_COLOR_EMOJI, Concept, load_concepts, open_font
from scripts.demo_model.model import (
    BETAS,
    CONFIG_FILE,
    MEAN,
    PREPROCESS,
    READABLE,
    STD,
    WEIGHT_DECAY,
    WEIGHTS_FILE,
    Budget,
    build_model,
    encode_pictures,
    load,
    rate,
)
from scripts.demo_model.scenes import (
    Compositions,
    Content,
    Floats,
    Placement,
    SceneBatches,
    Stream,
    stream,
)

OUT = Path("data/models/demo-captioner")
TEACHER = Path("data/models/demo")

WIDTH = 96
SIDE = 48  # pixels of the pictures it looks at
CONTEXT_LENGTH = 24
VOCABULARY = 49_408  # tokens of CLIP's own tokenizer
PAD = 0
TEXT: dict[str, Any] = {"context_length": CONTEXT_LENGTH, "width": WIDTH, "heads": 4}
MODEL: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {
        "image_size": SIDE,
        "layers": 4,
        "width": WIDTH,
        "head_width": 24,
        "patch_size": 8,
        "output_tokens": True,
    },
    "text_cfg": {**TEXT, "layers": 1, "embed_cls": True, "output_tokens": True},
    "multimodal_cfg": {**TEXT, "layers": 2},
}

BATCH = 64
PEAK_RATE = 1.5e-3
CLIP_NORM = 1.0
MAX_LOGIT_SCALE = math.log(100)
CAPTION_WEIGHT = 2.0  # of the paper
TEACHING_WEIGHT = 5.0
LOG_EVERY = 50
SAVE_EVERY_S = 240.0


CALM_SCALE = (0.54, 0.78)
CALM_SCALE_OF_TWO = (0.35, 0.48)
"""Edge of a glyph's square as a share of the picture's."""
DRIFT = 0.12
DROP = 0.14
"""How much lower glyphs are in half of the pictures, as where there is a ground."""
TURN_DEGREES = 7.0


def calm_single(rng: np.random.Generator, count: int) -> Placement:
    """`count` glyphs, each alone and large in its picture; fields of shape (count,)."""
    x, y = rng.uniform(-DRIFT, DRIFT, (2, count))
    return Placement(x, y + _drops(rng, count), rng.uniform(*CALM_SCALE, count), _turns(rng, count))


def calm_pairs(rng: np.random.Generator, count: int) -> tuple[Placement, Placement]:
    """The left and the right glyph of `count` pictures; fields of shape (count,)."""
    drops, slope = _drops(rng, count), rng.uniform(-DRIFT, DRIFT, count)
    return _half(rng, -1, drops - slope), _half(rng, 1, drops + slope)


def _half(rng: np.random.Generator, side: int, y: Floats) -> Placement:
    x = side * rng.uniform(0.43, 0.49, len(y))
    return Placement(x, y, rng.uniform(*CALM_SCALE_OF_TWO, len(y)), _turns(rng, len(y)))


def _drops(rng: np.random.Generator, count: int) -> Floats:
    return np.where(rng.random(count) < 0.5, DROP, 0.0)


def _turns(rng: np.random.Generator, count: int) -> Floats:
    return np.asarray(np.deg2rad(rng.uniform(-TURN_DEGREES, TURN_DEGREES, count)))


def said_name(concept: Concept) -> str:
    """What people call a concept: its first synonym, else its name."""
    return concept.synonyms[0] if concept.synonyms else concept.name


def sentence(content: Content) -> str:
    """The one caption of a scene: "a red car and a tree on a beach"."""
    nouns = " and ".join(_described(one) for one in content.shown)
    return f"{nouns} {content.background.phrases[0]}"


def _described(concept: Concept) -> str:
    noun = said_name(concept)
    if concept.colour and concept.colour not in noun:
        noun = f"{concept.colour} {noun}"
    return article(noun)


class SmallVocabulary:
    """The tokens that captions of some scenes hold, numbered densely; padding stays 0."""

    def __init__(self, scenes: SceneBatches) -> None:
        self._tokenizer = open_clip.SimpleTokenizer(context_length=CONTEXT_LENGTH)
        grounds = [one.phrases[0] for one in scenes.kinds]
        words = [*map(_described, scenes.concepts), *grounds, "and"]
        self.tokens = torch.unique(self._tokenizer(words))
        """int64 (n,), ascending: the token that each number stands for."""

    def numbers(self, captions: Iterable[str]) -> Tensor:
        """int64 (len(captions), context)."""
        return torch.searchsorted(self.tokens, self._tokenizer(list(captions)))


def build(vocabulary: int, seed: int) -> CoCa:
    """The untrained captioner, float32, with a vocabulary of so many tokens."""
    torch.manual_seed(seed)
    return CoCa(**_config(vocabulary))


def _config(vocabulary: int) -> dict[str, Any]:
    sized = {
        part: {**MODEL[part], "vocab_size": vocabulary} for part in ("text_cfg", "multimodal_cfg")
    }
    return {**MODEL, **sized}


def losses(model: CoCa, pictures: Tensor, numbers: Tensor, taught: Tensor) -> Tensor:
    """CoCa's contrastive and captioning losses, and the distance from the teacher's embeddings.

    `pictures` (n, 3, SIDE, SIDE) in 0..1, `numbers` (n, context), `taught` unit rows (n, d).
    """
    answer = model((pictures - MEAN) / STD, numbers)
    similar = answer["logit_scale"] * answer["image_features"] @ answer["text_features"].T
    target = torch.arange(len(similar))
    contrast = functional.cross_entropy(similar, target)
    contrast = (contrast + functional.cross_entropy(similar.T, target)) / 2
    teaching = 1 - (answer["image_features"] * taught).sum(1).mean()
    caption = _caption_loss(answer["logits"], answer["labels"])
    whole: Tensor = contrast + CAPTION_WEIGHT * caption + TEACHING_WEIGHT * teaching
    return whole


def _caption_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy per token over the whole vocabulary, whose untrained tokens have logit 0."""
    untrained = logits.new_full((*labels.shape, 1), math.log(VOCABULARY - logits.shape[2]))
    every = torch.cat([logits, untrained], 2)
    return functional.cross_entropy(every.flatten(0, 1), labels.flatten(), ignore_index=PAD)


def save(model: CoCa, tokens: Tensor, out: Path) -> None:
    """Write both files of the hub's layout, in fp16, with the tables at their full size."""
    weights = {name: value.detach().half() for name, value in model.state_dict().items()}
    for name, axis in (("text.token_embedding.weight", 0), ("text_decoder.text_projection", 1)):
        small = weights[name]
        shape = (VOCABULARY, WIDTH) if axis == 0 else (WIDTH, VOCABULARY)
        weights[name] = small.new_zeros(shape).index_copy(axis, tokens, small)
    out.mkdir(parents=True, exist_ok=True)
    unfinished = out / "unfinished.safetensors"
    save_file({name: value.contiguous() for name, value in weights.items()}, unfinished)
    unfinished.chmod(READABLE)
    unfinished.replace(out / WEIGHTS_FILE)
    settings = {"model_cfg": {**_config(VOCABULARY), "custom_text": True}}
    config = json.dumps({**settings, "preprocess_cfg": PREPROCESS}, indent=2)
    (out / CONFIG_FILE).write_text(config + "\n", encoding="utf-8")


def _optimizer(model: CoCa) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": WEIGHT_DECAY},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=BETAS, fused=True)


def train(
    scenes: SceneBatches, vocabulary: SmallVocabulary, budget: Budget, seed: int, out: Path
) -> None:
    """Step until the budget is spent, saving every few minutes and at the end."""
    model, teacher = build(len(vocabulary.tokens), seed), build_model(0, scenes.device)
    load(teacher, TEACHER)
    teacher.eval().requires_grad_(False)
    optimizer, recent, saved = _optimizer(model), list[float](), time.monotonic()
    for step in itertools.count():
        if (progress := budget.progress(step)) >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate(PEAK_RATE, step, progress)
        rng = stream(Stream.CAPTIONER, seed, step)
        pictures, contents = scenes.render(rng, rng.choice(len(scenes.concepts), BATCH, False))
        numbers = vocabulary.numbers(map(sentence, contents))
        small = functional.interpolate(pictures, (SIDE, SIDE), mode="bilinear", antialias=True)
        loss = losses(model, small, numbers, encode_pictures(teacher, pictures))
        recent.append(_descend(model, optimizer, loss))
        if len(recent) == LOG_EVERY:
            typer.echo(f"step {step + 1} {progress:.0%} loss {np.mean(recent):.3f}")
            recent.clear()
        if time.monotonic() - saved > SAVE_EVERY_S:
            save(model, vocabulary.tokens, out)
            saved = time.monotonic()
    save(model, vocabulary.tokens, out)


def _descend(model: CoCa, optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    optimizer.step()
    model.logit_scale.data.clamp_(max=MAX_LOGIT_SCALE)
    return loss.item()


def named(concepts: Sequence[Concept]) -> list[Concept]:
    """Those that have synonyms: the things that people name."""
    return [one for one in concepts if one.synonyms]


def main(
    minutes: Annotated[float, typer.Option(min=0.1, help="Wall-clock budget.")] = 25.0,
    steps: Annotated[int | None, typer.Option(min=1, help="Exact steps, not the clock.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path, typer.Option(help="Folder for config and weights.")] = OUT,
    font: Annotated[Path, typer.Option(exists=True)] = NOTO_COLOR_EMOJI,
) -> None:
    """Train the demo captioner on the CPU and write it to OUT."""
    glyphs = open_font(font)
    scenes = SceneBatches(
        named(load_concepts(glyphs)),
        glyphs,
        torch.device("cpu"),
        compositions=Compositions(calm_single, calm_pairs),
        is_degraded=False,
    )
    vocabulary = SmallVocabulary(scenes)
    typer.echo(f"{len(scenes.concepts)} concepts, {len(vocabulary.tokens)} tokens")
    train(scenes, vocabulary, Budget(minutes, steps), seed, out)


if __name__ == "__main__":
    typer.run(main)
