"""How much of the exact answer a search finds: measured on an index as it is, and tuned.

The queries are unrelated texts and stored pictures, about as many of each: texts lie apart from
all pictures, and the graph serves them worse. Half of the pictures of a measurement are those least
like each other (`graph_health`): among them are those that a burst hides. Tuning takes the same
queries, and the recall of the kind that has less of it. A picture is left out of the answer to
itself, since it would always be found. A hit counts if it is as near as the last of
the exact answer, as in ann-benchmarks: near-duplicates lie at one distance, and any will do.
Deleted pictures that still have a vector count in neither answer. What is written meanwhile may be
in one answer and not in the other.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.encoders.batching import Priority
from app.encoders.resident_model import ResidentModel
from app.errors import QueryRejected
from app.index import embeddings, graph_health
from app.index.calibration import unrelated_texts
from app.index.exact_search import ExactNeighbours, exact_neighbours
from app.index.measuring_turn import MeasuringTurn
from app.index.paged_scans import IndexReader
from app.index.recall_queries import NO_PICTURE, Answers, Queries
from app.index.recall_results import EfSearchTrial, Kind, RecallMeasurement, TuningResult
from app.index.resident.resident_index import ResidentIndex
from app.index.resident.resident_indexes import ResidentIndexes
from app.index.scan_plans import Method, plan_scan
from app.index.scan_settings import MAX_EF_SEARCH, ef_search_for
from app.index.search_method import is_searched_exactly
from app.index.statistics import TEXT_BATCH
from app.vectors import Vectors

DEFAULT_K, MAX_K = 10, 100
DEFAULT_SAMPLE, MIN_SAMPLE, MAX_SAMPLE = 200, 10, 1_000  # queries
MIN_TARGET_RECALL, MAX_TARGET_RECALL = 0.5, 0.999  # bounds of the recall that `tune` is asked for
EF_SEARCHES = (10, 20, 40, 60, 80, 120, 160, 200, 300, 400, 600, 800, MAX_EF_SEARCH)
MIN_VECTORS_TO_TUNE = 1_000  # with fewer, any ef_search finds them all
EXACT_QUERIES = 10  # sampled without a graph: each query compares all vectors
UNATTENDED_SAMPLE = 100  # queries where nobody waits for the result: some seconds of one core
WALK_SECONDS = 10  # of a walk through the whole graph: about 500,000 vectors
EVEN, ODD = slice(0, None, 2), slice(1, None, 2)  # halves, with half of the texts each


@dataclass(frozen=True)
class Recall:
    """Measures the recall of one index. The model is never called inside a transaction.

    A measurement takes the turn of `measuring`, which all of the process share.
    """

    sessions: Sessions
    encoder: ResidentModel
    index: VectorIndex
    measuring: MeasuringTurn
    resident_indexes: ResidentIndexes

    def measure(self, k: int = DEFAULT_K, sample: int = DEFAULT_SAMPLE) -> RecallMeasurement:
        """Recall@k of searches as they are answered now, by codes where these are in memory.

        On about `sample` queries; where answers are exact on EXACT_QUERIES at most.
        Raises QueryRejected, Busy, ModelUnavailable.
        """
        _check_sample(k, sample)
        with self.measuring.taken():
            return self._measured(k, sample, self.resident_indexes.of(self.index))

    def measure_graph(
        self, k: int = DEFAULT_K, sample: int = DEFAULT_SAMPLE, *, texts: bool = True
    ) -> RecallMeasurement:
        """The same without codes.

        Without `texts` all are pictures of the index, of which it must have some: then no model is
        needed. Raises QueryRejected, Busy, ModelUnavailable.
        """
        _check_sample(k, sample)
        with self.measuring.taken():
            return self._measured(k, sample, None, texts=texts)

    def _measured(
        self, k: int, sample: int, resident: ResidentIndex | None, *, texts: bool = True
    ) -> RecallMeasurement:
        graph = self._has_graph()
        size = sample if graph or resident else min(sample, EXACT_QUERIES)
        queries = self._queries(size, texts=texts, by_novelty=True)
        exact = self._exact(queries, k)
        found, method = self._search(self.index, queries, exact, k, resident)
        asked = int(queries.is_text.sum())
        return RecallMeasurement(
            k,
            found.recall(),
            found.recall(queries.is_text) if asked else None,
            found.recall(~queries.is_text) if asked < len(queries) else None,
            found.worst_decile(),
            self._unreachable() if graph else 0,
            len(queries),
            asked,
            len(queries) - asked,
            method,
            ef_search_for(self.index, k) if method == "hnsw" else None,
            found.percentile(50),
            found.percentile(95),
            exact.vectors,
            graph,
        )

    def tune(
        self,
        recall: float,
        k: int = DEFAULT_K,
        sample: int = DEFAULT_SAMPLE,
        *,
        texts: bool = True,
        go_on: Callable[[], None] = lambda: None,
        gives_way: bool = False,
    ) -> TuningResult:
        """The smallest of EF_SEARCHES that holds `recall`; nothing is stored.

        It is chosen on every other query, and must hold on those between them too, of texts and of
        pictures. A search keeps twice as many candidates as it shows, at least: below that all are
        alike. `go_on` is called before each search, and may raise to end it. With `gives_way` it
        raises Interrupted for another measurement.
        Raises QueryRejected, Busy, ModelUnavailable.
        """
        _check_sample(k, sample)
        if not MIN_TARGET_RECALL <= recall <= MAX_TARGET_RECALL:
            raise QueryRejected(
                f"recall: {recall:g}; {MIN_TARGET_RECALL:g} to {MAX_TARGET_RECALL:g} are allowed."
            )
        self._check_tunable()

        def step() -> None:
            self.measuring.give_way()
            go_on()

        with self.measuring.taken(gives_way=gives_way):
            return self._tuned(recall, k, sample, texts, step)

    def _tuned(
        self, recall: float, k: int, sample: int, texts: bool, go_on: Callable[[], None]
    ) -> TuningResult:
        queries = self._queries(sample, texts=texts, by_novelty=True)
        go_on()
        exact = self._exact(queries, k)
        if exact.vectors < MIN_VECTORS_TO_TUNE:
            raise QueryRejected(
                f"recall: the index has {exact.vectors} vectors; with fewer than "
                f"{MIN_VECTORS_TO_TUNE:,}, a setting tuned now would not fit later."
            )
        tried = []
        for ef_search in EF_SEARCHES:
            tried.append(self._try(ef_search, queries, exact, k, recall, go_on))
            if (tried[-1].held_out or 0) >= recall:
                break
        last = tried[-1]
        reached = (last.held_out or 0) >= recall
        return TuningResult(
            k,
            recall,
            reached,
            last.ef_search if reached else None,
            last.recall,
            last.held_out,
            (len(queries) + 1) // 2,
            len(queries) // 2,
            exact.vectors,
            tried,
        )

    def _check_tunable(self) -> None:
        if self.index.storage == "bit":
            raise QueryRejected(
                f"recall: an index with the storage bit always keeps {MAX_EF_SEARCH} candidates, "
                "the maximum, so it cannot be tuned."
            )
        if not self._has_graph():
            raise QueryRejected(
                "recall: the index is small or has no graph now, so its answers are exact: "
                "there is nothing to tune."
            )

    def _try(
        self,
        ef_search: int,
        queries: Queries,
        exact: ExactNeighbours,
        k: int,
        recall: float,
        go_on: Callable[[], None],
    ) -> EfSearchTrial:
        index = replace(self.index, ef_search=ef_search)

        def ask(half: slice) -> tuple[Answers, float, Kind]:
            some = queries.part(half)
            answers, _ = self._search(index, some, exact.part(half), k, go_on=go_on)
            return answers, *answers.worse(some.is_text)

        answers, chosen, worse = ask(EVEN)
        held_out = None
        if chosen >= recall:
            _, held_out, worse = ask(ODD)
        return EfSearchTrial(ef_search, chosen, worse, held_out, answers.percentile(50))

    def _has_graph(self) -> bool:
        with self.sessions.begin() as session:
            return not is_searched_exactly(session, self.index)

    def _unreachable(self) -> int | None:
        with self.sessions.begin() as session:
            return graph_health.count_unreachable(session, self.index, WALK_SECONDS)

    def _queries(self, sample: int, *, texts: bool = True, by_novelty: bool = False) -> Queries:
        """First the texts, half of the sample or all there are, unless without; then pictures.

        Half of the pictures by novelty, if so asked, else all uniformly.
        """
        words = self._texts(sample // 2) if texts else ()
        size = sample - len(words)
        with self.sessions.begin() as session:
            pictures = embeddings.sample(session, self.index, size - size // 2 * by_novelty)
            if by_novelty:
                pictures |= graph_health.sample_novel(session, self.index, size // 2, pictures)
        own_ids = np.array([*[NO_PICTURE] * len(words), *pictures], np.int64)
        return Queries(np.stack([*words, *pictures.values()]), own_ids)

    def _texts(self, most: int) -> Vectors:
        """Embeddings of texts chosen evenly, a few at a time: searches go between them."""
        known = unrelated_texts()
        places = np.linspace(0, len(known) - 1, min(most, len(known))).astype(int)
        rows = []
        for start in range(0, len(places), TEXT_BATCH):
            some = [known[place] for place in places[start : start + TEXT_BATCH]]
            rows.append(self.encoder.encode_texts(some, Priority.INDEXING))
        return np.concatenate(rows)

    def _exact(self, queries: Queries, k: int) -> ExactNeighbours:
        with self.sessions.begin() as session:
            return exact_neighbours(session, self.index, queries.vectors, queries.own_ids, k)

    def _search(
        self,
        index: VectorIndex,
        queries: Queries,
        exact: ExactNeighbours,
        k: int,
        resident: ResidentIndex | None = None,
        go_on: Callable[[], None] = lambda: None,
    ) -> tuple[Answers, Method]:
        """Each query as a search for its `k` asks it, in a transaction of its own.

        And the method of the last one.
        """
        hits, ms = [], []
        method: Method = "exact"
        asked = zip(queries.vectors, queries.own_ids, exact.farthest, strict=True)
        for vector, own_id, farthest in asked:
            go_on()
            limit = k if own_id == NO_PICTURE else k + 1  # with itself
            began = time.perf_counter()
            with self.sessions.begin() as session:
                view = resident.view(session) if resident else None
                scan = plan_scan(session, index, None, limit, view=view)
                reader = IndexReader(session, index, vector, None, view=view)
                near, scan = reader.window(scan, 0, limit)
                method = scan.method
            ms.append((time.perf_counter() - began) * 1000)
            others = [distance for image_id, distance in near if image_id != own_id][:k]
            hits.append(sum(distance <= farthest + graph_health.TIE for distance in others))
        some = np.minimum(hits, exact.counts)  # more where pictures came meanwhile
        return Answers(exact.counts, some, np.array(ms)), method


def _check_sample(k: int, sample: int) -> None:
    if not 1 <= k <= MAX_K:
        raise QueryRejected(f"k: {k}; 1 to {MAX_K} are allowed.")
    if not MIN_SAMPLE <= sample <= MAX_SAMPLE:
        raise QueryRejected(f"sample: {sample}; {MIN_SAMPLE} to {MAX_SAMPLE:,} are allowed.")
