"""Train the demo model: a small CLIP that knows scenes of Noto emoji glyphs.

    python -m scripts.demo_model.train --minutes 45

There are two phases. First both towers learn from freshly rendered scenes, where most of the time
goes into the picture tower; then the text tower goes on alone, against the embeddings of a fixed
set of scenes, and reads several times as many captions in the same time.

Scenes, captions and initial weights depend on `--seed` alone. `--minutes` stops by the clock and
ties the learning rate to it, so that any machine ends with an annealed model; `--steps` replaces
the clock and makes a run repeatable on one machine.
"""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import open_clip
import torch
import typer
from torch import Tensor

from scripts.demo_model.captions import caption_pair
from scripts.demo_model.concepts import NOTO_COLOR_EMOJI, load_concepts, open_font
from scripts.demo_model.model import (
    CONTEXT_LENGTH,
    Budget,
    build_model,
    contrastive_loss,
    encode_pictures,
    encode_texts,
    load,
    optimizer_for,
    rate,
    save,
)
from scripts.demo_model.scenes import Content, SceneBatches, Stream, stream

OUT = Path("data/models/demo")

BATCH = 256
COMMON_WEIGHT = 4.0
"""How much more often concepts with synonyms are drawn: those are what people search for."""
TEXT_SHARE = 0.2
"""The share of the budget that the second phase gets."""
TEXT_BATCH = 256
TEXT_BATCHES_KEPT = 40
TEXT_PEAK_RATE = 1e-3
CLIP_NORM = 1.0
MAX_LOGIT_SCALE = math.log(100)
SAVE_EVERY_S = 180.0
LOG_EVERY = 50
CHECK_SIZE = 500


