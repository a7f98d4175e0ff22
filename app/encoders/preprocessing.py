"""Pictures resized and cropped as open_clip does it, by Pillow alone; without torch.

torchvision has Pillow do the same, so that every pixel is equal: tests compare them, and so does
`fast_start` before it relies on it.
"""

from dataclasses import dataclass

from PIL import Image

MODES = ("shortest", "longest", "squash")
FILTERS = {"bilinear": Image.Resampling.BILINEAR}  # of any other name bicubic, as open_clip has it


@dataclass(frozen=True)
class Preprocessing:
    """RGB pictures to the size that a model takes. Raises ValueError for a mode not in MODES.

    `shortest` and `longest` keep the proportions and make that side fit, `squash` makes both fit;
    what is too much is cropped, and `longest` fills what is missing with the grey `fill`.
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
        """The picture in the model's size. Raises ValueError where a side would have no pixels."""
        resized = image.resize(self._size(*image.size), self._filter())
        return resized if self.mode == "squash" else self._centred(resized)

    def _filter(self) -> Image.Resampling:
        if self.mode == "shortest" and self.width != self.height:
            return Image.Resampling.BICUBIC  # open_clip does not hand on another one here
        return FILTERS.get(self.interpolation, Image.Resampling.BICUBIC)

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after resizing; the roundings are those of torchvision and open_clip."""
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
        """The middle of the picture, on a grey ground where it does not reach."""
        left, top = _offset(image.width, self.width), _offset(image.height, self.height)
        if left >= 0 and top >= 0:
            return image.crop((left, top, left + self.width, top + self.height))
        grey = self.fill if self.mode == "longest" else 0
        ground = Image.new("RGB", (self.width, self.height), (grey, grey, grey))
        ground.paste(image, (-left, -top))
        return ground


def _offset(there: int, wanted: int) -> int:
    """Where the middle `wanted` pixels of a side begin; negative where it is shorter."""
    return round((there - wanted) / 2) if there >= wanted else -((wanted - there) // 2)
