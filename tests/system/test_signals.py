"""SIGTERM drains, SIGHUP reads the files again, and nothing is dropped."""

import http.client
import json
import os
import signal
import ssl
import threading
import time

import pytest

from rig.api import Api
from rig.clients import connect, curl, pings, reaches, request
from rig.daemon import children
from rig.documents import NETWORK, ONE
from rig.lab import PUBLIC
from rig.servers import make_certificate
from rig.wait import SLOW, until


def test_sigterm_lets_a_download_finish_and_records_the_last_bytes(pair):
    tenant = pair.alpha
    pair.daemon.options["--drain-timeout"] = "60s"
    assert pair.daemon.stop() == 0
    pair.daemon.start()
    pair.daemon.wait_until_healthy()
    bodies = []
    download = threading.Thread(target=lambda: bodies.append(curl(f"http://{tenant.host}/pieces/20")))
    download.start()
    tenant.server.pace.release(10)
    until(lambda: tenant.server.pace._value == 0, "half of it is sent")
    pair.daemon.process.send_signal(signal.SIGTERM)
    until(lambda: not reaches(None, PUBLIC, 80), "no new connection is taken")
    assert pair.daemon.api.get("/traffic").status == 200, "the API answers until the drain ends"
    assert pair.daemon.process.poll() is None
    tenant.server.pace.release(10)
    download.join()
    assert len(bodies[0]) == 20 * 65536
    assert pair.daemon.process.wait(timeout=30 * SLOW) == 0
    assert pings(tenant.only.name, "10.0.0.1", seconds=15), "the tunnel stays"

    pair.daemon.start()
    pair.daemon.wait_until_healthy()
    hosts = pair.daemon.api.traffic()["networks"][tenant.key.public]["hosts"]
    assert hosts[tenant.host]["traffic"]["tx"] >= 20 * 65536


def test_the_drain_ends_after_its_time(pair):
    with connect(80) as stuck:
        stuck.sendall(request(pair.alpha.host, "/pieces/2"))
        pair.alpha.server.pace.release(1)
        assert stuck.recv(100)
        assert pair.daemon.stop(seconds=20) == 0


def test_a_second_signal_ends_at_once(daemon):
    daemon.options["--drain-timeout"] = "24h"
    daemon.start({})
    with connect(80, gateway="127.0.0.1") as held:
        held.sendall(b"GET / HT")
        until(lambda: held.fileno() > 0, "connected")
        daemon.process.send_signal(signal.SIGTERM)
        until(lambda: not reaches(None, "127.0.0.1", 80), "it drains")
        if daemon.process.poll() is None:
            daemon.process.send_signal(signal.SIGTERM)
        daemon.process.wait(timeout=30 * SLOW)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_both_signals_end_with_status_0(daemon, number):
    daemon.start(ONE)
    roles = children(daemon.process.pid)
    daemon.process.send_signal(number)
    assert daemon.process.wait(timeout=30 * SLOW) == 0
    assert not any(os.path.exists(f"/proc/{pid}") for pid in roles if pid not in children(1))
    assert daemon.namespaces() == ["network-51820"], "networks stay"


def test_a_stop_in_the_middle_of_an_apply_leaves_nothing_behind(lab, daemon):
    """What is half made is completed or taken back; the rig looks for processes that are left."""
    tenants = [lab.tenant(52000 + number, f"t{number}") for number in range(8)]
    daemon.start()
    apply = threading.Thread(target=lambda: left_alone(daemon.api, lab.document(*tenants)))
    apply.start()
    until(daemon.namespaces, "it has begun")
    assert daemon.stop() == 0
    apply.join()


def left_alone(api, document):
    """Applies it to a daemon that may stop meanwhile."""
    try:
        api.apply(document)
    except (OSError, http.client.HTTPException):
        pass


def test_sighup_reads_the_config_file_again_when_it_changed(daemon, directory):
    path = directory / "config.json"
    path.write_text(json.dumps(ONE))
    daemon.extra = ["--config", path]
    daemon.start()
    daemon.wait_until_healthy()
    roles = daemon.roles()
    etag = daemon.api.get("/config").headers["ETag"]
    daemon.process.send_signal(signal.SIGHUP)
    path.write_text(json.dumps({"51820": {**NETWORK, "mtu": 1400}}))
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: daemon.api.config()["51820"]["mtu"] == 1400, "the new file is in force")
    assert daemon.api.get("/config").headers["ETag"] != etag
    path.write_text("{ not json")
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: 'level=error role=control msg="refused the --config file"' in daemon.log(), "it is logged")
    assert daemon.api.config()["51820"]["mtu"] == 1400
    assert daemon.roles() == roles, "no process was replaced"


def test_sighup_reads_the_tokens_again(daemon, directory):
    path = directory / "tokens"
    path.write_text("first-token-0123456789\n")
    daemon.options.update({"--api": "127.0.0.1:8000", "--token-file": path})
    daemon.start({})
    first = Api(("127.0.0.1", 8000), "first-token-0123456789")
    second = Api(("127.0.0.1", 8000), "second-token-0123456789")
    assert first.get("/config").status == 200 and second.get("/config").status == 401
    path.write_text("second-token-0123456789\n")
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: second.get("/config").status == 200, "the new token is known")
    assert first.get("/config").status == 401


def test_sighup_reads_the_apis_certificate_again(daemon, directory):
    first, second = (make_certificate(directory, name, "localhost") for name in ("first", "second"))
    path = directory / "api.pem"
    path.write_bytes(first.read_bytes())
    (directory / "tokens").write_text("a-token-0123456789\n")
    daemon.options.update({"--api": "127.0.0.1:8443", "--token-file": directory / "tokens",
                           "--api-cert": path, "--api-key": path})
    daemon.start({})

    def shown():
        return ssl.get_server_certificate(("127.0.0.1", 8443), timeout=20 * SLOW)

    assert shown() in first.read_text()
    path.write_bytes(second.read_bytes())
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: shown() in second.read_text(), "the new certificate is shown")
    path.write_text("no certificate")
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: "refused the content of a file" in daemon.log(), "the bad file is logged")
    assert shown() in second.read_text()


def test_sighup_drops_no_connection(pair):
    with connect(80) as kept:
        kept.sendall(request(pair.alpha.host, "/pieces/4", "Connection: close\r\n"))
        pair.alpha.server.pace.release(2)
        data = kept.recv(100)
        pair.daemon.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)	# there is nothing to be seen of a SIGHUP that changes nothing
        pair.alpha.server.pace.release(2)
        while part := kept.recv(65536):
            data += part
    assert len(data.split(b"\r\n\r\n", 1)[1]) == 4 * 65536
