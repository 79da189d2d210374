"""The operator's command, against a running daemon."""

import base64
import json
import subprocess

import pytest

from rig.daemon import TOLLGATE
from rig.documents import NETWORK
from rig.lab import run
from rig.servers import make_certificate
from rig.wait import SLOW

DOCUMENT = {"51820": {**NETWORK, "proxy": {"http://git.example.com": ["10.0.0.2:80"]}}}
ADMIN = "admin-token-0123456789"


@pytest.fixture
def tollgate(daemon):
    """Runs the command against the daemon; returns what it did."""
    def tollgate(*words, stdin=None, api=True):
        where = ["--api", f"unix:{daemon.run / 'api.sock'}"] if api else []
        return subprocess.run([TOLLGATE, *where, *(str(word) for word in words)], input=stdin,
                              capture_output=True, text=True, timeout=60 * SLOW, check=False)
    return tollgate


def test_apply_get_and_dry_run(daemon, directory, tollgate):
    daemon.start()
    path = directory / "document.json"
    path.write_text(json.dumps(DOCUMENT))
    plan = tollgate("apply", "--dry-run", path)
    assert plan.returncode == 0, plan
    assert "51820" in plan.stdout and "+" in plan.stdout
    assert daemon.namespaces() == []
    done = tollgate("apply", path)
    assert done.returncode == 0, done
    assert daemon.namespaces() == ["network-51820"]
    got = tollgate("get")
    assert got.returncode == 0 and json.loads(got.stdout) == daemon.api.config()
    again = tollgate("apply", "-", stdin=got.stdout)
    assert again.returncode == 0, again
    changed = json.loads(got.stdout)
    changed["51820"]["mtu"] = 1400
    plan = tollgate("apply", "--dry-run", "-", stdin=json.dumps(changed))
    assert plan.returncode == 0 and "mtu" in plan.stdout
    assert daemon.api.config()["51820"]["mtu"] == 1420


def test_the_plan_has_the_old_and_the_new_value_of_each_change(daemon, tollgate):
    daemon.start({"51820": {**DOCUMENT["51820"], "mtu": 1400}})
    # The default is a value too, and a host may be written in several ways.
    changed = {"51820": {**NETWORK, "proxy": {"http://GIT.example.com:80/": ["10.0.0.3:80"]}}}
    plan = tollgate("apply", "--dry-run", "-", stdin=json.dumps(changed)).stdout
    assert "~ /51820/mtu: 1400 -> 1420\n" in plan
    assert '~ /51820/proxy/http:~1~1git.example.com: ["10.0.0.2:80"] -> ["10.0.0.3:80"]\n' in plan
    limited = {"upstreams": ["10.0.0.2:80"], "max_connections": 5}
    changed["51820"]["proxy"] = {"http://git.example.com": limited}
    plan = tollgate("apply", "--dry-run", "-", stdin=json.dumps(changed)).stdout
    assert '~ /51820/proxy/http:~1~1git.example.com: ["10.0.0.2:80"] -> …\n' in plan


def test_a_refused_document_is_status_1_and_names_the_fault(daemon, tollgate):
    daemon.start(DOCUMENT)
    bad = {"51820": {**DOCUMENT["51820"], "mtu": 1}}
    done = tollgate("apply", "-", stdin=json.dumps(bad))
    assert done.returncode == 1 and "/51820/mtu" in done.stderr, done
    assert daemon.api.config()["51820"]["mtu"] == 1420


def test_status_and_traffic_name_the_network_and_no_key(daemon, tollgate):
    daemon.start(DOCUMENT)
    for words in (("status",), ("traffic",)):
        done = tollgate(*words)
        assert done.returncode == 0, done
        assert DOCUMENT["51820"]["private_key"] not in done.stdout
    assert "51820" in tollgate("status").stdout


def test_keys_are_those_of_wg(tollgate):
    made = tollgate("genkey", api=False)
    assert made.returncode == 0 and len(base64.b64decode(made.stdout)) == 32
    public = tollgate("pubkey", stdin=made.stdout, api=False)
    assert public.stdout == run("wg", "pubkey", input=made.stdout)


def test_a_daemon_far_away_is_asked_with_a_token(daemon, directory, tollgate):
    (directory / "tokens").write_text(f"{ADMIN}\n")
    (directory / "mine").write_text(f"{ADMIN}\n")
    daemon.options.update({"--api": "127.0.0.1:8000", "--token-file": directory / "tokens"})
    daemon.start(DOCUMENT)
    done = tollgate("--api", "http://127.0.0.1:8000", "--token-file", directory / "mine", "get", api=False)
    assert done.returncode == 0 and json.loads(done.stdout).keys() == {"51820"}, done
    (directory / "mine").write_text("another\n")
    done = tollgate("--api", "http://127.0.0.1:8000", "--token-file", directory / "mine", "get", api=False)
    assert done.returncode == 1 and "another" not in done.stderr, done


def test_a_daemon_is_asked_over_tls_when_its_authority_is_known(daemon, directory, tollgate, monkeypatch):
    certificate = make_certificate(directory, "gateway", "localhost")
    (directory / "tokens").write_text(f"{ADMIN}\n")
    daemon.options.update({"--api": "127.0.0.1:8443", "--token-file": directory / "tokens",
                           "--api-cert": certificate, "--api-key": certificate})
    daemon.start(DOCUMENT)
    words = ("--api", "https://localhost:8443", "--token-file", directory / "tokens", "status")
    done = tollgate(*words, api=False)
    assert done.returncode == 1 and "certificate" in done.stderr, done
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    done = tollgate(*words, api=False)
    assert done.returncode == 0 and "51820" in done.stdout, done
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/at/all")
    done = tollgate(*words, api=False)
    assert done.returncode == 1 and "/nowhere/at/all" in done.stderr, done


@pytest.mark.parametrize("words", [(), ("fly",), ("apply",), ("get", "--colour"), ("apply", "a", "b"),
                                   ("status", "x"), ("get", "--api", "127.0.0.1:8000")])
def test_wrong_usage_is_status_2(tollgate, words):
    done = tollgate(*words, api=False)
    assert done.returncode == 2 and done.stderr and done.stdout == "", done


def test_no_daemon_is_status_1_with_one_line(tollgate):
    done = tollgate("status")
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1, done
