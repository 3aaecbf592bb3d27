"""What an entry of a benchmark registry may say (docs/benchmarks.md), and what a registry becomes when it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from decontam.settings import PARTS, Part

Fact = Literal["path", "split", "columns", "license"]
"""A statement about a benchmark that may be unsure: where it is, its splits, its columns, its licence."""


def _safe_name(name: str) -> str:
    # A name is a place below a folder, where `fetch` writes: it must not lead out of it.
    if any(step in ("", ".", "..") for step in name.split("/")) or "\\" in name:
        raise ValueError('names are steps divided by "/", none of them empty, "." or ".."')
    return name


# "exams/north macedonian" is a name too.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([^\x00-\x1f]*[^\x00-\x20])?$"), AfterValidator(_safe_name)]
Column = Annotated[str, Field(min_length=1)]
"""A column of a benchmark file, or a dotted path into a nested one (`answers.text`)."""


def flat(name: str) -> str:
    """A key or alias as the name of a file without folders: `mmlu/anatomy` is `mmlu__anatomy`."""
    return name.replace("/", "__")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HubSource(_Strict):
    """Where the benchmark lies on the Hugging Face hub: what `decontam fetch` downloads."""

    path: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")
    config: str | None = Field(default=None, pattern=r"^[^/]+$")
    split: str | tuple[str, ...] | None = None
    aliases: tuple[Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")], ...] = ()

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that make the benchmark; empty where the entry does not say."""
        if self.split is None:
            return ()
        return (self.split,) if isinstance(self.split, str) else self.split


class RowFilter(_Strict):
    """Which rows of a file belong to the benchmark: those whose column equals, or starts with, a text."""

    column: Column
    equals: str | None = None
    starts_with: str | None = None

    @model_validator(mode="after")
    def _one_test(self) -> RowFilter:
        if (self.equals is None) == (self.starts_with is None):
            raise ValueError("give one of equals and starts_with")
        return self

    def matches(self, value: Any) -> bool:
        """Whether a row with this value in the column belongs to the benchmark. Numbers compare as text."""
        if value is None:
            return False
        text = str(value)
        return text == self.equals if self.starts_with is None else text.startswith(self.starts_with)


class Benchmark(_Strict):
    """One entry of the registry. A column is a name in the file, or a dotted path (`fields.question`)."""

    key: Name
    family: str | None = None
    file: str | None = None
    url: str | None = None
    hf: HubSource | None = None
    row_filter: RowFilter | None = None
    prompt: tuple[Column, ...] = Field(min_length=1)
    choices: tuple[Column, ...] = ()
    answer: tuple[Column, ...] = ()
    passage: tuple[Column, ...] = ()
    joined: tuple[Column, ...] = ()
    """The columns whose list holds the tokens of one text; any other list is a list of texts."""
    license: str | None = None
    language: str | None = None
    aliases: tuple[Name, ...] = ()
    verified: bool = False
    unsure: tuple[Fact, ...] = ()
    note: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Benchmark:
        columns = [column for part in PARTS for column in self.columns(part)]
        for column in columns:
            if columns.count(column) > 1:
                raise ValueError(f'column "{column}" is named twice; it belongs to one part')
        for column in self.joined:
            if column not in columns:
                raise ValueError(f'joined names "{column}", which is a column of no part')
        if self.verified and set(self.unsure) - {"license"}:
            raise ValueError("an entry that is verified has no unsure path, split or columns")
        return self

    def columns(self, part: Part) -> tuple[str, ...]:
        """The columns of one part of an item."""
        columns: tuple[str, ...] = getattr(self, part)
        return columns

    @property
    def names(self) -> tuple[str, ...]:
        """The key and the aliases: what `skip` may name."""
        return (self.key, *self.aliases)


class RegistryFile(_Strict):
    """A YAML file: its entries, and the registries whose entries come before them."""

    benchmarks: tuple[Benchmark, ...] = ()
    include: str | tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A benchmark and the file that holds its items."""

    benchmark: Benchmark
    path: str


@dataclass(frozen=True)
class Registry:
    """The benchmarks that will be indexed, in the order of the YAML, and the keys of those that will not."""

    sources: tuple[Source, ...]
    skipped: tuple[str, ...]
    missing: tuple[str, ...]
