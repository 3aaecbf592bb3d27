"""How good a document is by a fastText classifier: one number between 0 and 1.

Columns (one value per document):
    quality.score   probability of the class of good documents; null for a blank document

Any fastText classifier serves: a folder that `corpusmill quality train` has made (the model, and `model.json`
with what it needs to be read: `QualityModel`), or a bare `.bin` or `.ftz` file such as DCLM's with the name of
its good label. The default is the model in data/, described in docs/models.md.

A folder's score is calibrated: among documents of score .8 about 80 % were good in the data that it was
calibrated on. That is no promise for other data, so rules that keep a share (pipeline.quality.selection) travel
better than fixed bounds. Calibration by a sigmoid never changes the order of two documents.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, Field, ValidationError, model_validator

from filters._models import ModelError, check_digest, load_fasttext, local_copy, one_line
from filters.language import beginnings
from filters.measures import Column, Columns, Measure, measure

if TYPE_CHECKING:
    from filters.words import WordIndex

DEFAULT_MODEL = "quality_v1"
"""The folder of the packaged model below filters/data."""

MODEL_JSON = "model.json"

LABEL_PREFIX = "__label__"
"""What fastText begins every label with; a word of a text that begins so would be taken for a label."""

Floats = npt.NDArray[np.float64]
Form = Literal["plain", "tokens"]

_MARKS = '.,;:!?()[]{}"“”…'
_FLOOR = 1e-5
"""fastText adds this to every probability before it takes the logarithm, so it tells nothing below."""


class Calibration(BaseModel, frozen=True, extra="forbid"):
    """From the model's own log-odds to a probability, as plain numbers.

    `platt` is the sigmoid of `slope * log-odds + offset` (Platt 1999). `isotonic` joins the points
    (`points`, `values`) by lines and is level beyond them (Zadrozny and Elkan 2002); documents between two
    points of equal value then have equal scores.
    """

    kind: Literal["none", "platt", "isotonic"] = "none"
    slope: float = 1.0
    offset: float = 0.0
    points: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _is_a_function(self) -> Calibration:
        if self.kind == "platt" and not self.slope > 0:
            raise ValueError("slope must be above 0: a better document must not get a lower score")
        if self.kind == "isotonic":
            if not self.points or len(self.points) != len(self.values):
                raise ValueError("points and values must be there, as many of one as of the other")
            if np.any(np.diff(self.points) <= 0) or np.any(np.diff(self.values) < 0):
                raise ValueError("points must ascend, and values must not descend")
            if self.values[0] < 0 or self.values[-1] > 1:
                raise ValueError("values must lie between 0 and 1")
        return self

    def apply(self, log_odds: Floats) -> Floats:
        """Probabilities; the same length, NaN stays."""
        if self.kind == "isotonic":
            found: Floats = np.interp(log_odds, self.points, self.values)
            found[np.isnan(log_odds)] = np.nan
            return found
        line = self.slope * log_odds + self.offset if self.kind == "platt" else log_odds
        # Written by the hyperbolic tangent, which does not overflow.
        return 0.5 * (1.0 + np.tanh(0.5 * line))


class QualityModel(BaseModel, frozen=True, extra="forbid"):
    """What `model.json` says about the fastText file beside it."""

    format: Literal["corpusmill-quality-1"] = "corpusmill-quality-1"
    file: str
    """The fastText model's name in the folder."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    label: str
    """The label of good documents, with fastText's prefix."""
    form: Form = "tokens"
    """How a text was prepared for training: see `prepare`."""
    characters: int = Field(default=100_000, ge=1)
    """The length of the beginning that is read."""
    calibration: Calibration = Calibration()
    facts: dict[str, Any] = {}
    """How it was trained and how well it did; for people."""

    @model_validator(mode="after")
    def _names_a_file(self) -> QualityModel:
        if not self.file or self.file != posixpath.basename(self.file):
            raise ValueError("file must be the name of a file in the folder")
        return self


class ClassifierSettings(BaseModel, frozen=True, extra="forbid"):
    """Which classifier scores documents.

    `model` is the path or URL (anything fsspec opens) of a folder made by `quality train`, or of a bare fastText
    file, which needs `label`; None is the packaged model. `sha256` is the digest of a bare file, or of a
    folder's model.json, which holds that of the model. `label`, `form` and `characters` are read from a folder's
    model.json, and set here for a bare file only; DCLM's is `plain` with the label `__label__hq`.
    """

    model: str | None = None
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    label: str | None = None
    form: Form | None = None
    characters: int | None = Field(default=None, ge=1)

    @property
    def is_file(self) -> bool:
        """Whether the model is a bare fastText file."""
        return self.model is not None and self.model.endswith((".bin", ".ftz"))

    @model_validator(mode="after")
    def _fits_the_kind(self) -> ClassifierSettings:
        if self.is_file and self.label is None:
            raise ValueError(f"model {self.model} is a bare fastText file: `label` must name its good label")
        own = {"label": self.label, "form": self.form, "characters": self.characters}
        given = [name for name, value in own.items() if value is not None]
        if given and not self.is_file:
            raise ValueError(
                f"{', '.join(given)}: a model's folder says this itself; only .bin and .ftz files need it"
            )
        return self


