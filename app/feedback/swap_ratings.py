"""Whether ratings fell when another generation of a collection's vectors came into use.

Every function takes a Session and leaves the transaction to its caller.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.database.feedback_tables import feedback, feedback_queries
from app.database.tables import collections, vector_indexes
from app.feedback.ratings import Scope

COMPARED = timedelta(days=30)  # before the change, and after it
FEWEST = 20  # ratings on either side, to say anything
DEVIATIONS = 2.0  # standard errors that the means are apart, to call it a fall


@dataclass(frozen=True)
class SideRatings:
    """Ratings on one side of a change; `mean` and `variance` are None without any."""

    ratings: int
    mean: float | None
    variance: float | None


@dataclass(frozen=True)
class SwapRatings:
    """A collection's last change of its generation, with the ratings of 30 days on either side."""

    collection: str
    changed_at: datetime
    former_model: str
    model: str
    before: SideRatings
    after: SideRatings

    @property
    def fell(self) -> bool | None:
        """Whether ratings are lower since, by Welch's test; None while there are too few."""
        one, two = self.before, self.after
        if min(one.ratings, two.ratings) < FEWEST or one.mean is None or two.mean is None:
            return None
        error = (one.variance or 0) / one.ratings + (two.variance or 0) / two.ratings
        return bool(one.mean - two.mean > DEVIATIONS * error**0.5)


def last_swaps(session: Session, scope: Scope) -> list[SwapRatings]:
    """For each collection in the scope whose former generation is still kept."""
    active, former = vector_indexes.alias("active"), vector_indexes.alias("former")
    query = (
        select(
            collections.c.id,
            collections.c.name,
            former.c.retired_at,
            former.c.model.label("former_model"),
            active.c.model,
        )
        .distinct(collections.c.name)
        .join(active, (active.c.collection_id == collections.c.id) & (active.c.state == "active"))
        .join(former, (former.c.collection_id == collections.c.id) & (former.c.state == "retired"))
        .where(collections.c.namespace == scope.namespace, former.c.retired_at.is_not(None))
        .order_by(collections.c.name, former.c.retired_at.desc())
    )
    if scope.collection_id is not None:
        query = query.where(collections.c.id == scope.collection_id)
    return [
        SwapRatings(
            row.name,
            row.retired_at,
            row.former_model,
            row.model,
            _rated(session, row.id, row.retired_at - COMPARED, row.retired_at),
            _rated(session, row.id, row.retired_at, row.retired_at + COMPARED),
        )
        for row in session.execute(query).all()
    ]


def _rated(session: Session, collection_id: int, since: datetime, until: datetime) -> SideRatings:
    rating = feedback.c.rating
    query = (
        select(
            func.count().label("ratings"),
            func.avg(rating).label("mean"),
            func.var_samp(rating).label("variance"),
        )
        .select_from(feedback)
        .join(feedback_queries, feedback_queries.c.id == feedback.c.query_id)
        .join(vector_indexes, vector_indexes.c.id == feedback_queries.c.index_id)
        .where(
            vector_indexes.c.collection_id == collection_id,
            feedback.c.updated_at >= since,
            feedback.c.updated_at < until,
        )
    )
    row = session.execute(query).one()
    mean, variance = (None if one is None else float(one) for one in (row.mean, row.variance))
    return SideRatings(row.ratings, mean, variance)
