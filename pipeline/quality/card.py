"""The card of a trained classifier: what it was made of, how well it does, source by source."""

from __future__ import annotations

from filters.classifier import QualityModel
from pipeline.report.hostile import plain


def model_card(about: QualityModel, notes: str) -> str:
    """The card in Markdown; nothing in it depends on when or where it was made."""
    facts = about.facts
    test, used, settings = facts["test"], facts["documents"], facts["settings"]
    lines = [
        "# Quality model",
        "",
        notes.strip() or "Trained by `corpusmill quality train`. Nobody has described the data yet.",
        "",
        f"`{about.file}`: fastText, {settings['word_ngrams']}-grams of words, {settings['dimensions']} dimensions, "
        f"form `{about.form}`, first {about.characters:,} characters; sha256 {about.sha256}.",
        "",
        "## Test",
        "",
        f"Documents were split by a hash of their text: {used['training']:,} to train, {used['calibration']:,} to calibrate "
        f"({about.calibration.kind}), {used['test']:,} to test. Not used: {_counts(facts['not_used'])}.",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {number(test[key])} |" for name, key in _FIGURES),
        "",
        "F1, precision and recall are those of calling a score of .5 and more good.",
        "",
        "| source | documents | good | called good | AUC |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in facts["by_source"].items():
        shown = plain(name).replace("|", "\\|")
        lines.append(
            f"| {shown} | {row['documents']:,} | {row['good']:.0%} | {row['called_good']:.0%} | {number(row['auc'])} |"
        )
    lines += [
        "",
        "The AUC of a source with documents of one kind only is against all documents of the other kind.",
        "",
    ]
    return "\n".join(lines)


_FIGURES = (
    ("AUC", "auc"),
    ("F1", "f1"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("calibration error", "calibration_error"),
)


def number(value: float | None) -> str:
    """A figure as it is shown; `none` for one that had nothing to divide by."""
    return "none" if value is None else f"{value:.3f}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
