"""Captions of the scenes: what a person might type to find one."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from scripts.demo_model.backgrounds import COLOURS, Background
from scripts.demo_model.concepts import Concept

T = TypeVar("T")

SINGLE = (
    "{}",
    "a photo of {}",
    "a picture of {}",
    "an image of {}",
    "a drawing of {}",
    "a cartoon of {}",
    "this is {}",
    "there is {}",
    "a scene with {}",
    "picture with {}",
    "show me {}",
)
JOINS = ("{} and {}", "{} with {}", "{} next to {}", "{} beside {}", "{}, {}")
SINGLE_ZH = ("{}", "{}的图片", "{}的照片", "一张{}的图片", "图中有{}")
JOINS_ZH = ("{}和{}", "{}与{}", "{}、{}")

CHINESE_SHARE = 0.7
OTHER_LANGUAGE_SHARE = 0.15
"""Shares of second captions in Chinese and in other languages; the rest are English again."""
BARE_SHARE = 0.35
"""Share of English captions that are just the name or a synonym."""
SYNONYM_SHARE = 0.5
COLOUR_SHARE = 0.35
BACKGROUND_SHARE = 0.4
SWAP_SHARE = 0.3
"""Share of captions that name the right-hand glyph first."""
ONE_OF_TWO_SHARE = 0.12
"""Share of captions that mention only one of a scene's two glyphs."""


def article(noun: str) -> str:
    """The noun with "a" or "an"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def caption_pair(
    rng: np.random.Generator, shown: Sequence[Concept], background: Background
) -> tuple[str, str]:
    """Two captions of a scene of one or two concepts: English, then mostly another language."""
    if rng.random() < SWAP_SHARE:
        shown = shown[::-1]
    english = _in_english(rng, _spoken_of(rng, shown), background)
    shown, choice = _spoken_of(rng, shown), rng.random()
    if choice < CHINESE_SHARE:
        return english, _chinese(rng, shown, background)
    if choice < CHINESE_SHARE + OTHER_LANGUAGE_SHARE:
        return english, _other(rng, shown)
    return english, _in_english(rng, shown, background)


def _spoken_of(rng: np.random.Generator, shown: Sequence[Concept]) -> Sequence[Concept]:
    if len(shown) > 1 and rng.random() < ONE_OF_TWO_SHARE:
        return [_pick(rng, shown)]
    return shown


def _in_english(rng: np.random.Generator, shown: Sequence[Concept], background: Background) -> str:
    if rng.random() < BARE_SHARE:
        return " and ".join(_noun(rng, one) for one in shown)
    return _english(rng, shown, background)


def _english(rng: np.random.Generator, shown: Sequence[Concept], background: Background) -> str:
    nouns = [_described(rng, one) for one in shown]
    text = _pick(rng, JOINS).format(*nouns) if len(nouns) > 1 else nouns[0]
    if rng.random() < BACKGROUND_SHARE:
        return f"{text} {_pick(rng, background.phrases)}"
    return _pick(rng, SINGLE).format(text)


def _described(rng: np.random.Generator, concept: Concept) -> str:
    noun = _noun(rng, concept)
    if concept.colour and concept.colour not in noun and rng.random() < COLOUR_SHARE:
        noun = f"{concept.colour} {noun}"
    return noun if rng.random() < 0.25 else article(noun)


def _chinese(rng: np.random.Generator, shown: Sequence[Concept], background: Background) -> str:
    nouns = [_noun_zh(rng, one) for one in shown]
    text = _pick(rng, JOINS_ZH).format(*nouns) if len(nouns) > 1 else nouns[0]
    if rng.random() < 0.5:
        return text
    if rng.random() < BACKGROUND_SHARE:
        return f"{background.zh}的{text}"
    return _pick(rng, SINGLE_ZH).format(text)


def _other(rng: np.random.Generator, shown: Sequence[Concept]) -> str:
    codes = sorted(set(shown[0].names) - {"en", "zh"})
    code = _pick(rng, codes) if codes else "en"
    return ", ".join(one.names.get(code, one.name) for one in shown)


def _noun(rng: np.random.Generator, concept: Concept) -> str:
    if concept.synonyms and rng.random() < SYNONYM_SHARE:
        return _pick(rng, concept.synonyms)
    return concept.name


def _noun_zh(rng: np.random.Generator, concept: Concept) -> str:
    if concept.synonyms_zh and rng.random() < SYNONYM_SHARE * 0.6:
        noun = _pick(rng, concept.synonyms_zh)
    else:
        noun = concept.names["zh"]
    if concept.colour and rng.random() < COLOUR_SHARE * 0.4:
        return f"{COLOURS[concept.colour][0]}的{noun}"
    return noun


def _pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]
