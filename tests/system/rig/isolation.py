"""Runs each test in a mount, network and process-id namespace of its own, several at a time.

The process that pytest is forks a warden for each test.  The warden makes the namespaces and an init
(process 1 of the new process-id namespace), which forks the test's process, reaps, and reports what
the test left running.  When init ends, the kernel kills all that is left; when pytest ends, the
wardens and so the inits are killed too.  Nothing that a test makes can outlive it.
"""

import json
import os
import pathlib
import selectors
import signal
import subprocess
import time
import traceback

import pytest
from _pytest.runner import runtestprotocol

from rig import linux
from rig.wait import SLOW

TEST_SECONDS = float(os.environ.get("TOLLGATE_TEST_SECONDS", "300")) * SLOW
TEST_DIRECTORY = "/run/test"	# in the test's own tmpfs


def make_mounts_private():
    """What is mounted from here on is seen in this mount namespace only."""
    try:
        linux.mount(None, "/", flags=linux.MS_REC | linux.MS_PRIVATE)
        return
    except OSError:
        pass
    # In a chroot "/" is no mount: the one above it is named from outside only.
    jail = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.chroot("/run")
        os.fchdir(jail)
        while os.stat("..").st_ino != os.stat(".").st_ino or os.stat("..").st_dev != os.stat(".").st_dev:
            os.chdir("..")
        os.chroot(".")
        linux.mount(None, "/", flags=linux.MS_REC | linux.MS_PRIVATE)
        os.fchdir(jail)
        os.chroot(".")
    finally:
        os.close(jail)


def furnish():
    """A /proc of the new process ids, an empty /run, loopback."""
    make_mounts_private()
    linux.mount("proc", "/proc", "proc")
    linux.mount("run", "/run", "tmpfs", data="mode=755")
    os.mkdir(TEST_DIRECTORY)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def run_item(item, pipe):
    """In the test's own process: the reports go through `pipe`."""
    capture = item.config.pluginmanager.getplugin("capturemanager")
    # The parent's capture file is shared by all tests that run now.
    capture.stop_global_capturing()
    capture.start_global_capturing()
    reports = runtestprotocol(item, nextitem=None, log=False)
    hook = item.config.hook
    data = [hook.pytest_report_to_serializable(config=item.config, report=report) for report in reports]
    pipe.write(json.dumps({"reports": data}) + "\n")
    pipe.flush()


def running_processes():
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            state = (path / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if path.name != "1" and state != "Z":
            found.append(f"{path.name} {line}")
    return found


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def init(item, pipe):
    """Process 1: runs the test, reaps, says what is left."""
    furnish()
    test = os.fork()
    if test == 0:
        run_item(item, pipe)
        return
    while os.wait()[0] != test:
        pass
    deadline = time.monotonic() + 15 * SLOW
    while (left := running_processes()) and time.monotonic() < deadline:
        reap()
        time.sleep(0.02)
    pipe.write(json.dumps({"left": left}) + "\n")
    pipe.flush()


def guarded(pipe, function):
    """Ends this process, whatever `function` does."""
    try:
        function()
        os._exit(0)
    except BaseException:	# a SystemExit too must not run pytest's ending here
        pipe.write(json.dumps({"error": traceback.format_exc()}) + "\n")
        pipe.flush()
        os._exit(1)


def warden(item, pipe):
    linux.die_with_parent(signal.SIGKILL)
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWNET | linux.CLONE_NEWPID)
    child = os.fork()
    if child == 0:
        def start():
            linux.die_with_parent(signal.SIGKILL)
            init(item, pipe)
        guarded(pipe, start)
    os.waitpid(child, 0)


class Running:
    def __init__(self, item):
        self.item = item
        self.text = b""
        self.started = time.monotonic()
        self.late = False
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            pipe = os.fdopen(writer, "w")
            guarded(pipe, lambda: warden(item, pipe))
        os.close(writer)
        self.fd = reader

    def deadline(self):
        return self.started + TEST_SECONDS

    def kill(self):
        self.late = True
        os.kill(self.pid, signal.SIGKILL)

    def read(self):
        """False at the end."""
        data = os.read(self.fd, 1 << 16)
        self.text += data
        return bool(data)

    def reports(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)
        said = {}
        for line in self.text.decode().splitlines():
            said.update(json.loads(line))
        config = self.item.config
        reports = [config.hook.pytest_report_from_serializable(config=config, data=data)
                   for data in said.get("reports", [])]
        if self.late:
            reports.append(self.failure(f"still running after {TEST_SECONDS:.0f} s"))
        elif not reports or "error" in said:
            reports.append(self.failure(said.get("error", "the test's process died")))
        elif said["left"]:
            reports.append(self.failure("left running: " + "; ".join(said["left"])))
        return reports

    def failure(self, text):
        return pytest.TestReport(nodeid=self.item.nodeid, location=self.item.location, keywords={},
                                 outcome="failed", longrepr=text, when="teardown",
                                 duration=time.monotonic() - self.started)


class Isolation:
    def __init__(self, jobs):
        self.jobs = jobs

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            raise session.Interrupted(f"{session.testsfailed} errors during collection")
        if session.config.option.collectonly:
            return True
        waiting = list(session.items)
        running = []
        try:
            while waiting or running:
                while waiting and len(running) < self.jobs:
                    running.append(Running(waiting.pop(0)))
                self.wait(running)
                if session.shouldfail or session.shouldstop:
                    raise session.Interrupted(session.shouldfail or session.shouldstop)
        finally:
            for test in running:
                test.kill()
        return True

    @staticmethod
    def wait(running):
        with selectors.DefaultSelector() as selector:
            for test in running:
                selector.register(test.fd, selectors.EVENT_READ, test)
            first = min(test.deadline() for test in running)
            ready = [key.data for key, _ in selector.select(max(0, first - time.monotonic()))]
        for test in list(running):
            if time.monotonic() > test.deadline():
                test.kill()
            if test in ready and not test.read():
                running.remove(test)
                Isolation.log(test)

    @staticmethod
    def log(test):
        hook = test.item.ihook
        hook.pytest_runtest_logstart(nodeid=test.item.nodeid, location=test.item.location)
        for report in test.reports():
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=test.item.nodeid, location=test.item.location)
