"""Cursors over HTTP: what leads to the next page, and what does not."""

import json
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.access.signed_tokens import Signer
from app.index.scan_plans import Scan
from app.runtime.services import Services
from app.search.cursors import AUDIENCE, Cursors
from app.search.queries.query_encoding import Query
from app.search.reciprocal_rank_fusion import Fusion
from app.search.search_request import MAX_FILTER_CHARACTERS, Page, SearchRequest
from app.web.payloads.search.request import MAX_CURSOR_CHARACTERS
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import sql
from tests.fixtures.search_library import answer, asked, pages, refused, shown_ids

COUNT = 7
BODY: dict[str, Any] = {"query": "a tree", "limit": 3}


@pytest.fixture(scope="module", autouse=True)
def _some_pictures(client: TestClient) -> None:
    sent = [("file", (f"{n}.png", png(n))) for n in range(COUNT)]
    assert client.post("/upload", files=sent, data={"caption": "a tree"}).status_code == 201


@pytest.fixture
def cursor(client: TestClient) -> str:
    found: str = answer(client, **BODY)["next_cursor"]
    return found


def signed_anew(services: Services, cursor: str, seconds: int = 60, **changes: Any) -> str:
    """The cursor with other claims, signed by the service's own secret."""
    signer = services.cursors.signer
    return signer.sign(AUDIENCE, signer.read(AUDIENCE, cursor) | changes, seconds)


def test_a_cursor_is_read_as_it_was_written() -> None:
    question = SearchRequest("n", "c", limit=7, filter={"a": ["é", 1, None]}, fusion=Fusion(0.1, 3))
    vector = np.linspace(-1, 1, 5, dtype=np.float32)
    page = Page(
        question,
        "d",
        4,
        Query(vector, vector, "w", 0.5, "w", "w"),
        Scan("hnsw", 9, 8),
        21,
        None,
        False,
    )
    cursors = Cursors(Signer("s" * 32))
    read = cursors.read(cursors.write(page))
    assert read.query is not None
    assert np.array_equal(read.query.vector, vector)
    assert read.query.picture_share == 0.5
    unlike = {"query": None}
    assert vars(read) | unlike == vars(page) | unlike


def test_the_cursor_leads_on_alone_and_with_its_request(client: TestClient, cursor: str) -> None:
    alone = answer(client, cursor=cursor)
    again = answer(client, **BODY, cursor=cursor)
    assert alone["hits"] == again["hits"]
    assert [hit["vector_rank"] for hit in alone["hits"]] == [4, 5, 6]
    few = answer(client, cursor=cursor, include=["path"])
    assert "caption" not in few["hits"][0]
    assert [hit["id"] for hit in few["hits"]] == [hit["id"] for hit in alone["hits"]]


@pytest.mark.parametrize(
    "changes",
    [
        {"query": "a car"},
        {"query": [{"text": "a tree", "weight": 2}]},
        {"query": None},
        {"limit": 4},
        {"filter": {"width": 1}},
        {"mode": "lexical"},
        {"hybrid": {}},
        {"min_score": 0},
        {"order_by": "id"},
        {"group_by": "duplicates"},
        {"exact": True},
        {"collection": "default", "namespace": "other"},
    ],
)
def test_a_cursor_of_another_request_is_refused(
    client: TestClient, cursor: str, changes: dict[str, Any]
) -> None:
    detail = refused(asked(client, **BODY | changes, cursor=cursor))
    assert detail.startswith("cursor: it belongs to another request.")


def test_a_cursor_that_was_altered_is_refused(client: TestClient, cursor: str) -> None:
    head, body, signature = cursor.split(".")
    for bad in (
        cursor[:-10],
        f"{head}.{body}.",
        f"{head}.{body[:-4]}.{signature}",
        f"{head}.{body}A.{signature}",
        f"eyJhbGciOiJub25lIn0.{body}.",
        "x",
        "",
    ):
        for request in ({"cursor": bad}, BODY | {"cursor": bad}):
            detail = refused(asked(client, **request))
            assert detail.startswith("cursor: it was not issued by this service, or has expired")
            assert detail.endswith("Ask for the first page again.")
    assert "cursor" in refused(asked(client, cursor="x" * (MAX_CURSOR_CHARACTERS + 1)))
    assert "cursor" in refused(asked(client, cursor=5))


def test_an_expired_cursor_is_refused(client: TestClient, services: Services, cursor: str) -> None:
    assert "expired" in refused(asked(client, cursor=signed_anew(services, cursor, -100)))


def test_a_cursor_of_another_secret_or_audience_is_refused(
    client: TestClient, services: Services, cursor: str
) -> None:
    claims = services.cursors.signer.read(AUDIENCE, cursor)
    for signer, audience in ((Signer("t" * 32), AUDIENCE), (services.cursors.signer, "token")):
        detail = refused(asked(client, cursor=signer.sign(audience, claims, 60)))
        assert detail.startswith("cursor: it was not issued by this service")


def test_a_cursor_of_another_format_or_index_is_refused(
    client: TestClient, services: Services, cursor: str
) -> None:
    assert "an older version" in refused(
        asked(client, cursor=signed_anew(services, cursor, format=0))
    )
    other = signed_anew(services, cursor, index=services.search.index.id + 1)
    assert "made or indexed anew" in refused(asked(client, cursor=other))


def test_a_cursor_of_a_deleted_collection_leads_nowhere(
    client: TestClient, services: Services, cursor: str
) -> None:
    """It names one that is not there any more."""
    claims = services.cursors.signer.read(AUDIENCE, cursor)
    gone = claims["request"] | {"collection": "gone"}
    found = asked(client, cursor=signed_anew(services, cursor, request=gone))
    assert "collection gone" in refused(found, 404)


def test_a_listing_has_no_position_of_another_order(client: TestClient, services: Services) -> None:
    first = answer(client, limit=2, order_by="created_at")["next_cursor"]
    for after in (["no date", 1], [None, "x"], [5, 5]):
        found = asked(client, cursor=signed_anew(services, first, after=after))
        assert "does not belong to this order" in refused(found)


def test_pages_go_on_while_pictures_and_the_null_change(
    client: TestClient, services: Services, cursor: str
) -> None:
    services.registry.default.search.statistics.measure()
    bodies = (BODY, BODY | {"mode": "lexical"}, BODY | {"hybrid": {}}, {"limit": 3})
    cursors = [answer(client, **body)["next_cursor"] for body in bodies]
    stored = client.post("/upload", files={"file": ("x.png", png(99))}).json()[0]["id"]
    sql(services, "UPDATE vector_indexes SET chance = NULL")
    for one in [cursor, *cursors]:
        assert len(answer(client, cursor=one)["hits"]) >= 2
    assert client.delete(f"/images/{stored}").status_code in {200, 204}
    for one in [cursor, *cursors]:
        assert len(answer(client, cursor=one)["hits"]) >= 2


def test_the_longest_filter_and_words_have_a_cursor(client: TestClient) -> None:
    """Each character of them is twelve in the cursor's JSON."""
    values = ["🌳" * 80 + str(n) for n in range(MAX_FILTER_CHARACTERS // (12 * 80 + 8) - 1)]
    where = {"not": {"path": {"in": values}}}
    assert MAX_FILTER_CHARACTERS - 2_000 < len(json.dumps(where)) <= MAX_FILTER_CHARACTERS
    terms = [{"text": f"{'🌳' * 990} tree"} for _ in range(16)]
    found = pages(client, query=terms, filter=where, hybrid={}, limit=2)
    assert len(shown_ids(found)) == COUNT
