/* SPDX-License-Identifier: MIT */
/*
 * state_snapshot.h - all that a swap which fails must leave as it was, byte for byte.
 *
 * Why: "taken back" is the swap's main promise. The swap has a hash of its own for proofs; this is
 * the same question asked by somebody else, who does not know what a swap changes: copies of
 * everything that describes or belongs to the cells of a namespace, compared in place.
 *
 * Rules: one namespace; between taking and comparing nothing is loaded or unloaded. A difference
 * ends the test and says where it is.
 */
#pragma once

struct cell_namespace;
struct state_snapshot;

/*
 * Of the namespace, its maps, and its cells, replaced ones too: metadata, text, constants,
 * variables, entries.
 */
struct state_snapshot *state_snapshot_take(const struct cell_namespace *namespace);

void state_snapshot_assert_same(const struct state_snapshot *snapshot);
void state_snapshot_release(struct state_snapshot *snapshot);
