"""Time all workloads beside their peers; print one table, write a CSV and a bar chart.

python benches/run.py                    # full size, under 20 minutes
python benches/run.py --quick            # small sizes, under 2 minutes
python benches/run.py --only W3 W7
"""

from __future__ import annotations

import argparse
import importlib
import math
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
from harness import BUDGETS, PATIENCE, VALID_SCALING, Case, Outcome, quiet_moment, time_case, versions

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="*", default=None, help="workloads, as W1 W7")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    arguments = parser.parse_args()
    size = "quick" if arguments.quick else "full"
    rows: list[dict[str, Any]] = []
    cases: list[Case] = []
    for path in sorted(HERE.glob("w[0-9][0-9]_*.py")):
        if arguments.only is None or f"W{int(path.name[1:3])}" in arguments.only:
            start = time.perf_counter()
            for case in importlib.import_module(path.stem).cases(size):
                cases.append(case)
                rows += _timed(case, size)
            print(f"{path.stem}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    table = pd.DataFrame(rows)
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / "workloads.csv", index=False)
    _chart(table, arguments.out / "workloads.png")
    print(_printed(table))
    print("\n`~` extrapolated from a seeded share; `!` plain arithmetic on two threads never reached 1.9 just before.")
    print(", ".join(f"{name} {version}" for name, version in versions(cases).items()))
    print(f"{arguments.out}/workloads.csv, {arguments.out}/workloads.png")


def _timed(case: Case, size: str) -> list[dict[str, Any]]:
    scaling = quiet_moment(PATIENCE[size])
    ours, *peers = time_case(case, BUDGETS[size])
    fastest = min((peer.wall for peer in peers), default=math.nan)
    return [_row(case, ours, peer, scaling, fastest) for peer in peers] or [_row(case, ours, None, scaling, fastest)]


def _row(case: Case, ours: Outcome, peer: Outcome | None, scaling: float, fastest: float) -> dict[str, Any]:
    row = {
        "workload": case.workload,
        "case": case.name,
        "shape": case.shape,
        "fits": case.n_fits,
        "seconds": ours.wall,
        "goal_seconds": case.seconds,
        "cpu": ours.cpu,
        "threads": ours.contender.threads,
        "gap": ours.gap,
        "scaling": scaling,
        "limit": case.limit,
    }
    if peer is None:
        return row
    name = peer.contender.name
    goal = case.ratios.get(name, case.ratios.get("*") if peer.wall == fastest else None)
    return row | {
        "peer": name,
        "peer_seconds": peer.wall,
        "extrapolated": peer.is_extrapolated,
        "peer_cpu": peer.cpu,
        "peer_threads": peer.contender.threads,
        "peer_gap": peer.gap,
        "ratio": peer.wall / ours.wall,
        "goal_ratio": goal,
    }


def _printed(table: pd.DataFrame) -> str:
    def seconds(value: float, mark: str = "") -> str:
        unit, factor = ("s", 1) if value >= 1 else ("ms", 1e3) if value >= 1e-3 else ("us", 1e6)
        return "" if math.isnan(value) else f"{mark}{value * factor:.3g} {unit}"

    def goal(row: Any) -> str:
        reached = []
        if not math.isnan(row.goal_seconds):
            reached.append(f"{seconds(row.goal_seconds)} {'yes' if row.seconds <= row.goal_seconds else 'no'}")
        if not math.isnan(row.goal_ratio):
            reached.append(f"{row.goal_ratio:g}x {'yes' if row.ratio >= row.goal_ratio else 'no'}")
        return ", ".join(reached)

    wanted = ("peer", "peer_seconds", "extrapolated", "peer_cpu", "peer_threads", "peer_gap", "ratio", "goal_ratio")
    table = table.reindex(columns=[*table.columns, *(name for name in wanted if name not in table)])
    table = table.astype({"goal_seconds": float, "goal_ratio": float})
    rows = list(table.itertuples())
    out = pd.DataFrame(
        {
            "workload": [f"{row.workload}{'' if row.scaling >= VALID_SCALING else '!'} {row.case}" for row in rows],
            "shape": [row.shape for row in rows],
            "fits": [row.fits for row in rows],
            "metafit": [seconds(row.seconds) for row in rows],
            "cpu": [seconds(row.cpu) for row in rows],
            "gap": [f"{row.gap:.0e}" for row in rows],
            "peer": ["" if pd.isna(row.peer) else f"{row.peer} ({row.peer_threads:.0f})" for row in rows],
            "peer time": [
                "" if pd.isna(row.peer) else seconds(row.peer_seconds, "~" * bool(row.extrapolated)) for row in rows
            ],
            "peer cpu": ["" if pd.isna(row.peer) else seconds(row.peer_cpu) for row in rows],
            "peer gap": ["" if pd.isna(row.peer) else f"{row.peer_gap:.0e}" for row in rows],
            "ratio": ["" if pd.isna(row.peer) else f"{row.ratio:.3g}" for row in rows],
            "goal": [goal(row) for row in rows],
        }
    )
    return out.to_string(index=False)


def _chart(table: pd.DataFrame, path: Path) -> None:
    """Bars of the ratios, with a tick where the goal lies."""
    if "ratio" not in table or table["ratio"].isna().all():
        return
    from matplotlib.figure import Figure

    table = table.dropna(subset=["ratio"]).iloc[::-1].reset_index(drop=True)
    figure = Figure(figsize=(9, 1.2 + 0.26 * len(table)), layout="constrained")
    axes = figure.subplots()
    colours = ["#2a6f97" if ratio >= 1 else "#b5543c" for ratio in table["ratio"]]
    axes.barh(table.index, table["ratio"] - 1, left=1, color=colours, height=0.7)
    goals = table.dropna(subset=["goal_ratio"])
    axes.plot(goals["goal_ratio"], goals.index, "|", color="black", markersize=11, label="goal")
    axes.set_yticks(table.index, [f"{r.workload} {r.case}: {r.peer}" for r in table.itertuples()], fontsize=7)
    axes.set_xscale("log")
    axes.set_xlim(min(0.8, 0.7 * table["ratio"].min()), 1.4 * max(table["ratio"].max(), goals["goal_ratio"].max()))
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_xlabel("time of the peer / time of metafit")
    axes.margins(y=0.01)
    if len(goals):
        axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
