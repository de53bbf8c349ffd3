"""A comparison as one page: no script, and nothing from anywhere else."""

from __future__ import annotations

from html import escape

from mlops.monitoring.distribution import Distribution
from mlops.monitoring.finding import Finding
from mlops.monitoring.tests.comparison import Comparison

_STYLE = """
:root { color-scheme: light dark; --now: #c2410c; --was: #64748b; --line: #94a3b855; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid var(--line); padding: 1rem 0; display: grid; grid-template-columns: 1fr 20rem;
  gap: 1rem; }
h2 { font-size: 1.05rem; margin: 0; } p { margin: .3rem 0; } svg { width: 100%; height: 7rem; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
td, th { text-align: left; padding: .2rem .6rem; border-bottom: 1px solid var(--line); }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.was { fill: var(--was); } .now { fill: var(--now); } .page { color: var(--now); font-weight: 600; }
"""


def to_html(comparison: Comparison, title: str = "What changed") -> str:
    """One self-contained page: a section for each column with a finding, then all tests in a table."""
    m, n = comparison.rows
    found = comparison.summary
    columns = len({each.column for each in comparison.findings if each.column})
    said = comparison.problem or (
        f"{len(found)} of {columns} columns changed" if found else f"None of {columns} columns changed"
    )
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>",
        f"<body><h1>{escape(title)}</h1>",
        f"<p>{escape(said)}: {n:,} rows against {m:,} of the reference, "
        f"{len(comparison.findings):,} tests, corrected together at {comparison.alpha:.0%}.</p>",
        *(_section(each, comparison) for each in found),
        "<details><summary>All tests</summary><table><tr><th>column</th><th>test</th><th>effect</th>"
        "<th>floor</th><th>p, adjusted</th><th>found</th></tr>",
        *(_row(each) for each in comparison.findings),
        "</table></details></body></html>",
    ]
    return "\n".join(parts)


def _section(finding: Finding, comparison: Comparison) -> str:
    others = [
        each.sentence for each in comparison.found if each.column == finding.column and each is not finding
    ]
    more = "".join(f"<p>{escape(each)}</p>" for each in others[:4])
    return (
        f"<section><div><h2>{escape(finding.column or 'table')}</h2>"
        f'<p class="{finding.severity}">{escape(finding.sentence)}</p>{more}</div>'
        f"{_bars(finding.reference, finding.current)}</section>"
    )


def _bars(reference: Distribution, current: Distribution) -> str:
    """Reference and window side by side, a pair of bars for each label."""
    if not current.labels:
        return ""
    top = max((*reference.shares, *current.shares, 1e-9))
    step = 100 / len(current.labels)
    bars = []
    for index, label in enumerate(current.labels):
        was, now = reference.shares[index], current.shares[index]
        words = f"{escape(label)}: {now:.1%}, was {was:.1%}"
        left = index * step
        bars.append(
            f"<g><title>{words}</title>"
            f'<rect class="was" x="{left:.2f}" y="{40 - 40 * was / top:.2f}" width="{step * 0.42:.2f}" '
            f'height="{40 * was / top:.2f}"/>'
            f'<rect class="now" x="{left + step * 0.44:.2f}" y="{40 - 40 * now / top:.2f}" '
            f'width="{step * 0.42:.2f}" height="{40 * now / top:.2f}"/></g>'
        )
    return (
        '<svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img" '
        f'aria-label="reference and window">{"".join(bars)}</svg>'
    )


def _row(finding: Finding) -> str:
    return (
        f"<tr><td>{escape(finding.column)}</td><td>{escape(finding.test)}</td>"
        f'<td class="n">{finding.effect:.4g}</td><td class="n">{finding.floor:.4g}</td>'
        f'<td class="n">{finding.p_adjusted:.2g}</td><td>{"yes" if finding.found else ""}</td></tr>'
    )
