"""Download the configured model ahead of the first start: `make pull-model`."""

import sys

from app.errors import StartError
from app.runtime.models import default_model, hand_over_hub_settings
from app.settings import Settings


def main() -> None:
    """Fetch the model, showing the hub's progress bars, and print where its weights are."""
    try:
        settings = Settings.load()
        hand_over_hub_settings(settings)
        from app.encoders.torch_models.checkpoints import find_checkpoint

        name = default_model(settings.model_copy(update={"testing": False}))
        checkpoint = find_checkpoint(name.model, name.pretrained)
    except StartError as error:
        sys.exit(str(error))
    print(f"Ready to load: {checkpoint.weights or checkpoint.model_name}")


if __name__ == "__main__":
    main()
