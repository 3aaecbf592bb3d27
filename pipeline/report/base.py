"""What all models of a report share: how strict they are, and the document shown to a person."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]

STRICT = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")
"""Nothing unknown, nothing changed later; infinities and NaN survive the way through JSON."""


class Example(BaseModel):
    """A document shown to a person: `value` is what the rule measured, `text` an excerpt or a traceback."""

    model_config = STRICT

    id: str
    url: str | None = None
    title: str | None = None
    source: str | None = None
    value: bool | int | float | str | None = None
    text: str = ""
