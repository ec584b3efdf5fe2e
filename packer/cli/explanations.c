/* SPDX-License-Identifier: MIT */
#include "explanations.h"

#define EXPLAIN(code, ...) static const struct explanation explain_##code = {__VA_ARGS__}

/* ---- 01xx: an object file by itself ---- */

EXPLAIN(DIAG_ELF_TRUNCATED,
        "A header or table of the file announces more bytes than the file has. The offset is where "
        "the structure starts; `expected` is how long it is, `found` how long the file is.",
        "The file was cut while it was copied or written, or a full disk ended it.",
        "Build the file again; compare its size with the original.",
        "head -c 100 heap.cell > cut.cell; cellpack info cut.cell");
EXPLAIN(DIAG_ELF_MAGIC,
        "The file does not begin with the four bytes 7f 45 4c 46, so it is not an ELF file at all.",
        "A source file, an archive or an empty file was named where an object is expected.",
        "Look what it is with file(1) and name the object instead.",
        "cellpack pack -o cells.a heap.c     # wrong: heap.cell is meant");
EXPLAIN(DIAG_ELF_CLASS, "The file is an ELF file for 32-bit machines. Cells are ELF64.",
        "The compiler was called with -m32.",
        "Compile with `cellpack compile`, which chooses the flags.",
        "readelf -h file.o | grep Class");
EXPLAIN(DIAG_ELF_ENCODING,
        "The numbers of this file are stored with the most significant byte first. x86-64 objects "
        "are little-endian.",
        "The object was made for another machine.", "Compile it for x86-64.",
        "readelf -h file.o | grep Data");
EXPLAIN(DIAG_ELF_VERSION,
        "The file states a version of ELF other than 1, the only one that there is.",
        "The header is damaged.", "Build the file again.", "readelf -h file.o | grep Version");
EXPLAIN(DIAG_ELF_ABI,
        "The file is marked for an operating system whose extensions our linker does not know. "
        "System V and GNU are accepted.",
        "The object comes from a compiler for another system.",
        "Compile it with `cellpack compile`.", "readelf -h file.o | grep ABI");
EXPLAIN(
    DIAG_ELF_TYPE,
    "A cell is a relocatable object (ET_REL, what `gcc -c` writes). This file is an executable, "
    "a shared library or a core dump, which has lost what linking needs.",
    "The compiler was called without -c, or the wrong file was named.", "Name the object file.",
    "cellpack info /bin/ls               # refused: an executable");
EXPLAIN(DIAG_ELF_MACHINE, "The object holds code for another processor.",
        "A cross compiler was used, or the object was built on another machine.",
        "Compile it for x86-64.", "readelf -h file.o | grep Machine");
EXPLAIN(DIAG_ELF_HEADER_SIZE,
        "The header states sizes of itself or of its table entries that ELF64 does not have.",
        "The header is damaged, or the program that wrote it has a defect.",
        "Build the file again; compare with readelf -h.", "readelf -h file.o | grep Size");
EXPLAIN(DIAG_ELF_NO_SECTIONS,
        "The object has no section table. Without sections there is nothing to link.",
        "The table was stripped (`strip --strip-section-headers`), or the header is damaged.",
        "Build the object again and do not strip it; cellpack drops what is not needed.",
        "readelf -S file.o");
EXPLAIN(DIAG_ELF_EXTENDED_INDEX,
        "The object has more sections than a 16-bit index can number (65,279) and uses the "
        "extension of ELF for that, which the kernel's reader leaves out: no cell comes close.",
        "Many large sources were joined into one cell.", "Divide it into several cells.",
        "readelf -h file.o | grep 'Number of section'");
EXPLAIN(DIAG_ELF_SECTION_NAMES,
        "The table that holds the sections' names is missing, is not a string table, or does not "
        "end in a NUL byte.",
        "The file is damaged, or it was written by a program with a defect.",
        "Build the file again.", "readelf -p .shstrtab file.o");
EXPLAIN(DIAG_ELF_NAME,
        "A section or symbol states a name that would start behind the end of its string table.",
        "The file is damaged.", "Build the file again.", "readelf -sW file.o");
EXPLAIN(
    DIAG_ELF_SECTION_BOUNDS,
    "A section's bytes would lie outside the file. `expected` is the file's size, `found` where "
    "the section would end.",
    "The file was cut, or its section table is damaged.",
    "Build the file again; compare its size with the original.", "readelf -SW file.o");
EXPLAIN(DIAG_ELF_ALIGNMENT,
        "A section wants an alignment that is not a power of two, or one above 4096. Cells are "
        "placed at pages, so more than a page cannot be promised.",
        "A variable is declared with aligned(n) and a large n.",
        "Ask for at most 4096, or allocate the memory at run time.",
        "static char table[8192] ALIGNED(8192);     /* refused */");
EXPLAIN(DIAG_ELF_SECTION_TYPE,
        "A section that would have to be loaded is of a type that the loader does not know.",
        "Assembly names a section type, or the object comes from a compiler with extensions.",
        "Use @progbits or @nobits in .section lines.", ".section .text.f, \"ax\", @progbits");
EXPLAIN(DIAG_ELF_SECTION_LINK,
        "A section refers to another one (its symbol table, its strings, the section that it "
        "relocates) that does not exist or is of the wrong type.",
        "The section table is damaged, or a tool renumbered sections without all references.",
        "Build the object again.", "readelf -SW file.o      # columns Lk and Inf");
EXPLAIN(DIAG_ELF_ENTRY_SIZE,
        "A table's size is not a multiple of the size of its entries, or it states another entry "
        "size than ELF64 has.",
        "The section table is damaged.", "Build the object again.",
        "readelf -SW file.o      # columns Size and ES");
EXPLAIN(DIAG_ELF_SYMBOL_TABLE,
        "The object has two symbol tables. The gABI allows one, and relocations must name it.",
        "Objects were joined by something other than `ld -r`.",
        "Give all sources to one `cellpack compile` call; it joins them.",
        "cellpack compile --name a --summary \"an A\" -o a.cell a.c b.S");
EXPLAIN(
    DIAG_ELF_SYMBOL_ORDER,
    "Local symbols must come before all others, and sh_info of the symbol table tells where the "
    "others begin (ELF gABI, Symbol Table). Here a symbol is on the wrong side.",
    "A tool changed the binding of symbols without sorting them again.",
    "Build the object again; hide symbols in the source, not with objcopy.",
    "readelf -sW file.o      # column Bind");
