"""Download the models that the settings name, ahead of the first start: `make pull-model`."""

from app.encoders.model_pool import ModelName
from app.runtime.models import default_model, hand_over_hub_settings, model_name
from app.settings import Settings
from scripts.command_line import run_command, sentences


def main() -> None:
    """Fetch the model, showing the hub's progress bars, and print where its weights are.

    The captioner is fetched too if IMAGE_SEARCH_CAPTION_MODEL is set, and so are all of
    IMAGE_SEARCH_SENTENCE_MODELS.
    """
    with sentences("Not downloaded"):
        settings = Settings.load()
        hand_over_hub_settings(settings)
        from app.encoders.torch_models import ways_out
        from app.encoders.torch_models.sentence_files import find_sentence_files

        name = default_model(settings.model_copy(update={"testing": False}))
        with ways_out.offered(ways_out.OF_SEARCHES):
            _pull(name)
        if "caption_model" in settings.model_fields_set and settings.caption_url is None:
            with ways_out.of_captions(settings.caption_model):
                _pull(model_name(settings.caption_model))
        for named in settings.sentence_models:
            with ways_out.of_sentences(named):
                print(f"Ready to load: {find_sentence_files(named).folder}")


def _pull(name: ModelName) -> None:
    from app.encoders.torch_models.checkpoints import find_checkpoint

    checkpoint = find_checkpoint(name.model, name.pretrained)
    print(f"Ready to load: {checkpoint.weights or checkpoint.model_name}")


if __name__ == "__main__":
    run_command(main)
