"""A built mixture in the formats of trainers that read no Parquet. The sequences stay what and where they are.

    megatron   TO/shard-00000.bin and .idx   Megatron-Core's indexed dataset (MMIDIDX, version 1): a sequence is a document
    olmo       TO/shard-00000.npy and .csv.gz   OLMo-core: bare tokens, sequence after sequence, and the pieces of documents
                                             (start, end, id, source, index in the shard), as Dolma's tokeniser writes them
    mds        TO/shard.00000.000.mds, index.json   MosaicML Streaming: samples with seq_index, input_ids, doc_lens

Tokens take two bytes where the vocabulary allows (Megatron-Core: below 65,500; OLMo-core: up to 65,536), else four; MDS
always four. Padding is in the sequences; the metadata file `mixture.json` says which id it has.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from pydantic import BaseModel

from pipeline import progress, storage
from pipeline.dedup.arrays import view_of
from pipeline.errors import UserError
from pipeline.mixture.plan import MixturePlan
from pipeline.mixture.sequences import ShardWritten, metadata

if TYPE_CHECKING:
    from pipeline.engine import RunnerSettings

Format = Literal["megatron", "olmo", "mds"]
FORMATS: tuple[Format, ...] = get_args(Format)

MDS_BYTES = 1 << 26
"""A file of samples, at most about: MosaicML's own default."""

_MEGATRON_DTYPES = {"<u2": 8, "<i4": 4}


class ExportItem(BaseModel, frozen=True):
    """A shard to be exported."""

    key: str
    index: int
    path: str
    sha256: str
    weight: int


class ExportSettings(BaseModel, frozen=True):
    """What all shards share."""

    format: Format
    to: str
    plan: MixturePlan


class Exported(BaseModel):
    """The files of a shard. `mds` describes each as MosaicML's index does."""

    sequences: int
    names: list[str]
    mds: list[dict[str, Any]] = []


def export_mixture(
    output: str, to: str, form: Format, runner: RunnerSettings, *, quiet: bool | None = None
) -> dict[str, Any]:
    """Write a built mixture in another format, or go on with an interrupted export.

    Args:
        output: the folder of the mixture.
        to: the folder of the exported files.
        form: which format.
        runner: where the tasks run.
        quiet: whether no progress is shown.

    Returns:
        What `mixture.json` in `to` says: the mixture, its files, the number of sequences.

    Raises:
        UserError: when there is no built mixture, or `to` holds an export of something else.
    """
    manifest_path = storage.join(output, "manifest.json")
    if not storage.exists(manifest_path):
        raise UserError(f"{output} holds no built mixture (no manifest.json). `mixture build` makes one.")
    manifest = json.loads(storage.read_bytes(manifest_path))
    plan = MixturePlan.model_validate(manifest["plan"])
    about = {**metadata(plan, 0), "exported_as": form}
    del about["shard"]
    work = storage.join(to, ".work")
    complete = _found(storage.join(to, "mixture.json"), about)
    if complete is not None:
        return complete
    if _found(storage.join(work, "mixture.json"), about) is None:
        storage.write_bytes(storage.join(work, "mixture.json"), _dumped(about))
    items = [
        ExportItem(
            key=f"shard-{each.index:05d}",
            index=each.index,
            path=storage.join(output, each.name),
            sha256=each.sha256,
            weight=each.bytes,
        )
        for each in map(ShardWritten.model_validate, manifest["shards"])
    ]
    # Imported here: worker processes import this module for its task, and need no Beam.
    from pipeline.engine import engines

    with engines(runner, quiet) as engine_at:
        made: list[Exported] = engine_at(work).run(
            "export", export_shard, items, ExportSettings(format=form, to=to, plan=plan)
        )
    files = [name for each in made for name in each.names]
    if form == "mds":
        index = {"version": 2, "shards": [entry for each in made for entry in each.mds]}
        storage.write_bytes(storage.join(to, "index.json"), json.dumps(index, sort_keys=True).encode())
        files.append("index.json")
    about |= {"sequences": sum(each.sequences for each in made), "files": files}
    storage.write_bytes(storage.join(to, "mixture.json"), _dumped(about))
    storage.remove(work)
    return about


def _found(path: str, about: dict[str, Any]) -> dict[str, Any] | None:
    """What an earlier export has left in a file, if it is the same export."""
    if not storage.exists(path):
        return None
    found: dict[str, Any] = json.loads(storage.read_bytes(path))
    if {name: found.get(name) for name in about} != about:
        raise UserError(f"{path}: an export of another mixture or format is here. Use another --to.")
    return found


