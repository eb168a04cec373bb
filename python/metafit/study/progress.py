"""Progress of a long run: a bar with rate and time left, plain lines where there is no terminal."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

#: A run shorter than this stays silent (seconds).
SILENT_FOR = 2.0
#: Seconds between two plain lines.
LINE_EVERY = 10.0


class Progress:
    """Show how far a run of `n_steps` steps is, once it has lasted two seconds.

    Parameters
    ----------
    title : str
        What runs.
    n_steps : int
        Size of the whole run.
    step : str, default="tasks"
        What a step is called.
    shown : bool, default=True
        False: say nothing.
    console : rich.console.Console or None
        Where to write; standard error by default.

    Examples
    --------
    >>> with Progress("study", n_steps=2) as progress:
    ...     progress.advance(5)
    ...     progress.advance(5)
    >>> progress.done, progress.fits
    (2, 10)
    """

    def __init__(
        self,
        title: str,
        *,
        n_steps: int,
        step: str = "tasks",
        shown: bool = True,
        console: Console | None = None,
    ) -> None:
        self.title, self.n_steps, self.step = title, n_steps, step
        self.done = self.fits = 0
        self.console = console or Console(stderr=True)
        self._shown = shown and n_steps > 0
        self._lock = threading.Lock()
        self._bar: Bar | None = None

    def __enter__(self) -> Progress:
        self._start = self._last_line = time.monotonic()
        self._over, self._said = False, 0
        if self._shown and (self.console.is_terminal or self.console.is_jupyter):
            # a timer, since the first step alone may take long
            self._timer = threading.Timer(SILENT_FOR, self._show_bar)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._over = True
            if self._bar is not None:
                self._bar.stop()
        if hasattr(self, "_timer"):
            self._timer.cancel()
        elif self._said < self.done and self._last_line > self._start:
            self._write_line()

    def advance(self, fits: int) -> None:
        """Count one step that held ``fits`` fits."""
        with self._lock:
            self.done, self.fits = self.done + 1, self.fits + fits
            if self._bar is not None:
                self._bar.update(self._id, completed=self.done, steps=self._steps(), rate=self._rate())
        if self._shown and not hasattr(self, "_timer") and self._line_is_due():
            self._write_line()

    def _steps(self) -> str:
        return f"{self.done:,}/{self.n_steps:,} {self.step}"

    def _rate(self) -> str:
        return f"{self.fits / max(time.monotonic() - self._start, 1e-9):,.0f} fits/s"

    def _show_bar(self) -> None:
        with self._lock:
            if self._over:
                return
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[steps]}"),
                TextColumn("{task.fields[rate]}", style="progress.data.speed"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self._id = self._bar.add_task(
                self.title,
                total=self.n_steps,
                completed=self.done,
                steps=self._steps(),
                rate=self._rate(),
            )
            self._bar.start()

    def _line_is_due(self) -> bool:
        now = time.monotonic()
        first = self._last_line == self._start
        return now - self._last_line > (SILENT_FOR if first else LINE_EVERY)

    def _write_line(self) -> None:
        self._last_line, self._said = time.monotonic(), self.done
        elapsed = self._last_line - self._start
        left = elapsed * (self.n_steps - self.done) / max(self.done, 1)
        line = f"{self.title}: {self._steps()}, {self._rate()}, {elapsed:,.0f} s, {left:,.0f} s left"
        self.console.print(line, highlight=False, soft_wrap=True)
