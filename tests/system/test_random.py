"""Random applies: after each, the kernel, read with ip(8) and wg(8), is as the document says, and the
report tells what was changed, as it is worked out here.

TOLLGATE_RANDOM_APPLIES says how many (a full run: 1000, with TOLLGATE_TEST_SECONDS=2000),
TOLLGATE_RANDOM_SEED repeats a run."""

import base64
import copy
import ipaddress
import os
import random

import pytest

from rig import kernel
from rig.clients import connect
from rig.lab import run

pytestmark = pytest.mark.kernel

APPLIES = int(os.environ.get("TOLLGATE_RANDOM_APPLIES", "60"))
SEED = os.environ.get("TOLLGATE_RANDOM_SEED")
PORTS = ("51820", "51821", "51822", "443")
# The first range of an address, several nested ones, everything, the gateway's own, both families.
RANGES = ("10.0.0.0/8", "10.0.0.0/16", "10.0.1.0/24", "10.0.1.128/25", "10.0.1.200", "10.0.0.1/32",
          "0.0.0.0/0", "0.0.0.0/1", "192.168.7.77/24", "192.168.7.1/32", "100.64.0.0/10", "::/0", "fd00:1::/48",
          "fd00:1::/64", "fd00:1::5", "fd00:1::1/128", "fd00:2::77/64", "2000::/3")
# Of each group at most one: the kernel knows an IPv6 address once.
ADDRESSES = (("10.0.0.1/16", "10.0.0.1/24", "10.0.0.1/32"), ("10.0.0.7/16", "10.0.0.7/32"),
             ("192.168.7.1/24",), ("fd00:1::1/64", "fd00:1::1/128", "fd00:1::1/48"), ("fd00:2::1/64",))
ENDPOINTS = (None, "192.0.2.9:1000", "192.0.2.9:1001", "198.51.100.4:51820", "[2001:db8::9]:1000")
HOSTS = tuple(f"host{number}.example" for number in range(6))


class Keys:
    """Private keys in a repeatable order, as they are drawn: not clamped."""

    def __init__(self, dice, count):
        self.privates = [base64.b64encode(dice.randbytes(32)).decode() for _ in range(count)]
        self.publics = {key: run("wg", "pubkey", input=key).strip() for key in self.privates}
        self.private_of = {public: private for private, public in self.publics.items()}


