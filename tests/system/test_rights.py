"""What each process may do, read from /proc of the running daemon."""

import os
import pathlib

import pytest

from rig.daemon import status_of
from rig.documents import ONE

CAP = {"net_bind_service": 10, "net_broadcast": 11, "net_admin": 12, "sys_admin": 21}
ENGINE = sum(1 << CAP[name] for name in ("net_admin", "sys_admin", "net_broadcast", "net_bind_service"))
BROKER = 1 << CAP["sys_admin"]


@pytest.fixture
def daemon(daemon):
    """One that runs.  A role that is not ready may have more rights than it is to keep."""
    daemon.start({})
    daemon.wait_until_healthy()
    return daemon


@pytest.fixture
def roles(daemon):
    return {name: [status_of(pid) for pid in pids] for name, pids in daemon.roles().items()}


def test_workers_and_control_have_no_capability_and_a_seccomp_filter(roles):
    for status in roles["worker"] + roles["control"]:
        for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[field], 16) == 0, field
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"


def test_control_and_workers_have_different_uids_and_none_is_root(roles):
    uids = {name: {uid for status in roles[name] for uid in status["Uid"].split()} for name in ("worker", "control")}
    assert len(uids["worker"]) == 1 and len(uids["control"]) == 1
    assert uids["worker"] != uids["control"]
    assert "0" not in uids["worker"] | uids["control"]
    assert uids["worker"] == {"65534"}
    for status in roles["worker"] + roles["control"]:
        assert status["Groups"].split() in ([], status["Gid"].split()[:1])


def test_engine_and_broker_are_bounded(roles):
    for name, bound in (("engine", ENGINE), ("broker", BROKER)):
        [status] = roles[name]
        assert int(status["CapBnd"], 16) == bound
        assert int(status["CapPrm"], 16) & ~bound == 0
        assert status["NoNewPrivs"] == "1"


def test_control_and_workers_see_no_file_system_but_their_own(daemon):
    roles = daemon.roles()
    assert os.stat(f"/proc/{roles['control'][0]}/root").st_ino == os.stat(daemon.state).st_ino
    for pid in roles["worker"]:
        assert os.listdir(f"/proc/{pid}/root/") == []


def test_no_role_keeps_a_descriptor_of_anothers_secrets(daemon):
    for pid in daemon.roles()["worker"]:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            assert "traffic.db" not in target and "state.json" not in target and "net:[" not in target


def test_no_process_can_be_dumped(daemon):
    """A process that is not dumpable has its /proc files owned by root, whatever its uid."""
    for name in ("worker", "control"):
        for pid in daemon.roles()[name]:
            assert os.stat(f"/proc/{pid}/mem").st_uid == 0
            assert status_of(pid)["Uid"].split()[0] != "0"


def test_every_process_is_known_by_the_name_of_the_program(daemon):
    names = {pathlib.Path(f"/proc/{pid}/comm").read_text() for pids in daemon.roles().values() for pid in pids}
    assert names == {"tollgated\n"}


def test_the_directory_of_namespaces_is_as_ip_makes_it(daemon):
    daemon.api.applied(ONE)
    assert os.stat("/run/netns").st_mode & 0o777 == 0o755
    assert os.stat("/run/netns/network-51820").st_mode & 0o777 == 0o444


def test_the_state_is_readable_by_nobody_else(daemon):
    daemon.api.applied(ONE)
    control = int(status_of(daemon.role("control"))["Uid"].split()[0])
    for name in ("state.json", "traffic.db"):
        found = (daemon.state / name).stat()
        assert found.st_mode & 0o777 == 0o600, name
        assert found.st_uid == control, name
