"""The compiled core has two doors, for numbers and for descriptions; import-linter sees Python modules only."""

from pathlib import Path

import metafit

PACKAGE = Path(metafit.__file__).parent


def test_only_its_doors_touch_the_core():
    users = [path for path in PACKAGE.rglob("*.py") if "_core" in path.read_text() and "import" in path.read_text()]
    importers = [
        path.relative_to(PACKAGE).as_posix()
        for path in users
        if any("import" in line and "_core" in line.split("#")[0] for line in path.read_text().splitlines())
    ]
    assert sorted(importers) == ["engine/cells.py", "engine/native.py", "engine/recipes.py", "strategies/registered.py"]
