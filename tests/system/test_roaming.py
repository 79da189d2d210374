"""A machine that moves is followed, and no apply takes it back to where it was."""

import copy

import pytest

from rig.clients import pings
from rig.lab import PUBLIC, Key, ip, wg
from rig.wait import until

pytestmark = pytest.mark.kernel

APPLIES = 100
PORT = 51820


def seen(tenant):
    """(endpoint, latest handshake, received, sent) of the tenant's machine, by wg(8) at the gateway."""
    for line in wg("show", f"wg{tenant.port}", "dump", namespace=f"network-{tenant.port}").splitlines()[1:]:
        words = line.split("\t")
        if words[0] == tenant.only.key.public:
            return words[2], int(words[4]), int(words[5]), int(words[6])
    raise AssertionError("the peer is not there")


class Elsewhere:
    """Documents that differ from each other in everything but the one peer."""

    def __init__(self, document, peer):
        self.base = document
        self.key = Key().private
        self.others = [Key().public for _ in range(3)]
        self.peer = peer

    def document(self, number):
        document = copy.deepcopy(self.base)
        network = document[str(PORT)]
        network["mtu"] = 1420 if number % 2 else 1400
        network["proxy"] = {f"http://host{number}.example": ["10.0.0.2:80"]}
        if number % 3:
            network["address"] = network["address"] + ["10.99.0.1/24"]
        for place, other in enumerate(self.others[:number % 4]):
            network["peers"][other] = {"allowed_ips": [f"10.0.{number % 7}.{100 + place}/32"]}
        # Nested in other ranges, these come and go.
        if number % 5:
            network["peers"][self.peer]["allowed_ips"] = ["10.0.0.2/32", "10.0.128.0/17"]
        network["peers"][self.peer]["persistent_keepalive"] = number % 5 * 10
        if number % 4 == 1:
            document[str(PORT + 1)] = {"private_key": self.key, "address": ["10.0.0.1/16"],
                                       "mtu": network["mtu"]}
        return document


def test_a_machine_that_moved_keeps_its_place_through_applies(lab, daemon):
    tenant = lab.tenant(PORT, "first")
    machine = tenant.only = tenant.machine()
    first = f"{machine.public}:5555"
    document = lab.document()
    document[str(PORT)]["peers"][machine.key.public]["endpoint"] = first
    daemon.start(document)
    machine.connect()
    wg("set", machine.device, "listen-port", "5555", namespace=machine.name)
    machine.wait_until_connected()
    until(lambda: pings(machine.name, "10.0.0.1") and seen(tenant)[0] == first, "it is where it was sought")

    ip([f"address del {machine.public}/24 dev public", "address add 192.0.2.200/24 dev public",
        f"route replace default via {PUBLIC}"], machine.name)
    wg("set", machine.device, "listen-port", "6666", namespace=machine.name)
    now = "192.0.2.200:6666"
    until(lambda: pings(machine.name, "10.0.0.1") and seen(tenant)[0] == now, "it is followed", 30)
    assert daemon.api.network(PORT)["peers"][machine.key.public]["endpoint"] == now
    before = seen(tenant)

    def assert_kept(last):
        there = seen(tenant)
        assert there[0] == now, there
        assert there[2] >= last[2] and there[3] >= last[3], "counters go on"
        # A session is made anew after two minutes.
        assert there[1] == before[1] or there[1] - before[1] >= 60, "no handshake but when it was due"
        return there

    last = before
    for number in range(APPLIES):
        report = daemon.api.applied(document)
        assert report["networks"]["unchanged"] == 1
        last = assert_kept(last)
    elsewhere = Elsewhere(document, machine.key.public)
    for number in range(APPLIES):
        report = daemon.api.applied(elsewhere.document(number))
        assert report["networks"]["changed"] == [str(PORT)]
        last = assert_kept(last)
        if number % 25 == 0:
            assert pings(machine.name, "10.0.0.1", seconds=15)
    assert last[2] > before[2], "meanwhile it sent something"

    # The document's value itself changes: that one counts, until the machine is heard of again.
    document[str(PORT)]["peers"][machine.key.public]["endpoint"] = "192.0.2.250:7777"
    ip([f"link set {machine.device} down"], machine.name)
    daemon.api.applied(document)
    until(lambda: seen(tenant)[0] == "192.0.2.250:7777", "the new value is set")
    ip([f"link set {machine.device} up"], machine.name)
    until(lambda: pings(machine.name, "10.0.0.1") and seen(tenant)[0] == now, "it is followed again", 60)
    daemon.api.applied(document)
    assert seen(tenant)[0] == now
