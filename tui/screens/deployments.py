"""Deployments: what answers, how much, how fast, how well; live."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from tui.screens.page import ListPage, facts
from tui.widgets import symbols
from tui.widgets.charts import line_chart, sparkline
from tui.widgets.virtual_table import Column
from tui.widgets.words import UNKNOWN, ago, instant, moment, number, seconds

if TYPE_CHECKING:
    from mlops.serving.client import Deployment
    from tui.session import Session


class DeploymentsPage(ListPage):
    """Every model the gateway serves."""

    title = "Deployments"
    empty = (
        "Nothing is served. The gateway serves every registered model that has the alias champion:\n\n"
        "  MlflowClient().set_registered_model_alias(NAME, 'champion', VERSION)\n\n"
        "or have a real one deployed, with traffic:\n\n"
        "  modelyard demo"
    )

    def __init__(self, session: Session) -> None:
        self._rates: dict[str, deque[float]] = {}
        super().__init__(session)

    def columns(self) -> Sequence[Column[Any]]:
        return (
            Column(
                "model",
                "model",
                20,
                lambda d: d.model,
                flexible=True,
                most=48,
                state=lambda d: symbols.of_deployment(d.state),
                middle=True,
            ),
            Column(
                "version", "version", 9, lambda d: f"v{d.version}", lambda d: int(d.version), align="right"
            ),
            Column("alias", "alias", 10, lambda d: d.alias or UNKNOWN),
            Column(
                "rate",
                "rows/s",
                8,
                lambda d: number(d.rate_per_second, 3),
                lambda d: d.rate_per_second,
                align="right",
            ),
            Column("p95", "p95 ms", 8, lambda d: number(d.p95_ms, 3), lambda d: d.p95_ms, align="right"),
            Column("errors", "errors", 8, _share, lambda d: d.errors, align="right"),
            Column(
                "requests", "requests", 10, lambda d: number(d.requests), lambda d: d.requests, align="right"
            ),
            Column("trend", "rows/s, last 2 min", 24, lambda d: sparkline(self._past(d), 24)),
        )

    def crumb(self, row: Deployment) -> str:
        return f"{row.model} v{row.version}"

    def _past(self, row: Deployment) -> list[float]:
        return list(self._rates.get(row.model, ()))

    def key(self, row: Deployment) -> str:
        return row.model

    def fetch(self) -> tuple[Deployment, ...]:
        return self.session.gateway().deployments()

    def show(self) -> None:
        for row in self.rows() if not self.fault else ():
            self._rates.setdefault(row.model, deque(maxlen=60)).append(row.rate_per_second)
        super().show()

    def detail(self, row: Deployment, width: int) -> Text:
        tint = self.colours
        state = symbols.of_deployment(row.state)
        text = Text.assemble(
            (f"{symbols.SYMBOLS[state]} ", symbols.colour(state, tint)),
            (f"{row.model} v{row.version}", "bold"),
            (f"  {row.alias}\n", tint.dim),
        )
        if row.reason:
            text.append(f"{row.reason}\n", symbols.colour(state, tint))
        text.append_text(
            facts(
                [
                    ("state", row.state),
                    ("since", _since(row)),
                    ("run", row.run_id),
                    ("replicas", number(row.replicas)),
                    ("requests", number(row.requests)),
                    ("errors", f"{number(row.errors)} ({_share(row)})"),
                    (
                        "latency",
                        "  ".join(
                            f"{name} {number(value, 3)}"
                            for name, value in (("p50", row.p50_ms), ("p95", row.p95_ms), ("p99", row.p99_ms))
                        )
                        + " ms",
                    ),
                    ("not yet logged", f"{number(row.log_lag_rows)} rows"),
                ],
                tint,
                width,
            )
        )
        past = self._past(row)
        if len(past) > 1:
            text.append(f"\nrows a second  {number(past[-1], 3)}\n", "bold")
            ends = (f"{seconds((len(past) - 1) * self.every)} ago", "now")
            points = [(float(at), value) for at, value in enumerate(past)]
            text.append("\n".join(line_chart(points, width, 6, ends, floor=0.0)))
        return text


def _share(row: Deployment) -> str:
    return f"{row.errors / row.requests:.2%}" if row.requests else UNKNOWN


def _since(row: Deployment) -> str:
    at = instant(row.since)
    return f"{moment(at)} · {ago(at)}" if at else row.since or UNKNOWN
