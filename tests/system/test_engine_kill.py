"""Roles are killed at random moments in the middle of applies: afterwards the kernel is as the document says,
and nothing that a dead one had begun is left.

TOLLGATE_KILL_NETWORKS and TOLLGATE_KILL_ROUNDS make it larger (a full run: 200 and 50, with
TOLLGATE_TEST_SECONDS=3000), TOLLGATE_RANDOM_SEED repeats a run."""

import base64
import http.client
import os
import pathlib
import random
import threading
import time

import pytest

from rig import kernel
from rig.lab import ip_show
from rig.wait import SLOW, until

pytestmark = pytest.mark.kernel

NETWORKS = int(os.environ.get("TOLLGATE_KILL_NETWORKS", "20"))
ROUNDS = int(os.environ.get("TOLLGATE_KILL_ROUNDS", "5"))
SEED = os.environ.get("TOLLGATE_RANDOM_SEED")
FIRST_PORT = 40000
PRIVATE = "private_key"


class Author:
    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.document = {}

    def key(self):
        return base64.b64encode(self.dice.randbytes(32)).decode()

    def endpoint(self):
        """Nobody answers there."""
        return f"192.0.2.{self.dice.randint(2, 250)}:{self.dice.randint(1, 65535)}"

    def network(self):
        peers = {self.key(): {"allowed_ips": [f"10.0.{number}.0/24", f"fd00:{number + 1}::/64"],
                              "endpoint": self.endpoint(), "persistent_keepalive": self.dice.choice((0, 25))}
                 for number in range(self.dice.randint(0, 3))}
        return {PRIVATE: self.key(), "address": ["10.0.0.1/16", "fd00:1::1/64"],
                "mtu": self.dice.choice((1420, 1280, 9000)), "peers": peers}

    def change(self, network):
        what = self.dice.choice(("key", "mtu", "peers", "address", "endpoints", "all"))
        if what == "all":
            return self.network()
        if what == "endpoints":
            return {**network, "peers": {key: {**peer, "endpoint": self.endpoint()}
                                         for key, peer in network["peers"].items()}}
        other = self.network()
        field = {"key": PRIVATE}.get(what, what)
        value = ["10.0.0.1/16"] if what == "address" else other[field]
        return {**network, field: value}

    def next(self):
        """Most of the networks, of which some stay as they are, some change, some exchange all they have."""
        there = {}
        for port in range(FIRST_PORT, FIRST_PORT + NETWORKS):
            old = self.document.get(str(port))
            luck = self.dice.random()
            if luck < 0.2:
                continue
            there[str(port)] = self.network() if old is None else self.change(old) if luck < 0.5 else old
        for _ in range(min(3, len(there) // 2)):
            one, other = self.dice.sample(sorted(there), 2)
            there[one], there[other] = there[other], there[one]
        if self.dice.random() < 0.15:
            there = {}
        self.document = there
        return there


class Apply(threading.Thread):
    """An apply whose answer may never come."""

    def __init__(self, api, document):
        super().__init__()
        self.api = api
        self.document = document
        self.status = None
        self.took = 0
        self.start()

    def run(self):
        began = time.monotonic()
        try:
            self.status = self.api.apply(self.document).status
        except (OSError, http.client.HTTPException):
            pass	# the role that answers died
        self.took = time.monotonic() - began


class Moments:
    """How long an apply takes is learned from the first, which makes all it has, and from those that were
    over before their moment came."""

    def __init__(self, dice, first):
        self.dice = dice
        self.each = first.took / max(1, len(first.document))

    def wait(self, apply, before):
        """Whether it is in the middle of the apply now."""
        ports = {*before, *apply.document}
        touched = max(1, sum(before.get(port) != apply.document.get(port) for port in ports))
        apply.join(timeout=self.dice.random() * self.each * touched)
        if apply.is_alive():
            return True
        self.each = min(self.each, apply.took / touched)
        return False


def assert_nothing_else(document):
    """Of mounts, processes, their sockets, UDP ports and links there is what the document asks."""
    names = sorted(f"network-{port}" for port in document)
    assert kernel.pinned() == names, "one mount for each name"
    assert kernel.udp_ports() == sorted(map(int, document))
    assert [link["ifname"] for link in ip_show("link")] == ["lo"]
    running = kernel.userspace_processes()
    sockets = sorted(path.stem for path in pathlib.Path("/run/wireguard").glob("*.sock"))
    if running or sockets:
        assert sorted(running) == sockets == sorted(f"wg{port}" for port in document)
    assert all(len(pids) == 1 for pids in running.values()), running


def assert_no_other_namespace_is_held(daemon, document):
    """A namespace lives on, unnamed, with its link and its port, while somebody has a descriptor of it."""
    for role in ("engine", "broker"):
        held = [path for path in pathlib.Path(f"/proc/{daemon.role(role)}/fd").iterdir()
                if os.readlink(path).startswith("net:")]
        assert len(held) == len(document) + 1, f"{role} holds those of the document and the host's"


def in_force(daemon, allowed, seconds):
    """Waits until the kernel obeys the active document, which must be one of those."""
    def check():
        document = daemon.api.config()
        kernel.assert_obeys(document, {(port, key): peer["endpoint"] for port, network in document.items()
                                       for key, peer in network["peers"].items()})
        assert_nothing_else(document)
        assert_no_other_namespace_is_held(daemon, document)
        return document

    def quietly():
        try:
            return [check()]
        except (IndexError, KeyError, http.client.HTTPException) as error:
            raise AssertionError(repr(error)) from error
    daemon.wait_until_healthy(60)
    [document] = until(quietly, "the kernel obeys, and nothing else is there", seconds)
    assert keys_of(document) in map(keys_of, allowed), "it is one of those that were sent"
    return document


def keys_of(document):
    return {port: (network[PRIVATE], sorted(network["peers"])) for port, network in document.items()}


def kill_in_applies(daemon, roles, seed):
    print(f"TOLLGATE_RANDOM_SEED={seed}")
    author = Author(seed)
    daemon.options["--sample-interval"] = "1s"
    daemon.start({})
    before = author.next()
    first = Apply(daemon.api, before)
    first.join()
    moments = Moments(author.dice, first)
    seconds = 20 + NETWORKS / 5
    killed = 0
    for number in range(6 * ROUNDS):
        role = author.dice.choice(roles)
        document = author.next()
        victim = daemon.role(role)
        apply = Apply(daemon.api, document)
        in_the_middle = moments.wait(apply, before)
        daemon.kill_role(victim)
        print(f"round {number}: {role}, {'in the middle' if in_the_middle else 'behind the answer'}")
        apply.join(timeout=seconds * SLOW)
        assert not apply.is_alive(), "it was answered, or the connection ended"
        if role != "control":
            assert apply.status == 200, (number, role, apply.status)
        allowed = (before, document) if role == "control" else (document,)
        author.document = before = in_force(daemon, allowed, seconds)
        assert apply.status != 200 or keys_of(before) == keys_of(document)
        killed += in_the_middle
        if killed == ROUNDS:
            return
    assert killed == ROUNDS, "so many were in the middle"


def seed_of(fixed):
    return int(SEED) if SEED else fixed


def test_the_engine_is_killed_in_applies(daemon):
    kill_in_applies(daemon, ["engine"], seed_of(1))


def test_any_role_is_killed_in_applies(daemon):
    kill_in_applies(daemon, ["control", "broker", "engine", "control"],
                    seed_of(int.from_bytes(os.urandom(4), "big")))


def test_the_supervisor_is_killed_in_an_apply(daemon):
    """All roles end; the next daemon completes what was begun, or the document was not stored."""
    author = Author(seed_of(2))
    daemon.start({})
    first = Apply(daemon.api, author.next())
    first.join()
    before = first.document
    for _ in range(max(1, ROUNDS // 5)):
        apply = Apply(daemon.api, author.next())
        time.sleep(author.dice.random() * first.took)
        daemon.kill()
        apply.join(timeout=60 * SLOW)
        daemon.start()
        author.document = before = in_force(daemon, (before, apply.document), 20 + NETWORKS / 5)