EXPLAIN(DIAG_ELF_SYMBOL_SECTION, "A symbol is defined in a section that does not exist.",
        "The symbol table is damaged.", "Build the object again.",
        "readelf -sW file.o      # column Ndx");
EXPLAIN(DIAG_ELF_SYMBOL_BOUNDS,
        "A symbol starts or ends outside of its section. `expected` is the section's size.",
        "In assembly, a .size line computes the wrong size, or stands in another section.",
        "Correct the .size line; it belongs directly behind the function.",
        "        .size start, . - start");
EXPLAIN(
    DIAG_ELF_SYMBOL_TYPE,
    "A symbol is of a type that our linker does not implement, for example an indirect function "
    "(STT_GNU_IFUNC), whose address a program chooses when it starts.",
    "The source uses the attribute `ifunc`, or a type of another system.",
    "Use a function pointer that is set at initialisation.",
    "readelf -sW file.o      # column Type");
EXPLAIN(DIAG_ELF_SYMBOL_BINDING, "A symbol is neither local, global nor weak.",
        "C++ code for GNU systems makes unique symbols (STB_GNU_UNIQUE).", "Write the cell in C.",
        "readelf -sW file.o      # column Bind");
EXPLAIN(DIAG_ELF_COMMON,
        "A variable was left `common`: several files may define it and a static linker chooses the "
        "size. In a cell, each variable belongs to one file.",
        "The object was compiled with -fcommon, or assembly uses .comm.",
        "Compile with `cellpack compile`; in assembly, define it in .bss with a size.",
        ".comm buffer, 64        # refused");
EXPLAIN(
    DIAG_ELF_TLS,
    "The object has thread-local variables. The run-time linker implements none of the models of "
    "thread-local storage: tasks own their state through the structures that they are given.",
    "A variable is declared __thread or _Thread_local.",
    "Keep the state in a structure that is passed to the functions.",
    "static __thread int depth;      /* refused */");
EXPLAIN(DIAG_ELF_WRITE_EXEC,
        "A section is writable and executable at once. Pages are either, never both.",
        "Assembly names a section with the flags \"awx\".",
        "Put code and variables into sections of their own.", ".section .text.f, \"ax\"");
EXPLAIN(DIAG_ELF_RELOCATION_FORM,
        "The relocations have no addends of their own (SHT_REL). x86-64 uses SHT_RELA only.",
        "The object was written by a tool for 32-bit machines.", "Compile with `cellpack compile`.",
        "readelf -SW file.o | grep REL");
EXPLAIN(DIAG_ELF_COMPRESSED,
        "A section that would be loaded is compressed. Loaded sections are used where they lie.",
        "A tool compressed all sections, not only those for the debugger.",
        "Build the object again without compression.",
        "objcopy --decompress-debug-sections file.o");
EXPLAIN(
    DIAG_ELF_LIMIT,
    "A number in the object is beyond what the format or the loader can hold. `expected` is the "
    "limit.",
    "A section of 1 GiB or more: all cells together have 2 GiB of addresses.",
    "Allocate large memory at run time.", "static char buffer[2ul << 30];      /* refused */");
EXPLAIN(DIAG_CELL_INFO,
        "Each cell carries the note .cell.info: NUL-terminated strings `key=value`, the first of "
        "which is `format=1`, with name, version, kind and summary. This one lacks a field, states "
        "one twice, or there is no note.",
        "The object was not built by `cellpack compile`, or the note was written by hand.",
        "Build the cell with cellpack and state it by one CELL() line.",
        "CELL(library, \"1.0.0\");");
EXPLAIN(
    DIAG_CELL_UNWIND,
    "The note .cell.unwind, which finds the unwind entry of an address at run time, is malformed "
    "or does not fit .eh_frame.",
    "The object was changed after `cellpack compile` had written it.", "Build the cell again.",
    "readelf -x .cell.unwind heap.cell");
EXPLAIN(DIAG_CELL_NAME,
        "A member of the archive is named for another cell than its note states. The kernel finds "
        "cells by member and by note, so both must agree.",
        "A member was renamed, or put into the archive by ar(1).",
        "Make the archive with `cellpack pack`, which names the members.",
        "cellpack pack -o cells.a *.cell");
EXPLAIN(DIAG_CELL_TRANSFER,
        "The note .cell.transfer says which function fills a static variable from that of an older "
        "version. A record is cut off, of an unknown format, or names a variable or function that "
        "the cell does not have, has twice, or has in another size.",
        "The variable is never used, so the compiler left it out; or two sources of the cell have "
        "static ones of this name.",
        "Use the variable, or give it a name of its own.",
        "CELL_TRANSFER(old_queue, queue, widen);");
EXPLAIN(
    DIAG_CELL_ABI,
    "The section .cell.abi, in which a cell states the signatures of what it exports and imports, "
    "is damaged or of a version that the reader does not know.",
    "The cell was changed behind cellpack's back, or made by a newer one.",
    "Build the cell again, with this cellpack.", "cellpack abi heap");

/* ---- 02xx: laying out and linking ---- */

EXPLAIN(DIAG_LINK_SYMBOL_INDEX,
        "A relocation names a symbol by a number that is beyond the symbol table.",
        "Symbols were removed from the object and relocations were not renumbered.",
        "Build the cell again; do not strip it, cellpack has removed what can go.",
        "readelf -rW file.cell");
EXPLAIN(DIAG_LINK_OFFSET, "A relocation would write outside of its section.",
        "The object is damaged.", "Build the cell again.", "readelf -rW file.cell");
EXPLAIN(
    DIAG_LINK_RELOCATION_TYPE,
    "The relocation's type belongs to another code model: position-independent code, tables of "
    "addresses (GOT) or thread-local storage. Cells use R_X86_64_64, PC32, PLT32, 32, 32S, PC64.",
    "The object was compiled with -fpic or for user space.",
    "Compile with `cellpack compile`, which sets -fno-pic -mcmodel=kernel.",
    "R_X86_64_GOTPCREL comes from: gcc -fpic -c f.c");
