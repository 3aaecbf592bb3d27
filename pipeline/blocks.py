"""Packed arrays in files, and what a reduce task gets of them: the key blocks of DESIGN, idea 1.

Kept apart from the engine, so that worker processes, which need these, do not import Beam.
"""

from __future__ import annotations

from pydantic import BaseModel


class Block(BaseModel, frozen=True):
    """Where packed arrays of one partition lie: bytes `offset` to `offset + length` of a file."""

    partition: int
    path: str
    offset: int
    length: int


class Partition(BaseModel, frozen=True):
    """What a reduce task gets: all blocks of one partition, in the order of their files and offsets."""

    key: str
    index: int
    blocks: tuple[Block, ...]
