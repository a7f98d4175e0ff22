"""Words read in pictures, as searches find them; how they were read does not matter here."""

from collections.abc import Iterator, Sequence

import pytest
from fastapi.testclient import TestClient

from app.runtime.services import Services
from app.understanding.annotators import annotation_rows, annotator_rows
from app.understanding.texts import image_text_rows
from app.understanding.texts.text_lines import TextLine
from tests.fixtures.drawn_pictures import png
from tests.fixtures.search_library import answer

BOX = (0.1, 0.2, 0.6, 0.3)
RECEIPT = ("北京超市购物发票", "合计金额 128.50", "订单 A4711")
LETTER = ("Dear neighbours,", "the bicycles in the hall", "must be gone by Monday.")


@pytest.fixture(scope="module")
def ids(client: TestClient, services: Services) -> Iterator[dict[str, int]]:
    """Pictures by what was read in them."""
    known = services.registry.default
    with services.sessions.begin() as session:
        annotator_rows.turn_on(session, known.collection.id, "text")
    found = {}
    for number, (name, lines) in enumerate((("receipt", RECEIPT), ("letter", LETTER))):
        sent = client.post("/upload", files={"file": (f"{number}.png", png(number))})
        found[name] = sent.json()[0]["id"]
        write(services, found[name], lines)
    yield found
    services.annotators.choose(known, [])


def write(services: Services, image_id: int, lines: Sequence[str]) -> None:
    read = [TextLine(line, BOX, 0.9) for line in lines]
    with services.sessions.begin() as session:
        annotation_rows.note(session, image_id, "text", "of this test", b"", "read")
        image_text_rows.replace(session, image_id, "text", read)


def found_by(client: TestClient, query: str, mode: str = "lexical") -> dict[int, list[str]]:
    hits = answer(client, query=query, mode=mode)["hits"]
    return {hit["id"]: [line["text"] for line in hit["texts"]] for hit in hits}


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        ("发票", [0]),
        ("金额", [1]),
        ("超市 金额", [0, 1]),
        ('"购物发票"', [0]),
        ("128.50", [1]),
        ("4711", [2]),
    ],
)
def test_words_inside_chinese_and_beside_letters_are_found(
    client: TestClient, ids: dict[str, int], query: str, lines: list[int]
) -> None:
    assert found_by(client, query) == {ids["receipt"]: [RECEIPT[one] for one in lines]}


def test_characters_apart_are_no_word(client: TestClient, ids: dict[str, int]) -> None:
    assert found_by(client, "市金") == {}


def test_words_are_stemmed_and_phrases_go_on_over_lines(
    client: TestClient, ids: dict[str, int]
) -> None:
    assert found_by(client, "bicycle") == {ids["letter"]: [LETTER[1]]}
    assert list(found_by(client, '"hall must be"')) == [ids["letter"]]
    assert list(found_by(client, "bicycle -monday")) == []


def test_a_hit_by_its_look_alone_has_no_texts(client: TestClient, ids: dict[str, int]) -> None:
    hits = answer(client, query="a green tree", mode="hybrid")["hits"]
    assert [hit["texts"] for hit in hits] == [[], []]
    hits = answer(client, query="bicycle", include=["caption"], mode="lexical")["hits"]
    assert "texts" not in hits[0] or hits[0]["texts"] is None


def test_words_may_be_spread_over_caption_and_picture(
    client: TestClient, ids: dict[str, int]
) -> None:
    client.patch(f"/api/v1/images/{ids['letter']}", json={"caption": "notice of the landlord"})
    assert found_by(client, "landlord bicycle") == {ids["letter"]: [LETTER[1]]}
    assert found_by(client, '"landlord dear"') == {}  # no phrase goes on from one into the other


def test_another_language_stems_what_was_read_anew(client: TestClient, ids: dict[str, int]) -> None:
    collection = "/api/v1/collections/default"
    assert client.patch(collection, json={"language": "german"}).is_success
    assert found_by(client, "bicycles") == {ids["letter"]: [LETTER[1]]}
    assert found_by(client, "发票") == {ids["receipt"]: [RECEIPT[0]]}
    assert client.patch(collection, json={"language": "english"}).is_success