EXPLAIN(
    DIAG_LINK_OVERFLOW,
    "The address that a relocation computes does not fit its field. `expected` and `found` show "
    "what fits and what was computed. All code lies in the top 2 GiB, where 32 bits suffice.",
    "A constant offset is added that leads out of the 2 GiB, or the object was compiled for "
    "another code model.",
    "Look at the source line with `cellpack why --precise`; compute far addresses at run time.",
    "return &table[1ull << 33];      /* overflows R_X86_64_32S */");
EXPLAIN(DIAG_LINK_MISSING_SYMBOL,
        "A cell uses a function or variable that no cell of the archive exports.",
        "The header lacks CELL_API, the cell that defines it is not in the archive, or its name is "
        "misspelt.",
        "Ask who defines it: `cellpack sym NAME`. What a header does not mark with CELL_API cannot "
        "be named from another cell.",
        "CELL_API void heap_free(void *memory);");
EXPLAIN(DIAG_LINK_DUPLICATE_SYMBOL,
        "Two loaded cells export the same name, so nobody could say which one is meant.",
        "Two cells implement one interface and both are demanded, or a name is too general.",
        "Load one of the implementations, or give the symbol its cell's prefix.",
        "cellpack sym scheduler_pick");
EXPLAIN(DIAG_LINK_NOT_LOADED,
        "Code or data refers to a section that is not loaded, a note or debug section for example.",
        "A variable was placed into a section without the flag SHF_ALLOC.",
        "Place it into an allocated section: .section with the flag \"a\".",
        ".section .notes, \"a\"");
EXPLAIN(DIAG_LINK_DUPLICATE_CELL, "A cell of this name is loaded already.",
        "The archive holds it twice, or it was asked for by name a second time.",
        "Replace a running cell by a swap, not by loading it again.", "cellpack ls");
EXPLAIN(DIAG_LINK_DEPTH,
        "To load one cell, more other cells would have to be loaded with it than a load may hold.",
        "A cell at the top needs the whole system below it, and nothing of that is loaded yet.",
        "Load a cell further down first; look at the chain with `cellpack tree`.",
        "cellpack tree shell --depth 3");
EXPLAIN(DIAG_LINK_MEMORY,
        "There is not enough memory, or not enough room in the top 2 GiB, for the cell.",
        "The machine has little memory, or something does not give its memory back.",
        "Look at the sizes with `cellpack size`; give the machine more memory.", "cellpack size");
EXPLAIN(DIAG_LINK_IMAGE,
        "The nano_core carries static copies of some cells. Their bytes in memory differ from the "
        "cell in the archive plus its relocations, so the copies cannot be adopted.",
        "nano_core and cells.a come from different builds, or memory was overwritten during boot.",
        "Build the image as a whole.",
        "cellpack image -o theoris.iso --nano-core nano_core --cells cells.a");
EXPLAIN(
    DIAG_LINK_ENTRIES,
    "Functions whose address is taken get an entry of 8 bytes that stays the same when the cell "
    "is swapped. The room for entries is full.",
    "Very many functions are used through pointers.",
    "Call directly where it is known which function is meant.", "cellpack info heap");
EXPLAIN(DIAG_LINK_CELL, "The archive has no cell of this name.",
        "The name is misspelt, or the cell is not part of this build.",
        "List the cells with `cellpack ls`.", "cellpack ls | grep heap");
EXPLAIN(DIAG_LINK_HELD,
        "Somebody has said that he needs the cell as it is, or a task runs in it. The symbol names "
        "the last one who said so, or a task; `found` says how many there are.",
        "The cell was to be unloaded while a task runs in it.",
        "Let those end, or drop their references, first.", "cellpack explain C0214");
EXPLAIN(DIAG_LINK_NEEDED,
        "A relocation of another cell, which the symbol names, leads into the cell.",
        "The cell was to be unloaded before those that need it.", "Unload the other cell first.",
        "cellpack deps heap");
EXPLAIN(
    DIAG_LINK_SIGNATURE,
    "A cell imports a symbol, and declares it otherwise than the cell that exports it: another "
    "result, "
    "another parameter, another type of a variable. The message names the first one that differs, "
    "on both "
    "sides. A call would pass what the other side does not expect, so the cells are not linked.",
    "One of the two was built with an older header.", "Build both from the same headers.",
    "cellpack abi diff old/cells.a new/cells.a");
EXPLAIN(DIAG_LINK_TYPE,
        "Two cells that are to be linked know a structure, union or enumeration of the same name "
        "in different "
        "layouts, and one of the symbols between cells leads to it. The message names the first "
        "field that "
        "differs. What one of them writes the other would misread.",
        "One of the two was built with an older header, or two headers use the same name.",
        "Build both from the same headers; give types the prefix of their cell.",
        "cellpack type 'struct task' --known-by");

/* ---- 03xx: archives ---- */

EXPLAIN(DIAG_SWAP_CELL, "A swap is to replace a cell that is not loaded, or not in that namespace.",
        "The name is misspelt, or the cell was never asked for.",
        "Load it first, or swap what is there: `cells` lists it.", "cellpack ls");
EXPLAIN(
    DIAG_SWAP_PAIRS,
    "A swap is a list of pairs, old cell and new cell. It is empty or too long, or a pair names "
    "neither, or a new cell that was not loaded under that name.",
    "The manifest is damaged, or was written by hand.", "Let cellpack write it.",
    "cellpack diff OLD NEW -o evolution");
EXPLAIN(
    DIAG_SWAP_LAYOUT,
    "A static variable, or a type that both versions of a cell know, is laid out differently in "
    "the new version. Its value cannot stay where it is.",
    "A field was added, removed or changed.",
    "Write a function that makes the new variable from the old one, and name it with "
    "CELL_TRANSFER(); or say CELL_FRESH() if the initial value will do.",
    "cellpack diff OLD NEW -o evolution");
EXPLAIN(
    DIAG_SWAP_AMBIGUOUS,
    "A cell has several static variables of this name, in functions or files of their own, and not "
    "as many in both versions, so nobody knows which is which.",
    "Functions were added that call a static variable as others do.", "Give it another name.",
    "nm heap.cell");
EXPLAIN(DIAG_SWAP_MISSING,
        "A cell that stays uses a symbol of an old cell, and the new cells do not define it, or as "
        "something else. Expected and found are the types of the symbol.",
        "A function was renamed or removed, but one of its users is not part of the swap.",
        "Swap the users too: cellpack finds out which.", "cellpack diff OLD NEW -o evolution");
