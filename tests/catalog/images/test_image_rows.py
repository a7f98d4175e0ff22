import hashlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.images import image_deletion, image_rows
from app.catalog.images.new_images import NewImage
from app.database import connections
from app.database.tables import VectorIndex
from app.errors import ImageNotFound, IndexGone, ModelMismatch
from app.index import vector_indexes
from app.index.hnsw_search import find_nearest
from app.vectors import Vectors, VectorSpace


def picture(path: str, content: str = "") -> NewImage:
    digest = hashlib.sha256((content or path).encode()).digest()
    return NewImage(
        *(path, digest, "1-1", 10, 4, 3, "PNG"),
        caption="a caption",
        metadata={"place": "Lisbon"},
    )


def unit(position: int) -> Vectors:
    return np.eye(4, dtype=np.float32)[[position]]


@pytest.fixture
def session(sessions: connections.Sessions) -> Iterator[Session]:
    """A session whose transaction is undone at the end."""
    with sessions() as opened:
        yield opened
        opened.rollback()


@pytest.fixture
def index(session: Session, space: VectorSpace) -> VectorIndex:
    return vector_indexes.open_index(session, collections.default(session).id, space)


def test_the_same_model_opens_the_same_index(
    session: Session, index: VectorIndex, space: VectorSpace
) -> None:
    assert vector_indexes.open_index(session, index.collection_id, space) == index


def test_an_index_without_vectors_gives_way_to_another_model(
    session: Session, index: VectorIndex, space: VectorSpace
) -> None:
    other = replace(space, model="large", fingerprint="e" * 64, dimensions=8)
    opened = vector_indexes.open_index(session, index.collection_id, other)
    assert (opened.model, opened.dimensions) == ("large", 8)
    assert vector_indexes.open_index(session, index.collection_id, other) == opened


def test_another_model_is_refused_by_name(
    session: Session, index: VectorIndex, space: VectorSpace
) -> None:
    image_rows.add_images(session, index, [picture("a.png")], unit(0))
    other = replace(space, model="large", fingerprint="e" * 64)
    with pytest.raises(ModelMismatch) as refusal:
        vector_indexes.open_index(session, index.collection_id, other)
    assert "tiny / made-up" in str(refusal.value)
    assert "large / made-up" in str(refusal.value)
    assert "TESTING=1 for the demo model" in str(refusal.value)


def test_a_picture_comes_back_as_it_was_added(session: Session, index: VectorIndex) -> None:
    (added,) = image_rows.add_images(session, index, [picture("a.png")], unit(0))
    found = image_rows.get_image(session, added.id)
    assert found == added
    assert (found.path, found.caption, found.metadata) == (
        "a.png",
        "a caption",
        {"place": "Lisbon"},
    )
    assert image_rows.count_images(session, index.collection_id) == 1
    assert vector_indexes.count_vectors(session, index) == 1


def test_a_known_path_keeps_its_id_and_words(session: Session, index: VectorIndex) -> None:
    plain = picture("a.png")
    said = replace(plain, said_caption=plain.caption, said_metadata=plain.metadata or {})
    (first,) = image_rows.add_images(session, index, [said], unit(0))
    new = replace(picture("a.png", "new bytes"), caption=None, metadata=None)
    (second,) = image_rows.add_images(session, index, [new], unit(1))
    assert second.id == first.id
    assert second.content_hash != first.content_hash
    assert (second.caption, second.metadata) == (first.caption, first.metadata)
    assert vector_indexes.count_vectors(session, index) == 1


def test_rows_come_in_the_order_of_the_pictures(session: Session, index: VectorIndex) -> None:
    new = [picture(f"{name}.png") for name in "dacb"]
    added = image_rows.add_images(session, index, new, np.eye(4, dtype=np.float32))
    assert [image.path for image in added] == [image.path for image in new]


def test_deleting_a_picture_deletes_its_vector(session: Session, index: VectorIndex) -> None:
    (added,) = image_rows.add_images(session, index, [picture("a.png")], unit(0))
    image_deletion.remove(session, [added.id])
    assert vector_indexes.count_vectors(session, index) == 0
    with pytest.raises(ImageNotFound, match=f"no picture with id {added.id}"):
        image_rows.get_image(session, added.id)


