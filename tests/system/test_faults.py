"""Processes that die: what they carried goes on, and the daemon is whole again."""

import contextlib
import os
import pathlib
import signal
import ssl
import subprocess
import threading
import time

import pytest

from rig import kernel
from rig.clients import connect, curl, pings, request
from rig.daemon import children, role_of, status_of
from rig.lab import wg
from rig.wait import SLOW, until

PIECES = 40


class Download:
    """A slow download through the gateway, in a thread; the server sends as told by its pace."""

    def __init__(self, tenant, scheme="https"):
        self.tenant = tenant
        self.body = None
        self.failure = None
        self.url = f"{scheme}://{tenant.host}/pieces/{PIECES}"
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        before = len(tenant.server.requests)
        tenant.server.pace.release(1)
        until(lambda: len(tenant.server.requests) > before or tenant.server.pace._value == 0, "it has begun")

    def _run(self):
        try:
            self.body = curl(self.url, certificate=self.tenant.certificate)
        except AssertionError as error:
            self.failure = error

    def finish(self):
        # Twice: the thread that serves a download which died takes some, too.
        self.tenant.server.pace.release(2 * PIECES)
        self.thread.join()
        while self.tenant.server.pace.acquire(blocking=False):
            pass

    def whole(self):
        return self.body is not None and len(self.body) == PIECES * 65536



def whole_within_two_seconds(daemon, began):
    daemon.wait_until_healthy()
    took = time.monotonic() - began
    assert took < 2 * SLOW, f"whole again after {took:.1f} s"


@pytest.mark.parametrize("role", [pytest.param("engine", marks=pytest.mark.kernel), "broker", "control"])
def test_a_download_survives_the_death_of(pair, role):
    generation = pair.daemon.api.get("/config").headers["ETag"]
    for scheme in ("https", "http"):
        download = Download(pair.alpha, scheme)
        began = time.monotonic()
        pair.daemon.kill_role(pair.daemon.role(role))
        # New connections too: the workers have what they need, but for sockets while the broker is away.
        whole_within_two_seconds(pair.daemon, began)
        pair.wait_until_whole()
        download.finish()
        assert download.whole(), download.failure
    assert pair.daemon.api.get("/config").headers["ETag"] == generation
    for tenant in pair.tenants:
        assert pings(tenant.only.name, "10.0.0.1", seconds=15)
        assert pair.daemon.api.network(tenant.port)["state"] == "up"


def test_the_death_of_a_worker_costs_only_what_it_carried(pair):
    downloads = [Download(pair.alpha) for _ in range(2)]
    workers = pair.daemon.roles()["worker"]
    began = time.monotonic()
    pair.daemon.kill_role(workers[0])
    whole_within_two_seconds(pair.daemon, began)
    pair.wait_until_whole()
    for download in downloads:
        download.finish()
    # The other worker's connections live on; both downloads may have been on either side.
    assert workers[1] in pair.daemon.roles()["worker"]
    body = curl(f"https://{pair.alpha.host}/bytes/1000000", certificate=pair.alpha.certificate)
    assert len(body) == 1_000_000


def test_a_worker_that_did_not_die_keeps_its_connection(pair):
    download = Download(pair.alpha)

    def carrier():
        """The worker that has accepted the client's connection, which is the only one."""
        [inode] = kernel.accepted(443)
        [pid] = [pid for pid in pair.daemon.roles()["worker"]
                 if f"socket:[{inode}]" in map(os.readlink, pathlib.Path(f"/proc/{pid}/fd").iterdir())]
        return pid
    kept = until(carrier, "the connection is a worker's")
    [other] = [pid for pid in pair.daemon.roles()["worker"] if pid != kept]
    pair.daemon.kill_role(other)
    pair.daemon.wait_until_healthy()
    download.finish()
    assert download.whole(), download.failure
    assert kept in pair.daemon.roles()["worker"]


