"""The Beam program: sources, harvest, decide, publish, and what they share.

Beam moves descriptors (splits, receipts, key blocks); documents stay inside a task, in chunks of Arrow (DESIGN, ideas 1
and 4). The pure parts of every stage are plain functions over `pyarrow.RecordBatch`.
"""
