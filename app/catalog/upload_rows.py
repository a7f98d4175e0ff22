"""SQL on the rows of uploads: those whose file is one of our own, below a store."""

import re
from collections.abc import Iterator, Sequence

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.orm import Session

from app.catalog.collection_deletion import FOLDER
from app.database import database_identity
from app.database.connections import Sessions
from app.database.tables import images
from app.sources.interfaces import S3_SCHEME
from app.storage.disk import STORE_SCHEME, UploadStore

PAGE = 1_000  # rows in one transaction
UPLOADED = re.compile(rf"(?:.*/)?((?:{FOLDER}\d+/)?[0-9a-f]{{2}}/([0-9a-f]{{64}})\.[a-z]+)")


def paths_of(session: Session, content_hashes: Sequence[bytes]) -> list[str]:
    """The stored paths of all pictures with these contents, in any collection."""
    query = select(images.c.path).where(images.c.content_hash.in_(content_hashes))
    return list(session.execute(query).scalars())


def possible_paths(session: Session, shown: str) -> list[str]:
    """The stored paths of a picture that is shown at `shown`: itself, or relative to a store."""
    inside = [
        f"{STORE_SCHEME}{store}{shown.removeprefix(folder)}"
        for store, folder in database_identity.store_folders(session).items()
        if shown.startswith(f"{folder}/")
    ]
    return [shown, *inside]


def adopt(sessions: Sessions, uploads: UploadStore, prefix: str) -> int:
    """Make the paths of rows relative to the store whose file it has; returns how many.

    Earlier versions wrote them as `prefix`, the folder's path, and a name made of the content's
    hash. Rows with another prefix are adopted if their file lies here: the folder was moved.
    """
    adopted = 0
    for page in _candidates(sessions):
        moves = []
        for image_id, path, content_hash in page:
            match = UPLOADED.fullmatch(path)
            if match is None or match[2] != content_hash.hex():
                continue
            if path == prefix + match[1] or (uploads.folder / match[1]).exists():
                moves.append({"the_id": image_id, "the_path": uploads.prefix + match[1]})
        with sessions.begin() as session:
            _move(session, moves)
        adopted += len(moves)
    return adopted


def _candidates(sessions: Sessions) -> Iterator[list[tuple[int, str, bytes]]]:
    """Rows of files on a disk that are not relative to a store yet, a page at a time."""
    path = images.c.path
    elsewhere = or_(path.startswith(S3_SCHEME), path.startswith(STORE_SCHEME))
    query = select(images.c.id, path, images.c.content_hash).where(~elsewhere)
    last = 0
    while True:
        with sessions.begin() as session:
            page = session.execute(
                query.where(images.c.id > last).order_by(images.c.id).limit(PAGE)
            )
            rows = [(row.id, row.path, row.content_hash) for row in page]
        if not rows:
            return
        yield rows
        last = rows[-1][0]


def _move(session: Session, moves: Sequence[dict[str, object]]) -> None:
    if moves:
        query = update(images).where(images.c.id == bindparam("the_id"))
        session.connection().execute(query.values(path=bindparam("the_path")), moves)
