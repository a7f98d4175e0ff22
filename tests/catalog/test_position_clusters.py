"""Where pictures were taken, put together for a map (issue 16)."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.fixtures.drawn_pictures import png

MAP = "/api/v1/collections/default/map"
PLACES: tuple[tuple[Any, Any, str], ...] = (
    (38.71, -9.14, "Lisbon"),
    (38.72, -9.13, "Lisbon"),
    (38.70, -9.15, "Almada"),
    (41.15, -8.61, "Porto"),
    (-36.85, 174.76, "Auckland"),
)
NO_PLACES = ((91, 0, "x"), (0, 1e300, "x"), ("38", -9, "x"), (None, None, "x"))


@pytest.fixture(scope="module")
def ids(client: TestClient) -> list[int]:
    found = []
    for number, (latitude, longitude, city) in enumerate(PLACES + NO_PLACES):
        told = {"gps": {"latitude": latitude, "longitude": longitude}, "place": {"city": city}}
        data = {"metadata": json.dumps(told)}
        sent = client.post("/upload", files={"file": ("a.png", png(7_300 + number))}, data=data)
        found.append(sent.json()[0]["id"])
    return found


def clusters(client: TestClient, **where: Any) -> list[dict[str, Any]]:
    answer = client.get(MAP, params={"filter": json.dumps(where)})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["clusters"]
    return found


def test_near_pictures_are_one_cluster_that_its_circle_holds(
    client: TestClient, ids: list[int]
) -> None:
    iberia, auckland = clusters(client)
    assert (iberia["pictures"], iberia["city"], iberia["image_id"]) == (4, "Lisbon", ids[3])
    assert (auckland["pictures"], auckland["kilometers"]) == (1, 0.05)
    for cluster, expected in ((iberia, ids[:4]), (auckland, ids[4:5])):
        circle = {
            "lat": cluster["latitude"],
            "lon": cluster["longitude"],
            "km": cluster["kilometers"],
        }
        where = {"position": {"within": circle}}
        hits = client.post("/api/v1/search", json={"filter": where}).json()["hits"]
        assert sorted(hit["id"] for hit in hits) == expected


def test_a_filter_for_a_cluster_takes_it_apart(client: TestClient, ids: list[int]) -> None:
    found = clusters(client, position={"within": {"lat": 40, "lon": -9, "km": 300}})
    assert [one["city"] for one in found] == ["Lisbon", "Porto"]
    assert len(clusters(client, **{"place.city": "Lisbon"})) == 2


def test_where_no_positions_are_there_is_nothing(client: TestClient, ids: list[int]) -> None:
    assert clusters(client, **{"place.city": "x"}) == []
    assert client.get(MAP, params={"filter": "[]"}).status_code == 422
