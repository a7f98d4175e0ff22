"""Prometheus metrics: counters and timings of this process, gauges of what the database holds.

No label has values that a client can choose, such as paths or names of collections.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "image_search"
NO_ROUTE = "none"  # label of all paths without a route
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STATEMENT_SECONDS = (0.0001, 0.00025, 0.0005, *SECONDS)
ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024)  # up to the largest BATCH_SIZE

disable_created_metrics()  # type: ignore[no-untyped-call]  # would add a second series to each metric

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

_requests = Counter(
    f"{PREFIX}_requests",
    "Requests answered, by the template of their route.",
    ["route", "method", "status"],
    registry=REGISTRY,
)
_request_seconds = Histogram(
    f"{PREFIX}_request_seconds",
    "From a request to the first byte of its answer.",
    ["route"],
    buckets=SECONDS,
    registry=REGISTRY,
)
_encode_seconds = Histogram(
    f"{PREFIX}_encode_seconds",
    "Time the model took for a batch.",
    ["kind"],
    buckets=SECONDS,
    registry=REGISTRY,
)
_batch_items = Histogram(
    f"{PREFIX}_batch_items",
    "Texts or pictures in a batch.",
    ["kind"],
    buckets=ITEMS,
    registry=REGISTRY,
)
_database_seconds = Histogram(
    f"{PREFIX}_database_seconds",
    "Time the database took for a statement.",
    buckets=STATEMENT_SECONDS,
    registry=REGISTRY,
)
_texts = Counter(
    f"{PREFIX}_texts",
    "Texts searched for, by whether their embedding was cached: hit or miss.",
    ["cache"],
    registry=REGISTRY,
)
_webhooks = Counter(
    f"{PREFIX}_webhooks",
    "Attempts to deliver a webhook, by outcome: delivered, retried or failed for good.",
    ["outcome"],
    registry=REGISTRY,
)
WebhookOutcome = Literal["delivered", "retried", "failed"]
for _outcome in get_args(WebhookOutcome):
    _webhooks.labels(_outcome)  # 0 before the first
_hits, _misses = _texts.labels("hit"), _texts.labels("miss")


_batch_searches = Histogram(
    f"{PREFIX}_batch_searches",
    "Searches in a batch.",
    buckets=(1, 2, 5, 10, 20, 50),
    registry=REGISTRY,
)


SearchDatabase = Literal["primary", "replica"]
_database_searches = Counter(
    f"{PREFIX}_database_searches",
    "Searches, where there are replicas: by which database, and whether that answered or failed, "
    "so that the next one was asked.",
    ["database", "outcome"],
    registry=REGISTRY,
)


for _database in get_args(SearchDatabase):
    for _outcome in ("answered", "failed"):
        _database_searches.labels(_database, _outcome)  # 0 before the first


def count_database_search(database: SearchDatabase, *, is_answered: bool) -> None:
    """Count a search that was sent to one of several databases."""
    _database_searches.labels(database, "answered" if is_answered else "failed").inc()


def observe_search_batch(searches: int) -> None:
    """Count a batch of so many searches."""
    _batch_searches.observe(searches)


def observe_request(route: str | None, method: str, status: int, seconds: float) -> None:
    """Count a request that was answered; `route` is its template, or None if there is no route."""
    label = route or NO_ROUTE
    _requests.labels(label, method if method in METHODS else OTHER, str(status)).inc()
    _request_seconds.labels(label).observe(seconds)


def observe_batch(kind: str, items: int, seconds: float) -> None:
    """Count a batch of texts or pictures that the model has encoded."""
    _encode_seconds.labels(kind).observe(seconds)
    _batch_items.labels(kind).observe(items)


def observe_statement(seconds: float) -> None:
    """Count one SQL statement, whether it failed or not."""
    _database_seconds.observe(seconds)


def observe_texts(cached: int, encoded: int) -> None:
    """Count texts that were searched for: with a cached embedding, and newly encoded."""
    _hits.inc(cached)
    _misses.inc(encoded)


def count_webhook(outcome: WebhookOutcome) -> None:
    """Count an attempt to deliver a webhook."""
    _webhooks.labels(outcome).inc()


@dataclass(frozen=True)
class Model:
    """The model that encodes the default collection."""

    name: str
    fingerprint: str
    device: str
    precision: str


@dataclass(frozen=True)
class QueueCounts:
    """The number of tasks that wait for a worker, and of jobs by state."""

    waiting: int
    jobs: Mapping[str, int]


@dataclass(frozen=True)
class Coverage:
    """Pictures of all collections, vectors of their active indexes, and pictures with a vector."""

    pictures: int
    vectors: int
    covered: int

    @property
    def ratio(self) -> float:
        """The share of pictures that have a vector, 0 to 1."""
        return self.covered / self.pictures if self.pictures else 1.0


@dataclass(frozen=True)
class DatabaseCounts:
    """Counts of rows in the database; `coverage` is None if counting it takes too long."""

    queue: QueueCounts
    coverage: Coverage | None


@dataclass(frozen=True)
class ReplicaGauge:
    """A replica of the database; `name` is its host, port and database, as the operator set them.

    `lag` is in seconds, infinite where it is unknown.
    """

    name: str
    is_used: bool
    lag: float


@dataclass(frozen=True)
class _Gauges(Collector):
    """What is read once for each exposition, instead of being counted all the time."""

    model: Model
    counts: DatabaseCounts | None
    replicas: Sequence[ReplicaGauge]

    def collect(self) -> Iterator[Metric]:
        """The metrics of the model and of what the database holds."""
        model = InfoMetricFamily(
            f"{PREFIX}_model", "The model that encodes the default collection."
        )
        model.add_metric([], vars(self.model))
        yield model
        yield _gauge("database_up", "1: the database answers.", float(self.counts is not None))
        if self.counts:
            yield from _queue(self.counts.queue)
            yield from _coverage(self.counts.coverage)
        if self.replicas:
            yield from _replicas(self.replicas)


def _gauge(name: str, description: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", description, value)


def _queue(queue: QueueCounts) -> Iterable[Metric]:
    yield _gauge("queue_tasks", "Tasks that wait for a worker.", queue.waiting)
    jobs = GaugeMetricFamily(f"{PREFIX}_jobs", "Jobs that are kept, by state.", labels=["state"])
    for state, count in queue.jobs.items():
        jobs.add_metric([state], count)
    yield jobs


def _replicas(replicas: Sequence[ReplicaGauge]) -> Iterable[Metric]:
    used = GaugeMetricFamily(
        f"{PREFIX}_replica_used", "1: the replica answers searches.", labels=["replica"]
    )
    lag = GaugeMetricFamily(
        f"{PREFIX}_replica_lag_seconds",
        "How far the replica was behind when it and the primary answered last.",
        labels=["replica"],
    )
    for one in replicas:
        used.add_metric([one.name], float(one.is_used))
        lag.add_metric([one.name], one.lag)
    yield from (used, lag)


def _coverage(coverage: Coverage | None) -> Iterable[Metric]:
    if coverage:
        yield _gauge("pictures", "Pictures of all collections.", coverage.pictures)
        yield _gauge("vectors", "Vectors of all active indexes.", coverage.vectors)
        description = "Share of the pictures that have a vector, 0 to 1."
        yield _gauge("index_coverage_ratio", description, coverage.ratio)


def exposition(
    model: Model, counts: DatabaseCounts | None, replicas: Sequence[ReplicaGauge] = ()
) -> bytes:
    """All metrics in Prometheus's text format; `counts` is None if the database does not answer."""
    return generate_latest(REGISTRY) + generate_latest(_Gauges(model, counts, replicas))
