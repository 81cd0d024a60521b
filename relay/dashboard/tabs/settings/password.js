// Another admin password.

import { html, useState } from "../../lib/html.js";
import { plural } from "../../lib/format.js";
import { Card, Field, explain } from "../../lib/ui.js";

const EMPTY = { current: "", fresh: "", again: "" };

export function Password({ api, notify }) {
  const [typed, setTyped] = useState(EMPTY);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);

  const submit = async (event) => {
    event.preventDefault();
    if (typed.fresh !== typed.again) return setError("The new password and its repetition differ. Type both again.");
    setBusy(true);
    setError(null);
    try {
      const { sessions_ended: ended } = await api.post("/admin/password", { current: typed.current, new: typed.fresh });
      notify(`The password is changed.${ended ? ` ${plural(ended, "other browser")} logged out.` : ""}`);
      setTyped(EMPTY);
    } catch (failure) {
      setError(failure.code === "password_in_config" ? `${explain(failure)} It can only be changed there.` : explain(failure));
    }
    setBusy(false);
  };
  const field = (name, label, complete, help) => html`<${Field} label=${label} help=${help}>${(id) => html`<input id=${id} type="password"
    required maxlength="1000" autocomplete=${complete} value=${typed[name]} onInput=${(event) => setTyped((old) => ({ ...old, [name]: event.target.value }))} />`}<//>`;
  return html`<${Card} title="Password" className="narrow">
    <form onSubmit=${submit}>
      <input class="hidden" type="text" name="username" value="admin" autocomplete="username" tabindex="-1" aria-hidden="true" readonly />
      ${field("current", "Present password", "current-password")}
      ${field("fresh", "New password", "new-password", "All other browsers are logged out.")}
      ${field("again", "New password again", "new-password")}
      ${error && html`<p class="problem" role="alert">${error}</p>`}
      <div class="actions"><button type="submit" class="primary" disabled=${busy}>${busy ? "Changing…" : "Change the password"}</button></div>
    </form>
  <//>`;
}
