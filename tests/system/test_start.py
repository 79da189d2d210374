"""Starting, and what stops a start: one clear line and exit status 2."""

import json
import os
import subprocess

import pytest

from rig.daemon import TOLLGATED, Daemon, notify_socket
from rig.documents import NETWORK, ONE
from rig.lab import ip, run
from rig.servers import Server, make_certificate
from rig.wait import SLOW, until


def refused(daemon, *options, names):
    """The start fails with status 2 and one line that holds `names`."""
    status, text = daemon.fails(*options)
    assert status == 2, (status, text)
    errors = [line for line in text.splitlines() if line.strip()]
    assert len(errors) == 1, text
    assert names in errors[0], text


@pytest.mark.parametrize("options,names", [
    (["--colour"], "--colour"),
    (["--workers", "0"], "--workers"),
    (["--workers", "many"], "--workers"),
    (["--sample-interval", "99ms"], "--sample-interval"),
    (["--sample-interval", "10"], "--sample-interval"),
    (["--sample-interval", "2h"], "--sample-interval"),
    (["--retention", "-1d"], "--retention"),
    (["--http", "nowhere"], "--http"),
    (["--http", "192.0.2.1:65536"], "--http"),
    (["--wireguard", "openvpn"], "--wireguard"),
    (["--log-level", "loud"], "--log-level"),
    (["--config", "/nowhere/at/all"], "/nowhere/at/all"),
    (["--token-file", "/nowhere/at/all"], "/nowhere/at/all"),
    (["--netns-prefix", "a/b"], "--netns-prefix"),
    (["--forward", "panel=1"], "--forward"),
    (["--trust-proxy", "10.0.0.0/40"], "--trust-proxy"),
    (["--api", "127.0.0.1:8000"], "--api"),
    (["--user", "no-such-user-here"], "no-such-user-here"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_bad_option_stops_the_start_with_one_line(daemon, options, names):
    refused(daemon, *options, names=names)
    daemon.started = False


@pytest.mark.parametrize("options", [["--trust-proxy", "192.0.2.7"], ["--access-log", "-"],
                                     ["--metrics-per-peer"]], ids=lambda options: options[0])
def test_an_option_of_a_later_version_is_refused_by_name(daemon, options):
    refused(daemon, *options, names=options[0])
    daemon.started = False


def test_the_api_off_loopback_needs_tls_or_consent(daemon, directory):
    (directory / "tokens").write_text("a-token-0123456789\n")
    refused(daemon, "--api", "0.0.0.0:8000", "--token-file", directory / "tokens", names="--api")
    daemon.extra = ["--api", "0.0.0.0:8000", "--token-file", directory / "tokens", "--api-insecure"]
    daemon.start({})


def test_the_flag_wins_over_the_environment(daemon):
    daemon.environment["TOLLGATE_WORKERS"] = "nonsense"
    daemon.options["--workers"] = "1"
    daemon.start({})
    assert len(daemon.roles()["worker"]) == 1


def test_the_environment_is_read_and_checked(daemon):
    daemon.options["--workers"] = None
    daemon.environment["TOLLGATE_WORKERS"] = "nonsense"
    refused(daemon, names="TOLLGATE_WORKERS")


def test_check_validates_options_and_document_and_starts_nothing(daemon, directory):
    good, bad = directory / "good.json", directory / "bad.json"
    good.write_text(json.dumps(ONE))
    bad.write_text(json.dumps({"51820": {**NETWORK, "mtu": 1}}))
    assert daemon.fails("--check", "--config", good)[0] == 0
    status, text = daemon.fails("--check", "--config", bad)
    assert status == 2 and "/51820/mtu" in text
    bad.write_text(json.dumps({"51820": {**NETWORK, "\x1b[2J\x7f": 1}}))
    status, text = daemon.fails("--check", "--config", bad)
    assert status == 2 and text == f"{bad}: /51820/?[2J?: unknown key\n"
    assert daemon.namespaces() == [] and list(daemon.state.iterdir()) == []


def test_check_finds_what_would_stop_a_start(daemon, directory):
    claim = {"51820": {**NETWORK, "proxy": {"https://*.example.com": ["10.0.0.1:443"]}}}
    for name, text in (("good", "read a-token-0123456789\n"), ("empty", ""),
                       ("scope", "root a-token-0123456789\n"), ("document", "{"), ("claim", json.dumps(claim))):
        (directory / name).write_text(text)
    one = make_certificate(directory, "one", "one.example")
    two = make_certificate(directory, "two", "two.example")
    tls = ["--api-cert", one, "--api-key", one]
    good = ["--token-file", directory / "good", *tls, "--api-client-ca", two]
    assert daemon.fails("--check", *good) == (0, "")
    for options, names in ((["--token-file", directory / "empty"], f"{directory}/empty: no token in it"),
                           (["--token-file", directory / "scope"], f"{directory}/scope: line 1: the scope"),
                           (["--token-file", directory], f"{directory}: is no file"),
                           (["--api-cert", one, "--api-key", two.with_suffix(".key")], "the API's key"),
                           (["--api-cert", directory / "good", "--api-key", one], "the API's certificate"),
                           ([*tls, "--api-client-ca", directory / "empty"], "the API's client CA"),
                           (["--user", "root"], "--user: control may not run as"),
                           (["--user", "no-such-user-here"], "no-such-user-here"),
                           (["--config", directory / "document"], f"{directory}/document: line 1, column 2:"),
                           (["--config", directory / "claim",
                             "--forward", "https://panel.example.com=127.0.0.1:8443"],
                            "/51820/proxy/https:~1~1*.example.com: ")):
        refused(daemon, "--check", *options, names=names)
        # The start itself stops with one line too, beside warnings.
        status, text = daemon.fails(*options)
        errors = [line for line in text.splitlines() if "level=warn" not in line]
        assert status == 2 and len(errors) == 1, text
    daemon.environment["TOLLGATE_TOKEN"] = "root a-token-0123456789"
    refused(daemon, "--check", names="TOLLGATE_TOKEN: line 1: the scope")
    daemon.started = False


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "invalid"])
def test_a_damaged_stored_document_stops_the_start_and_nothing_is_touched(daemon, damage):
    daemon.start(ONE)
    assert daemon.stop() == 0
    path = daemon.state / "state.json"
    good = path.read_bytes()
    path.write_bytes({"cut": good[:len(good) // 2], "garbage": b"\0" * 100, "empty": b"",
                      "invalid": good.replace(b"10.0.0.1/16", b"10.0.0.1/99")}[damage])
    damaged = path.read_bytes()
    status, text = daemon.fails()
    assert status == 2, text
    assert "state.json" in text
    assert daemon.namespaces() == ["network-51820"]
    assert path.read_bytes() == damaged
    path.write_bytes(good)
    daemon.start()
    daemon.wait_until_healthy()


def test_without_root_the_start_fails_with_one_line(daemon):
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *daemon.command()],
                          capture_output=True, text=True, timeout=30 * SLOW, check=False)
    assert done.returncode == 2, done
    assert len(done.stderr.strip().splitlines()) == 1 and "root" in done.stderr, done.stderr


