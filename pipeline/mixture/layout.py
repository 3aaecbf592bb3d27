"""Sequences as Parquet: what a shard of a mixture holds, column by column.

    seq_index    int64         position in the shard
    input_ids    list<int32>   the tokens, always `sequence_length` of them
    doc_lens     list<int32>   tokens of each piece of a document, and of the padding where there is some; they add up to
                               `sequence_length`, so their running sum is what attention across documents is masked with
    n_pad        int32         tokens of padding, at the end
    source       list<int16>   per piece: the component, as a position in `sources` of the file's metadata
    doc_id       list<binary(16)>  per piece: the document
    doc_offset   list<int64>   per piece: its first token in the document
    epoch        list<uint8>   per piece: which appearance of the document this is, from 0

The file's metadata say under `corpusmill.mixture` (JSON) what the sequences were made from. Dictionaries are off (they make
token columns larger); row groups are small enough to be read one at a time.
"""

from __future__ import annotations

import pyarrow as pa

METADATA = "corpusmill.mixture"
SCHEMA = pa.schema(
    [
        pa.field("seq_index", pa.int64(), nullable=False),
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("doc_lens", pa.list_(pa.int32()), nullable=False),
        pa.field("n_pad", pa.int32(), nullable=False),
        pa.field("source", pa.list_(pa.int16()), nullable=False),
        pa.field("doc_id", pa.list_(pa.binary(16)), nullable=False),
        pa.field("doc_offset", pa.list_(pa.int64()), nullable=False),
        pa.field("epoch", pa.list_(pa.uint8()), nullable=False),
    ]
)
