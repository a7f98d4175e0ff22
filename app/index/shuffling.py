"""An order of pictures that is as good as random, and always the same.

Graphs are built in it, since one that is built in the order in which pictures came serves the
first ones badly, and samples are taken in it.
"""

from sqlalchemy import ColumnElement, func

SALT = 21  # other samples are taken by hashes of ids without one: these must not be in their order
SHUFFLED_ROWS = f"hashint8extended(image_id, {SALT}), region"
"""What rows of vectors are ordered by, in SQL."""


def shuffled(image_id: ColumnElement[int]) -> ColumnElement[int]:
    """What pictures are ordered by, from the column of their ids."""
    return func.hashint8extended(image_id, SALT)
