"""Benchmarks kept out of the training data: registry, n-gram index, scanner and the common-usage rule."""
