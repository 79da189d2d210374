"""Documents that must be refused: as a whole, with every fault named, and with nothing touched."""

import base64
import copy
import json
import pathlib
import re
import urllib.parse

import pytest

from rig.lab import Key
from rig.wait import until

KEY = base64.b64encode(bytes(range(32))).decode()
PEER = base64.b64encode(bytes(range(1, 33))).decode()
GOOD = {"51820": {"private_key": KEY, "address": ["10.0.0.1/16"],
                  "peers": {PEER: {"allowed_ips": ["10.0.0.2/32"]}},
                  "proxy": {"https://git.example.com": ["10.0.0.2:443"]}}}


def pointer(text):
    return text.replace("~", "~0").replace("/", "~1")


def changed(*path, to):
    """GOOD with the value at `path` set."""
    document = copy.deepcopy(GOOD)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return document


def peer(**more):
    return changed("51820", "peers", PEER, to={"allowed_ips": ["10.0.0.2/32"], **more})


def proxy(key, value):
    return changed("51820", "proxy", to={key: value})


OTHER = base64.b64encode(bytes(range(2, 34))).decode()
SECOND = {"private_key": OTHER, "address": ["10.0.0.1/16"]}
PEER_AT = "/51820/peers/" + pointer(PEER)

# name: (document or its text, where the fault is; None: not JSON at all)
REFUSED = {
    "an array": ("[]", ""),
    "a number": ("7", ""),
    "a port with a leading zero": ({"051820": GOOD["51820"]}, "/051820"),
    "a port with a sign": ({"+51820": GOOD["51820"]}, "/+51820"),
    "port 0": ({"0": GOOD["51820"]}, "/0"),
    "port 65536": ({"65536": GOOD["51820"]}, "/65536"),
    "an empty port": ({"": GOOD["51820"]}, "/"),
    "a network that is null": ({"51820": None}, "/51820"),
    "an unknown member": (changed("51820", "colour", to="red"), "/51820/colour"),
    "a name that is too long": (changed("51820", "name", to="n" * 64), "/51820/name"),
    "no private key": ({"51820": {"address": ["10.0.0.1/16"]}}, "/51820/private_key"),
    "a key of 31 bytes": (changed("51820", "private_key", to=base64.b64encode(bytes(31)).decode()),
                          "/51820/private_key"),
    "a key of 33 bytes": (changed("51820", "private_key", to=base64.b64encode(bytes(33)).decode()),
                          "/51820/private_key"),
    "a key with a line end": (changed("51820", "private_key", to=KEY + "\n"), "/51820/private_key"),
    "a key in base64url": (changed("51820", "private_key",
                                   to=base64.urlsafe_b64encode(b"\xff" * 32).decode()), "/51820/private_key"),
    "a key that is a number": (changed("51820", "private_key", to=7), "/51820/private_key"),
    "another listen port": (changed("51820", "listen_port", to=51821), "/51820/listen_port"),
    "no address": (changed("51820", "address", to=[]), "/51820/address"),
    "an address with a prefix of 33": (changed("51820", "address", to=["10.0.0.1/33"]), "/51820/address/0"),
    "an address that is a name": (changed("51820", "address", to=["gateway"]), "/51820/address/0"),
    "an address with leading zeros": (changed("51820", "address", to=["10.0.0.01/16"]), "/51820/address/0"),
    "an mtu of 575": (changed("51820", "mtu", to=575), "/51820/mtu"),
    "an mtu of 65536": (changed("51820", "mtu", to=65536), "/51820/mtu"),
    "an mtu that is a fraction": (changed("51820", "mtu", to=1420.5), "/51820/mtu"),
    "an mtu that is a text": (changed("51820", "mtu", to="1420"), "/51820/mtu"),
    "an mtu for IPv6 of 1279": ({"51820": {"private_key": KEY, "address": ["fd00::1/64"], "mtu": 1279}},
                                "/51820/mtu"),
    "peers that are an array": (changed("51820", "peers", to=[]), "/51820/peers"),
    "a peer without allowed_ips": (changed("51820", "peers", PEER, to={}), PEER_AT + "/allowed_ips"),
    "a peer key of 31 bytes": (changed("51820", "peers", to={base64.b64encode(bytes(31)).decode():
                                                             {"allowed_ips": []}}), "/51820/peers/"
                               + pointer(base64.b64encode(bytes(31)).decode())),
    "a range twice": (peer(allowed_ips=["10.0.0.2/32", "10.0.0.2"]), PEER_AT + "/allowed_ips/1"),
    "a bad range": (peer(allowed_ips=["10.0.0.2/32", "x"]), PEER_AT + "/allowed_ips/1"),
    "a bad preshared key": (peer(preshared_key="short"), PEER_AT + "/preshared_key"),
    "an endpoint without a port": (peer(endpoint="192.0.2.1"), PEER_AT + "/endpoint"),
    "an endpoint that is a name": (peer(endpoint="host.example:51820"), PEER_AT + "/endpoint"),
    "a keepalive of 65536": (peer(persistent_keepalive=65536), PEER_AT + "/persistent_keepalive"),
    "a keepalive of -1": (peer(persistent_keepalive=-1), PEER_AT + "/persistent_keepalive"),
    "a scheme that nobody knows": (proxy("ftp://git.example.com", ["10.0.0.2:21"]),
                                   "/51820/proxy/" + pointer("ftp://git.example.com")),
    "a path in a host": (proxy("https://git.example.com/x", ["10.0.0.2:443"]),
                         "/51820/proxy/" + pointer("https://git.example.com/x")),
    "a host with a space": (proxy("https://git example.com", ["10.0.0.2:443"]),
                            "/51820/proxy/" + pointer("https://git example.com")),
    "a wildcard in the middle": (proxy("https://git.*.com", ["10.0.0.2:443"]),
                                 "/51820/proxy/" + pointer("https://git.*.com")),
    "a wildcard of all": (proxy("https://*", ["10.0.0.2:443"]), "/51820/proxy/" + pointer("https://*")),
    "no upstream": (proxy("https://git.example.com", []),
                    "/51820/proxy/" + pointer("https://git.example.com")),
    "an upstream without a port": (proxy("https://git.example.com", ["10.0.0.2"]),
                                   "/51820/proxy/" + pointer("https://git.example.com") + "/0"),
    "an unknown proxy protocol": (proxy("https://git.example.com",
                                        {"upstreams": ["10.0.0.2:443"], "proxy_protocol": "v3"}),
                                  "/51820/proxy/" + pointer("https://git.example.com") + "/proxy_protocol"),
    "a redirect from https": (proxy("https://git.example.com",
                                    {"upstreams": ["10.0.0.2:443"], "redirect_to_https": True}),
                              "/51820/proxy/" + pointer("https://git.example.com") + "/redirect_to_https"),
    "a host header of https": (proxy("https://git.example.com",
                                     {"upstreams": ["10.0.0.2:443"], "host_header": "x.example"}),
                               "/51820/proxy/" + pointer("https://git.example.com") + "/host_header"),
    "one private key in two networks": ({**GOOD, "51821": {**SECOND, "private_key": KEY}},
                                        "/51821/private_key"),
    "one host in two networks": ({**GOOD, "51821": {**SECOND, "proxy": {"http://GIT.example.com.":
                                                                        ["10.0.0.2:80"]}}},
                                 "/51821/proxy/" + pointer("http://GIT.example.com.")),
    "a host under another network's wildcard":
        ({"51820": {**GOOD["51820"], "proxy": {"https://*.example.com": ["10.0.0.2:443"]}},
          "51821": {**SECOND, "proxy": {"http://git.example.com": ["10.0.0.2:80"]}}},
         "/51821/proxy/" + pointer("http://git.example.com")),
}

