"""Judgements over HTTP: kept once, replaced, summed up, exported."""

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.feedback import query_adjustment
from app.feedback.evaluation import EvaluationResult
from app.runtime.services import Services
from app.web.routes import feedback as web
from tests.conftest import TEST_IMAGES
from tests.fixtures.folder_jobs import sql
from tests.fixtures.search_library import answer, refused, upload_pictures

FEEDBACK = "/api/v1/feedback"


@pytest.fixture(scope="module")
def ids(client: TestClient, services: Services) -> dict[str, int]:
    return upload_pictures(client, services)


@pytest.fixture(autouse=True)
def nothing_judged(services: Services) -> None:
    with services.sessions.begin() as session:
        session.execute(text("DELETE FROM feedback_queries"))


def token(client: TestClient, query: Any = "a tree", **more: Any) -> str:
    found: str = answer(client, query=query, **more)["token"]
    return found


def judge(client: TestClient, token: str, rating: int, **more: Any) -> Any:
    return client.post(FEEDBACK, json={"token": token, "rating": rating, **more})


def rows(services: Services) -> list[tuple[Any, ...]]:
    """All judgements: query, picture, rating, comment."""
    query = (
        "SELECT q.query, f.image_id, f.rating, f.comment FROM feedback f "
        "JOIN feedback_queries q ON q.id = f.query_id ORDER BY f.id"
    )
    with services.sessions.begin() as session:
        return [tuple(row) for row in session.execute(text(query))]


def summary(client: TestClient, **params: Any) -> Any:
    found = client.get(f"{FEEDBACK}/summary", params=params)
    assert found.status_code == 200, found.text
    return found.json()


