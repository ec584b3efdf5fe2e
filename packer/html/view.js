/* SPDX-License-Identifier: MIT */
/*
 * view.js - the interactive graph: search, focus, dependants and dependencies, sections on a click.
 *
 * Input is the document that `cellpack graph --format=json` prints. Everything is kept in a few maps made at
 * start; selecting a cell only changes classes and redraws the lit edges.
 */
"use strict";

const graph = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const KINDS = ["text", "rodata", "data", "bss", "unwind", "other"];
const HUES = { application: 345, driver: 165, library: 218, core: 36, object: 265 };
const SHELF_HUES = [345, 152, 30, 190, 218, 265, 48, 95, 310, 12, 240, 128];
const cells = graph.cells, indexOf = new Map(cells.map((c, i) => [c.name, i]));
const edges = graph.edges.map((e) => ({ ...e, from: indexOf.get(e.from), to: indexOf.get(e.to) }));
const wiring = cells.map(() => ({ out: new Map(), into: new Map() })); /* by section number */
let chosen = -1, only = false, placed, box = { x: 0, y: 0, w: 1, h: 1 };
const trail = [];

/* ---- helpers ---- */

function make(tag, attributes, ...children) {
    const svg = ["svg", "g", "rect", "text", "path", "title", "marker"].includes(tag);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    Object.entries(attributes || {}).forEach(([key, value]) => {
        if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
        else if (value !== null && value !== undefined) node.setAttribute(key, value);
    });
    node.append(...children.filter((c) => c !== null && c !== undefined));
    return node;
}

function bytes(n) {
    if (n < 1024) return n + " B";
    return n < 1048576 ? (n / 1024).toFixed(n < 10240 ? 1 : 0) + " KiB" : (n / 1048576).toFixed(1) + " MiB";
}

const many = (n, one, more) => n + " " + (n === 1 ? one : more || one + "s");

function hueOf(i) {
    const c = cells[i], by = $("colour").value;
    if (by === "group") return SHELF_HUES[groups.indexOf(c.group || "none")] ?? 218;
    if (by === "layer") return Math.round(340 - (300 * placed.layer[i]) / Math.max(placed.layers - 1, 1));
    if (by === "weight") return Math.round(215 - 205 * Math.sqrt(c.sizes.total / heaviest));
    return HUES[c.kind] ?? 265;
}

const groups = [...new Set(cells.map((c) => c.group || "none"))].sort();
const heaviest = Math.max(1, ...cells.map((c) => c.sizes.total));

function reach(start, key, other) {
    const far = new Map([[start, 0]]);
    for (const n of far.keys()) {
        edges.forEach((e) => { if (e[key] === n && !far.has(e[other])) far.set(e[other], far.get(n) + 1); });
    }
    return far;
}

/* ---- drawing ---- */

function measure() {
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = "600 14.5px " + getComputedStyle(document.body).fontFamily;
    cells.forEach((c) => {
        c.width = Math.max(72, Math.ceil(pen.measureText(c.name).width) + 26);
        c.height = 42 + Math.round(30 * Math.sqrt(c.sizes.total / heaviest));
    });
}

function curve(points) {
    let d = "M" + points[0].join(" ");
    for (let i = 1; i < points.length; i++) {
        const [ax, ay] = points[i - 1], [bx, by] = points[i], mid = (ay + by) / 2;
        d += `C${ax} ${mid} ${bx} ${mid} ${bx} ${by}`;
    }
    return d;
}

function pathOf(e) {
    const a = placed.items[e.from], b = placed.items[e.to];
    const inner = e.path ? e.path.slice(1, -1).map((it) => [it.x, it.y]) : [];
    const down = a.y <= b.y ? 1 : -1;
    return curve([[a.x, a.y + (down * a.height) / 2], ...inner, [b.x, b.y - down * (b.height / 2 + 5)]]);
}

