"""Train a quality classifier: fastText on word bigrams, calibrated, judged on documents it has not seen.

The way of DCLM (Li et al. 2024, section 4.4: fastText, bigrams, good texts against random pages) and of Kong et
al. 2024 (labels of a chat model distilled). Documents are split by a hash of their text: train, calibration and
test share no text, and the split is the same whatever the order of the files.

fastText is deterministic with one thread and a fixed seed in the distribution `fasttext-community`; others leave memory
uninitialised (research/engines.md), so the same data gives the same bytes only there.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

import fasttext
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, Field

from filters.classifier import LABEL_PREFIX, MODEL_JSON, Calibration, Classifier, Form, QualityModel, prepare
from filters.language import beginnings
from pipeline import storage
from pipeline.errors import UserError
from pipeline.quality.card import model_card
from pipeline.quality.corpus import unit_hashes
from pipeline.quality.judging import calibration_error, fit_isotonic, fit_platt, judge

GOOD, BAD = f"{LABEL_PREFIX}good", f"{LABEL_PREFIX}bad"
MODEL_FILE = "model.ftz"
FULL_MODEL_FILE = "model.bin"
CARD = "README.md"

Bools = npt.NDArray[np.bool_]


class TrainingSettings(BaseModel, frozen=True, extra="forbid"):
    """How a classifier is trained. Bigrams are DCLM's; the other values did best of those tried on recipe b of
    research/models.md, where trigrams and longer training gained nothing.
    """

    word_ngrams: int = Field(default=2, ge=1, le=5)
    dimensions: int = Field(default=48, ge=1)
    epochs: int = Field(default=5, ge=1)
    learning_rate: float = Field(default=0.5, gt=0)
    min_count: int = Field(default=2, ge=1)
    """Words seen less often are left out."""
    buckets: int = Field(default=1 << 18, ge=1)
    """Hash buckets of the bigrams."""
    form: Form = "tokens"
    characters: int = Field(default=100_000, ge=1)
    """The length of the beginning of a document that is read, in training and in scoring."""
    calibration: Literal["platt", "isotonic"] = "platt"
    quantize: bool = True
    """Compress the model (product quantisation): a hundredth of the size, and about a point of AUC."""
    cutoff: int = Field(default=50_000, ge=0)
    """Words and buckets that a compressed model keeps; 0 keeps all."""
    calibration_share: float = Field(default=0.1, gt=0, lt=0.5)
    test_share: float = Field(default=0.2, gt=0, lt=0.5)
    seed: int = 1


class Labelled(BaseModel, frozen=True, arbitrary_types_allowed=True):
    """Documents with their truth: a table with the columns `text`, `good` (bool) and `source` (string)."""

    table: pa.Table

    @property
    def good(self) -> Bools:
        """The truth."""
        return np.asarray(self.table["good"].to_numpy(zero_copy_only=False), bool)


def together(good: Sequence[tuple[str, pa.Table]], bad: Sequence[tuple[str, pa.Table]]) -> Labelled:
    """Named groups of good and of bad documents (tables with a column `text`) as one set; a group is a source of the card."""
    tables = []
    for label, groups in ((True, good), (False, bad)):
        for name, table in groups:
            rows = table.num_rows
            tables.append(
                pa.table(
                    {
                        "text": table["text"].cast(pa.large_string()),
                        "good": pa.repeat(label, rows),
                        "source": pa.repeat(name, rows),
                    }
                )
            )
    return Labelled(table=pa.concat_tables(tables))


def train(labelled: Labelled, output: str, settings: TrainingSettings, notes: str = "") -> dict[str, Any]:
    """Train, calibrate, judge, and write the model's folder: model, `model.json`, card.

    Args:
        labelled: the documents; exact copies are used once, and one that is labelled both ways not at all.
        output: the folder.
        settings: how.
        notes: Markdown for the card: what the data are, what the model is for.

    Returns:
        The facts of `model.json`: settings, counts, figures on the test part.

    Raises:
        UserError: when a part of the split lacks good or bad documents.
    """
    texts, good, sources, dropped = _distinct(labelled, settings)
    part = unit_hashes(texts, "quality split")
    test = part < settings.test_share
    calibrating = ~test & (part < settings.test_share + settings.calibration_share)
    training = ~test & ~calibrating
    for name, rows in (("training", training), ("calibration", calibrating), ("test", test)):
        if not good[rows].any() or good[rows].all():
            raise UserError(
                f"the {name} part of the split has {int(good[rows].sum()):,} good and {int((~good[rows]).sum()):,} bad "
                "documents, and needs some of both: give more documents."
            )
    model, content = _fit([texts[i] for i in np.flatnonzero(training)], good[training], settings)
    about = QualityModel(
        file=MODEL_FILE if settings.quantize else FULL_MODEL_FILE,
        sha256=_sha256(content),
        label=GOOD,
        form=settings.form,
        characters=settings.characters,
    )
    raw = Classifier(model, about).log_odds(texts)
    fit = fit_platt if settings.calibration == "platt" else fit_isotonic
    about = about.model_copy(update={"calibration": fit(raw[calibrating], good[calibrating])})
    facts = {
        "settings": settings.model_dump(),
        "documents": {
            "training": int(training.sum()),
            "calibration": int(calibrating.sum()),
            "test": int(test.sum()),
        },
        "not_used": dropped,
        **_figures(about.calibration, raw[test], good[test], sources[test]),
    }
    about = about.model_copy(update={"facts": facts})
    _write(output, about, content, model_card(about, notes))
    return facts


def _distinct(labelled: Labelled, settings: TrainingSettings) -> tuple[list[str], Bools, Any, dict[str, int]]:
    """The texts that are used, cut to their beginnings, with truth and source; and how many were left out, and why."""
    texts = beginnings(labelled.table["text"].combine_chunks(), settings.characters)
    good, sources = labelled.good, np.array(labelled.table["source"].to_pylist(), object)
    kept: dict[str, int] = {}
    both: set[str] = set()
    dropped = {"blank": 0, "copies": 0, "labelled_both_ways": 0}
    for row, text in enumerate(texts):
        if not prepare(text, settings.form):
            dropped["blank"] += 1
        elif text in both:
            dropped["labelled_both_ways"] += 1
        elif text not in kept:
            kept[text] = row
        elif good[kept[text]] == good[row]:
            dropped["copies"] += 1
        else:
            dropped["labelled_both_ways"] += 2
            both.add(text)
            del kept[text]
    # In the order of the texts: the order of the files must not change the model.
    rows = [kept[text] for text in sorted(kept)]
    return [texts[row] for row in rows], good[rows], sources[rows], dropped


def _fit(texts: Sequence[str], good: Bools, settings: TrainingSettings) -> tuple[Any, bytes]:
    """The trained model, and the bytes of its file."""
    order = np.argsort(unit_hashes(texts, f"quality order {settings.seed}"), kind="stable")
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "train.txt")
        with open(source, "w", encoding="utf-8", newline="\n") as file:
            for row in order:
                file.write(f"{GOOD if good[row] else BAD} {prepare(texts[row], settings.form)}\n")
        model = fasttext.train_supervised(
            source,
            dim=settings.dimensions,
            wordNgrams=settings.word_ngrams,
            epoch=settings.epochs,
            lr=settings.learning_rate,
            minCount=settings.min_count,
            bucket=settings.buckets,
            seed=settings.seed,
            thread=1,
            verbose=0,
        )
        if settings.quantize:
            # Retraining after the cut would need the settings again, and gained nothing here.
            model.quantize(
                source, cutoff=settings.cutoff, retrain=settings.cutoff > 0, thread=1, qnorm=True, verbose=0
            )
        path = os.path.join(folder, "model")
        model.save_model(path)
        with open(path, "rb") as stored:
            return fasttext.load_model(path), stored.read()


def _figures(calibration: Calibration, raw: Any, good: Bools, sources: Any) -> dict[str, Any]:
    scores = calibration.apply(raw)
    by_source = {}
    for name in sorted(set(sources)):
        # A source of one kind is judged against all documents of the other kind.
        own = sources == name
        rows = own if not (good[own].all() or not good[own].any()) else own | (good != good[own][0])
        called = float(np.mean(scores[own] >= 0.5))
        by_source[name] = {
            "documents": int(own.sum()),
            "good": float(np.mean(good[own])),
            "called_good": called,
            "auc": _or_none(judge(scores[rows], good[rows]).auc),
        }
    test = asdict(judge(scores, good)) | {"calibration_error": calibration_error(scores, good)}
    return {"test": {name: _or_none(value) for name, value in test.items()}, "by_source": by_source}


def _or_none(value: float) -> float | None:
    """JSON knows no NaN."""
    return None if math.isnan(value) else value


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(output: str, about: QualityModel, content: bytes, card: str) -> None:
    """The folder; model.json comes last, so that a folder that has it is whole."""
    storage.make_folder(output)
    storage.write_bytes(storage.join(output, about.file), content)
    storage.write_bytes(storage.join(output, CARD), card.encode())
    described = json.dumps(about.model_dump(), indent=1, sort_keys=True, ensure_ascii=False)
    storage.write_bytes(storage.join(output, MODEL_JSON), described.encode() + b"\n")