EXPLAIN(
    DIAG_SWAP_SIGNATURE,
    "A new cell and another one do not agree about a symbol, or a type that leads from one to the "
    "other. The message names the first part that differs, on both sides.",
    "A parameter or a field has changed, and one side is not part of the swap.",
    "Swap both sides together: cellpack finds out which.", "cellpack diff OLD NEW -o evolution");
EXPLAIN(DIAG_SWAP_FRAMES,
        "The swap changes what functions on some stack rely on. The symbol names the task, the "
        "section its frame is in, and `found` is the task's number.",
        "The task waits in the middle of a function of an old cell.",
        "Wait longer, or end the task; or do without the change of layout.",
        "cellpack explain C0707");
EXPLAIN(DIAG_SWAP_HELD,
        "An old cell goes without a successor, but somebody has said that he needs it.",
        "A pair of the swap has no new cell, and a task or the shell holds the old one.",
        "Name a successor, or let the holder drop it first.", "cellpack explain C0214");
EXPLAIN(DIAG_SWAP_MEMORY, "There is not enough memory for the new cells beside the old ones.",
        "The machine has little memory, or something does not give its memory back.",
        "Swap fewer cells at once, or give the machine more memory.", "cellpack size");
EXPLAIN(DIAG_SWAP_BYTES,
        "Text or constants in memory are not what the linker wrote there, so nobody can say what a "
        "patch would do.",
        "Memory was overwritten: a faulty device, or a wild store while pages were writable.",
        "Reload the cell from the archive.", "cellpack explain C0211");
EXPLAIN(
    DIAG_SWAP_TRANSFER,
    "A CELL_TRANSFER() line of a new cell names an old variable that the cells which it replaces "
    "do not have, or have more than once.",
    "The line was written for another version.", "Correct the line, or drop it.", "nm heap.cell");
EXPLAIN(DIAG_SWAP_TRANSFER_FAILED,
        "A function of transfer returned an error or faulted. The swap was taken back.",
        "It does not know this older version, or its input surprises it.",
        "Test the function on the host with the values that it was given.",
        "cellpack explain C0703");
EXPLAIN(DIAG_SWAP_UNKNOWN, "A swap can be taken back as long as it is remembered, and only once.",
        "The number is wrong, or many swaps came after it.",
        "Swap the old cells in as if they were new.", "cellpack ls");
EXPLAIN(DIAG_SWAP_STOP, "Another CPU did not stand still within the time for that. All go on.",
        "It has had its interrupts disabled for seconds.", "Find out what it does: `tasks`.",
        "cellpack explain C0714");
EXPLAIN(DIAG_SWAP_STEP, "A test let this step of a swap fail. All was taken back.",
        "The request says so.", "Nothing.", "cellpack explain C0715");
EXPLAIN(
    DIAG_SWAP_HOOK,
    "Who asked for the swap carries something over by a function of its own, and that one failed.",
    "There was no memory in `prepare`, or in `transfer` things were not as they had been, or it "
    "took "
    "too long (ERR_TIMEOUT).",
    "Try again; the status says why it failed.", "cellpack explain C0716");
EXPLAIN(
    DIAG_SWAP_TRANSFER_LIMIT,
    "A function of transfer took longer than it may with all CPUs stopped: `found` nanoseconds. It "
    "was ended, and the swap was taken back. 0: it was not begun, for the CPU's timer, which would "
    "have ended it, could not be had.",
    "It loops, or it does in the window what could be done before.",
    "Test the function on the host with the values that it was given.", "cellpack explain C0703");
EXPLAIN(DIAG_ARCHIVE_MAGIC,
        "The file does not begin with \"!<arch>\" and a newline, so it is not an archive.",
        "A single cell or another file was named where an archive is expected.",
        "Make an archive: `cellpack pack`.", "cellpack pack -o cells.a heap.cell");
EXPLAIN(
    DIAG_ARCHIVE_HEADER,
    "The 60 bytes in front of a member do not end in a back quote and a newline, or its size is "
    "not a decimal number.",
    "The archive is damaged, or the member before it states a wrong size.",
    "Make the archive again.", "ar t cells.a");
EXPLAIN(DIAG_ARCHIVE_TRUNCATED, "A member announces more bytes than the file has left.",
        "The archive was cut, by a full disk or while it was copied.", "Make the archive again.",
        "ar tv cells.a");
EXPLAIN(
    DIAG_ARCHIVE_NAME,
    "A member's name is empty, too long for a cell, or refers to a place outside of the table of "
    "long names.",
    "Files that are not cells were added with ar(1).", "Make the archive with `cellpack pack`.",
    "ar t cells.a");
EXPLAIN(DIAG_ARCHIVE_INDEX,
        "The first member of the archive must be the symbol index, by which the loader finds the "
        "cell that defines a symbol. It is missing, too short, or names places that do not exist.",
        "The archive was made with `ar qS`, or by a tool for another format of archives.",
        "Make the archive with `cellpack pack`; `ranlib` makes an index too.", "nm -s cells.a");
EXPLAIN(DIAG_ARCHIVE_ABSENT,
        "The system was started without an archive of cells, so nothing can be loaded.",
        "The boot loader's configuration lacks the line `module2 /boot/cells.a cells.a`.",
        "Make the image with `cellpack image`.",
        "cellpack image -o theoris.iso --nano-core nano_core --cells cells.a");

/* ---- 04xx: the packer ---- */

EXPLAIN(PROBLEM_USAGE,
        "A verb, option or value is not one that cellpack knows, or something is missing. The exit "
        "code is 2.",
        "A typing error, or an option of another verb.",
        "Each verb has a short help with two examples.", "cellpack compile --help");
EXPLAIN(PROBLEM_MEMORY, "The host has no memory left for what cellpack is building.",
        "A very large input, or a limit such as `ulimit -v`.",
        "Raise the limit, or divide the input.", "ulimit -a");
EXPLAIN(PROBLEM_FILE_READ,
        "A file that is needed cannot be opened or read. `because` has the system's reason.",
        "The path is wrong, a folder was named, or permissions are missing.",
        "Look at the path; in a build tree, build first.", "ls -l build/release/cells.a");
EXPLAIN(PROBLEM_FILE_WRITE,
        "An output cannot be written. Files are written under another name first and then renamed, "
        "so an older file of that name is whole.",
        "The folder does not exist, is not writable, or the disk is full.",
        "Make the folder; look at the free space with df(1).",
        "mkdir -p build && cellpack pack -o build/cells.a *.cell");
