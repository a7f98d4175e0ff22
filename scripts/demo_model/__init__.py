"""Draws the bundled pictures, trains the demo model on such scenes, and measures it."""
