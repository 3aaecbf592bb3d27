"""The web job: pages in, clean documents out, by the recipe of the AFM report's section 3.1.1.

    read -> extract -> language -> safety -> personal data | duplicates -> quality -> decontamination | publish

Left of the first bar each split is harvested on its own; between the bars all documents are decided together.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from typing import Any

from decontam.registry import resolve
from pipeline.config import JobConfig, absolute, merged, read_yaml, validate
from pipeline.engine import RunnerSettings
from pipeline.run import Outcome, Plan, execute, plan_run

DEFAULTS = str(importlib.resources.files("jobs") / "web.yaml")


def configure(
    config_path: str | None,
    inputs: Sequence[str],
    benchmarks: str | None = None,
    benchmark_root: str | None = None,
    allow_missing: bool = False,
    overrides: Mapping[str, Any] | None = None,
    against: Sequence[str] = (),
) -> JobConfig:
    """The job's configuration: the packaged YAML, the user's over it, the command's options over both.

    Raises:
        UserError: for settings that do not exist or cannot be.
    """
    layers = [read_yaml(DEFAULTS)]
    if config_path is not None:
        layers.append(read_yaml(config_path))
    content = merged(*layers, overrides or {})
    if inputs:
        content["sources"] = {"web": {"input": [absolute(path) for path in inputs]}}
    if against:
        content["against"] = [absolute(path) for path in against]
    if benchmarks is not None:
        content["decontamination"] = {
            **(content.get("decontamination") or {}),
            "benchmarks": absolute(resolve(benchmarks)),
            **({"benchmark_root": absolute(benchmark_root)} if benchmark_root is not None else {}),
            **({"allow_missing": True} if allow_missing else {}),
        }
    return validate(JobConfig, content, config_path or "configuration")


def plan(config: JobConfig, output: str) -> Plan:
    """Resolve the job: inputs, splits, rules. Reads no document."""
    return plan_run("web", config, absolute(output))


def run(config: JobConfig, output: str, runner: RunnerSettings, *, overwrite: bool = False) -> Outcome:
    """Run the job, or continue it."""
    return execute(plan(config, output), runner, overwrite=overwrite)
