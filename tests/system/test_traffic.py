"""What GET /traffic says of bytes that went through real tunnels."""

import csv
import io
import json
import threading
import time

import pytest

from rig.clients import curl, pings
from rig.lab import wg
from rig.wait import until

MEGABYTES_3 = 3_000_000


def peer_traffic(answer, tenant, machine=None):
    """(rx, tx) of a peer in an answer of /traffic."""
    network = answer["networks"].get(tenant.key.public, {"devices": {}})
    device = network["devices"].get((machine or tenant.only).key.public, {"traffic": {"rx": 0, "tx": 0}})
    return device["traffic"]["rx"], device["traffic"]["tx"]


def host_traffic(answer, tenant, host=None):
    network = answer["networks"].get(tenant.key.public, {"hosts": {}})
    return network["hosts"].get(host or tenant.host, {}).get("traffic", {"rx": 0, "tx": 0, "connections": 0})


def everything(api):
    """All records from the start, once those of the last second are in."""
    return api.traffic("?since=0")


def add(sums, answer):
    """Adds an answer's records to {(network, kind, id): [rx, tx]} and checks its own sums."""
    total = [0, 0]
    for key, network in answer["networks"].items():
        own = [0, 0]
        for kind in ("devices", "hosts"):
            for name, member in network[kind].items():
                seen = [0, 0]
                for label, record in member["times"].items():
                    assert answer["start_time"] < int(label) <= answer["stop_time"]
                    for place, field in enumerate(("rx", "tx")):
                        seen[place] += record[field]
                        sums.setdefault((key, kind, name), [0, 0])[place] += record[field]
                        if kind == "devices":
                            own[place] += record[field]
                            total[place] += record[field]
                assert seen == [member["traffic"]["rx"], member["traffic"]["tx"]]
        assert own == [network["traffic"]["rx"], network["traffic"]["tx"]]
    assert total == [answer["traffic"]["rx"], answer["traffic"]["tx"]]


@pytest.mark.kernel
def test_three_megabytes_over_https_stand_under_the_right_peer_and_host(pair):
    api = pair.daemon.api
    tenant = pair.alpha
    body = curl(f"https://{tenant.host}/bytes/{MEGABYTES_3}", certificate=tenant.certificate)
    assert len(body) == MEGABYTES_3

    until(lambda: peer_traffic(everything(api), tenant)[0] >= MEGABYTES_3, "the peer's bytes are recorded")
    until(lambda: host_traffic(everything(api), tenant)["tx"] >= MEGABYTES_3, "the host's bytes are recorded")
    answer = everything(api)
    assert peer_traffic(answer, tenant)[0] < 1.25 * MEGABYTES_3
    host = host_traffic(answer, tenant)
    assert host["connections"] == 1
    assert MEGABYTES_3 < host["tx"] < 1.05 * MEGABYTES_3
    assert 200 < host["rx"] < 10_000
    assert peer_traffic(answer, pair.beta)[0] < 100_000
    assert host_traffic(answer, pair.beta)["connections"] == 0


def test_asking_again_since_stop_time_returns_every_byte_once(pair):
    api = pair.daemon.api
    pieces, since = {}, 0
    stop = threading.Event()

    def load():
        while not stop.is_set():
            for tenant in pair.tenants:
                curl(f"https://{tenant.host}/bytes/100000", certificate=tenant.certificate)

    loader = threading.Thread(target=load)
    loader.start()
    stops = []
    try:
        while len(stops) < 3:
            answer = api.traffic(f"?since={since}")
            assert answer["start_time"] == since
            add(pieces, answer)
            if answer["stop_time"] > since:
                stops.append(answer["stop_time"])
            since = answer["stop_time"]
            time.sleep(0.1)
    finally:
        stop.set()
        loader.join()
    whole = {}
    add(whole, api.traffic(f"?until={since}"))
    assert pieces == whole
    again = api.traffic(f"?since={since}&until={since}")
    assert again["networks"] == {} or all(not network["devices"] and not network["hosts"]
                                          for network in again["networks"].values())
    assert again["stop_time"] == since


@pytest.mark.kernel
def test_records_and_wireguards_own_counters_agree(pair):
    api = pair.daemon.api
    tenant = pair.alpha
    for _ in range(3):
        curl(f"https://{tenant.host}/bytes/500000", certificate=tenant.certificate)

    def agree():
        live = api.network(tenant.port)["peers"][tenant.only.key.public]
        rx, tx = peer_traffic(everything(api), tenant)
        # Keepalives go on: live is read before the records.
        assert 1_500_000 < live["rx"] and abs(live["rx"] - rx) < 2000 and abs(live["tx"] - tx) < 2000
        return True
    until(agree, "the records catch up with the counters")
    recorded = peer_traffic(everything(api), tenant)[0]
    shown = wg("show", tenant.only.device, "transfer", namespace=tenant.only.name).split()
    assert int(shown[2]) >= recorded, "no more than the machine says it sent"


def test_a_long_download_is_counted_while_it_runs(pair):
    api = pair.daemon.api
    tenant = pair.alpha
    download = threading.Thread(target=curl, args=(f"http://{tenant.host}/pieces/40",))
    download.start()
    try:
        tenant.server.pace.release(20)
        until(lambda: host_traffic(everything(api), tenant)["tx"] >= 20 * 65536, "the first half is recorded")
        assert host_traffic(everything(api), tenant)["connections"] == 1
    finally:
        tenant.server.pace.release(20)
        download.join()
    until(lambda: host_traffic(everything(api), tenant)["tx"] >= 40 * 65536, "the rest is recorded")


