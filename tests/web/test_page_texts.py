"""The page's texts: every language says all, in its plural forms, also why something is refused."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.catalog.images.new_images import MetadataRules, embedded_words
from app.pictures.decoding import Picture
from app.pictures.metadata.description import Description
from app.understanding.labels.gates import HELD
from app.web import page
from app.web.page import ENGLISH, FOLDER
from app.web.problems.problems import (
    CODES,
    DATABASE_BUSY,
    DATABASE_READ_ONLY,
    DATABASE_UNAVAILABLE,
    KINDS,
)

SCRIPTS = sorted(path.name for path in FOLDER.glob("*.js"))
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
CALL = re.compile(r"""\bt\(\s*(?:"(\w+)"|'(\w+)'|`([^`]*)`)""")
KEY = re.compile(r"""["'`](\w+)["'`]""")
OWN = {"language_options", "base", "texts"}  # placeholders that are no texts
REFUSED = "refused_"  # begins the keys of reasons, before the code of a problem
FIELD = "field_"  # begins those of names of metadata
OF_THE_FILE = {"language_name"}  # what else a file of texts says

TEXTS = page.read_texts(FOLDER / "texts")
LANGUAGES = list(TEXTS)


def source(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


def used_in_html() -> set[str]:
    return set(PLACEHOLDER.findall(source("index.html"))) - OWN


def calls() -> Iterator[tuple[str, str]]:
    """Keys and, of keys that are put together, patterns: each with its script."""
    for name in SCRIPTS:
        for double, single, template in CALL.findall(source(name)):
            yield name, re.escape(double or single) if double or single else pattern_of(template)


def pattern_of(template: str) -> str:
    parts = re.split(r"\$\{[^}]*\}", template)
    return r"\w+".join(map(re.escape, parts))


def whole(texts: page.Texts) -> page.Texts:
    """Without the reasons of refusals, which the server tells in English itself."""
    return {key: text for key, text in texts.items() if not key.startswith(REFUSED)}


def forms(text: str | Mapping[str, str]) -> dict[str, str]:
    return {"other": text} if isinstance(text, str) else dict(text)


def slots(text: str) -> set[str]:
    return set(re.findall(r"\{\w+\}", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_languages_have_the_same_texts(language: str) -> None:
    english, other = whole(TEXTS[ENGLISH]), whole(TEXTS[language])
    assert list(english) == list(other)
    for key, text in english.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", key)
        assert all(form.strip() for form in forms(other[key]).values())
        assert slots(forms(text)["other"]) == slots(forms(other[key])["other"]), key
        for form in forms(other[key]).values():
            assert slots(form) <= slots(forms(text)["other"]), key


COUNTED = {
    "en": r"pictures|copies|files|sidecars|clips",
    "de": r"Bilder[n]?|Kopien|Dateien|Begleitdateien|fehlen|waren|blieben",
}
"""Words that follow a number in the plural alone, in languages that have one."""
OF_A_CONSTANT = {"too_many_pictures"}  # which is more than one


@pytest.mark.parametrize("language", COUNTED)
def test_what_is_counted_has_a_singular(language: str) -> None:
    """Before: "1 pictures are back."."""
    plural = re.compile(rf"\}} (?:{COUNTED[language]})\b(?!:)")
    for key, text in TEXTS[language].items():
        if plural.search(forms(text)["other"]) and key not in OF_A_CONSTANT:
            assert set(forms(text)) == {"one", "other"}, key
            assert not plural.search(forms(text)["one"]), key


OF_THE_PAGE = {
    "access_denied",
    "annotation_invalid",
    "answer_outdated",
    "archive_entry_refused",
    "archive_invalid",
    "busy",
    "collection_exists",
    "collection_invalid",
    "collection_not_found",
    "database_busy",
    "database_read_only",
    "database_unavailable",
    "disk_full",
    "feedback_invalid",
    "filter_invalid",
    "gate_refused",
    "image_corrupt",
    "image_not_found",
    "image_too_large",
    "image_too_narrow",
    "image_unsupported",
    "image_vanished",
    "internal_error",
    "job_conflict",
    "job_not_found",
    "key_invalid",
    "last_admin_key",
    "model_unavailable",
    "new_key_invalid",
    "new_key_outlives",
    "query_empty",
    "query_invalid",
    "query_too_slow",
    "rate_limited",
    "request_invalid",
    "request_too_large",
    "selection_too_large",
    "source_not_allowed",
    "source_unavailable",
    "storage_unwritable",
    "token_invalid",
    "unavailable",
    "upload_invalid",
    "url_not_allowed",
    "url_unreadable",
}
"""Codes that somebody at the page can meet; the others are for programs."""


@pytest.mark.parametrize("language", LANGUAGES)
def test_refusals_are_told_in_the_pages_language(language: str) -> None:
    """Their texts are for codes of the API's table; the server's own sentences are English."""
    of_the_api = {kind.code for kind in KINDS.values()} | set(CODES.values())
    of_the_api |= {DATABASE_BUSY, DATABASE_READ_ONLY, DATABASE_UNAVAILABLE, HELD}
    told = {key.removeprefix(REFUSED) for key in TEXTS[language] if key.startswith(REFUSED)}
    assert told <= of_the_api
    assert {"key_invalid", "access_denied"} <= told
    if language != ENGLISH:
        assert told >= OF_THE_PAGE
    for key in told:
        assert slots(forms(TEXTS[language][REFUSED + key])["other"]) <= {"{detail}"}


def test_no_file_beside_its_texts_names_german() -> None:
    """Issue 19, item 18: a language is added by a file alone."""
    assert {"de", "zh"} <= set(LANGUAGES)
    for path in [Path(page.__file__), *FOLDER.glob("*.*")]:
        written = path.read_text("utf-8").replace("`static/texts/de.json` is German", "")
        assert not re.search(r"""["'](?:de|zh|zh-Hans)["']|Deutsch|German|中文""", written), path


def test_no_key_is_there_twice() -> None:
    def unique(pairs: list[tuple[str, str]]) -> dict[str, str]:
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    for language in LANGUAGES:
        json.loads(source(f"texts/{language}.json"), object_pairs_hook=unique)


def test_chinese_is_chinese() -> None:
    for key, text in TEXTS["zh"].items():
        plain = re.sub(r"\{\w+\}", "", forms(text)["other"])
        if re.search(r"[A-Za-z]{3,} [A-Za-z]{2,}", plain):
            assert re.search(r"[\u4e00-\u9fff]", plain), (key, text)


def test_every_text_that_is_asked_for_is_there() -> None:
    known = set(TEXTS[ENGLISH])
    assert used_in_html() <= known
    for name, pattern in calls():
        assert any(re.fullmatch(pattern, key) for key in known), (name, pattern)


def test_what_the_program_writes_of_pictures_has_a_name() -> None:
    """Before, people read `motion` and `duration` in German and Chinese too."""
    fields = ("title", "label", "creator", "copyright", "camera", "lens", "album", "burst", "city",
              "state", "country")  # fmt: skip
    texts: dict[str, Any] = dict.fromkeys(fields, "a")
    told = Description(tags=("a",), people=("a",), rating=4.0, position=(38.7, -9.1), **texts)
    picture = Picture(
        Image.new("RGB", (1, 1)), "MP4", 1, 1, told, film_offset=9, frames=2, duration=1.5
    )
    written = embedded_words(picture, MetadataRules(keep_gps=True)).metadata
    parts = {f"{name}_{part}" for name in ("gps", "place") for part in written[name]}
    unseen = {"motion_offset"}  # of use to programs alone
    named = {key.removeprefix(FIELD) for key in TEXTS[ENGLISH] if key.startswith(FIELD)}
    assert {*written, *parts} - unseen <= named


def test_every_text_is_used() -> None:
    patterns = [pattern for _, pattern in calls()]
    named = {key for name in SCRIPTS for key in KEY.findall(source(name))}  # in tables of keys
    unused = [
        key
        for key in TEXTS[ENGLISH]
        if key not in used_in_html() | named | OF_THE_FILE
        and not key.startswith((REFUSED, FIELD))
        and not any(re.fullmatch(p, key) for p in patterns)
    ]
    assert unused == []
