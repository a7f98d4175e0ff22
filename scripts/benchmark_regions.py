"""What regions of pictures gain and cost: `make benchmark-regions`.

Draws scenes with one large thing and one small one, in an order of random numbers that training
never draws from, indexes them with the demo model in a temporary folder and database, has their
regions embedded as a collection's job does, and searches for the small things by their names.
Prints Markdown.
"""

import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from app.database.embedded.postgres_programs import temporary_folder
from app.index import generations
from app.ingest.jobs.job_submission import JobOptions
from app.runtime.assembly import open_services
from app.runtime.services import Services
from app.search.queries.query_terms import Term
from app.search.search_request import SearchRequest
from app.settings import Settings
from scripts.benchmark_search import print_table
from scripts.demo_model.backgrounds import all_backgrounds, paint
from scripts.demo_model.concepts import (
    NOTO_COLOR_EMOJI,
    glyph_bitmap,
    load_concepts,
    open_font,
)
from scripts.demo_model.scenes import Placement, Stream, compose, stream

SIDE = 768  # pixels
COVERED = (0.02, 0.06)  # of the picture, by the small thing
LARGE_SCALE = (0.42, 0.55)  # edge of the large thing's square, as a share of the picture's
TURN_DEGREES = 6.0
RANKS = (1, 5, 10)
HITS = 10


@dataclass(frozen=True)
class SmallThing:
    """A scene, and the thing in it that is searched for."""

    image: Image.Image
    name: str


@dataclass(frozen=True)
class Cost:
    """Vectors and bytes on disk, graph included, of all pictures; seconds of a processor."""

    vectors: int
    bytes: int
    seconds: float

    def __sub__(self, other: "Cost") -> "Cost":
        """What came on top of another; seconds are of this one's job alone."""
        return Cost(self.vectors - other.vectors, self.bytes - other.bytes, self.seconds)


Table = tuple[str, list[str], list[list[str]]]
"""A heading, the head, and the rows."""


def main(
    count: Annotated[int, typer.Option(help="scenes")] = 300,
    font: Annotated[Path, typer.Option(exists=True)] = NOTO_COLOR_EMOJI,
) -> None:
    """Print the tables."""
    scenes = list(draw(count, font))
    with temporary_folder("regions") as folder:
        pictures = folder / "images"
        write(pictures, scenes)
        with opened(folder) as services:
            for title, head, rows in measure(services, scenes, pictures):
                print_table(title, head, rows)


def draw(count: int, font: Path) -> Iterator[SmallThing]:
    """Scenes whose small things are all different; the large ones are others."""
    glyphs = open_font(font)
    concepts = load_concepts(glyphs)
    grounds = all_backgrounds()
    order = stream(Stream.SMALL_THINGS).permutation(len(concepts))
    small, large = order[:count], order[count:]
    for number, chosen in enumerate(small):
        rng = stream(Stream.SMALL_THINGS, number)
        thing = concepts[chosen]
        other = concepts[large[number % len(large)]]
        ground = paint(grounds[rng.integers(len(grounds))], SIDE, rng)
        bitmaps = [glyph_bitmap(one.glyph, glyphs) for one in (other, thing)]
        image = compose(ground, bitmaps, _places(rng, bitmaps[1]))
        yield SmallThing(image, thing.name)


def _places(rng: np.random.Generator, thing: Image.Image) -> Placement:
    """The large thing near the middle, the small one towards a corner."""
    opaque = np.asarray(thing.getchannel("A")).mean() / 255
    small, large = np.sqrt(rng.uniform(*COVERED) / opaque), rng.uniform(*LARGE_SCALE)
    corner = rng.choice([-1, 1], 2)
    near = -corner * rng.uniform(0, 0.6, 2) * (1 - large)
    far = corner * rng.uniform(0.75, 1, 2) * (1 - small)
    turn = np.deg2rad(rng.uniform(-TURN_DEGREES, TURN_DEGREES, 2))
    x, y = np.stack([near, far], axis=1)
    return Placement(x, y, np.array([large, small]), turn)


@contextmanager
def opened(folder: Path) -> Iterator[Services]:
    """The services with the demo model, on a database and files of their own."""
    settings = Settings(
        testing=True,
        database_url=None,
        postgres_dir=folder / "postgres",
        test_images_dir=folder / "images",
        test_upload_dir=folder / "uploads",
        thumbnail_dir=folder / "thumbnails",
        precision="fp32",
    )
    with open_services(settings) as services:
        yield services


def write(folder: Path, scenes: Sequence[SmallThing]) -> None:
    """The scenes as files, named by their numbers."""
    folder.mkdir(exist_ok=True)
    for number, scene in enumerate(scenes):
        scene.image.save(folder / f"{number}.png", compress_level=1)


def measure(services: Services, scenes: Sequence[SmallThing], folder: Path) -> Iterator[Table]:
    """Index the scenes, then their regions, and search with and without them."""
    default = services.registry.default
    with services.working():
        whole = cost(services, lambda: services.job_submission.folder(folder, JobOptions()))
        both = cost(services, lambda: choose_grid(services))
    rows = []
    for name, regions in (("whole pictures", False), ("with regions", True)):
        ranks = [rank(services, n, scene.name, regions=regions) for n, scene in enumerate(scenes)]
        found = [f"{np.mean([rank < most for rank in ranks]):.3f}" for most in RANKS]
        rows.append([name, *found])
    yield "Small things found", ["search", *(f"R@{most}" for most in RANKS)], rows
    number = len(scenes)
    yield (
        "Cost of a picture",
        ["what is embedded", "vectors", "bytes on disk", "processor ms"],
        [_cost_row("whole", whole, number), _cost_row("regions in addition", both - whole, number)],
    )
    services.annotators.choose_regions(default, "off")


def cost(services: Services, submit: Callable[[], int]) -> Cost:
    """What there is after a job, and what the job took."""
    before = _processor_seconds()
    job = services.job_submission.follow(submit())
    if (job.state, job.failed) != ("succeeded", 0):
        raise typer.BadParameter(f"the job {job.state}: {job.reason}")
    seconds = _processor_seconds() - before
    with services.sessions.begin() as session:
        size = generations.size(session, services.registry.default.index)
    return Cost(size.vectors, size.bytes, seconds)


def choose_grid(services: Services) -> int:
    """Turn regions on; returns the job's id."""
    default = services.registry.default
    services.annotators.choose_regions(default, "grid")
    (found,) = services.annotators.listed(default)
    if found.turned_on.job_id is None:
        raise typer.BadParameter("there is no picture to look at")
    return found.turned_on.job_id


def rank(services: Services, number: int, name: str, *, regions: bool) -> int:
    """At which place, from 0, the scene of that number is found; HITS if it is not."""
    known = services.registry.find_id(services.registry.default.collection.id)
    opened = services.registry.open_known(known)
    collection = opened.collection
    request = SearchRequest(
        collection.namespace,
        collection.name,
        (Term(text=name),),
        limit=HITS,
        regions=regions,
    )
    hits = opened.search.answer(collection, request).hits
    places = [n for n, hit in enumerate(hits) if Path(hit.image.path).stem == str(number)]
    return places[0] if places else HITS


def _processor_seconds() -> float:
    """Of this process; the database's, which writes rows and the graph, come on top."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _cost_row(name: str, total: Cost, pictures: int) -> list[str]:
    return [
        name,
        f"{total.vectors / pictures:.1f}",
        f"{total.bytes / pictures:,.0f}",
        f"{total.seconds / pictures * 1000:.0f}",
    ]


if __name__ == "__main__":
    typer.run(main)
