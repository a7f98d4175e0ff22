"""Groups of pictures alike, over HTTP: real pictures, real vectors."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageEnhance
from sqlalchemy import delete, text

from app.catalog.duplicates import duplicate_groups, neighbour_pairs, perceptual_groups
from app.catalog.duplicates.union_find import connected_components
from app.catalog.images import image_deletion, image_rows
from app.catalog.images.new_images import NewImage, new_image
from app.database.query_plans import explain
from app.database.tables import images
from app.index import near_pairs, scan_settings, vector_indexes
from app.pictures.decoding import decode
from app.pictures.perceptual_hash import DUPLICATE_BITS
from app.runtime.services import Services
from app.web.pagination import write_cursor
from tests.conftest import TEST_IMAGES
from tests.fixtures.drawn_pictures import encoded, noise

MEGAPIXELS = 50
KINDS = ("exact", "perceptual", "semantic")


@pytest.fixture(autouse=True)
def _empty(services: Services) -> None:
    with services.gallery.sessions.begin() as session:
        session.execute(delete(images))


def drawing(name: str) -> bytes:
    return (TEST_IMAGES / name).read_bytes()


def variant(data: bytes) -> bytes:
    """Smaller, a little brighter, and saved anew."""
    image = decode(data, MEGAPIXELS).image
    small = image.resize((image.width * 2 // 3, image.height * 2 // 3), Image.Resampling.BICUBIC)
    return encoded(ImageEnhance.Brightness(small).enhance(1.05), "JPEG", quality=80)


def add(services: Services, *files: tuple[str, bytes], hashed: bool = True) -> list[int]:
    """Rows with real hashes and real vectors, at these paths; returns their ids."""
    pictures = [decode(data, MEGAPIXELS) for _, data in files]
    new = [
        new_image(path, path, data, picture)
        for (path, data), picture in zip(files, pictures, strict=True)
    ]
    if not hashed:
        new = [replace(one, perceptual_hash=None) for one in new]
    vectors = services.encoder.encode_images([picture.image for picture in pictures])
    with services.gallery.sessions.begin() as session:
        added = image_rows.add_images(session, services.search.index, new, vectors)
    return [image.id for image in added]


def add_pairs(services: Services, count: int) -> list[list[int]]:
    """Noise, each picture under two paths."""
    files = [(f"{copy}/{n}", encoded(noise(n))) for n in range(count) for copy in "ab"]
    ids = add(services, *files)
    return [ids[start : start + 2] for start in range(0, len(ids), 2)]


def add_angles(services: Services, *degrees: float) -> list[int]:
    """Rows with made-up vectors in one plane, at these angles to its first axis."""
    with services.gallery.sessions.begin() as session:
        index = services.search.index
        vectors = np.zeros((len(degrees), index.dimensions), np.float32)
        vectors[:, 0], vectors[:, 1] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        new = [NewImage(f"{n}", n.to_bytes(32), "1", 1, 1, 1, "PNG") for n in range(len(degrees))]
        added = image_rows.add_images(session, index, new, vectors)
    return [image.id for image in added]


def add_hashes(services: Services, *hashes: int | None) -> list[int]:
    ids = add_angles(services, *range(0, 90 * len(hashes), 90))
    with services.gallery.sessions.begin() as session:
        for image_id, value in zip(ids, hashes, strict=True):
            row = images.update().where(images.c.id == image_id)
            session.execute(row.values(perceptual_hash=value))
    return ids


def asked(client: TestClient, **parameters: Any) -> dict[str, Any]:
    answer = client.get("/api/v1/duplicates", params=parameters)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def ids_of(body: dict[str, Any]) -> list[list[int]]:
    return [[picture["id"] for picture in group["images"]] for group in body["data"]]


def groups(client: TestClient, kind: str, **parameters: Any) -> list[list[int]]:
    return ids_of(asked(client, kind=kind, **parameters))


def test_an_empty_collection_has_none(client: TestClient) -> None:
    for kind in KINDS:
        body = asked(client, kind=kind)
        assert (body["data"], body["total_groups"], body["next_cursor"]) == ([], 0, None)
        assert not body["truncated"]


def test_the_same_bytes_under_two_paths_are_of_each_kind(
    client: TestClient, services: Services
) -> None:
    plane, anchor = drawing("airplane.jpg"), drawing("anchor.jpg")
    first, _, second = add(services, ("a.jpg", plane), ("b.jpg", anchor), ("c.jpg", plane))
    for kind in KINDS:
        assert groups(client, kind) == [[first, second]]


def test_a_picture_of_a_group_says_what_and_where_it_is(
    client: TestClient, services: Services
) -> None:
    data = drawing("anchor.jpg")
    first, _ = add(services, ("a.jpg", data), ("b.jpg", data))
    body = asked(client)
    image = decode(data, MEGAPIXELS)
    version = hashlib.sha256(data).hexdigest()[:16]
    assert body["kind"] == "exact"
    assert (body["total_groups"], body["total_images"]) == (1, 2)
    assert body["data"][0]["size"] == 2
    assert body["data"][0]["images"][0] == {
        "id": first,
        "path": "a.jpg",
        "original_filename": "a.jpg",
        "url": f"/api/v1/images/{first}/file?v={version}",
        "thumbnail_url": f"/api/v1/images/{first}/thumbnail?v={version}",
        "width": image.width,
        "height": image.height,
        "bytes": len(data),
    }


@pytest.mark.parametrize("name", ["airplane.jpg", "anchor.jpg", "avocado.jpg"])
def test_a_variant_looks_and_means_the_same_but_is_not_the_same(
    client: TestClient, services: Services, name: str
) -> None:
    ids = add(
        services,
        ("original", drawing(name)),
        ("variant", variant(drawing(name))),
        ("unrelated", drawing("bicycle.jpg")),
        ("neither", drawing("beer-mug.webp")),
    )
    assert groups(client, "exact") == []
    assert groups(client, "perceptual") == groups(client, "semantic") == [ids[:2]]


def test_the_bits_of_a_threshold_count(client: TestClient, services: Services) -> None:
    ids = add_hashes(services, 0, 0b111, 0b111111111, 0xFFFF << 40)
    for bits, expected in [(2, []), (3, ids[:2]), (5, ids[:2]), (6, ids[:3]), (16, ids)]:
        found = groups(client, "perceptual", threshold=bits)
        assert found == ([expected] if expected else [])
    assert asked(client, kind="perceptual")["threshold"] == 6
    assert groups(client, "perceptual") == [ids[:3]]


def test_the_distance_of_a_threshold_counts(client: TestClient, services: Services) -> None:
    ids = add_angles(services, 0, 10, 35, 80)  # 1 − cos: 0.015, 0.094, 0.293
    for most, expected in [(0.01, []), (0.02, ids[:2]), (0.1, ids[:3]), (0.3, ids)]:
        found = groups(client, "semantic", threshold=most)
        assert found == ([expected] if expected else [])
    assert asked(client, kind="semantic")["threshold"] == 0.05
    assert groups(client, "semantic") == [ids[:2]]


def test_pictures_without_a_hash_are_counted_and_left_out(
    client: TestClient, services: Services
) -> None:
    data = drawing("anchor.jpg")
    add(services, ("a.jpg", data), ("b.jpg", data), hashed=False)
    ids = add(services, ("c.jpg", data), ("d.jpg", data))
    body = asked(client, kind="perceptual")
    assert (ids_of(body), body["unhashed"]) == ([ids], 2)


def test_a_buried_picture_is_in_no_group(client: TestClient, services: Services) -> None:
    data = drawing("anchor.jpg")
    first, second, third = add(services, *((name, data) for name in "abc"))
    for kind in KINDS:
        assert groups(client, kind) == [[first, second, third]]
    bury(services, [second])
    for kind in KINDS:
        assert groups(client, kind) == [[first, third]]
    bury(services, [first])
    for kind in KINDS:
        assert groups(client, kind) == []
    add(services, ("x", data))
    with services.gallery.sessions.begin() as session:
        session.execute(images.update().values(perceptual_hash=None))
    bury(services, [third])
    assert asked(client, kind="perceptual")["unhashed"] == 1


def bury(services: Services, ids: Sequence[int]) -> None:
    with services.gallery.sessions.begin() as session:
        image_deletion.mark_deleted(session, [image_rows.get_image(session, one) for one in ids])


def test_another_collection_is_not_looked_at(client: TestClient, services: Services) -> None:
    add_pairs(services, 1)
    with services.gallery.sessions.begin() as session:
        session.execute(text("INSERT INTO collections (namespace, name) VALUES ('x', 'x')"))
        session.execute(
            text(
                "UPDATE images SET collection_id = (SELECT id FROM collections WHERE name = 'x') "
                "WHERE path = 'a/0'"
            )
        )
    for kind in KINDS:
        assert groups(client, kind) == []


@pytest.mark.parametrize("kind", KINDS)
def test_pages_cover_all_groups_once(client: TestClient, services: Services, kind: str) -> None:
    pairs = add_pairs(services, 7)
    three = add(services, ("c/3", encoded(noise(3))))
    expected = [pairs[3] + three, *pairs[:3], *pairs[4:]]  # the largest first, then by first id
    found: list[list[int]] = []
    following: dict[str, str] = {}
    while following.get("cursor", "") is not None:
        body = asked(client, kind=kind, limit=3, **following)
        assert (body["total_groups"], body["total_images"]) == (7, 15)
        assert len(body["data"]) <= 3
        found += ids_of(body)
        following = {"cursor": body["next_cursor"]}
    assert found == expected
    assert groups(client, kind, cursor=write_cursor(kind, 2**63 - 1)) == []
    assert asked(client, kind=kind, limit=7)["next_cursor"] is None


def test_a_large_group_is_listed_in_part(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicate_groups, "MAX_GROUP_PICTURES", 3)
    ids = add_angles(services, *[0] * 30)
    (group,) = asked(client, kind="semantic")["data"]
    assert (group["size"], [one["id"] for one in group["images"]]) == (30, ids[:3])


def test_copies_beyond_the_neighbours_looked_up_are_one_group(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        neighbour_pairs, "find_neighbour_pairs", lambda *_: []
    )  # 20 others are nearer, say
    pairs = add_pairs(services, 2)
    assert groups(client, "semantic") == pairs


@pytest.mark.parametrize("kind", KINDS)
def test_how_many_are_looked_at_is_bounded_and_said(
    client: TestClient, services: Services, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _, _ = add_pairs(services, 3)
    assert not asked(client, kind=kind)["truncated"]
    monkeypatch.setattr(duplicate_groups, "MAX_EXACT", 3)
    monkeypatch.setattr(duplicate_groups, "MAX_PICTURES", 3)
    body = asked(client, kind=kind)
    assert (ids_of(body), body["truncated"]) == ([first], True)


@pytest.mark.parametrize("kind", ["perceptual", "semantic"])
def test_rows_are_read_in_parts(
    client: TestClient, services: Services, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicate_groups, "READ_BATCH", 2)
    monkeypatch.setattr(neighbour_pairs, "QUERY_BATCH", 3)
    pairs = add_pairs(services, 5)
    assert groups(client, kind) == pairs


def test_what_time_does_not_allow_is_left_to_the_next_request(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = add_angles(services, 0, 1, 90, 91)
    monkeypatch.setattr(neighbour_pairs, "QUERY_BATCH", 2)
    clock = iter([0, 1, 99, 100, 101])
    monkeypatch.setattr(neighbour_pairs, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    body = asked(client, kind="semantic")
    assert (ids_of(body), body["truncated"]) == ([ids[:2]], True)
    body = asked(client, kind="semantic")
    assert (ids_of(body), body["truncated"]) == ([ids[:2], ids[2:]], False)


def test_neighbours_are_looked_up_once_until_the_content_changes(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [(name, encoded(noise(seed))) for name, seed in [("a", 1), ("b", 1), ("c", 2)]]
    first, second, third = add(services, *pictures)
    looked_up: list[int] = []

    def counted(
        session: Any, index: Any, ids: Sequence[int], *rest: Any
    ) -> list[near_pairs.NeighbourPair]:
        looked_up.extend(ids)
        return near_pairs.find_neighbour_pairs(session, index, ids, *rest)

    monkeypatch.setattr(neighbour_pairs, "find_neighbour_pairs", counted)
    assert (
        groups(client, "semantic") == groups(client, "semantic", threshold=0) == [[first, second]]
    )
    assert looked_up == [first, second, third]
    add(services, ("b", encoded(noise(2))))
    assert groups(client, "semantic") == [[second, third]]
    assert looked_up[3:] == [second]


def test_pictures_are_compared_once_for_all_pages(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []
    groups_of = perceptual_groups.group_hashes

    def counted(hashes: perceptual_groups.Hashes, bits: int) -> list[list[int]]:
        compared.append(bits)
        return groups_of(hashes, bits)

    monkeypatch.setattr(perceptual_groups, "group_hashes", counted)
    pairs = add_pairs(services, 3)
    pages = [
        groups(client, "perceptual", limit=1, cursor=write_cursor("perceptual", n))
        for n in range(3)
    ]
    assert (pages, compared) == ([[pair] for pair in pairs], [6])
    pairs += (add(services, ("new", encoded(noise(0)))),)
    assert groups(client, "perceptual")[0] == [*pairs[0], *pairs[3]]
    groups(client, "perceptual", threshold=7)
    assert compared == [6, 6, 7]


def test_the_more_bits_the_fewer_pictures_are_compared() -> None:
    most = [
        duplicate_groups.max_comparable(bits) for bits in range(perceptual_groups.MAX_THRESHOLD + 1)
    ]
    assert most == sorted(most, reverse=True)
    assert most[DUPLICATE_BITS] == duplicate_groups.MAX_PICTURES
    assert 50_000 < most[-1] < 100_000


def test_who_waits_in_vain_takes_what_is_known(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pair,) = add_pairs(services, 1)
    groups(client, "semantic")
    add_angles(services, 0, 1)
    monkeypatch.setattr(neighbour_pairs, "MAX_QUERY_SECONDS", 0.01)
    with services.registry.default.duplicates._neighbours._lock:
        body = asked(client, kind="semantic")
    assert (ids_of(body), body["truncated"]) == ([pair], True)


def test_a_database_too_slow_is_no_error(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_angles(services, *np.linspace(0, 90, 3_000).tolist())
    monkeypatch.setattr(scan_settings, "STATEMENT_TIMEOUT_MS", 1)
    assert asked(client, kind="semantic")["truncated"]


def test_neighbours_come_from_the_graph(services: Services) -> None:
    ids = add_angles(services, *np.linspace(0, 90, 300).tolist())
    index = services.search.index
    with services.gallery.sessions() as session:
        vector_indexes.build_hnsw(session, index)
        session.execute(text("SET LOCAL enable_seqscan = off"))
        plan = session.execute(
            explain(near_pairs.neighbour_pairs_query(index, ids[:10], 20, 0.5))
        ).scalars()
        assert f"{index.partition}_hnsw_idx" in "\n".join(plan)
        session.rollback()


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"kind": "exact", "threshold": 0}, "leave threshold out"),
        ({"kind": "perceptual", "threshold": 17}, "0 to 16"),
        ({"kind": "perceptual", "threshold": -1}, "0 to 16"),
        ({"kind": "perceptual", "threshold": 1.5}, "a whole number"),
        ({"kind": "perceptual", "threshold": "nan"}, "0 to 16"),
        ({"kind": "perceptual", "threshold": "inf"}, "0 to 16"),
        ({"kind": "semantic", "threshold": 0.51}, "cosine distance, 0 to 0.5"),
        ({"kind": "semantic", "threshold": -0.1}, "cosine distance"),
        ({"kind": "semantic", "threshold": "nan"}, "cosine distance"),
        ({"kind": "semantic", "threshold": "near"}, "threshold"),
        ({"kind": "similar"}, "kind"),
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"cursor": write_cursor("exact", -1)}, "cursor"),
        ({"cursor": write_cursor("exact", 2**63)}, "cursor"),
        ({"cursor": write_cursor("perceptual", 1)}, "cursor"),
    ],
)
def test_what_cannot_be_asked_is_said_so(
    client: TestClient, parameters: dict[str, Any], sentence: str
) -> None:
    answer = client.get("/api/v1/duplicates", params=parameters)
    assert answer.status_code == 422
    assert sentence in answer.json()["detail"]


def test_the_description_is_whole(client: TestClient) -> None:
    route = client.get("/openapi.json").json()["paths"]["/api/v1/duplicates"]["get"]
    own = {"kind", "threshold", "limit", "cursor", "thumbnail_size"}
    assert {one["name"] for one in route["parameters"]} == {"namespace", "collection", *own}
    assert all(one["description"] for one in route["parameters"])
    assert set(route["responses"]) >= {"200", "401", "403", "404", "422", "429", "503"}


def test_chains_of_pairs_connect() -> None:
    assert connected_components(7, [(5, 1), (1, 3), (4, 6)]) == [[1, 3, 5], [4, 6]]
    assert connected_components(0, []) == connected_components(2, []) == []
