"""`corpusmill demo`: the whole web job on a small site that is part of the package."""

from __future__ import annotations

import importlib.resources
import os

from jobs import web
from jobs.sample import write_warc
from pipeline.engine import RunnerSettings
from pipeline.run import Outcome

SAMPLE = importlib.resources.files("jobs.sample")


def run(output: str, workers: int, *, overwrite: bool = False) -> Outcome:
    """Write the sample site as WARC beside the output, and run the web job on it with the sample's benchmarks."""
    os.makedirs(output, exist_ok=True)
    archive = os.path.join(output, "sample.warc.gz")
    if not os.path.exists(archive):
        write_warc(archive)
    config = web.configure(
        None,
        [archive],
        benchmarks=str(SAMPLE / "benchmarks.yaml"),
        benchmark_root=str(SAMPLE / "benchmarks"),
    )
    result = os.path.join(output, "result")
    return web.run(config, result, RunnerSettings(workers=workers), overwrite=overwrite)
