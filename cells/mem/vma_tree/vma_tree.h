/* SPDX-License-Identifier: MIT */
/*
 * vma_tree.h - the conventional way to keep mappings, to compare with.
 *
 * Why: in most systems the memory manager keeps a record of each mapping of each client (a *virtual
 * memory area*) in a tree, and the client holds an address. The tree is state that clients have
 * spilled into the server: to remap or unmap, the server must find, split and join its records.
 * This cell is that design, on the same frame allocator and page tables as mapped_pages, for the
 * benchmark map_bench and nothing else.
 *
 * Rules: one address space. Areas that touch and may be used alike are one record. Memory is there
 * when map returns and reads as zero. O(log areas) for each area that is touched. Any address may
 * be given: what is wrong is found out at run time. The caller serialises.
 */
#pragma once

#include "memory.h"
#include "status.h"

/* What all areas together can cover. */
#define VMA_TREE_BYTES (4ull << 30)

/* Takes the addresses for all areas. ERR_STATE when it has them, ERR_NO_ADDRESS_SPACE. */
CELL_API MUST_CHECK enum status vma_tree_init(void);

/* Unmaps everything and gives the addresses back. */
CELL_API void vma_tree_fini(void);

/*
 * Maps `bytes`, whole pages, at `hint` if there is room, else (or for hint 0) at the lowest address
 * where there is. `flags`: enum page_flags. ERR_INVALID_ARGUMENT, ERR_MISALIGNED, ERR_PERMISSION,
 * ERR_NO_ADDRESS_SPACE, ERR_NO_MEMORY, ERR_STATE.
 */
CELL_API MUST_CHECK enum status vma_tree_map(vaddr_t hint, uint64_t bytes, unsigned flags,
                                             vaddr_t *out_start);

/* Changes what may be done. ERR_NOT_FOUND when not all is mapped; errors as above. */
CELL_API MUST_CHECK enum status vma_tree_remap(vaddr_t start, uint64_t bytes, unsigned flags);

/* Ends all mappings in the range; holes in it are no error. */
CELL_API MUST_CHECK enum status vma_tree_unmap(vaddr_t start, uint64_t bytes);

/* The area that holds `address`. False when there is none. */
CELL_API bool vma_tree_find(vaddr_t address, vaddr_t *out_start, uint64_t *out_bytes,
                            unsigned *out_flags);

struct vma_tree_statistics {
    uint64_t areas;
    uint64_t area_bytes; /* what the record of one takes */
    uint64_t height;     /* of the tree */
};

CELL_API struct vma_tree_statistics vma_tree_statistics(void);

/* Are order, balance and gaps what they must be? O(areas); for tests. */
CELL_API bool vma_tree_is_whole(void);