EXPLAIN(
    PROBLEM_TOOL_MISSING,
    "cellpack calls gcc, ld, grub-mkimage, mtools and xorriso for parts of the work. One of them "
    "is not in PATH.",
    "The package is not installed.", "`help:` names the Debian package.",
    "apt-get install xorriso");
EXPLAIN(PROBLEM_TOOL_FAILED,
        "A program that cellpack called ended with an error. Its own message stands above ours.",
        "Usually an error in the source that gcc reports with file and line.",
        "Correct what the message above says.", "heap.c:12:5: error: unused variable 'size'");
EXPLAIN(PROBLEM_OBJECT_SECTION,
        "The compiler's object has something that a cell cannot have: a section in a COMDAT group, "
        "a reference from code into debug information, or too many sections.",
        "C++ code, link-time optimisation, or hand-written section attributes.",
        "Write the cell in C, without -flto; use the base macros for sections.",
        "readelf -SW file.o; readelf -gW file.o");
EXPLAIN(
    PROBLEM_UNWIND_FRAME,
    "The table .eh_frame, from which the unwinder learns how to leave a function, cannot be read. "
    "The offset says where.",
    "Hand-written .eh_frame data; the assembler's .cfi_* lines make correct ones.",
    "Use .cfi_startproc, .cfi_endproc and what lies between.", "readelf -wf file.o");
EXPLAIN(PROBLEM_UNWIND_TARGET,
        "An unwind entry describes code that is not in this cell, ends behind its section, or the "
        "same code as another entry.",
        "A .cfi_startproc in one section and its .cfi_endproc in another.",
        "Keep each function with its .cfi_* lines in one section.",
        "readelf -wf file.o | grep FDE");
EXPLAIN(
    PROBLEM_OBJECT_HIDDEN,
    "A symbol is declared with hidden visibility, so only its own cell may define it, and it "
    "does not.",
    "A source file is missing in the call, or the declaration is meant for another cell's symbol.",
    "Add the source; or mark the declaration with CELL_API.",
    "CELL_API void heap_free(void *memory);");
EXPLAIN(PROBLEM_CELL_NOTE_COUNT,
        "Each cell says once what it is, in one of its C files. This one says nothing, or says it "
        "several times.",
        "The line was forgotten, or two files of one cell have it.",
        "Put the line behind the includes of the main file.", "CELL(library, \"1.0.0\");");
EXPLAIN(PROBLEM_CELL_NOTE_FIELD, "The CELL() line names a kind that does not exist.",
        "A typing error. Kinds are library, driver, application and core.",
        "Choose the kind: cell.h says what each means.", "CELL(driver, \"1.0.0\");");
EXPLAIN(PROBLEM_CELL_NOTE_NAME,
        "The note in the object names another cell or interface than the build asked for.",
        "The source defines CELL_NAME or CELL_INTERFACE itself.",
        "Leave both to the build, which passes them with -D.",
        "cellpack compile --name heap --interface allocator ...");
EXPLAIN(
    PROBLEM_CELL_BAD_NAME,
    "A cell's name is also a file name, the prefix of its symbols and a word in commands: up to "
    "39 lower case letters, digits and underscores, a letter first.",
    "A hyphen or a capital letter.", "Rename it, folder included.",
    "frame_allocator, not FrameAllocator or frame-allocator");
EXPLAIN(PROBLEM_ABI_CONFLICT,
        "Two sources of one cell declare the same symbol with different types, or lay out a "
        "structure, union or "
        "enumeration of one name differently. One fingerprint of the cell cannot say both.",
        "A declaration was copied into a source instead of included, or two sources use one name "
        "for two things.",
        "Include the header on both sides; rename one of the two types.", "cellpack abi heap");
EXPLAIN(PROBLEM_PACK_TWICE, "Two files given to `pack` are cells of the same name.",
        "An old file lies beside the new one, or a file was named twice.",
        "Remove one of the two that `because` names.", "cellpack pack -o cells.a build/*.cell");
EXPLAIN(
    PROBLEM_PACK_DUPLICATE,
    "Two cells export the same symbol, and they do not implement the same interface. Loading by "
    "symbol could not say which one is meant.",
    "A helper was exported that should be static, or a name has no prefix of its cell.",
    "Remove CELL_API from one, or rename it. Cells that implement one interface state it by "
    "INTERFACE in add_cell().",
    "add_cell(scheduler_priority SUMMARY \"...\" INTERFACE scheduler)");
EXPLAIN(PROBLEM_PACK_LIMIT,
        "The symbol index stores offsets in 32 bits, so an archive ends at 4 GiB.",
        "Very large cells.", "Move large data out of the cells.", "cellpack size");
EXPLAIN(PROBLEM_PACK_FIRST,
        "--first says which implementation of an interface is the default, by the name of a cell. "
        "No cell of that name was given.",
        "The name of the interface in place of the cell's, or a cell that is not built.",
        "Name one of the cells on the command line.",
        "cellpack pack -o cells.a --first heap_safe build/cells/*.cell");
EXPLAIN(PROBLEM_IMAGE_PLATFORM,
        "The image boots with BIOS and with UEFI, and needs the modules of both GRUB platforms.",
        "One of Debian's two packages is not installed.",
        "Install what `help:` names, or name the folder of the platforms with --grub.",
        "apt-get install grub-pc-bin grub-efi-amd64-bin");
EXPLAIN(
    PROBLEM_IMAGE_KERNEL,
    "GRUB starts files that have a Multiboot2 header in their first 32 KiB, 8-byte aligned, with "
    "a checksum. This file has none.",
    "Another file than the nano_core was named, or the header is not in its first section.",
    "Link the nano_core with `cellpack link`.",
    "grub-file --is-x86-multiboot2 nano_core && echo good");
EXPLAIN(
    PROBLEM_IMAGE_OPTION,
    "The boot command line is stored in a script of GRUB, which would change some characters, or "
    "SOURCE_DATE_EPOCH is not a number of seconds.",
    "Characters such as $ ; { } \\ or a newline.",
    "Use letters, digits, spaces, double quotes and _=.,:/+@%-.",
    "cellpack image --cmdline 'app=hello log=debug' ...");
