"""Applying: declarative, minimal, reported as the interface says."""

import copy
import json
import re
import socket
import subprocess

import pytest

from rig.clients import connect, curl_json, curl_status, pings, read_answer, request
from rig.lab import ip, ip_show, run, wg
from rig.wait import until

EMPTY_REPORT = {"added": [], "changed": [], "removed": [], "failed": {}}


def wg_dump(port):
    """What wg(8) says inside the network's namespace, private key and all."""
    return wg("show", f"wg{port}", "dump", namespace=f"network-{port}")


def test_the_report_counts_what_an_apply_changed(lab, daemon):
    first, second = lab.tenant(51820, "first"), lab.tenant(51821, "second")
    machine = first.machine()
    first.proxy["http://one.example"] = ["10.0.0.2:80"]
    first.proxy["http://two.example"] = ["10.0.0.2:80"]
    daemon.start()
    report = daemon.api.applied(lab.document(first))
    assert report["dry_run"] is False
    assert report["duration_ms"] > 0
    assert report["networks"] == {**EMPTY_REPORT, "added": ["51820"], "unchanged": 0}
    assert report["peers"] == {"added": 1, "changed": 0, "removed": 0}
    assert report["hosts"] == {"added": 2, "changed": 0, "removed": 0}
    assert {"op": "add", "path": "/51820"} in report["changes"]
    assert report["warnings"] == []

    changed = lab.document(first, second)
    changed["51820"]["mtu"] = 1400
    changed["51820"]["peers"][machine.key.public]["persistent_keepalive"] = 10
    del changed["51820"]["proxy"]["http://two.example"]
    next_report = daemon.api.applied(changed)
    assert next_report["generation"] == report["generation"] + 1
    assert next_report["networks"] == {**EMPTY_REPORT, "added": ["51821"], "changed": ["51820"],
                                       "unchanged": 0}
    assert next_report["peers"] == {"added": 0, "changed": 1, "removed": 0}
    assert next_report["hosts"] == {"added": 0, "changed": 0, "removed": 1}
    assert {"op": "change", "path": "/51820/mtu"} in next_report["changes"]
    assert {"op": "add", "path": "/51821"} in next_report["changes"]

    last = daemon.api.applied({})
    assert last["networks"] == {**EMPTY_REPORT, "removed": ["51820", "51821"], "unchanged": 0}
    assert daemon.namespaces() == []


def test_a_warning_names_the_upstream_that_no_peer_can_have(lab, daemon):
    tenant = lab.tenant(51820, "first")
    tenant.proxy["https://git.example.com"] = ["10.9.9.9:443"]
    daemon.start()
    report = daemon.api.applied(lab.document())
    assert [warning["path"] for warning in report["warnings"]] == ["/51820/proxy/https:~1~1git.example.com/0"]


@pytest.mark.kernel
def test_the_kernel_obeys_the_document(lab, daemon):
    tenant = lab.tenant(51820, "first", addresses=("10.0.0.1/16", "fd00:1::1/64"))
    machine = tenant.machine("10.0.0.2/16", "fd00:1::2/64")
    preshared = run("wg", "genpsk").strip()
    document = lab.document()
    document["51820"]["mtu"] = 1390
    document["51820"]["peers"][machine.key.public] = {
        "allowed_ips": ["10.0.0.2", "fd00:1::2/128", "172.16.5.5/12"], "preshared_key": preshared,
        "endpoint": "192.0.2.77:1234", "persistent_keepalive": 0}
    daemon.start(document)

    lines = wg_dump(51820).splitlines()
    assert lines[0].split("\t") == [tenant.key.private, tenant.key.public, "51820", "off"]
    peer = lines[1].split("\t")
    assert peer[:3] == [machine.key.public, preshared, "192.0.2.77:1234"]
    assert set(peer[3].split(",")) == {"10.0.0.2/32", "fd00:1::2/128", "172.16.0.0/12"}
    assert peer[7] == "off"

    [link] = ip_show("address", "show", "dev", "wg51820", namespace="network-51820")
    assert link["mtu"] == 1390
    assert "UP" in link["flags"]
    found = {f"{entry['local']}/{entry['prefixlen']}" for entry in link["addr_info"]
             if entry["scope"] == "global"}
    assert found == {"10.0.0.1/16", "fd00:1::1/64"}
    routes = {route["dst"] for family in ("-4", "-6")
              for route in ip_show(family, "route", namespace="network-51820")
              if route.get("dev") == "wg51820"}
    assert {"10.0.0.2", "172.16.0.0/12", "fd00:1::2"} <= routes


