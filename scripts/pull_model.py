"""Download the configured model ahead of the first start: `make pull-model`."""

from app.runtime.models import default_model, hand_over_hub_settings
from app.settings import Settings
from scripts.command_line import run_command, sentences


def main() -> None:
    """Fetch the model, showing the hub's progress bars, and print where its weights are."""
    with sentences("Not downloaded"):
        settings = Settings.load()
        hand_over_hub_settings(settings)
        from app.encoders.torch_models.checkpoints import find_checkpoint

        name = default_model(settings.model_copy(update={"testing": False}))
        checkpoint = find_checkpoint(name.model, name.pretrained)
    print(f"Ready to load: {checkpoint.weights or checkpoint.model_name}")


if __name__ == "__main__":
    run_command(main)
