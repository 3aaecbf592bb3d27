"""The mixture: published documents of several sources become token sequences for training, in exact shares.

settings      the YAML: components, budgets, epochs, packing
tokens        documents -> token files (once per component; other weights use them again)
plan          tokens there, shares asked -> quotas and epochs
select        keyed hashes -> the shard and place of every copy of every document
pack          documents -> sequences of one length (numba)
sequences     sequences -> Parquet shards
build         the phases together, and the manifest
verify        proves a built mixture from its files and the ids of its inputs
export        Megatron, OLMo-core, MosaicML
reader        a resumable reader for training
long_context  documents joined to long ones, with questions that can be checked
"""
