// The way in. The address keeps its tab, so that one goes on where the session ended.

import { html, useEffect, useRef, useState } from "./lib/html.js";
import { Field, explain } from "./lib/ui.js";

const WHY = {
  out: null,
  left: "You have logged out.",
  expired: "Your session has ended. Log in again and go on where you were.",
};

export function Login({ api, why, onEntered }) {
  const [password, setPassword] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const input = useRef(null);
  useEffect(() => {
    document.title = "Log in · Relay";
    input.current?.focus();
  }, []);

  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await api.login(password);
      onEntered();
    } catch (failure) {
      setBusy(false);
      setPassword("");
      setError(failure);
      input.current?.focus();
    }
  };
  return html`<main class="lone">
    <form class="card login" onSubmit=${submit}>
      <img src=${new URL("icon.svg", import.meta.url).href} alt="" width="44" height="44" />
      <h1>Relay</h1>
      ${WHY[why] && html`<p role="status">${WHY[why]}</p>`}
      <input class="hidden" type="text" name="username" value="admin" autocomplete="username" tabindex="-1" aria-hidden="true" readonly />
      <${Field} label="Admin password" error=${error && explain(error)}>${(id) => html`<input id=${id} ref=${input} type="password"
        name="password" autocomplete="current-password" required maxlength="1000" value=${password}
        onInput=${(event) => setPassword(event.target.value)} />`}<//>
      <button type="submit" class="primary" disabled=${busy}>${busy ? "Checking…" : "Log in"}</button>
      <p class="help">It was set by the operator, or printed once when the relay first started.</p>
    </form>
  </main>`;
}
