"""A picture that is deleted between being found and being read is left out, which is said."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, text

from app.runtime.services import Services
from tests.fixtures.search_library import answer, upload_pictures

LIMIT = 4
READS_PICTURES = "WHERE images.id IN ("


@pytest.fixture(scope="module", autouse=True)
def library(client: TestClient, services: Services) -> None:
    upload_pictures(client, services)


@contextmanager
def deleted_before_it_is_read(services: Services, image_id: int) -> Iterator[list[str]]:
    """By another client, which commits; with the statements that came too late."""
    engine = services.sessions.kw["bind"]
    late: list[str] = []

    def delete(_: object, __: object, statement: str, *___: Any) -> None:
        if READS_PICTURES in statement and not late:
            late.append(statement)
            with engine.begin() as other:
                hide = text("UPDATE images SET removed_at = now() WHERE id = :id")
                other.execute(hide, {"id": image_id})

    event.listen(engine, "before_cursor_execute", delete)
    try:
        yield late
    finally:
        event.remove(engine, "before_cursor_execute", delete)


def test_its_page_is_short_and_says_so_and_no_other_picture_is_lost(
    client: TestClient, services: Services
) -> None:
    first = answer(client, query="a green tree", limit=LIMIT)
    cursor = first["next_cursor"]
    gone, *others = ids(answer(client, cursor=cursor))
    with deleted_before_it_is_read(services, gone) as late:
        short = answer(client, cursor=cursor)
    assert late
    assert ids(short) == others
    told = [(one["code"], one["message"]) for one in short["warnings"]]
    assert ("deleted_meanwhile", "Deleted a moment ago: 1.") in told
    assert ids(answer(client, cursor=cursor))[: LIMIT - 1] == others


def ids(page: dict[str, Any]) -> list[int]:
    return [hit["id"] for hit in page["hits"]]