def classifier(settings: ClassifierSettings | None = None) -> Measure:
    """Make the measure of `quality.score`.

    The model is loaded on first use, once per process, and is never pickled.

    Raises (when measuring):
        ModelError: the model cannot be read, is not the one its checksum promises, or has no such label.
    """
    chosen = settings or ClassifierSettings()

    @measure(
        Column("quality.score", pa.float32(), "probability of being a good document, by the quality model")
    )
    def quality_of(docs: pa.RecordBatch, _words: WordIndex) -> Columns:
        return {"quality.score": load_classifier(chosen).score(docs.column("text"))}

    return quality_of


@dataclass(frozen=True, eq=False)
class Classifier:
    """A loaded model."""

    fasttext: Any
    about: QualityModel

    def score(self, text: pa.Array) -> pa.Array:
        """The calibrated score (float32) of each document; null for a blank one."""
        log_odds = self.log_odds(beginnings(text, self.about.characters))
        scores = self.about.calibration.apply(log_odds)
        return pa.array(scores, pa.float32(), mask=np.isnan(log_odds))

    def log_odds(self, texts: Sequence[str]) -> Floats:
        """The model's own log-odds of the good label, not calibrated; NaN for a blank text.

        fastText's probabilities end at 1e-5, so log-odds lie within about 11.5 of 0.
        """
        lines = [prepare(text, self.about.form) for text in texts]
        asked = [position for position, line in enumerate(lines) if line]
        found = np.full(len(lines), np.nan)
        if asked:
            labels, probabilities = self.fasttext.predict([lines[position] for position in asked], k=-1)
            for position, names, values in zip(asked, labels, probabilities, strict=True):
                good = sum(
                    value for name, value in zip(names, values, strict=True) if name == self.about.label
                )
                rest = float(np.sum(values)) - good
                found[position] = np.log(max(good, _FLOOR)) - np.log(max(rest, _FLOOR))
        return found


def prepare(text: str, form: Form) -> str:
    """A text as the model reads it, on one line.

    `plain` keeps it as it is, but for newlines (DCLM). `tokens` makes it lower case and sets marks apart, so
    that "Word," and "word" are one.
    """
    line = one_line(text)
    if form == "tokens":
        line = line.lower()
        for mark in _MARKS:
            line = line.replace(mark, f" {mark} ")
    # Lower case first: "__LABEL__x" must not become a label either.
    return line.replace(LABEL_PREFIX, "__label ")


def load_classifier(settings: ClassifierSettings) -> Classifier:
    """The model of this process.

    Raises:
        ModelError: as `classifier`.
    """
    return _load(settings)


@functools.lru_cache(maxsize=4)
def _load(settings: ClassifierSettings) -> Classifier:
    if settings.model is None:
        with importlib.resources.as_file(
            importlib.resources.files("filters") / "data" / DEFAULT_MODEL
        ) as folder:
            return _load_folder(str(folder), settings.sha256)
    if not settings.is_file:
        return _load_folder(settings.model, settings.sha256)
    loaded = load_fasttext(settings.model, settings.sha256, "quality model")
    about = QualityModel(
        file=posixpath.basename(settings.model),
        sha256=settings.sha256 or "0" * 64,
        label=settings.label or "",
        form=settings.form or "plain",
        characters=settings.characters or 100_000,
    )
    return _checked(Classifier(loaded, about), settings.model)


def _load_folder(folder: str, sha256: str | None) -> Classifier:
    about = read_about(folder, sha256)
    loaded = load_fasttext(posixpath.join(folder, about.file), about.sha256, "quality model")
    return _checked(Classifier(loaded, about), folder)


def read_about(folder: str, sha256: str | None = None) -> QualityModel:
    """What a model's folder says about it.

    Raises:
        ModelError: there is no model.json, it is another file than `sha256` promises, or is not of this form.
    """
    path = posixpath.join(folder, MODEL_JSON)
    with local_copy(path, "quality model") as file:
        check_digest(file, sha256, f"quality model {path}")
        with open(file, "rb") as content:
            raw = content.read()
    try:
        return QualityModel.model_validate(json.loads(raw))
    except (ValidationError, ValueError) as error:
        raise ModelError(f"quality model {path}: not written by `quality train` ({error})") from error


def _checked(model: Classifier, name: str) -> Classifier:
    labels = model.fasttext.get_labels()
    if model.about.label not in labels:
        raise ModelError(
            f"quality model {name}: it has no label {model.about.label!r}; its labels are {', '.join(labels[:10])}"
        )
    if len(labels) < 2:
        raise ModelError(f"quality model {name}: it has one label only, so it tells nothing apart")
    return model
