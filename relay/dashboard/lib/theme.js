// Light, dark, or as the system says. The choice is kept in this browser.
//
//   const [theme, setTheme] = useTheme();      "auto" | "light" | "dark"
//   onTheme(redraw) -> stop                    called when the colours change, also by the system
//   colour("accent")                           a CSS colour of the present theme, for canvases

import { useState } from "./html.js";

const KEY = "relay-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();

function stored() {
  try {
    return localStorage.getItem(KEY) ?? "auto";
  } catch {
    return "auto";
  }
}

export function applyTheme(theme = stored()) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  listeners.forEach((redraw) => redraw());
}

export function useTheme() {
  const [theme, setTheme] = useState(stored);
  const choose = (next) => {
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // Without storage the choice lasts as long as the page.
    }
    setTheme(next);
    applyTheme(next);
  };
  return [theme, choose];
}

export function onTheme(redraw) {
  listeners.add(redraw);
  dark.addEventListener("change", redraw);
  return () => {
    listeners.delete(redraw);
    dark.removeEventListener("change", redraw);
  };
}

export function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