def test_the_first_picture_with_the_same_bytes_is_found(
    session: Session, index: VectorIndex
) -> None:
    new = [picture("b.png", "same"), picture("a.png", "same")]
    first, second = image_rows.add_images(session, index, new, np.eye(4, dtype=np.float32)[:2])
    content_hash = new[0].content_hash
    assert image_rows.find_by_hash(session, index.collection_id, content_hash) == first
    same = image_rows.files_with_content(session, index.collection_id, content_hash)
    assert {known.id for known in same} == {first.id, second.id}
    assert image_rows.find_by_hash(session, index.collection_id, b"\0" * 32) is None


def test_known_pictures_are_those_between_two_paths(session: Session, index: VectorIndex) -> None:
    paths = ("in/a.png", "in/b/c.png", "in_/d.png", "inside.png")
    new = [picture(path) for path in paths]
    image_rows.add_images(session, index, new, np.eye(4, dtype=np.float32))

    def between(prefix: str, after: str | None = None, upto: str | None = None) -> set[str]:
        paths = (after, upto)
        return set(image_rows.files_between(session, index.collection_id, prefix, paths))

    assert between("in/") == {"in/a.png", "in/b/c.png"}
    assert between("in_/") == {"in_/d.png"}
    assert between("in/", after="in/a.png") == {"in/b/c.png"}
    assert between("in/", upto="in/a.png") == {"in/a.png"}
    assert between("in", after="in/a.png", upto="in_/d.png") == {"in/b/c.png", "in_/d.png"}


def test_a_buried_picture_is_in_no_answer_and_lives_again_when_it_comes_anew(
    session: Session, index: VectorIndex
) -> None:
    (added,) = image_rows.add_images(session, index, [picture("a.png")], unit(0))
    moved = replace(added, stored_path="elsewhere.png")
    assert image_deletion.mark_deleted(session, [moved]) == [], "it is not where it was known to be"
    assert image_deletion.mark_deleted(session, [added]) == [added]
    collection_id = index.collection_id
    assert image_rows.count_images(session, collection_id) == 0
    assert image_rows.find_by_hash(session, collection_id, added.content_hash) is None
    assert image_rows.files_at(session, collection_id, ["a.png"]) == {}
    assert find_nearest(session, index, unit(0)[0], 1) == []
    with pytest.raises(ImageNotFound):
        image_rows.get_image(session, added.id)
    (again,) = image_rows.add_images(session, index, [picture("a.png")], unit(0))
    assert image_rows.get_image(session, again.id).path == "a.png"
    assert image_deletion.remove_marked(session, 10) == []


def test_a_retired_index_takes_no_more_pictures(session: Session, index: VectorIndex) -> None:
    session.execute(text("UPDATE vector_indexes SET state = 'retired'"))
    with pytest.raises(IndexGone, match="was replaced or deleted"):
        image_rows.add_images(session, index, [picture("a.png")], unit(0))


def test_the_partition_refuses_other_dimensions(session: Session, index: VectorIndex) -> None:
    (added,) = image_rows.add_images(session, index, [picture("a.png")], unit(0))
    with pytest.raises(IntegrityError, match="dimensions_check"):
        session.execute(
            text("UPDATE embeddings SET embedding = '[1,0,0]' WHERE image_id = :id"),
            {"id": added.id},
        )


def hnsw_indexes(session: Session) -> list[str]:
    query = text("SELECT indexname FROM pg_indexes WHERE indexname ~ '^embeddings_.*hnsw'")
    return list(session.execute(query).scalars())


def test_hnsw_is_dropped_only_while_empty(session: Session, index: VectorIndex) -> None:
    vector_indexes.build_hnsw(session, index)
    vector_indexes.build_hnsw(session, index)
    assert hnsw_indexes(session) == [f"{index.partition}_hnsw_idx"]
    vector_indexes.drop_hnsw_if_empty(session, index)
    assert hnsw_indexes(session) == []
    vector_indexes.build_hnsw(session, index)
    image_rows.add_images(session, index, [picture("a.png")], unit(0))
    vector_indexes.drop_hnsw_if_empty(session, index)
    assert hnsw_indexes(session) == [f"{index.partition}_hnsw_idx"]
