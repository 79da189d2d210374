"""What an event loop does, seen by the kernel's own tracer (tracefs), without a word from the program:
when a process waits in epoll_wait(2), and which calls it makes between two waits."""

import pathlib
import re

TRACING = pathlib.Path("/sys/kernel/tracing")
# Of x86-64; the last is no call on most machines.
EPOLL_WAIT, SENDMSG, RECVMSG, CLOCK_GETTIME = 232, 46, 47, 228
LINE = re.compile(r"-(\d+)\s+\[\d+\]\s+\S+\s+(\d+\.\d+): (?:sys_(enter|exit)): NR (-?\d+)(?: \(([0-9a-f]+))?")


class Turn:
    """From the end of one wait to the beginning of the next; times in ms of the monotonic clock."""

    def __init__(self, begin):
        self.begin = self.end = begin
        self.longest_call = 0.0
        self.sent = []	# (descriptor, when) of each sendmsg
        self.received = []	# likewise of each recvmsg

    @property
    def ms(self):
        return self.end - self.begin


class Trace:
    """Of the processes `pids`, between `with` and its end: turns[pid]."""

    def __init__(self, *pids):
        self.pids = pids
        self.instance = TRACING / "instances/bench"
        self.turns = {pid: [] for pid in pids}

    def _write(self, name, text):
        (self.instance / name).write_text(text)

    def __enter__(self):
        self.instance.mkdir(exist_ok=True)
        self._write("trace_clock", "mono")
        self._write("buffer_size_kb", "65536")
        self._write("options/overwrite", "0")
        self._write("trace", "")
        for event in ("sys_enter", "sys_exit"):
            pids = " || ".join(f"common_pid == {pid}" for pid in self.pids)
            self._write(f"events/raw_syscalls/{event}/filter", f"id != {CLOCK_GETTIME} && ({pids})")
            self._write(f"events/raw_syscalls/{event}/enable", "1")
        return self

    def __exit__(self, *why):
        for event in ("sys_enter", "sys_exit"):
            self._write(f"events/raw_syscalls/{event}/enable", "0")
        if why[0] is None:
            self._read()
        self.instance.rmdir()

    def _read(self):
        turn = dict.fromkeys(self.pids)
        called = {}
        with (self.instance / "trace").open() as lines:
            for line in lines:
                found = LINE.search(line)
                if not found:
                    continue
                pid, at, call = int(found[1]), float(found[2]) * 1e3, int(found[4])
                now = turn[pid]
                if found[3] == "enter":
                    called[pid] = at
                    if now is None and call != EPOLL_WAIT:	# it was busy when this began
                        now = turn[pid] = Turn(at)
                    if now is not None:
                        now.end = at
                        if call == SENDMSG:
                            now.sent.append((int(found[5], 16), at))
                        if call == RECVMSG:
                            now.received.append((int(found[5], 16), at))
                        if call == EPOLL_WAIT:
                            self.turns[pid].append(now)
                            turn[pid] = None
                elif call == EPOLL_WAIT:
                    turn[pid] = Turn(at)
                elif now is not None:
                    now.end = at
                    now.longest_call = max(now.longest_call, at - called.get(pid, at))
        for pid, last in turn.items():	# what was still going on
            if last is not None:
                self.turns[pid].append(last)


def mount():
    if not (TRACING / "trace").exists():
        import subprocess
        subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACING], check=True)


def channels(pid):
    """The descriptors of `pid` that are Unix sockets: its channels to the other processes."""
    inodes = {line.split()[6] for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]}
    found = set()
    for path in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = re.match(r"socket:\[(\d+)\]", str(path.readlink()))
        except FileNotFoundError:	# closed meanwhile
            continue
        if target and target[1] in inodes:
            found.add(int(path.name))
    return found
