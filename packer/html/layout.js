/* SPDX-License-Identifier: MIT */
/*
 * layout.js - places cells in layers, so that every arrow points down.
 *
 * Steps: drop back edges; leave out edges that a longer chain implies (they are drawn on demand only);
 * give each cell a layer above all that it needs, never more than `width` cells to a layer (Coffman and
 * Graham's rule); split long edges by waypoints; order each layer by the mean place of its neighbours and
 * keep the order with the fewest crossings; find x by least squares under the order (pool adjacent violators).
 */
"use strict";

function layoutGraph(nodes, edges, options) {
    const count = nodes.length;
    const gap = 24, rise = 58;
    const out = nodes.map(() => []), into = nodes.map(() => []);

    /* 1. Depth first: a topological order, without the edges that close a cycle. */
    const next = nodes.map(() => []);
    edges.forEach((e) => next[e.from].push(e));
    const state = new Uint8Array(count), topo = [];
    for (let root = 0; root < count; root++) {
        if (state[root]) continue;
        const stack = [[root, 0]];
        state[root] = 1;
        while (stack.length) {
            const top = stack[stack.length - 1], e = next[top[0]][top[1]++];
            if (!e) {
                state[top[0]] = 2;
                topo.push(top[0]);
                stack.pop();
            } else {
                e.back = state[e.to] === 1 || e.from === e.to;
                if (!state[e.to]) {
                    state[e.to] = 1;
                    stack.push([e.to, 0]);
                }
            }
        }
    }

    /* 2. Implied edges: topo lists what is needed before what needs it. */
    const words = (count + 31) >> 5, reach = nodes.map(() => new Uint32Array(words));
    const position = new Int32Array(count);
    topo.forEach((n, i) => { position[n] = i; });
    for (const n of topo) {
        const direct = next[n].filter((e) => !e.back).sort((a, b) => position[b.to] - position[a.to]);
        for (const e of direct) {
            e.implied = !!(reach[n][e.to >> 5] & (1 << (e.to & 31)));
            for (let w = 0; w < words; w++) reach[n][w] |= reach[e.to][w];
            reach[n][e.to >> 5] |= 1 << (e.to & 31);
            if (!e.implied) {
                out[n].push(e.to);
                into[e.to].push(n);
            }
        }
    }

    /* 3. Layers, bottom up; those with the longest chain above them choose first. */
    const above = new Int32Array(count);
    for (let i = count - 1; i >= 0; i--) {
        const n = topo[i];
        into[n].forEach((m) => { above[n] = Math.max(above[n], above[m] + 1); });
    }
    const width = options.width || Math.max(5, Math.ceil(Math.sqrt(count) * 1.25));
    const layer = new Int32Array(count).fill(-1), waits = out.map((list) => list.length), fill = [];
    let ready = topo.filter((n) => !waits[n]);
    while (ready.length) {
        ready.sort((a, b) => above[b] - above[a] || position[a] - position[b]);
        const n = ready.shift();
        let l = out[n].reduce((high, m) => Math.max(high, layer[m] + 1), 0);
        while ((fill[l] || 0) >= width) l++;
        layer[n] = l;
        fill[l] = (fill[l] || 0) + 1;
        into[n].forEach((m) => { if (!--waits[m]) ready.push(m); });
    }

    /* 4. Waypoints. items: {node or -1, width, height, up[], down[], x} by layer. */
    const rows = Array.from({ length: fill.length || 1 }, () => []);
    const item = nodes.map((n, i) => {
        const it = { node: i, width: n.width, height: n.height, up: [], down: [], x: 0 };
        rows[layer[i]].push(it);
        return it;
    });
    edges.forEach((e) => {
        e.path = null;
        if (e.back || e.implied) return;
        let last = item[e.from];
        e.path = [last];
        for (let l = layer[e.from] - 1; l >= layer[e.to]; l--) {
            const it = l === layer[e.to] ? item[e.to] : { node: -1, width: 6, height: 0, up: [], down: [], x: 0 };
            if (it.node < 0) rows[l].push(it);
            last.down.push(it);
            it.up.push(last);
            e.path.push(it);
            last = it;
        }
    });

    orderRows(rows);
    placeRows(rows, gap);

    /* 5. y from the top: the highest layer first. */
    let y = 0;
    for (let l = rows.length - 1; l >= 0; l--) {
        const tall = Math.max(...rows[l].map((it) => it.height));
        rows[l].forEach((it) => { it.y = y + tall / 2; });
        y += tall + rise;
    }
    return { items: item, layer, layers: rows.length };
}

function crossings(rows) {
    let total = 0;
    for (let l = 1; l < rows.length; l++) {
        const ends = [];
        rows[l].forEach((it) => {
            ends.push(...it.down.map((d) => d.at).sort((a, b) => a - b));
        });
        /* Inversions by a Fenwick tree over the lower row. */
        const tree = new Int32Array(rows[l - 1].length + 2);
        for (let i = ends.length - 1; i >= 0; i--) {
            for (let k = ends[i]; k > 0; k -= k & -k) total += tree[k];
            for (let k = ends[i] + 1; k < tree.length; k += k & -k) tree[k]++;
        }
    }
    return total;
}

function orderRows(rows) {
    const number = (row) => row.forEach((it, i) => { it.at = i; });
    const mean = (list, fallback) => list.length ? list.reduce((s, it) => s + it.at, 0) / list.length : fallback;
    rows.forEach(number);
    let best = crossings(rows), kept = rows.map((row) => row.slice());
    for (let round = 0; round < 24; round++) {
        const upward = round % 2 === 0;
        for (let i = 1; i < rows.length; i++) {
            const row = rows[upward ? i : rows.length - 1 - i];
            row.forEach((it) => { it.want = mean(upward ? it.down : it.up, it.at); });
            row.sort((a, b) => a.want - b.want || a.at - b.at);
            number(row);
        }
        const now = crossings(rows);
        if (now < best) {
            best = now;
            kept = rows.map((row) => row.slice());
        }
    }
    kept.forEach((row, l) => {
        rows[l] = row;
        number(row);
    });
}

/* The x closest to each item's wish that keeps the row's order and gaps. */
function settle(row, gap) {
    const offset = [];
    let at = 0;
    row.forEach((it, i) => {
        if (i) at += (row[i - 1].width + it.width) / 2 + (it.node < 0 || row[i - 1].node < 0 ? 12 : gap);
        offset.push(at);
    });
    const blocks = [];
    row.forEach((it, i) => {
        const weight = it.node < 0 ? 4 : 1;
        blocks.push({ sum: (it.want - offset[i]) * weight, weight, count: 1 });
        while (blocks.length > 1) {
            const b = blocks[blocks.length - 1], a = blocks[blocks.length - 2];
            if (a.sum / a.weight <= b.sum / b.weight) break;
            a.sum += b.sum;
            a.weight += b.weight;
            a.count += b.count;
            blocks.pop();
        }
    });
    let i = 0;
    blocks.forEach((b) => {
        for (let k = 0; k < b.count; k++, i++) row[i].x = b.sum / b.weight + offset[i];
    });
}

function placeRows(rows, gap) {
    rows.forEach((row) => {
        row.forEach((it) => { it.want = 0; });
        settle(row, gap);
    });
    for (let round = 0; round < 40; round++) {
        for (let i = 0; i < rows.length; i++) {
            const row = rows[round % 2 ? rows.length - 1 - i : i];
            row.forEach((it) => {
                const near = it.up.concat(it.down);
                it.want = near.length ? near.reduce((s, n) => s + n.x, 0) / near.length : it.x * 0.9;
            });
            settle(row, gap);
        }
    }
}
