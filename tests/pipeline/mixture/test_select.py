"""Places of documents: by hash and tokens alone, exact in every shard, and the same under other quotas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.blocks import Partition
from pipeline.dedup.arrays import read_blocks
from pipeline.errors import UserError
from pipeline.mixture.documents import held_out_hash, id_bytes
from pipeline.mixture.plan import ComponentPlan, MixturePlan, TierPlan
from pipeline.mixture.select import (
    COPY,
    OrderSettings,
    Scatter,
    all_copies,
    cut,
    order,
    order_settings,
    place_hashes,
    place_seed,
    scatter,
    taken,
)
from pipeline.mixture.tokens import DOCUMENT


def documents(sizes: list[int], tiers: list[int] | None = None) -> np.ndarray:
    made = np.zeros(len(sizes), DOCUMENT)
    made["id"] = [np.frombuffer(id_bytes(f"d{at}"), np.uint8) for at in range(len(sizes))]
    made["tokens"] = sizes
    made["tier"] = tiers or 0
    return made


def plan(sizes: list[int], quota: int, shards: int = 4, seed: int = 1) -> MixturePlan:
    tier = TierPlan(min=None, asked_epochs=1, documents=len(sizes), tokens=sum(sizes), quota=quota)
    component = ComponentPlan(
        name="web",
        read=len(sizes),
        left_out={},
        held_out_documents=0,
        held_out_tokens=0,
        documents=len(sizes),
        tokens=sum(sizes),
        asked=quota,
        quota=quota,
        max_epochs=255,
        tiers=(tier,),
    )
    return MixturePlan(
        tokenizer_sha256="",
        vocabulary=10,
        eos_id=None,
        bos_id=None,
        pad_id=0,
        seed=seed,
        sequence_length=8,
        packing="best_fit",
        window_tokens=1 << 20,
        held_out=0,
        shards=shards,
        tokens=quota,
        components=(component,),
    )


def select(folder: Path, sizes: list[int], made: MixturePlan, partitions: int = 1) -> list[np.ndarray]:
    """The copies of each shard, by the tasks as the engine calls them."""
    folder.mkdir(exist_ok=True)
    documents(sizes).tofile(folder / "d")
    settings = order_settings(made, str(folder)).model_copy(update={"partitions": partitions})
    item = Scatter(key="f", index=0, documents_path=str(folder / "d"), source=0, first_stratum=0, weight=1)
    blocks = scatter(item, settings).blocks
    parts = [
        order(
            Partition(key=f"p{at}", index=at, blocks=tuple(b for b in blocks if b.partition == at)), settings
        )
        for at in sorted({block.partition for block in blocks})
    ]
    shards = cut(parts, made)
    return [taken(read_blocks(s.blocks, COPY), s.whole, s.partial) for s in shards]


def named(copies: np.ndarray) -> set[tuple[int, int, int]]:
    return {(int(c["id_hi"]), int(c["id_lo"]), int(c["epoch"])) for c in copies}


sizes_strategy = st.lists(st.integers(1, 50), min_size=1, max_size=60)


@settings(max_examples=60)
@given(sizes_strategy, st.integers(0, 350), st.integers(1, 6), st.integers(1, 5))
def test_shards_are_exact_and_epochs_floor_or_ceil(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], percent: int, shards: int, partitions: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "select"
    quota = max(1, sum(sizes) * percent // 100)
    made = plan(sizes, quota, shards)
    found = select(folder, sizes, made, partitions)
    longest = max(sizes)
    for shard, copies in enumerate(found):
        target = quota // shards + (shard < quota % shards)
        assert abs(int(copies["tokens"].sum()) - target) <= longest
    everything = np.concatenate(found)
    assert abs(int(everything["tokens"].sum()) - quota) <= longest
    assert len(named(everything)) == len(everything)  # each appearance once
    tier = made.strata[0][1]
    for document in range(len(sizes)):
        number = int.from_bytes(id_bytes(f"d{document}")[8:], "big")
        epochs = sorted(everything["epoch"][everything["id_lo"] == number].tolist())
        assert epochs == list(range(len(epochs)))
        assert tier.whole <= len(epochs) <= tier.passes


@settings(max_examples=30)
@given(sizes_strategy, st.integers(1, 300), st.integers(1, 300), st.integers(1, 5))
def test_a_larger_quota_keeps_the_copies_of_a_smaller_one(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], one: int, other: int, shards: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "select"
    low, high = (max(1, sum(sizes) * part // 100) for part in sorted((one, other)))
    less = select(folder, sizes, plan(sizes, low, shards))
    more = select(folder, sizes, plan(sizes, high, shards))
    for few, many in zip(less, more, strict=True):
        assert len(named(few) - named(many)) <= 1  # at the edge
    if shards == 1:
        assert named(less[0]) <= named(more[0])


def test_partitions_do_not_matter_and_seeds_do(tmp_path: Path) -> None:
    sizes = [5 + at % 17 for at in range(200)]
    one = select(tmp_path, sizes, plan(sizes, 3000))
    for partitions in (2, 7, 64):
        other = select(tmp_path, sizes, plan(sizes, 3000), partitions)
        assert all((a == b).all() for a, b in zip(one, other, strict=True))
    seeded = select(tmp_path, sizes, plan(sizes, 3000, seed=2))
    assert [named(shard) for shard in one] != [named(shard) for shard in seeded]


def test_epochs_put_a_document_in_different_shards(tmp_path: Path) -> None:
    sizes = [10] * 400
    found = select(tmp_path, sizes, plan(sizes, 8000, shards=4))
    together = sum(len(named(s)) - len({(hi, lo) for hi, lo, _ in named(s)}) for s in found)
    assert 50 < together < 150  # 100 expected: a quarter of the documents meet themselves in a shard


def test_fewer_documents_than_shards_leave_shards_empty(tmp_path: Path) -> None:
    found = select(tmp_path, [10, 10], plan([10, 10], 20, shards=5))
    assert sorted(len(copies) for copies in found) == [0, 0, 0, 1, 1]


def test_held_out_documents_have_no_copies() -> None:
    docs = documents([5, 5, 5])
    docs["held_out"] = [0, 1, 0]
    shared = OrderSettings(folder="", partitions=1, seeds=(1,), names=("web",), passes=(2,))
    item = Scatter(key="f", index=3, documents_path="", source=0, first_stratum=0, weight=1)
    copies = all_copies(docs, item, shared)
    assert copies["offset"].tolist() == [0, 10, 0, 10]
    assert copies["epoch"].tolist() == [0, 0, 1, 1]
    assert set(copies["file"].tolist()) == {3}


def test_an_id_that_stands_twice_is_refused(tmp_path: Path) -> None:
    docs = documents([5, 6])
    docs["id"][1] = docs["id"][0]
    docs["tier"][1] = 1  # also where the two are in different tiers
    docs.tofile(tmp_path / "d")
    shared = OrderSettings(folder=str(tmp_path), partitions=1, seeds=(1,), names=("web",), passes=(1, 1))
    item = Scatter(key="f", index=0, documents_path=str(tmp_path / "d"), source=0, first_stratum=0, weight=1)
    blocks = scatter(item, shared).blocks
    with pytest.raises(UserError, match=r"components\.web: the id [0-9a-f]{32} .* stands twice"):
        order(Partition(key="p", index=0, blocks=tuple(blocks)), shared)


def test_the_hashes_are_the_specified_ones() -> None:
    """Stored mixtures depend on these values: another version of a library must not change them."""
    ids = id_bytes("0" * 32) + id_bytes("a document")
    assert id_bytes("0" * 32) == bytes(16)
    assert place_seed(7, "web") == PLACE_SEED
    assert place_hashes(ids, 2, PLACE_SEED).tolist() == PLACES
    assert held_out_hash(bytes(16)) == HELD_OUT


PLACE_SEED = 955776287254495927
PLACES = [10902542444349642660, 11006744357238675856]
HELD_OUT = 9634025042850310462
