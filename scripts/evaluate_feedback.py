"""Test for each collection whether judgements improve its answers, and switch them on or off.

The server does the same every night; `make evaluate-feedback` does it right away.
"""

from app.feedback.evaluation import MIN_JUDGEMENTS, MIN_QUERIES, EvaluationResult
from app.runtime.assembly import open_services
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.known_collections import KnownCollection
from scripts.command_line import open_settings, run_command, sentences

HEADER = f"{'collection':<30} {'queries':>8} {'judgements':>10} {'without':>8} {'with':>6}  state"


def main() -> None:
    """Print a line for each collection."""
    with sentences("Not evaluated"), open_services(open_settings()) as services:
        print(HEADER)
        for known in services.registry.every():
            print(_line(known, held(services.registry, known)), flush=True)
    print(
        f"\nWithout and with: mean nDCG@10 of what was held out. Less than {MIN_QUERIES} queries "
        f"with a good hit, or {MIN_JUDGEMENTS} judgements, is not enough."
    )


def held(registry: CollectionRegistry, known: KnownCollection) -> EvaluationResult:
    """Hold a trial now, store its verdict and return it."""
    return registry.open_id(known.collection.id).evaluation.run()


def _line(known: KnownCollection, verdict: EvaluationResult) -> str:
    name = f"{known.collection.namespace}/{known.collection.name}"
    return (
        f"{name:<30} {verdict.queries:>8} {verdict.judgements:>10} "
        f"{_shown(verdict.ndcg_without):>8} {_shown(verdict.ndcg_with):>6}  {verdict.state}"
    )


def _shown(ndcg: float | None) -> str:
    return "—" if ndcg is None else f"{ndcg:.3f}"


if __name__ == "__main__":
    run_command(main)