def test_an_answer_and_a_hit_are_judged(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    given = token(client)
    whole = judge(client, given, 6, comment="fine")
    hit = judge(client, given, 9, image_id=ids["tree.jpg"])
    assert (whole.status_code, hit.status_code) == (201, 201)
    assert whole.json()["query"] == "a tree"
    assert hit.json()["image_id"] == ids["tree.jpg"]
    assert rows(services) == [("a tree", None, 6, "fine"), ("a tree", ids["tree.jpg"], 9, None)]


def test_the_same_judgement_again_replaces_it(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    given = token(client)
    for image_id in (None, ids["tree.jpg"]):
        first = judge(client, given, 2, image_id=image_id, comment="bad")
        again = judge(client, given, 10, image_id=image_id)
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["id"] == again.json()["id"]
        assert again.json()["updated_at"] > first.json()["updated_at"]
    assert rows(services) == [("a tree", None, 10, None), ("a tree", ids["tree.jpg"], 10, None)]


def test_a_judgement_is_taken_back(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    given, other = token(client), token(client)
    hit = ids["tree.jpg"]
    for one in (given, other):
        judge(client, one, 2)
        judge(client, one, 9, image_id=hit)
    kept = [("a tree", None, 2, None), ("a tree", hit, 9, None)]
    for image_id in (hit, hit, None):  # the second time there is none
        body = {"token": given, "image_id": image_id}
        taken = client.post(f"{FEEDBACK}/withdraw", json=body)
        assert (taken.status_code, taken.content) == (204, b"")
    assert rows(services) == kept
    assert judge(client, given, 7).status_code == 201
    outside = {"token": given, "image_id": max(ids.values()) + 1}
    assert "not among the hits" in refused(client.post(f"{FEEDBACK}/withdraw", json=outside))


def test_with_the_last_rating_its_query_goes(client: TestClient, services: Services) -> None:
    """Found by a trial: an export still had the text of a rating that was withdrawn."""
    given, other = token(client), token(client)
    for one in (given, other):
        judge(client, one, 2)
    texts = []
    for one in (given, other):
        assert client.post(f"{FEEDBACK}/withdraw", json={"token": one}).status_code == 204
        with services.sessions.begin() as session:
            texts.append(
                session.execute(text("SELECT query FROM feedback_queries")).scalars().all()
            )
    assert texts == [["a tree"], []]
    assert judge(client, given, 7).status_code == 201


def test_another_search_is_judged_anew_and_the_query_is_kept_once(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    for said in ("a tree", " a  tree ", "a tree"):
        assert judge(client, token(client, said), 8).status_code == 201
    assert len(rows(services)) == 3
    with services.sessions.begin() as session:
        assert session.execute(text("SELECT count(*) FROM feedback_queries")).scalar_one() == 1


def test_judgements_of_a_picture_query_are_kept_by_its_vector(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    for _ in range(2):
        found = client.post(
            "/search-by-image",
            content=(TEST_IMAGES / "tree.jpg").read_bytes(),
            params={"limit": 3},
        )
        assert judge(client, found.headers["x-search-token"], 8).status_code == 201
    assert rows(services) == [("the picture that was sent", None, 8, None)] * 2
    stored = "SELECT vector_norm(embedding), count(*) OVER () FROM feedback_queries"
    with services.sessions.begin() as session:
        norm, count = session.execute(text(stored.replace("vector_norm", "l2_norm"))).one()
    assert count == 1
    assert abs(norm - 1) < 0.01


def test_mixed_queries_are_told_in_words(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    terms = [{"text": "a car"}, {"text": "red", "weight": -0.5}, {"id": ids["tree.jpg"]}]
    assert judge(client, token(client, terms), 3).status_code == 201
    assert rows(services)[0][0] == f"a car − 0.5 × red + picture {ids['tree.jpg']}"


def test_what_judgements_move_is_no_surer_for_that(
    client: TestClient,
    services: Services,
    ids: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither in answers nor in what explains them."""
    monkeypatch.setattr(query_adjustment, "STATE_CACHE_SECONDS", -1.0)
    services.search.statistics.measure()
    other = ids["zebra.jpg"]
    before = told(client, other)
    for _ in range(6):
        assert judge(client, token(client, limit=100), 10, image_id=other).status_code == 201
    switched = "UPDATE vector_indexes SET trial = :trial WHERE state = 'active'"
    verdict = EvaluationResult("on", 0.5, 0.6, 0.01, 99, 999, datetime.now(UTC)).to_json()
    sql(services, switched, trial=json.dumps(verdict))
    after = told(client, other)
    sql(services, switched, trial=None)
    assert after["score"] > before["score"] + 0.05
    assert after["confidence"] == pytest.approx(before["confidence"], rel=1e-3)
    assert after["searched"] == pytest.approx(after["confidence"], rel=1e-3)


def told(client: TestClient, image_id: int) -> dict[str, Any]:
    """Of a picture for the words: what explains it, and the confidence in the answer."""
    found: dict[str, Any] = client.get(
        "/api/v1/explain", params={"q": "a tree", "id": image_id}
    ).json()
    hits = answer(client, query="a tree", limit=100)["hits"]
    return {**found, "searched": next(h["confidence"] for h in hits if h["id"] == image_id)}


def test_what_was_not_shown_cannot_be_judged(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    given = token(client, limit=1)
    other = next(
        one for one in ids.values() if one != answer(client, query="a tree")["hits"][0]["id"]
    )
    assert "not among the hits" in refused(judge(client, given, 5, image_id=other))
    assert rows(services) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"rating": 0},
        {"rating": 11},
        {"rating": 5.5},
        {"rating": None},
        {"image_id": 0},
        {"image_id": 2**63},
        {"comment": "x" * 2_001},
        {"comment": "a\0b"},
        {"more": 1},
        {"token": None},
    ],
)
def test_what_cannot_be_is_refused(
    client: TestClient, services: Services, ids: dict[str, int], changes: dict[str, Any]
) -> None:
    body = {"token": token(client), "rating": 5, **changes}
    assert refused(client.post(FEEDBACK, json=body))
    assert rows(services) == []


def test_the_earlier_systems_programs_are_served(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    found = client.post("/api/v1/search-image", json={"text": "a tree"}).json()
    assert list(found) == ["text", "model_name", "matches", "jwt"]
    assert (found["text"], found["model_name"]) == ("a tree", "demo model")
    assert [list(match) for match in found["matches"]] == [["image_name", "score"]] * 10
    assert found["matches"][0]["image_name"] == "tree.jpg"
    scores = [match["score"] for match in found["matches"]]
    assert scores == sorted(scores, reverse=True)
    body = {"user_feedback": 5, "jwt": found["jwt"]}
    assert client.post("/api/v1/create-feedback", json=body).status_code == 201
    assert client.post("/api/v1/create-feedback", json=body).status_code == 200
    assert rows(services) == [("a tree", None, 5, None)]
    for rating in (0, 11, "x"):
        assert refused(
            client.post("/api/v1/create-feedback", json={**body, "user_feedback": rating})
        )


def test_a_picture_has_the_same_name_for_the_earlier_systems_programs(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    origin = "UPDATE images SET origin = :origin WHERE id = :id"
    sql(services, origin, origin="https://pictures.example/a%20b.jpg?w=1", id=ids["tree.jpg"])
    found = client.post("/api/v1/search-image", json={"text": "a tree"}).json()
    assert found["matches"][0]["image_name"] == "a b.jpg"
    sql(services, origin, origin="tree.jpg", id=ids["tree.jpg"])


def test_the_summary_says_what_is_bad(client: TestClient, ids: dict[str, int]) -> None:
    for query, rating in (("a tree", 9), ("a tree", 7), ("a submarine", 2), ("a war", 5)):
        assert judge(client, token(client, query), rating).status_code == 201
    found = summary(client)
    (model,) = found["by_model"]
    assert (model["model"], model["ratings"], model["mean"]) == ("demo model", 4, 5.75)
    (day,) = found["by_day"]
    assert (day["ratings"], day["mean"]) == (4, 5.75)
    assert [(one["query"], one["mean"]) for one in found["worst_queries"]] == [
        ("a submarine", 2.0),
        ("a war", 5.0),
        ("a tree", 8.0),
    ]
    assert [one["query"] for one in found["without_good"]] == ["a submarine", "a war"]
    assert found["evaluations"] == [
        {"collection": "default", "status": "not_enough_data", "queries": 0, "ratings": 0}
        | dict.fromkeys(["ndcg_without", "ndcg_with", "standard_error", "agreement"])
        | {"evaluated_at": None}
    ]
    assert summary(client, collection="default")["by_model"] == found["by_model"]
    assert refused(client.get(f"{FEEDBACK}/summary", params={"collection": "none"}), 404)


def test_the_summary_is_of_the_last_days(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    assert judge(client, token(client), 9).status_code == 201
    with services.sessions.begin() as session:
        session.execute(text("UPDATE feedback SET updated_at = now() - interval '40 days'"))
    assert summary(client)["by_day"] == []
    assert len(summary(client, days=50)["by_day"]) == 1


def test_another_collections_judgements_are_not_counted(
    client: TestClient, ids: dict[str, int]
) -> None:
    assert client.post("/api/v1/collections", json={"name": "judged"}).status_code == 201
    try:
        assert judge(client, token(client, collection="judged"), 1).status_code == 201
        assert summary(client, collection="default")["by_model"] == []
        assert summary(client, collection="judged")["by_model"][0]["ratings"] == 1
        assert len(summary(client)["evaluations"]) == 2
        assert summary(client, namespace="other")["evaluations"] == []
    finally:
        assert client.delete("/api/v1/collections/judged").status_code == 204
    assert summary(client)["by_model"] == []  # they went with it


def test_all_is_exported(
    client: TestClient, ids: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.feedback.summaries.EXPORT_BATCH", 2)
    comments = ["=1+1", 'a, b\n"c"', "@x", "樹", None]
    for comment in comments:
        assert judge(client, token(client, "-tree"), 4, comment=comment).status_code == 201
    found = client.get(f"{FEEDBACK}/export", params={"format": "jsonl"})
    assert found.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in found.text.splitlines()]
    assert [one["comment"] for one in lines] == comments
    assert {one["query"] for one in lines} == {"-tree"}
    assert list(lines[0]) == web.COLUMNS
    table = client.get(f"{FEEDBACK}/export")
    assert table.headers["content-type"].startswith("text/csv")
    assert "attachment" in table.headers["content-disposition"]
    read = list(csv.DictReader(io.StringIO(table.text)))
    assert [one["comment"] for one in read] == ["'=1+1", 'a, b\n"c"', "'@x", "樹", ""]
    assert read[0]["query"] == "'-tree"
    assert [int(one["rating"]) for one in read] == [4] * 5


def test_feedback_of_a_deleted_picture_stays(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    sent = client.post("/upload", files={"file": ("t.jpg", (TEST_IMAGES / "car.jpg").read_bytes())})
    image_id = sent.json()[0]["id"]
    given = token(client, "a car", limit=20)
    assert client.delete(f"/images/{image_id}").status_code == 204
    assert judge(client, given, 2, image_id=image_id).status_code == 201
    assert rows(services) == [("a car", image_id, 2, None)]
    assert summary(client)["by_model"][0]["ratings"] == 1