class Author:
    """Changes a document at random, so that it stays valid."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.keys = Keys(self.dice, 14)
        self.document = {}
        self.deeds = []

    def next(self):
        self.deeds = []
        for _ in range(self.dice.choice((0, 1, 1, 1, 2, 3, 5, 9))):
            deed = self.dice.choice((self.add_network, self.add_network, self.remove_network, self.rekey,
                                     self.swap_keys, self.swap_networks, self.change_network, self.add_peer,
                                     self.add_peer, self.remove_peer, self.move_peer, self.change_roles,
                                     self.move_range, self.add_range, self.remove_range, self.swap_ranges,
                                     self.change_peer, self.change_peer, self.change_host, self.change_host,
                                     self.start_over))
            deed()
            self.deeds.append(deed.__name__)
        self.make_valid()
        return copy.deepcopy(self.document)

    def some_network(self):
        return self.document[self.dice.choice(sorted(self.document))] if self.document else None

    def some_peer(self, network):
        return self.dice.choice(sorted(network["peers"])) if network and network["peers"] else None

    def free_private(self):
        used = {network["private_key"] for network in self.document.values()}
        return self.dice.choice([key for key in self.keys.privates if key not in used])

    def addresses(self):
        groups = self.dice.sample(ADDRESSES, self.dice.randint(1, len(ADDRESSES)))
        return [self.dice.choice(group) for group in groups]

    def mtu(self):
        return self.dice.choice((1420, 1280, 1000, 1500, 9000, 65535))

    def add_network(self):
        port = self.dice.choice(PORTS)
        if port not in self.document:
            self.document[port] = {"private_key": self.free_private(), "address": self.addresses(),
                                   "mtu": self.mtu(), "peers": {}, "proxy": {}}
            for _ in range(self.dice.randint(0, 4)):
                self.add_peer_to(self.document[port])

    def remove_network(self):
        if self.document:
            del self.document[self.dice.choice(sorted(self.document))]

    def start_over(self):
        if self.dice.random() < 0.2:
            self.document = {}
            self.add_network()
            self.add_network()

    def rekey(self):
        if self.document:
            self.some_network()["private_key"] = self.free_private()

    def swap_keys(self):
        """Two ports exchange their private keys alone."""
        first, second = self.some_network(), self.some_network()
        if first:
            first["private_key"], second["private_key"] = second["private_key"], first["private_key"]

    def swap_networks(self):
        """Two ports exchange all they have; or one moves to another port."""
        first, second = self.dice.choice(PORTS), self.dice.choice(PORTS)
        values = self.document.pop(first, None), self.document.pop(second, None)
        for port, value in ((second, values[0]), (first, values[1])):
            if value is not None:
                self.document[port] = value

    def change_network(self):
        network = self.some_network()
        if network and self.dice.random() < 0.5:
            network["mtu"] = self.mtu()
        elif network:
            network["address"] = self.addresses()

    def new_peer(self):
        return {"allowed_ips": self.dice.sample(RANGES, self.dice.randint(0, 5)),
                "preshared_key": self.preshared(), "endpoint": self.dice.choice(ENDPOINTS),
                "persistent_keepalive": self.dice.choice((25, 0, 1, 65535))}

    def preshared(self):
        return self.dice.choice((None, *self.keys.privates[:3]))

    def add_peer_to(self, network):
        network["peers"][self.dice.choice(sorted(self.keys.private_of))] = self.new_peer()

    def add_peer(self):
        if self.document:
            self.add_peer_to(self.some_network())

    def remove_peer(self):
        network = self.some_network()
        if (key := self.some_peer(network)):
            del network["peers"][key]

    def move_peer(self):
        """To another network, with all that it has."""
        network, other = self.some_network(), self.some_network()
        if (key := self.some_peer(network)):
            other["peers"][key] = network["peers"].pop(key)

    def change_roles(self):
        """A network takes the key of its peer, which takes the network's."""
        network = self.some_network()
        key = self.some_peer(network)
        used = {other["private_key"] for other in self.document.values()}
        if key and self.keys.private_of[key] not in used:
            own = self.keys.publics[network["private_key"]]
            network["private_key"] = self.keys.private_of[key]
            network["peers"][own] = network["peers"].pop(key)

    def two_peers(self):
        network = self.some_network()
        if not network or len(network["peers"]) < 2:
            return None, None
        return [network["peers"][key] for key in self.dice.sample(sorted(network["peers"]), 2)]

    def move_range(self):
        first, second = self.two_peers()
        if first and first["allowed_ips"]:
            place = self.dice.randrange(len(first["allowed_ips"]))
            second["allowed_ips"].append(first["allowed_ips"].pop(place))

    def swap_ranges(self):
        first, second = self.two_peers()
        if first:
            first["allowed_ips"], second["allowed_ips"] = second["allowed_ips"], first["allowed_ips"]

    def add_range(self):
        network = self.some_network()
        if (key := self.some_peer(network)):
            network["peers"][key]["allowed_ips"].append(self.dice.choice(RANGES))

    def remove_range(self):
        network = self.some_network()
        key = self.some_peer(network)
        if key and (ranges := network["peers"][key]["allowed_ips"]):
            ranges.pop(self.dice.randrange(len(ranges)))

    def change_peer(self):
        network = self.some_network()
        if (key := self.some_peer(network)):
            field = self.dice.choice(("preshared_key", "endpoint", "persistent_keepalive"))
            network["peers"][key][field] = self.new_peer()[field]

    def change_host(self):
        """Both schemes; it may move to another network."""
        network, host = self.some_network(), self.dice.choice(HOSTS)
        for other in self.document.values():
            for scheme in ("http", "https"):
                if other is not network or self.dice.random() < 0.3:
                    other["proxy"].pop(f"{scheme}://{host}", None)
        if network and self.dice.random() < 0.8:
            network["proxy"][f"http://{host}"] = {"upstreams": [], "redirect_to_https": True}
        if network and self.dice.random() < 0.5:
            network["proxy"][f"https://{host}"] = [f"10.0.0.{self.dice.randint(2, 5)}:443"]

    def make_valid(self):
        for network in self.document.values():
            network["peers"].pop(self.keys.publics[network["private_key"]], None)
            if any(":" in address for address in network["address"]):
                network["mtu"] = max(network["mtu"], 1280)
            seen = set()
            for key in self.dice.sample(sorted(network["peers"]), len(network["peers"])):
                peer = network["peers"][key]
                kept = []
                for text in peer["allowed_ips"]:
                    if kernel.cidr(text) not in seen:
                        kept.append(text)
                        seen.add(kernel.cidr(text))
                peer["allowed_ips"] = kept


def in_one_form(document):
    """Texts that mean the same are the same."""
    document = copy.deepcopy(document)
    for network in document.values():
        network["address"] = {str(ipaddress.ip_interface(address)) for address in network["address"]}
        for peer in network["peers"].values():
            peer["allowed_ips"] = {kernel.cidr(text) for text in peer["allowed_ips"]}
    return document


def pointer(*words):
    return "".join("/" + word.replace("~", "~0").replace("/", "~1") for word in words)


