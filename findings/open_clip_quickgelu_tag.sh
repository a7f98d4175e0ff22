#!/bin/sh
# open_clip-torch 3.3.0: one tag contradicts the only architecture that it can be used with.
#
# Guessed before looking: where a tag's weights and an architecture differ in QuickGELU, there is
# another architecture with the same tag that fits, usually NAME-quickgelu.
# Seen: so for all but roberta-ViT-B-32 / laion2b_s12b_b32k. The architecture has QuickGELU, the tag
# does not mention it, and no other architecture has the tag: open_clip warns of a mismatch that the
# user cannot end.
# Here: a mismatch is refused, with the name of the architecture that fits; for this one it named
# itself. app/encoders/torch_models/architectures.py lets pass what has no alternative.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q open-clip-torch==3.3.0
cat >"$folder/look.py" <<'PYTHON'
import sys

import open_clip
from open_clip.pretrained import get_pretrained_cfg


def has_quick_gelu(model: str) -> bool:
    return bool(open_clip.get_model_config(model).get("quick_gelu", False))


def fits(model: str, tag: str) -> bool:
    found = get_pretrained_cfg(model, tag)
    return bool(found) and bool(found.get("quick_gelu", False)) == has_quick_gelu(model)


def other(model: str) -> str:
    plain = model.removesuffix("-quickgelu")
    return plain if plain != model else f"{model}-quickgelu"


pairs = [pair for pair in open_clip.list_pretrained() if not fits(*pair)]
alone = [(model, tag) for model, tag in pairs if not fits(other(model), tag)]
print(f"{len(pairs)} tags differ from their architecture; without one that fits: {alone}")
sys.exit(alone != [("roberta-ViT-B-32", "laion2b_s12b_b32k")])
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
