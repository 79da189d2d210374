"""Changes of one peer or of a part, several writers at a time, and who is told of it: PATCH, the peers'
own paths, If-Match, the queue of applies, events."""

import base64
import copy
import http.client
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

from rig import kernel
from rig.clients import connect, pings
from rig.daemon import TOLLGATE
from rig.lab import Key, wg
from rig.wait import SLOW, until

PORT = 51820
WAITING = 16	# applies that wait behind the one that is done


def percent(key):
    return urllib.parse.quote(key, safe="")


def url64(key):
    return base64.urlsafe_b64encode(base64.b64decode(key)).decode().rstrip("=")


def url64_padded(key):
    return base64.urlsafe_b64encode(base64.b64decode(key)).decode()


def key_with(*characters):
    """A public key with those in its text: they mean something in a path."""
    while True:
        key = base64.b64encode(os.urandom(32)).decode()
        if all(character in key for character in characters):
            return key


@pytest.mark.kernel
@pytest.mark.parametrize("spelled", [percent, url64, url64_padded], ids=lambda function: function.__name__)
def test_a_peer_is_made_replaced_read_and_removed(lab, daemon, spelled):
    lab.tenant(PORT, "first").machine()
    document = lab.document()
    daemon.start(document)
    api = daemon.api
    key = key_with("/", "+")
    path = f"/networks/{PORT}/peers/{spelled(key)}"
    peers = document[str(PORT)]["peers"]

    assert api.get(path).status == api.request("DELETE", path).status == 404
    value = {"allowed_ips": ["10.0.7.0/24", "10.0.8.8"], "persistent_keepalive": 7}
    made = api.request("PUT", path, value)
    assert made.status == 201 and made.json["peers"] == {"added": 1, "changed": 0, "removed": 0}, made
    peers[key] = value
    kernel.assert_obeys(document)
    live = api.get(path)
    assert live.status == 200 and live.json["allowed_ips"] == ["10.0.7.0/24", "10.0.8.8/32"]
    assert live.json["connected"] is False and live.json["latest_handshake"] is None

    value = {"allowed_ips": ["10.0.7.0/24"], "preshared_key": Key().private}
    replaced = api.request("PUT", path, value)
    assert replaced.status == 200 and replaced.json["peers"]["changed"] == 1, replaced
    peers[key] = value
    kernel.assert_obeys(document)
    same = api.request("PUT", path, value)
    assert (same.status, same.json["changes"]) == (200, [])
    assert same.headers["ETag"] == replaced.headers["ETag"] == api.get("/config").headers["ETag"]

    refused = api.request("PUT", path, {"allowed_ips": ["10.0.0.2/32"]})
    assert refused.status == 400 and refused.json["error"]["code"] == "CONFIG_INVALID", refused
    assert api.request("PUT", path + "?dry_run=true", {"allowed_ips": []}).json["dry_run"] is True
    assert api.request("PUT", path, {"allowed_ips": []}, headers={"If-Match": '"x"'}).status == 412
    assert api.request("PUT", f"/networks/{PORT + 1}/peers/{spelled(key)}", value).status == 404
    kernel.assert_obeys(document)

    gone = api.request("DELETE", path)
    assert gone.status == 200 and gone.json["peers"]["removed"] == 1, gone
    del peers[key]
    kernel.assert_obeys(document)
    assert api.get(path).status == 404


@pytest.mark.kernel
def test_a_patch_changes_what_it_names(lab, daemon):
    first, second = lab.tenant(PORT, "first"), lab.tenant(PORT + 1, "second")
    one, two = first.machine("10.0.0.2/16"), first.machine("10.0.0.3/16")
    first.proxy["http://git.first.example"] = ["10.0.0.2:80"]
    document = lab.document()
    daemon.start(document)
    patch = {str(PORT): {"mtu": 1380,
                         "peers": {one.key.public: {"persistent_keepalive": 3}, two.key.public: None},
                         "proxy": {"HTTP://Git.First.Example:80/": ["10.0.0.9:80"],
                                   "http://new.example": ["10.0.0.2:80"]}},
             str(second.port): None}
    wanted = copy.deepcopy(document)
    del wanted[str(second.port)], wanted[str(PORT)]["peers"][two.key.public]
    wanted[str(PORT)]["mtu"] = 1380
    wanted[str(PORT)]["peers"][one.key.public]["persistent_keepalive"] = 3
    for kind in ("application/merge-patch+json", "application/json"):
        answer = daemon.api.request("PATCH", "/config", patch, headers={"Content-Type": kind})
        assert answer.status == 200, answer
    assert answer.json["changes"] == [], "the second time there is nothing to do"
    kernel.assert_obeys(wanted)
    proxy = daemon.api.config()[str(PORT)]["proxy"]
    assert proxy == {"http://git.first.example": ["10.0.0.9:80"], "http://new.example": ["10.0.0.2:80"]}


