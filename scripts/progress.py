"""A pytest plugin for `scripts/test`: now and then a plain line says how far the tests are, in place of dots.

What has failed is named at once. Knows how many tests there are and have ended. Knows nothing about what they test.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from _pytest.terminal import TerminalReporter

EVERY_SECONDS = 10.0


class Progress:
    """Counts the tests of a run, whether one process runs them or several."""

    def __init__(self, reporter: TerminalReporter) -> None:
        self._reporter = reporter
        self._total = self._ended = self._failed = 0
        self._begun = self._said = time.monotonic()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._total = self._total or len(session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        self._total = len(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed += 1
            self._reporter.write_line(f"  failed: {report.nodeid}")
        self._ended += report.when == "teardown"
        now = time.monotonic()
        if now - self._said >= EVERY_SECONDS:
            self._said = now
            failed = f", {self._failed} failed" if self._failed else ""
            self._reporter.write_line(f"  {self._ended} of {self._total}{failed}, {now - self._begun:.0f} s")

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self) -> Generator[None, tuple[str, str, str], tuple[str, str, str]]:
        category, _, word = yield
        return category, "", word


@pytest.hookimpl(trylast=True)  # once there is a reporter
def pytest_configure(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Progress(cast("TerminalReporter", reporter)))
