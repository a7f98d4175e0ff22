"""Tiles of another server below the page's map, where a setting names one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MapTiles:
    """Where the tiles are, with {z}, {x} and {y} in Web Mercator, and whose they are."""

    address: str
    attribution: str

    @property
    def origin(self) -> str:
        """Scheme, host and port of their server."""
        return "/".join(self.address.split("/")[:3])
