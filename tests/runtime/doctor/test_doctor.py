"""The doctor: each kind of fault made for real, found, mended, and gone at a second look."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from app.catalog.images import image_rows
from app.catalog.images.new_images import new_image
from app.index import vector_indexes
from app.ingest.jobs import job_control, jobs
from app.ingest.jobs.job_submission import SentFile
from app.ingest.jobs.jobs import NewJob
from app.ingest.upload_stages import Upload
from app.pictures.decoding import decode
from app.runtime.assembly import open_services
from app.runtime.doctor.doctor import STUCK_SECONDS
from app.runtime.doctor.findings import YOUNG_SECONDS, old_files
from app.runtime.services import Services
from app.settings import ROOT, Settings
from app.sources.sidecars.annotations import Annotation
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import ADD, counts, nearest, sql
from tests.fixtures.process_environment import PROCESS_SECONDS, bare

STRAY = f"{'ab' * 32}.png"


@pytest.fixture
def pictures(services: Services, tmp_path: Path) -> Iterator[list[Path]]:
    """Two pictures that were uploaded and two in a folder, all in order; later all is emptied."""
    outcomes = services.registry.default.uploads.store(
        [Upload(f"{n}.png", png(n)) for n in range(2)], None, {}
    )
    uploaded = [Path(ROOT / one.image.path) for one in outcomes if one.image]
    folder = tmp_path / "folder"
    folder.mkdir()
    lying = [folder / "2.png", folder / "3.png"]
    for number, path in enumerate(lying, 2):
        path.write_bytes(png(number))
        index_file(services, path)
    with services.search.sessions.begin() as session:
        vector_indexes.build_hnsw(session, services.search.index)
    yield [*uploaded, *lying]
    for table in ("images", "jobs", "procrastinate_jobs", "embeddings"):
        sql(services, f"DELETE FROM {table}")
    doctor = services.doctor
    for disk in (
        services.registry.default.uploads.disk,
        doctor.stores.incoming,
        doctor.stores.thumbnails,
    ):
        for path in disk.files():
            path.unlink()


def index_file(services: Services, path: Path) -> None:
    """What a job does with a file in a folder."""
    picture = decode(path.read_bytes(), 50)
    new = new_image(str(path), "1-1", path.read_bytes(), picture)
    rows = services.encoder.encode_images([picture.image])
    with services.search.sessions.begin() as session:
        image_rows.add_images(session, services.search.index, [new], rows)


def look(services: Services) -> dict[str, list[str]]:
    """What is found, by its name."""
    found = {one.name: list(one.found) for one in services.doctor.examine().findings}
    assert len(found) == 12
    return {name: examples for name, examples in found.items() if examples}


def mend(services: Services) -> None:
    for finding in services.doctor.examine().findings:
        if finding.found:
            finding.mend()


def age(path: Path, seconds: float = YOUNG_SECONDS + 60) -> Path:
    old = time.time() - seconds
    os.utime(path, (old, old))
    return path


def thumbnails(services: Services, *originals: Path) -> list[Path]:
    """Old thumbnails of these pictures; there are no others."""
    for path in originals:
        query = "SELECT id FROM images WHERE path LIKE '%' || :name"
        ((image_id,),) = sql(services, query, name=path.name)
        services.gallery.thumbnail(image_id, 64)
    return [age(path) for path in services.doctor.stores.thumbnails.files()]


def paths(services: Services) -> set[str]:
    return {str(ROOT / path) for (path,) in sql(services, "SELECT shown_path(path) FROM images")}


def test_nothing_is_found_where_all_is_well(services: Services, pictures: list[Path]) -> None:
    for path in pictures[:2]:
        age(path)
    assert look(services) == {}
    assert paths(services) == {str(path) for path in pictures}


def test_a_row_without_file_is_forgotten(services: Services, pictures: list[Path]) -> None:
    small = thumbnails(services, *pictures[1:3])
    pictures[1].unlink()
    pictures[2].unlink()
    lost = {str(path) for path in pictures[1:3]}
    (found,) = look(services).items()
    assert (found[0], {str(ROOT / path) for path in found[1]}) == ("rows without file", lost)
    mend(services)
    assert paths(services) == {str(pictures[0]), str(pictures[3])}
    assert nearest(services, png(2))[1] > 0.01
    assert not any(path.exists() for path in small)
    assert look(services) == {}


def test_a_row_whose_folder_is_away_is_told_and_kept(
    services: Services, pictures: list[Path]
) -> None:
    folder = pictures[2].parent
    folder.rename(folder.with_name("away"))
    told = {"rows without file": [str(path) for path in pictures[2:]]}
    assert look(services) == told
    mend(services)
    assert look(services) == told
    assert len(paths(services)) == 4
    folder.with_name("away").rename(folder)
    assert look(services) == {}


def test_a_file_without_row_is_deleted_unless_it_is_young(
    services: Services, pictures: list[Path]
) -> None:
    disk = services.registry.default.uploads.disk
    stray = disk.put(STRAY, b"x")
    age(stray, YOUNG_SECONDS - 60)
    assert look(services) == {}
    age(stray)
    assert look(services) == {"files without row": [str(stray)]}
    mend(services)
    assert not stray.exists()
    assert all(path.exists() for path in pictures)
    assert look(services) == {}


def test_other_files_among_the_uploads_stay_unless_a_person_is_sure(
    services: Services, pictures: list[Path]
) -> None:
    """Found by a trial: a file that is not named after its content was not noticed."""
    uploads = services.doctor.stores.uploads
    places = (
        "notes.txt", "ab/notes.txt", "ab/more/below.png", "cd/" + STRAY, "collection-9/left.png",
        ".incoming/copy.zip", ".incoming/ab/copy.zip",
    )  # fmt: skip
    files = [uploads.folder / place for place in places]
    own = uploads.folder / "holidays" / "1.png"
    beside = services.doctor.stores.thumbnails.folder / "ab" / "notes.txt"
    for path in (*files, own, beside):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    assert look(services) == {}  # they may be on their way
    for path in (*files, own, beside):
        age(path)
    found = {"other files among the uploads": sorted(map(str, files))}
    assert look(services) == found
    mend(services)
    assert look(services) == found
    report = services.doctor.examine()
    assert f"{own.parent} is no folder of this program's, and was not looked into." in report.notes
    for finding in report.findings:
        finding.mend(sure=True)
    assert look(services) == {}
    assert own.exists()
    assert beside.exists()
    assert [(uploads.trash() / place).exists() for place in places] == [True] * len(places)
    beside.unlink()
    for folder in {own.parent, *(path.parent for path in files)} - {uploads.folder}:
        shutil.rmtree(folder, ignore_errors=True)  # one may lie in another


def test_files_and_folders_that_vanish_while_the_doctor_looks_are_passed_over(
    services: Services, pictures: list[Path]
) -> None:
    uploads = services.doctor.stores.uploads.folder
    kept, vanishing = uploads / "ab" / "notes.txt", uploads / "ab" / "more"
    vanishing.mkdir(parents=True)
    kept.write_bytes(b"x")
    age(kept)

    def vanish(name: str, arguments: tuple[Any, ...]) -> None:  # stays until the process ends
        if name == "os.scandir" and str(arguments[0]) == str(vanishing) and vanishing.exists():
            vanishing.rmdir()

    sys.addaudithook(vanish)
    assert look(services) == {"other files among the uploads": [str(kept)]}
    assert not vanishing.exists()
    assert old_files([vanishing, kept]) == [kept]
    kept.unlink()


def test_a_sent_file_that_no_job_awaits_is_deleted(
    services: Services, pictures: list[Path], tmp_path: Path
) -> None:
    incoming = services.doctor.stores.incoming
    (tmp_path / "sent.png").write_bytes(png(9))
    with (tmp_path / "sent.png").open("rb") as file, (tmp_path / "sent.png").open("rb") as again:
        archive = SentFile("pictures.zip", again)
        services.job_submission.sent([SentFile("sent.png", file)], archive, Annotation())
    awaited = [age(path) for path in incoming.files()]
    young = incoming.put("cd" * 16, b"x")
    stray = age(incoming.put("ef" * 16, b"x"))
    assert len(awaited) == 2
    assert look(services) == {"sent files without job": [str(stray)]}
    mend(services)
    assert sorted(incoming.files()) == sorted([*awaited, young])
    assert look(services) == {}


def test_a_thumbnail_without_row_is_deleted(services: Services, pictures: list[Path]) -> None:
    disk = services.doctor.stores.thumbnails
    kept = thumbnails(services, pictures[0], pictures[2])
    stray = age(disk.put(f"{'ab' * 32}-64.webp", b"x"))
    young = disk.put(f"{'cd' * 32}-64.webp", b"x")
    assert look(services) == {"thumbnails without row": [str(stray)]}
    mend(services)
    assert sorted(disk.files()) == sorted([*kept, young])
    assert look(services) == {}


def test_a_tombstone_is_buried_once_no_job_will(services: Services, pictures: list[Path]) -> None:
    (small,) = thumbnails(services, pictures[3])
    sql(services, "UPDATE images SET removed_at = now() WHERE path = :path", path=str(pictures[3]))
    job_id = services.job_submission.folder(pictures[2].parent, ADD)
    assert look(services) == {}
    sql(services, "DELETE FROM jobs WHERE id = :job", job=job_id)
    sql(services, "DELETE FROM procrastinate_jobs")
    assert look(services) == {"tombstones": [str(pictures[3])]}
    mend(services)
    assert not small.exists()
    assert paths(services) == {str(path) for path in pictures[:3]}
    assert look(services) == {}


def test_a_picture_without_vector_is_embedded(services: Services, pictures: list[Path]) -> None:
    sql(
        services,
        "DELETE FROM embeddings USING images WHERE images.id = image_id AND path = :path",
        path=str(pictures[2]),
    )
    assert nearest(services, png(2))[0] != "2.png"
    assert look(services) == {"pictures without vector": [str(pictures[2])]}
    mend(services)
    name, distance = nearest(services, png(2))
    assert (name, distance < 0.01) == ("2.png", True)
    assert look(services) == {}


def test_a_picture_without_vector_that_is_damaged_stays_found(
    services: Services, pictures: list[Path]
) -> None:
    sql(services, "DELETE FROM embeddings")
    pictures[2].write_bytes(b"text")
    pictures[3].unlink()
    pictures[3].mkdir()  # cannot be read, whatever it is
    mend(services)
    assert look(services).get("pictures without vector") == [str(pictures[2])]


def test_a_vector_without_row_is_deleted(services: Services, pictures: list[Path]) -> None:
    with services.search.sessions.begin() as session:
        session.connection().exec_driver_sql("SET session_replication_role = replica")
        session.connection().exec_driver_sql(
            "INSERT INTO embeddings (index_id, image_id, embedding) "
            "SELECT index_id, 999, embedding FROM embeddings LIMIT 1"
        )
    assert look(services) == {"vectors without row": ["999"]}
    mend(services)
    assert sql(services, "SELECT count(*) FROM embeddings") == [(4,)]
    assert look(services) == {}


def test_a_stuck_job_goes_on_to_its_end(
    services: Services, settings: Settings, pictures: list[Path], tmp_path: Path
) -> None:
    """One that was not listed yet, and one of which two files are left."""
    (tmp_path / "5.png").write_bytes(png(5))
    unlisted = services.job_submission.folder(pictures[2].parent, ADD)
    with (tmp_path / "5.png").open("rb") as file:
        listed = services.job_submission.sent([SentFile("5.png", file)], None, Annotation())
    sql(services, "DELETE FROM procrastinate_jobs")
    assert look(services) == {}
    wait = f"UPDATE jobs SET updated_at = now() - interval '{STUCK_SECONDS + 1} s'"
    sql(services, wait)
    assert look(services) == {"stuck jobs": [f"job {unlisted}", f"job {listed}"]}
    mend(services)
    assert look(services) == {}
    with open_services(settings) as others, others.working():
        assert counts(others.job_submission.follow(unlisted)) == {"unchanged": 2}
        assert counts(others.job_submission.follow(listed)) == {"added": 1}
    assert look(services) == {}


def test_wrong_counts_are_counted_anew(services: Services, pictures: list[Path]) -> None:
    job_id = services.job_submission.urls(["http://198.51.100.1/a.png"] * 3, Annotation())
    services.job_submission.cancel(job_id)
    other = services.job_submission.urls(["http://198.51.100.1/a.png"], Annotation())
    services.job_submission.cancel(other)
    assert look(services) == {}
    sql(services, "UPDATE jobs SET cancelled = 2, failed = 7 WHERE id = :job", job=job_id)
    assert look(services) == {"jobs with wrong counts": [f"job {job_id}"]}
    mend(services)
    job = services.job_submission.job(job_id)
    assert (job.cancelled, job.failed) == (3, 0)
    assert services.job_submission.job(other).cancelled == 1
    assert look(services) == {}


@pytest.mark.parametrize(
    "kind", ["embeddings_.*hnsw", "feedback_queries_.*hnsw", "images_.*content_hash"]
)
def test_an_invalid_index_is_built_anew(
    services: Services, pictures: list[Path], kind: str
) -> None:
    query = "SELECT c.oid, relname FROM pg_class c WHERE relkind = 'i' AND relname ~ :kind"
    ((oid, name),) = sql(services, query, kind=kind)
    sql(services, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = :oid", oid=oid)
    assert look(services) == {"invalid indexes": [name]}
    mend(services)
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"
    assert sql(services, valid, name=name) == [(True,)]
    assert nearest(services, png(2))[0] == "2.png"
    assert look(services) == {}


def test_an_absent_graph_is_built_unless_a_job_will(
    services: Services, pictures: list[Path]
) -> None:
    graph = f"{services.search.index.partition}_hnsw_idx"
    sql(services, f"DROP INDEX {graph}")
    services.job_submission.folder(pictures[2].parent, ADD)
    assert look(services) == {}
    sql(services, "DELETE FROM jobs")
    sql(services, "DELETE FROM procrastinate_jobs")
    found = [f"{services.search.index.partition}: no HNSW graph"]
    assert look(services) == {"invalid indexes": found}
    mend(services)
    assert sql(services, "SELECT to_regclass(:graph) IS NOT NULL", graph=graph) == [(True,)]
    assert look(services) == {}


@pytest.fixture
def doctor(settings: Settings) -> Callable[..., tuple[int, dict[str, int], str]]:
    """Runs the command: its exit status, the count of each kind, and all that it printed."""
    environment = bare(
        TESTING="1", DATABASE_URL=str(settings.database_url),
        TEST_UPLOAD_DIR=str(settings.test_upload_dir), THUMBNAIL_DIR=str(settings.thumbnail_dir),
    )  # fmt: skip

    def examine(*options: str) -> tuple[int, dict[str, int], str]:
        done = subprocess.run(
            [sys.executable, "-m", "scripts.doctor", *options],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PROCESS_SECONDS,
        )  # fmt: skip
        lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
        told = {words[1]: int(words[0]) for words in lines if words[0].isdigit()}
        return done.returncode, told, done.stdout

    return examine


def test_the_command_tells_mends_and_says_so_by_its_status(
    services: Services,
    pictures: list[Path],
    doctor: Callable[..., tuple[int, dict[str, int], str]],
) -> None:
    pictures[2].unlink()
    strays = [
        age(services.registry.default.uploads.disk.put(f"{n:064x}.png", b"x")) for n in range(7)
    ]
    kinds = [one.name for one in services.doctor.examine().findings]
    expected = dict.fromkeys(kinds, 0) | {"rows without file": 1, "files without row": 7}
    status, told, shown = doctor()
    assert (status, told) == (1, expected)
    assert str(pictures[2]) in shown
    assert sum(str(stray) in shown for stray in strays) == 5  # examples
    assert all(stray.exists() for stray in strays)
    status, told, shown = doctor("--fix")
    assert (status, told) == (0, dict.fromkeys(kinds, 0))
    assert "Mended: 1 rows without file" in shown
    assert "Mended: 7 files without row" in shown
    assert not any(stray.exists() for stray in strays)


@pytest.mark.parametrize("kind", job_control.WITHOUT_ITEMS)
def test_jobs_without_items_count_what_they_do(services: Services, kind: str) -> None:
    default = services.registry.default.collection.id
    with services.search.sessions.begin() as session:
        job_id = jobs.create(session, NewJob(default, {kind: {}}, "nobody's"))
        end = "total = 9, added = 9, state = 'succeeded', finished_at = now()"
        session.execute(text(f"UPDATE jobs SET listed = true, {end} WHERE id = {job_id}"))
    assert look(services) == {}
    sql(services, "DELETE FROM jobs")
