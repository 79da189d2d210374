#!/usr/bin/python3
"""Usage: manual.py BUILD: holds the manual pages against the programs: every option and variable that a
program's help names stands in its page and the other way round, every request of the API's table is
documented, and groff finds no fault."""

import pathlib
import re
import subprocess
import sys

BUILD = pathlib.Path(sys.argv[1])
PAGES = {"tollgated": "man/tollgated.8", "tollgate": "man/tollgate.1"}
ALL = [*PAGES.values(), "man/tollgate.json.5"]
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
VARIABLE = re.compile(r"\bTOLLGATE_[A-Z_]+\b")
ROUTE = re.compile(r'\{ HEAD_([A-Z]+), "(/[^"]*)"')

# Of other programs, named in examples.
FOREIGN = {"--unix-socket", "--data-binary", "--header", "--resolve", "--cacert", "--now", "--fail"}

faults = []


def lint(page):
    said = subprocess.run(["groff", "-ww", "-z", "-mandoc", "-Tutf8", page], capture_output=True, text=True)
    if said.returncode != 0 or said.stderr:
        faults.append(f"{page}: {said.stderr.strip() or 'groff failed'}")


def text_of(page):
    """As a reader sees it, in lines so long that nothing is broken at a hyphen."""
    done = subprocess.run(["groff", "-mandoc", "-Tascii", "-P-cbou", "-rLL=2000n", "-rHY=0", page],
                          capture_output=True, text=True, check=True)
    return done.stdout


def help_of(program):
    return subprocess.run([BUILD / program, "--help"], capture_output=True, text=True, check=True).stdout


def compare(what, program, page, said, written):
    for one in sorted(said - written):
        faults.append(f"{page}: does not tell of {what} {one} of {program}")
    for one in sorted(written - said - FOREIGN):
        faults.append(f"{page}: tells of {what} {one}, which {program} does not have")


def variables_of(flags, text):
    """The daemon's help gives the rule, not each name."""
    named = set(VARIABLE.findall(text)) - {"TOLLGATE_"}
    return named | {"TOLLGATE_" + flag[2:].upper().replace("-", "_") for flag in flags}


def check_program(program, page):
    said = help_of(program)
    flags = set(FLAG.findall(said))
    written = text_of(page)
    if not flags:
        faults.append(f"{program} --help: names no option")
    compare("the option", program, page, flags, set(FLAG.findall(written)))
    if program == "tollgated":
        plain = {"--api-insecure", "--check", "--teardown", "--help", "--version"}	# flags without a variable
        compare("the variable", program, page, variables_of(flags - plain, said), set(VARIABLE.findall(written)))


def check_later():
    """Which options are refused as not yet there."""
    said = help_of("tollgated").splitlines()
    later = {FLAG.search(line)[0] for line in said if "(not in this version)" in line}
    page = pathlib.Path(PAGES["tollgated"]).read_text()
    told, above = set(), set()
    for item in page.split("\n.It ")[1:]:
        head, _, text = item.partition("\n")
        above |= {"--" + flag[1:] for flag in re.findall(r"Fl (-[a-z-]+)", head)}
        if "Not in this version." in text:
            told |= above
        if text.strip():
            above = set()
    for flag in sorted(later ^ told):
        refused = "not refused" if flag in told else "refused"
        faults.append(f"{PAGES['tollgated']}: {flag} is {refused} by the program")


def check_routes():
    source = "\n".join(path.read_text() for path in sorted(pathlib.Path("api").glob("*.c")))
    routes = set(ROUTE.findall(source))
    written = text_of(PAGES["tollgated"])
    if not routes:
        faults.append("api/: no table of routes was found")
    for method, path in sorted(routes):
        if not re.search(rf"\b{method}\b[^\n]*{re.escape(path)}(?![\w/])", written):
            faults.append(f"{PAGES['tollgated']}: does not tell of {method} {path}")


for page in ALL:
    lint(page)
for program, page in PAGES.items():
    check_program(program, page)
check_later()
check_routes()
for one in faults:
    print(one)
print(f"tree: {len(ALL)} manual pages, {len(faults)} faults")
sys.exit(bool(faults))
