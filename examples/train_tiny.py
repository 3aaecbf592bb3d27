"""Trains a tiny language model for 50 steps on a built mixture, on the CPU, and prints the loss curve.

    corpusmill mixture build --config mixture.yaml --output mixture-out
    python examples/train_tiny.py mixture-out                    # needs PyTorch: `pip install torch`

It shows what a trainer does with the sequences: batches by rank from a resumable reader, attention only inside documents,
positions that begin anew with each, no loss across a document's end or on padding. The loss should fall from about the
logarithm of the vocabulary; nobody should expect more of 50 steps.
"""

# ruff: noqa: T201 - printing is what this script is for
from __future__ import annotations

import argparse
import itertools
import math
import sys
from typing import Any

import numpy as np

from pipeline.mixture.reader import MixtureReader, position_ids, segment_ids

try:
    import torch
    import torch.nn.functional as F  # noqa: N812 - its usual name
    from torch import nn
except ModuleNotFoundError:
    sys.exit("examples/train_tiny.py needs PyTorch: `pip install torch` (a CPU build is enough).")


class Block(nn.Module):
    """Attention and a feed-forward layer, each behind a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """x: batch x length x width; mask: batch x 1 x length x length, true where attention may go."""
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, -1).transpose(1, 2)
            for part in self.qkv(self.norms[0](x)).chunk(3, dim=-1)
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norms[1](x))))


class TinyModel(nn.Module):
    """A decoder of a few million parameters, most of them the vocabulary's."""

    def __init__(self, vocabulary: int, length: int, width: int, layers: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList([Block(width, heads=4) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.places.weight, std=0.02)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The logits of the next token at every place."""
        x = self.tokens(batch["ids"]) + self.places(batch["positions"])
        for block in self.blocks:
            x = block(x, batch["mask"])
        return self.norm(x) @ self.tokens.weight.T


def batch_of(sequences: list[dict[str, Any]], length: int) -> dict[str, torch.Tensor]:
    """Sequences (their first `length` tokens) with mask, positions and targets; targets are -100 where no loss is."""
    ids = torch.tensor(np.stack([each["input_ids"][:length] for each in sequences])).long()
    segments = torch.tensor(np.stack([segment_ids(each["doc_lens"])[:length] for each in sequences]))
    positions = torch.tensor(np.stack([position_ids(each["doc_lens"])[:length] for each in sequences])).long()
    same = segments[:, :, None] == segments[:, None, :]
    mask = (same & torch.ones(length, length, dtype=torch.bool).tril()).unsqueeze(1)
    targets = torch.full_like(ids, -100)
    inside = segments[:, 1:] == segments[:, :-1]
    targets[:, :-1] = torch.where(inside, ids[:, 1:], -100)
    for row, each in enumerate(sequences):
        if each["n_pad"]:
            targets[row, len(each["input_ids"]) - each["n_pad"] :] = -100
    return {"ids": ids, "positions": positions, "mask": mask, "targets": targets}


def train(folder: str, steps: int, batch: int, length: int, width: int, layers: int) -> list[float]:
    """Train, printing the loss; the losses of all steps."""
    torch.manual_seed(0)
    reader = MixtureReader(folder)
    length = min(length, reader.sequence_length)
    vocabulary = reader.about["vocabulary"]
    model = TinyModel(vocabulary, length, width, layers)
    parameters = sum(each.numel() for each in model.parameters())
    print(
        f"{reader.total:,} sequences of {reader.sequence_length:,}; a model of {parameters:,} parameters sees {length} "
        f"tokens of each, {batch} a step; ln({vocabulary:,}) = {math.log(vocabulary):.2f}"
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95))
    endless = itertools.chain.from_iterable(itertools.repeat(reader))
    losses = []
    for step in range(1, steps + 1):
        found = batch_of(list(itertools.islice(endless, batch)), length)
        loss = F.cross_entropy(model(found).flatten(0, 1), found["targets"].flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step == 1 or step % 5 == 0:
            print(f"step {step:>4}  loss {losses[-1]:6.3f}  {'#' * round(losses[-1] * 6)}")
    print(f"the reader's state: {reader.state_dict()}")
    return losses


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="a built mixture")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=8, help="sequences a step")
    parser.add_argument("--length", type=int, default=256, help="tokens of each sequence that the model sees")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    given = parser.parse_args()
    train(given.folder, given.steps, given.batch, given.length, given.width, given.layers)