def test_without_a_tun_device_the_reason_is_named(daemon):
    """wireguard-go needs /dev/net/tun: without it and without WireGuard in the kernel no network can be."""
    run("mount", "-t", "tmpfs", "none", "/dev/net")
    daemon.options["--wireguard"] = "userspace"
    status, text = daemon.fails()
    assert status == 2, text
    assert "/dev/net/tun" in text
    daemon.started = False


def test_a_taken_ingress_port_stops_the_start(lab, daemon):
    Server(None, "0.0.0.0", name="other", http_port=80)
    status, text = daemon.fails()
    assert status != 0 and "80" in text and "in use" in text.lower(), text
    assert lab.hosts == []


def test_a_second_daemon_with_the_same_run_directory_is_refused(daemon):
    daemon.start(ONE)
    status, text = daemon.fails("--http", "none", "--https", "none")
    assert status != 0, text
    assert daemon.api.get("/health").status == 200
    assert daemon.whole()


def test_the_service_manager_hears_ready_and_stopping(daemon, directory):
    path = directory / "notify"
    listener = notify_socket(path)
    daemon.environment["NOTIFY_SOCKET"] = str(path)
    daemon.start(ONE)
    said = b""
    while b"READY=1" not in said:
        said += listener.recv(4096) + b"\n"
    assert daemon.stop() == 0
    while b"STOPPING=1" not in said:
        said += listener.recv(4096) + b"\n"


