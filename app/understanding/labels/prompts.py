"""From phrases to vectors: each phrase is embedded in each template, and the vectors averaged."""

from collections.abc import Callable, Sequence

import numpy as np

from app.index.calibration import unrelated_texts
from app.understanding.labels.labels import LabelSet, prompts_of
from app.vectors import Vectors, unit_rows

TEXT_BATCH = 8  # prompts encoded at a time: searches go between them

EncodeTexts = Callable[[Sequence[str]], Vectors]
"""Embeds texts: float32, shape (n, dimensions), unit rows."""


def encode_phrases(
    encode: EncodeTexts, phrases: Sequence[str], templates: Sequence[str]
) -> Vectors:
    """One vector for each phrase: float32, shape (len(phrases), dimensions), unit rows.

    It is the mean of the unit vectors of its prompts, at unit length, as in CLIP's zero-shot recipe
    (Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021,
    section 3.1.4: an ensemble in embedding space).
    """
    prompts = [text for phrase in phrases for text in prompts_of(phrase, templates)]
    vectors = _encode_all(encode, prompts)
    return unit_rows(vectors.reshape(len(phrases), len(templates), -1).mean(axis=1))


def encode_set(encode: EncodeTexts, labels: LabelSet) -> Vectors:
    """The vectors of a set, float32, shape (n, dimensions), as `scoring.Scorer` takes them.

    First those of each label's phrases, then those of each label's negatives, then one for each
    text of what is none of them.
    """
    phrases = [
        *(phrase for label in labels.labels for phrase in label.texts),
        *(phrase for label in labels.labels for phrase in label.negatives),
        *(labels.other or ()),
    ]
    vectors = encode_phrases(encode, phrases, labels.templates)
    if labels.other is not None:
        return vectors
    return np.concatenate([vectors, _encode_all(encode, unrelated_texts())])


def _encode_all(encode: EncodeTexts, texts: Sequence[str]) -> Vectors:
    batches = [texts[start : start + TEXT_BATCH] for start in range(0, len(texts), TEXT_BATCH)]
    return np.concatenate([encode(batch) for batch in batches])
