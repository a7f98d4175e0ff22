"""How searches by codes grow with a collection: `make benchmark-growth`.

Puts generated vectors into a temporary database, at each size in turn, and searches them by codes
as real searches do, all and with filters. Prints Markdown. `make benchmark FIGURE=nearest` measures
the graph.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from app.index.resident.codes import code_bytes
from app.vectors import Vectors
from benchmarks.own_search import loaded_codes
from benchmarks.workshop import DIMENSIONS, QUERY_SEED, VECTOR_SEED
from scripts import generated_vectors
from scripts.benchmark_search import (
    HEAD,
    HITS,
    Bench,
    database,
    load_pictures,
    print_table,
    print_versions,
    vacuum,
)
from scripts.generated_vectors import copy_vectors

DEFAULT_SIZES = "50000 200000 1000000"  # vectors
QUERIES = 100
FILTERS: Mapping[str, Mapping[str, Any]] = {
    "all": {},
    "50 %": {"n": {"lt": 0.5}},
    "1 %": {"n": {"lt": 0.01}},
    "0.01 %": {"n": {"lt": 0.0001}},
    "the farthest 20 %": {"far": {"lt": 0.2}},
}
MILLI, MEGA = 1e-3, 1e6
LOADING = ["vectors", "copied, a second", "codes loaded, a second", "codes, MB"]
SEARCHES = ["vectors", *HEAD, "first, ms"]


def main(
    sizes: Annotated[str, typer.Option(help="numbers of vectors")] = DEFAULT_SIZES,
) -> None:
    """Print the tables once all sizes are measured."""
    with database() as sessions:
        print_versions(sessions, f"{DIMENSIONS} dimensions, halfvec; {QUERIES} queries")
    loading, searches = [], []
    for size in map(int, sizes.split()):
        row, rows = measured(size)
        loading.append(row)
        searches += rows
        typer.echo(f"{size:,} vectors are measured.", err=True)
    print_table("Loading", LOADING, loading)
    print_table("Searches by codes", SEARCHES, searches)


def measured(count: int) -> tuple[list[str], list[list[str]]]:
    """The rows of one size, in a database of its own."""
    queries = generated_vectors.clip_like(QUERIES, DIMENSIONS, QUERY_SEED)
    gallery = generated_vectors.generate(count, DIMENSIONS, VECTOR_SEED, queries[0])
    with database() as sessions:
        index = load_pictures(sessions, gallery)
        began = time.perf_counter()
        with sessions.begin() as session:
            copy_vectors(session, index, gallery.vectors)
        copied = count / (time.perf_counter() - began)
        vacuum(Bench(sessions, index, gallery))
        seconds, resident = loaded_codes(sessions, index)
        bench = Bench(sessions, index, gallery, resident)
        row = [
            f"{count:,}",
            f"{copied:,.0f}",
            f"{count / seconds:,.0f}",
            f"{code_bytes(DIMENSIONS, len(resident)) / MEGA:,.0f}",
        ]
        return row, [[f"{count:,}", *one] for one in _searched(bench, queries)]


def _searched(bench: Bench, queries: Vectors) -> Iterator[list[str]]:
    """A row for each filter; its first search also looks up what passes."""
    near = generated_vectors.near_centre(queries)
    for title, body in FILTERS.items():
        asked = near if "far" in body else queries
        condition, _ = bench.filter(body)
        began = time.perf_counter()
        bench.search(asked[0], condition, 0, HITS)
        first = time.perf_counter() - began
        yield [*bench.row(title, asked, body), f"{first / MILLI:.1f}"]


if __name__ == "__main__":
    typer.run(main)
