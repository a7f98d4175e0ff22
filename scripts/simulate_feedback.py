"""Simulate raters on the bundled test pictures and measure what they do to the answers.

    python -m scripts.simulate_feedback

It indexes the pictures in a temporary Postgres, writes the ratings of each kind of rater, runs the
same evaluation that decides in production, and then compares the answers with what the pictures
really show (demo_model/relevant_pictures.py).
Each name is asked in several forms, as people would; queries answered perfectly are not asked.

The weights were tuned on the names with even numbers and seed 1; by default, results are for the
names with odd numbers and seed 2.
"""

import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import typer
from numpy.typing import NDArray
from sqlalchemy import delete, insert, select, update

from app.database.connections import Sessions
from app.database.embedded.postgres_programs import temporary_folder
from app.database.feedback_tables import feedback, feedback_queries
from app.database.tables import VectorIndex, images, vector_indexes
from app.feedback.evaluation import EvaluationResult, FeedbackEvaluation
from app.feedback.query_adjustment import QueryAdjustment
from app.feedback.rated_queries import judgements_near
from app.feedback.ratings import fold
from app.feedback.rocchio import RocchioWeights, adjust_query, ndcg
from app.index.embeddings import get_vectors
from app.ingest.jobs.job_submission import JobOptions
from app.runtime.assembly import open_services
from app.runtime.collection_assembly import rocchio_weights
from app.runtime.services import Services
from app.settings import Settings
from app.vectors import Vectors
from scripts.demo_model.evaluate import PICTURES, read_manifest
from scripts.demo_model.relevant_pictures import truths

Kind = Literal["honest", "random", "a fifth hostile", "all hostile"]

FORMS = ("{}", "a picture of {}", "{} photo")
FORMS_ZH = ("{}", "{}的图片", "{}照片")
TEXTS_AT_ONCE = 256  # encoded in one batch
SEEN = (20, 50)  # fewest and most hits that a rater looks through
RATED = 8  # of those hits, in one round
SLIPS = 0.02  # share of honest votes that are random ratings
HOSTILE = 0.2  # share of hostile votes for "a fifth hostile"
ROUNDING = 0.01  # of cosines computed in the database
PERFECT = 0.999  # nDCG@10 from which a query needs no help and is not asked


@dataclass(frozen=True, eq=False)
class Bench:
    """Queries and pictures of one index, and which of them belong together.

    For n queries, `vectors` has shape (n, d), and `names`, shape (n,), holds the number of the name
    that each is a form of. For m pictures, `ids` has length m, and `gallery`, shape (m, d), holds
    their vectors. `relevant` has shape (n, m).
    """

    sessions: Sessions
    index: VectorIndex
    texts: Sequence[str]
    names: NDArray[np.int64]
    vectors: Vectors
    ids: Sequence[int]
    gallery: Vectors
    relevant: NDArray[np.bool_]

    def order(self, vector: Vectors) -> NDArray[np.int64]:
        """The positions of all pictures in `gallery`, nearest to `vector` first."""
        return np.asarray(np.argsort(-(self.gallery @ vector), kind="stable"))

    def true_ndcg(self, place: int, vector: Vectors) -> float:
        """True nDCG of query number `place` when it is answered with `vector`."""
        gains = self.relevant[place].astype(float)
        return ndcg(gains[self.order(vector)].tolist(), gains.tolist())

    def first_forms(self) -> list[int]:
        """The positions of the queries that are bare names."""
        return [int(place) for place in np.unique(self.names, return_index=True)[1]]

    def imperfect(self, half: int) -> list[int]:
        """The positions of one half of the queries, without those answered perfectly."""
        mine = [n for n in range(len(self.texts)) if self.names[n] % 2 == half]
        return [n for n in mine if self.true_ndcg(n, self.vectors[n]) < PERFECT]


@dataclass(frozen=True)
class Row:
    """The effect of one kind of rater; each pair is nDCG@10 without and with the adjustment.

    `effective` is measured against the truth, over all bare names and all queries asked, in the
    state that the trial has set; `forced` as if the adjustment were always on; `near` is like
    `effective`, for queries that nobody judged but that judgements of other queries move.
    """

    kind: Kind
    verdict: EvaluationResult
    effective: tuple[float, float]
    forced: tuple[float, float]
    near: tuple[float, float]