function addMarkers() {
    [["wire", "var(--wire)"], ["needs", "var(--down)"], ["needed", "var(--up)"]].forEach(([name, colour]) => {
        $("defs").append(make("marker", { id: "tip-" + name, viewBox: "0 0 8 8", refX: 3, refY: 4, markerWidth: 7,
            markerHeight: 7, orient: "auto-start-reverse", markerUnits: "userSpaceOnUse" },
            make("path", { d: "M0 0.5L8 4L0 7.5z", fill: colour })));
    });
}

function draw() {
    $("wires").replaceChildren();
    edges.forEach((e) => {
        e.wire = make("path", { class: "wire" + (e.implied ? " implied" : ""), d: pathOf(e),
            "stroke-width": Math.min(3.2, 0.9 + Math.log2(1 + e.relocations) * 0.28), "marker-end": "url(#tip-wire)" });
        $("wires").append(e.wire);
    });
    $("nodes").replaceChildren();
    cells.forEach((c, i) => {
        const it = placed.items[i], w = it.width, h = it.height;
        const bars = make("g", {});
        let x = -w / 2 + 9;
        KINDS.filter((k) => c.sizes[k]).forEach((k) => {
            const part = ((w - 18) * c.sizes[k]) / Math.max(c.sizes.total, 1);
            bars.append(make("rect", { x, y: h / 2 - 8, width: part, height: 3.5, fill: `var(--${k})` }));
            x += part;
        });
        c.node = make("g", { class: "node", tabindex: -1, role: "button", transform: `translate(${it.x} ${it.y})`,
            "aria-label": `${c.name}, ${c.kind}, ${bytes(c.sizes.total)}`, onclick: () => choose(i), onfocus: () => { cursor = i; } },
            make("title", {}, c.name + (c.summary ? ": " + c.summary : "")),
            make("rect", { class: "box", x: -w / 2, y: -h / 2, width: w, height: h, rx: 8 }),
            make("text", { y: -4.5 }, c.name), make("text", { class: "size", y: 10 }, bytes(c.sizes.total)), bars);
        $("nodes").append(c.node);
    });
    paint();
    const xs = placed.items.map((it) => [it.x - it.width / 2, it.x + it.width / 2]);
    const ys = placed.items.map((it) => [it.y - it.height / 2, it.y + it.height / 2]);
    box = { x: Math.min(...xs.map((p) => p[0])), y: Math.min(...ys.map((p) => p[0])) };
    box.w = Math.max(...xs.map((p) => p[1])) - box.x;
    box.h = Math.max(...ys.map((p) => p[1])) - box.y;
}

function paint() {
    cells.forEach((c, i) => c.node.style.setProperty("--hue", hueOf(i)));
    const by = $("colour").value, items = [];
    if (by === "kind" || by === "group") {
        const seen = new Map();
        cells.forEach((c, i) => seen.set(by === "kind" ? c.kind : c.group || "none", hueOf(i)));
        [...seen].sort().forEach(([name, hue]) => items.push([`hsl(${hue} 55% 55%)`, name]));
    } else {
        items.push([`hsl(${by === "layer" ? 340 : 215} 55% 55%)`, by === "layer" ? "bottom" : "small"],
            [`hsl(${by === "layer" ? 40 : 10} 55% 55%)`, by === "layer" ? "top" : "large"]);
    }
    const swatch = ([colour, name]) => make("span", {}, make("i", { class: "swatch", style: `background:${colour}` }), name);
    $("legend").replaceChildren(...items.map(swatch), make("span", { style: "border-left:1px solid var(--line)" }),
        ...KINDS.filter((k) => cells.some((c) => c.sizes[k])).map((k) => swatch([`var(--${k})`, k])));
}

/* ---- selecting ---- */

let cursor = 0;

