"""Two tenants with the same addresses: each is reached, none reaches what is not its own."""

import pytest

from rig.clients import curl, curl_json, pings, reaches
from rig.lab import PUBLIC
from rig.linux import socket_in
from rig.servers import Server
from rig.wait import until

pytestmark = pytest.mark.kernel


@pytest.mark.asan
def test_each_host_name_and_pattern_reaches_its_own_tenant_over_http_and_https(pair):
    for tenant in pair.tenants:
        for host in (tenant.host, f"one.apps.{tenant.name}.example", f"TWO.apps.{tenant.name}.example"):
            for scheme in ("http", "https"):
                answer = curl_json(f"{scheme}://{host}/where", certificate=tenant.certificate)
                assert answer["server"] == tenant.name
                assert answer["path"] == "/where"


def test_a_wildcard_matches_exactly_one_label(pair):
    for host in ("apps.alpha.example", "a.b.apps.alpha.example"):
        status = curl(f"http://{host}/", "-o", "/dev/null", "-w", "%{http_code}")
        assert status == b"404"


def test_peers_of_a_network_reach_each_other_and_no_peer_of_another(lab, daemon):
    alpha, beta = lab.tenant(51820, "alpha"), lab.tenant(51821, "beta")
    first, second = alpha.machine("10.0.0.2/16"), alpha.machine("10.0.0.3/16")
    other = beta.machine("10.0.0.4/16")
    daemon.start(lab.document())
    for machine in (first, second, other):
        machine.connect()
    for machine in (first, second, other):
        machine.wait_until_connected()
    until(lambda: pings(first.name, "10.0.0.3"), "the peers ping each other")
    assert pings(second.name, "10.0.0.2", seconds=15)
    assert pings(other.name, "10.0.0.1", seconds=15)
    assert not pings(first.name, "10.0.0.4")
    assert not pings(other.name, "10.0.0.2")


def test_peers_reach_each_other_over_ipv6(lab, daemon):
    tenant = lab.tenant(51820, "alpha", addresses=("10.0.0.1/16", "fd00:1::1/64"))
    first = tenant.machine("10.0.0.2/16", "fd00:1::2/64")
    second = tenant.machine("10.0.0.3/16", "fd00:1::3/64")
    tenant.proxy["http://six.example"] = ["[fd00:1::3]:80"]
    daemon.start(lab.document())
    for machine in (first, second):
        machine.connect()
    for machine in (first, second):
        machine.wait_until_connected()
    second.serve("fd00:1::3")
    answer = first.run("curl", "-sS", "--max-time", "60", "http://[fd00:1::3]/")
    assert second.name in answer
    assert curl_json("http://six.example/")["server"] == second.name


def test_a_tenant_reaches_neither_the_host_nor_another_tenant_nor_the_internet(pair):
    lab = pair.lab
    stranger = lab.host("stranger")
    stranger.serve()
    Server(None, PUBLIC, name="gateway", http_port=8080)
    machine = pair.alpha.only
    # The machine sends everything into the tunnel; the gateway's own link and endpoint stay outside.
    machine.run("wg", "set", machine.device, "peer", pair.alpha.key.public, "allowed-ips", "0.0.0.0/0")
    for target in (stranger.public, "10.0.0.1", "203.0.113.7"):
        machine.run("ip", "route", "replace", f"{target}/32", "dev", machine.device, "src", machine.address)
    # In another table, so that the tunnel's own packets still find the gateway.
    machine.run("ip", "route", "add", f"{PUBLIC}/32", "dev", machine.device, "src", machine.address,
                "table", "7")
    machine.run("ip", "rule", "add", "from", machine.address, "to", f"{PUBLIC}/32", "lookup", "7")
    until(lambda: pings(machine.name, "10.0.0.1"), "the tunnel itself works")
    assert not reaches(machine.name, stranger.public, 80)
    assert not pings(machine.name, stranger.public)
    # The host's ports are open on every address of the host, and on none of the network's.
    for port in (80, 443, 8080):
        assert not reaches(machine.name, "10.0.0.1", port)
    with socket_in(machine.name) as connection:
        connection.bind((machine.address, 0))
        connection.settimeout(1)
        try:
            connection.connect((PUBLIC, 80))
            reached = True
        except OSError:
            reached = False
    assert not reached, "a tenant reached the host through its tunnel"


def test_a_host_of_one_tenant_is_never_served_by_the_other_with_the_same_address(pair):
    pair.beta.server.close()
    answer = curl("http://git.beta.example/", "-o", "/dev/null", "-w", "%{http_code}")
    assert answer == b"502"
    assert not any("beta" in str(request) for request in pair.alpha.server.requests)
