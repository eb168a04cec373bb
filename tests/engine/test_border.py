"""The compiled core has one door; import-linter sees Python modules only."""

from pathlib import Path

import metafit

PACKAGE = Path(metafit.__file__).parent


def test_only_the_engine_touches_the_core():
    users = [path for path in PACKAGE.rglob("*.py") if "_core" in path.read_text() and "import" in path.read_text()]
    importers = [
        path.relative_to(PACKAGE).as_posix()
        for path in users
        if any("import" in line and "_core" in line.split("#")[0] for line in path.read_text().splitlines())
    ]
    assert importers == ["engine/native.py"]
