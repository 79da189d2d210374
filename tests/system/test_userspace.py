"""What is wireguard-go's alone."""

import concurrent.futures
import os
import shutil
import signal

from rig import kernel, linux
from rig.lab import wg
from rig.wait import until

PORT = 51820
HUNG = 16
PROGRAM = "/usr/bin/wireguard-go"
MS_BIND = 0x1000


def put_in_front(directory):
    """A program in the place of wireguard-go, which ends at once for wg<PORT> while the file that is returned is
    there.  In this test's own mount namespace."""
    real, fake, bad = directory / "real", directory / "fake", directory / "bad"
    shutil.copy(PROGRAM, real)
    fake.write_text(f'#!/bin/sh\n[ "$2" = wg{PORT} ] && [ -e {bad} ] && exit 1\nexec {real} "$@"\n')
    fake.chmod(0o755)
    bad.touch()
    linux.mount(fake, PROGRAM, flags=MS_BIND)
    return bad


def test_a_wireguard_go_that_ends_at_its_start_fails_its_network_alone(lab, daemon, directory):
    bad = put_in_front(directory)
    daemon.options["--wireguard"] = "userspace"
    lab.tenant(PORT, "first").machine()
    lab.tenant(PORT + 1, "second")
    document = lab.document()
    daemon.start()
    answer = daemon.api.apply(document)
    assert answer.status == 500, answer
    [(port, reason)] = answer.json["networks"]["failed"].items()
    assert port == str(PORT) and reason.startswith("wireguard-go ends at its start: "), answer
    assert daemon.api.network(PORT + 1)["state"] == "up"
    assert daemon.api.get("/health").json == {"status": "degraded", "failed": 1}
    bad.unlink()
    until(lambda: daemon.api.network(PORT)["state"] == "up", "it comes up by itself", 30)
    kernel.assert_obeys(document)


def test_those_that_hang_are_waited_for_together_and_hold_up_nobody(lab, daemon):
    """So many that their waits, one behind the other, would take longer than the API's client does."""
    daemon.options["--wireguard"] = "userspace"
    hung = [lab.tenant(PORT + number, f"hung{number}") for number in range(HUNG)]
    other = lab.tenant(PORT + HUNG, "other")
    machine = other.machine()
    daemon.start(lab.document())
    machine.connect().wait_until_connected()
    pids = [pid for tenant in hung for pid in kernel.userspace_processes()[f"wg{tenant.port}"]]
    for tenant in lab.tenants:
        tenant.machine("10.0.0.3/16")
    document = lab.document()

    def recorded():
        networks = daemon.api.traffic()["networks"]
        return networks[other.key.public]["devices"][machine.key.public]["traffic"]["rx"]
    until(recorded, "the other's traffic is counted")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer = pool.submit(daemon.api.apply, document)
            until(lambda: other.machines[1].key.public in wg("show", f"wg{other.port}", "peers",
                                                             namespace=f"network-{other.port}"),
                  "the other is changed")
            before = recorded()
            until(lambda: recorded() > before, "it still is")
            assert "network failed" not in daemon.log()
            answer = answer.result()
        assert answer.status == 500, answer
        assert answer.json["networks"]["failed"] == {
            str(tenant.port): "wireguard-go does not answer" for tenant in hung}
        assert daemon.api.network(other.port)["state"] == "up"
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    until(lambda: daemon.api.get("/health").json == {"status": "ok"}, "all are up", 90)
    kernel.assert_obeys(document)


def test_those_that_hang_are_removed_together(lab, daemon):
    daemon.options["--wireguard"] = "userspace"
    for number in range(HUNG):
        lab.tenant(PORT + number, f"hung{number}").machine()
    other = lab.tenant(PORT + HUNG, "other")
    daemon.start(lab.document())
    pids = [pid for number in range(HUNG) for pid in kernel.userspace_processes()[f"wg{PORT + number}"]]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    daemon.api.applied(lab.document(other))
    assert daemon.namespaces() == [f"network-{other.port}"]
    assert list(kernel.userspace_processes()) == [f"wg{other.port}"]