@pytest.mark.kernel
def test_what_get_config_returns_changes_nothing_when_posted_back(pair):
    api = pair.daemon.api
    first = api.get("/config")
    etag = first.headers["ETag"]
    stored = (pair.daemon.state / "state.json").stat()
    kernel = [wg_dump(tenant.port).splitlines()[0] for tenant in pair.tenants]
    generations = set()
    for _ in range(3):
        report = api.apply(first.body.decode())
        assert report.status == 200, report
        assert report.headers["ETag"] == etag
        assert report.json["networks"] == {**EMPTY_REPORT, "unchanged": 2}
        assert report.json["changes"] == []
        assert report.json["peers"] == report.json["hosts"] == {"added": 0, "changed": 0, "removed": 0}
        generations.add(report.json["generation"])
    assert len(generations) == 1
    assert api.get("/config").body == first.body
    assert api.get("/config", headers={"If-None-Match": etag}).status == 304
    now = (pair.daemon.state / "state.json").stat()
    assert (now.st_ino, now.st_mtime_ns) == (stored.st_ino, stored.st_mtime_ns)
    assert kernel == [wg_dump(tenant.port).splitlines()[0] for tenant in pair.tenants]


class Trace:
    """strace on engine and control while something is done."""

    CALLS = ("sendmsg,sendto,write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,mount,umount2,"
             "unlink,unlinkat,open,openat")

    def __init__(self, daemon, directory):
        self.paths = {role: directory / f"{role}.strace" for role in ("engine", "control")}
        self.tracers = [subprocess.Popen(["strace", "-f", "-yy", "-e", f"trace={self.CALLS}", "-o", str(path),
                                          "-p", str(daemon.role(role))],
                                         stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                        for role, path in self.paths.items()]
        for tracer in self.tracers:
            assert "attached" in tracer.stderr.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for tracer in self.tracers:
            tracer.terminate()
            tracer.wait()

    def lines(self, role):
        return [line.split(None, 1)[1] for line in self.paths[role].read_text().splitlines()]

    def kernel_writes(self):
        """Requests to the kernel or to wireguard-go that are no questions: every question over netlink is a
        dump, whose flag strace prints by name or, for a protocol it does not know, as a number."""
        found = []
        for line in self.lines("engine"):
            netlink = "<NETLINK:" in line and not re.search(r"nlmsg_flags=\S*(NLM_F_DUMP|\|0x300)", line)
            userspace = '"set=1' in line
            sysctl = line.startswith("write(") and "</proc/sys/" in line
            if netlink or userspace or sysctl or line.startswith(("mount(", "umount2(", "unlink")):
                found.append(line)
        return found

    def disk_writes(self):
        # The journal is mapped and written, then synced; a document is renamed into its place.
        return [line for line in self.lines("control")
                if line.startswith(("fsync(", "fdatasync(", "rename", "pwrite64("))]


def test_an_equal_document_writes_neither_to_the_kernel_nor_to_the_disk(lab, daemon, directory):
    daemon.options["--sample-interval"] = "1h"
    lab.tenant(51820, "first").machine()
    lab.tenant(51821, "second").machine()
    daemon.start(lab.document())
    text = daemon.api.get("/config").body.decode()
    with Trace(daemon, directory) as trace:
        report = daemon.api.apply(text)
        assert report.status == 200 and report.json["networks"]["unchanged"] == 2, report
        # The engine has looked at the kernel by the time this is answered.
        assert daemon.api.network(51820)["state"] == "up"
    assert any("<NETLINK:" in line for line in trace.lines("engine")), "the trace saw the engine at work"
    assert trace.kernel_writes() == []
    assert trace.disk_writes() == []

    changed = json.loads(text)
    changed["51820"]["mtu"] = 1400
    changed["51821"]["peers"] = {}
    with Trace(daemon, directory) as trace:
        daemon.api.applied(changed)
    assert trace.kernel_writes() != [] and trace.disk_writes() != [], "the trace would have seen it"


def test_a_dry_run_reports_and_touches_nothing(pair):
    api = pair.daemon.api
    before = api.get("/config")
    document = pair.lab.document()
    document["51820"]["mtu"] = 1300
    document["51822"] = pair.lab.tenant(51822, "third").network()
    del document["51821"]
    answer = api.apply(document, "?dry_run=true")
    assert answer.status == 200
    assert answer.json["dry_run"] is True
    assert answer.json["networks"] == {"added": ["51822"], "changed": ["51820"], "removed": ["51821"],
                                       "unchanged": 0, "failed": {}}
    after = api.get("/config")
    assert (after.body, after.headers["ETag"]) == (before.body, before.headers["ETag"])
    assert pair.daemon.namespaces() == ["network-51820", "network-51821"]
    assert pair.answers(pair.beta)


def test_if_match_protects_against_a_lost_update(lab, daemon):
    tenant = lab.tenant(51820, "first")
    daemon.start(lab.document())
    etag = daemon.api.get("/config").headers["ETag"]
    document = lab.document()
    document["51820"]["mtu"] = 1400
    assert daemon.api.apply(document, headers={"If-Match": '"other"'}).status == 412
    assert daemon.api.config()["51820"]["mtu"] == 1420
    answer = daemon.api.apply(document, headers={"If-Match": etag})
    assert answer.status == 200
    assert answer.headers["ETag"] != etag
    late = daemon.api.apply(lab.document(), headers={"If-Match": etag})
    assert late.status == 412 and late.json["error"]["code"] == "PRECONDITION_FAILED"
    assert daemon.api.config()["51820"]["mtu"] == 1400
    assert tenant.port == 51820


@pytest.mark.kernel
def test_tunnels_and_connections_of_what_did_not_change_live_on(pair):
    alpha = pair.alpha
    alpha.server.pace.release(4)
    with connect(80) as download:
        download.sendall(request(alpha.host, "/pieces/8", "Connection: close\r\n"))
        data = download.recv(65536)
        handshake = wg("show", "wg51820", "latest-handshakes", namespace="network-51820")
        document = pair.lab.document(alpha)	# without beta
        document["51820"]["proxy"]["http://more.alpha.example"] = ["10.0.0.2:80"]
        document["51820"]["mtu"] = 1400
        assert pair.daemon.api.applied(document)["networks"]["removed"] == ["51821"]
        assert wg("show", "wg51820", "latest-handshakes", namespace="network-51820") == handshake
        alpha.server.pace.release(4)
        while part := download.recv(65536):
            data += part
    assert len(data.split(b"\r\n\r\n", 1)[1]) == 8 * 65536
    assert curl_json("http://more.alpha.example/")["server"] == "alpha"


def test_connections_of_a_removed_network_are_reset(pair):
    with connect(80) as kept:
        kept.sendall(request(pair.beta.host, "/pieces/8"))
        pair.beta.server.pace.release(1)
        assert kept.recv(65536).startswith(b"HTTP/1.1 200")
        pair.daemon.api.applied(pair.lab.document(pair.alpha))
        with pytest.raises((ConnectionResetError, EOFError)):
            while kept.recv(65536):
                pass
            raise EOFError
    assert curl_status(f"http://{pair.beta.host}/") == 404
    assert pair.daemon.namespaces() == ["network-51820"]


@pytest.mark.kernel
def test_a_taken_port_fails_that_network_alone_until_it_is_free(lab, daemon):
    first, second = lab.tenant(51820, "first"), lab.tenant(51821, "second")
    holders = []
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        holder = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        holder.bind((address, 51820))
        holders.append(holder)
    daemon.start()
    answer = daemon.api.apply(lab.document())
    assert answer.status == 500, answer
    assert answer.json["error"]["code"] == "APPLY_INCOMPLETE"
    assert list(answer.json["networks"]["failed"]) == ["51820"]
    assert "in use" in answer.json["networks"]["failed"]["51820"].lower()
    failed = daemon.api.network(51820)
    assert failed["state"] == "failed" and "in use" in failed["reason"].lower()
    assert daemon.api.network(51821)["state"] == "up"
    health = daemon.api.get("/health")
    assert health.status == 200 and health.json["status"] == "degraded" and health.json["failed"] == 1
    again = daemon.api.apply(lab.document())
    assert again.status == 500, "the same document answers the same while it fails"

    for holder in holders:
        holder.close()
    until(lambda: daemon.api.network(51820)["state"] == "up", "the network comes up by itself", 90)
    assert daemon.api.get("/health").json == {"status": "ok"}
    machine = first.machine()
    daemon.api.applied(lab.document())
    machine.connect().wait_until_connected()
    assert pings(machine.name, "10.0.0.1", seconds=15)
    assert second.port == 51821


def test_namespaces_that_are_not_the_daemons_are_left_alone_and_strays_are_removed(lab, daemon):
    foreign = ["network-", "network-0", "network-65536", "network-051820", "network-x", "other"]
    for name in [*foreign, "network-4711"]:
        ip([f"netns add {name}"])
    lab.tenant(51820, "first")
    daemon.start()
    until(lambda: "network-4711" in daemon.namespaces(), "with no document nothing is removed")
    daemon.api.applied(lab.document())
    assert daemon.namespaces() == sorted([*foreign[:-1], "network-51820"])
    # The engine has that document already, and hears only what is new in it.
    ip(["netns add network-4712"])
    daemon.api.applied(lab.document())
    assert daemon.namespaces() == sorted([*foreign[:-1], "network-51820"])
    # Daemon.close() wants none.
    for name in foreign:
        ip([f"netns del {name}"])


@pytest.mark.kernel
def test_the_last_document_is_in_force_after_a_reboot(pair):
    config = pair.daemon.api.get("/config").body
    assert pair.daemon.stop() == 0
    run(*pair.daemon.command("--teardown"))
    assert pair.daemon.namespaces() == []
    pair.daemon.start()
    pair.daemon.wait_until_healthy()
    assert pair.daemon.api.get("/config").body == config
    for tenant in pair.tenants:
        tenant.only.greet()
        until(lambda tenant=tenant: pings(tenant.only.name, "10.0.0.1"), "it finds the new tunnel", 60)
    pair.wait_until_whole()


@pytest.mark.kernel
def test_two_networks_can_exchange_their_ports(lab, daemon):
    first, second = lab.tenant(51820, "first"), lab.tenant(51821, "second")
    daemon.start(lab.document())
    document = lab.document()
    document["51820"], document["51821"] = document["51821"], document["51820"]
    report = daemon.api.applied(document)
    assert report["networks"]["changed"] == ["51820", "51821"]
    assert wg("show", "wg51820", "private-key", namespace="network-51820").strip() == second.key.private
    assert wg("show", "wg51821", "private-key", namespace="network-51821").strip() == first.key.private


def test_each_request_is_routed_by_the_table_of_its_moment(pair):
    alpha = pair.alpha
    alpha.only.serve(http_port=8081, name="other")
    with connect(80) as kept:
        stream = kept.makefile("rb")
        kept.sendall(request(alpha.host))
        assert json.loads(read_answer(stream)[2])["server"] == "alpha"
        document = copy.deepcopy(pair.lab.document())
        document["51820"]["proxy"][f"http://{alpha.host}"] = ["10.0.0.2:8081"]
        assert pair.daemon.api.applied(document)["hosts"] == {"added": 0, "changed": 1, "removed": 0}
        kept.sendall(request(alpha.host))
        assert json.loads(read_answer(stream)[2])["server"] == "other"
    assert curl_json(f"http://{alpha.host}/")["server"] == "other"