def _dumped(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def export_shard(item: ExportItem, shared: ExportSettings) -> Exported:
    """Task: write one shard's sequences in the format."""
    writer = {"megatron": _megatron, "olmo": _olmo, "mds": _mds}[shared.format]
    made = writer(item, shared)
    progress.add(tasks=1)
    return made


def _groups(item: ExportItem, shared: ExportSettings) -> Iterator[tuple[npt.NDArray[np.int32], Any]]:
    """The row groups of a shard: tokens (a row each), and the table."""
    with storage.open_read(item.path) as file:
        parquet = pq.ParquetFile(file)
        for group in range(parquet.metadata.num_row_groups):
            table = parquet.read_row_group(group, use_threads=False)
            flat = table["input_ids"].combine_chunks().flatten().to_numpy()
            yield flat.reshape(-1, shared.plan.sequence_length), table


# ---- Megatron-Core


def _megatron(item: ExportItem, shared: ExportSettings) -> Exported:
    dtype = np.dtype("<u2" if shared.plan.vocabulary < 65_500 else "<i4")
    name = f"shard-{item.index:05d}"
    sequences = 0
    with storage.write_atomically(storage.join(shared.to, f"{name}.bin")) as file:
        for tokens, _ in _groups(item, shared):
            file.write(view_of(tokens.astype(dtype)))
            sequences += len(tokens)
    length = shared.plan.sequence_length
    with storage.write_atomically(storage.join(shared.to, f"{name}.idx")) as file:
        file.write(b"MMIDIDX\x00\x00" + struct.pack("<QB", 1, _MEGATRON_DTYPES[dtype.str]))
        file.write(struct.pack("<QQ", sequences, sequences + 1))
        file.write(view_of(np.full(sequences, length, "<i4")))  # tokens of each sequence
        file.write(view_of(np.arange(sequences, dtype="<i8") * (length * dtype.itemsize)))  # its first byte
        file.write(
            view_of(np.arange(sequences + 1, dtype="<i8"))
        )  # first sequence of each document, and the end
    return Exported(sequences=sequences, names=[f"{name}.bin", f"{name}.idx"])


# ---- OLMo-core


def _olmo(item: ExportItem, shared: ExportSettings) -> Exported:
    plan = shared.plan
    dtype = np.dtype("<u2" if plan.vocabulary <= 1 << 16 else "<u4")
    name = f"shard-{item.index:05d}"
    sequences = 0
    rows_path = storage.join(shared.to, f"{name}.csv.gz")
    with (
        storage.write_atomically(storage.join(shared.to, f"{name}.npy")) as file,
        storage.write_atomically(rows_path) as packed,
        # No name and no time in the header: the same bytes every time.
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as unpacked,
    ):
        for tokens, table in _groups(item, shared):
            file.write(view_of(tokens.astype(dtype)))
            _write_pieces(unpacked, table, plan, sequences)
            sequences += len(tokens)
    return Exported(sequences=sequences, names=[f"{name}.npy", f"{name}.csv.gz"])


def _write_pieces(file: gzip.GzipFile, table: Any, plan: MixturePlan, first_row: int) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row, each in enumerate(table.select(["doc_lens", "doc_id", "source"]).to_pylist(), first_row):
        start = row * plan.sequence_length
        for size, name, source in zip(each["doc_lens"], each["doc_id"], each["source"], strict=False):
            writer.writerow([start, start + size, name.hex(), plan.sources[source], row])
            start += size
    file.write(text.getvalue().encode())


# ---- MosaicML Streaming


def _mds(item: ExportItem, shared: ExportSettings) -> Exported:
    """Samples in files of about `MDS_BYTES`: count, offsets, configuration, and per sample sizes and values."""
    length = shared.plan.sequence_length
    columns = {"doc_lens": "ndarray:int32", "input_ids": f"ndarray:int32:{length}", "seq_index": "int"}
    config = {
        "column_encodings": list(columns.values()),
        "column_names": list(columns),
        "column_sizes": [None, 4 * length, 8],
        "compression": None,
        "format": "mds",
        "hashes": [],
        "size_limit": MDS_BYTES,
        "version": 2,
    }
    made = Exported(sequences=0, names=[])
    held: list[bytes] = []
    size = 0
    for sample in _samples(item, shared):
        if held and size + len(sample) > MDS_BYTES:
            _write_samples(item, shared, config, held, made)
            held, size = [], 0
        held.append(sample)
        size += len(sample)
    if held:
        _write_samples(item, shared, config, held, made)
    return made


def _samples(item: ExportItem, shared: ExportSettings) -> Iterator[bytes]:
    for tokens, table in _groups(item, shared):
        lens = table["doc_lens"].to_pylist()
        for row, doc_lens, index in zip(tokens, lens, table["seq_index"].to_pylist(), strict=True):
            # One dimension whose length takes one, two or four bytes: which, stands in the first byte beside the 1.
            width = 0 if len(doc_lens) < 1 << 8 else 1 if len(doc_lens) < 1 << 16 else 2
            shape = struct.pack("<B", 1 << 2 | width) + len(doc_lens).to_bytes(1 << width, "little")
            lengths = shape + np.array(doc_lens, "<i4").tobytes()
            yield struct.pack("<I", len(lengths)) + lengths + row.tobytes() + struct.pack("<q", index)


def _write_samples(
    item: ExportItem, shared: ExportSettings, config: dict[str, Any], samples: list[bytes], made: Exported
) -> None:
    name = f"shard.{item.index:05d}.{len(made.names):03d}.mds"
    head = json.dumps(config, sort_keys=True).encode()
    first = 4 + 4 * (len(samples) + 1) + len(head)
    ends = np.cumsum([0, *map(len, samples)]) + first
    content = struct.pack("<I", len(samples)) + ends.astype("<u4").tobytes() + head + b"".join(samples)
    storage.write_bytes(storage.join(shared.to, name), content)
    raw = {"basename": name, "bytes": len(content), "hashes": {}}
    made.mds.append({**config, "raw_data": raw, "samples": len(samples), "zip_data": None})
    made.names.append(name)
    made.sequences += len(samples)
