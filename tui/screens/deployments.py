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
from tui.widgets.words import number

if TYPE_CHECKING:
    from mlops.serving.client import Deployment
    from tui.session import Session


class DeploymentsPage(ListPage):
    """Every model the gateway serves."""

    title = "Deployments"
    empty = (
        "Nothing is served. The gateway serves every registered model that has the alias champion:\n\n"
        "  MlflowClient().set_registered_model_alias(NAME, 'champion', VERSION)\n"
        "  modelyard demo      deploys a real one and sends it traffic"
    )

    def __init__(self, session: Session) -> None:
        self._rates: dict[str, deque[float]] = {}
        super().__init__(session)

    def columns(self) -> Sequence[Column[Any]]:
        return (
            Column("model", "model", 20, lambda d: d.model, state=lambda d: symbols.of_deployment(d.state)),
            Column(
                "version", "version", 9, lambda d: f"v{d.version}", lambda d: int(d.version), align="right"
            ),
            Column(
                "rate",
                "rows/s",
                8,
                lambda d: number(d.rate_per_second, 3),
                lambda d: d.rate_per_second,
                align="right",
            ),
            Column("p95", "p95 ms", 8, lambda d: number(d.p95_ms, 3), lambda d: d.p95_ms, align="right"),
            Column("errors", "errors", 8, lambda d: number(d.errors), lambda d: d.errors, align="right"),
            Column(
                "requests", "requests", 10, lambda d: number(d.requests), lambda d: d.requests, align="right"
            ),
            Column("trend", "rows/s, last 2 min", 24, lambda d: sparkline(self._past(d), 24)),
        )

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
        share = row.errors / row.requests if row.requests else None
        text.append_text(
            facts(
                [
                    ("state", row.state),
                    ("since", row.since),
                    ("run", row.run_id),
                    ("replicas", number(row.replicas)),
                    ("requests", number(row.requests)),
                    ("errors", f"{number(row.errors)} ({'–' if share is None else f'{share:.2%}'})"),
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
            )
        )
        past = self._past(row)
        if len(past) > 1:
            text.append("\nrows a second\n", "bold")
            text.append("\n".join(line_chart([(float(i), v) for i, v in enumerate(past)], width, 6)))
        return text
