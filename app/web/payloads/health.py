"""Payloads of the health checks."""

from typing import Literal

from pydantic import BaseModel, Field

from app.web.payloads.examples import shown


class Liveness(BaseModel):
    """The process answers."""

    model_config = shown({"status": "alive"})

    status: Literal["alive"] = Field(description="always so: what is not alive does not answer")


class Readiness(BaseModel):
    """What is running."""

    model_config = shown(
        {
            "status": "ready",
            "model": "demo model",
            "device": "cpu",
            "precision": "fp32",
            "images": 295,
        }
    )

    status: Literal["ready"] = Field(description="always so: what is not ready answers 503")
    model: str = Field(description="`demo model` where the bundled one answers")
    device: str = Field(description="what the model runs on: cpu, cuda, …")
    precision: str = Field(description="of the model's numbers: fp32, bf16, …")
    images: int | None = Field(
        description="how many are in the default collection; null where a key is needed"
    )