EXPLAIN(
    PROBLEM_LINK_REQUEST,
    "The static nano_core cannot be linked as asked: addresses must be multiples of the page "
    "size, the image must fit the top 2 GiB, and the entry must be a symbol of one of its cells.",
    "A typing error in --base, --physical or --entry.", "Compare with the call in the build.",
    "cellpack help link");
EXPLAIN(PROBLEM_UNKNOWN_CODE, "cellpack has no error of this number.",
        "A typing error; codes have four digits behind the C.",
        "List all codes: `cellpack explain`.", "cellpack explain C0142");
EXPLAIN(PROBLEM_UNKNOWN_CELL, "No cell of the archive has this name.",
        "A typing error, or an archive of another build.",
        "List the cells: `cellpack ls`; name the archive with --cells.",
        "cellpack ls --cells build/release/cells.a");
EXPLAIN(PROBLEM_UNKNOWN_SYMBOL, "No cell of the archive defines or uses this name.",
        "A typing error, or a static function that the compiler has inlined.",
        "Look for parts of the name with nm(1).", "nm cells.a | grep allocate");
EXPLAIN(PROBLEM_UNKNOWN_TYPE,
        "`cellpack type` looks among the structures, unions and enumerations that exports, imports "
        "and static variables "
        "of the cells lead to. None of them has this name.",
        "A typing error, a typedef (name the structure behind it), or a type that one function "
        "keeps to itself.",
        "See which types a cell mentions.", "cellpack abi task");
EXPLAIN(PROBLEM_NO_CELLS,
        "The verb reads an archive of cells, none was named, and none lies where builds put it.",
        "The command was run outside of the source folder, or nothing is built yet.",
        "Name it with --cells, or set CELLPACK_CELLS.",
        "export CELLPACK_CELLS=$PWD/build/release/cells.a");

/* ---- 05xx: the rules of a bundle (cellpack check) ---- */

EXPLAIN(PROBLEM_CHECK_PREFIX,
        "Cells share one space of names. What a cell exports begins with its name, or with that of "
        "the interface that it implements, so that a name says where it comes from and two cells "
        "never meet. A cell that exports X_drop may export more functions of the handle X. Only "
        "the memory functions that GCC itself calls are free of this.",
        "A helper was marked CELL_API, or the cell was renamed and its symbols were not.",
        "Rename the symbol, or make it static.", "cellpack sym take_range   ->  heap_take_range");
EXPLAIN(PROBLEM_CHECK_HIDDEN,
        "The symbol exists, but its header does not mark it CELL_API, so it is local to its cell "
        "and no other cell can name it. The kernel would refuse to load the cell that needs it.",
        "A function of another cell's private header is called, or CELL_API was forgotten.",
        "Mark the declaration with CELL_API if it belongs to the contract; else do not call it.",
        "CELL_API void heap_free(void *bytes);");
EXPLAIN(PROBLEM_CHECK_CYCLE,
        "Each cell of the circle needs the next one, so none can be loaded, tested or replaced "
        "without all the others: together they are one cell.",
        "A lower cell calls back into a higher one.",
        "See what causes each step with `cellpack why`; pass a function pointer down, or move what "
        "both need into a cell below.",
        "cellpack why logger console; cellpack why console logger");
EXPLAIN(PROBLEM_CHECK_UNWIND,
        "A fault in this function could not be traced back to its caller: no frame description "
        "entry covers its first byte.",
        "Assembly without .cfi_startproc and .cfi_endproc.",
        "Add these directives, and .cfi_* where the stack pointer moves.",
        ".cfi_startproc\\n  push %rbx\\n  .cfi_adjust_cfa_offset 8");
EXPLAIN(
    PROBLEM_CHECK_ROWS,
    "The table of unwind entries (.eh_frame) holds one that the kernel's unwinder cannot read, "
    "so a fault in that function could not be traced back.",
    "A .cfi_escape with wrong bytes, a .cfi_restore_state without its .cfi_remember_state, or an "
    "object of another compiler.",
    "Look at the entry with readelf --debug-dump=frames, and mend the directives.",
    "cellpack unwind heap");
EXPLAIN(
    PROBLEM_CHECK_STACK,
    "An instruction moves the stack pointer, and the unwind table goes on as if it had not, or "
    "the other way round. Between it and the next row every fault would be traced to a wrong "
    "caller, and recovery would release the wrong things.",
    "A push or pop in inline assembly, which the compiler does not know of; or a .cfi_* directive "
    "that is missing in an assembly file.",
    "Use registers instead of the stack, or a builtin (__builtin_ia32_readeflags_u64); in an "
    "assembly file add .cfi_adjust_cfa_offset.",
    "pushq %rbx\n.cfi_adjust_cfa_offset 8");
EXPLAIN(PROBLEM_CHECK_REALIGNED,
        "The function aligns its stack to more than 16 bytes. GCC's unwind table is wrong in the "
        "epilogue of such a function: it looks for registers by rbp when rbp has been restored.",
        "A local variable with an alignment of more than 16.",
        "Make the variable static, or allocate it.", "cellpack unwind heap");
EXPLAIN(PROBLEM_CHECK_STATE,
        "One loaded copy of an application runs any number of times at once. Static variables "
        "would be shared by all runs, and would keep values from one run to the next.",
        "A static or global variable that is not const.",
        "Keep the state on the stack or on the heap, or make the table const.",
        "cellpack spill hello");
EXPLAIN(PROBLEM_CHECK_APPLICATION,
        "An application is a leaf: it is loaded to be run, and unloaded afterwards. What another "
        "cell needs is a library.",
        "A useful function stands in an application.", "Move it into a library cell.",
        "cellpack tree -i hello");

EXPLAIN(
    PROBLEM_CHECK_OWNERSHIP,
    "Handles are owned by exactly one variable, and functions say in their prototypes whether "
    "they acquire, consume or borrow one. clang follows each handle through the source: it is "
    "used before it was acquired, after it was given away, or without testing the status; or a "
    "plain pointer is lost without a release. (Error messages of clang appear here too.)",
    "A status that is not tested at once, a move on one branch only, a contract that is missing "
    "in a prototype.",
    "Read the rules at the top of cells/base/own/own.h; the forms that the analysis does not "
    "understand are listed in docs/ownership.md.",
    "if (frame_allocator_take(1, 1, SLOT(frames)) != OK) { return ERR_NO_MEMORY; }");
