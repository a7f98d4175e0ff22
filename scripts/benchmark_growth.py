"""How searches and their memory grow with a collection: `make benchmark-growth`.

Puts generated vectors into a temporary database, at each size in turn, and searches them by codes
and by the graph as real searches do. Prints Markdown.
"""

from dataclasses import dataclass
from itertools import chain
from typing import Annotated

import typer

from benchmarks.own_search import (
    CANDIDATES,
    HITS,
    RECALL,
    Answers,
    Built,
    asked,
    built_index,
    by_codes,
    fewest,
)
from benchmarks.results import p50
from benchmarks.workshop import DIMENSIONS, QUERY_SEED, VECTOR_SEED
from scripts import generated_vectors
from scripts.benchmark_search import database, load_pictures, print_table, print_versions

DEFAULT_SIZES = "50000 200000 1000000"  # vectors
QUERIES = 100
FEWEST = 200  # candidates that are tried: fewer never reach RECALL at these sizes
EF_SEARCH = [kept for kept in CANDIDATES if kept >= FEWEST]  # in turn, until RECALL is reached
GIGA = 1e9
MILLI = 1e-3
SPACE = ["vectors", "table, GB", "graph, GB", "copied, a second", "graph built, s",
         "codes loaded, a second"]  # fmt: skip
TIMES = ["vectors", "codes, ms", "recall@10", "graph by default, ms", "recall@10",
         f"graph at recall {RECALL:g}, ms", "recall@10 (ef_search)"]  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One size: what its index takes, and the answers by codes and by the graph."""

    count: int
    built: Built
    codes_seconds: float
    codes: Answers
    graph: Answers

    def space(self) -> list[str]:
        """A row of the table SPACE."""
        return [
            f"{self.count:,}",
            f"{self.built.table * self.count / GIGA:.2f}",
            f"{self.built.graph * self.count / GIGA:.2f}",
            f"{self.count / self.built.load:,.0f}",
            f"{self.built.seconds:,.0f}",
            f"{self.count / self.codes_seconds:,.0f}",
        ]

    def times(self) -> list[str]:
        """A row of the table TIMES."""
        each = [_told(self.codes), _told(self.built.default), _told(self.graph)]
        return [f"{self.count:,}", *chain.from_iterable(each)]


def main(
    sizes: Annotated[str, typer.Option(help="numbers of vectors")] = DEFAULT_SIZES,
) -> None:
    """Print the tables once all sizes are measured."""
    with database() as sessions:
        print_versions(sessions, f"{DIMENSIONS} dimensions, halfvec; {QUERIES} queries, medians")
    found = []
    for size in sizes.split():
        found.append(measured(int(size)))
        typer.echo(f"{int(size):,} vectors are measured.", err=True)
    print_table("Space and loading", SPACE, [one.space() for one in found])
    print_table("Searches", TIMES, [one.times() for one in found])


def measured(count: int) -> Measured:
    """Measure one size, in a database of its own."""
    queries = generated_vectors.clip_like(QUERIES, DIMENSIONS, QUERY_SEED)
    gallery = generated_vectors.generate(count, DIMENSIONS, VECTOR_SEED, queries[0])
    expected = gallery.best(queries, gallery.present, HITS)
    with database() as sessions:
        empty = load_pictures(sessions, gallery)
        index, built = built_index(sessions, empty, gallery, "halfvec", queries, expected)
        seconds, codes = by_codes(sessions, index, queries, expected)
        graph = fewest(
            asked(sessions, index, gallery, queries, expected, kept) for kept in EF_SEARCH
        )
    return Measured(count, built, seconds, codes, graph)


def _told(answers: Answers) -> list[str]:
    kept = f" ({answers.kept})" if answers.kept else ""
    return [f"{p50(answers.times) / MILLI:.1f}", f"{answers.recall:.3f}{kept}"]


if __name__ == "__main__":
    typer.run(main)
