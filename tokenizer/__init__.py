"""The tokenizer: words counted over the whole corpus, byte-pair encoding trained on the counts, encoding.

tokenizer = load("tokenizer-out")
tokenizer.decode(tokenizer.encode(text)) == text
"""

from tokenizer.model import Tokenizer, load

__all__ = ["Tokenizer", "load"]
