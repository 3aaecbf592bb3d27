"""What a person looks at first after a run: the report page and the data card, and the model behind both."""

from __future__ import annotations

from pipeline.report.advice import advise
from pipeline.report.card import write_card
from pipeline.report.html import verdict, write_report
from pipeline.report.model import RunReport

__all__ = ["RunReport", "advise", "verdict", "write_card", "write_report"]
