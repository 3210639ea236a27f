"use strict";

(() => {
  const { data, visible, element, colour, seconds, onTheme } = genretag;
  const at = (id) => document.getElementById(id);
  const duration = Math.max(data.duration, 0.001);
  const weighed = new Map(data.weighed.map((item) => [item.label, item]));
  const column = new Map(data.labels.map((label, index) => [label, index]));
  const rows = data.rows.map((label) => weighed.get(label));
  const nameOf = (item) => item.genre ?? item.label;
  const fixed = (value) => value.toFixed(2);
  const reached = (item) => item.score >= item.threshold;
  // 0.098 is not the 0.10 that it needs.
  const exact = (item) =>
    !reached(item) && Number(fixed(item.score)) >= item.threshold ? item.score.toFixed(3) : fixed(item.score);

  // As in predict/reasons.py: odds of a score over the odds of what is needed, as a probability.
  const sureness = (score, threshold) => {
    if (threshold <= 0) return score;
    const here = score * (1 - threshold);
    const both = here + threshold * (1 - score);
    return both > 0 ? here / both : 0;
  };
  const score = (item, window) => data.windows[window][column.get(item.label)];
  const windowAt = (time) => {
    let low = 0;
    let high = data.windows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (data.edges[middle] <= time) low = middle;
      else high = middle - 1;
    }
    return low;
  };

  // Colours of genres in the order of their first stretch; after five all others share one.
  const kinds = new Map();
  for (const section of data.sections) {
    if (section.genre !== null && !kinds.has(section.genre)) kinds.set(section.genre, Math.min(kinds.size, 5));
  }
  const kindOf = (genre) => (genre === null ? "unsure" : `kind-${kinds.get(genre)}`);
  const called = (genre) => genre ?? "unsure";

  const head = () => {
    const count = data.windows.length;
    at("name").textContent = visible(data.path);
    const windows = `${count.toLocaleString("en")} window${count === 1 ? "" : "s"} of ${data.window_seconds.toFixed(1)} s`;
    const spread = data.coverage === "full" ? "" : " spread over it";
    at("facts").append(
      `${seconds(data.duration)} · ${windows}${spread} · model ${visible(data.model)} ${visible(data.version)}`,
      data.present === null ? "" : ` · in the file now: ${data.present.map(visible).join(", ") || "no genre"}`,
    );
  };

  const verdict = () => {
    const [first, ...finer] = data.genres;
    at("genres").append(
      first === undefined ? element("span", { class: "none" }, "No genre") : element("span", {}, first),
      finer.length ? element("span", { class: "finer" }, finer.join(", ")) : "",
    );
    at("why").append(...data.why.map((sentence) => element("p", {}, sentence)));
  };

  const heading = element("span");
  const totals = [];
  const about = () => {
    const { address, content } = data.sound;
    const facts = {
      Model: `${data.model}, from genretag ${data.version}`,
      Weights: data.weights || "–",
      Licence: data.licence || "–",
      Sound: content ? "a copy in this page, one channel" : address ? "the file itself" : "none in this page",
    };
    at("about").append(...Object.entries(facts).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  };

  const frame = () => {
    at("names").append(
      element("div", { class: "tall" }, element("span", {}, "Sound")),
      element("div", { class: "band" }, element("span", {}, "Genre")),
      ...rows.map((item) =>
        element("div", { class: item.chosen ? "chosen" : "", title: visible(nameOf(item)) }, element("span", {}, nameOf(item))),
      ),
    );
    at("totals").append(
      element("div", { class: "tall" }),
      element("div", { class: "band" }, heading),
      ...rows.map((item, number) => {
        totals[number] = { score: element("span"), bar: element("i") };
        const bar = element("div", { class: "bar-of" }, totals[number].bar);
        return element("div", { class: item.chosen ? "chosen" : "" }, totals[number].score, bar);
      }),
    );
    for (const section of data.sections) {
      const made = element("div", { class: kindOf(section.genre), title: visible(called(section.genre)) }, called(section.genre));
      made.style.left = `${(100 * section.start) / duration}%`;
      made.style.width = `calc(${(100 * (section.end - section.start)) / duration}% - 2px)`;
      at("sections").append(made);
    }
    at("heat").style.height = `${rows.length * 26}px`;
    at("legend").textContent = rows.some((item) => item.threshold)
      ? "how sure the model is; underlined where it is enough for the genre"
      : "score from 0 to 1; underlined from 0.5";
  };

  // The figures beside the rows: of the whole song, or of the window at a time.
  const showTotals = (time) => {
    heading.textContent = time === null ? "song" : seconds(time);
    rows.forEach((item, number) => {
      const value = time === null ? item.score : score(item, windowAt(time));
      totals[number].score.textContent = fixed(value);
      totals[number].bar.style.width = `${(100 * sureness(value, item.threshold)).toFixed(1)}%`;
    });
  };

  const axis = () => {
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
    const room = Math.max(2, Math.floor(at("plot").clientWidth / 80));
    const step = steps.find((candidate) => duration / candidate <= room) ?? 7200;
    const marks = [];
    for (let time = 0; time < duration - step * 0.5; time += step) marks.push(time);
    at("axis").replaceChildren(
      ...[...marks, duration].map((time) => {
        const mark = element("span", {}, seconds(time));
        mark.style.left = `${(100 * time) / duration}%`;
        return mark;
      }),
    );
  };

  // A canvas in device pixels, cleared; drawing is in those.
  const surface = (canvas) => {
    const box = canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(box.width * ratio));
    canvas.height = Math.max(1, Math.round(box.height * ratio));
    return { pen: canvas.getContext("2d"), width: canvas.width, height: canvas.height, ratio };
  };

  const drawWave = (time) => {
    const { pen, width, height, ratio } = surface(at("wave"));
    const [done, ahead] = [colour("--accent"), colour("--edge")];
    const peak = Math.max(0.05, ...data.outline.map(([low, high]) => Math.max(-low, high)));
    const middle = height / 2;
    const step = Math.max(2, Math.round(2 * ratio));
    const count = Math.floor(width / step);
    for (let index = 0; index < count; index += 1) {
      const from = Math.floor((index * data.outline.length) / count);
      const to = Math.max(from + 1, Math.floor(((index + 1) * data.outline.length) / count));
      const parts = data.outline.slice(from, to);
      const low = Math.min(...parts.map((part) => part[0])) / peak;
      const high = Math.max(...parts.map((part) => part[1])) / peak;
      pen.fillStyle = (index * step) / width < time / duration ? done : ahead;
      const top = middle - high * (middle - ratio);
      pen.fillRect(index * step, top, step - ratio, Math.max(ratio, middle - low * (middle - ratio) - top));
    }
  };

  const ramp = () => {
    const stops = [0, 1, 2, 3, 4, 5, 6].map((stop) => colour(`--heat-${stop}`));
    const pen = element("canvas", { width: 256, height: 1 }).getContext("2d", { willReadFrequently: true });
    const gradient = pen.createLinearGradient(0, 0, 256, 0);
    stops.forEach((stop, index) => gradient.addColorStop(index / 6, stop));
    pen.fillStyle = gradient;
    pen.fillRect(0, 0, 256, 1);
    const pixels = pen.getImageData(0, 0, 256, 1).data;
    return Array.from({ length: 256 }, (_, index) => `rgb(${pixels.slice(4 * index, 4 * index + 3).join(",")})`);
  };

  const drawHeat = () => {
    const { pen, width, height, ratio } = surface(at("heat"));
    const [shades, mark, light] = [ramp(), colour("--ink"), colour("--raised")];
    const row = height / rows.length;
    const gap = Math.max(1, Math.round(ratio));
    rows.forEach((item, number) => {
      const top = Math.round(number * row);
      const tall = Math.round((number + 1) * row) - top - gap;
      data.windows.forEach((_, index) => {
        const value = sureness(score(item, index), item.threshold);
        const left = Math.round((data.edges[index] / duration) * width);
        const right = Math.round((data.edges[index + 1] / duration) * width);
        pen.fillStyle = shades[Math.round(value * 255)];
        pen.fillRect(left, top, right - left, tall);
        if (value >= 0.5) {
          // A line with a light edge is seen on every shade.
          pen.fillStyle = light;
          pen.fillRect(left, top + tall - 2 * gap, right - left, gap);
          pen.fillStyle = mark;
          pen.fillRect(left, top + tall - gap, right - left, gap);
        }
      });
    });
  };

  // The position in the song; with sound it follows the sound.
  const audio = at("audio");
  let position = 0;
  let moved = false; // until then the figures are those of the whole song
  let hovered = null;
  let playable = false;
  let drawn = -1;

  // Every frame moves the cursor; the words change with the window and the second only, as they are also
  // read aloud.
  let told = "";
  const show = () => {
    at("cursor").style.left = `${(100 * position) / duration}%`;
    const step = Math.floor((position / duration) * at("wave").clientWidth / 2);
    if (step !== drawn) {
      drawn = step;
      drawWave(position);
    }
    const index = windowAt(position);
    const now = [index, Math.round(position), hovered, moved].join();
    if (now === told) return;
    told = now;
    const best = rows
      .filter((item) => item.role !== "finer" && item.role !== "veto")
      .reduce((one, other) => (sureness(score(one, index), one.threshold) >= sureness(score(other, index), other.threshold) ? one : other), rows[0]);
    const words = `${nameOf(best)} ${fixed(score(best, index))}`;
    at("now").textContent = seconds(position);
    at("here").replaceChildren(element("span", { class: "quiet" }, "here "), words);
    at("plot").setAttribute("aria-valuenow", position.toFixed(1));
    at("plot").setAttribute("aria-valuetext", `${seconds(position)}, ${visible(words)}`);
    showTotals(hovered ?? (moved ? position : null));
  };

  const jump = (time) => {
    position = Math.min(Math.max(time, 0), duration);
    moved = true;
    told = "";
    if (playable) audio.currentTime = Math.min(position, (audio.duration || duration) - 0.05);
    show();
  };

  const toggle = () => {
    if (!playable) return;
    if (!audio.paused) {
      audio.pause();
      return;
    }
    audio.play().catch((error) => {
      if (error.name === "NotSupportedError") fail(); // others: stopped again before it began
    });
  };

  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const place = () => {
    position = Math.min(audio.currentTime, duration);
    moved ||= position > 0;
    show();
  };
  let gliding = false;
  const glide = () => {
    gliding = !audio.paused && !calm.matches;
    if (gliding) requestAnimationFrame(glide);
    place();
  };

  const fail = () => {
    playable = false;
    at("play").hidden = true;
    at("trouble").hidden = false;
    at("trouble").textContent = data.sound.address === null
      ? "This browser cannot play the sound in this page."
      : "The song cannot be played from here: it was moved, or this browser does not know its format. A page made with --audio embed carries its own copy.";
  };

  const bytes = (base64) => {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
    const text = atob(base64);
    const made = new Uint8Array(text.length);
    for (let index = 0; index < text.length; index += 1) made[index] = text.charCodeAt(index);
    return made;
  };

  const sound = () => {
    const { address, content, type } = data.sound;
    const play = at("play");
    if (address === null && content === null) return;
    const state = () => {
      play.textContent = audio.paused ? "Play" : "Pause";
    };
    playable = true;
    play.hidden = false;
    state();
    play.addEventListener("click", toggle);
    audio.addEventListener("error", fail);
    for (const event of ["play", "pause", "ended"]) audio.addEventListener(event, state);
    audio.addEventListener("timeupdate", place);
    audio.addEventListener("play", () => {
      if (!gliding) glide();
    });
    if (content === null) {
      audio.src = address;
    } else {
      audio.src = URL.createObjectURL(new Blob([bytes(content)], { type }));
    }
  };

  const keys = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const target = event.target;
    const busy = target.closest("button, summary, a, .scroll");
    const step = event.shiftKey ? data.edges[1] - data.edges[0] : 5;
    const moves = { ArrowLeft: position - step, ArrowRight: position + step };
    const ends = { Home: 0, End: duration, PageUp: position + 30, PageDown: position - 30, ArrowUp: position + step, ArrowDown: position - step };
    if (event.key === " " && !busy) toggle();
    else if (event.key in moves && !target.closest(".scroll")) jump(moves[event.key]);
    else if (event.key in ends && target === at("plot")) jump(ends[event.key]);
    else return;
    event.preventDefault();
  };

  const point = () => {
    const plot = at("plot");
    const pointer = at("pointer");
    const time = (event) => {
      const box = plot.getBoundingClientRect();
      return ((event.clientX - box.left) / box.width) * duration;
    };
    plot.addEventListener("pointerdown", (event) => {
      if (event.button === 0) jump(time(event));
    });
    plot.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) jump(time(event));
      hovered = event.pointerType === "touch" ? null : Math.min(Math.max(time(event), 0), duration);
      pointer.hidden = hovered === null;
      pointer.style.left = `${(100 * hovered) / duration}%`;
      show();
    });
    plot.addEventListener("pointerleave", () => {
      pointer.hidden = true;
      hovered = null;
      show();
    });
  };

  const stretches = () => {
    at("stretches").append(
      ...data.sections.map((section) => {
        const button = element(
          "button",
          { type: "button", class: kindOf(section.genre) },
          element("span", {}, called(section.genre)),
          element("span", { class: "quiet" }, `${seconds(section.start)} – ${seconds(section.end)}`),
        );
        button.addEventListener("click", () => jump(section.start));
        return element("li", {}, button);
      }),
    );
  };

  const judged = (item) => {
    if (item.role === "veto") return reached(item) ? "keeps genres away" : "not heard";
    if (item.genre === null) return "no genre";
    if (item.chosen) return item.genre === data.genres[0] ? "the genre" : "added";
    if (!item.threshold) return "lower";
    return reached(item) ? "enough, not taken" : "too little";
  };

  const table = () => {
    const few = 12;
    const lines = data.weighed.map((item, number) => {
      let best = 0;
      data.windows.forEach((_, index) => {
        if (score(item, index) > score(item, best)) best = index;
      });
      const go = element("button", { type: "button", "aria-label": `Go to ${seconds(data.starts[best])}, where ${visible(nameOf(item))} is strongest` }, seconds(data.starts[best]));
      go.addEventListener("click", () => jump(data.starts[best]));
      return element(
        "tr",
        { hidden: number >= few },
        element("th", { scope: "row", class: item.chosen ? "chosen" : "" }, nameOf(item)),
        element("td", { class: "number" }, exact(item)),
        element("td", { class: "number" }, item.threshold ? fixed(item.threshold) : "–"),
        element("td", {}, judged(item)),
        element("td", { class: "wide number" }, go),
      );
    });
    at("scores").append(...lines);
    const more = at("more");
    more.hidden = lines.length <= few;
    more.textContent = `Show all ${lines.length}`;
    more.addEventListener("click", () => {
      for (const line of lines) line.hidden = false;
      more.hidden = true;
      lines[few].querySelector("button")?.focus();
    });
  };

  const windows = () => {
    const cells = (index) =>
      rows.map((item) => {
        const value = score(item, index);
        return element("td", { class: item.threshold && value >= item.threshold ? "reached" : "" }, fixed(value));
      });
    at("windows").append(
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "From"), ...rows.map((item) => element("th", { scope: "col" }, nameOf(item))))),
      element("tbody", {}, ...data.starts.map((start, index) => element("tr", {}, element("th", { scope: "row" }, seconds(start)), ...cells(index)))),
    );
  };

  head();
  verdict();
  about();
  frame();
  stretches();
  table();
  sound();
  point();
  document.addEventListener("keydown", keys);
  document.querySelector("details").addEventListener("toggle", windows, { once: true });
  at("length").textContent = `/ ${seconds(duration)}`;
  at("plot").setAttribute("aria-valuemax", duration.toFixed(1));
  const draw = () => {
    axis();
    for (const section of at("sections").children) section.classList.toggle("narrow", section.clientWidth < 36);
    drawHeat();
    drawn = -1;
    show();
  };
  new ResizeObserver(draw).observe(at("plot"));
  onTheme(draw);
})();
