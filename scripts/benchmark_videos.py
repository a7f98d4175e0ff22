"""How well scenes of videos are found, and how fast videos are read: `make benchmark-videos`.

Makes clips of five of the demo model's drawn scenes each, in several containers and codecs, indexes
them as a job does, in a temporary database, and searches for each scene by its caption. Prints
Markdown.
"""

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from sqlalchemy import text

from app.catalog.collections import DEFAULT_NAMESPACE
from app.database.embedded.postgres_programs import temporary_folder
from app.errors import StartError
from app.ingest.jobs.job_submission import JobOptions
from app.pictures.video.frame_reading import is_installed
from app.runtime.assembly import open_services
from app.runtime.services import Services
from app.search.queries.query_terms import Term
from app.search.search_request import SearchRequest
from app.settings import Settings
from benchmarks.machine import described
from scripts.benchmark_search import print_table
from scripts.demo_model.evaluate import PICTURES, SEVERAL, open_picture, read_manifest
from scripts.drawn_videos import Shape, film

SCENES = 5  # of a clip
SECONDS = 60  # of a clip
SHORTEST = 4  # seconds of a scene
RATE, SIZE = 25, (384, 288)
TOLERANCE = 1.0  # seconds
KINDS = (
    ("mp4", "libx264", "yuv420p", ".mp4"),
    ("webm", "libvpx-vp9", "yuv420p", ".webm"),
    ("matroska", "libx265", "yuv420p10le", ".mkv"),
    ("mpegts", "libx264", "yuv420p", ".ts"),
    ("mov", "mpeg4", "yuv420p", ".mov"),
)
QUICK = {
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libx264": {"preset": "veryfast"},
    "libx265": {"preset": "ultrafast"},
}


@dataclass(frozen=True)
class Scene:
    """A scene of a clip: what it shows, and from when to when, in seconds."""

    clip: str
    caption: str
    begin: float
    end: float


def main(
    clips: Annotated[int, typer.Option(help="of a minute, five scenes each")] = 20,
    seed: Annotated[int, typer.Option(help="of the scenes and their lengths")] = 1,
) -> None:
    """Print the tables."""
    if not is_installed():
        raise StartError("This needs the extra video: make install installs it.")
    print("\n".join(f"- {name}: {value}" for name, value in described().items()))
    with temporary_folder("videos") as folder:
        source = folder / "clips"
        source.mkdir()
        scenes = draw(source, clips, seed)
        settings = Settings(
            testing=True,
            postgres_dir=folder / "postgres",
            test_images_dir=folder / "pictures",
            test_upload_dir=folder / "uploads",
            thumbnail_dir=folder / "thumbnails",
            read_video=True,
        )
        with open_services(settings) as services, services.working():
            seconds, vectors = index(services, source)
            print_table("Reading", *reading(clips * SECONDS, seconds, vectors))
            print_table("Finding", *finding(services, scenes))


def draw(folder: Path, clips: int, seed: int) -> list[Scene]:
    """Write the clips into the folder; returns their scenes, no caption twice."""
    rng = np.random.default_rng(seed)
    rows = [row for row in read_manifest(PICTURES) if SEVERAL not in row["concepts"]]
    chosen = iter(rng.permutation(len(rows))[: clips * SCENES].tolist())
    found = []
    for n in range(clips):
        container, codec, pixels, suffix = KINDS[n % len(KINDS)]
        spare = rng.dirichlet(np.ones(SCENES)) * (SECONDS - SCENES * SHORTEST)
        ends = np.cumsum(np.round((spare + SHORTEST) * RATE)) / RATE
        shown = [rows[next(chosen)] for _ in range(SCENES)]
        name = f"clip-{n + 1:02}{suffix}"
        begin, parts = 0.0, []
        for row, end in zip(shown, ends.tolist(), strict=True):
            found.append(Scene(name, row["caption"], begin, end))
            parts.append((open_picture(PICTURES / row["path"]), end - begin))
            begin = end
        shape = Shape(container, codec, pixels, RATE, SIZE, QUICK.get(codec, {}))
        (folder / name).write_bytes(film(parts, shape, turning=True))
    return found


def index(services: Services, folder: Path) -> tuple[float, int]:
    """Index the folder; the seconds that it took of a processor, and the number of vectors."""
    known = services.registry.find(DEFAULT_NAMESPACE, "default")
    services.registry.change(known, pages="all")
    before = _processor_seconds()
    submission = services.job_submission
    job = submission.follow(submission.folder(folder, JobOptions()))
    if job.reason or job.failed:
        raise StartError(f"The clips were not indexed: {job.reason or job.failed}.")
    with services.sessions.begin() as session:
        vectors = session.execute(text("SELECT count(*) FROM embeddings"))
    return _processor_seconds() - before, int(vectors.scalar_one())


def _processor_seconds() -> float:
    """Of this process and those that have ended, which decode."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def reading(shown: int, seconds: float, vectors: int) -> tuple[list[str], list[list[str]]]:
    """The table of what reading took, of so many seconds of video."""
    head = ["seconds of video", "processor seconds", "times real time", "vectors", "a minute"]
    row = [f"{shown:,}", f"{seconds:.1f}", f"{shown / seconds:.0f}", f"{vectors:,}",
           f"{60 * vectors / shown:.1f}"]  # fmt: skip
    return head, [row]


def finding(services: Services, scenes: Sequence[Scene]) -> tuple[list[str], list[list[str]]]:
    """The table of how many scenes are found by their captions."""
    opened = services.registry.open(DEFAULT_NAMESPACE, "default")
    clips, within, begun = 0, 0, 0
    began = time.perf_counter()
    for scene in scenes:
        terms = (Term(text=scene.caption),)
        request = SearchRequest(DEFAULT_NAMESPACE, "default", terms, limit=1)
        hit = opened.search.answer(opened.collection, request).hits[0]
        seconds = hit.seconds
        if (hit.image.origin or hit.image.path).rpartition("/")[2] != scene.clip or seconds is None:
            continue
        clips += 1
        within += scene.begin - TOLERANCE <= seconds <= scene.end + TOLERANCE
        begun += abs(seconds - scene.begin) <= TOLERANCE
    share = [f"{count / len(scenes):.3f}" for count in (clips, within, begun)]
    each = (time.perf_counter() - began) * 1000 / len(scenes)
    head = ["scenes", "clip R@1", "clip and scene ± 1 s R@1", "and its beginning ± 1 s", "ms each"]
    return head, [[str(len(scenes)), *share, f"{each:.0f}"]]


if __name__ == "__main__":
    typer.run(main)
