"""How many labels does a metric cost: predictions chosen by score against even draws, both by known chances.

    python benchmarks/monitoring_sampling.py [--quick] [--json]

For each model and metric: the spread of the estimate over many draws, how often its 95 % interval holds the
figure over all labels, and how many even draws one chosen label is worth (ratio of variances). Beside them
what is often done, asking for the rows of which the model is least sure and averaging: its error stays.
Models are fitted here on data that scikit-learn carries or makes; "too sure" and "turned" are its scores made
wrong on purpose. Seeds are not those of the tests, on which the rules were made.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

BUDGET = 300
TUNING, HELD_OUT = 1_000_077, 3_901_000
METRICS = ("accuracy", "auc", "brier", "f1")


def models(seed: int) -> Iterator[tuple[str, Any, Any]]:
    """Name, scores and labels of rows that the model was not fitted on."""
    from sklearn.datasets import load_digits, make_classification
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    x, digits = load_digits(return_X_y=True)
    eights = (digits == 8).astype(float)
    forest = RandomForestClassifier(100, random_state=0)
    yield (
        "digits, is it an 8",
        cross_val_predict(forest, x, eights, cv=5, method="predict_proba")[:, 1],
        eights,
    )
    for name, share, apart in (("half positive", 0.5, 1.0), ("5 % positive", 0.95, 1.0), ("easy", 0.7, 2.0)):
        x, y = make_classification(
            12_000,
            12,
            n_informative=6,
            weights=[share],
            class_sep=apart,
            flip_y=0.02,
            random_state=seed % 1000,
        )
        scores = LogisticRegression(max_iter=500).fit(x[:2000], y[:2000]).predict_proba(x[2000:])[:, 1]
        yield name, scores, y[2000:].astype(float)
        if name == "half positive":
            odds = np.log(scores / (1 - scores))
            yield "too sure", 1 / (1 + np.exp(-3 * odds)), y[2000:].astype(float)
            turned = np.where(scores > 0.9, 1 - y[2000:], y[2000:])
            yield "turned where sure", scores, turned.astype(float)


def measure(name: str, scores: Any, labels: Any, draws: int, begin: int) -> Iterator[dict[str, Any]]:
    """A line a metric."""
    from mlops.monitoring.performance.metrics import metric
    from mlops.monitoring.performance.sampling import Sample, choose, estimate

    count = len(scores)
    ids = [str(at) for at in range(count)]
    known = dict(zip(ids, labels.tolist(), strict=True))
    least_sure = np.argsort(np.abs(scores - 0.5), kind="stable")[:BUDGET]

    def evenly(seed: int) -> Sample:
        taken = np.random.default_rng(seed).choice(count, BUDGET, replace=False)
        chance = np.full(BUDGET, BUDGET / count)
        one = np.zeros(BUDGET, np.int64)
        return Sample(tuple(ids[at] for at in taken), scores[taken], chance, one, np.array([count]))

    even = [evenly(begin + seed) for seed in range(draws)]
    for each in METRICS:
        true = metric(each, labels, scores).value
        chosen = [choose(ids, scores, BUDGET, begin + seed, metric=each) for seed in range(draws)]
        line: dict[str, Any] = {"model": name, "metric": each, "true": true}
        for how, samples in (("chosen", chosen), ("even", even)):
            found = [one for one in (estimate(sample, known, each) for sample in samples) if one.defined]
            values = np.asarray([one.value for one in found])
            line[f"{how} bias"] = float(values.mean() - true) if len(found) else None
            line[f"{how} spread"] = float(values.std()) if len(found) else None
            line[f"{how} held"] = (
                float(np.mean([one.low <= true <= one.high for one in found])) if found else None
            )
            line[f"{how} not given"] = len(samples) - len(found)
        spreads = line["chosen spread"], line["even spread"]
        line["worth"] = (spreads[1] / spreads[0]) ** 2 if all(spreads) else None
        line["least sure off by"] = metric(each, labels[least_sure], scores[least_sure]).value - true
        yield line


def _cell(value: float | None, wide: int, how: str) -> str:
    return ("–" if value is None or np.isnan(value) else format(value, how)).rjust(wide)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tuning", action="store_true", help="the seeds that the rules were made on")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    begin = TUNING if options.tuning else HELD_OUT
    draws = 150 if options.quick else 600
    lines = [line for model in models(begin) for line in measure(*model, draws, begin)]
    if options.json:
        print(json.dumps(lines, indent=2))
        return
    print(
        f"{'model':<20}{'metric':<10}{'true':>7}{'chosen ±':>10}{'held':>6}{'even ±':>9}{'held':>6}", end=""
    )
    print(f"{'worth':>7}{'least sure':>12}")
    for line in lines:
        print(f"{line['model']:<20}{line['metric']:<10}{line['true']:>7.3f}", end="")
        for how, wide in (("chosen", 10), ("even", 9)):
            print(_cell(line[f"{how} spread"], wide, ".4f") + _cell(line[f"{how} held"], 6, ".0%"), end="")
        print(_cell(line["worth"], 7, ".2f") + _cell(line["least sure off by"], 12, "+.3f"))
    worth = [line["worth"] for line in lines if line["worth"]]
    print(
        f"\n{BUDGET} labels, {draws} draws: one chosen label is worth {np.median(worth):.2f} even ones "
        f"(median; {min(worth):.2f} to {max(worth):.2f})"
    )


if __name__ == "__main__":
    main()
