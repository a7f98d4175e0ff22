"""Vectors as parameters: sent in binary, and the same numbers as in pgvector's own form."""

import numpy as np
import pytest
from pgvector.sqlalchemy import HALFVEC, VECTOR
from sqlalchemy import Double, bindparam, cast, select

from app.database.connections import Sessions
from app.database.kept_statements import execute_kept
from app.database.sent_vectors import SentVector
from app.vectors import Vectors
from tests.fixtures.generated_vectors import clip_like

DIMENSIONS = 512
ROUNDED = np.array([0.1, -0.1, 1e-7, -3e-8, 2**-24, 65_504, 0.0, -0.0, 1 / 3], np.float32)
"""What half precision rounds, holds exactly, or holds only below its usual range."""


@pytest.mark.parametrize("kind", [HALFVEC, VECTOR])
@pytest.mark.parametrize(
    "vector", [clip_like(1, DIMENSIONS, seed=1)[0], ROUNDED], ids=["unit", "rounded"]
)
def test_a_vector_arrives_as_pgvectors_own_type_sends_it(
    sessions: Sessions, kind: type, vector: Vectors
) -> None:
    exact = kind(len(vector))
    sent = cast(bindparam("sent", type_=SentVector()), exact)
    own = cast(bindparam("own", type_=exact), exact)
    query = select(sent.label("sent"), own.label("own"), cast(sent.l2_distance(own), Double))
    values = {"sent": vector, "own": vector}
    with sessions.begin() as session:
        for row in (
            session.execute(query, values).one(),
            execute_kept(session, query, values).one(),
        ):
            assert row[2] == 0
            assert str(row.sent) == str(row.own)
