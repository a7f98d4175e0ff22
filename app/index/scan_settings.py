"""What a transaction sets before it reads an index: how far to look, and by which plans."""

from collections.abc import Mapping

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from app.database.pipelines import Statement
from app.database.snapshots import REPLAYED, REPLAYED_SETTING
from app.database.tables import VectorIndex

MIN_EF_SEARCH = 400  # recall@10 on 100,000 CLIP-like vectors is 0.96, and 0.87 at 200
MAX_EF_SEARCH = 1000  # pgvector's bound
RERANKED_CANDIDATES = 1000  # hits of a `bit` graph that are re-ranked by their vectors
MAX_SCAN_TUPLES = 40_000  # hnsw.max_scan_tuples
SCAN_MEMORY_MULTIPLIER = 16  # hnsw.scan_mem_multiplier
STATEMENT_TIMEOUT_MS = 5_000

OTHER_PLANS = ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin")
"""Planner methods switched off for graph searches: on a small table the planner would prefer them,
and then the next page would not continue the order of this one."""


def rerank_depth(index: VectorIndex, limit: int) -> int:
    """How many rows to read from the graph and re-rank by their vectors, for `limit` hits.

    Only a `bit` graph needs more than `limit`, since it orders by Hamming distance: then it is the
    multiple of `limit` that comes nearest to RERANKED_CANDIDATES.
    """
    return limit * max(1, RERANKED_CANDIDATES // limit) if index.storage == "bit" else limit


def ef_search_for(index: VectorIndex, limit: int, share: float = 1.0) -> int:
    """The `hnsw.ef_search` for `limit` hits, where this share of the pictures passes the filter."""
    if index.storage == "bit":
        return MAX_EF_SEARCH
    wanted = max(index.ef_search or MIN_EF_SEARCH, 2 * limit) / share
    return int(min(wanted, MAX_EF_SEARCH))


def prepare(session: Session, ef_search: int | None = None) -> None:
    """Set the timeout and the planner's methods for this transaction alone.

    With `ef_search` only the HNSW graph may be used, by an iterative scan, which goes on past the
    vectors of deleted pictures until the limit is full. Without it the planner may choose.
    """
    session.execute(*settings_for(ef_search))


def settings_for(ef_search: int | None) -> Statement:
    """The statement that `prepare` executes."""
    values = {"timeout": str(STATEMENT_TIMEOUT_MS)}
    if ef_search is None:
        return Statement(EXACT_SETTINGS, values)
    values |= {"ef_search": str(ef_search), "tuples": str(MAX_SCAN_TUPLES)}
    return Statement(HNSW_SETTINGS, values | {"memory": str(SCAN_MEMORY_MULTIPLIER)})


def _settings(values: Mapping[str, str]) -> TextClause:
    """A statement that sets them for its transaction alone, in one round trip."""
    return text("SELECT " + ", ".join(f"set_config('{n}', {v}, true)" for n, v in values.items()))


EXACT_SETTINGS = _settings(
    {"statement_timeout": ":timeout", "jit": "'off'", REPLAYED_SETTING: REPLAYED}
    | {f"enable_{way}": "'on'" for way in OTHER_PLANS}
)
HNSW_SETTINGS = _settings(
    {
        "statement_timeout": ":timeout",
        "jit": "'off'",
        "hnsw.ef_search": ":ef_search",
        "hnsw.iterative_scan": "'relaxed_order'",
        "hnsw.max_scan_tuples": ":tuples",
        "hnsw.scan_mem_multiplier": ":memory",
    }
    | {f"enable_{way}": "'off'" for way in OTHER_PLANS}
)