def test_a_wildcard_host_is_counted_as_written_and_both_schemes_together(pair):
    api = pair.daemon.api
    tenant = pair.beta
    curl(f"http://one.apps.{tenant.name}.example/bytes/50000")
    curl(f"https://two.apps.{tenant.name}.example/bytes/50000", certificate=tenant.certificate)
    until(lambda: host_traffic(everything(api), tenant, tenant.pattern)["tx"] > 100_000, "both are recorded")
    assert host_traffic(everything(api), tenant, tenant.pattern)["connections"] == 2


def test_ndjson_and_csv_hold_the_same_records_as_the_json(pair):
    api = pair.daemon.api
    curl(f"http://{pair.alpha.host}/bytes/300000")
    until(lambda: host_traffic(everything(api), pair.alpha)["tx"] > 300_000, "a record")
    stop = everything(api)["stop_time"]
    whole = {}
    add(whole, api.traffic(f"?until={stop}"))

    lines = api.get(f"/traffic?until={stop}", headers={"Accept": "application/x-ndjson"})
    assert lines.headers["Tollgate-Stop-Time"] == str(stop)
    records = [json.loads(line) for line in lines.body.decode().splitlines()]
    table = api.get(f"/traffic?until={stop}", headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(table.body.decode())))
    for found in (records, rows):
        assert [int(row["time"]) for row in found] == sorted(int(row["time"]) for row in found)
        sums = {}
        for row in found:
            key = (row["network"], {"peer": "devices", "host": "hosts"}[row["kind"]], row["id"])
            seen = sums.setdefault(key, [0, 0])
            seen[0] += int(row["rx"])
            seen[1] += int(row["tx"])
        assert sums == whole


def test_a_foreign_ledger_is_a_conflict(pair):
    api = pair.daemon.api
    ledger = api.traffic()["ledger"]
    assert api.get(f"/traffic?ledger={ledger}").status == 200
    answer = api.get("/traffic?ledger=" + "0" * 32)
    assert answer.status == 409 and answer.json["error"]["code"] == "CONFLICT"


def test_what_is_past_its_retention_is_gone_and_said_so(lab, daemon):
    daemon.options["--retention"] = "1s"
    tenant = lab.tenant(51820, "alpha")
    machine = tenant.machine()
    daemon.start(lab.document())
    machine.connect().wait_until_connected()	# and its keepalives are counted from here on
    answer = until(lambda: (a := daemon.api.traffic())["oldest_time"] > 0 and a, "records are deleted")
    for network in answer["networks"].values():
        for device in network["devices"].values():
            assert all(int(label) > answer["oldest_time"] for label in device["times"])
    ledger, oldest = answer["ledger"], answer["oldest_time"]
    gone = daemon.api.get(f"/traffic?ledger={ledger}&since={oldest - 1}")
    assert gone.status == 410 and gone.json["error"]["code"] == "GONE"
    assert daemon.api.get(f"/traffic?since={oldest - 1}").status == 200
    assert daemon.api.get(f"/traffic?ledger={ledger}&since={int(time.time())}").status == 200


def test_what_a_removed_network_counted_last_is_recorded(pair):
    api = pair.daemon.api
    tenant = pair.alpha
    curl(f"https://{tenant.host}/bytes/400000", certificate=tenant.certificate)
    api.applied(pair.lab.document(pair.beta))
    until(lambda: peer_traffic(everything(api), tenant)[0] >= 400_000, "its last bytes are recorded")
    until(lambda: host_traffic(everything(api), tenant)["tx"] >= 400_000, "and its host's, with the next sample")


@pytest.mark.kernel
def test_bytes_of_a_removed_and_returned_peer_are_counted_once(pair):
    api = pair.daemon.api
    tenant = pair.alpha
    curl(f"https://{tenant.host}/bytes/300000", certificate=tenant.certificate)
    without = pair.lab.document()
    del without[str(tenant.port)]["peers"][tenant.only.key.public]
    api.applied(without)
    api.applied(pair.lab.document())
    tenant.only.greet()
    until(lambda: pings(tenant.only.name, "10.0.0.1"), "the tunnel is back", 30)
    curl(f"https://{tenant.host}/bytes/300000", certificate=tenant.certificate)
    until(lambda: peer_traffic(everything(api), tenant)[0] >= 600_000, "both are recorded")
    assert peer_traffic(everything(api), tenant)[0] < 800_000


@pytest.mark.kernel
def test_counters_go_on_after_a_restart_and_bytes_meanwhile_are_counted(pair):
    api = pair.daemon.api
    tenant = pair.alpha
    curl(f"https://{tenant.host}/bytes/200000", certificate=tenant.certificate)
    before = api.network(tenant.port)["peers"][tenant.only.key.public]["rx"]
    assert pair.daemon.stop() == 0
    # No daemon runs, but the tunnel does: the machines' keepalives are counted by WireGuard.
    pair.daemon.start()
    pair.daemon.wait_until_healthy()

    def agree():
        live = api.network(tenant.port)["peers"][tenant.only.key.public]["rx"]
        recorded = peer_traffic(everything(api), tenant)[0]
        return before <= live and abs(live - recorded) < 2000
    until(agree, "records and counters agree again")