def open_bench(services: Services, names: dict[str, set[int]], manifest_dir: Path) -> Bench:
    """A bench of queries for these names and the bundled pictures that `services` has indexed."""
    search = services.search
    files = [row["path"] for row in read_manifest(manifest_dir)]
    with search.sessions.begin() as session:
        rows = session.execute(select(images.c.path, images.c.id)).all()
        by_file = {Path(path).name: image_id for path, image_id in rows}
        ids = [by_file[name] for name in files]
        vectors = get_vectors(session, search.index, ids)
    asked: dict[str, int] = {}
    for number, name in enumerate(names):
        for form in FORMS if name.isascii() else FORMS_ZH:
            asked.setdefault(form.format(name), number)
    texts = list(asked)
    encoded = [
        services.encoder.encode_texts(texts[start : start + TEXTS_AT_ONCE])
        for start in range(0, len(texts), TEXTS_AT_ONCE)
    ]
    shown = list(names.values())
    relevant = np.array(
        [[place in shown[asked[one]] for place in range(len(ids))] for one in texts]
    )
    return Bench(
        search.sessions,
        search.index,
        texts,
        np.array(list(asked.values())),
        np.concatenate(encoded),
        ids,
        np.stack([vectors[one] for one in ids]),
        relevant,
    )


def rate(kind: Kind, rng: np.random.Generator, *, relevant: bool) -> int:
    """The rating, 1 to 10, that one kind of rater gives a picture."""
    if kind == "random" or (kind == "honest" and rng.random() < SLIPS):
        return int(rng.integers(1, 11))
    hostile = kind == "all hostile" or (kind == "a fifth hostile" and rng.random() < HOSTILE)
    return int(rng.integers(8, 11) if relevant != hostile else rng.integers(1, 4))


def judge(bench: Bench, kind: Kind, asked: Sequence[int], rounds: int, seed: int) -> None:
    """Replace all judgements by those that one kind of rater gives in `rounds` rounds."""
    rng = np.random.default_rng(seed)
    said: dict[int, list[tuple[uuid.UUID, int, int]]] = defaultdict(list)
    orders = {place: bench.order(bench.vectors[place]) for place in asked}
    for _ in range(rounds):
        place = int(rng.choice(asked))
        seen = orders[place][: rng.integers(SEEN[0], SEEN[1] + 1)]
        search = uuid.UUID(bytes=rng.bytes(16))
        for picture in rng.choice(seen, min(RATED, len(seen)), replace=False):
            relevant = bool(bench.relevant[place, picture])
            rating = rate(kind, rng, relevant=relevant)
            said[place].append((search, bench.ids[picture], rating))
    forget(bench)
    _write(bench, said)


def forget(bench: Bench) -> None:
    """Delete all judgements of the index, and the verdict on them."""
    with bench.sessions.begin() as session:
        session.execute(
            delete(feedback_queries).where(feedback_queries.c.index_id == bench.index.id)
        )
        mine = vector_indexes.c.id == bench.index.id
        session.execute(update(vector_indexes).where(mine).values(trial=None))


def _write(bench: Bench, said: dict[int, list[tuple[uuid.UUID, int, int]]]) -> None:
    with bench.sessions.begin() as session:
        for place, votes in sorted(said.items()):
            values: dict[str, Any] = {
                "index_id": bench.index.id,
                "digest": bench.texts[place].encode(),
                "query": bench.texts[place],
                "dimensions": bench.index.dimensions,
                "embedding": bench.vectors[place],
            }
            query = insert(feedback_queries).values(values).returning(feedback_queries.c.id)
            query_id = session.execute(query).scalar_one()
            rows = [
                {"query_id": query_id, "search": search, "image_id": image_id, "rating": rating}
                | {"fold": fold(query_id, image_id)}
                for search, image_id, rating in votes
            ]
            session.execute(insert(feedback), rows)


