"""Vectors as 8-bit integers in memory, all of them compared in a search.

Each has its own scale, so that pictures unlike most others keep their order too. Product
quantization and RaBitQ take a quarter of the memory and half of the time, but their codes fit the
bulk of a library: they lose what is unlike it (docs/decisions.md).
"""

import numkong
import numpy as np
from numpy.typing import NDArray

from app.vectors import Vectors

BLOCK = 8_192  # codes compared in one call: 0.15 ms at 512 dimensions, without Python's lock
LARGEST = 127  # of a code
FEW = 0.25  # share of the codes up to which it is faster to copy them than to compare all

Ids = NDArray[np.int64]
Places = NDArray[np.int64]
"""Where codes stand among all, from 0, ascending."""


class Codes:
    """The codes of vectors, each under an id. Ids may repeat. Not thread-safe.

    What all vectors share is left out of the codes, `center`, shape (dimensions,): of inner
    products with a query it changes all alike.
    """

    def __init__(self, center: Vectors) -> None:
        self._center = center
        self._blocks: list[NDArray[np.int8]] = []  # each (BLOCK, dimensions), the last partly used
        self._scales = np.empty(0, np.float32)  # a whole number of blocks long, as the ids are
        self._ids = np.empty(0, np.int64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add vectors, float32 (n, dimensions), of unit rows, under `ids`, shape (n,)."""
        codes, scales = _quantized(vectors - self._center)
        start = 0
        while start < len(codes):
            used = self._count % BLOCK
            if used == 0:
                self._append_block(codes.shape[1])
            stop = start + BLOCK - used
            some = len(ids[start:stop])
            self._blocks[-1][used : used + some] = codes[start:stop]
            self._scales[self._count : self._count + some] = scales[start:stop]
            self._ids[self._count : self._count + some] = ids[start:stop]
            self._count += some
            start = stop

    def _append_block(self, dimensions: int) -> None:
        self._blocks.append(np.empty((BLOCK, dimensions), np.int8))
        self._scales = np.append(self._scales, np.empty(BLOCK, np.float32))
        self._ids = np.append(self._ids, np.empty(BLOCK, np.int64))

    def frozen(self) -> "Codes":
        """These codes, without what is added later. May be searched by several threads."""
        same = Codes(self._center)
        same._blocks, same._count = self._blocks.copy(), self._count
        same._scales, same._ids = self._scales, self._ids
        return same

    def places(self, ids: Ids) -> Places:
        """Where the codes of these ids stand."""
        return np.flatnonzero(np.isin(self._ids[: self._count], ids))

    def nearest(self, vector: Vectors, count: int, among: Places | None = None) -> Ids:
        """The distinct ids of the `count` codes nearest to `vector`, shape (dimensions,).

        Of all codes, or `among` some.
        """
        some = slice(self._count) if among is None else among
        ids = self._ids[some]
        if count < len(ids):
            scores = self._products(vector, among)
            scores *= self._scales[some]
            ids = ids[np.argpartition(scores, -count)[-count:]]
        return np.unique(ids)

    def _products(self, vector: Vectors, among: Places | None) -> NDArray[np.float64]:
        """Inner products of integers with all codes or those `among` some, shape (n,)."""
        asked, _ = _quantized(vector[np.newaxis])
        if among is not None and len(among) <= FEW * self._count:
            return self._products_of_few(asked, among)
        row = self._products_of_all(asked)[: self._count]
        return row if among is None else row[among]

    def _products_of_all(self, asked: NDArray[np.int8]) -> NDArray[np.float64]:
        products = np.empty((1, BLOCK * len(self._blocks)))
        for place, block in enumerate(self._blocks):
            out = products[:, place * BLOCK : (place + 1) * BLOCK]
            numkong.cdist(asked, block, metric="dot", out=out)
        row: NDArray[np.float64] = products[0]
        return row

    def _products_of_few(self, asked: NDArray[np.int8], among: Places) -> NDArray[np.float64]:
        products = np.empty((1, len(among)))
        ends = np.searchsorted(among, np.arange(len(self._blocks) + 1) * BLOCK).tolist()
        for place, block in enumerate(self._blocks):
            start, stop = ends[place : place + 2]
            if start < stop:
                codes = np.take(block, among[start:stop] - place * BLOCK, axis=0)
                numkong.cdist(asked, codes, metric="dot", out=products[:, start:stop])
        row: NDArray[np.float64] = products[0]
        return row


def _quantized(vectors: Vectors) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Rows as integers from -LARGEST to LARGEST, and the length of 1 in each row, shape (n,)."""
    scales = np.abs(vectors).max(axis=1) / LARGEST
    scales[scales == 0] = 1
    codes = np.rint(vectors / scales[:, np.newaxis]).astype(np.int8)
    return codes, scales


def code_bytes(dimensions: int, count: int) -> int:
    """The memory that the codes of `count` vectors take, with scales and ids."""
    return count * (dimensions + np.float32().itemsize + np.int64().itemsize)
