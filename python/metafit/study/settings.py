"""What all parts of one study share: the splits they were scored on, and the format they are written in."""

from __future__ import annotations

import json
import operator
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from metafit.study import parts

#: Version of the files on disk; another one is refused.
FORMAT = 1
FILE = "study.json"
_PACKAGES = ("metafit", "numpy", "scikit-learn", "pandas", "pyarrow")


@dataclass(frozen=True)
class Settings:
    """The splits of a study: `repeats` partitions into `folds` folds, seeded from `random_state` upwards.

    Examples
    --------
    >>> settings = Settings.checked(folds=5, repeats=2, random_state=7)
    >>> settings.seeds, settings.n_splits
    ((7, 8), 10)
    >>> Settings.checked(folds=1, repeats=2, random_state=0)
    Traceback (most recent call last):
    ...
    ValueError: folds must be an int of at least 2, got 1
    """

    folds: int
    repeats: int
    random_state: int

    @classmethod
    def checked(cls, folds: object, repeats: object, random_state: object) -> Settings:
        """Return the settings, or raise a ValueError that names the argument."""
        return cls(
            _integer("folds", folds, 2),
            _integer("repeats", repeats, 1),
            _integer("random_state", random_state, 0),
        )

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seed of each repeat."""
        return tuple(self.random_state + r for r in range(self.repeats))

    @property
    def n_splits(self) -> int:
        """Number of fits of one strategy on one task."""
        return self.folds * self.repeats

    @property
    def context(self) -> str:
        """Hash of everything that parts must agree on to stand in one table, tasks and strategies aside."""
        return parts.digest(FORMAT, asdict(self))

    def to_json(self) -> str:
        """Return the text of ``study.json``."""
        content = {
            "format": FORMAT,
            "context": self.context,
            "settings": asdict(self),
            "versions": versions(),
        }
        return json.dumps(content, indent=2) + "\n"


def _integer(name: str, value: Any, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        raise ValueError(f"{name} must be an int of at least {least}, got {value!r}")
    return number


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a study's numbers depend on."""
    return {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def load(folder: Path) -> Settings | None:
    """Return the settings of the study in ``folder``, None when there is no study yet.

    Raises
    ------
    ValueError
        When ``study.json`` is of another format version or cannot be read.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not the head of a metafit study: {error}") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise ValueError(
            f"{path} has format version {found}, this metafit ({_version('metafit')}) reads version {FORMAT}:"
            " choose another folder, or the metafit that wrote it"
        )
    return _agreeing(path, content)


def _agreeing(path: Path, content: dict[str, Any]) -> Settings:
    try:
        settings = Settings.checked(**content["settings"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} lacks the study's settings: {error}") from error
    if settings.context != content.get("context"):
        raise ValueError(f"{path} was changed by hand: its settings do not give its context hash")
    return settings


def refuse_other(folder: Path, wanted: Settings, found: Settings) -> None:
    """Raise a ValueError that names every setting in which the study differs from what is wanted."""
    old, new = asdict(found), asdict(wanted)
    changed = [f"{key}={new[key]} (the study has {old[key]})" for key in new if new[key] != old[key]]
    if changed:
        raise ValueError(
            f"the study in {folder} was made with other settings than {', '.join(changed)}: "
            "run with its settings or choose another folder"
        )


def settle(folder: Path, wanted: Settings) -> None:
    """Write ``study.json`` unless it is there; refuse when another writer was first with other settings."""
    path = folder / FILE
    if not path.exists():
        parts.write_once(path, wanted.to_json().encode())
    found = load(folder)
    assert found is not None
    refuse_other(folder, wanted, found)
