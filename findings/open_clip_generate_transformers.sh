#!/bin/sh
# open_clip_torch 3.3.0 with transformers 5: CoCa's `generate` says "Please install transformers", whatever is installed.
#
# Guessed before looking: with the newest transformers, `generate` writes a caption by any of its three ways. Seen:
# open_clip imports ten names of transformers in one `try`, and takes transformers for absent if one is missing.
# BeamSearchScorer is gone since 5, so the greedy and the top-p way are refused too, which do not need it.
# Here: captions are written by our own loop (app/encoders/torch_models/captioning.py), which
# tests/full_size_models/compare_captions.py compares with `generate`, the name put back for that.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q open_clip_torch==3.3.0 transformers==5.24.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import open_clip
import torch
import transformers
from open_clip.coca_model import CoCa

made = CoCa(
    embed_dim=32,
    multimodal_cfg={"context_length": 8, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1},
    text_cfg={"context_length": 8, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1,
              "embed_cls": True, "output_tokens": True},
    vision_cfg={"image_size": 32, "patch_size": 16, "layers": 1, "width": 64,
                "attentional_pool": True, "attn_pooler_heads": 1, "output_tokens": True},
)
said = ""
try:
    made.generate(torch.zeros(1, 3, 32, 32), generation_type="top_k", seq_len=8, min_seq_len=1)
except AssertionError as error:
    said = str(error)
gone = not hasattr(transformers, "BeamSearchScorer")
print(f"transformers {transformers.__version__}, BeamSearchScorer gone: {gone}, generate: {said}")
sys.exit(not (gone and "Please install transformers" in said))
PYTHON
