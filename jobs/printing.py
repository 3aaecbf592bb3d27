"""What the commands print: the resolved plan, and the funnel of a finished run."""

from __future__ import annotations

import os

from rich.console import Console
from rich.table import Table

from decontam.ngrams import NgramIndex
from pipeline.decide import DUPLICATE_RULES
from pipeline.engine import RunnerSettings
from pipeline.run import Outcome, Plan, report_rules, stage_order
from pipeline.stages import build_stages


def _console() -> Console:
    # Redirected output keeps its full width, so that scripts and logs get whole lines.
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=140)


def print_plan(plan: Plan, runner: RunnerSettings) -> None:
    """Inputs, stages with their rules, and outputs of a plan."""
    console = _console()
    size = sum(item["bytes"] for item in plan.inputs)
    console.print(
        f"[bold]{plan.job}[/]: {len(plan.inputs):,} files, {size / 1e6:,.1f} MB, {len(plan.splits):,} splits"
    )
    for item in plan.inputs[:10]:
        console.print(f"  {item['source']:<10} {item['bytes']:>14,} B  {item['path']}", markup=False)
    if len(plan.inputs) > 10:
        console.print(f"  and {len(plan.inputs) - 10:,} more files")
    console.print(
        f"\nrunner {runner.runner}, {runner.workers} workers {' '.join(runner.options)}\n", markup=False
    )
    rules = report_rules(plan)
    columns = {stage.name: stage.columns for stage in build_stages(plan.config.stages())}
    for name in stage_order(plan):
        console.print(f"[bold]{name}[/]")
        here = {rule.name: rule for rule in rules if rule.stage == name}
        for column in columns.get(name, ()):
            rule = here.pop(column.name, None)
            bound = f"{rule.bound.text()}" if rule is not None and rule.bound is not None else "-"
            console.print(f"  {column.name:<34} {bound:<44} {column.about}", markup=False)
        for rule in here.values():
            console.print(f"  {rule.name:<34} {_decision(plan, rule.name)}", markup=False)
    if plan.config.decontamination.benchmarks is None:
        console.print("[bold]decontamination[/]\n  not run: no --benchmarks were given")
    console.print(
        f"\noutput {plan.output}: documents/, rejected/, failed/, decisions/, manifest.json, report.html, README.md",
        markup=False,
    )


def _decision(plan: Plan, name: str) -> str:
    if name in DUPLICATE_RULES.values():
        settings = plan.config.dedup
        assert settings is not None  # noqa: S101 - the rule exists only with the stage
        return f"one of each cluster is kept (scope {settings.scope}; {settings.bands} x {settings.rows})"
    chosen = plan.config.decontamination
    removed = {"document": "the document is removed", "none": "reported only"}.get(
        chosen.unit, f"the {chosen.unit} is removed"
    )
    return f"n-grams held by fewer than {chosen.threshold} documents: {removed} ({chosen.benchmarks})"


def print_outcome(outcome: Outcome) -> None:
    """The funnel, the books, and where to look."""
    console, manifest = _console(), outcome.manifest
    if outcome.was_complete:
        console.print(f"{outcome.output} is complete already; nothing was done.", markup=False)
    table = Table("stage", "entered", "rejected", "failed", "left", title=None, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in manifest["funnel"]:
        left = row["entered"] - row["rejected"] - row["failed"]
        table.add_row(
            row["stage"], *(f"{value:,}" for value in (row["entered"], row["rejected"], row["failed"], left))
        )
    console.print(table)
    total, cost = manifest["books"]["total"], manifest["cost"]
    rejected, failed = sum(total["rejected"].values()), sum(total["failed"].values())
    console.print(
        f"\n{total['read']:,} read = {total['published']:,} published + {rejected:,} rejected + {failed:,} failed; "
        f"{cost['wall_seconds']:,.1f} s, {cost['cpu_seconds']:,.1f} s of processor time"
    )
    if total["read"] == 0:
        console.print("No document was found in the input.", style="yellow")
    console.print(f"report: {os.path.join(outcome.output, 'report.html')}", markup=False)


def print_index(index: NgramIndex, path: str) -> None:
    """What an index holds."""
    console, header = _console(), index.header
    items = sum(each.items for each in header.benchmarks)
    matchable = sum(each.matchable for each in header.benchmarks)
    console.print(
        f"{len(header.benchmarks):,} benchmarks, {items:,} items, {matchable:,} of them matchable; "
        f"{index.size:,} n-grams of {header.min_words} to {header.max_words} words"
    )
    template = [each for each in header.benchmarks if each.templates]
    if template:
        console.print("left out as common to most items:")
        for each in template:
            console.print(f"  {each.key}: {'; '.join(found.text for found in each.templates)}", markup=False)
    for name in ("skipped", "missing"):
        keys = getattr(header, name)
        if keys:
            console.print(f"{name}: {', '.join(keys)}", markup=False)
    size = os.path.getsize(path) if os.path.exists(path) else 0
    console.print(f"{path}: {size / 1e6:,.1f} MB, digest {header.digest[:16]}", markup=False)
