"""What a person can put right about a tokenizer, its settings or its training."""

from __future__ import annotations


class TokenizerError(ValueError):
    """A model, setting or corpus that cannot be used; the message says what, where and what to do."""