def test_ready_means_that_the_stored_document_is_in_force(daemon, directory):
    daemon.start(ONE)
    assert daemon.stop() == 0
    run(*daemon.command("--teardown"))
    path = directory / "notify"
    listener = notify_socket(path)
    daemon.environment["NOTIFY_SOCKET"] = str(path)
    daemon.spawn()
    said = b""
    while b"READY=1" not in said:
        said += listener.recv(4096) + b"\n"
    assert daemon.namespaces() == ["network-51820"]
    assert daemon.api.get("/health").json == {"status": "ok"}


def test_health_says_503_until_there_is_a_document(daemon):
    daemon.start()
    assert daemon.api.get("/health").status == 503
    daemon.api.applied({})
    until(lambda: daemon.api.get("/health").json == {"status": "ok"}, "all is well")


def test_a_config_file_is_applied_at_start_and_only_when_it_changed(daemon, directory):
    path = directory / "config.json"
    path.write_text(json.dumps(ONE))
    daemon.extra = ["--config", path]
    daemon.start()
    daemon.wait_until_healthy()
    assert daemon.api.config().keys() == {"51820"}
    daemon.api.applied({})
    assert daemon.stop() == 0
    daemon.start()
    daemon.wait_until_healthy()
    assert daemon.api.config() == {}, "the file is as it was: the last applied document stays"
    path.write_text(json.dumps({"51900": NETWORK}))
    assert daemon.stop() == 0
    daemon.start()
    until(lambda: daemon.api.config().keys() == {"51900"}, "the changed file is applied")


def test_an_invalid_config_file_stops_the_start(daemon, directory):
    path = directory / "config.json"
    path.write_text("{")
    status, text = daemon.fails("--config", path)
    assert status == 2 and "--config" in text, text


def test_daemons_run_side_by_side(daemon, directory):
    daemon.options.update({"--http": "127.0.0.1:8081", "--https": "127.0.0.1:8444"})
    daemon.start(ONE)
    (directory / "other").mkdir()
    other = Daemon(directory / "other")
    other.options.update({"--http": "127.0.0.1:8082", "--https": "127.0.0.1:8445",
                          "--netns-prefix": "other-"})
    other.start({"51830": NETWORK})
    daemon.api.applied(ONE)
    assert daemon.namespaces() == ["network-51820"]
    assert "other-51830" in os.listdir("/run/netns")
    other.close()
    assert "other-51830" not in os.listdir("/run/netns")
    assert daemon.namespaces() == ["network-51820"]


def test_teardown_removes_what_is_the_daemons_and_nothing_else(daemon):
    for name in ("mine", "network-x"):
        ip([f"netns add {name}"])
    daemon.start(ONE)
    assert daemon.stop() == 0
    assert daemon.namespaces() == ["network-51820", "network-x"]
    run(*daemon.command("--teardown"))
    assert daemon.namespaces() == ["network-x"]
    assert "mine" in os.listdir("/run/netns")
    ip(["netns del network-x"])


def test_help_and_version_go_to_standard_output():
    done = subprocess.run([TOLLGATED, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "--state-dir" in done.stdout and done.stderr == ""
