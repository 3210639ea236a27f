"use strict";

(() => {
  const { data, visible, element, colour, seconds, onTheme } = genretag;
  const at = (id) => document.getElementById(id);
  const { columns, sets, mains, folders, errors } = data;
  const total = columns.name.length;
  const number = (value) => value.toLocaleString("en");
  const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
  const hours = (value) => (value && value < 0.05 ? "<0.1" : value.toFixed(1));
  const percent = (part) => (part && part < total / 100 ? "<1 %" : `${Math.round((100 * part) / total)} %`);
  const [SURE, UNSURE, UNHEARD, FAILED] = data.hearings.keys();
  const strange = new Map(data.strangers.map((stranger) => [stranger.track, stranger]));

  // One track by its number

  const heard = (track) => mains[columns.heard[track]];
  const listed = (set) => (set === null ? "" : sets[set].join(", "));
  const folder = (track) => (folders[columns.folder[track]] === "." ? "" : folders[columns.folder[track]]);
  const verdict = (track) => {
    if (columns.hearing[track] === SURE) return listed(columns.heard[track]);
    if (columns.hearing[track] === UNHEARD) return "not heard yet";
    if (columns.hearing[track] === FAILED) return `failed: ${errors[columns.error[track]][0]}`;
    return columns.guess[track] === null ? "unsure" : `unsure, ${columns.guess[track]}?`;
  };
  const score = (track) => (columns.score[track] === null ? "" : columns.score[track].toFixed(2));

  // Bytes of a name that are no UTF-8 came as lone surrogates; in an address they are bytes again.
  const encoded = (text) =>
    Array.from(text, (character) => {
      const code = character.codePointAt(0);
      if (code >= 0xdc80 && code <= 0xdcff) return "%" + (code - 0xdc00).toString(16).toUpperCase();
      return /\p{Cs}/u.test(character) ? "%EF%BF%BD" : encodeURIComponent(character);
    }).join("");
  const address = (track) => {
    const parts = folder(track).split(/[\\/]/).filter(Boolean);
    return data.base + [...parts, columns.name[track]].map(encoded).join("/");
  };

  // What is shown: everything, or what the choices and the search leave

  const kinds = [
    { id: "sure", label: "sure", is: (track) => columns.hearing[track] === SURE },
    { id: "unsure", label: "unsure", is: (track) => columns.hearing[track] === UNSURE },
    { id: "unheard", label: "not heard yet", is: (track) => columns.hearing[track] === UNHEARD },
    { id: "failed", label: "failed", is: (track) => columns.hearing[track] === FAILED },
    { id: "bare", label: "without a genre in the file", is: (track) => !sets[columns.now[track]].length },
    { id: "written", label: "written by genretag", is: (track) => columns.before[track] !== null },
    { id: "strange", label: "unlike their album", is: (track) => strange.has(track) },
  ];
  const chosen = { kind: null, genre: undefined, words: [] };
  const order = { by: "found", down: false };
  let matching = new Uint8Array(total).fill(1);
  let shown = new Uint32Array(0);

  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const texts = []; // what is searched, by track: made in idle moments, or when a search needs the rest
  const repeated = new Map(); // folders and genres repeat: each is made plain once
  const once = (text) => repeated.get(text) ?? repeated.set(text, plain(text)).get(text);
  const prepare = (until) => {
    for (let track = texts.length; track < until; track += 1) {
      const others = [folder(track), verdict(track), listed(columns.now[track]), listed(columns.before[track])];
      texts.push([plain(columns.name[track]), ...others.map(once)].join("\n"));
    }
  };
  const prepareSome = () => {
    prepare(Math.min(texts.length + 1000, total));
    if (texts.length < total) soon(prepareSome);
  };
  const soon = window.requestIdleCallback ?? ((act) => setTimeout(act, 50));

  // Heard or in the file: a genre that only files have is there to be found too.
  const isGenre = (track, genre) => heard(track) === genre || mains[columns.now[track]] === genre;

  const filter = () => {
    const kind = kinds.find((one) => one.id === chosen.kind);
    if (chosen.words.length) prepare(total);
    for (let track = 0; track < total; track += 1) {
      matching[track] =
        (!kind || kind.is(track)) &&
        (chosen.genre === undefined || isGenre(track, chosen.genre)) &&
        chosen.words.every((word) => texts[track].includes(word))
          ? 1
          : 0;
    }
  };

  // Texts that repeat are sorted once; a track then has the place of its text.
  const collator = new Intl.Collator("en", { numeric: true });
  const placed = (text) => {
    const found = Array.from({ length: total }, (_, track) => text(track));
    const places = new Map([...new Set(found)].sort(collator.compare).map((one, place) => [one, place]));
    return found.map((one) => (one === "" ? Infinity : places.get(one)));
  };
  const numeric = (values) => values.map((value) => value ?? Infinity);
  const makeKeys = {
    found: () => Array.from({ length: total }, (_, track) => track),
    name: () => columns.rank,
    folder: () => placed(folder),
    heard: () => placed((track) => (columns.hearing[track] === SURE ? verdict(track) : `\uffff${verdict(track)}`)),
    score: () => numeric(columns.score),
    now: () => placed((track) => listed(columns.now[track])),
    before: () => placed((track) => listed(columns.before[track])),
    seconds: () => numeric(columns.seconds),
  };
  const made = {};
  const keys = (by) => (made[by] ??= Float64Array.from(makeKeys[by]()));

  const arrange = () => {
    const key = keys(order.by);
    const sign = order.down ? -1 : 1;
    const some = [];
    for (let track = 0; track < total; track += 1) if (matching[track]) some.push(track);
    // What has no value comes last in either direction.
    some.sort((one, other) => {
      const [left, right] = [key[one], key[other]];
      if (left === right) return one - other;
      if (left === Infinity || right === Infinity) return left === Infinity ? 1 : -1;
      return sign * (left - right);
    });
    shown = Uint32Array.from(some);
  };

  // The table: only rows that can be seen are there

  const heads = [
    ["name", "Track", "name"],
    ["folder", "Folder", "folder"],
    ["heard", "Heard", "heard"],
    ["score", "Score", "score number"],
    ["now", "In the file", "now"],
    ["before", "Before", "before"],
    ["seconds", "Length", "length number"],
  ];
  const scroll = at("scroll");
  const [above, below] = document.querySelectorAll(".tracks .space td");
  const body = at("rows");
  const drawn = new Map(); // place in `shown` to its row
  let playing = null;

  const playButton = (track) => {
    const button = element("button", { type: "button", class: "go", "aria-label": `Play ${visible(columns.name[track])}` }, "▶");
    button.addEventListener("click", () => play(track));
    return button;
  };

  const cell = (kind, text, title = text) => element("td", { class: kind, title: visible(title) }, element("span", {}, text));

  const line = (place) => {
    const track = shown[place];
    const name = cell("name", columns.name[track]);
    if (folder(track)) name.append(element("span", { class: "sub" }, folder(track)));
    const said = cell(`heard${columns.hearing[track] === FAILED ? " trouble" : ""}`, verdict(track), columns.error[track] === null ? verdict(track) : errors[columns.error[track]][1]);
    if (columns.hearing[track] !== SURE) said.classList.add("none");
    const now = listed(columns.now[track]);
    said.append(element("span", { class: "sub" }, now ? `file: ${now}` : "file: none"));
    const row = element(
      "tr",
      { "aria-rowindex": place + 2, class: track === playing ? "on" : "" },
      element("td", { class: "play" }, playButton(track)),
      name,
      cell("folder", folder(track)),
      said,
      cell("score number", score(track)),
      cell(`now${now ? "" : " none"}`, now || "none"),
      cell("before", columns.before[track] === null ? "" : listed(columns.before[track]) || "none"),
      cell("length number", columns.seconds[track] === null ? "" : seconds(columns.seconds[track])),
    );
    return row;
  };

  const rowHeight = () => parseFloat(getComputedStyle(scroll).getPropertyValue("--row"));

  const drawRows = () => {
    const height = rowHeight() + 1;
    const first = Math.max(0, Math.floor(scroll.scrollTop / height) - 6);
    const last = Math.min(shown.length, Math.ceil((scroll.scrollTop + scroll.clientHeight) / height) + 6);
    for (const [place, row] of drawn) {
      if (place < first || place >= last) {
        row.remove();
        drawn.delete(place);
      }
    }
    let after = null;
    for (let place = last - 1; place >= first; place -= 1) {
      if (!drawn.has(place)) {
        const row = line(place);
        body.insertBefore(row, after);
        drawn.set(place, row);
      }
      after = drawn.get(place);
    }
    above.style.height = `${first * height}px`;
    below.style.height = `${(shown.length - last) * height}px`;
  };

  const renew = () => {
    for (const row of drawn.values()) row.remove();
    drawn.clear();
    scroll.scrollTop = Math.min(scroll.scrollTop, Math.max(0, shown.length * (rowHeight() + 1)));
    drawRows();
  };

  const reveal = (track) => {
    const place = shown.indexOf(track);
    if (place < 0) return;
    const height = rowHeight() + 1;
    const [from, to] = [place * height, (place + 1) * height + 34];
    if (from < scroll.scrollTop || to > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = from - scroll.clientHeight / 2;
    drawRows();
  };

  const drawHeads = () => {
    at("heads").replaceChildren(
      element("th", { scope: "col", class: "play" }, element("span", { class: "visually-hidden" }, "Play")),
      ...heads.map(([by, label, kind]) => {
        const on = order.by === by;
        const button = element("button", { type: "button" }, on ? `${label} ${order.down ? "↓" : "↑"}` : label);
        button.addEventListener("click", () => {
          const first = by === "score" || by === "seconds"; // the largest first
          Object.assign(order, on ? { down: !order.down } : { by, down: first });
          arrange();
          scroll.scrollTop = 0;
          renew();
          drawHeads();
          at("heads").querySelector("[aria-sort] button").focus();
        });
        return element("th", { scope: "col", class: kind, "aria-sort": on ? (order.down ? "descending" : "ascending") : null }, button);
      }),
    );
  };

  // From row to row by arrow keys, also past those that are drawn.
  body.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = event.target.closest("tr");
    if (!step || !row) return;
    const place = Number(row.getAttribute("aria-rowindex")) - 2 + step;
    if (place < 0 || place >= shown.length) return;
    event.preventDefault();
    reveal(shown[place]);
    drawn.get(place)?.querySelector("button").focus({ preventScroll: true });
  });

  // Choices

  const show = () => {
    filter();
    arrange();
    scroll.scrollTop = 0;
    renew();
    const all = shown.length === total;
    at("shown").textContent = all ? number(total) : `${number(shown.length)} of ${number(total)}`;
    at("none").hidden = shown.length > 0;
    at("tracks").setAttribute("aria-rowcount", shown.length + 1);
    for (const button of document.querySelectorAll("[data-kind]")) button.setAttribute("aria-pressed", button.dataset.kind === chosen.kind);
    for (const button of document.querySelectorAll("[data-genre]")) button.setAttribute("aria-pressed", chosen.genre !== undefined && button.dataset.genre === String(chosen.genre));
    const chip = (label, undo) => {
      const button = element("button", { type: "button", "aria-label": `Remove ${visible(label)}` }, `${label} ×`);
      button.addEventListener("click", () => {
        undo();
        show();
        at("search").focus();
      });
      return button;
    };
    const kind = kinds.find((one) => one.id === chosen.kind);
    at("chips").replaceChildren(
      ...(kind ? [chip(kind.label, () => (chosen.kind = null))] : []),
      ...(chosen.genre === undefined ? [] : [chip(chosen.genre, () => (chosen.genre = undefined))]),
    );
    drawMap();
  };

  const search = () => {
    chosen.words = plain(at("search").value).split(/\s+/).filter(Boolean);
    show();
  };

  const head = () => {
    at("title").textContent = visible(data.title);
    const facts = [plural(total, "track")];
    if (data.hours) facts.push(`${data.hours.toLocaleString("en", { maximumFractionDigits: 1 })} hours`);
    facts.push(`heard by model ${data.model}`, data.made);
    if (data.gone) facts.push(`${plural(data.gone, "known file")} no longer there`);
    at("facts").textContent = visible(facts.join(" · "));
    for (const [place, kind] of kinds.entries()) {
      let count = 0;
      for (let track = 0; track < total; track += 1) if (kind.is(track)) count += 1;
      if (!count) continue;
      const button = element(
        "button",
        { type: "button", "data-kind": kind.id, "aria-pressed": "false", class: place ? "" : "first" },
        element("b", {}, number(count), " ", element("small", {}, percent(count))),
        element("span", {}, kind.label),
      );
      button.addEventListener("click", () => {
        chosen.kind = chosen.kind === kind.id ? null : kind.id;
        show();
      });
      at("kinds").append(button);
    }
  };

  // Rows of a short table; those beyond the first few come when asked for.
  const fill = (id, rows, few) => {
    at(id).append(...rows);
    const more = at(`more-${id}`);
    if (!more || rows.length <= few + 1) return;
    for (const row of rows.slice(few)) row.hidden = true;
    more.hidden = false;
    more.textContent = `Show all ${number(rows.length)}`;
    more.addEventListener("click", () => {
      for (const row of rows) row.hidden = false;
      more.hidden = true;
      rows[few].tabIndex = -1;
      rows[few].focus();
    });
  };

  const genres = () => {
    const most = Math.max(1, ...data.genres.filter((row) => row.genre !== null).map((row) => row.heard));
    const written = data.written > 0;
    document.querySelector(".genres .before").hidden = !written;
    const count = (value, kind = "") => element("td", { class: `number ${kind}${value ? "" : " zero"}` }, number(value));
    const rows = data.genres.map((row) => {
      const button = element("button", { type: "button", "data-genre": String(row.genre), "aria-pressed": "false" }, row.genre ?? "none");
      button.addEventListener("click", () => {
        chosen.genre = chosen.genre === row.genre ? undefined : row.genre;
        show();
      });
      const finer = Object.entries(row.finer).slice(0, 4).map(([genre, tracks]) => `${genre} ${number(tracks)}`);
      const bar = element("i", { class: "bar-of" });
      bar.style.width = `${row.genre === null ? 0 : (100 * row.heard) / most}%`;
      const name = row.genre === null ? element("span", { class: "none" }, "no genre") : button;
      return element(
        "tr",
        {},
        element("th", { scope: "row" }, name, ...(finer.length ? [element("span", { class: "finer" }, finer.join(", "))] : [])),
        element("td", { class: "share wide" }, bar),
        row.genre === null ? element("td", { class: "number zero" }, "–") : count(row.heard),
        element("td", { class: `number${row.hours && row.genre !== null ? "" : " zero"}` }, row.genre === null ? "–" : hours(row.hours)),
        element("td", { class: "number wide" }, row.sureness === null || row.genre === null ? "–" : row.sureness.toFixed(2)),
        count(row.now),
        ...(written ? [count(row.before, "before")] : []),
      );
    });
    const last = data.genres.at(-1)?.genre === null ? rows.pop() : null;
    fill("genres", rows, 12);
    if (last) at("genres").append(last);
  };

  const sureness = () => {
    const most = Math.max(...data.sureness.map((one) => one.sure + one.unsure));
    at("sure-section").hidden = !most;
    at("sureness").append(
      ...data.sureness.map((one) => {
        const bar = (kind) => {
          const made = element("i", { class: kind });
          made.style.height = `${(108 * one[kind]) / (most || 1)}px`;
          return made;
        };
        const both = one.sure + one.unsure;
        return element(
          "li",
          { title: `${one.from.toFixed(1)} to ${one.to.toFixed(1)}: ${number(one.sure)} sure, ${number(one.unsure)} unsure` },
          element("div", { class: "column" }, element("span", {}, both ? number(both) : ""), bar("unsure"), bar("sure")),
          element("span", { class: "class" }, element("span", { class: "visually-hidden" }, `${number(one.sure)} sure, ${number(one.unsure)} unsure from `), one.from.toFixed(1)),
        );
      }),
    );
  };

  const changes = () => {
    const rows = data.changes.map((change) =>
      element(
        "tr",
        {},
        element("td", { class: change.before === null ? "none" : "" }, change.before ?? "none"),
        element("td", { class: change.before === change.now ? "none" : "now" }, element("span", { class: "arrow", "aria-hidden": "true" }, "→ "), change.now ?? "none"),
        element("td", { class: "number" }, number(change.tracks)),
      ),
    );
    at("changes-section").hidden = !rows.length;
    fill("changes", rows, 6);
  };

  const strangers = () => {
    const ranked = data.strangers.toSorted((one, other) => other.sounds - one.sounds || columns.score[other.track] - columns.score[one.track]);
    at("strangers-section").hidden = !ranked.length;
    at("strangers-note").textContent = "one genre is expected on an album; these tracks differ from the others of theirs";
    const rows = ranked.map((stranger) => {
      const { track } = stranger;
      const now = listed(columns.now[track]);
      const said = listed(columns.heard[track]);
      const sounds = columns.hearing[track] === SURE ? `sounds like ${said}, ${score(track)}` : verdict(track);
      const file = now === said ? "as the file says" : now ? `file says ${now}` : "no genre in the file";
      const its = stranger.sounds ? heard(track) : mains[columns.now[track]];
      return element(
        "tr",
        {},
        element("td", { class: "play" }, playButton(track)),
        element("td", {}, element("span", { class: "name" }, columns.name[track]), element("span", { class: "sub" }, folder(track))),
        element("td", {}, element("b", {}, its), element("span", { class: "sub" }, `${sounds}; ${file}`)),
        element("td", {}, stranger.genre, element("span", { class: "sub" }, `${stranger.album}, ${plural(stranger.tracks, "track")}`)),
      );
    });
    fill("strangers", rows, 6);
  };

  const failures = () => {
    at("failures-section").hidden = !data.failures.length;
    at("failures").append(
      ...data.failures.map((failure) =>
        element("tr", {}, element("td", {}, failure.code), element("td", { class: "number" }, number(failure.tracks)), element("td", { class: "none" }, failure.first)),
      ),
    );
  };

  // The map

  const canvas = at("map");
  const onMap = Array.from({ length: total }, (_, track) => track).filter((track) => columns.x[track] !== null);
  const named = data.genres.filter((row) => row.genre !== null && row.heard).slice(0, 8).map((row) => row.genre);
  const hueOf = new Map(named.map((genre, place) => [genre, place + 1]));
  const hue = (track) => (columns.hearing[track] === SURE ? (hueOf.get(heard(track)) ?? 9) : 0);
  const view = { scale: 1, x: 0.5, y: 0.5 }; // the middle, in parts of the map
  const MARGIN = 18;
  let size = { width: 1, height: 1, ratio: 1, left: 0, top: 0, across: 0, down: 0 };
  let pointed = null;

  const stretch = () => {
    const wide = Math.max(1, Math.min(size.width, size.height * 1.6) - 2 * MARGIN);
    return [wide, Math.min(wide, size.height - 2 * MARGIN)];
  };
  const left = (track) => size.left + columns.x[track] * size.across;
  const top = (track) => size.top + columns.y[track] * size.down;
  const measure = () => {
    const [wide, high] = stretch();
    size.across = (wide * view.scale) / data.scale;
    size.down = (high * view.scale) / data.scale;
    size.left = size.width / 2 - view.x * wide * view.scale;
    size.top = size.height / 2 - view.y * high * view.scale;
  };

  // Drawn once before the next frame, however often that is asked for.
  let asked = false;
  function drawMap() {
    if (asked || !onMap.length) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      drawMapNow();
    });
  }

  function drawMapNow() {
    const box = canvas.getBoundingClientRect();
    size = { width: box.width, height: box.height, ratio: window.devicePixelRatio || 1 };
    measure();
    canvas.width = Math.round(size.width * size.ratio);
    canvas.height = Math.round(size.height * size.ratio);
    const pen = canvas.getContext("2d");
    pen.scale(size.ratio, size.ratio);
    const dot = Math.max(2, Math.min(7, 120 / Math.sqrt(onMap.length)) * Math.sqrt(view.scale));
    const groups = Array.from({ length: 11 }, () => []);
    const full = shown.length === total;
    for (const track of onMap) groups[matching[track] || full ? hue(track) : 10].push(track);
    const inks = ["--rest", ...[1, 2, 3, 4, 5, 6, 7, 8].map((place) => `--hue-${place}`), "--rest", "--faint"].map(colour);
    for (const group of [10, 0, 9, 8, 7, 6, 5, 4, 3, 2, 1]) {
      pen.fillStyle = pen.strokeStyle = inks[group];
      pen.globalAlpha = onMap.length > 3000 ? 0.7 : 0.85;
      for (const track of groups[group]) {
        const [x, y] = [left(track), top(track)];
        if (x < -9 || y < -9 || x > size.width + 9 || y > size.height + 9) continue;
        if (group === 0 && dot > 3) {
          pen.strokeRect(x - dot / 2 + 0.5, y - dot / 2 + 0.5, dot - 1, dot - 1); // unsure: hollow
        } else if (dot > 3) {
          pen.beginPath();
          pen.arc(x, y, dot / 2, 0, 7);
          pen.fill();
        } else {
          pen.fillRect(x - dot / 2, y - dot / 2, dot, dot);
        }
      }
    }
    pen.globalAlpha = 1;
    drawNames(pen, groups);
    for (const [track, ink] of [[playing, "--accent"], [pointed, "--ink"]]) {
      if (track === null || columns.x[track] === null) continue;
      pen.strokeStyle = colour(ink);
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(left(track), top(track), dot / 2 + 4, 0, 7);
      pen.stroke();
    }
  }

  // The name of a genre stands where most of its tracks are, so that colour is not needed to read the map.
  const drawNames = (pen, groups) => {
    const taken = [];
    pen.font = `600 12px ${getComputedStyle(document.body).fontFamily}`;
    pen.textAlign = "center";
    pen.lineWidth = 3.5;
    pen.lineJoin = "round";
    pen.strokeStyle = colour("--raised");
    pen.fillStyle = colour("--ink");
    for (const [place, genre] of named.entries()) {
      const tracks = groups[place + 1];
      if (tracks.length < Math.max(3, onMap.length / 100)) continue;
      const cells = new Map();
      for (const track of tracks) {
        const [x, y] = [left(track), top(track)];
        if (x < 30 || y < 14 || x > size.width - 30 || y > size.height - 6) continue;
        const key = `${Math.floor(x / 44)},${Math.floor(y / 44)}`;
        const cell = cells.get(key) ?? cells.set(key, [0, 0, 0]).get(key);
        cell[0] += 1;
        cell[1] += x;
        cell[2] += y;
      }
      const name = visible(genre).slice(0, 24);
      const half = pen.measureText(name).width / 2;
      const dense = [...cells.values()].sort((one, other) => other[0] - one[0]).slice(0, 8);
      const free = dense.map(([count, x, y]) => [Math.min(Math.max(x / count, half + 4), size.width - half - 4), y / count - 6]).find(([x, y]) => !taken.some((other) => Math.abs(other.x - x) < other.half + half + 4 && Math.abs(other.y - y) < 17));
      if (!free) continue;
      taken.push({ x: free[0], y: free[1], half });
      pen.strokeText(name, ...free);
      pen.fillText(name, ...free);
    }
  };

  const nearest = (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let [best, least] = [null, 14 ** 2];
    for (const track of onMap) {
      if (!matching[track]) continue;
      const distance = (left(track) - x) ** 2 + (top(track) - y) ** 2;
      if (distance < least) [best, least] = [track, distance];
    }
    return best;
  };

  const point = (track) => {
    if (track === pointed) return;
    pointed = track;
    const tip = at("tip");
    tip.hidden = track === null;
    canvas.style.cursor = track === null ? "" : "pointer";
    if (track !== null) {
      const [x, y] = [left(track), top(track)];
      tip.replaceChildren(element("b", {}, columns.name[track]), `${visible(verdict(track))} ${score(track)}`, element("span", { class: "quiet" }, folder(track) ? ` · ${folder(track)}` : ""));
      tip.style.left = `${Math.min(Math.max(x - tip.offsetWidth / 2, 4), size.width - tip.offsetWidth - 4)}px`;
      tip.style.top = `${y > size.height / 2 ? y - tip.offsetHeight - 12 : y + 14}px`;
    }
    drawMap();
  };

  const zoom = (factor) => {
    view.scale = Math.min(Math.max(view.scale * factor, 1), 40);
    if (view.scale === 1) Object.assign(view, { x: 0.5, y: 0.5 });
    canvas.style.touchAction = view.scale > 1 ? "none" : "";
    point(null);
    drawMap();
  };

  const map = () => {
    at("map-section").hidden = !onMap.length;
    const counts = named.map((genre) => `${visible(genre)} ${number(data.genres.find((row) => row.genre === genre).heard)}`);
    canvas.setAttribute("aria-label", `Map of ${plural(onMap.length, "track")}: ${counts.join(", ")}. The table of tracks below lists them.`);
    const key = (hueName, text) => element("li", {}, element("i", { class: `hue-${hueName}`, "aria-hidden": "true" }), text);
    at("legend").append(...named.map((genre, place) => key(place + 1, genre)));
    if (data.genres.filter((row) => row.genre !== null && row.heard).length > 8) at("legend").append(key("rest", "other genres"));
    if (data.hearing.unsure) at("legend").append(key("unsure", "unsure"));
    let drag = null;
    canvas.addEventListener("pointerdown", (event) => {
      drag = { x: event.clientX, y: event.clientY, moved: false };
      if (view.scale > 1) canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (drag && view.scale > 1 && event.buttons & 1) {
        const [wide, high] = stretch();
        const [across, down] = [event.clientX - drag.x, event.clientY - drag.y];
        if (!drag.moved && Math.hypot(across, down) < 4) return;
        view.x = Math.min(Math.max(view.x - across / wide / view.scale, 0), 1);
        view.y = Math.min(Math.max(view.y - down / high / view.scale, 0), 1);
        drag = { x: event.clientX, y: event.clientY, moved: true };
        point(null);
        drawMap();
      } else {
        point(nearest(event));
      }
    });
    canvas.addEventListener("pointerup", (event) => {
      const track = drag?.moved ? null : nearest(event);
      drag = null;
      if (track !== null) play(track);
    });
    canvas.addEventListener("pointerleave", () => point(null));
    canvas.addEventListener("dblclick", () => zoom(2));
    at("nearer").addEventListener("click", () => zoom(1.7));
    at("farther").addEventListener("click", () => zoom(1 / 1.7));
    at("whole").addEventListener("click", () => zoom(0));
  };

  // The player

  const audio = at("audio");

  function play(track) {
    playing = track;
    document.body.classList.add("playing");
    at("player").hidden = false;
    at("trouble").hidden = true;
    at("playing").textContent = visible(columns.name[track]);
    at("playing-genre").textContent = visible(verdict(track));
    audio.src = address(track);
    audio.play().catch(() => {}); // what goes wrong is told by the error event
    for (const [place, row] of drawn) row.classList.toggle("on", shown[place] === track);
    reveal(track);
    drawMap();
  }

  audio.addEventListener("error", () => {
    const ending = columns.name[playing].match(/\.(\w{1,5})$/)?.[1].toLowerCase();
    const trouble = at("trouble");
    trouble.hidden = false;
    trouble.replaceChildren(
      `Cannot be played here: the file was moved, or this browser does not know ${ending ? `the format ${ending}` : "its format"}. `,
      element("a", { href: address(playing) }, "Open the file"),
    );
  });
  at("close").addEventListener("click", () => {
    const track = playing;
    audio.pause();
    audio.removeAttribute("src");
    playing = null;
    at("player").hidden = true;
    document.body.classList.remove("playing");
    for (const row of drawn.values()) row.classList.remove("on");
    const place = shown.indexOf(track);
    (drawn.get(place)?.querySelector("button") ?? at("search")).focus({ preventScroll: true });
    drawMap();
  });

  // Taking the rows along

  // A spreadsheet takes a cell that begins with one of these for a formula and may run it.
  const harmless = (text) => (/^ *[=+\-@＝＋－＠\t\r\n]/.test(text) ? `'${visible(text)}` : visible(text));
  const albumOf = (stranger) => {
    if (!stranger) return null;
    const { album: name, genre, tracks, called, sounds } = stranger;
    return { name, genre, tracks, called, sounds };
  };
  const rowOf = (track) => ({
    path: [folder(track), columns.name[track]].filter(Boolean).join("/"),
    hearing: data.hearings[columns.hearing[track]],
    heard: sets[columns.heard[track]],
    guess: columns.guess[track],
    score: columns.score[track],
    genres: sets[columns.now[track]],
    before: columns.before[track] === null ? null : sets[columns.before[track]],
    seconds: columns.seconds[track],
    album: albumOf(strange.get(track)),
    error: columns.error[track] === null ? null : { code: errors[columns.error[track]][0], message: errors[columns.error[track]][1] },
  });
  const csv = () => {
    const cellOf = (value) => {
      if (value === null) return "";
      if (typeof value === "number") return String(value);
      const text = Array.isArray(value) ? value.join("; ") : value;
      return `"${harmless(text).replaceAll('"', '""')}"`;
    };
    const rows = Array.from(shown, rowOf).map((row) => ({
      ...row,
      before: row.before?.length === 0 ? "(none)" : row.before,
      album: row.album && `unlike ${row.album.name} (${row.album.genre})`,
      error: row.error && row.error.code,
    }));
    const names = ["path", "hearing", "heard", "guess", "score", "genres", "before", "seconds", "album", "error"];
    return "\ufeff" + [names.join(","), ...rows.map((row) => names.map((name) => cellOf(row[name])).join(","))].join("\n") + "\n";
  };
  const save = (name, type, text) => {
    const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  at("csv").addEventListener("click", () => save("library.csv", "text/csv", csv()));
  at("json").addEventListener("click", () => save("library.json", "application/json", JSON.stringify(Array.from(shown, rowOf), null, 1)));

  head();
  genres();
  sureness();
  changes();
  strangers();
  failures();
  map();
  drawHeads();
  scroll.addEventListener("scroll", drawRows, { passive: true });
  at("search").addEventListener("input", search);
  at("clear").addEventListener("click", () => {
    Object.assign(chosen, { kind: null, genre: undefined, words: [] });
    at("search").value = "";
    show();
  });
  show();
  soon(prepareSome);
  let width = 0;
  new ResizeObserver(() => {
    if (canvas.clientWidth === width) return;
    width = canvas.clientWidth;
    renew();
    drawMap();
  }).observe(document.body);
  onTheme(drawMap);
})();
