"""What stands in a network's way fails that network alone, says why, and is got over when it is gone."""

import pathlib

import pytest

from rig import kernel
from rig.lab import Key, ip
from rig.wait import until

pytestmark = pytest.mark.kernel

PORT = 51820
NAME = pathlib.Path(f"/run/netns/network-{PORT}")
DEVICE = f"wg{PORT}"


def write_file():
    NAME.parent.mkdir(exist_ok=True)
    NAME.write_text("somebody's notes")


def make_directory():
    NAME.mkdir(parents=True)


def make_link():
    ip([f"link add {DEVICE} type veth peer name theirs"])


# How it comes and goes, and what the reason must say.
OBSTACLES = {
    "a plain file": (write_file, NAME.unlink, "is not a namespace"),
    "a directory": (make_directory, NAME.rmdir, "is not a namespace"),
    "the host's own namespace": (lambda: ip([f"netns attach {NAME.name} 1"]),
                                 lambda: ip([f"netns del {NAME.name}"]), "host's own"),
    "a link": (make_link, lambda: ip([f"link del {DEVICE}"]), DEVICE),
}


@pytest.mark.parametrize("kind", OBSTACLES)
def test_an_obstacle_fails_one_network_until_it_is_gone(lab, daemon, kind):
    put, take_away, reason = OBSTACLES[kind]
    lab.tenant(PORT, "first").machine()
    lab.tenant(PORT + 1, "second")
    document = lab.document()
    put()
    daemon.start()
    answer = daemon.api.apply(document)
    assert answer.status == 500 and answer.json["error"]["code"] == "APPLY_INCOMPLETE", answer
    assert list(answer.json["networks"]["failed"]) == [str(PORT)]
    assert reason in answer.json["networks"]["failed"][str(PORT)], answer
    assert daemon.api.network(PORT)["state"] == "failed" and reason in daemon.api.network(PORT)["reason"]
    assert daemon.api.network(PORT + 1)["state"] == "up"
    assert DEVICE not in kernel.userspace_processes(), "nothing is left of the attempt"

    # Applying over what failed works: for the others, and for the one when nothing is in its way.
    document[str(PORT + 1)]["mtu"] = 1300
    document[str(PORT + 2)] = {"private_key": Key().private, "address": ["10.0.0.1/16"]}
    again = daemon.api.apply(document)
    assert again.status == 500 and list(again.json["networks"]["failed"]) == [str(PORT)]
    for port in (PORT + 1, PORT + 2):
        assert kernel.actual(port) == kernel.expected(port, document[str(port)])
    take_away()
    until(lambda: daemon.api.network(PORT)["state"] == "up", "it comes up by itself", 90)
    kernel.assert_obeys(document)
    assert daemon.api.applied(document)["changes"] == []
    assert daemon.api.get("/health").json == {"status": "ok"}


def test_an_empty_file_is_what_a_crash_leaves_and_no_obstacle(lab, daemon):
    lab.tenant(PORT, "first")
    NAME.parent.mkdir(exist_ok=True)
    NAME.touch()
    daemon.start(lab.document())
    kernel.assert_obeys(lab.document())


def test_a_network_that_failed_can_be_removed(lab, daemon):
    lab.tenant(PORT, "first")
    make_link()
    daemon.start()
    assert daemon.api.apply(lab.document()).status == 500
    assert daemon.api.applied({})["networks"]["removed"] == [str(PORT)]
    assert daemon.namespaces() == [] and daemon.api.get("/health").json == {"status": "ok"}
    ip([f"link show {DEVICE}", f"link del {DEVICE}"])	# it was not ours
