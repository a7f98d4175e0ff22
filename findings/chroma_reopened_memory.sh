#!/bin/sh
# chromadb 1.5.9: a changed ef_search waits for the collection to be reopened, and each reopening keeps
# the former index in memory until Python looks for garbage.
#
# Guessed before looking: `modify` changes the next query, as SET hnsw.ef_search does in pgvector; and
# clearing the system's cache frees the index that it held, so reopening takes no more memory.
# Seen: after `modify` the open collection answers as before, with the same recall; reopened, with the
# new one. Each reopening adds more memory than the vectors have. gc.collect() gives it back; by itself
# Python collects after so many new objects, and an index is a few large ones.
# Here: benchmarks/peers/chroma.py measures each number of candidates in a process of its own. In one
# process, eight reopenings of a million vectors had 19 GB.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q chromadb==1.5.9 numpy==2.4.6 psutil
cat >"$folder/look.py" <<'PYTHON'
import gc
import sys

import chromadb
import numpy as np
import psutil
from chromadb.api.shared_system_client import SharedSystemClient

COUNT, DIMENSIONS, QUERIES, K, ADDED = 30_000, 256, 100, 10, 5_000
FEW, MANY, REOPENED = 10, 400, 8
MEGA = 1e6
rng = np.random.default_rng(0)
vectors = rng.standard_normal((COUNT, DIMENSIONS), np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
asked = vectors[:QUERIES] + 0.05 * rng.standard_normal((QUERIES, DIMENSIONS), np.float32)
nearest = np.argsort(-(asked @ vectors.T), axis=1)[:, :K]


def opened():
    return chromadb.PersistentClient(sys.argv[1]).get_collection("pictures")


def recall(collection) -> float:
    found = collection.query(query_embeddings=asked.tolist(), n_results=K, include=[])["ids"]
    return float(np.mean([len({*map(int, a)} & {*b}) for a, b in zip(found, nearest.tolist())]) / K)


def memory() -> float:
    return psutil.Process().memory_info().rss / MEGA


collection = chromadb.PersistentClient(sys.argv[1]).create_collection(
    "pictures", configuration={"hnsw": {"space": "cosine", "ef_search": FEW}}
)
for start in range(0, COUNT, ADDED):
    ids = [str(n) for n in range(start, start + ADDED)]
    collection.add(ids=ids, embeddings=vectors[start : start + ADDED])
SharedSystemClient.clear_system_cache()
collection = opened()
few = recall(collection)
collection.modify(configuration={"hnsw": {"ef_search": MANY}})
still = recall(collection)
taken = [memory()]
for _ in range(REOPENED):
    SharedSystemClient.clear_system_cache()
    del collection
    collection = opened()
    many = recall(collection)
    taken.append(memory())
gc.collect()
kept = memory()
size = vectors.nbytes / MEGA
each = (taken[-1] - taken[0]) / REOPENED
print(f"recall at {FEW}: {few:.3f}; changed to {MANY}: {still:.3f}; reopened: {many:.3f}")
print(f"MB after each reopening: {[round(one) for one in taken]}, collected: {kept:.0f}")
print(f"the vectors have {size:.0f}")
waits = abs(still - few) < 0.02 and many > few + 0.1
sys.exit(not (waits and each > size and taken[-1] - kept > each * REOPENED / 2))
PYTHON
"$folder/venv/bin/python" "$folder/look.py" "$folder/store"
