"""CLIP's tokenizer without torch: the ids of open_clip's own, whatever the text."""

import csv
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some
from open_clip.tokenizer import SimpleTokenizer

from app.encoders.inputs.tokenizer import ClipTokenizer, read_merges, vocabulary
from app.settings import ROOT
from tests.conftest import TEST_IMAGES

CONTEXT = 77
THEIRS = SimpleTokenizer(context_length=CONTEXT)
OURS = ClipTokenizer(CONTEXT)
# What texts of people and of programs are made of, so that pieces of words meet.
PIECES = ("a tree", " ", "'s", "'LL", "’t", "&amp;", "&lt;b&gt;", "&#128512;", "\t", "½", "12", "ſ")
MORE = (
    "自行车",
    "É",
    "e\u0301",
    "👩‍👩‍👧",
    "İ",
    "ß",
    "ﬁ",
    "<start_of_text>",
    "<END_OF_TEXT>",
    "</w>",
    "_-!",
)


def same(texts: list[str], context: int = CONTEXT) -> bool:
    theirs = SimpleTokenizer(context_length=context)(texts) if context != CONTEXT else THEIRS(texts)
    ours = OURS if context == CONTEXT else ClipTokenizer(context)
    found = ours(texts)
    assert found.dtype == np.int64
    assert found.shape == (len(texts), context)
    return np.array_equal(found, theirs.numpy())


def test_the_vocabulary_is_open_clips() -> None:
    merges = read_merges()
    assert vocabulary(merges) == THEIRS.encoder
    assert merges == list(THEIRS.bpe_ranks)


def test_captions_have_the_same_ids() -> None:
    with (TEST_IMAGES / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    captions = [row[name] for row in rows for name in ("caption", "concepts", "caption_zh")]
    assert len(captions) > 600
    assert same(captions)


@pytest.mark.parametrize("context", [3, 8, 40, CONTEXT])
def test_a_long_text_is_cut_before_its_end(context: int) -> None:
    texts = ["long " * 300, "x" * 900, "自行车" * 90, "one two three four five six", "a", "", "  "]
    assert same(texts, context)
    assert ClipTokenizer(context)(texts[:1])[0, -1] == THEIRS.eot_token_id


@settings(max_examples=400, deadline=None)
@given(some.text(max_size=120))
@example("<ſtart_of_text> 'ſ")
@example("\x00\x07\x85\u200b\ufeff")
@example("&amp;amp;lt; â€™ Ã©")
def test_any_text_has_the_same_ids(text: str) -> None:
    assert same([text])


@settings(max_examples=300, deadline=None)
@given(some.lists(some.sampled_from(PIECES + MORE), max_size=30).map("".join))
def test_texts_of_usual_pieces_have_the_same_ids(text: str) -> None:
    assert same([text])


def test_halves_of_characters_have_the_same_ids() -> None:
    assert same(["\ud800", "a \udc00 tree", "\udfff" * 90])


def test_it_needs_neither_torch_nor_open_clip() -> None:
    script = (
        "import sys\n"
        "from app.encoders.inputs.tokenizer import ClipTokenizer\n"
        "ClipTokenizer(8)(['a tree'])\n"
        "print(sorted({'torch', 'open_clip'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr
