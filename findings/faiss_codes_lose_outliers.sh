#!/bin/sh
# faiss-cpu 1.15.1: compact codes find outliers by themselves, but not what is nearest to them.
#
# Guessed before looking: product quantization (4 bits for 2 dimensions) and RaBitQ (1 bit a dimension)
# lose a little recall everywhere alike, and reading more candidates makes up for it.
# Seen: beside a series of 19,800 pictures (cosine 0.9 to each other), 200 unlike ones are all found by
# their own vector, but recall@10 in 1,000 candidates is 0.910 (PQ) and 0.934 (RaBitQ), and in the worst
# tenth 0.640 and 0.760. Codes with one step size for all dimensions keep the order: 4 and 8 bits 1.000.
# A mean over a sample of the library hides it: one picture in a hundred is unlike.
# Here: app/index/resident/codes.py has 8 bits, and a scale for each vector.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q faiss-cpu==1.15.1 numpy==2.4.6
cat >"$folder/look.py" <<'PYTHON'
import sys

import faiss
import numpy as np

UNLIKE, SERIES, DIMENSIONS, CANDIDATES, K = 200, 19_800, 256, 1_000, 10
rng = np.random.default_rng(0)


def units(count: int) -> np.ndarray:
    rows = rng.standard_normal((count, DIMENSIONS), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


series = np.sqrt(0.9, dtype=np.float32) * units(1) + np.sqrt(0.1, dtype=np.float32) * units(SERIES)
series /= np.linalg.norm(series, axis=1, keepdims=True)
vectors = np.vstack([units(UNLIKE), series])
centered = vectors - vectors.mean(axis=0)
sample = rng.choice(len(vectors), 5_000, replace=False)
faiss.omp_set_num_threads(1)
metric, quantizer = faiss.METRIC_INNER_PRODUCT, faiss.ScalarQuantizer
indexes = {
    "PQ, 4 bits for 2 dimensions": faiss.IndexPQFastScan(DIMENSIONS, DIMENSIONS // 2, 4, metric),
    "RaBitQ, 1 bit": faiss.IndexRaBitQFastScan(DIMENSIONS, metric),
    "scalar, 4 bits": faiss.IndexScalarQuantizer(DIMENSIONS, quantizer.QT_4bit, metric),
    "scalar, 8 bits": faiss.IndexScalarQuantizer(DIMENSIONS, quantizer.QT_8bit, metric),
}
queries = vectors[:UNLIKE]
scores = queries @ vectors.T
nearest = np.argsort(-scores, axis=1)[:, :K]
worst = {}
for name, index in indexes.items():
    index.train(centered[sample])
    index.add(centered)
    _, found = index.search(queries, CANDIDATES)
    recall = np.sort([np.isin(n, f).mean() for n, f in zip(nearest, found, strict=True)])
    own = np.mean([place in row for place, row in enumerate(found)])
    worst[name] = recall[: UNLIKE // 10].mean()
    print(f"{name}: recall@10 {recall.mean():.3f}, worst tenth {worst[name]:.3f}, itself {own:.2f}")
adaptive, uniform = list(worst.values())[:2], list(worst.values())[2:]
sys.exit(bool(max(adaptive) > 0.85 or min(uniform) < 0.95))
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
