"""The header that names the model which answered."""

from urllib.parse import quote

from fastapi import Depends, Response

from app.runtime.open_collection import OpenCollection
from app.web.callers import FlatCollection

MODEL_HEADER = "X-Model"


def model_header(opened: OpenCollection) -> str:
    """The model's name for a header: so clients can tell the demo model from a real one."""
    return quote(opened.index.space.name, safe=" /:-")


async def add_model_header(opened: FlatCollection, response: Response) -> None:
    """Name the model in a header."""
    response.headers[MODEL_HEADER] = model_header(opened)


ModelHeader = Depends(add_model_header)
