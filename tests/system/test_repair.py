"""What others break in a network: each harm alone, mended in time, logged with what differed, and traffic
flows again."""

import contextlib
import os
import re
import signal
import subprocess
import time

import pytest

from rig import kernel
from rig.clients import curl_json, pings
from rig.lab import Key, ip, ip_show, run, wg
from rig.wait import SLOW, until

pytestmark = pytest.mark.kernel

PORT = 51820
INSIDE = f"network-{PORT}"
DEVICE = f"wg{PORT}"
# Seconds.  All is mended within ten; a machine that has time takes at most 6, from one look at everything to the
# next, and less than one for what the kernel tells.
LIMIT = 10
AT_ONCE = 2


def inside(*lines):
    return lambda tenant: ip(lines, INSIDE)


def outside(*lines):
    return lambda tenant: ip(lines)


def replace_namespace(_):
    ip([f"netns del {INSIDE}"])
    # Where the old one is back already, there is no place for another.
    subprocess.run(["ip", "netns", "add", INSIDE], capture_output=True, check=False)


def peer(*words):
    return lambda tenant: wg("set", DEVICE, "peer", tenant.only.key.public, *words, namespace=INSIDE)


def add_peer(_):
    wg("set", DEVICE, "peer", Key().public, "allowed-ips", "10.0.7.7/32", namespace=INSIDE)


def steal_range(tenant):
    """A new peer takes the range of the other one."""
    wg("set", DEVICE, "peer", Key().public, "allowed-ips", f"{tenant.only.address}/32", namespace=INSIDE)


def set_preshared(tenant):
    wg("set", DEVICE, "peer", tenant.only.key.public, "preshared-key", "/dev/stdin", namespace=INSIDE,
       input=Key().private)


def set_private(_):
    wg("set", DEVICE, "private-key", "/dev/stdin", namespace=INSIDE, input=Key().private)


def sysctl(text):
    return lambda tenant: run("nsenter", f"--net=/run/netns/{INSIDE}", "sysctl", "-qw", text)


# What is done, and what the log must say of it.
HARMS = {
    "namespace deleted": (outside(f"netns del {INSIDE}"), "namespace_name"),
    "namespace replaced": (replace_namespace, "namespace_name"),
    "link down": (inside(f"link set {DEVICE} down"), "link_up"),
    "link renamed": (inside(f"link set {DEVICE} down", f"link set {DEVICE} name other"), "link_name"),
    "link renamed and up": (inside(f"link set {DEVICE} down", f"link set {DEVICE} name other",
                                   "link set other up"), "link_name"),
    "loopback down": (inside("link set lo down"), "loopback_up"),
    "mtu": (inside(f"link set {DEVICE} mtu 1300"), "mtu"),
    "address removed": (inside(f"address del 10.0.0.1/16 dev {DEVICE}"), "address"),
    "IPv6 address removed": (inside(f"address del fd00:1::1/64 dev {DEVICE}"), "address"),
    "address added": (inside(f"address add 10.77.0.1/16 dev {DEVICE}"), "surplus_address"),
    "prefix added": (inside(f"address add 10.0.0.1/24 dev {DEVICE}"), "surplus_address"),
    "far end added": (inside(f"address add 10.88.0.1 peer 10.99.0.1/32 dev {DEVICE}"), "surplus_address"),
    "addresses flushed": (inside(f"address flush dev {DEVICE}"), "address"),
    "route deleted": (inside(f"route del 10.0.0.2/32 dev {DEVICE}"), "route"),
    "IPv6 route deleted": (inside(f"route del fd00:1::2/128 dev {DEVICE}"), "route"),
    "peer removed": (peer("remove"), "peer"),
    "peer added": (add_peer, "surplus_peer"),
    "range stolen": (steal_range, "peer"),
    "ranges changed": (peer("allowed-ips", "10.0.9.9/32"), "peer"),
    "range added": (peer("allowed-ips", "10.0.0.2/32,fd00:1::2/128,10.0.9.0/24"), "allowed_ips"),
    "preshared key": (set_preshared, "peer"),
    "keepalive": (peer("persistent-keepalive", "7"), "peer"),
    "private key": (set_private, "key_or_port"),
    "forwarding off": (sysctl("net.ipv4.ip_forward=0"), "sysctls"),
    "IPv6 forwarding off": (sysctl("net.ipv6.conf.all.forwarding=0"), "sysctls"),
}
# Nobody tells of WireGuard's own settings and of sysctls; of the rest the kernel tells at once, but for what
# is mounted on a file that is there.
QUIET = ("peer", "surplus_peer", "allowed_ips", "key_or_port", "sysctls", "loopback_up")


