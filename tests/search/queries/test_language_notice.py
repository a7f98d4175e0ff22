"""The log names the preset for other languages, once (issue 18, line 21)."""

from dataclasses import replace

import pytest

from app.runtime.services import Services
from app.search.queries.language_notice import LanguageNotice
from app.search.queries.query_terms import Term


@pytest.mark.parametrize(
    ("model", "text", "noticed"),
    [
        ("ViT-B-32", "狗", True),
        ("ViT-B-32", "a собака", True),
        ("ViT-B-32", "a dog", False),
        ("ViT-B-32", "ein Hündchen, 5 µm, café, π", False),
        ("xlm-roberta-base-ViT-B-32", "狗", False),
        ("demo model", "狗", False),
    ],
)
def test_a_script_that_the_model_does_not_know(
    model: str, text: str, noticed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    LanguageNotice().look_at(model, ["a tree", text])
    assert ("IMAGE_SEARCH_CLIP_MODEL=multilingual" in caplog.text) == noticed


def test_searches_say_it_once(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    """Under the name of an English model, since the demo model knows Chinese."""
    queries = services.search.queries
    english = replace(queries, index=replace(queries.index, model="ViT-B-32"))
    queries.encode([Term(text="狗")])
    assert "other languages than English" not in caplog.text
    english.encode([Term(text="狗")])
    english.encode_text("猫")
    assert caplog.text.count("other languages than English") == 1
