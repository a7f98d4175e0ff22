"""Hits that are the same picture, put together: exact copies, and pictures that look alike."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.catalog import collections
from app.database import connections
from app.database.tables import images
from app.pictures.perceptual_hash import DUPLICATE_BITS
from app.search.grouping.result_grouping import group_duplicates
from tests.conftest import TEST_IMAGES
from tests.fixtures.drawn_pictures import encoded
from tests.fixtures.search_library import answer, pages, warned

NEAR, FAR = (1 << DUPLICATE_BITS) - 1, (1 << (DUPLICATE_BITS + 1)) - 1  # so many bits are 1


@pytest.fixture
def session(sessions: connections.Sessions) -> Iterator[Session]:
    with sessions() as opened:
        yield opened
        opened.rollback()


def kept(session: Session, *looks: tuple[str, int | None], removed: int | None = None) -> list[int]:
    """The ids of pictures of these bytes and looks; the one at the place `removed` is buried."""
    home = collections.default(session).id
    rows: list[dict[str, Any]] = [
        {
            "collection_id": home,
            "path": f"{place}.png",
            "content_hash": hashlib.sha256(content.encode()).digest(),
            "perceptual_hash": bits,
            "removed_at": "2026-01-01" if place == removed else None,
            "etag": "",
            "bytes": 1,
            "width": 1,
            "height": 1,
            "format": "PNG",
        }
        for place, (content, bits) in enumerate(looks)
    ]
    query = insert(images).returning(images.c.id, sort_by_parameter_order=True)
    return list(session.execute(query, rows).scalars())


def grouped(session: Session, ids: list[int]) -> list[list[int]]:
    """The places in each group."""
    return [
        [one.position, *map(ids.index, one.duplicate_ids)] for one in group_duplicates(session, ids)
    ]


def test_the_same_bytes_are_one_group(session: Session) -> None:
    ids = kept(session, ("a", None), ("b", None), ("a", None), ("b", 0), ("a", -1))
    assert grouped(session, ids) == [[0, 2, 4], [1, 3]]


def test_looks_alike_are_one_group_and_others_are_not(session: Session) -> None:
    ids = kept(session, ("a", 0), ("b", FAR), ("c", NEAR), ("d", -1), ("e", ~NEAR))
    assert grouped(session, ids) == [[0, 2], [1], [3, 4]]


def test_a_group_is_told_by_its_first_alone(session: Session) -> None:
    """Else a chain of pictures alike would lead to one that is not."""
    ids = kept(session, ("a", 0), ("b", NEAR), ("c", NEAR | NEAR << DUPLICATE_BITS))
    assert grouped(session, ids) == [[0, 1], [2]]


def test_pictures_without_a_hash_are_told_apart_by_their_bytes(session: Session) -> None:
    ids = kept(session, ("a", None), ("b", None), ("c", None))
    assert grouped(session, ids) == [[0], [1], [2]]


def test_the_order_of_the_hits_decides_who_is_first(session: Session) -> None:
    ids = kept(session, ("a", 5), ("b", None), ("a", 5))[::-1]
    assert [(one.position, one.duplicate_ids) for one in group_duplicates(session, ids)] == [
        (0, [ids[2]]),
        (1, []),
    ]


def test_a_longer_ranking_leaves_the_first_groups_as_they_are(session: Session) -> None:
    ids = kept(session, *((f"{n % 40}", (n * n) % 1000) for n in range(120)))
    whole = group_duplicates(session, ids)
    for stop in (1, 10, 60, 119):
        some = group_duplicates(session, ids[:stop])
        assert [one.position for one in some] == [
            one.position for one in whole if one.position < stop
        ]
        for one, longer in zip(some, whole, strict=False):
            assert longer.duplicate_ids[: len(one.duplicate_ids)] == one.duplicate_ids


def test_a_buried_picture_is_alone(session: Session) -> None:
    ids = kept(session, ("a", 0), ("a", 0), ("b", 0), removed=0)
    assert grouped(session, ids) == [[0], [1, 2]]


def test_more_pictures_than_a_statement_has_parameters(session: Session) -> None:
    ids = kept(session, ("a", 1), ("a", 1))
    groups = group_duplicates(session, [*range(-70_000, -1), *ids])
    assert groups[-1].duplicate_ids == [ids[1]]


def test_copies_alone_have_the_same_bytes(session: Session) -> None:
    """Issue 21, line 32: one tile for all copies, and for nothing that merely looks alike."""
    ids = kept(session, ("a", 1), ("b", 1), ("a", 1), ("c", NEAR), ("b", 1))
    groups = group_duplicates(session, ids, copies_only=True)
    assert [(one.position, one.duplicate_ids) for one in groups] == [
        (0, [ids[2]]),
        (1, [ids[4]]),
        (3, []),
    ]


def test_no_picture_is_no_group(session: Session) -> None:
    assert group_duplicates(session, []) == []


# --- Over HTTP


@pytest.fixture
def variants(client: TestClient) -> list[int]:
    """A picture, itself in a smaller JPEG, and itself in a WebP; two others beside them."""
    with Image.open(TEST_IMAGES / "zebra.jpg") as opened:
        zebra = opened.convert("RGB")
    smaller = encoded(zebra.resize((200, 200)), "JPEG", quality=50)
    files = [(TEST_IMAGES / "zebra.jpg").read_bytes(), smaller, encoded(zebra, "WEBP", quality=40)]
    others = [(TEST_IMAGES / name).read_bytes() for name in ("tree.jpg", "cat.jpg")]
    sent = [("file", (f"{n}.x", data)) for n, data in enumerate([*files, *others])]
    stored = client.post("/upload", files=sent).json()
    return [one["id"] for one in stored]


def test_variants_are_no_copies(client: TestClient, variants: list[int]) -> None:
    hits = answer(client, query="a zebra", group_by="copies")["hits"]
    assert [hit["duplicates"] for hit in hits] == [[]] * len(variants)


def test_variants_are_named_by_the_best_and_on_no_later_page(
    client: TestClient, variants: list[int]
) -> None:
    whole = answer(client, query="a zebra", group_by="duplicates")
    best, *others = whole["hits"]
    assert {best["id"], *best["duplicates"]} == set(variants[:3])
    assert len(best["duplicates"]) == 2
    assert {hit["id"] for hit in others} == set(variants[3:])
    assert "Duplicates were grouped." in warned(whole)
    for mode in ("vector", "hybrid"):
        body = {"query": "a zebra", "group_by": "duplicates", "limit": 1, "mode": mode}
        found = [hit for page in pages(client, **body) for hit in page]
        assert [hit["id"] for hit in found] == [hit["id"] for hit in whole["hits"]]


def test_without_grouping_each_variant_is_a_hit(client: TestClient, variants: list[int]) -> None:
    hits = answer(client, query="a zebra")["hits"]
    assert {hit["id"] for hit in hits} == set(variants)
    assert {len(hit["duplicates"]) for hit in hits} == {0}
