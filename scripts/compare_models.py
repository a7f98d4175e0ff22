"""Compare models on a collection's own pictures by its golden queries: `make compare`."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from app.runtime.assembly import open_services
from app.runtime.evaluation.evaluations import DEFAULT_SAMPLE, MAX_SAMPLED, Asked
from app.runtime.models import model_name
from app.runtime.services import Services
from scripts.command_line import open_settings, run_command, sentences
from scripts.ingest import work_on

HEADER = ("", "nDCG@10", "95 %", "R@1", "R@5", "R@10", "MRR", "ms/picture", "ms/text", "bytes")
COMPONENT_BYTES = {"vector": 4}  # of a vector in an index; in others 2
MODEL_WIDTH, WIDTH = 44, 11  # characters


def main(
    models: Annotated[str, typer.Option(help="model@tag, several with commas between them")],
    namespace: Annotated[str, typer.Option(help="of the collection")] = "default",
    collection: Annotated[str, typer.Option(help="whose golden queries")] = "default",
    sample: Annotated[
        int, typer.Option(min=0, max=MAX_SAMPLED, help="random pictures besides those named")
    ] = DEFAULT_SAMPLE,
) -> None:
    """Print how the models do beside the collection's own, and what a picture costs here."""
    names = [one.strip() for one in models.split(",") if one.strip()]
    asked = Asked(models=[model_name(one) for one in names], sample=sample)
    with sentences("Not compared"):
        settings = open_settings()
        allowed = {
            "collection_models": (*settings.collection_models, *names),
            "max_resident_models": max(2, settings.max_resident_models),
        }
        with open_services(settings.model_copy(update=allowed)) as services:
            print_result(_result(services, namespace, collection, asked))


def _result(services: Services, namespace: str, collection: str, asked: Asked) -> Mapping[str, Any]:
    known = services.registry.find(namespace, collection)
    job = work_on(services, services.evaluations.submit(known, asked))
    if job.state != "succeeded":
        sys.exit(f"Not compared: {job.reason or 'job ' + str(job.id) + ' was cancelled.'}")
    return services.evaluations.result(known, job.id).result


def print_result(result: Mapping[str, Any]) -> None:
    """Print a line for each system, and a sentence for each comparison."""
    systems = result["systems"]
    _print_line(HEADER)
    for system in systems:
        _print_line(_cells(system))
    print()
    for compared in result["comparisons"]:
        print(f"{_name(systems[compared['system']])}: {compared['sentence']}")
    sample = result["sample"]
    print(
        f"{result['queries']} golden queries, searched for in the generations' own indexes."
        if sample is None
        else f"{result['queries']} golden queries, on a sample of {sample['pictures']} pictures: "
        f"{sample['named']} that they name, {sample['random']} random others."
    )
    print("Bytes are those of one vector, its share of a graph not among them.")


def _cells(system: Mapping[str, Any]) -> tuple[str, ...]:
    metrics = ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")
    ndcg = system["ndcg_at_10"]
    return (
        _name(system),
        f"{ndcg['mean']:.3f}",
        f"{ndcg['low']:.2f}–{ndcg['high']:.2f}",
        *(f"{system[metric]['mean']:.3f}" for metric in metrics),
        _milliseconds(system["picture_ms"]),
        _milliseconds(system["encode_ms"]),
        str(system["dimensions"] * COMPONENT_BYTES.get(system["storage"], 2)),
    )


def _name(system: Mapping[str, Any]) -> str:
    name = "@".join(filter(None, (system["model"], system["pretrained"])))
    generation = system["generation"]
    return name if generation is None else f"{name} (generation {generation})"


def _milliseconds(value: float | None) -> str:
    return "—" if value is None else f"{value:.1f}"


def _print_line(cells: tuple[str, ...]) -> None:
    first, *others = cells
    print(f"{first:<{MODEL_WIDTH}}" + "".join(f"{cell:>{WIDTH}}" for cell in others))


if __name__ == "__main__":
    run_command(main)
