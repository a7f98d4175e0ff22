"""Labels of pictures: told for one picture, or kept for a collection by its label sets."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from app.runtime.labelling.label_sets import LabelSets
from app.web.callers import CurrentCaller, ImageId, chosen_namespace
from app.web.dependencies import GalleryService, RegistryService, ServiceAddresses, Utf8Query
from app.web.middleware.guarded_route import Guarded, needs
from app.web.payloads.field_types import Name
from app.web.payloads.labels.classification import (
    Classification,
    ClassifyRequest,
    LabelProbability,
)
from app.web.payloads.labels.label_sets import (
    FlaggedImages,
    ImageLabel,
    ImageLabels,
    LabelSetDetails,
    LabelSetList,
    LabelSetPut,
)
from app.web.payloads.labels.sent_labels import to_domain
from app.web.problems.problems import problem_responses
from app.web.routes.collections import Found

router = APIRouter(prefix="/api/v1", tags=["labels"], dependencies=[Utf8Query], route_class=Guarded)

SETS = "/collections/{name}/label-sets"
LOCATION = {"Location": {"schema": {"type": "string"}, "description": "address of the label set"}}

LabelSetName = Annotated[
    Name, Path(alias="set", description="the label set's name", examples=["kind"])
]


async def _label_sets(request: Request) -> LabelSets:
    service: LabelSets = request.app.state.services.label_sets
    return service


LabelSetService = Annotated[LabelSets, Depends(_label_sets)]


@router.post(
    "/classify",
    summary="Classify a picture",
    responses=problem_responses(400, 404, 413, 415, 422, 503),
)
@needs("reader", "search")
def classify(
    caller: CurrentCaller, registry: RegistryService, body: ClassifyRequest
) -> Classification:
    """Say which of some labels fits a picture best, with the probability of each."""
    opened = registry.open(chosen_namespace(caller, body.namespace), body.collection)
    found = opened.classifier.classify(body.picture, to_domain(body.labels), body.templates)
    return Classification(
        labels=[LabelProbability(**vars(one)) for one in found],
        model=opened.index.space.name,
        fingerprint=opened.index.fingerprint,
    )


@router.get("/images/{image_id}/labels", responses=problem_responses(404, 422, 503))
@needs("reader")
def get_image_labels(
    gallery: GalleryService, label_sets: LabelSetService, image_id: ImageId
) -> ImageLabels:
    """The labels of a picture by the label sets of its collection."""
    gallery.get(image_id)
    found = label_sets.of_image(image_id)
    shown = [
        ImageLabel(set=one.set_name, label=one.label, probability=one.probability) for one in found
    ]
    return ImageLabels(labels=shown)


@router.get(SETS, responses=problem_responses(404, 422, 503))
@needs("reader")
def list_label_sets(found: Found, label_sets: LabelSetService) -> LabelSetList:
    """The label sets of a collection, with the number of pictures labelled by each."""
    return LabelSetList(data=[LabelSetDetails.of(one) for one in label_sets.listed(found)])


@router.put(
    f"{SETS}/{{set}}",
    status_code=200,
    responses={
        201: {"model": LabelSetDetails, "description": "It is new", "headers": LOCATION},
        **problem_responses(400, 404, 413, 422, 503),
    },
)
@needs("admin")
def put_label_set(
    found: Found,
    label_sets: LabelSetService,
    addresses: ServiceAddresses,
    response: Response,
    name: LabelSetName,
    body: LabelSetPut,
) -> LabelSetDetails:
    """Add or replace a label set; a job labels all pictures by it, from their stored vectors."""
    put, is_new = label_sets.put(found, body.to_domain(name))
    if is_new:
        response.status_code = 201
        here = found.collection
        response.headers["Location"] = addresses.label_set(here.namespace, here.name, name)
    return LabelSetDetails.of(put)


@router.get(f"{SETS}/{{set}}", responses=problem_responses(404, 422, 503))
@needs("reader")
def get_label_set(found: Found, label_sets: LabelSetService, name: LabelSetName) -> LabelSetDetails:
    """A label set, with the number of pictures labelled by it."""
    return LabelSetDetails.of(label_sets.get(found, name))


@router.post(
    f"{SETS}/{{set}}/flag",
    summary="Flag what is there already",
    responses=problem_responses(404, 422, 503),
)
@needs("admin")
def flag_labelled(
    found: Found,
    label_sets: LabelSetService,
    name: LabelSetName,
    dry_run: Annotated[bool, Query(description="count them, and hold none")] = False,
) -> FlaggedImages:
    """Hold for review what the set's gate would have stopped, up to 10,000 pictures at once.

    It goes by the labels that pictures have; those that somebody has approved stay as they are.
    """
    flagged, has_more = label_sets.flag(found, name, dry_run=dry_run)
    return FlaggedImages(flagged=len(flagged), ids=flagged, has_more=has_more)


@router.delete(f"{SETS}/{{set}}", status_code=204, responses=problem_responses(404, 422, 503))
@needs("admin")
def delete_label_set(found: Found, label_sets: LabelSetService, name: LabelSetName) -> None:
    """Delete a label set with all labels by it."""
    label_sets.delete(found, name)
