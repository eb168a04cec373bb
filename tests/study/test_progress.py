"""Silent when short; then a bar on a terminal, plain lines elsewhere."""

import io

import pytest
from rich.console import Console

from metafit.study import progress
from metafit.study.progress import Progress


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


def make(n_steps=4, terminal=False, **options):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120, force_jupyter=False)
    return Progress("study", n_steps=n_steps, console=console, **options)


def text(bar):
    return bar.console.file.getvalue()


def test_a_short_run_says_nothing(clock):
    with make() as bar:
        for _ in range(4):
            clock.now += 0.4
            bar.advance(10)
    assert text(bar) == ""
    assert (bar.done, bar.fits) == (4, 40)


def test_plain_lines_have_rate_and_time_left(clock):
    with make() as bar:
        clock.now += 5
        bar.advance(10)
        clock.now += 1
        bar.advance(10)  # too soon for another line
        clock.now += 14
        bar.advance(10)
        clock.now += 1
        bar.advance(10)
    first, second, last = text(bar).splitlines()
    assert first == "study: 1/4 tasks, 2 fits/s, 5 s, 15 s left"
    assert second == "study: 3/4 tasks, 2 fits/s, 20 s, 7 s left"
    assert last == "study: 4/4 tasks, 2 fits/s, 21 s, 0 s left"


def test_the_last_line_is_not_said_twice(clock):
    with make(n_steps=1) as bar:
        clock.now += 5
        bar.advance(10)
    assert len(text(bar).splitlines()) == 1


def test_nothing_is_shown_when_told_so(clock):
    with make(shown=False) as bar:
        clock.now += 60
        bar.advance(10)
    assert text(bar) == ""


def test_a_long_run_shows_a_bar_though_its_first_step_takes_long(monkeypatch):
    monkeypatch.setattr(progress, "SILENT_FOR", 0.0)
    with make(terminal=True) as bar:
        bar._timer.join(5)
        bar.advance(10)
        bar.advance(10)
        bar._bar.refresh()
    assert "2/4 tasks" in text(bar)
    assert "fits/s" in text(bar)


def test_a_bar_that_is_no_longer_wanted_does_not_start(monkeypatch):
    monkeypatch.setattr(progress, "SILENT_FOR", 3600.0)
    with make(terminal=True) as bar:
        bar.advance(10)
    bar._show_bar()
    assert bar._bar is None
    assert text(bar) == ""


def test_nothing_to_do_shows_nothing():
    with make(n_steps=0, terminal=True) as bar:
        pass
    assert text(bar) == ""