@dataclass(frozen=True)
class Trainer:
    """The model, the scenes and the settings that both phases share."""

    model: open_clip.CLIP
    scenes: SceneBatches
    tokenizer: open_clip.SimpleTokenizer
    seed: int
    out: Path
    untrained_table: Tensor
    """The token table before the first step, float32 on the CPU."""

    def both_towers(self, budget: Budget, peak: float) -> None:
        """The first phase: a batch of new scenes in each step."""

        def loss(step: int) -> Tensor:
            rng = stream(Stream.TRAINING, self.seed, step)
            pictures, contents = self._render(rng, BATCH)
            tokens = self._captions(rng, contents)
            texts = encode_texts(self.model, tokens)
            return contrastive_loss(self.model, encode_pictures(self.model, pictures), texts)

        self._run(loss, budget, peak)

    def text_tower(self, budget: Budget) -> None:
        """The second phase: new captions in each step, for scenes that are embedded only once."""
        self.model.visual.requires_grad_(False)
        self.model.logit_scale.requires_grad_(False)
        kept = [self._embedded(i) for i in range(TEXT_BATCHES_KEPT)]

        def loss(step: int) -> Tensor:
            rng = stream(Stream.CAPTIONS, self.seed, step)
            rows, contents = kept[step % len(kept)]
            texts = encode_texts(self.model, self._captions(rng, contents))
            return contrastive_loss(self.model, rows, texts)

        self._run(loss, budget, TEXT_PEAK_RATE)

    def _run(self, loss_of: Callable[[int], Tensor], budget: Budget, peak: float) -> None:
        """Step until the budget is spent, saving every few minutes and at the end."""
        optimizer = optimizer_for(self.model)
        saved, recent = time.monotonic(), []
        for step in itertools.count():
            progress = budget.progress(step)
            if progress >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = rate(peak, step, progress)
            loss = loss_of(step)
            self._descend(optimizer, loss)
            recent.append(loss.item())
            if len(recent) == LOG_EVERY:
                typer.echo(f"step {step + 1} {progress:.0%} loss {np.mean(recent):.3f}")
                recent.clear()
            if time.monotonic() - saved > SAVE_EVERY_S:
                self._save()
                saved = time.monotonic()
        self._save()

    def _descend(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        optimizer.step()
        self.model.logit_scale.data.clamp_(max=MAX_LOGIT_SCALE)

    def _render(self, rng: np.random.Generator, count: int) -> tuple[Tensor, list[Content]]:
        """`count` scenes, all with different first concepts: equal ones would act as negatives."""
        weights = np.array([COMMON_WEIGHT if c.synonyms else 1.0 for c in self.scenes.concepts])
        chosen = rng.choice(len(weights), count, replace=False, p=weights / weights.sum())
        return self.scenes.render(rng, chosen)

    def _captions(self, rng: np.random.Generator, contents: Sequence[Content]) -> Tensor:
        """Tokens (2 * n, context) of the n English captions, then of the n second captions."""
        pairs = [caption_pair(rng, one.shown, one.background) for one in contents]
        english, second = zip(*pairs, strict=True)
        tokens: Tensor = self.tokenizer([*english, *second])
        return tokens.to(self.scenes.device)

    @torch.no_grad()
    def _embedded(self, i: int) -> tuple[Tensor, list[Content]]:
        """Unit rows (TEXT_BATCH, d) of scenes that the first phase never saw."""
        self.model.eval()
        rng = stream(Stream.CAPTIONED_SCENES, self.seed, i)
        pictures, contents = self._render(rng, TEXT_BATCH)
        return encode_pictures(self.model, pictures), contents

    def _save(self) -> None:
        save(self.model, self.untrained_table, self.out)
        training = self.model.training
        self.model.eval()
        typer.echo(self._check())
        self.model.train(training)

    @torch.no_grad()
    def _check(self) -> str:
        """A log line: R@1 and R@5 of fresh scenes, each matched against all concepts' names."""
        rng = stream(Stream.CHECK)
        chosen = rng.permutation(len(self.scenes.concepts))[:CHECK_SIZE]
        pictures, _ = self.scenes.render(rng, chosen)
        rows, figures = encode_pictures(self.model, pictures), []
        for code in ("en", "zh"):
            names: Tensor = self.tokenizer([one.names[code] for one in self.scenes.concepts])
            texts = encode_texts(self.model, names.to(self.scenes.device))
            ranked = (rows @ texts.T).topk(5).indices.cpu()
            hits = ranked == torch.from_numpy(chosen)[:, None]
            figures.append(f"{code} R@1 {hits[:, 0].float().mean():.3f}")
            figures.append(f"R@5 {hits.any(1).float().mean():.3f}")
        return " ".join(figures)


def main(
    minutes: Annotated[float, typer.Option(min=0.1, help="Wall-clock budget.")] = 45.0,
    steps: Annotated[int | None, typer.Option(min=1, help="Exact steps, not the clock.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    start: Annotated[Path | None, typer.Option(help="Go on from this saved model.")] = None,
    peak: Annotated[float, typer.Option(help="Highest learning rate of the first phase.")] = 2e-3,
    out: Annotated[Path, typer.Option(help="Folder for config and weights.")] = OUT,
    device: Annotated[str, typer.Option(help="cuda where there is one, else cpu.")] = (
        "cuda" if torch.cuda.is_available() else "cpu"
    ),
    font: Annotated[Path, typer.Option(exists=True)] = NOTO_COLOR_EMOJI,
) -> None:
    """Train the demo model and write it to OUT."""
    glyphs = open_font(font)
    scenes = SceneBatches(load_concepts(glyphs), glyphs, torch.device(device))
    typer.echo(f"{len(scenes.concepts)} concepts")
    model = build_model(seed, scenes.device)
    untrained = model.token_embedding.weight.detach().cpu().clone()
    tokenizer = open_clip.SimpleTokenizer(context_length=CONTEXT_LENGTH)
    trainer = Trainer(model, scenes, tokenizer, seed, out, untrained)
    if start is not None:
        load(model, start)
    budget = Budget(minutes, steps)
    trainer.both_towers(budget.part(1 - TEXT_SHARE), peak)
    trainer.text_tower(budget.part(TEXT_SHARE))


if __name__ == "__main__":
    typer.run(main)
