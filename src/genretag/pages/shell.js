"use strict";

// What every page shares: its data, text from strangers made harmless to the eye, elements, the theme.
const genretag = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);

  // Control characters, marks that turn the direction of writing, and stray bytes would hide what a name is.
  const hidden = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;
  const visible = (text) =>
    String(text).replace(hidden, (character) => {
      const code = character.codePointAt(0);
      if (code >= 0xdc80 && code <= 0xdcff) return "\\x" + (code - 0xdc00).toString(16);
      return { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[character] ?? "\\u" + code.toString(16).padStart(4, "0");
    });

  // element("td", {class: "number"}, "text", child): texts are set as text, never as markup.
  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === true) made.setAttribute(key, "");
      else if (value !== false && value != null) made.setAttribute(key, value);
    }
    made.append(...children.map((child) => (child instanceof Node ? child : visible(child))));
    return made;
  };

  // A colour as the theme in force has it: `name` is that of a token, such as "--ink".
  const colour = (name) => {
    const probe = element("i", { class: "visually-hidden" });
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };

  const seconds = (value) => {
    const whole = Math.max(0, Math.round(value));
    const parts = [Math.floor(whole / 60) % 60, whole % 60].map((part) => String(part).padStart(2, "0"));
    const hours = Math.floor(whole / 3600);
    return hours ? `${hours}:${parts.join(":")}` : `${Number(parts[0])}:${parts[1]}`;
  };

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
  const listeners = [];
  const onTheme = (listener) => listeners.push(listener);
  const button = document.getElementById("theme");
  const themed = () => {
    button.textContent = theme() === "dark" ? "Light theme" : "Dark theme";
    for (const listener of listeners) listener(theme());
  };
  const setTheme = (name) => {
    document.documentElement.dataset.theme = name;
    themed();
  };
  const remembered = () => {
    try {
      return localStorage.getItem("genretag-theme");
    } catch {
      return null; // a browser may keep nothing for pages from a disk
    }
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    setTheme(theme() === "dark" ? "light" : "dark");
    try {
      localStorage.setItem("genretag-theme", theme());
    } catch {
      // the choice then holds for this page only
    }
  });
  dark.addEventListener("change", themed);
  if (["light", "dark"].includes(remembered())) setTheme(remembered());
  else themed();

  return { data, visible, element, colour, seconds, theme, onTheme };
})();
