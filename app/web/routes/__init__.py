"""One router for each subject; `flat.py` and `legacy.py` keep the shapes of earlier clients."""
