"""A comparison for readers: a page, a terminal, a program."""

from __future__ import annotations

from mlops.monitoring.report.json_report import SCHEMA, to_json
from mlops.monitoring.report.page import to_html
from mlops.monitoring.report.terminal import to_text

__all__ = ["SCHEMA", "to_html", "to_json", "to_text"]
