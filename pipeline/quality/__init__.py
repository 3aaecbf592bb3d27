"""Quality by model: training and judging classifiers and language models, labelling by a chat model, keeping a share.

corpus      documents of Parquet and JSONL files
training    a classifier of good and bad documents, calibrated, with its card
labelling   asks a chat model about a sample (Kong et al. 2024; FineWeb-Edu); training distils the answers
language_model   counts and estimates an n-gram model
scoring     scores of files of documents
comparing   where two scorers disagree
selection   keep a share of a corpus by score: percentile or seeded Pareto sampling
"""
