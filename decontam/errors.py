"""What a person can put right about benchmarks and their index."""

from __future__ import annotations


class BenchmarkError(ValueError):
    """A registry, benchmark file or index that cannot be used; the message says where, why and what to do."""
