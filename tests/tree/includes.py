#!/usr/bin/python3
"""Holds the tree against the rules of who may include what: each folder its own headers, those of the
folders below, and no library that is another's; own header first, then libc and libraries, then ours,
each sorted.  Lines fit the width of the tree."""

import pathlib
import re
import sys

FOLDERS = {
    "base": [],
    "netns": ["base"],
    "proxy": ["base"],
    "accounting": ["base"],
    "api": ["base", "accounting/store.h"],
    "daemon": ["base", "netns", "proxy", "accounting", "api"],
    "cli": ["base"],
    "tests": ["base", "netns", "proxy", "accounting", "api", "daemon", "cli"],
}

# Headers of a library, and the folders, or the only file, that may see them.
LIBRARIES = {
    r"netlink/": ["netns"],
    r"linux/(wireguard|rtnetlink|if_link|genetlink|netlink|if_tun)": ["netns"],
    r"sqlite3\.h": ["accounting"],
    r"event2/(http|http_struct|bufferevent.*|listener|keyvalq_struct)\.h": ["api"],
    r"openssl/ssl\.h": ["api"],
    r"openssl/": ["base", "api", "daemon"],
    r"curl/": ["cli"],
    r"cap-ng\.h|seccomp\.h|linux/seccomp\.h": ["daemon"],
    r"uthash\.h": ["base/uthash.h"],
    r"sys/wait\.h|spawn\.h": ["daemon", "netns"],	# netns: wireguard-go
}

# What only one folder may call, as words of its sources.
CALLS = {
    r"\bsplice\s*\(": ["proxy"],
    r"\bfork\s*\(|\bexecv[a-z]*\s*\(": ["daemon", "netns"],
    r"\bsystem\s*\(|\bpopen\s*\(": [],
}

COLUMNS, TAB = 110, 8	# as in .clang-format

INCLUDE = re.compile(r'^#include ([<"])([^>"]+)[>"]')
faults = []


def fault(path, number, text):
    faults.append(f"{path}:{number}: {text}")


def may_include(folder, header):
    owner = header.split("/")[0]
    return owner == folder or header in FOLDERS[folder] or owner in FOLDERS[folder]


def check_target(path, folder, number, quote, header):
    if quote == '"':
        if header.startswith("tests/names"):	# written by the build
            return
        if not pathlib.Path(header).is_file():
            fault(path, number, f"{header} is no file, seen from the root")
        elif not may_include(folder, header):
            fault(path, number, f"{folder}/ may not include {header}")
        return
    for pattern, owners in LIBRARIES.items():
        if re.match(pattern, header):
            if folder != "tests" and not {folder, str(path)} & set(owners):
                fault(path, number, f"{folder}/ may not include <{header}>")
            return


def check_order(path, includes):
    """`includes` holds (line number, quote, header, block); a block ends at an empty line."""
    own = path.with_suffix(".h")
    first = pathlib.Path(includes[0][2])
    if path.suffix == ".c" and own.is_file() and first != own:
        fault(path, includes[0][0], f"does not begin with its own header {own}")
    # A file without one may begin with its family's: model.h in model_diff.c.
    family = first.parent == path.parent and first.stem.split("_")[0] == path.stem.split("_")[0]
    rest = includes[1:] if family and includes[0][1] == '"' else includes
    ours = False
    for before, now in zip(rest, rest[1:]):
        ours = ours or before[1] == '"'
        if ours and now[1] == "<":
            fault(path, now[0], "a library's header after ours")
        elif before[1] == now[1] and before[3] == now[3] and before[2] > now[2]:
            fault(path, now[0], f"{now[2]} is not in order")


def check_calls(path, folder, lines):
    for number, line in enumerate(lines, 1):
        code = line.split("/*")[0].split("//")[0]
        if line.lstrip().startswith("*"):
            continue
        for pattern, owners in CALLS.items():
            if folder not in owners and folder != "tests" and re.search(pattern, code):
                fault(path, number, f"{folder}/ may not call this: {line.strip()}")


def check_width(path, lines):
    for number, line in enumerate(lines, 1):
        width = len(line.expandtabs(TAB))
        if width > COLUMNS:
            fault(path, number, f"{width} columns, {COLUMNS} are the most")


def main():
    count = 0
    for folder in FOLDERS:
        for path in sorted(pathlib.Path(folder).rglob("*.[ch]")):
            lines = path.read_text().splitlines()
            includes, block = [], 0
            for number, line in enumerate(lines, 1):
                found = INCLUDE.match(line)
                if found:
                    includes.append((number, found[1], found[2], block))
                    check_target(path, folder, number, found[1], found[2])
                else:
                    block += 1
            check_width(path, lines)
            if includes and folder != "tests":
                check_order(path, includes)
            if folder != "tests":
                check_calls(path, folder, lines)
            count += 1
    for one in faults:
        print(one)
    print(f"tree: {count} files, {len(faults)} faults in what they include and how wide they are")
    sys.exit(bool(faults) or count == 0)


main()
