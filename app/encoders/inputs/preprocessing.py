"""Resizes and crops pictures as open_clip does, using only Pillow; does not need torch.

torchvision calls the same Pillow operations, so every pixel is equal. The tests check this, and
so does `fast_start` before relying on it.
"""

from dataclasses import dataclass

from PIL import Image

MODES = ("shortest", "longest", "squash")
FILTERS = {"bilinear": Image.Resampling.BILINEAR}  # any other name means bicubic, as in open_clip


@dataclass(frozen=True)
class Preprocessing:
    """Brings RGB pictures to a model's input size. Raises ValueError for a mode not in MODES.

    `shortest` and `longest` keep the aspect ratio and make that side fit; `squash` makes both fit.
    Any excess is cropped, and `longest` pads with the grey level `fill`.
    """

    height: int
    width: int
    mode: str
    interpolation: str
    fill: int = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"pictures cannot be resized by {self.mode}")

    def __call__(self, image: Image.Image) -> Image.Image:
        """The picture at the model's size. Raises ValueError if a side would have no pixels."""
        resized = image.resize(self._size(*image.size), self._filter())
        return resized if self.mode == "squash" else self._centred(resized)

    def _filter(self) -> Image.Resampling:
        if self.mode == "shortest" and self.width != self.height:
            return Image.Resampling.BICUBIC  # open_clip does not pass on any other filter here
        return FILTERS.get(self.interpolation, Image.Resampling.BICUBIC)

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after resizing, rounded the way torchvision and open_clip do."""
        if self.mode == "squash":
            return self.width, self.height
        if self.mode == "shortest" and self.width == self.height:
            side = self.width
            longer = int(side * max(width, height) / min(width, height))
            return (side, longer) if width <= height else (longer, side)
        ratios = height / self.height, width / self.width
        ratio = max(ratios) if self.mode == "longest" else min(ratios)
        return round(width / ratio), round(height / ratio)

    def _centred(self, image: Image.Image) -> Image.Image:
        """The centre crop of the picture, padded with grey if it is too small."""
        left, top = _offset(image.width, self.width), _offset(image.height, self.height)
        if left >= 0 and top >= 0:
            return image.crop((left, top, left + self.width, top + self.height))
        grey = self.fill if self.mode == "longest" else 0
        ground = Image.new("RGB", (self.width, self.height), (grey, grey, grey))
        ground.paste(image, (-left, -top))
        return ground


def _offset(side: int, target: int) -> int:
    """Where the middle `target` pixels of a side begin; negative if the side is shorter."""
    return round((side - target) / 2) if side >= target else -((target - side) // 2)
