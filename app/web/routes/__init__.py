"""One router for each subject; `flat.py` and `legacy.py` keep shapes that programs rely on."""