class Report:
    """What an apply must tell of two documents."""

    def __init__(self, before, after):
        before, after = in_one_form(before), in_one_form(after)
        self.changes = set()
        self.networks = {"added": [], "changed": [], "removed": [], "unchanged": 0, "failed": {}}
        self.peers = {"added": 0, "changed": 0, "removed": 0}
        self.hosts = {"added": 0, "changed": 0, "removed": 0}
        for port in sorted({*before, *after}, key=int):
            self.network(port, before.get(port), after.get(port))

    def network(self, port, old, new):
        if old is None or new is None:
            kind, op, there = ("added", "add", new) if old is None else ("removed", "remove", old)
            self.networks[kind].append(port)
            self.peers[kind] += len(there["peers"])
            self.hosts[kind] += len(there["proxy"])
            self.changes.add((op, pointer(port)))
            return
        many = len(self.changes)
        self.fields(old, new, ("private_key", "address", "mtu"), port)
        for key in {*old["peers"], *new["peers"]}:
            self.item(self.peers, old["peers"].get(key), new["peers"].get(key), port, "peers", key)
        for host in {*old["proxy"], *new["proxy"]}:
            self.item(self.hosts, old["proxy"].get(host), new["proxy"].get(host), port, "proxy", host)
        if len(self.changes) > many:
            self.networks["changed"].append(port)
        else:
            self.networks["unchanged"] += 1

    def fields(self, old, new, names, *place):
        self.changes.update(("change", pointer(*place, name)) for name in names if old[name] != new[name])

    def item(self, tally, old, new, *place):
        if old == new:
            return
        op = "add" if old is None else "remove" if new is None else "change"
        kind = {"add": "added", "remove": "removed", "change": "changed"}[op]
        tally[kind] += 1
        if op == "change" and tally is self.peers:
            self.fields(old, new, sorted(old), *place)
        else:
            self.changes.add((op, pointer(*place)))

    def check(self, report):
        assert report["networks"] == self.networks
        assert report["peers"] == self.peers
        assert report["hosts"] == self.hosts
        assert len(self.changes) <= 1000
        assert len(report["changes"]) == len(self.changes), "each once"
        assert {(change["op"], change["path"]) for change in report["changes"]} == self.changes


def follow_endpoints(endpoints, before, after):
    """An endpoint is set when the peer is new or the document's value another; nobody else sets one here."""
    for port in PORTS:
        old = before.get(port, {"peers": {}})["peers"]
        new = after.get(port, {"peers": {}})["peers"]
        for key in {*old, *new}:
            if key not in new:
                del endpoints[port, key]
            elif key not in old:
                endpoints[port, key] = new[key]["endpoint"]
            elif new[key]["endpoint"] not in (None, old[key]["endpoint"]):
                endpoints[port, key] = new[key]["endpoint"]


def status_of(connection, host):
    connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    return int(connection.makefile("rb").readline().split()[1])


def assert_routed(document):
    """The hosts that redirect do, and the others are not known."""
    there = {url.removeprefix("http://") for network in document.values() for url in network["proxy"]}
    for host in HOSTS:
        with connect(80, gateway="127.0.0.1") as connection:
            assert status_of(connection, host) == (308 if host in there else 404), host


def change_nothing(api, document, report, etag):
    """The same again; now and then the other ways to say the same."""
    again = api.apply(document)
    assert again.status == 200 and again.headers["ETag"] == etag, again
    assert again.json["generation"] == report["generation"]
    assert again.json["changes"] == []
    assert again.json["networks"]["unchanged"] == len(document)
    assert not any((*again.json["peers"].values(), *again.json["hosts"].values()))


def run_applies(daemon, seed, applies):
    print(f"TOLLGATE_RANDOM_SEED={seed}")
    daemon.options["--sample-interval"] = "1s"
    daemon.start({})
    api = daemon.api
    author = Author(seed)
    before, endpoints, generation = {}, {}, api.applied({})["generation"]
    for number in range(applies):
        document = author.next()
        where = f"seed {seed}, apply {number}: {author.deeds}"
        expected = Report(before, document)
        if author.dice.random() < 0.1:
            dry = api.apply(document, "?dry_run=true")
            assert dry.status == 200, (where, dry)
            expected.check(dry.json)
        answer = api.apply(document)
        assert answer.status == 200, (where, answer)
        report = answer.json
        follow_endpoints(endpoints, before, document)
        try:
            expected.check(report)
            assert report["generation"] == generation + bool(expected.changes)
            kernel.assert_obeys(document, endpoints)
            assert_routed(document)
            if author.dice.random() < 0.5:
                change_nothing(api, document, report, answer.headers["ETag"])
                kernel.assert_obeys(document, endpoints)
        except (AssertionError, KeyError, OSError) as error:
            raise AssertionError(f"{where}: {error!r}\n{answer}") from error
        before, generation = document, report["generation"]
    assert "network repaired" not in daemon.log() and "level=error" not in daemon.log()


@pytest.mark.parametrize("seed", [3, "another"])
def test_after_each_of_many_random_applies_the_kernel_obeys(daemon, seed):
    if seed == "another":
        seed = int(SEED) if SEED else int.from_bytes(os.urandom(4), "big")
    run_applies(daemon, seed, APPLIES)
