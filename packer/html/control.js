/* SPDX-License-Identifier: MIT */
/* control.js - pan and zoom, search, keys; last part of the page's script, it starts everything. */
"use strict";

/* ---- pan and zoom ---- */

const camera = { x: 0, y: 0, scale: 1 };

function applyCamera() {
    $("world").setAttribute("transform", `translate(${camera.x} ${camera.y}) scale(${camera.scale})`);
}

function fit() {
    const view = $("canvas").getBoundingClientRect(), margin = 36;
    camera.scale = Math.min((view.width - 2 * margin) / box.w, (view.height - 2 * margin - 40) / box.h, 1.4);
    camera.x = view.width / 2 - (box.x + box.w / 2) * camera.scale;
    camera.y = (view.height - 40) / 2 - (box.y + box.h / 2) * camera.scale;
    applyCamera();
}

function zoom(factor, x, y) {
    const view = $("canvas").getBoundingClientRect();
    x = x ?? view.width / 2;
    y = y ?? view.height / 2;
    const scale = Math.min(4, Math.max(0.05, camera.scale * factor));
    camera.x = x - ((x - camera.x) * scale) / camera.scale;
    camera.y = y - ((y - camera.y) * scale) / camera.scale;
    camera.scale = scale;
    applyCamera();
}

/* Moves the view only when the cell is outside of it. */
function bring(i) {
    const it = placed.items[i], view = $("canvas").getBoundingClientRect(), s = camera.scale;
    const x = it.x * s + camera.x, y = it.y * s + camera.y;
    if (x < 60 || y < 40 || x > view.width - 60 || y > view.height - 40) {
        camera.x += view.width / 2 - x;
        camera.y += view.height / 2 - y;
        applyCamera();
    }
}

function watchPointer() {
    const canvas = $("canvas"), held = new Map();
    let moved = 0;
    canvas.addEventListener("wheel", (ev) => {
        ev.preventDefault();
        zoom(Math.exp(-ev.deltaY * (ev.ctrlKey ? 0.01 : 0.0016)), ev.offsetX, ev.offsetY);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (ev) => {
        held.set(ev.pointerId, [ev.clientX, ev.clientY]);
        moved = 0;
    });
    canvas.addEventListener("pointermove", (ev) => {
        const last = held.get(ev.pointerId);
        if (!last) return;
        const dx = ev.clientX - last[0], dy = ev.clientY - last[1];
        moved += Math.abs(dx) + Math.abs(dy);
        if (held.size === 2) {
            const other = [...held].find(([id]) => id !== ev.pointerId)[1];
            const before = Math.hypot(last[0] - other[0], last[1] - other[1]);
            zoom(Math.hypot(ev.clientX - other[0], ev.clientY - other[1]) / Math.max(before, 1));
        } else if (moved > 4) {
            canvas.classList.add("drag");
            canvas.setPointerCapture(ev.pointerId);
            camera.x += dx;
            camera.y += dy;
            applyCamera();
        }
        held.set(ev.pointerId, [ev.clientX, ev.clientY]);
    });
    const release = (ev) => {
        held.delete(ev.pointerId);
        canvas.classList.remove("drag");
    };
    canvas.addEventListener("pointerup", release);
    canvas.addEventListener("pointercancel", release);
    canvas.addEventListener("click", (ev) => { if (moved <= 4 && !ev.target.closest(".node")) choose(-1); });
}

/* ---- search ---- */

const haystack = [];
let hits = [], hit = 0;

function fillHaystack() {
    cells.forEach((c, i) => {
        haystack.push({ text: c.name, what: c.kind, weight: 0, go: () => { choose(i); bring(i); } });
        c.exports.forEach((name) => haystack.push({ text: name, what: c.name, weight: 1, go: () => { choose(i); bring(i); } }));
        c.sections.forEach((s, k) => haystack.push({ text: s.name, what: c.name, weight: 2, go: () => openSection(i, k) }));
    });
}

function showHits() {
    const words = $("search").value.trim().toLowerCase();
    const score = (h) => {
        const at = h.text.toLowerCase().indexOf(words);
        return at < 0 ? Infinity : h.weight * 100 + at + h.text.length / 100;
    };
    hits = words ? haystack.map((h) => [score(h), h]).filter(([n]) => n < Infinity).sort((a, b) => a[0] - b[0]).slice(0, 14)
        .map(([, h]) => h) : [];
    hit = Math.min(hit, Math.max(hits.length - 1, 0));
    $("hits").hidden = !hits.length;
    $("search").setAttribute("aria-expanded", String(hits.length > 0));
    $("hits").replaceChildren(...hits.map((h, i) => {
        const at = h.text.toLowerCase().indexOf(words);
        return make("li", { role: "option", "aria-selected": String(i === hit), onmousedown: (ev) => { ev.preventDefault(); take(h); } },
            make("code", {}, h.text.slice(0, at), make("mark", {}, h.text.slice(at, at + words.length)), h.text.slice(at + words.length)),
            make("span", {}, h.what));
    }));
}

function take(h) {
    if (!h) return;
    $("search").value = "";
    showHits();
    $("search").blur();
    h.go();
}

function watchSearch() {
    $("search").addEventListener("input", () => { hit = 0; showHits(); });
    $("search").addEventListener("blur", () => { $("hits").hidden = true; });
    $("search").addEventListener("focus", showHits);
    $("search").addEventListener("keydown", (ev) => {
        if (ev.key === "ArrowDown" || ev.key === "ArrowUp") {
            hit = (hit + (ev.key === "ArrowDown" ? 1 : hits.length - 1)) % Math.max(hits.length, 1);
            showHits();
            ev.preventDefault();
        } else if (ev.key === "Enter") {
            take(hits[hit]);
        } else if (ev.key === "Escape") {
            $("search").value = "";
            $("search").blur();
        }
        ev.stopPropagation();
    });
}

/* ---- keys ---- */

function step(dx, dy) {
    const here = placed.items[cursor];
    let best = -1, least = Infinity;
    placed.items.forEach((it, i) => {
        const along = (it.x - here.x) * dx + (it.y - here.y) * dy;
        const aside = Math.abs((it.x - here.x) * dy) + Math.abs((it.y - here.y) * dx);
        if (i !== cursor && along > 5 && along + 2.2 * aside < least && !cells[i].node.classList.contains("gone")) {
            least = along + 2.2 * aside;
            best = i;
        }
    });
    if (best < 0) return;
    cells[cursor].node.setAttribute("tabindex", -1);
    cells[best].node.setAttribute("tabindex", 0);
    cells[best].node.focus();
    bring(best);
}

function toggleTheme() {
    const root = document.documentElement;
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
}

const KEYS = {
    "/": () => $("search").focus(), f: fit, t: toggleTheme, "?": () => $("keys").showModal(),
    a: () => { $("all").checked = !$("all").checked; choose(chosen, true); },
    o: () => { only = !only; choose(chosen, true); },
    "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8),
    ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, -1), ArrowDown: () => step(0, 1),
    Enter: () => choose(cursor), " ": () => choose(cursor), Escape: () => { only = false; choose(-1); },
    Backspace: () => { if (trail.length) { const i = trail.pop(); choose(i, true); bring(i); } },
};

