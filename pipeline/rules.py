"""Rules: one line of YAML that bounds one measured column (DESIGN, idea 3).

    language_score:     {min: 0.65}
    gopher.word_count:  {min: 50, max: 100000}
    language:           {in: [en]}

Rules are checked against the columns that the job measures before anything runs, and applied in the order of the stages
and, within a stage, of the file. The first rule that a document fails is the one that it is counted under.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field, model_validator

from filters.measures import Column
from pipeline.errors import UserError, did_you_mean


class Bound(BaseModel, frozen=True, extra="forbid", populate_by_name=True):
    """What a column's value must satisfy: `min` and `max` are inclusive; `in` and `not_in` list values.

    A missing value (null, NaN) fails the rule, because nothing was shown; `missing: keep` lets it pass.
    """

    min: float | None = None
    max: float | None = None
    in_: tuple[str | int, ...] | None = Field(default=None, alias="in")
    not_in: tuple[str | int, ...] | None = None
    missing: Literal["reject", "keep"] = "reject"

    @model_validator(mode="after")
    def _bounds_something(self) -> Bound:
        if self.min is None and self.max is None and self.in_ is None and self.not_in is None:
            raise ValueError("a rule needs min, max, in or not_in")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: no document could pass")
        return self

    def text(self) -> str:
        """The bound as a person reads it, e.g. `min 50, max 100000`."""
        parts = [f"min {self.min:.12g}" if self.min is not None else ""]
        parts.append(f"max {self.max:.12g}" if self.max is not None else "")
        parts.append(f"in {_listed(self.in_)}" if self.in_ is not None else "")
        parts.append(f"not in {_listed(self.not_in)}" if self.not_in is not None else "")
        return ", ".join(part for part in parts if part)


def _listed(values: Sequence[str | int]) -> str:
    return "[" + ", ".join(str(value) if value != "" else '""' for value in values) + "]"


@dataclass(frozen=True)
class Rule:
    """A checked rule: the column, its stage, and its bound."""

    column: Column
    stage: str
    bound: Bound

    @property
    def name(self) -> str:
        """The column's name is the rule's name."""
        return self.column.name

    def fails(self, values: pa.Array) -> np.ndarray:
        """Which documents fail, as a boolean array.

        Bounds are compared in the column's own type, so that a stored float32 0.65 is not below a bound of 0.65.
        """
        bad = pa.array(np.zeros(len(values), bool))
        missing = pc.is_null(values, nan_is_null=True)
        for limit, compare in ((self.bound.min, pc.less), (self.bound.max, pc.greater)):
            if limit is not None:
                bad = pc.or_(bad, pc.fill_null(compare(values, _limit(limit, values.type)), False))
        if self.bound.in_ is not None:
            bad = pc.or_(bad, pc.invert(pc.is_in(values, _values(self.bound.in_, values.type))))
        if self.bound.not_in is not None:
            bad = pc.or_(bad, pc.is_in(values, _values(self.bound.not_in, values.type)))
        reject_missing = self.bound.missing == "reject"
        bad = pc.if_else(missing, pa.scalar(reject_missing), bad)
        return np.asarray(bad.to_numpy(zero_copy_only=False), dtype=bool)


def _limit(limit: float, kind: pa.DataType) -> pa.Scalar:
    if pa.types.is_integer(kind):
        return pa.scalar(limit, pa.float64())
    return pa.scalar(np.float32(limit) if kind == pa.float32() else limit, kind)


def _values(values: Sequence[str | int], kind: pa.DataType) -> pa.Array:
    return pa.array(list(values), kind)


def check_rules(
    bounds: Mapping[str, Bound], stages: Mapping[str, Sequence[Column]], other: Iterable[str] = ()
) -> list[Rule]:
    """The rules in the order in which they apply: by stage, then as written.

    Args:
        bounds: column name -> bound, as in the YAML.
        stages: stage name -> columns that it makes, in the order in which the stages run.
        other: names to suggest in messages although no rule may use them.

    Raises:
        UserError: for an unknown column (with the nearest known name), or a bound that the column's type cannot have.
    """
    where = {column.name: (stage, column) for stage, columns in stages.items() for column in columns}
    order = list(stages)
    rules = []
    for name, bound in bounds.items():
        if name not in where:
            raise UserError(
                f"rules: there is no column {name!r}.{did_you_mean(name, [*where, *other])} "
                f"`--explain` lists the columns that this job measures."
            )
        stage, column = where[name]
        _check_type(column, bound)
        rules.append(Rule(column, stage, bound))
    return sorted(rules, key=lambda rule: order.index(rule.stage))


def _check_type(column: Column, bound: Bound) -> None:
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if is_text and (bound.min is not None or bound.max is not None):
        raise UserError(f"rules: {column.name} is text; it takes `in` or `not_in`, not `min` or `max`.")
    if pa.types.is_floating(column.type) and (bound.in_ is not None or bound.not_in is not None):
        raise UserError(f"rules: {column.name} is a number; it takes `min` and `max`, not a list of values.")
    for values in (bound.in_, bound.not_in):
        try:
            _values(values or (), column.type)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise UserError(
                f"rules: {column.name} holds {column.type} values, and {_listed(values or ())} are not."
            ) from error


def first_failures(columns: Mapping[str, pa.Array], rules: Sequence[Rule], rows: int) -> np.ndarray:
    """Per document the position in `rules` of the first rule that it fails, or -1."""
    first = np.full(rows, -1, np.int32)
    for position, rule in enumerate(rules):
        failing = rule.fails(columns[rule.name]) & (first < 0)
        first[failing] = position
    return first


def value_text(value: Any) -> str:
    """A measured value as it stands in `rejected/` and the report."""
    if value is None:
        return "missing"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
