"""Search tokens over HTTP: what is signed is taken back, everything else is refused with reason."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi.testclient import TestClient

from app.access.signed_tokens import ALGORITHM, LEEWAY_SECONDS, Signer
from app.runtime.services import Services
from app.search.feedback_tokens import AUDIENCE, MAX_TEXT_CHARACTERS, quantise
from app.search.queries.query_encoding import Query
from tests.conftest import TEST_IMAGES
from tests.fixtures.drawn_pictures import png
from tests.fixtures.search_library import answer, refused, upload_pictures


@pytest.fixture(scope="module")
def ids(client: TestClient, services: Services) -> dict[str, int]:
    return upload_pictures(client, services)


@pytest.fixture
def token(client: TestClient, ids: dict[str, int]) -> str:
    found: str = answer(client, query="a tree", limit=3)["token"]
    return found


def judged(client: TestClient, token: str, **more: Any) -> Any:
    return client.post("/api/v1/feedback", json={"token": token, "rating": 7, **more})


def claims_of(services: Services, token: str) -> dict[str, Any]:
    return services.tokens.signer.read(AUDIENCE, token)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def rs256(claims: dict[str, Any]) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return jwt.encode(claims, pem, "RS256")


def test_a_token_holds_all_that_a_judgement_needs(
    client: TestClient, services: Services, ids: dict[str, int], token: str
) -> None:
    shown = services.tokens.read(token)
    hits = answer(client, query="a tree", limit=3)["hits"]
    assert list(shown.image_ids) == [hit["id"] for hit in hits]
    assert (shown.query, shown.text, shown.vector) == ("a tree", "a tree", None)
    assert shown.fingerprint == services.search.index.fingerprint
    claims = claims_of(services, token)
    assert claims["aud"] == AUDIENCE
    assert claims["exp"] - claims["iat"] == 24 * 3600
    assert jwt.get_unverified_header(token)["alg"] == "HS256"


def test_a_picture_is_in_its_token_as_its_vector(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    picture = (TEST_IMAGES / "tree.jpg").read_bytes()
    found = client.post("/search-by-image", content=picture, params={"limit": 2})
    shown = services.tokens.read(found.headers["x-search-token"])
    assert shown.text is None
    assert shown.vector is not None
    vector = services.search.queries.encode_picture(picture).original
    assert float(shown.vector @ vector / np.linalg.norm(shown.vector)) > 0.999
    assert len(found.headers["x-search-token"]) < 2_000


def test_every_answer_has_one_but_a_listing(client: TestClient, ids: dict[str, int]) -> None:
    assert client.get("/search-by-text", params={"query": "x"}).headers["x-search-token"]
    assert client.get("/api/v1/search", params={"q": "x"}).json()["token"]
    assert client.get(f"/api/v1/images/{ids['tree.jpg']}/similar").json()["token"]
    for mode in ("vector", "lexical", "hybrid"):
        first = answer(client, query="a tree", mode=mode, limit=1)
        assert first["token"]
    assert answer(client, cursor=answer(client, query="a tree", limit=2)["next_cursor"])["token"]
    assert answer(client)["token"] is None


def test_searching_writes_nothing(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    with services.sessions.begin() as session:
        before = session.connection().exec_driver_sql(
            "SELECT (SELECT count(*) FROM feedback), (SELECT count(*) FROM feedback_queries)"
        )
        counts = tuple(before.one())
    answer(client, query="never asked before")
    with services.sessions.begin() as session:
        after = session.connection().exec_driver_sql(
            "SELECT (SELECT count(*) FROM feedback), (SELECT count(*) FROM feedback_queries)"
        )
        assert tuple(after.one()) == counts


@pytest.mark.parametrize("length", [MAX_TEXT_CHARACTERS, MAX_TEXT_CHARACTERS + 1, 1_000])
def test_a_token_of_a_long_query_stays_short_enough_for_a_header(
    client: TestClient, ids: dict[str, int], length: int
) -> None:
    found = client.get("/search-by-text", params={"query": "樹" * length, "limit": 100})
    token = found.headers["x-search-token"]
    assert len(token) < 4_096
    assert judged(client, token).json()["query"] == "樹" * MAX_TEXT_CHARACTERS


def test_a_long_lexical_query_is_judged_by_its_words(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    text = " ".join(["tree"] * 100)
    token = answer(client, query=text, mode="lexical")["token"]
    assert services.tokens.read(token).text == text
    assert judged(client, token).status_code == 201


def test_what_was_signed_but_is_not_a_search_is_refused(
    client: TestClient, services: Services, token: str
) -> None:
    cursor = answer(client, query="a tree", limit=1)["next_cursor"]
    assert "Audience" in refused(judged(client, cursor), 401)
    older = services.tokens.signer.sign(AUDIENCE, {**claims_of(services, token), "format": 0}, 60)
    assert "older version" in refused(judged(client, older), 401)


def altered(claims: dict[str, Any], signer: Signer, kind: str) -> str:
    """The token of `claims` as somebody would hand it in who is not to be believed."""
    now = int(time.time())
    head, body, seal = signer.sign(AUDIENCE, claims, 60).split(".")
    secret = signer._secret
    ways: dict[str, Callable[[], str]] = {
        "empty": lambda: "",
        "no token": lambda: "hello",
        "another body": lambda: f"{head}.{part({**claims, 'hits': [1, 2, 3]})}.{seal}",
        "no seal": lambda: f"{head}.{body}.",
        "another seal": lambda: f"{head}.{body}.{'A' * len(seal)}",
        "another secret": lambda: jwt.encode(claims, "t" * 32, ALGORITHM),
        "expired": lambda: signer.sign(AUDIENCE, claims, -LEEWAY_SECONDS - 5),
        "another audience": lambda: signer.sign("cursor", claims, 60),
        "no audience": lambda: jwt.encode(
            {name: claims[name] for name in claims if name != "aud"}, secret, ALGORITHM
        ),
        "from the future": lambda: jwt.encode(
            {**claims, "iat": now + 3600, "exp": now + 7200}, secret, ALGORITHM
        ),
        "alg none": lambda: f"{part({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        "alg None": lambda: f"{part({'alg': 'None', 'typ': 'JWT'})}.{body}.",
        "HS384": lambda: jwt.encode(claims, secret * 2, "HS384"),
        "RS256": lambda: rs256(claims),
        "RS256 named, HS256 sealed": lambda: (
            f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{body}.{seal}"
        ),
        "NUL": lambda: f"{head}\0.{body}.{seal}",
    }
    return ways[kind]()


KINDS = {
    "empty": "Not enough segments",
    "no token": "Not enough segments",
    "another body": "Signature verification failed",
    "no seal": "Signature verification failed",
    "another seal": "Signature verification failed",
    "another secret": "Signature verification failed",
    "expired": "expired",
    "another audience": "Audience doesn't match",
    "no audience": "aud",
    "from the future": "not yet valid",
    "alg none": "alg",
    "alg None": "alg",
    "HS384": "alg",
    "RS256": "alg",
    "RS256 named, HS256 sealed": "alg",
    "NUL": "",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("route", ["feedback", "create-feedback"])
def test_a_token_that_is_not_ours_is_refused_with_the_reason(
    client: TestClient, services: Services, token: str, kind: str, route: str
) -> None:
    bad = altered(claims_of(services, token), services.tokens.signer, kind)
    body = {
        "feedback": {"token": bad, "rating": 7},
        "create-feedback": {"jwt": bad, "user_feedback": 7},
    }[route]
    found = client.post(f"/api/v1/{route}", json=body)
    assert KINDS[kind] in refused(found, 401)


def test_the_leeway_is_a_minute(client: TestClient, services: Services, token: str) -> None:
    claims = claims_of(services, token)
    late = services.tokens.signer.sign(AUDIENCE, claims, -LEEWAY_SECONDS + 20)
    assert judged(client, late).status_code in {200, 201}


def test_a_token_of_a_former_index_holds_for_words_alone(
    client: TestClient, services: Services, token: str
) -> None:
    """Words are encoded again by the model of the index that is active now."""
    signer = services.tokens.signer
    former = {"index": 999_999, "fingerprint": "0" * 64}
    claims = claims_of(services, token)
    assert judged(client, signer.sign(AUDIENCE, {**claims, **former}, 60)).status_code in {200, 201}
    picture = client.post("/search-by-image", content=png(1)).headers["X-Search-Token"]
    outdated = signer.sign(AUDIENCE, {**claims_of(services, picture), **former}, 60)
    assert "Search again" in refused(judged(client, outdated), 409)
    lost = signer.sign(AUDIENCE, {**claims, "collection": 999_999}, 60)
    assert refused(judged(client, lost), 404)


def test_a_vector_keeps_its_direction_in_eight_bits() -> None:
    random = np.random.default_rng(1)
    for dimensions in (4, 128, 512, 4_000):
        vector = random.normal(size=dimensions).astype(np.float32)
        vector /= np.linalg.norm(vector)
        kept = quantise(vector).astype(np.float32)
        assert float(kept @ vector / np.linalg.norm(kept)) > 0.999


def test_searches_are_told_apart(services: Services) -> None:
    vector = np.array([1, 0, 0, 0], np.float32)
    query = Query(vector, vector, "x", 0.0, "x", "x")
    tokens = [services.tokens.write(services.search.index, query, [1]) for _ in range(2)]
    first, second = (services.tokens.read(one).search for one in tokens)
    assert first != second
    assert first != uuid4()