def recorded(pair, tenant):
    """What the records say of the tenant's host."""
    network = pair.daemon.api.traffic()["networks"].get(tenant.key.public, {"hosts": {}})
    return network["hosts"].get(tenant.host, {}).get("traffic", {"rx": 0, "tx": 0, "connections": 0})


def test_host_bytes_that_a_dead_worker_carried_are_counted_once(pair):
    tenant = pair.alpha
    for _ in range(4):
        curl(f"http://{tenant.host}/bytes/100000")
    pair.daemon.kill_role(*pair.daemon.roles()["worker"])
    pair.daemon.wait_until_healthy()
    until(lambda: recorded(pair, tenant)["tx"] >= 400_000, "the bytes of dead workers are recorded")
    assert recorded(pair, tenant)["tx"] < 402_000 and recorded(pair, tenant)["connections"] == 4


@contextlib.contextmanager
def held_after_sending(pids):
    """As if a process lost its CPU just as it has sent something: strace holds it before it can know."""
    strace = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-e", "trace=sendto,sendmsg,splice",
                               "-e", "inject=sendto,sendmsg,splice:delay_exit=500000",
                               *[word for pid in pids for word in ("-p", str(pid))]])
    try:
        until(lambda: all(status_of(pid)["TracerPid"].strip() != "0" for pid in pids), "strace has them")
        yield
    finally:
        strace.terminate()
        strace.wait()


class Exchange:
    """One request and its answer; how many bytes of TCP's payload that took when the answer is whole."""

    def __init__(self, tenant, scheme, size):
        self.rx = self.tx = 0
        with connect(443 if scheme == "https" else 80) as self.connection:
            asked = request(tenant.host, f"/bytes/{size}")
            whole = size + (self._https(tenant, asked) if scheme == "https" else self._http(asked))
            while self.got < whole:
                self.got += len(self.read())

    def _send(self, data):
        self.connection.sendall(data)
        self.rx += len(data)

    def _receive(self):
        data = self.connection.recv(65536)
        assert data, "the answer ended early"
        self.tx += len(data)
        return data

    def _head(self, read):
        self.read = read
        data = b""
        while b"\r\n\r\n" not in data:
            data += read()
        self.got = len(data)
        return data.index(b"\r\n\r\n") + 4

    def _http(self, asked):
        self._send(asked)
        return self._head(self._receive)

    def _https(self, tenant, asked):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=tenant.certificate)
        tls = context.wrap_bio(incoming, outgoing, server_hostname=tenant.host)

        def of_tls(what, *words):
            while True:
                try:
                    return what(*words)
                except ssl.SSLWantReadError:
                    self._send(outgoing.read())
                    incoming.write(self._receive())
        of_tls(tls.do_handshake)
        tls.write(asked)
        return self._head(lambda: of_tls(tls.read, 65536))


# The last one is long enough to be spliced.
@pytest.mark.parametrize("scheme, size", [("http", 1000), ("https", 1000), ("https", 2_000_000)])
def test_bytes_that_a_worker_sent_but_had_no_time_to_count_are_counted(pair, scheme, size):
    tenant = pair.alpha
    pids = pair.daemon.roles()["worker"]
    with held_after_sending(pids):
        exchange = Exchange(tenant, scheme, size)
        pair.daemon.kill_role(*pids)
    pair.daemon.wait_until_healthy()
    expected = {"rx": exchange.rx, "tx": exchange.tx, "connections": 1}
    until(lambda: recorded(pair, tenant)["tx"] >= exchange.tx, f"{exchange.tx} bytes are recorded")
    assert recorded(pair, tenant) == expected


