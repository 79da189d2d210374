"""The examples of README.md and of the manual pages, run as they stand there but for directories."""

import json
import os
import pathlib
import re
import subprocess

import pytest

from rig.daemon import BUILD
from rig.wait import SLOW

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def literals(page):
    """The literal blocks of a manual page, as a reader sees them."""
    blocks = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", (ROOT / "man" / page).read_text(), re.M | re.S)
    return [block.replace("\\e", "\\") for block in blocks]


def commands(text):
    """README's indented lines that are commands of ours or curl's."""
    return re.findall(r"^ {4}((?:tollgate|curl) .*)$", text, re.M)


README_DOCUMENT = re.search(r"^```json\n(.*?)^```$", README, re.M | re.S).group(1)
MANUAL_DOCUMENT = next(block for block in literals("tollgate.json.5") if block.startswith("{"))


@pytest.fixture
def shell(daemon, directory):
    """Runs commands in a directory that holds tollgate.json; what is the system's there is the test's here."""
    (directory / "tollgate.json").write_text(README_DOCUMENT)

    def shell(script):
        script = script.replace("/run/tollgate/", f"{daemon.run}/").replace("/etc/", f"{directory}/")
        done = subprocess.run(["sh", "-ec", script], cwd=directory, capture_output=True, text=True,
                              timeout=60 * SLOW, check=False, stdin=subprocess.DEVNULL,
                              env={**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}",
                                   "TOLLGATE_RUN_DIR": str(daemon.run)})
        assert done.returncode == 0, f"{script}: {done.stderr}"
        assert "\"error\"" not in done.stdout, f"{script}: {done.stdout}"
        return done.stdout
    return shell


@pytest.mark.parametrize("document", [README_DOCUMENT, MANUAL_DOCUMENT], ids=["README.md", "tollgate.json.5"])
def test_the_documents_are_accepted(daemon, document):
    daemon.start(json.loads(document))
    assert daemon.namespaces() == ["network-51820"]


def test_the_commands_of_the_readme_do_what_they_say(daemon, shell):
    daemon.start()
    lines = commands(README)
    assert len(lines) >= 6
    for line in lines:
        shell(line)
    assert daemon.namespaces() == ["network-51820"]


def test_the_examples_of_tollgate_1(daemon, shell):
    daemon.start()
    blocks = literals("tollgate.1")
    assert len(blocks) >= 4
    for block in blocks:
        shell(block)
    assert daemon.api.config()["51820"]["mtu"] == 1380


def test_the_examples_of_tollgated_8(daemon, shell, directory):
    daemon.start()
    start, post = [block for block in literals("tollgated.8") if not block.startswith("{")]
    assert "tollgated --config" in start
    shell(start.replace("tollgated --config", "tollgated --check --config"))
    assert (directory / "tollgate.tokens").read_text().startswith("admin ")
    assert '"generation"' in shell(post)
    assert daemon.namespaces() == ["network-51820"]
