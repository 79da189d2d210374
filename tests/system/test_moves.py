"""A network that moves to another port, with its key, and what is counted of it meanwhile."""

import os
import signal
import threading

import pytest

from rig.clients import curl
from rig.lab import wg
from rig.wait import until

pytestmark = pytest.mark.kernel

ELSEWHERE = 51830


def counted(api, tenant, port):
    """What WireGuard and what the records say of the tenant's only peer: ((rx, tx), (rx, tx))."""
    live = api.network(port)["peers"][tenant.only.key.public]
    recorded = api.traffic()["networks"][tenant.key.public]["devices"][tenant.only.key.public]["traffic"]
    return (live["rx"], live["tx"]), (recorded["rx"], recorded["tx"])


def test_a_move_that_is_taken_back_before_its_end_counts_no_byte_twice(pair):
    """The interface that was read for the last time is there for good then."""
    api, tenant = pair.daemon.api, pair.alpha
    before = pair.lab.document()
    moved = dict(before)
    moved[str(ELSEWHERE)] = moved.pop(str(tenant.port))
    curl(f"https://{tenant.host}/bytes/500000", certificate=tenant.certificate)

    # Without the broker's word nothing is removed; the engine hears of both documents at once.
    held = [pair.daemon.role("broker")]
    os.kill(held[0], signal.SIGSTOP)
    try:
        move = threading.Thread(target=lambda: pytest.raises(OSError, api.applied, moved))
        move.start()
        until(lambda: wg("show", f"wg{ELSEWHERE}", "peers", namespace=f"network-{ELSEWHERE}").strip(),
              "it is there, too")
        held.append(pair.daemon.role("engine"))
        os.kill(held[1], signal.SIGSTOP)
        pair.daemon.kill_role(pair.daemon.role("control"))
        move.join()
        until(lambda: str(ELSEWHERE) in api.config(), "control is back")
        back = threading.Thread(target=lambda: api.applied(before))
        back.start()
        until(lambda: str(tenant.port) in api.config(), "it is taken back")
    finally:
        for pid in held:
            os.kill(pid, signal.SIGCONT)
    back.join()
    assert f"network-{ELSEWHERE}" not in pair.daemon.namespaces()
    tenant.only.greet()
    pair.wait_until_whole()
    curl(f"https://{tenant.host}/bytes/100000", certificate=tenant.certificate)

    def agree():
        live, recorded = counted(api, tenant, tenant.port)
        assert recorded[0] >= 600_000
        assert all(abs(here - there) < 5000 for here, there in zip(live, recorded)), (live, recorded)
        return True
    until(agree, "records and counters agree")
