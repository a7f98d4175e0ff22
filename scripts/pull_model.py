"""Download the configured model ahead of the first start: `make pull-model`."""

import sys

from app.errors import StartError
from app.runtime.models import hand_over_hub_settings
from app.settings import Settings


def main() -> None:
    """Fetch the weights, showing the hub's progress bars, and print where they are."""
    try:
        settings = Settings.load()
        hand_over_hub_settings(settings)
        from app.encoders.torch_models.checkpoints import find_checkpoint

        checkpoint = find_checkpoint(settings.clip_model, settings.clip_pretrained)
    except StartError as error:
        sys.exit(str(error))
    print(f"Ready to load: {checkpoint.weights or checkpoint.model_name}")


if __name__ == "__main__":
    main()
