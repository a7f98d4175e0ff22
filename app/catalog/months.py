"""How many pictures of a collection were taken in each month, by the clock of the place."""

from dataclasses import dataclass

from sqlalchemy import Text, func, select
from sqlalchemy.orm import Session

from app.catalog.filters.fields import wall_clock
from app.catalog.filters.filters import Filter
from app.database.tables import PRESENT, images

MAX_MONTHS = 1_200  # in one answer: a hundred years


@dataclass(frozen=True)
class Month:
    """A month like 2019-05, and the number of pictures."""

    month: str
    pictures: int


def count_months(session: Session, collection_id: int, where: Filter) -> list[Month]:
    """The months of the pictures that pass the filter, newest first; at most MAX_MONTHS.

    Pictures without a date are in none.
    """
    taken = wall_clock().value
    month = func.to_char(taken, "YYYY-MM", type_=Text()).label("month")
    query = (
        select(month, func.count().label("pictures"))
        .where(images.c.collection_id == collection_id, PRESENT, where.condition)
        .where(taken.is_not(None))
        .group_by(month)
        .order_by(month.desc())
        .limit(MAX_MONTHS)
    )
    return [Month(*row) for row in session.execute(query).tuples()]
