"""The models one may choose: `picture-search models list`."""

import typer

from app.encoders.model_pool import ModelName
from app.encoders.presets import PRESETS
from app.runtime.models import default_model, further_models
from app.settings import Settings
from scripts.command_line import sentences

commands = typer.Typer(help="The models: which there are, downloading and comparing them.")


@commands.command("list")
def listed() -> None:
    """Print the presets, and which models the settings name; no model is loaded."""
    with sentences("Not listed"):
        settings = Settings.load()
        chosen, further = default_model(settings), further_models(settings)
    for name, preset in PRESETS.items():
        needs = ", needs the extra multilingual" if preset.needs_transformers else ""
        print(f"{name:13} {_shown(preset.model)}  ({preset.licence}{needs})")
    print(f"The settings name {_shown(chosen)}.")
    if further:
        print(f"Collections may also use {', '.join(map(_shown, further))}.")


def _shown(name: ModelName) -> str:
    return "@".join(filter(None, (name.model, name.pretrained)))
