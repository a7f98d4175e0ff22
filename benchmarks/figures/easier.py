"""The graph on vectors that are easier to tell apart than CLIP's: of rank 64, without noise.

It takes as many candidates as its own vectors need, which is what tuning finds for a collection.
"""

from benchmarks.figures.nearest import DEFAULT, measured
from benchmarks.own_search import RECALL
from benchmarks.results import Figure, at_least, at_most, p50
from benchmarks.workshop import Workshop

TIMES_CHROMA = 1.5  # of its time, at equal recall


def measure(shop: Workshop) -> Figure:
    """The smallest number of vectors of the figure `nearest`, in the default storage."""
    size = measured(shop, min(shop.sizes.nearest), [DEFAULT], noise=0.0)
    goals = [at_least(f"{size.count:,}: recall@10 by the graph", "", size.ours.recall, RECALL)]
    if size.chroma is not None:
        ratio = p50(size.ours.times) / p50(size.chroma.best.times)
        what = f"{size.count:,}: p50 by the graph to Chroma's at equal recall"
        goals.append(at_most(what, "×", ratio, TIMES_CHROMA))
    return Figure(goals, size.lines(), [size.note()])
