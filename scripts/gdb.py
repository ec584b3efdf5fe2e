# SPDX-License-Identifier: MIT
"""Symbols of cells, at the addresses where they were linked, for gdb.

    gdb -x scripts/gdb.py -ex 'theoris attach build/kernel-release :1234'

`theoris attach BUILD TARGET` adds the symbols of the static cells, whose addresses `cellpack link`
wrote beside the image, connects to TARGET (as `target remote` has it), and from then on adds the
symbols of each cell that the kernel announces, in place of those of an older version. `theoris cells`
lists what was added; `theoris sections FILE` writes where each section was, of replaced cells too, for
scripts/profile.
"""
import json
import os

import gdb

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHF_ALLOC = 2


class Cells:
    """Which cells gdb knows the symbols of, and the build folder that their debug files are in."""

    def __init__(self):
        self.build = None
        self.added = {}
        self.all_sections = [] # (address, cell, section), also of those that were replaced

    def add(self, name, sections):
        """`sections`: pairs of name and address, of those that are loaded."""
        debug = os.path.join(self.build, "cells", name + ".debug")
        if self.added.get(name) == sections or not sections or not os.path.exists(debug):
            return
        if name in self.added: # it has been replaced
            gdb.execute(f"remove-symbol-file -a {self.added[name][0][1]:#x}", to_string=True)
        options = " ".join(f"-s {section} {address:#x}" for section, address in sections)
        gdb.execute(f"add-symbol-file {debug} {options}", to_string=True)
        self.added[name] = sections
        self.all_sections += [(address, name, section) for section, address in sections]

    def add_static(self):
        with open(os.path.join(self.build, "image", "nano_core.map.json"), encoding="utf-8") as file:
            cells = json.load(file)["cells"]
        for cell in cells:
            # JSON's numbers are signed there.
            self.add(cell["name"], [(section["name"], section["address"] & (2**64 - 1))
                                    for section in cell["sections"] if section["size"]])

    def add_announced(self, cell):
        """`cell`: a gdb.Value, struct cell of cell_metadata.h."""
        sections = []
        for i in range(int(cell["object"]["section_count"])):
            section = cell["sections"][i]
            if int(section["address"]) and int(section["size"]) and int(section["flags"]) & SHF_ALLOC:
                sections.append((section["name"].string(), int(section["address"])))
        name = cell["name"].string()
        self.add(name, sections)
        return name, dict(sections)


class Announcement(gdb.Breakpoint):
    """Stops nobody: it only takes the new cell's sections. A new loader gets one of its own."""

    def __init__(self, cells, address="loader_announce"):
        super().__init__(f"*{address}", internal=True)
        self.cells = cells

    def stop(self):
        # At its first instruction, the function's argument is in RDI (psABI).
        cell = gdb.parse_and_eval("(const struct cell *)$rdi").dereference()
        name, sections = self.cells.add_announced(cell)
        if ".text.loader_announce" in sections and name == "loader":
            Announcement(self.cells, f"{sections['.text.loader_announce']:#x}")
        return False


class Theoris(gdb.Command):
    """Commands that know cells: theoris attach BUILD TARGET, theoris cells, theoris sections FILE."""

    def __init__(self):
        super().__init__("theoris", gdb.COMMAND_USER)
        self.cells = Cells()

    def invoke(self, argument, from_tty):
        verb, _, rest = argument.partition(" ")
        if verb == "attach" and " " in rest:
            self.attach(*rest.split(" ", 1))
        elif verb == "cells":
            for name, sections in self.cells.added.items():
                print(f"{min(address for _, address in sections):#018x} {name}")
        elif verb == "sections" and rest:
            with open(rest, "w", encoding="utf-8") as file:
                for address, name, section in self.cells.all_sections:
                    file.write(f"{address:x} {name} {section}\n")
        else:
            raise gdb.GdbError("usage: theoris attach BUILD TARGET | theoris cells"
                               " | theoris sections FILE")

    def attach(self, build, target):
        self.cells.build = os.path.abspath(build)
        gdb.execute("set confirm off")
        gdb.execute("set breakpoint pending on")
        gdb.execute("set architecture i386:x86-64", to_string=True)
        gdb.execute(f"directory {ROOT}", to_string=True)
        self.cells.add_static()
        gdb.execute(f"target remote {target}")
        Announcement(self.cells)


Theoris()