@pytest.fixture
def tenants(lab, daemon):
    """Two with a machine each: harm is done to the first, the other is not to notice."""
    first = lab.tenant(PORT, "first", addresses=("10.0.0.1/16", "fd00:1::1/64"))
    other = lab.tenant(PORT + 1, "other", addresses=("10.0.0.1/16", "fd00:1::1/64"))
    for tenant in (first, other):
        tenant.only = tenant.machine("10.0.0.2/16", "fd00:1::2/64")
        tenant.proxy[f"http://{tenant.name}.example"] = ["10.0.0.2:80"]
    daemon.start(lab.document())
    for tenant in (first, other):
        tenant.only.connect()
    for tenant in (first, other):
        tenant.only.wait_until_connected()
        tenant.only.serve(name=tenant.name)
    return first, other


def repairs(daemon):
    """[(network, [what differed])] in the log."""
    found = re.findall(r'msg="network repaired" network=(\d+) differed=(\S+)', daemon.log())
    return [(int(port), what.split(",")) for port, what in found]


def counted(daemon):
    [number] = re.findall(r"^tollgate_repairs_total (\d+)$", daemon.api.get("/metrics").body.decode(), re.M)
    return int(number)


def greet_again(machine):
    machine.greet()
    until(lambda: pings(machine.name, "10.0.0.1"), f"{machine.name} has its tunnel again", 30)


def answers(tenant):
    return curl_json(f"http://{tenant.name}.example/")["server"] == tenant.name


def mended(daemon, document):
    def check():
        try:
            kernel.assert_obeys(document)
        except (IndexError, KeyError) as error:	# the link is not there
            raise AssertionError(repr(error)) from error
        return True
    until(check, "kernel and document are equal again", LIMIT)


@contextlib.contextmanager
def held(pid):
    """It sees all that is done meanwhile at a time."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def handshakes(tenant):
    return wg("show", f"wg{tenant.port}", "latest-handshakes", namespace=f"network-{tenant.port}")


@pytest.mark.parametrize("quiet", [False, True], ids=["that the kernel tells of", "that is found by looking"])
def test_each_harm_is_mended_and_logged_and_its_tunnel_works(lab, daemon, tenants, quiet):
    first, other = tenants
    harms = {name: harm for name, harm in HARMS.items() if (harm[1] in QUIET) == quiet}
    document = lab.document()
    etag = daemon.api.get("/config").headers["ETag"]
    inode = os.stat(f"/run/netns/{INSIDE}").st_ino
    slow = {}
    for name, (harm, differed) in harms.items():
        before = len(repairs(daemon))
        with held(daemon.role("engine")):
            harm(first)
        began = time.monotonic()
        until(lambda before=before: repairs(daemon)[before:], f"{name}: it is logged", LIMIT)
        took = time.monotonic() - began
        if not quiet and took > AT_ONCE * SLOW and name != "namespace replaced":
            slow[name] = took
        mended(daemon, document)
        said = repairs(daemon)[before:]
        assert all(port == PORT for port, _ in said), (name, said)
        assert any(differed in what for _, what in said), (name, said)
        if differed in ("peer", "key_or_port", "allowed_ips"):
            greet_again(first.only)
        until(lambda: answers(first), f"{name}: the host answers")
    assert slow == {}, "the kernel tells of these at once"
    assert answers(other)
    assert daemon.api.get("/config").headers["ETag"] == etag
    assert os.stat(f"/run/netns/{INSIDE}").st_ino == inode
    assert daemon.api.get("/health").json == {"status": "ok"}
    assert "network failed" not in daemon.log()
    until(lambda: counted(daemon) == len(repairs(daemon)) >= len(harms), "each is counted")


def test_a_deleted_namespace_keeps_sessions_counters_and_connections(lab, daemon, tenants):
    first, _ = tenants
    before, greeted = daemon.api.network(PORT)["peers"][first.only.key.public], handshakes(first)
    for replace in (False, True, False):
        if replace:
            replace_namespace(first)
        else:
            ip([f"netns del {INSIDE}"])
        mended(daemon, lab.document())
        assert pings(first.only.name, "10.0.0.1", seconds=15), "the very next packet passes"
        assert answers(first)
    after = daemon.api.network(PORT)["peers"][first.only.key.public]
    assert handshakes(first) == greeted, "no new handshake was needed"
    assert after["rx"] > before["rx"] and after["tx"] > before["tx"]
    assert after["endpoint"] == before["endpoint"]
    assert kernel.pinned() == sorted(set(kernel.pinned())), "one mount a name"


def test_harm_that_is_done_while_no_daemon_runs_is_mended_at_its_start(lab, daemon, tenants):
    first, _ = tenants
    daemon.stop()
    inside(f"link set {DEVICE} mtu 1300", f"address add 10.77.0.1/16 dev {DEVICE}")(first)
    peer("allowed-ips", "10.0.9.9/32")(first)
    outside(f"netns del network-{PORT + 1}")(first)
    daemon.start()
    daemon.wait_until_healthy()
    mended(daemon, lab.document())
    greet_again(first.only)
    assert answers(first)


def test_what_others_put_beside_the_link_is_left_alone(lab, daemon, tenants):
    first, _ = tenants
    ip(["link add theirs type veth peer name theirs2", "link set theirs up", "link set theirs2 up",
        "address add 10.200.0.1/24 dev theirs", "route add 10.201.0.0/16 via 10.200.0.2 dev theirs",
        f"route add 10.202.0.0/16 dev {DEVICE} table 7", "rule add from 10.202.0.0/16 table 7"], INSIDE)
    server = subprocess.Popen(["nsenter", f"--net=/run/netns/{INSIDE}", "sleep", "1000"])
    # Once all has been looked at; a harm of ours shows when.
    inside(f"address add 10.77.0.1/16 dev {DEVICE}")(first)
    until(lambda: repairs(daemon), "it has looked")
    time.sleep(7 * SLOW)	# and the regular look at everything
    assert {"theirs", "theirs2"} <= {link["ifname"] for link in ip_show("link", namespace=INSIDE)}
    assert "10.201.0.0/16" in {route["dst"] for route in ip_show("route", namespace=INSIDE)}
    assert ip_show("route", "show", "table", "7", namespace=INSIDE)[0]["dst"] == "10.202.0.0/16"
    assert server.poll() is None
    assert all(what == ["surplus_address"] for _, what in repairs(daemon)), repairs(daemon)
    assert answers(first)
    server.kill()
    server.wait()
    ip(["link del theirs", "route flush table 7", "rule del from 10.202.0.0/16 table 7"], INSIDE)


def test_a_range_that_is_an_addresss_prefix_gets_its_route_back(daemon):
    """As long as nobody takes it away it is the kernel's own."""
    key = Key()
    document = {str(PORT): {
        "private_key": key.private, "address": ["10.0.0.1/16", "fd00:1::1/64"],
        "peers": {Key().public: {"allowed_ips": ["10.0.0.0/16", "fd00:1::/64", "10.7.0.0/16"]}}}}
    daemon.start()
    daemon.api.applied(document)
    kernel.assert_obeys(document)
    ip([f"route del 10.0.0.0/16 dev {DEVICE}", f"route del fd00:1::/64 dev {DEVICE}"], INSIDE)
    until(lambda: kernel.assert_obeys(document) or True, "the routes are back", seconds=LIMIT)
    until(lambda: "differed=route" in daemon.log(), "it is logged")


