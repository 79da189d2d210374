"""`make run`'s demo: it says what it shows, and leaves nothing behind, however it ends."""

import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from rig.daemon import BUILD
from rig.wait import SLOW, until

DEMO = pathlib.Path(__file__).parents[2] / "contrib" / "demo"
OURS = re.compile(rb"tgd-|tollgate-demo|demo\0--serve")


@pytest.fixture
def demo(directory):
    """Starts the demo with its temporary files in here."""
    children = []

    def demo(*words, under=(), **variables):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TOLLGATE_")}
        child = subprocess.Popen([*under, DEMO, BUILD, *words], env={**environment, "TMPDIR": str(directory), **variables},
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        children.append(child)
        return child
    yield demo
    for child in children:
        if child.poll() is None:
            child.kill()
            child.wait()


def processes(directory):
    """Those of a demo in this directory, and of its machines."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if bytes(directory) in line and OURS.search(line):
            found.append(line)
    return found


def nothing_is_left(directory):
    namespaces = pathlib.Path("/run/netns")
    assert not namespaces.exists() or [path.name for path in namespaces.iterdir()] == []
    assert list(directory.glob("tollgate-demo-*")) == []
    until(lambda: processes(directory) == [], "all processes ended")


def test_the_demo_shows_both_tenants_in_under_a_minute_and_takes_all_back(demo, directory):
    began = time.monotonic()
    said, _ = demo().communicate(timeout=60 * SLOW)
    assert "Done in" in said and time.monotonic() - began < 60 * SLOW, said
    for tenant in ("alpha", "beta"):
        for scheme in ("http", "https"):
            assert re.search(rf"This is {tenant}'s machine, 10\.0\.0\.2: shop\.{tenant}\.example:\d+ over {scheme}\.", said)
    assert "peer:" in said and "shop.alpha.example" in said
    nothing_is_left(directory)


@pytest.mark.parametrize("last_step", [1, 3, 5])
def test_a_demo_that_is_interrupted_takes_all_back(demo, directory, last_step):
    child = demo()
    for line in child.stdout:
        if line.startswith(f"{last_step}."):
            break
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate(timeout=60 * SLOW)
    assert child.returncode == 1 and "Everything is taken back" in said, said
    nothing_is_left(directory)


def test_a_demo_that_is_interrupted_as_it_starts_the_daemon_takes_that_back(demo, directory):
    """The signal comes in the very fork, which strace holds up: there is a daemon and no note of it yet."""
    child = demo(under=["strace", "-D", "-o", "/dev/null", "-e", "inject=vfork:delay_exit=4000000:when=1"])
    until(lambda: list(directory.glob("tollgate-demo-*/run/api.sock")), "the daemon runs")
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate(timeout=60 * SLOW)
    assert child.returncode == 1 and "signal 2" in said and "Everything is taken back" in said, said
    nothing_is_left(directory)


def test_a_demo_that_is_kept_can_be_talked_to_and_ended(demo, directory):
    kept = demo(KEEP="1")
    said, _ = kept.communicate(timeout=60 * SLOW)
    assert kept.returncode == 0, said
    status = re.search(r"^ +(\S+tollgate --run-dir \S+ status)", said, re.M).group(1)
    shown = subprocess.run(status.split(), capture_output=True, text=True, check=True)
    assert "(alpha)" in shown.stdout and "(beta)" in shown.stdout
    again, _ = demo().communicate(timeout=60 * SLOW)
    assert "another demo runs" in again
    ended = demo("--stop", re.search(r"--stop (\S+)", said).group(1))
    assert ended.wait(timeout=60 * SLOW) == 0
    nothing_is_left(directory)