function choose(i, keepTrail) {
    if (chosen >= 0 && chosen !== i && !keepTrail) trail.push(chosen);
    chosen = i;
    if (i >= 0) cursor = i;
    $("lit").replaceChildren();
    const needs = i >= 0 ? reach(i, "from", "to") : null, needed = i >= 0 ? reach(i, "to", "from") : null;
    cells.forEach((c, k) => {
        const list = c.node.classList, a = needs && k !== i && needs.get(k), b = needed && k !== i && needed.get(k);
        list.toggle("chosen", k === i);
        list.toggle("needs", !!a);
        list.toggle("needed", !!b);
        list.toggle("far", (a || 0) > 1 || (b || 0) > 1);
        list.toggle("dim", i >= 0 && k !== i && !a && !b);
        list.toggle("gone", only && i >= 0 && k !== i && a !== 1 && b !== 1);
        c.node.setAttribute("tabindex", k === cursor ? 0 : -1);
    });
    edges.forEach((e) => {
        e.wire.classList.toggle("dim", i >= 0);
        e.wire.classList.toggle("gone", (e.implied && !$("all").checked) || (only && i >= 0));
        if (i < 0 || (only && e.from !== i && e.to !== i)) return;
        const down = needs.has(e.from) && needs.has(e.to), direct = e.from === i || e.to === i;
        if ((!down && !(needed.has(e.from) && needed.has(e.to))) || (!direct && e.implied)) return;
        const side = down ? "needs" : "needed";
        $("lit").append(make("path", { class: `lit ${side}${direct ? "" : " far"}`, d: e.wire.getAttribute("d"),
            "stroke-width": direct ? 2 : 1.2, "marker-end": `url(#tip-${side})` }));
    });
    showPanel();
    history.replaceState(null, "", i >= 0 ? "#" + encodeURIComponent(cells[i].name) : location.pathname + location.search);
}

function link(i, text) {
    return make("a", { class: "name mono", tabindex: 0, role: "link", onclick: () => { choose(i); bring(i); },
        onkeydown: (ev) => { if (ev.key === "Enter") { choose(i); bring(i); ev.stopPropagation(); } } }, text || cells[i].name);
}

function sizeBlock(sizes) {
    const shown = KINDS.filter((k) => sizes[k]);
    return [make("div", { class: "strip", role: "img", "aria-label": shown.map((k) => `${k} ${sizes[k]} bytes`).join(", ") },
        ...shown.map((k) => make("i", { style: `flex:${sizes[k]};background:var(--${k})`, title: `${k} ${bytes(sizes[k])}` }))),
    make("div", { class: "sizes" }, ...shown.map((k) => make("span", {},
        make("i", { class: "swatch", style: `background:var(--${k})` }), k, make("b", {}, bytes(sizes[k])))))];
}

function edgeRows(list, side, other) {
    const top = Math.max(1, ...list.map((e) => e.relocations));
    return make("ul", { class: "rows" }, ...list.sort((a, b) => b.relocations - a.relocations).map((e) => make("li", {},
        make("i", { class: "dot", style: `background:hsl(${hueOf(e[other])} 55% 55%)` }), link(e[other]),
        make("span", { class: "num", title: `${e.calls} direct calls, ${e.addresses} function addresses taken` },
            many(e.relocations, "relocation")),
        make("span", { class: "bar" }, make("i", { style: `width:${(100 * e.relocations) / top}%;background:var(--${side})` })))));
}

function sectionRow(i, s) {
    const section = cells[i].sections[s], out = wiring[i].out.get(s) || [], into = wiring[i].into.get(s) || [];
    const wires = (list, mark, arrow) => list.map((w) => make("div", {}, make("span", { class: mark }, arrow),
        make("a", { class: "mono", tabindex: 0, role: "link", onclick: () => openSection(w.cell, w.section) },
            (w.cell === i ? "" : cells[w.cell].name + ":") + cells[w.cell].sections[w.section].name),
        make("span", { class: "num" }, "×" + w.count)));
    const total = (list) => list.reduce((sum, w) => sum + w.count, 0);
    return make("details", { id: "section-" + s },
        make("summary", {}, make("i", { class: "dot", style: `background:var(--${section.kind})` }),
            make("span", { class: "name mono", title: section.name }, section.name),
            make("span", { class: "num" }, `${total(into)} in · ${total(out)} out`),
            make("span", { class: "num" }, bytes(section.size))),
        make("div", { class: "wiring" }, ...wires(out, "out", "→"), ...wires(into, "in", "←"),
            out.length + into.length ? null : make("p", {}, "No relocation refers to it, or from it.")));
}