EXPLAIN(PROBLEM_CHECK_LOCKS,
        "What a lock protects says so (OWN_GUARDED_BY), and a function says which locks it needs, "
        "takes or must not find taken. clang follows the locks through the source: something is "
        "used without its lock, or a lock is taken twice, released twice or not at all, or against "
        "the order.",
        "An access outside of the guard's block.",
        "Take a guard for as long as the data is used; docs/locking.md has the order.",
        "GUARD(spinlock, guard, &table->lock);");

EXPLAIN(
    PROBLEM_CHECK_RETURNED,
    "What a function returns is in a register until its caller has stored it. A fault or a kill at "
    "that moment finds the handle nowhere, and nobody releases it. A type is a handle if its cell "
    "has "
    "a drop function, X_drop(struct X **), and a lock, which may be returned, if it has "
    "X_lock(struct X *, struct X **) as well. Exported functions are looked at, and those whose "
    "address is taken; also structures with a handle in them.",
    "An acquisition that returns its result; or a function that only lends one, without const.",
    "Take the address of the caller's slot as the last parameter, and fill it last; return what is "
    "only lent as a pointer to const.",
    "enum status window_open(struct window **out) OWN_ACQUIRES(**out);\n"
    "    const struct window *window_of(const struct desk *desk);");
EXPLAIN(
    PROBLEM_CHECK_PLAIN,
    "A function acquires a handle by a plain pointer of its own. That may be released on each way "
    "out; but where a fault or a kill strikes, only slots are found and released. clang shows "
    "where "
    "handles are acquired, by functions that say so in their prototypes.",
    "A local variable struct X *x, and &x as the place to fill.",
    "Declare it with OWNED(X, x), and fill SLOT(x). Fields and static variables may own.",
    "OWNED(frames, frames);\n    if (frame_allocator_take(1, 1, SLOT(frames)) != OK) { .. }");

/* ---- 052x: what becomes of cells between two builds (cellpack diff) ---- */

EXPLAIN(
    PROBLEM_DIFF_TRANSFER,
    "When cells are swapped in a running system, a static variable of equal name and type stays "
    "where it is. This one's type has changed, so somebody must say how its value becomes one "
    "of the new type, or that it begins anew.",
    "A field was added to a structure that a variable holds.",
    "Write one of the two lines behind the variable's definition.",
    "CELL_TRANSFER(queue, queue, widen);\n    CELL_FRESH(statistics);");
EXPLAIN(PROBLEM_DIFF_NAME,
        "An option of `cellpack diff` names a cell that is not in the old build, not in the new "
        "one, or that was named already.",
        "A typing error, or the builds in the other order.", "List the cells of both builds.",
        "cellpack ls --cells old/cells.a");

/* ---- 06xx: tables of the firmware ---- */

EXPLAIN(DIAG_ACPI_TRUNCATED,
        "The firmware's table announces more bytes than it has: `expected` is where the structure "
        "ends, `found` where the table does. Nothing of the table is used.",
        "The firmware wrote a wrong length, of the table or of the entry at the offset.",
        "Look for an update of the firmware; the system goes on without the table.",
        "acpidump -b; iasl -d apic.dat       # on another system of the same machine");
EXPLAIN(DIAG_ACPI_SIGNATURE,
        "Each table begins with four characters that say which one it is, the root pointer with "
        "`RSD PTR `. Other characters were found.",
        "An address in the root table leads to something else, or the table was overwritten.",
        "See with the application `firmware` which address is meant.",
        "scripts/run --app firmware");
EXPLAIN(DIAG_ACPI_CHECKSUM,
        "All bytes of a table, added up, must give 0 in the lowest 8 bits. `found` is what they "
        "give. Nothing of the table is used: any of its bytes may be the wrong one.",
        "The firmware changed the table and forgot the checksum, or memory is damaged.",
        "Look for an update of the firmware; the system goes on without the table.",
        "scripts/run --app firmware");
EXPLAIN(DIAG_ACPI_LENGTH,
        "The length in the table's header cannot be: shorter than what every such table holds, "
        "longer than 4 MiB, or no multiple of its entries.",
        "The table is damaged, or the address leads to something else.",
        "See with the application `firmware` which address is meant.",
        "scripts/run --app firmware");
EXPLAIN(DIAG_ACPI_REVISION,
        "Revisions of tables count from 1, and the root pointer has 0 or 2. Larger numbers are "
        "accepted, for tables only grow.",
        "The table is damaged, or the address leads to something else.",
        "See with the application `firmware` which address is meant.",
        "scripts/run --app firmware");
EXPLAIN(DIAG_ACPI_ENTRY,
        "An entry of the MADT is shorter than its type needs, or so short that the next one could "
        "not be found. Without it the list has no meaning, so the table is refused: the system "
        "runs on one CPU.",
        "The firmware wrote a wrong length at the offset.", "Look for an update of the firmware.",
        "iasl -d apic.dat                    # shows the entries up to the bad one");
EXPLAIN(DIAG_ACPI_ADDRESS,
        "A table leads to an address that is 0, outside of its address space or not aligned as the "
        "device needs.",
        "The firmware left the field empty, or the table is damaged.",
        "Look for an update of the firmware; the system goes on without the table.",
        "scripts/run --app firmware");
EXPLAIN(DIAG_ACPI_VALUE,
        "A field holds a number that the specification reserves, or one that cannot be: another "
        "bus than ISA, an ISA interrupt above 15, a third local interrupt.",
        "The firmware wrote the field wrongly, or the table is damaged.",
        "Look for an update of the firmware; the system goes on without the table.",
        "iasl -d apic.dat");
EXPLAIN(DIAG_ACPI_TWICE,
        "Two entries of one table say different things of the same interrupt or the same range of "
        "interrupts; `expected` is the earlier one, `found` the later.",
        "The firmware put the table together from two sources.",
        "Look for an update of the firmware; the system goes on without the table.",
        "iasl -d apic.dat");
EXPLAIN(DIAG_ACPI_MEMORY,
        "The table lies where this system would keep data of its own: in memory that the boot "
        "loader's map calls usable, or that has an owner already.",
        "The memory map and the tables of the firmware contradict one another.",
        "Compare the address with the memory map.", "scripts/run --app 'firmware; machine'");
EXPLAIN(DIAG_ACPI_NO_ROOM, "A table is copied before it is checked; there was no memory for that.",
        "The machine has very little memory, or the table is very long.",
        "Give the machine more memory.", "scripts/run --memory 64 --app firmware");
