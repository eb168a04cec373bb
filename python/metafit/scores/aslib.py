"""Algorithm-selection scenarios in the format of ASlib as a table of scores.

Bischl et al. (2016), "ASlib: A benchmark library for algorithm selection", Artificial Intelligence 237. Instances are
tasks, algorithms are strategies. The loss is seconds / (10 cutoff): a run that solves its instance has at most 0.1, one
that does not has 1, so that 10 cutoff times a mean loss is the PAR10 score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

#: Times the cutoff that an unsolved instance counts.
PENALTY = 10
_INSTANCE, _REPETITION = "instance_id", "repetition"
_FAILED = {"memout": "failed", "crash": "failed", "other": "failed"}


@dataclass(frozen=True)
class Scenario:
    """The files of one scenario.

    Parameters
    ----------
    folder : Path
    """

    folder: Path

    @cached_property
    def about(self) -> dict[str, Any]:
        """What description.txt says."""
        import yaml

        about: dict[str, Any] = yaml.safe_load(self._file("description.txt").read_text())
        if _first(about.get("performance_type")) != "runtime":
            raise ValueError(f"{self.folder}: measures {about.get('performance_type')}, only runtimes can be read")
        return about

    @property
    def cutoff(self) -> float:
        """Seconds after which a run was stopped."""
        return float(self.about["algorithm_cutoff_time"])

    def cells(self) -> pd.DataFrame:
        """Give a row per run. A run that says "ok" but took longer than the cutoff was not in time."""
        runs = self._table("algorithm_runs")
        seconds = pd.to_numeric(runs[_first(self.about["performance_measures"])]).to_numpy(dtype=float)
        status = runs["runstatus"].replace(_FAILED)
        status = status.mask((status == "ok") & ~(seconds <= self.cutoff), "timeout")
        solved = (status == "ok").to_numpy()
        return pd.DataFrame(
            {
                "task": runs[_INSTANCE],
                "strategy": runs["algorithm"],
                "fold": runs[_REPETITION].astype(int) - 1,
                "status": status,
                "loss": np.where(solved, seconds / (PENALTY * self.cutoff), 1.0),
                "seconds": np.minimum(seconds, self.cutoff),
            }
        )

    def splits(self) -> pd.DataFrame:
        """Give the official folds, a column per repetition."""
        folds = self._table("cv")
        return folds.pivot(index=_INSTANCE, columns=_REPETITION, values="fold").rename(
            columns=lambda repetition: str(int(repetition))
        )

    def descriptions(self) -> pd.DataFrame:
        """Give the features of the default steps, missing where a step that provides them was not run to its end."""
        values = self._table("feature_values").drop(columns=_REPETITION)
        features = values.groupby(_INSTANCE, sort=False).mean()
        status = self._optional("feature_runstatus")
        for step, provided in self._steps().items():
            if status is not None and step in status:
                failed = (status[step] != "ok").groupby(status[_INSTANCE]).any()
                features.loc[failed.reindex(features.index, fill_value=False), provided] = np.nan
        skipped = {name for step, names in self._steps(default=False).items() for name in names}
        return features.drop(columns=[name for name in features if name in skipped])

    def costs(self) -> pd.Series[float]:
        """Give the seconds that the features of the default steps took; 0 where nobody measured them."""
        costs = self._optional("feature_costs")
        instances = self._table("feature_values")[_INSTANCE].unique()
        if costs is None:
            return pd.Series(0.0, index=instances)
        steps = [step for step in self._steps() if step in costs]
        seconds = costs[steps].astype(float).sum(axis=1).groupby(costs[_INSTANCE]).mean()
        return seconds.reindex(instances, fill_value=0.0)

    def tasks(self) -> pd.DataFrame:
        """Give every instance that was run, solved by anybody or not."""
        names = pd.Index(self._table("algorithm_runs")[_INSTANCE].unique())
        costs = self.costs().reindex(names, fill_value=0.0)
        return pd.DataFrame({"kind": "runtime", "cutoff": self.cutoff, "feature_seconds": costs}, index=names)

    def _steps(self, default: bool = True) -> dict[str, list[str]]:
        """Features by the step that provides them, of the steps that are run by default or of all others."""
        steps = {str(step): list(says["provides"]) for step, says in (self.about.get("feature_steps") or {}).items()}
        chosen = [str(step) for step in self.about.get("default_steps") or steps]
        return {step: names for step, names in steps.items() if (step in chosen) == default}

    def _optional(self, name: str) -> pd.DataFrame | None:
        return self._table(name) if (self.folder / f"{name}.arff").is_file() else None

    def _table(self, name: str) -> pd.DataFrame:
        import arff

        content = arff.loads(self._file(f"{name}.arff").read_text())
        table = pd.DataFrame(content["data"], columns=[column for column, _ in content["attributes"]])
        return table.astype({_INSTANCE: "str"})

    def _file(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{self.folder} is no ASlib scenario: it lacks {name}")
        return path


def _first(value: Sequence[Any] | str | None) -> Any:
    return value[0] if isinstance(value, list) else value
