"""The task that trains a tokenizer on counted words. It needs no Beam, and so do the workers that run it."""

from __future__ import annotations

import hashlib

from pydantic import BaseModel

from pipeline import progress, storage
from pipeline.errors import UserError
from pipeline.word_counts import Chosen, CountedPartition, chosen_words
from tokenizer import proto
from tokenizer.errors import TokenizerError
from tokenizer.settings import TokenizerSettings
from tokenizer.training import train


class TrainItem(BaseModel, frozen=True):
    """The words to train on, where they lie, and where the model goes."""

    key: str
    partitions: tuple[CountedPartition, ...]
    least: int
    at_least: int
    words: int
    count: int
    lost_words: int
    lost_count: int
    path: str

    @property
    def chosen(self) -> Chosen:
        """Which of the words are kept."""
        return Chosen(self.least, self.at_least, self.words, self.count, self.lost_words, self.lost_count)


class TrainSettings(BaseModel, frozen=True):
    """What the vocabulary is like."""

    settings: TokenizerSettings


class TrainedModel(BaseModel):
    """Receipt of `train_model`."""

    path: str
    sha256: str
    pieces: int


def train_model(item: TrainItem, shared: TrainSettings) -> TrainedModel:
    """Task: train the model on the chosen words.

    Raises:
        UserError: when they cannot give it.
    """
    try:
        model = train(chosen_words(item.partitions, item.chosen), shared.settings)
    except TokenizerError as error:
        raise UserError(str(error)) from error
    storage.write_bytes(item.path, model)
    progress.add(tasks=1)
    return TrainedModel(
        path=item.path, sha256=hashlib.sha256(model).hexdigest(), pieces=len(proto.read(model).pieces)
    )