function watchKeys() {
    document.addEventListener("keydown", (ev) => {
        const inPanel = ev.target.closest("#panel, header, dialog");
        if (ev.ctrlKey || ev.metaKey || ev.altKey || !KEYS[ev.key]) return;
        if (inPanel && (ev.key.startsWith("Arrow") || ev.key === "Enter" || ev.key === " ")) return;
        ev.preventDefault();
        KEYS[ev.key]();
    });
    $("fit").onclick = fit;
    $("theme").onclick = toggleTheme;
    $("help").onclick = KEYS["?"];
    $("all").onchange = () => choose(chosen, true);
    $("colour").onchange = () => { paint(); showPanel(); };
    window.addEventListener("hashchange", fromHash);
    window.addEventListener("resize", fit);
}

function fromHash() {
    const i = indexOf.get(decodeURIComponent(location.hash.slice(1)));
    if (i !== undefined && i !== chosen) choose(i);
}

function start() {
    const ask = new URLSearchParams(location.search).get("theme");
    document.documentElement.dataset.theme = ask || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    document.title = graph.input + " · cell graph";
    $("title").textContent = graph.input;
    $("facts").textContent = `${many(cells.length, "cell")} · ${many(edges.length, "dependency", "dependencies")} · ` +
        bytes(cells.reduce((n, c) => n + c.sizes.total, 0));
    if (groups.length < 2) $("colour").querySelector("[value=group]").remove();
    else $("colour").value = "group";
    graph.section_edges.forEach(([a, s, b, t, count]) => {
        const add = (map, key, value) => { map.has(key) ? map.get(key).push(value) : map.set(key, [value]); };
        add(wiring[a].out, s, { cell: b, section: t, count });
        add(wiring[b].into, t, { cell: a, section: s, count });
    });
    measure();
    placed = layoutGraph(cells, edges, {});
    addMarkers();
    draw();
    fillHaystack();
    watchPointer();
    watchSearch();
    watchKeys();
    fit();
    const named = indexOf.get(decodeURIComponent(location.hash.slice(1)));
    choose(named ?? -1);
}

start();
