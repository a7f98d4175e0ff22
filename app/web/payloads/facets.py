"""Payloads about what a collection's pictures have in common: months, places, suggestions."""

from pydantic import BaseModel, Field

from app.web.payloads.examples import with_examples


class MonthCount(BaseModel):
    """A month, and how many pictures were taken in it."""

    month: str = Field(description="YYYY-MM, by the clock of the place")
    pictures: int = Field(description="number of pictures that pass the filter")


class MonthCounts(BaseModel):
    """The months in which pictures were taken."""

    model_config = with_examples({"months": [{"month": "2019-05", "pictures": 12}]})

    months: list[MonthCount] = Field(
        description="newest first; pictures without a date are in none"
    )


class PositionCluster(BaseModel):
    """Pictures that were taken near each other."""

    latitude: float = Field(description="of the center, in degrees")
    longitude: float = Field(description="of the center, in degrees")
    kilometers: float = Field(description="all of them lie within so many of the center")
    pictures: int = Field(description="number of pictures")
    image_id: int = Field(description="id of the one that was added last")
    city: str | None = Field(description="the most frequent place.city of them")


class MapTileServer(BaseModel):
    """Tiles of another server to draw below the map."""

    address: str = Field(description="with {z}, {x} and {y} in Web Mercator")
    attribution: str = Field(description="whose they are; to be shown")


class PositionClusters(BaseModel):
    """Where pictures were taken."""

    model_config = with_examples(
        {
            "clusters": [
                {
                    "latitude": 38.71,
                    "longitude": -9.14,
                    "kilometers": 2.5,
                    "pictures": 12,
                    "image_id": 112,
                    "city": "Lisbon",
                }
            ]
        }
    )

    clusters: list[PositionCluster] = Field(
        description="largest first, at most 144; empty where no positions are kept"
    )
    tiles: MapTileServer | None = Field(
        None, description="those of the setting IMAGE_SEARCH_MAP_TILES; null without it"
    )


class SuggestedText(BaseModel):
    """A value of a field."""

    text: str = Field(description="the value")
    field: str = Field(
        description="the field: tags, people, album, place.city or place.country if none was "
        "asked for; name: of files"
    )
    pictures: int = Field(description="number of pictures that have it; of files at most 500")


class SuggestedTexts(BaseModel):
    """What a person may mean who has typed the beginning of a word."""

    model_config = with_examples(
        {"suggestions": [{"text": "beach", "field": "tags", "pictures": 40}]}
    )

    suggestions: list[SuggestedText] = Field(
        description="the most frequent ones first, then names of files"
    )
