"""The Beam program: sources, harvest, decide, publish, and what they share.

Beam moves descriptors (splits, receipts, key blocks); documents stay inside a task, in chunks of Arrow (DESIGN, ideas 1
and 4). The pure parts of every stage are plain functions over `pyarrow.RecordBatch`.
"""

import logging

# Beam says when it is imported, on the root logger, that its Google extras are missing; nobody asked for them.
logging.getLogger().addFilter(lambda record: "apitools" not in record.getMessage())
