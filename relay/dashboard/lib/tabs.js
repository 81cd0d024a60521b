// The row of tabs: role="tablist", one of them in the order of the Tab key, arrow keys, Home and End move.
//
//   <${Tabs} tabs=${[{ id, label }]} current=${id} onSelect=${(id) => …} />
//   The panel carries id="main" role="tabpanel" aria-labelledby=${`tab-${id}`}.

import { html, useEffect, useRef } from "./html.js";

export function Tabs({ tabs, current, onSelect }) {
  const row = useRef(null);
  const at = tabs.findIndex((tab) => tab.id === current);
  useEffect(() => {
    // On a narrow screen the row scrolls.
    row.current.children[at]?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [at]);
  const moved = (event) => {
    const steps = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const next = (steps[event.key] + tabs.length) % tabs.length;
    onSelect(tabs[next].id);
    row.current.children[next].focus();
  };
  return html`<div class="tabs" role="tablist" aria-label="Sections" ref=${row} onKeyDown=${moved}>
    ${tabs.map((tab) => html`<button key=${tab.id} type="button" role="tab" id=${`tab-${tab.id}`} aria-controls="main"
      aria-selected=${tab.id === current ? "true" : "false"} tabindex=${tab.id === current ? 0 : -1}
      onClick=${() => onSelect(tab.id)}>${tab.label}</button>`)}
  </div>`;
}
