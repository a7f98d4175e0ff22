"""Print the OpenAPI document: `picture-search openapi`."""

import json

from app.runtime.models import default_model
from app.settings import Settings
from app.web.application import openapi
from scripts.command_line import sentences


def main() -> None:
    """Print the API's description as JSON, as a server has it at /openapi.json."""
    with sentences("Not printed"):
        settings = Settings.load()
        name = default_model(settings)
    model = " ".join(filter(None, (name.model, name.pretrained)))
    print(json.dumps(openapi(model, settings.root_path), indent=2, ensure_ascii=False))
