"""What others break is mended within ten seconds, and the tunnel works again."""

import os
import pathlib
import signal
import subprocess

import pytest

from rig.clients import pings
from rig.lab import Key, ip, ip_show, run, wg
from rig.wait import until

INSIDE = "network-51820"
DEVICE = "wg51820"


def delete_namespace(pair):
    ip([f"netns del {INSIDE}"])


def replace_namespace(pair):
    ip([f"netns del {INSIDE}"])
    # The daemon may have been faster.
    subprocess.run(["ip", "netns", "add", INSIDE], capture_output=True, check=False)


def set_link_down(pair):
    ip([f"link set {DEVICE} down"], INSIDE)


def rename_link(pair):
    ip([f"link set {DEVICE} down", f"link set {DEVICE} name other", "link set other up"], INSIDE)


def remove_address(pair):
    ip([f"address del 10.0.0.1/16 dev {DEVICE}"], INSIDE)


def add_address(pair):
    ip([f"address add 10.77.0.1/16 dev {DEVICE}"], INSIDE)


def remove_route(pair):
    ip([f"address flush dev {DEVICE}"], INSIDE)


def change_mtu(pair):
    ip([f"link set {DEVICE} mtu 1300"], INSIDE)


def remove_peer(pair):
    wg("set", DEVICE, "peer", pair.alpha.only.key.public, "remove", namespace=INSIDE)


def add_peer(pair):
    wg("set", DEVICE, "peer", Key().public, "allowed-ips", "10.0.7.7/32", namespace=INSIDE)


def change_ranges(pair):
    wg("set", DEVICE, "peer", pair.alpha.only.key.public, "allowed-ips", "10.0.9.9/32", namespace=INSIDE)


def change_key(pair):
    wg("set", DEVICE, "private-key", "/dev/stdin", namespace=INSIDE, input=Key().private)


def turn_forwarding_off(pair):
    run("nsenter", f"--net=/run/netns/{INSIDE}", "sysctl", "-qw", "net.ipv4.ip_forward=0")


def as_the_document_says(tenant):
    """Reads the kernel with ip(8) and wg(8)."""
    [link] = ip_show("address", "show", "dev", DEVICE, namespace=INSIDE)
    assert link["mtu"] == 1420 and "UP" in link["flags"]
    assert [entry["local"] for entry in link["addr_info"] if entry["family"] == "inet"] == ["10.0.0.1"]
    routes = {route["dst"] for route in ip_show("route", namespace=INSIDE) if route["dev"] == DEVICE}
    assert {"10.0.0.0/16", "10.0.0.2"} <= routes
    shown = [line.split("\t") for line in wg("show", DEVICE, "dump", namespace=INSIDE).splitlines()]
    assert shown[0][0] == tenant.key.private and shown[0][2] == str(tenant.port)
    assert [(peer[0], peer[3]) for peer in shown[1:]] == [(tenant.only.key.public, "10.0.0.2/32")]
    forwarding = run("nsenter", f"--net=/run/netns/{INSIDE}", "sysctl", "-n", "net.ipv4.ip_forward")
    assert forwarding.strip() == "1"
    return True


def mended(pair):
    def check():
        try:
            return as_the_document_says(pair.alpha)
        except (IndexError, KeyError) as error:
            raise AssertionError(str(error)) from error
    until(check, "kernel and document are equal again", 10)


HARMS = [delete_namespace, replace_namespace, set_link_down, rename_link, remove_address, add_address,
         remove_route, change_mtu, remove_peer, add_peer, change_ranges, change_key, turn_forwarding_off]
# These have to do with the kind of WireGuard.
OF_WIREGUARD = (delete_namespace, set_link_down, remove_peer, change_ranges, change_key)


@pytest.mark.parametrize("harm", [pytest.param(harm, id=harm.__name__,
                                               marks=[pytest.mark.kernel] if harm in OF_WIREGUARD else [])
                                  for harm in HARMS])
def test_mended_after(pair, harm):
    harm(pair)
    mended(pair)
    # A peer that was away has no session: its machine asks again after some 20 s.
    until(lambda: pings(pair.alpha.only.name, "10.0.0.1"), "the tunnel works", 60)
    assert "network=51820" in pair.daemon.log().split("applied a document")[1], "it is logged"
    assert pair.answers(pair.beta)


@pytest.mark.kernel
def test_a_deleted_namespace_comes_back_with_its_sessions_and_counters(pair):
    before = os.stat(f"/run/netns/{INSIDE}").st_ino
    received = pair.daemon.api.network(51820)["peers"][pair.alpha.only.key.public]["rx"]
    delete_namespace(pair)
    until(lambda: os.path.exists(f"/run/netns/{INSIDE}") and os.stat(f"/run/netns/{INSIDE}").st_ino == before,
          "the same namespace is pinned again", 10)
    assert pings(pair.alpha.only.name, "10.0.0.1")
    assert pair.daemon.api.network(51820)["peers"][pair.alpha.only.key.public]["rx"] >= received


@pytest.fixture
def userspace(daemon):
    """Whatever the kernel can do."""
    daemon.options["--wireguard"] = "userspace"


def test_a_dead_wireguard_go_is_started_again(userspace, pair):
    [victim] = [int(path.parent.name) for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")
                if path.read_bytes().split(b"\0")[:3] == [b"wireguard-go", b"-f", DEVICE.encode()]]
    os.kill(victim, signal.SIGKILL)
    mended(pair)
    until(lambda: pings(pair.alpha.only.name, "10.0.0.1"), "the tunnel works", 60)