TEXT = json.dumps(GOOD)

# What is not JSON, or JSON that cannot be told apart from another: 400 BAD_REQUEST or CONFIG_INVALID.
MALFORMED = {
    "nothing": "",
    "half a document": TEXT[:len(TEXT) // 2],
    "a document and more": TEXT + "{}",
    "a comma too many": TEXT[:-1] + ",}",
    "single quotes": "{'51820': {}}",
    "a leading zero in a number": TEXT.replace('"10.0.0.1/16"]', '"10.0.0.1/16"], "mtu": 01420'),
    "a key twice": TEXT[:-1] + ', "51820": ' + json.dumps(GOOD["51820"]) + "}",
    "a member twice": TEXT.replace('"address":', '"mtu": 1400, "mtu": 1400, "address":'),
    "a member twice, once escaped": TEXT.replace('"address":', '"mtu": 1400, "\\u006dtu": 1400, "address":'),
    "NUL in a host name": TEXT.replace("git.example.com", "git.example.com\\u0000.evil.example"),
    "NUL as a byte": TEXT.replace("git.example.com", "git\0.example.com"),
    "a lone surrogate": TEXT.replace("git.example.com", "\\ud800.example.com"),
    "a control byte": TEXT.replace("git.example.com", "git\x01.example.com"),
    "bad UTF-8": TEXT.encode().replace(b"git.example.com", b"git\xff.example.com"),
    "overlong UTF-8": TEXT.encode().replace(b"git.example.com", b"git\xc0\xae.example.com"),
    "too deep": '{"51820": ' + "[" * 17 + "]" * 17 + "}",
    "very deep": "[" * 100_000,
}


def refused(daemon, body):
    answer = daemon.api.apply(body)
    assert answer.status == 400, answer
    error = answer.json["error"]
    assert error["code"] in ("BAD_REQUEST", "CONFIG_INVALID") and error["message"]
    return error


@pytest.mark.asan
def test_every_broken_rule_is_refused_with_the_place_of_the_fault(daemon):
    daemon.start(GOOD)
    etag = daemon.api.get("/config").headers["ETag"]
    wrong = {}
    for name, (document, path) in REFUSED.items():
        answer = daemon.api.apply(document)
        paths = [detail["path"] for detail in answer.json.get("error", {}).get("details", [])]
        if answer.status != 400 or answer.json["error"]["code"] != "CONFIG_INVALID" or path not in paths:
            wrong[name] = f"expected {path!r}, got {answer}"
    assert wrong == {}
    assert daemon.api.get("/config").headers["ETag"] == etag
    assert daemon.namespaces() == ["network-51820"]


@pytest.mark.asan
def test_what_is_not_json_is_refused_and_nothing_is_lost(daemon):
    daemon.start(GOOD)
    etag = daemon.api.get("/config").headers["ETag"]
    wrong = {}
    for name, text in MALFORMED.items():
        answer = daemon.api.apply(text)
        if answer.status != 400 or not answer.json["error"]["message"]:
            wrong[name] = repr(answer)
    assert wrong == {}
    assert daemon.api.get("/config").headers["ETag"] == etag
    assert daemon.namespaces() == ["network-51820"]


def test_a_document_cut_anywhere_is_refused(daemon):
    daemon.start(GOOD)
    with_space = json.dumps(GOOD, indent=1)
    connection = daemon.api.connection()
    for length in range(1, len(with_space) - 1, 7):
        answer = daemon.api.request("POST", "/apply", with_space[:length], connection=connection)
        assert answer.status == 400, (length, answer)
    assert daemon.namespaces() == ["network-51820"]


def test_all_faults_are_reported_together_up_to_a_hundred(daemon):
    daemon.start()
    document = {str(port): {"private_key": "x", "address": ["y"], "mtu": 0} for port in range(1000, 1003)}
    error = refused(daemon, document)
    assert {detail["path"] for detail in error["details"]} == {
        f"/{port}/{member}" for port in range(1000, 1003)
        for member in ("private_key", "address/0", "mtu")}
    assert all(detail["message"] for detail in error["details"])
    many = {str(port): {"private_key": "x", "address": ["10.0.0.1/16"]} for port in range(1000, 1200)}
    assert len(refused(daemon, many)["details"]) == 100


def test_the_networks_own_key_is_no_peer(daemon):
    key = Key()
    daemon.start()
    error = refused(daemon, {"51820": {"private_key": key.private, "address": ["10.0.0.1/16"],
                                       "peers": {key.public: {"allowed_ips": []}}}})
    assert [detail["path"] for detail in error["details"]] == ["/51820/peers/" + pointer(key.public)]


def test_a_document_over_64_mib_is_too_large(daemon):
    daemon.start(GOOD)
    answer = daemon.api.apply(b" " * ((64 << 20) + 1) + TEXT.encode())
    assert answer.status == 413 and answer.json["error"]["code"] == "TOO_LARGE"
    assert daemon.api.config().keys() == {"51820"}


def test_a_document_of_a_few_megabytes_is_taken(daemon):
    daemon.start()
    assert daemon.api.apply(" " * (4 << 20) + TEXT).status == 200


def test_another_media_type_is_refused(daemon):
    daemon.start()
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = daemon.api.apply(TEXT, headers={"Content-Type": kind})
        assert answer.status == 415 and answer.json["error"]["code"] == "UNSUPPORTED_MEDIA_TYPE"
    for kind in ("application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8"):
        assert daemon.api.apply(TEXT, headers={"Content-Type": kind}).status == 200


def test_the_answer_has_one_form_whatever_way_a_document_is_written(daemon):
    daemon.start(GOOD)
    canonical = daemon.api.get("/config").body
    spelled = json.loads(TEXT)
    network = spelled["51820"]
    network["listen_port"] = 0
    network["peers"][PEER] = {"allowed_ips": ["10.0.0.2"], "preshared_key": None, "endpoint": None,
                              "persistent_keepalive": 25}
    network["proxy"] = {"https://GIT.Example.com:443/": {"upstreams": ["10.0.0.2:443"],
                                                         "proxy_protocol": None}}
    report = daemon.api.applied(spelled)
    assert report["networks"]["unchanged"] == 1
    assert daemon.api.get("/config").body == canonical
    assert json.loads(canonical) == {"51820": {
        "private_key": KEY, "address": ["10.0.0.1/16"], "mtu": 1420,
        "peers": {PEER: {"preshared_key": None, "allowed_ips": ["10.0.0.2/32"], "endpoint": None,
                         "persistent_keepalive": 25}},
        "proxy": {"https://git.example.com": ["10.0.0.2:443"]}}}


def test_ssh_keys_are_kept_and_warned_of(daemon):
    daemon.start()
    document = proxy("ssh://git.example.com", ["10.0.0.2:22"])
    report = daemon.api.applied(document)
    assert [warning["path"] for warning in report["warnings"]] == [
        "/51820/proxy/" + pointer("ssh://git.example.com")]
    assert daemon.api.config()["51820"]["proxy"] == {"ssh://git.example.com": ["10.0.0.2:22"]}


def test_a_merge_patch_changes_what_it_names(daemon):
    daemon.start(GOOD)
    answer = daemon.api.request("PATCH", "/config", {"51820": {
        "mtu": 1400, "peers": {OTHER: {"allowed_ips": ["10.0.0.3"]}},
        "proxy": {"https://GIT.example.com": {"max_connections": 5}}}},
        headers={"Content-Type": "application/merge-patch+json"})
    assert answer.status == 200, answer
    network = daemon.api.config()["51820"]
    assert network["mtu"] == 1400
    assert set(network["peers"]) == {PEER, OTHER}
    assert network["proxy"]["https://git.example.com"]["upstreams"] == ["10.0.0.2:443"]
    assert network["proxy"]["https://git.example.com"]["max_connections"] == 5
    assert daemon.api.request("PATCH", "/config", {"51820": None}).status == 200
    assert daemon.api.config() == {}


@pytest.mark.kernel
def test_a_single_peer_can_be_read_put_and_deleted(daemon):
    daemon.start(GOOD)
    quoted = urllib.parse.quote(OTHER, safe="")
    urlsafe = OTHER.replace("+", "-").replace("/", "_")
    assert daemon.api.get(f"/networks/51820/peers/{quoted}").status == 404
    for spelling, address, status in ((quoted, "10.0.0.3", 201), (urlsafe, "10.0.0.4", 200)):
        answer = daemon.api.request("PUT", f"/networks/51820/peers/{spelling}", {"allowed_ips": [address]})
        assert answer.status == status, answer
    assert daemon.api.get(f"/networks/51820/peers/{urlsafe}").json["allowed_ips"] == ["10.0.0.4/32"]
    assert set(daemon.api.get("/networks/51820/peers").json) == {PEER, OTHER}
    assert daemon.api.request("DELETE", f"/networks/51820/peers/{quoted}").status == 200
    assert daemon.api.request("DELETE", f"/networks/51820/peers/{quoted}").status == 404
    assert set(daemon.api.config()["51820"]["peers"]) == {PEER}


def own_kb(pid):
    """Memory that is the process's alone, no files."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss_Anon:\s+(\d+) kB", text, re.MULTILINE)[1])


def test_what_a_large_document_took_is_given_back(daemon):
    """A dry run takes ten times the text, and nothing of it is needed afterwards."""
    daemon.start()
    control = daemon.role("control")
    peers = {base64.b64encode(i.to_bytes(32, "big")).decode():
             {"allowed_ips": [f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}/32"]} for i in range(1, 20001)}
    large = json.dumps({"51820": {**GOOD["51820"], "address": ["10.0.0.1/8"], "peers": peers, "proxy": {}}})
    little = daemon.api.apply("{}", "?dry_run=true")
    assert little.status == 200, little
    empty_kb = own_kb(control)
    for _ in range(3):
        answer = daemon.api.apply(large, "?dry_run=true")
        assert answer.status == 200, answer
    assert own_kb(control) > empty_kb
    until(lambda: own_kb(control) < empty_kb + 1024, "what was taken is given back", 30)
