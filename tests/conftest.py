"""What holds for every test."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is no promise of ours, and on a machine with other work it fails for no reason.
settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("anew", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The default run asks the same of every commit; ./test --all looks for examples that nobody has seen yet.
settings.load_profile(os.environ.get("CALLREC_EXAMPLES", "same"))


LONGEST = ("tests/docs/test_examples.py", "tests/end_to_end/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files where processes share them, so that none of them is left over at the end."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """Make a skipped test fail under ./test: there everything it needs is installed."""
    report = yield
    if os.environ.get("CALLREC_NO_SKIPS") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and ./test allows no skips: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):  # type: ignore[no-untyped-def]
    """Make a file that skips itself as a whole fail, too."""
    report = yield
    if os.environ.get("CALLREC_NO_SKIPS") and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} skips itself, and ./test allows no skips: {report.longrepr}"
    return report
