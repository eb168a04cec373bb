"""Held-out error of `metafit.fit_tasks` on pupils in schools, with everything it chooses chosen inside.

Two tables of the real suite: Hsb82 (mathematics achievement, 160 schools of 14 to 67 pupils) and Chem97 (A-level
chemistry points, 2,410 schools, half of them with at most 8 pupils). Rows are dealt at random into five outer folds. In
each, `fit_tasks` sees the other four alone: encoding, strengths and the mode that "auto" takes come from them, by its
own inner folds. The held-out pupils are then predicted in every mode.

One call with shrinkage="auto" fits all three modes; naming one says only which `predict` uses by default. So there
is one call a fold, the seconds are those of the three modes together, and the first fold of the first table checks
that calls by name predict the same to the last bit.

What it shows: whether pulling the schools' fits together predicts further pupils of the same schools better than
fitting each alone or all as one, whether "auto" finds that out, and how far its own held-out error ("promised") is
from the error outside.

What it does not show:
- anything of new schools: they get the pooled fit in every mode, as do the few pupils whose school has no training
  row (column "unseen");
- how sure the gains are if other schools were drawn. Standard errors are over five folds of one deal, whose training
  rows overlap: they tell apart noise and signal roughly, and are no test;
- where the gain comes from: it is not split by the size of schools;
- how least squares a school would do: "independent" is a ridge fit of each school, its strength chosen inside;
- how a mixed model would do (lme4, statsmodels): none is run;
- other kinds of tables: there are two, both of schools, both of the squared loss, linear in at most five features.
  Hsb82's column meanses is a mean over all pupils of a school, held-out ones included; of their target it knows
  nothing.

    python benches/fit_tasks.py --quick
    python benches/fit_tasks.py --picture docs/images/fit_tasks.png
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import metafit as mf
from metafit.tasks import Source, load_frame, real_sources

FOLDS = 5
MODES = ["independent", "pooled", "shrunken"]
TABLES = ["mlmRev/Hsb82", "mlmRev/Chem97"]
#: Vermilion, grey and blue stay apart for all kinds of colour vision, and so do the shapes.
STYLES = {"independent": ("#7f7f7f", "s"), "pooled": ("#d55e00", "D"), "shrunken": ("#0072b2", "o")}


def outer_folds(n_rows: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Deal all rows at random, schools notwithstanding."""
    fold = np.random.default_rng(seed).permutation(n_rows) % FOLDS
    return ((np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(FOLDS))


def fit(train: pd.DataFrame, source: Source, shrinkage: str, seed: int) -> mf.TaskFits:
    return mf.fit_tasks(train, source.target, source.by, shrinkage=shrinkage, random_state=seed, progress=False)


def measure(frame: pd.DataFrame, source: Source, seed: int) -> Iterator[dict[str, Any]]:
    """Yield a row an outer fold."""
    for k, (train, test) in enumerate(outer_folds(len(frame), seed)):
        seen, held_out = frame.iloc[train], frame.iloc[test]
        start = time.perf_counter()
        fits = fit(seen, source, "auto", seed)
        seconds = time.perf_counter() - start
        y = held_out[source.target].to_numpy(dtype=float)
        errors = {mode: float(np.mean((y - fits.predict(held_out, mode)) ** 2)) for mode in MODES}
        yield {
            "table": source.name,
            "fold": k,
            "train_rows": len(train),
            "test_rows": len(test),
            "groups": len(fits.groups),
            "unseen": int((~held_out[source.by].isin(fits.groups)).sum()),
            **errors,
            "auto": float(np.mean((y - fits.predict(held_out)) ** 2)),
            "chosen": fits.mode,
            "promised": float(fits.summary()[fits.metric][fits.mode]),
            "seconds": seconds,
        }


def check_names(frame: pd.DataFrame, source: Source, seed: int) -> None:
    """Check what the docstring says: a call that names a mode is the call of "auto" with that mode in use."""
    train, test = next(outer_folds(len(frame), seed))
    auto = fit(frame.iloc[train], source, "auto", seed)
    for mode in MODES:
        named = fit(frame.iloc[train], source, mode, seed)
        np.testing.assert_array_equal(named.predict(frame.iloc[test]), auto.predict(frame.iloc[test], mode))


def std_error(values: pd.Series | pd.DataFrame) -> Any:
    """Of a mean over outer folds, as if they were independent."""
    return values.std(ddof=1) / np.sqrt(len(values))


def summarize(folds: pd.DataFrame) -> pd.Series:
    """Summarize one table: means over folds, and gains paired by fold."""
    result: dict[str, Any] = {"rows": folds["test_rows"].sum(), "unseen": folds["unseen"].sum()}
    for mode in MODES:
        result |= {mode: folds[mode].mean(), f"se_{mode}": std_error(folds[mode])}
    for mode in ("independent", "pooled"):
        gain = folds[mode] - folds["shrunken"]
        result |= {f"gain_{mode}": gain.mean(), f"se_gain_{mode}": std_error(gain), f"won_{mode}": (gain > 0).sum()}
    result |= {"auto": folds["auto"].mean(), "promised": folds["promised"].mean(), "seconds": folds["seconds"].sum()}
    counts = folds["chosen"].value_counts()
    return pd.Series(result | {"chosen": ", ".join(f"{mode} {n}/{len(folds)}" for mode, n in counts.items())})


def report(summary: pd.DataFrame) -> str:
    """Write the summary with a column a table, errors after their means."""
    lines = {f"MSE {mode}": [_pm(row[mode], row[f"se_{mode}"]) for _, row in summary.iterrows()] for mode in MODES}
    for mode in ("independent", "pooled"):
        lines[f"gain of shrunken over {mode}"] = [_gain(row, mode) for _, row in summary.iterrows()]
    lines['MSE of "auto"'] = [f"{value:.3f}" for value in summary["auto"]]
    lines["  its own held-out error"] = [f"{value:.3f}" for value in summary["promised"]]
    lines['"auto" chose'] = summary["chosen"].tolist()
    lines["seconds, all folds"] = [f"{value:.1f}" for value in summary["seconds"]]
    lines["held-out rows"] = [f"{value:,}" for value in summary["rows"]]
    lines["  of schools unseen"] = [f"{value:,}" for value in summary["unseen"]]
    return pd.DataFrame.from_dict(lines, orient="index", columns=summary.index.tolist()).to_string()


def _pm(mean: float, error: float) -> str:
    return f"{mean:.3f} ± {error:.3f}"


def _gain(row: pd.Series, mode: str) -> str:
    return f"{_pm(row[f'gain_{mode}'], row[f'se_gain_{mode}'])} (better in {row[f'won_{mode}']}/{FOLDS})"


def draw(summary: pd.DataFrame, path: Path) -> None:
    """Draw a panel a table."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(summary), 3.6), dpi=100, layout="constrained")
    panels = figure.subplots(1, len(summary), squeeze=False)[0]
    for axes, (name, row) in zip(panels, summary.iterrows(), strict=True):
        _panel(axes, row)
        axes.set_title(f"{name}: {real_sources()[str(name)].target} by {real_sources()[str(name)].by}", fontsize=12)
    figure.supxlabel(
        f"held-out mean squared error (lower is better), mean ± standard error over {FOLDS} outer folds\n"
        "axes do not start at 0; in italics the difference to shrunken, paired by fold, ± its standard error",
        fontsize=10,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, pil_kwargs={"optimize": True})


def _panel(axes: Any, row: pd.Series) -> None:
    for place, mode in enumerate(reversed(MODES)):
        color, marker = STYLES[mode]
        # small points and high caps: an error of a few pixels is to be seen, too
        bar = {"capsize": 6, "markersize": 5, "elinewidth": 1.5, "capthick": 1.5}
        axes.errorbar(row[mode], place, xerr=row[f"se_{mode}"], fmt=marker, color=color, **bar)
        _note(axes, row[mode], place, 11, f"{row[mode]:.2f}", fontsize=11)
        if mode != "shrunken":
            gain = f"+{_pm(row[f'gain_{mode}'], row[f'se_gain_{mode}'])}".replace("+-", "−")
            _note(axes, row[mode], place, -21, gain, fontsize=10, style="italic")
    axes.axvline(row["shrunken"], color=STYLES["shrunken"][0], linewidth=1, linestyle=":")
    axes.set_yticks(range(len(MODES)), list(reversed(MODES)), fontsize=11)
    axes.set_ylim(-0.5, len(MODES) - 0.4)
    # room for the words beside the outermost points
    axes.margins(x=0.3)
    axes.grid(axis="x", color="#e5e5e5")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _note(axes: Any, x: float, y: float, above: int, text: str, **font: Any) -> None:
    # a white ground keeps lines out of the words
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    axes.annotate(text, (x, y), xytext=(0, above), textcoords="offset points", ha="center", bbox=ground, **font)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="Hsb82 only")
    parser.add_argument("--seed", type=int, default=0, help="of the outer and the inner folds")
    parser.add_argument("--picture", type=Path, help="draw the errors to this file")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    names = TABLES[:1] if options.quick else TABLES
    sources = [real_sources()[name] for name in names]
    check_names(load_frame(names[0]), sources[0], options.seed)
    rows = [row for source in sources for row in measure(load_frame(source.name), source, options.seed)]
    folds = pd.DataFrame(rows)
    summary = pd.DataFrame({name: summarize(own) for name, own in folds.groupby("table", sort=False)}).T
    options.out.mkdir(parents=True, exist_ok=True)
    folds.to_csv(options.out / "fit_tasks.csv", index=False)
    summary.to_csv(options.out / "fit_tasks_summary.csv", index_label="table")
    print(report(summary))
    if options.picture is not None:
        draw(summary, options.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