function openSection(i, s) {
    if (i !== chosen) {
        choose(i);
        bring(i);
    }
    const row = document.getElementById("section-" + s);
    row.open = true;
    row.scrollIntoView({ block: "center", behavior: "smooth" });
    row.firstChild.focus();
}

const fillPanel = (...parts) => $("panel").replaceChildren(...parts.filter(Boolean));

function showOverview() {
    const sum = {};
    KINDS.concat("total").forEach((k) => { sum[k] = cells.reduce((n, c) => n + (c.sizes[k] || 0), 0); });
    const used = cells.map((c, i) => [i, reach(i, "to", "from").size - 1]).sort((a, b) => b[1] - a[1]).slice(0, 8);
    const heavy = cells.map((c, i) => [i, c.sizes.total]).sort((a, b) => b[1] - a[1]).slice(0, 8);
    const rows = (list, text, colour) => make("ul", { class: "rows" }, ...list.map(([i, n]) => make("li", {},
        make("i", { class: "dot", style: `background:hsl(${hueOf(i)} 55% 55%)` }), link(i),
        make("span", { class: "num" }, text(n)), make("span", { class: "bar" },
            make("i", { style: `width:${(100 * n) / Math.max(1, list[0][1])}%;background:${colour}` })))));
    fillPanel(make("h2", {}, graph.input),
        make("p", { class: "lead" }, `${many(cells.length, "cell")} and ${many(edges.length, "dependency", "dependencies")}, made of ` +
            `${many(edges.reduce((n, e) => n + e.relocations, 0), "relocation")} between cells.`),
        graph.shown < graph.total ? make("p", {}, `Showing ${graph.shown} of ${graph.total} cells.`) : null,
        make("p", {}, "An arrow points from a cell to one that it needs. Select a cell to see what it needs (blue), " +
            "what needs it (orange), and its sections."),
        make("h3", {}, "Bytes", make("span", {}, bytes(sum.total))), ...sizeBlock(sum),
        make("h3", {}, "Most needed"), rows(used, (n) => many(n, "dependant"), "var(--up)"),
        make("h3", {}, "Largest"), rows(heavy, bytes, "var(--text)"));
}

function showPanel() {
    $("panel").scrollTop = 0;
    if (chosen < 0) return showOverview();
    const i = chosen, c = cells[i], order = c.sections.map((s, k) => k).sort((a, b) => c.sections[b].size - c.sections[a].size);
    const from = edges.filter((e) => e.from === i), to = edges.filter((e) => e.to === i);
    const far = (map) => [...map.values()].filter((d) => d > 1).length;
    const tail = (n) => make("span", {}, n ? `and ${n} farther` : "");
    fillPanel(make("h2", {}, c.name), make("p", { class: "lead" }, c.summary || ""),
        make("div", { class: "tags" }, ...[c.kind, c.version && "version " + c.version, c.interface && "implements " + c.interface,
            c.group && "shelf " + c.group].filter(Boolean).map((t) => make("span", { class: "tag" }, t))),
        make("h3", {}, "Bytes", make("span", {}, bytes(c.sizes.total))), ...sizeBlock(c.sizes),
        make("h3", {}, "Needs " + many(from.length, "cell"), tail(far(reach(i, "from", "to")))), edgeRows(from, "down", "to"),
        make("h3", {}, "Needed by " + many(to.length, "cell"), tail(far(reach(i, "to", "from")))), edgeRows(to, "up", "from"),
        make("h3", {}, many(c.exports.length, "exported symbol")),
        make("p", { class: "mono", style: "overflow-wrap:anywhere" }, c.exports.join("  ")),
        make("h3", {}, many(order.length, "section"), make("span", {}, "relocations · size")),
        make("div", { class: "rows" }, ...order.map((s) => sectionRow(i, s))));
}
