"""Which contents of files are known: of a picture, or of one that was deleted here."""

from sqlalchemy import Integer, LargeBinary, bindparam, exists, or_, select

from app.database.connections import Sessions
from app.database.pipelines import Statement, fetch_together
from app.database.read_routing import engine_of
from app.database.skipped_tables import skipped_files
from app.database.tables import PRESENT, images

_COLLECTION = bindparam("collection_id", type_=Integer())
_CONTENT = bindparam("content_hash", type_=LargeBinary())
_OF_PICTURE = exists().where(
    images.c.collection_id == _COLLECTION, images.c.content_hash == _CONTENT, PRESENT
)
_OF_DELETED = exists().where(
    skipped_files.c.collection_id == _COLLECTION, skipped_files.c.content_hash == _CONTENT
)
_IS_KNOWN = select(or_(_OF_PICTURE, _OF_DELETED).label("is_known"))


def is_known(sessions: Sessions, collection_id: int, content_hash: bytes) -> bool:
    """Whether a collection has a picture with this content (SHA-256), or had one that was deleted.

    One round trip: a job asks for each new file, and mostly the answer is no.
    """
    values = {"collection_id": collection_id, "content_hash": content_hash}
    ((row,),) = fetch_together(engine_of(sessions), [Statement(_IS_KNOWN, values)])
    return bool(row["is_known"])
