// Short messages that are also read out.
//
//   notify("Granted 5 credits to user:anna.")           good news: goes away by itself
//   notify(error)  or  notify("…", "error")             a failure: stays until it is closed
//   notify("…", "info")

import { html, useCallback, useRef, useState } from "./html.js";
import { explain } from "./ui.js";

const STAYS_MS = 6000;
const AT_MOST = 4;

export function useToasts() {
  const [toasts, setToasts] = useState([]);
  const last = useRef(0);
  const close = useCallback((id) => setToasts((old) => old.filter((toast) => toast.id !== id)), []);
  const notify = useCallback((message, kind) => {
    const failed = message instanceof Error;
    const toast = { id: ++last.current, kind: kind ?? (failed ? "error" : "ok"), text: failed ? explain(message) : String(message) };
    setToasts((old) => [...old.slice(1 - AT_MOST), toast]);
    if (toast.kind !== "error") setTimeout(() => close(toast.id), STAYS_MS);
  }, []);
  return { toasts, notify, close };
}

export function Toasts({ toasts, close }) {
  const show = (toast) => html`<div key=${toast.id} class=${`toast ${toast.kind}`}>
    <span>${toast.text}</span>
    <button type="button" class="quiet" aria-label="Close this message" onClick=${() => close(toast.id)}>✕</button>
  </div>`;
  return html`<div class="toasts">
    <div role="status" aria-live="polite">${toasts.filter((toast) => toast.kind !== "error").map(show)}</div>
    <div role="alert" aria-live="assertive">${toasts.filter((toast) => toast.kind === "error").map(show)}</div>
  </div>`;
}
