"""What is read in a picture: lines of text, each with its place."""

from dataclasses import dataclass

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, as fractions of the picture's width and height."""


@dataclass(frozen=True)
class TextLine:
    """A line of text, where it is, and how sure its reader is, 0 to 1."""

    text: str
    box: Box
    confidence: float
