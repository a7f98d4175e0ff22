#!/bin/sh
# open_clip-torch 3.3.0: weights given as a file get OpenAI's preprocessing, whatever the architecture.
#
# Guessed before looking: where all pretrained tags of an architecture share mean, std, interpolation
# and resize mode, a file for that architecture gets them too, or there is a warning.
# Seen: neither. PE-Core-T-16-384 was trained with 0.5/0.5, bilinear, squash, and its only tag says
# so; the same weights from a file are given OpenAI's mean and std, bicubic and a centre crop. For 54
# of 115 architectures with tags at least one tag, for 51 each tag, says something else.
# Here: vectors are worse and nothing tells; app/encoders/torch_models/file_preprocessing.py asks the tags.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q open-clip-torch==3.3.0
cat >"$folder/look.py" <<'PYTHON'
import sys

import open_clip
import torch
from open_clip.pretrained import get_pretrained_cfg
from open_clip.transform import PreprocessCfg

MODEL, KEYS = "PE-Core-T-16-384", ("mean", "std", "interpolation", "resize_mode")
torch.save(open_clip.create_model(MODEL).state_dict(), sys.argv[1])
given = open_clip.create_model(MODEL, pretrained=sys.argv[1]).visual.preprocess_cfg
default = vars(PreprocessCfg())
(tag,) = open_clip.list_pretrained_tags_by_model(MODEL)
told = get_pretrained_cfg(MODEL, tag)
for key in KEYS:
    print(f"{key}: the tag {tag} says {told[key]}, the file gets {given[key]}")
models = {model for model, _ in open_clip.list_pretrained()}
differ = {
    model
    for model, tag in open_clip.list_pretrained()
    if any(get_pretrained_cfg(model, tag)[key] != default[key] for key in KEYS)
}
print(f"{len(differ)} of {len(models)} architectures have a tag that differs from what a file gets")
sys.exit(any(given[key] != default[key] or given[key] == told[key] for key in KEYS))
PYTHON
"$folder/venv/bin/python" "$folder/look.py" "$folder/weights.pt"
