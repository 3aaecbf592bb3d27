"""Small tasks for the tests of the engine and the pool."""

from __future__ import annotations

import os
import signal

import numpy as np
from pydantic import BaseModel

from pipeline import storage, tasks
from pipeline.blocks import Block, Partition
from pipeline.errors import UserError


class Number(BaseModel, frozen=True):
    key: str
    value: int
    weight: int = 0


class Settings(BaseModel, frozen=True):
    work: str = ""
    partitions: int = 3


class Answer(BaseModel):
    value: int
    blocks: list[Block] = []


def square(item: Number, shared: Settings) -> Answer:
    return Answer(value=item.value**2)


def spread(item: Number, shared: Settings) -> Answer:
    """Writes the numbers 0..value-1, packed by remainder."""
    path = storage.join(shared.work, "blocks", f"{item.key}.bin")
    numbers = np.arange(item.value, dtype=np.int64)
    blocks, offset = [], 0
    with storage.write_atomically(path) as file:
        for index in range(shared.partitions):
            packed = numbers[numbers % shared.partitions == index].tobytes()
            file.write(packed)
            blocks.append(Block(partition=index, path=path, offset=offset, length=len(packed)))
            offset += len(packed)
    return Answer(value=item.value, blocks=blocks)


def total(item: Partition, shared: Settings) -> Answer:
    value = 0
    for block in item.blocks:
        data = storage.read_bytes(block.path)[block.offset : block.offset + block.length]
        value += int(np.frombuffer(data, np.int64).sum())
    return Answer(value=value)


def fail(item: Number, shared: Settings) -> Answer:
    raise UserError(f"{item.key}: the number {item.value} is not liked")


def die_once(item: Number, shared: Settings) -> Answer:
    """Kills its process the first time."""
    if item.value == 3 and tasks.attempt() < 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return Answer(value=item.value)


def die_always(item: Number, shared: Settings) -> Answer:
    os.kill(os.getpid(), signal.SIGKILL)
    return Answer(value=0)
