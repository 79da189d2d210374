"""What is wireguard-go's alone."""

import shutil

from rig import kernel, linux
from rig.wait import until

PORT = 51820
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
