"""End-to-end tests of the daemon: real programs, real tunnels, namespaces of each test's own.

TOLLGATE_BUILD names the directory with the programs (default build), TOLLGATE_TEST_SLOW stretches
every deadline, TOLLGATE_TEST_SECONDS is the time that one test may take, TOLLGATE_TEST_JOBS says how many
run at a time."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from rig.daemon import Daemon
from rig.isolation import TEST_DIRECTORY, Isolation
from rig.lab import Lab
from rig.pair import Pair


def pytest_configure(config):
    config.addinivalue_line("markers", "kernel: depends on WireGuard, so it runs in tests/vm too")
    config.addinivalue_line("markers", "asan: the run under the sanitizers")
    if os.geteuid() != 0:
        raise pytest.UsageError("tests/system needs root: every test makes namespaces")
    jobs = int(os.environ.get("TOLLGATE_TEST_JOBS", os.cpu_count() or 1))
    config.pluginmanager.register(Isolation(jobs), "isolation")


@pytest.fixture
def directory():
    """Empty, in memory, gone with the test."""
    return pathlib.Path(TEST_DIRECTORY)


@pytest.fixture
def lab(directory):
    """The gateway's host with its public network, and what tests put on it."""
    lab = Lab(directory)
    yield lab
    lab.close()


@pytest.fixture
def daemon(directory):
    """A daemon that is not started yet.  At the end: stopped, and all that it made removed."""
    daemon = Daemon(directory)
    yield daemon
    daemon.close()


@pytest.fixture
def pair(lab, daemon, directory):
    """A running daemon with two tenants that use the same addresses; each has one machine with a tunnel
    and a server behind the same kinds of host names."""
    return Pair(lab, daemon, directory)