EXPLAIN(DIAG_ACPI_ABSENT,
        "The boot loader handed over no root pointer, and none is where a BIOS would put it. The "
        "system runs on one CPU, without HPET, and cannot switch the machine off by itself.",
        "The machine has no ACPI, or it is switched off in the firmware's setup.",
        "Switch it on there.", "qemu-system-x86_64 -no-acpi ...      # has none");
EXPLAIN(DIAG_ACPI_CHANGED,
        "The table was good when the system started, and what is there now is good too, but it is "
        "another table.",
        "Firmware, or a program that wrote where it must not, replaced it.",
        "Start the machine again.", "scripts/run --app firmware");
EXPLAIN(DIAG_AML_ABSENT,
        "The values that switch the machine off stand in a package named _S5_ in the DSDT or an "
        "SSDT. None has it, so the machine cannot be switched off by ACPI.",
        "The firmware does not offer the state, or makes the package by a method; this system does "
        "not run methods.",
        "Switch the machine off by its button.", "iasl -d dsdt.dat; grep -n _S5 dsdt.dsl");
EXPLAIN(DIAG_AML_PACKAGE,
        "Something is named _S5_, but it is not a package, its length reaches beyond the table, or "
        "it holds fewer elements than it says.",
        "The table is damaged, or these bytes only look like a name.",
        "Switch the machine off by its button.", "iasl -d dsdt.dat; grep -n _S5 dsdt.dsl");
EXPLAIN(
    DIAG_AML_ELEMENT,
    "The first two elements of the package must be constants from 0 to 7, the type of sleep for "
    "either control register.",
    "The firmware computes them, or the table is damaged.", "Switch the machine off by its button.",
    "Name (_S5, Package () { 5, 5, 0, 0 })");
EXPLAIN(DIAG_AML_TWICE,
        "There are two packages of this name, and which one counts would be decided by running the "
        "code around them, which this system does not do.",
        "The firmware serves several machines with one table.",
        "Switch the machine off by its button.", "iasl -d dsdt.dat; grep -n _S5 dsdt.dsl");

/* ---- 08xx: evolutions ---- */

#define AN_EXAMPLE "cellpack diff old/cells.a new/cells.a -o evolution"

EXPLAIN(DIAG_EVOLUTION_FORMAT,
        "The first line of an evolution manifest is `theoris-evolution 1`. This one says something "
        "else.",
        "It is another file, or was made by a later cellpack.", "Make it with this cellpack.",
        AN_EXAMPLE);
EXPLAIN(DIAG_EVOLUTION_LINE,
        "A line has no known keyword, too many words or too few, two spaces in a row, or bytes "
        "that are not printable.",
        "The manifest was edited by hand, or damaged.", "Make it again.", AN_EXAMPLE);
EXPLAIN(DIAG_EVOLUTION_WORD,
        "A word is not what stands in its place: a name of a cell or symbol, a number, or a hash "
        "of 64 hexadecimal digits in lower case.",
        "The manifest was edited by hand, or damaged.", "Make it again.", AN_EXAMPLE);
EXPLAIN(DIAG_EVOLUTION_ORDER,
        "Sets are numbered from 1 on and come after earlier ones only; each has a cell; a line "
        "about a variable follows that of its cell; cells come from a bundle.",
        "The manifest was edited by hand, or damaged.", "Make it again.", AN_EXAMPLE);
EXPLAIN(DIAG_EVOLUTION_TWICE, "One cell is replaced, removed or added by two lines.",
        "Two manifests were joined.", "Carry out one evolution after the other.", AN_EXAMPLE);
EXPLAIN(DIAG_EVOLUTION_END, "The last line is `end`, and nothing stands behind it.",
        "The manifest was cut off on its way.", "Copy it again.", "tail -n 1 evolution");
EXPLAIN(DIAG_EVOLUTION_LIMIT,
        "A manifest has at most 512 lines about cells and 4,096 lines of up to 1,024 bytes.",
        "The two builds have nothing in common.", "Start the new build instead.", "scripts/run");
EXPLAIN(DIAG_EVOLUTION_CELL,
        "The manifest says by its hash which content the cell to be replaced has. The one that "
        "runs has another.",
        "The system was started from another build, or has evolved since.",
        "Compare with the build that runs.", "cellpack diff running/cells.a new/cells.a");
EXPLAIN(DIAG_EVOLUTION_BUNDLE,
        "The archive of new cells is not the one that was written with this manifest.",
        "Files of two evolutions were mixed up.", "Hand over both files of one evolution.",
        "b2sum -l 256 evolution.a");
EXPLAIN(DIAG_EVOLUTION_MEMBER,
        "A cell in the bundle is missing, or its content has another hash than the manifest says.",
        "The bundle was packed by hand.", "Make both again.", AN_EXAMPLE);
EXPLAIN(
    DIAG_EVOLUTION_TRANSFER,
    "The manifest says that a variable is filled by a function of the new cell, or begins anew. "
    "The cell has no such line.",
    "The manifest was edited by hand.", "Make it again.", AN_EXAMPLE);
EXPLAIN(DIAG_EVOLUTION_PRESENT,
        "The manifest adds a cell, and one of that name runs with another content.",
        "The system was started from another build.", "Compare with the build that runs.",
        "cellpack diff running/cells.a new/cells.a");
EXPLAIN(DIAG_EVOLUTION_NONE,
        "`evolve rollback` takes back the latest evolution that has swapped anything, each once.",
        "Nothing has evolved since the system was started, or all of it is taken back.",
        "Say `evolve` first.", AN_EXAMPLE);

/* ---- the table ---- */

#define DIAG_ENTRY(name, number, status, text)    {number, #name, text, &explain_DIAG_##name},
#define PROBLEM_ENTRY(name, number, status, text) {number, #name, text, &explain_PROBLEM_##name},

static const struct explained_code codes[] = {
    DIAG_CELL_TABLE(DIAG_ENTRY) PROBLEM_TABLE(PROBLEM_ENTRY) DIAG_FIRMWARE_TABLE(DIAG_ENTRY)
        DIAG_SWAP_TABLE(DIAG_ENTRY) DIAG_EVOLUTION_TABLE(DIAG_ENTRY){0, NULL, NULL, NULL}};

const struct explained_code *explained_codes(void)
{
    return codes;
}
