/* SPDX-License-Identifier: MIT */
/* What the Linux module zstd_compress imports and no cell defines; it is linked, never run. */
#include "cell.h"

CELL(library, "1.0.0");

#define STUB(name)            \
    CELL_API void name(void); \
    void name(void)           \
    {                         \
    }

STUB(FSE_readNCount)
STUB(HUF_readStats)
STUB(ZSTD_customCalloc)
STUB(ZSTD_customFree)
STUB(ZSTD_customMalloc)
STUB(__fentry__)
STUB(__stack_chk_fail)
STUB(__x86_indirect_thunk_r11)
STUB(__x86_indirect_thunk_rax)
STUB(__x86_return_thunk)
STUB(xxh64)
STUB(xxh64_digest)
STUB(xxh64_reset)
STUB(xxh64_update)
