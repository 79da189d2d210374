"""The daemon under test: started with a state of its own, looked at from outside."""

import os
import pathlib
import signal
import socket
import subprocess

from rig.api import Api
from rig.wait import SLOW, until

BUILD = pathlib.Path(os.environ.get("TOLLGATE_BUILD", pathlib.Path(__file__).parents[3] / "build"))
TOLLGATED = str(BUILD / "tollgated")
TOLLGATE = str(BUILD / "tollgate")
PREFIX = "network-"
ROLES = ("engine", "broker", "control", "worker")


def children(pid):
    """The process ids of the children of `pid`."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(path.parent.name))
    return sorted(found)


def role_of(pid):
    """What stands behind --role in its command line; None for another program."""
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    if b"--role" not in words:
        return None
    return words[words.index(b"--role") + 1].decode()


def status_of(pid):
    """/proc/PID/status as a dict of texts."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


class Daemon:
    def __init__(self, directory):
        self.directory = directory
        self.state = directory / "state"
        self.run = directory / "run"
        self.log_path = directory / "tollgated.log"
        self.options = {"--state-dir": self.state, "--run-dir": self.run, "--workers": "2",
                        "--sample-interval": "200ms", "--drain-timeout": "2s"}
        self.extra = []
        self.environment = {}
        self.process = None
        self.started = False
        self.killed = 0
        self.api = Api(self.run / "api.sock", timeout=60 * SLOW)
        for path in (self.state, self.run):
            path.mkdir()

    def command(self, *more):
        words = [TOLLGATED]
        for name, value in self.options.items():
            if value is not None:
                words += [name, str(value)]
        return words + [str(word) for word in self.extra] + [str(word) for word in more]

    def spawn(self, *more, **options):
        """Starts it and returns at once."""
        self.started = True
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TOLLGATE_")}
        environment.update(self.environment)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(self.command(*more), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=environment, **options)
        return self

    def start(self, document=None, *more):
        """Starts it, waits until the API answers, and applies `document`, which must succeed."""
        self.spawn(*more)
        self.wait_for_api()
        if document is not None:
            self.api.applied(document)
        return self

    def wait_for_api(self):
        def answers():
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log()}"
            # 503: a role is not up yet, or there is no document.
            return self.api.get("/health").status in (200, 503) and self.whole()
        until(answers, "the API answers")

    def wait_until_healthy(self, seconds=30):
        until(lambda: self.whole() and self.api.get("/health").status == 200, "all roles are up", seconds)

    def fails(self, *more, seconds=30):
        """Starts what must not start; returns (exit status, what it said)."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TOLLGATE_")}
        environment.update(self.environment)
        done = subprocess.run(self.command(*more), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              env=environment, timeout=seconds * SLOW, check=False)
        return done.returncode, done.stdout + done.stderr

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def roles(self):
        """{role: [process ids]}"""
        found = {role: [] for role in ROLES}
        for pid in children(self.process.pid):
            role = role_of(pid)
            if role in found:
                found[role].append(pid)
        return found

    def role(self, name):
        """The process id of the only one of its kind."""
        [pid] = self.roles()[name]
        return pid

    def whole(self):
        found = self.roles()
        return (all(len(found[role]) == 1 for role in ("engine", "broker", "control"))
                and len(found["worker"]) == int(self.options["--workers"]))

    def kill_role(self, *pids):
        for pid in pids:
            self.killed += 1
            os.kill(pid, signal.SIGKILL)
        until(lambda: not set(pids) & set(children(self.process.pid)), f"{pids} are gone")

    def stop(self, seconds=30):
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds * SLOW)

    def kill(self):
        """As a crash of the supervisor: its roles end by themselves."""
        roles = [pid for pids in self.roles().values() for pid in pids]
        self.process.kill()
        self.process.wait()
        until(lambda: not any(role_of(pid) for pid in roles), "the roles of a dead supervisor end", 60)

    def namespaces(self):
        path = pathlib.Path("/run/netns")
        prefix = self.options.get("--netns-prefix", PREFIX)
        return sorted(entry.name for entry in path.glob(f"{prefix}*"))

    def close(self):
        """Stops what runs, removes the networks, checks that nothing of the daemon is left."""
        if not self.started or self.process is None:
            return
        print(f"--- {self.log_path}")
        try:
            if self.process.poll() is None:
                self.stop()
            done = subprocess.run([*self.command("--teardown")], capture_output=True, text=True,
                                  timeout=60 * SLOW, check=False)
            assert done.returncode == 0, f"--teardown: {done.returncode} {done.stderr}"
            assert self.namespaces() == [], "namespaces are left"
            self._check_log()
        finally:
            print(self.log())

    def _check_log(self):
        """Roles are restarted, and so a crash would not show in what a test sees."""
        log = self.log()
        for bad in ("Sanitizer", "runtime error:", "forbidden system call", "did not end in time"):
            assert bad not in log, f"the log says {bad!r}"
        assert log.count('msg="a process died"') <= self.killed, "more processes died than were killed"


def notify_socket(path):
    """Where sd_notify writes."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(path))
    listener.settimeout(30 * SLOW)
    return listener
