"""A state directory that is full: nothing is lost or half done, it is said, and it is got over."""

import os

import pytest

from rig import kernel, linux
from rig.clients import curl
from rig.lab import Key
from rig.pair import Pair
from rig.wait import until

PIECE = 4096	# a page, by which a tmpfs gives its room away


class Disk:
    """The state directory's own, which can be filled up."""

    def __init__(self, path):
        self.path = path
        self.filler = path / "filler"
        linux.mount("state", path, "tmpfs", data="size=4m,mode=700")

    def fill(self):
        with self.filler.open("ab", buffering=0) as file:
            with pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(bytes(PIECE))

    def free(self):
        self.filler.unlink()

    def names(self):
        return sorted(os.listdir(self.path))


@pytest.fixture
def disk(daemon):
    return Disk(daemon.state)


def said_by_health(daemon, status):
    answer = daemon.api.get("/health")
    assert answer.status == status, answer
    return answer.body.decode()


def test_a_document_without_room_is_refused_and_the_old_one_stays(lab, daemon, disk):
    lab.tenant(51820, "first").machine()
    before = lab.document()
    daemon.start(before)
    etag = daemon.api.get("/config").headers["ETag"]
    names = disk.names()
    disk.fill()

    after = before | {"51821": {"private_key": Key().private, "address": ["10.0.0.1/16"]}}
    for _ in range(2):
        answer = daemon.api.apply(after)
        assert answer.status == 500 and answer.json["error"]["code"] == "INTERNAL", answer
        assert "No space left on device" in answer.json["error"]["message"], answer
    answer = daemon.api.request("PATCH", "/config", {"51820": None})
    assert answer.status == 500, answer
    assert daemon.api.get("/config").headers["ETag"] == etag
    assert disk.names() == sorted(names + ["filler"]), "nothing half written is left"
    kernel.assert_obeys(before)
    # What is in force needs no room.
    assert daemon.api.applied(before)["generation"] == 1

    # A control that dies comes back without room, too.
    daemon.kill_role(daemon.role("control"))
    until(lambda: daemon.whole() and daemon.api.get("/config").headers["ETag"] == etag, "control is back")
    disk.free()
    daemon.wait_until_healthy()
    assert daemon.api.applied(after)["generation"] == 2
    kernel.assert_obeys(after)


def test_traffic_without_room_is_counted_once_when_there_is_room_again(lab, daemon, disk, directory):
    pair = Pair(lab, daemon, directory)
    tenant = pair.alpha
    curl(f"http://{tenant.host}/bytes/100000")
    said_by_health(daemon, 200)
    disk.fill()
    curl(f"http://{tenant.host}/bytes/100000")
    until(lambda: "traffic cannot be recorded" in said_by_health(daemon, 503), "the full disk is told of")
    assert "cannot write the traffic database: No space left on device" in daemon.log()
    curl(f"http://{tenant.host}/bytes/100000")
    assert pair.answers(tenant), "and the ingress does not mind"
    disk.free()
    until(lambda: said_by_health(daemon, 200), "records are written again")

    def agree():
        live = daemon.api.network(tenant.port)["peers"][tenant.only.key.public]
        network = daemon.api.traffic()["networks"][tenant.key.public]
        recorded = network["devices"][tenant.only.key.public]["traffic"]
        host = network["hosts"][tenant.host]["traffic"]
        assert abs(live["rx"] - recorded["rx"]) < 2000 and abs(live["tx"] - recorded["tx"]) < 2000
        assert host["connections"] == 5 and 300_000 <= host["tx"] < 310_000
        return True
    until(agree, "every byte is recorded once")