def test_no_update_of_several_writers_is_lost(lab, daemon):
    """Each reads, adds a peer of its own, and writes with If-Match; who comes too late begins anew, as all
    but one do at first."""
    lab.tenant(PORT, "first")
    daemon.start(lab.document())
    writers, each = 4, 6
    keys = [[base64.b64encode(os.urandom(32)).decode() for _ in range(each)] for _ in range(writers)]
    late, failures = [], []
    all_have_read = threading.Barrier(writers)

    def write(number):
        got = daemon.api.get("/config")
        all_have_read.wait(60 * SLOW)
        for key in keys[number]:
            while True:
                document, etag = got.json, got.headers["ETag"]
                document[str(PORT)]["peers"][key] = {"allowed_ips": []}
                answer = daemon.api.apply(document, headers={"If-Match": etag})
                got = daemon.api.get("/config")
                if answer.status == 200:
                    break
                late.append(answer.status)
                if answer.status != 412:
                    failures.append(answer)
                    return
    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(daemon.api.config()[str(PORT)]["peers"]) == sorted(key for some in keys for key in some)
    assert len(late) >= writers - 1, "they were in each other's way"


def test_writers_of_single_peers_need_no_if_match(lab, daemon):
    lab.tenant(PORT, "first")
    daemon.start(lab.document())
    keys = [base64.b64encode(os.urandom(32)).decode() for _ in range(12)]
    statuses = []

    def put(key):
        statuses.append(daemon.api.request("PUT", f"/networks/{PORT}/peers/{percent(key)}",
                                           {"allowed_ips": []}).status)
    threads = [threading.Thread(target=put, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * len(keys)
    assert sorted(daemon.api.config()[str(PORT)]["peers"]) == sorted(keys)


def test_sixteen_applies_wait_and_the_next_is_told_to_come_again(lab, daemon):
    lab.tenant(PORT, "first")
    document = lab.document()
    daemon.start(document)
    answers, refused = [], []

    def apply(mtu):
        changed = copy.deepcopy(document)
        changed[str(PORT)]["mtu"] = mtu
        answer = daemon.api.apply(changed)
        (refused if answer.status == 503 else answers).append((mtu, answer))
    engine = daemon.role("engine")
    os.kill(engine, signal.SIGSTOP)	# one apply is under way, for as long as that
    try:
        threads = [threading.Thread(target=apply, args=(1300 + number,)) for number in range(WAITING + 4)]
        for thread in threads:
            thread.start()
        until(lambda: len(refused) == 3, "three too many")
        assert daemon.api.get("/config").status == 200, "reading goes on"
        assert answers == []
    finally:
        os.kill(engine, signal.SIGCONT)
    for thread in threads:
        thread.join()
    assert len(answers) == WAITING + 1 and {answer.status for _, answer in answers} == {200}
    for _, answer in refused:
        assert answer.json["error"]["code"] == "NOT_READY" and int(answer.headers["Retry-After"]) > 0
    last = max(answers, key=lambda pair: pair[1].json["generation"])
    assert daemon.api.config()[str(PORT)]["mtu"] == last[0]
    assert len({answer.json["generation"] for _, answer in answers}) == WAITING + 1, "one after the other"


def test_an_apply_whose_client_left_is_finished(lab, daemon):
    lab.tenant(PORT, "first")
    document = lab.document()
    daemon.start(document)
    engine = daemon.role("engine")
    os.kill(engine, signal.SIGSTOP)
    try:
        for mtu in (1301, 1302):
            document[str(PORT)]["mtu"] = mtu
            body = json.dumps(document)
            with socket.socket(socket.AF_UNIX) as leaver:
                leaver.connect(str(daemon.run / "api.sock"))
                leaver.sendall(b"POST /api/v1/apply HTTP/1.1\r\nHost: x\r\n" +
                               f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
                time.sleep(0.2)	# nothing tells when it was read
    finally:
        os.kill(engine, signal.SIGCONT)
    until(lambda: daemon.api.config()[str(PORT)]["mtu"] == 1302, "both were done")


@pytest.mark.kernel
def test_two_ports_exchange_their_keys_and_peers(pair):
    """The machines find their network at the other port, and nobody else's."""
    document = pair.lab.document()
    ports = [str(tenant.port) for tenant in pair.tenants]
    document[ports[0]], document[ports[1]] = document[ports[1]], document[ports[0]]
    before = pair.daemon.api.traffic()["networks"]
    report = pair.daemon.api.applied(document)
    assert report["networks"]["changed"] == ports and report["networks"]["failed"] == {}
    kernel.assert_obeys(document)
    for tenant, port in zip(pair.tenants, reversed(ports)):
        machine = tenant.only
        machine.config.write_text(machine.config.read_text().replace(f":{tenant.port}\n", f":{port}\n"))
        machine.greet()
    for tenant in pair.tenants:
        until(lambda tenant=tenant: pings(tenant.only.name, "10.0.0.1"), "the tunnel is up again", 60)
    pair.wait_until_whole(30)

    def received(networks, tenant):
        devices = networks.get(tenant.key.public, {"devices": {}})["devices"]
        return devices.get(tenant.only.key.public, {"traffic": {"rx": 0}})["traffic"]["rx"]

    def counted():
        now = pair.daemon.api.traffic()["networks"]
        return all(received(now, tenant) > received(before, tenant) for tenant in pair.tenants)
    until(counted, "each is billed under its own key")


class Client(threading.Thread):
    """Asks for one host over one connection at a time; notes who answered."""

    def __init__(self, host, stop):
        super().__init__()
        self.host, self.stop, self.answers, self.resets = host, stop, [], 0

    def run(self):
        while not self.stop.is_set():
            try:
                with connect(80, timeout=5) as raw:
                    connection = http.client.HTTPConnection(self.host)
                    connection.sock = raw
                    while not self.stop.is_set():
                        began = time.monotonic()
                        connection.request("GET", "/")
                        answer = connection.getresponse()
                        body = answer.read()
                        if answer.status == 200:
                            self.answers.append((began, time.monotonic(), json.loads(body)["server"]))
                        if answer.will_close:
                            break
            except (OSError, http.client.HTTPException):
                self.resets += 1
                time.sleep(0.01)


@pytest.mark.kernel
def test_a_removed_network_is_reset_and_its_port_and_host_are_another_tenants(lab, daemon):
    """Three tenants with the same addresses take turns at one port and one host name; meanwhile workers and
    the broker die.  From the moment that an apply is answered nobody but the new tenant answers."""
    tenants = [lab.tenant(PORT + number, name) for number, name in enumerate(("alpha", "beta", "gamma"))]
    for tenant in tenants:
        tenant.only = tenant.machine("10.0.0.2/16")
        tenant.proxy[f"http://{tenant.name}.example"] = ["10.0.0.2:80"]

    def document(owner):
        """All are there, so that their tunnels live; the host's owner has it under its own port."""
        there = lab.document()
        there[str(owner.port)]["proxy"] = {**owner.proxy, "http://shared.example": ["10.0.0.2:80"]}
        return there
    daemon.start(document(tenants[0]))
    for tenant in tenants:
        tenant.only.connect()
    for tenant in tenants:
        tenant.only.wait_until_connected().serve(name=tenant.name)
    stop = threading.Event()
    clients = [Client("shared.example", stop) for _ in range(4)]
    changes = [(time.monotonic(), "alpha")]
    for client in clients:
        client.start()
    try:
        until(lambda: all(client.answers for client in clients), "all are served")
        for turn in range(1, 7):
            owner, before = tenants[turn % 3], tenants[(turn - 1) % 3]
            there = document(owner)
            del there[str(before.port)]
            if turn % 2:
                daemon.kill_role(daemon.roles()["worker" if turn % 4 == 1 else "broker"][0])
            daemon.api.applied(there)
            changes.append((time.monotonic(), owner.name))
            until(lambda name=owner.name: any(name == client.answers[-1][-1] for client in clients),
                  "the new owner answers", 60)
            daemon.api.applied(document(owner))	# the removed one comes back
            before.only.greet()
    finally:
        stop.set()
        for client in clients:
            client.join()

    def place(time):
        return max(index for index, (moment, _) in enumerate(changes) if moment <= time or index == 0)

    for began, ended, name in (answer for client in clients for answer in client.answers):
        # Read before an apply was answered, the next owner may have served it, too.
        allowed = {owner for _, owner in changes[place(began):place(ended) + 2]}
        assert name in allowed, (began, ended, name, changes)
    assert len({name for client in clients for _, _, name in client.answers}) == 3


class Events(threading.Thread):
    """Reads GET /events into `events`: dicts of `id`, `event`, `data`."""

    def __init__(self, api, last=None):
        super().__init__(daemon=True)
        self.events = []
        self.connection = api.connection()
        self.connection.request("GET", "/api/v1/events", headers={"Last-Event-ID": last} if last else {})
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200
        assert self.answer.headers["Content-Type"].startswith("text/event-stream")
        self.start()

    def run(self):
        event = {}
        try:
            while line := self.answer.readline().decode():
                name, _, value = line.rstrip("\n").partition(":")
                if name:
                    event[name] = value.strip()
                elif event:
                    event["data"] = json.loads(event.get("data", "null"))
                    self.events.append(event)
                    event = {}
        except (OSError, ValueError, AttributeError):
            pass	# closed

    def wait_for(self, kind, seconds=20, **fields):
        def found():
            return [event for event in self.events if event["event"] == kind and
                    all(event["data"].get(name) == value for name, value in fields.items())]
        return until(found, f"{kind} {fields} in {self.events}", seconds)[0]


@pytest.mark.kernel
def test_events_tell_what_happened_and_can_be_resumed(lab, daemon):
    first, second = lab.tenant(PORT, "first"), lab.tenant(PORT + 1, "second")
    machine = first.machine()
    document = lab.document(first)
    daemon.start(document)
    events = Events(daemon.api)
    machine.connect().wait_until_connected()
    told = {"port": PORT, "network": first.key.public, "peer": machine.key.public}
    up = events.wait_for("peer-connected", **told)
    assert abs(up["data"]["time"] - time.time()) < 60 * SLOW
    endpoint = up["data"]["endpoint"]
    assert endpoint.rsplit(":", 1)[0] == machine.public

    wg("set", machine.device, "listen-port", "7777", namespace=machine.name)
    assert endpoint != f"{machine.public}:7777"
    until(lambda: pings(machine.name, "10.0.0.1"), "it is heard from its new place", 30)
    moved = events.wait_for("peer-endpoint", endpoint=f"{machine.public}:7777", **told)

    generation = daemon.api.applied({**document, **lab.document(second)})["generation"]
    applied = events.wait_for("applied", generation=generation)
    assert daemon.api.applied({**document, **lab.document(second)})["generation"] == generation
    without = copy.deepcopy(document)
    without[str(PORT)]["peers"] = {}
    last = daemon.api.applied(without)["generation"]
    events.wait_for("applied", generation=last)
    assert events.wait_for("peer-disconnected", **told)["data"]["reason"] == "removed"
    count = len([event for event in events.events if event["event"] == "applied"])
    assert count == 2, "an equal document makes no event"

    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    holder.bind(("0.0.0.0", second.port))
    assert daemon.api.apply({**without, **lab.document(second)}).status == 500
    failed = events.wait_for("network-failed", port=second.port, network=second.key.public)
    assert "in use" in failed["data"]["reason"]
    holder.close()
    events.wait_for("network-recovered", 90, port=second.port)

    everything = list(events.events)
    assert len({event["id"] for event in everything}) == len(everything)
    for begin in (up, moved, applied):
        rest = everything[everything.index(begin) + 1:]
        resumed = Events(daemon.api, last=begin["id"])
        until(lambda: len(resumed.events) >= len(rest), "what came after it")
        assert resumed.events[:len(rest)] == rest
    for unknown in ("nonsense", "00000000-1", begin["id"] + "9999"):
        lost = Events(daemon.api, last=unknown)
        assert until(lambda lost=lost: lost.events, "an answer")[0]["event"] == "reset", unknown
    newest = Events(daemon.api, last=everything[-1]["id"])
    daemon.api.applied(document)
    newest.wait_for("applied")
    assert newest.events[0]["event"] in ("applied", "peer-connected")


def test_the_command_prints_events(lab, daemon):
    tenant = lab.tenant(PORT, "first")
    daemon.start({})
    command = subprocess.Popen([TOLLGATE, "--api", f"unix:{daemon.run}/api.sock", "events"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(command.stdout), daemon=True)
    reader.start()
    mtus = itertools.cycle((1300, 1301))

    def printed():
        document = lab.document()
        document[str(PORT)]["mtu"] = next(mtus)
        daemon.api.applied(document)
        return [line for line in lines if "applied" in line]
    # It does not say when it listens: things happen until it does.
    [line, *_] = until(printed, "a line")
    assert re.match(r"\d+ .*applied.* generation=\d+$", line.strip()), line
    command.terminate()
    command.wait()
    reader.join(timeout=10)
    assert tenant.port == PORT