def test_a_link_that_is_deleted_is_made_again(lab, daemon, tenants):
    first, other = tenants
    inside(f"link del {DEVICE}")(first)
    mended(daemon, lab.document())
    greet_again(first.only)
    assert answers(first) and answers(other)
    until(lambda: any(port == PORT and "link" in what for port, what in repairs(daemon)), "it is logged")


@pytest.fixture
def userspace(daemon):
    """Whatever the kernel can do."""
    daemon.options["--wireguard"] = "userspace"


def test_a_killed_wireguard_go_is_started_again(userspace, lab, daemon, tenants):
    first, other = tenants
    for _ in range(3):
        [victim] = kernel.userspace_processes()[DEVICE]
        os.kill(victim, signal.SIGKILL)
        mended(daemon, lab.document())
        assert kernel.userspace_processes()[DEVICE] != [victim]
        greet_again(first.only)
        assert answers(first) and answers(other)
    assert len(re.findall(rf'msg="network repaired" network={PORT} differed=\S*link', daemon.log())) == 3
    assert len(kernel.userspace_processes()[DEVICE]) == 1
    assert daemon.namespaces() == [INSIDE, f"network-{PORT + 1}"]


def test_a_wireguard_go_that_hangs_does_not_hold_up_the_others(userspace, lab, daemon, tenants):
    _, other = tenants
    [victim] = kernel.userspace_processes()[DEVICE]
    os.kill(victim, signal.SIGSTOP)
    try:
        until(lambda: daemon.api.network(PORT)["state"] == "failed", "it is noticed", 20)
        ip([f"link set wg{PORT + 1} down"], f"network-{PORT + 1}")
        until(lambda: "UP" in kernel.flags(PORT + 1), "the other is mended", LIMIT)
        assert daemon.api.network(PORT + 1)["state"] == "up"
        assert answers(other)
    finally:
        os.kill(victim, signal.SIGCONT)
    until(lambda: daemon.api.network(PORT)["state"] == "up", "it is up when it answers again", 90)
    mended(daemon, lab.document())
