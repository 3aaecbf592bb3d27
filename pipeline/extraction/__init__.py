"""Body extraction: HTML -> blocks -> features -> a small model of our own -> text."""