@pytest.mark.kernel
@pytest.mark.asan
def test_no_byte_is_lost_or_doubled_when_roles_die(pair):
    api = pair.daemon.api
    tenant = pair.alpha
    for role in ("engine", "control", "broker", "engine", "control"):
        curl(f"https://{tenant.host}/bytes/200000", certificate=tenant.certificate)
        pair.daemon.kill_role(pair.daemon.role(role))
        pair.daemon.wait_until_healthy()

    def agree():
        live = api.network(tenant.port)["peers"][tenant.only.key.public]
        network = api.traffic()["networks"][tenant.key.public]
        recorded = network["devices"][tenant.only.key.public]["traffic"]
        assert abs(live["rx"] - recorded["rx"]) < 2000 and abs(live["tx"] - recorded["tx"]) < 2000
        assert 1_000_000 <= network["hosts"][tenant.host]["traffic"]["tx"] < 1_050_000
        assert network["hosts"][tenant.host]["traffic"]["connections"] == 5
        return True
    until(agree, "records and counters agree")


@pytest.mark.kernel
def test_everything_is_adopted_after_the_supervisor_died(pair):
    api = pair.daemon.api
    tenant = pair.alpha
    curl(f"https://{tenant.host}/bytes/300000", certificate=tenant.certificate)
    before = api.get("/config")
    counters = api.network(tenant.port)["peers"][tenant.only.key.public]
    listing = {name: os.stat(f"/run/netns/{name}").st_ino for name in pair.daemon.namespaces()}
    shown = wg("show", "wg51820", "latest-handshakes", namespace="network-51820")

    pair.daemon.kill()
    assert pings(tenant.only.name, "10.0.0.1", seconds=15), "the tunnel needs no daemon"
    pair.daemon.start()
    pair.daemon.wait_until_healthy()

    after = api.get("/config")
    assert (after.body, after.headers["ETag"]) == (before.body, before.headers["ETag"])
    report = api.apply(before.body.decode())
    assert report.json["networks"]["unchanged"] == 2 and report.json["changes"] == []
    assert {name: os.stat(f"/run/netns/{name}").st_ino for name in pair.daemon.namespaces()} == listing
    assert wg("show", "wg51820", "latest-handshakes", namespace="network-51820") == shown
    assert api.network(tenant.port)["peers"][tenant.only.key.public]["rx"] >= counters["rx"]
    pair.wait_until_whole()

    def agree():
        live = api.network(tenant.port)["peers"][tenant.only.key.public]["rx"]
        return abs(live - api.traffic()["networks"][tenant.key.public]["devices"][tenant.only.key.public]
                   ["traffic"]["rx"]) < 2000
    until(agree, "the counters go on from where they were")


def test_the_roles_end_when_the_supervisor_dies(pair):
    roles = children(pair.daemon.process.pid)
    assert len([pid for pid in roles if role_of(pid)]) == 5
    pair.daemon.kill()
    assert [pid for pid in roles if role_of(pid)] == []


@pytest.mark.kernel
def test_an_apply_during_the_death_of_the_engine_is_in_force_in_the_end(lab, daemon):
    tenants = [lab.tenant(52000 + number, f"t{number}") for number in range(10)]
    daemon.start()
    answers = []
    apply = threading.Thread(target=lambda: answers.append(daemon.api.apply(lab.document())))
    apply.start()
    until(daemon.namespaces, "it has begun")
    daemon.kill_role(daemon.role("engine"))
    apply.join()
    assert [answer.status for answer in answers] == [200], answers
    assert daemon.namespaces() == [f"network-{tenant.port}" for tenant in tenants]
    for tenant in tenants:
        assert wg("show", f"wg{tenant.port}", "public-key",
                  namespace=f"network-{tenant.port}").strip() == tenant.key.public


def test_a_role_that_dies_again_and_again_is_restarted_with_pauses(pair):
    for _ in range(5):
        until(lambda: len(pair.daemon.roles()["broker"]) == 1, "the broker is back")
        pair.daemon.kill_role(pair.daemon.role("broker"))
    pair.daemon.wait_until_healthy(60)
    pair.wait_until_whole()


def test_a_stopped_role_does_not_stop_the_workers(pair):
    control = pair.daemon.role("control")
    os.kill(control, signal.SIGSTOP)
    try:
        assert pair.answers(pair.alpha)
    finally:
        os.kill(control, signal.SIGCONT)
    pair.daemon.wait_until_healthy()
