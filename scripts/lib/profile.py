#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts executed instructions by section, for scripts/profile.

    profile.py SECTIONS ADDRESSES totals|runs|all

SECTIONS has lines `address cell section`, ADDRESSES one address a line, in order. Besides the totals:
runs of instructions within one section, or all of them.
"""
import bisect
import collections
import sys


def read_sections(path):
    """Sorted addresses, and what is there: code, or not; of those at one address the last one."""
    names = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            address, cell, section = line.split()
            names[int(address, 16)] = (cell, section)
    starts = sorted(names)
    return starts, [names[start] for start in starts]


def main():
    sections, addresses, show = sys.argv[1:]
    starts, names = read_sections(sections)
    where = {}
    counts = collections.Counter()
    runs = []
    with open(addresses, encoding="ascii") as file:
        for line in file:
            if line not in where:
                address = int(line, 16)
                at = bisect.bisect_right(starts, address) - 1
                where[line] = (*names[at], address - starts[at])
                if at < 0 or not names[at][1].startswith(".text"):
                    where[line] = ("-", "an entry", address)
            cell, section, offset = where[line]
            counts[cell, section] += 1
            if show == "all":
                print(f"{cell}:{section}+{offset:#x}")
            elif show == "runs" and runs and runs[-1][0] == (cell, section):
                runs[-1][1] += 1
            elif show == "runs":
                runs.append([(cell, section), 1])
    for (cell, section), length in runs:
        print(f"{length:8} {cell} {section.removeprefix('.text.')}")
    total = sum(counts.values())
    print(f"\n{total:10} instructions")
    for (cell, section), instructions in counts.most_common(60):
        print(f"{instructions:10} {100 * instructions / total:5.1f} %"
              f"  {cell} {section.removeprefix('.text.')}")


main()
