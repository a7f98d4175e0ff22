"""Jobs on folders, run to their end, and what they leave in the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, text

from app import db
from app.assembly import Services
from app.intake import Options
from app.job_items import Item
from app.jobs import Job

ADD, SYNC = Options(), Options(sync=True)
OUTCOMES = ("added", "changed", "moved", "removed", "unchanged", "gone", "failed")


def run(services: Services, folder: Path, options: Options = ADD, **how: bool) -> Job:
    """A job on the folder, followed to its end; the queue must be worked on."""
    return services.intake.follow(services.intake.folder(folder, options, **how))


def counts(job: Job) -> dict[str, int]:
    """The counts of a job that are not zero."""
    found = {name: int(getattr(job, name)) for name in OUTCOMES}
    return {name: count for name, count in found.items() if count}


def sql(services: Services, query: str, **values: object) -> list[Any]:
    """The rows of a query, or none of a statement."""
    with services.search.sessions.begin() as session:
        done = session.execute(text(query), values)
        return list(done.all()) if done.returns_rows else []  # type: ignore[attr-defined]


def rows(services: Services) -> dict[str, int]:
    """The id of each picture by its file's name; checks that each has exactly one vector."""
    query = (
        "SELECT path, id, (SELECT count(*) FROM embeddings WHERE image_id = images.id) "
        "FROM images WHERE removed_at IS NULL"
    )
    found = sql(services, query)
    assert all(vectors == 1 for _, _, vectors in found)
    return {Path(path).name: image_id for path, image_id, _ in found}


def vectors(services: Services) -> dict[int, str]:
    """The transaction that wrote each picture's vector, by the picture's id."""
    return dict(sql(services, "SELECT image_id, xmin::text FROM embeddings"))


def items(services: Services, job: Job) -> dict[str, Item]:
    """The items of a job by their files' names."""
    found = services.intake.items(job.id, 10_000)
    return {Path(item.path).name: item for item in found}


def nearest(services: Services, data: bytes) -> tuple[str, float]:
    """The name of the file most like these bytes, and its distance."""
    best = services.search.by_image(data, 1).hits[0]
    return Path(best.image.path).name, best.distance


@contextmanager
def statements(sessions: db.Sessions) -> Iterator[list[str]]:
    """What the database is asked meanwhile."""
    asked: list[str] = []

    def note(*call: Any) -> None:
        asked.append(call[2])

    engine = sessions.kw["bind"]
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", note)