def measure(bench: Bench, kind: Kind, weights: RocchioWeights, asked: Sequence[int]) -> Row:
    """Hold the trial and compare its verdict with the truth; the `asked` queries were judged."""
    verdict = FeedbackEvaluation(bench.sessions, bench.index, weights, threading.Event()).run()
    is_on = QueryAdjustment(bench.sessions, bench.index, weights).state() == "on"
    effective, forced, near = [], [], []
    for place in sorted({*bench.first_forms(), *asked}):
        vector: Vectors = bench.vectors[place]
        plain = bench.true_ndcg(place, vector)
        aim = _moved(bench, vector, weights, asked)
        after = plain if aim is vector else bench.true_ndcg(place, aim)
        forced.append((plain, after))
        effective.append((plain, after if is_on else plain))
        if place not in asked and aim is not vector:
            near.append(effective[-1])
    return Row(kind, verdict, _means(effective), _means(forced), _means(near))


def _moved(bench: Bench, vector: Vectors, weights: RocchioWeights, asked: Sequence[int]) -> Vectors:
    """The query as judgements move it, whatever the state; the same array object if none do."""
    if (bench.vectors[asked] @ vector).max() < weights.similarity - ROUNDING:
        return vector
    with bench.sessions.begin() as session:
        judged = judgements_near(session, bench.index, vector, weights.similarity)
    return adjust_query(vector, judged, weights)[0]


def _means(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    plain, after = np.mean(pairs, axis=0) if pairs else (0.0, 0.0)
    return float(plain), float(after)


@contextmanager
def opened() -> Iterator[Services]:
    """Services with the demo model and the bundled pictures indexed, in temporary folders."""
    with temporary_folder("fb") as folder:
        settings = Settings(
            testing=True,
            postgres_dir=folder / "postgres",
            test_images_dir=PICTURES,
            test_upload_dir=folder / "uploads",
            thumbnail_dir=folder / "thumbnails",
        )
        with open_services(settings) as services, services.working():
            job_submission = services.job_submission
            job_submission.follow(job_submission.folder(settings.test_images_dir, JobOptions()))
            yield services


def shown(pair: tuple[float | None, float | None]) -> str:
    """Both values and their difference as text."""
    if pair[0] is None or pair[1] is None:
        return f"{'—':^21}"
    return f"{pair[0]:.3f} {pair[1]:.3f} ({pair[1] - pair[0]:+.3f})"


HEADER = (
    f"{'raters':<16} {'judgements':>10} {'queries':>8}  {'held out':<21} {'error':>6} "
    f"{'agreed':>6} {'state':<10}  {'truth, as it is':<21}  {'truth, always on':<21}  near"
)


def line(row: Row) -> str:
    """A line of the table that HEADER heads."""
    found = row.verdict
    return (
        f"{row.kind:<16} {found.judgements:>10} {found.queries:>8}  "
        f"{shown((found.ndcg_without, found.ndcg_with))} {found.standard_error or 0:>6.4f} "
        f"{found.agreement or 0:>6.3f} {found.state:<10}  {shown(row.effective)}  "
        f"{shown(row.forced)}  {shown(row.near)}"
    )


def main(
    seed: Annotated[int, typer.Option(help="of all that is drawn")] = 2,
    half: Annotated[int, typer.Option(help="of the queries: 0 or 1")] = 1,
    rounds: Annotated[int, typer.Option(help="of asking and judging, each kind")] = 3_000,
) -> None:
    """Print a line for each kind of raters."""
    with opened() as services:
        bench = open_bench(services, truths(PICTURES), PICTURES)
        asked = bench.imperfect(half)
        print(f"{len(bench.texts)} queries, {len(asked)} of them asked; {len(bench.ids)} pictures")
        print(HEADER)
        weights = rocchio_weights(Settings.load())
        for kind in get_args(Kind):
            judge(bench, kind, asked, rounds, seed)
            print(line(measure(bench, kind, weights, asked)), flush=True)


if __name__ == "__main__":
    typer.run(main)
