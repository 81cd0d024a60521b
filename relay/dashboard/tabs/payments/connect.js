// Connecting a payment service: the operator consents on its own page, and comes back here.

import { html, useState } from "../../lib/html.js";
import { ActionDialog, Dialog } from "../../lib/dialog.js";
import { moment } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { Failure, Loading, States } from "../../lib/ui.js";

const RESULTS = ["connected", "failed", "choose"];

/** {rail, result}: what a service's way back left in the address (?btcpay=connected), or null. */
export function returnOf(query) {
  const found = Object.entries(query).find(([name, value]) => /^[a-z][a-z0-9_]*$/.test(name) && RESULTS.includes(value));
  return found && found[0] !== "state" && found[0] !== "view" ? { rail: found[0], result: found[1] } : null;
}

/** What is said after coming back. Closing it cleans the address. */
export function Returned({ api, rail, result, onChoose, onAgain, onClose }) {
  const found = useLoad((signal) => api.get(`/admin/${encodeURIComponent(rail)}/connect`, {}, { signal }), [api, rail, result]);
  if (!found.data) return found.error ? html`<${Failure} error=${found.error} onRetry=${found.reload} />` : html`<${Loading} />`;
  const { connection } = found.data;
  // The address may be old, after a reload or from the history: what is so now counts.
  if (connection.choose && result !== "failed") {
    return html`<div class="remark warn" role="status">
      <h3>Choose a store</h3>
      <p>You consented for several stores of ${rail}. One of them is to receive the payments.</p>
      <div class="actions"><button type="button" class="primary" onClick=${onChoose}>Choose a store…</button></div>
    </div>`;
  }
  if (connection.connected && result !== "failed") {
    return html`<div class="remark ok" role="status">
      <h3>${rail} is connected</h3>
      <p>Payments go to the store “${connection.store_name || connection.store_id || rail}” from now on.</p>
      <div class="actions"><button type="button" onClick=${onClose}>OK</button></div>
    </div>`;
  }
  return html`<div class="remark bad" role="alert">
    <h3>${rail} was not connected</h3>
    <p>${connection.problem ?? connection.off ?? "It did not say why. Begin again; if it goes on, look into the relay's log."}</p>
    <div class="actions">
      <button type="button" onClick=${onClose}>Close</button>
      <button type="button" class="primary" onClick=${onAgain}>Begin again…</button>
    </div>
  </div>`;
}

/** One service's connection: what is connected, connect, choose, disconnect. */
export function ConnectionPanel({ api, notify, rail, onChanged, onClose }) {
  const found = useLoad((signal) => api.get(`/admin/${encodeURIComponent(rail)}/connect`, {}, { signal }), [api, rail]);
  const changed = (said) => {
    notify(said);
    found.reload();
    onChanged();
  };
  if (found.error?.status === 404) {
    return html`<${Dialog} title=${`Connection of ${rail}`} panel onClose=${onClose}>
      <p>${rail} has no connect wizard: its keys stand in <code>plugins.toml</code>, in the table <code>plugins.${rail}</code>.
        Change them there and restart the relay.</p>
    <//>`;
  }
  return html`<${Dialog} title=${`Connection of ${rail}`} panel onClose=${onClose}>
    <${States} of=${found}>${({ connection }) => html`<${Connection} ...${{ api, rail, connection, changed }} />`}<//>
  <//>`;
}

function Connection({ api, rail, connection, changed }) {
  const [asked, setAsked] = useState(null);
  const where = (from) => ({ settings: "from plugins.toml", wizard: "from the wizard" })[from] ?? "none";
  const facts = [
    ["Server", connection.url],
    ["For buyers", connection.public_url],
    ["Store", [connection.store_name, connection.store_id && `(${connection.store_id})`].filter(Boolean).join(" ")],
    ["Key", where(connection.api_key_from)],
    ["Webhook's secret", where(connection.webhook_secret_from)],
    ["Webhook's address", connection.webhook_url],
    ["Connected", connection.connected_at && moment(connection.connected_at)],
  ];
  return html`
    ${connection.problem && html`<div class="remark bad" role="alert"><h3>The last attempt failed</h3><p>${connection.problem}</p></div>`}
    <p>${connection.connected ? `${rail} is connected and sells.` : `${rail} sells nothing now: ${connection.off ?? "it is not connected"}.`}</p>
    <dl class="pairs long">
      ${facts.filter(([, value]) => value).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
    </dl>
    ${connection.choose && html`<${Stores} ...${{ api, rail, stores: connection.choose, changed }} />`}
    <div class="actions">
      <button type="button" class=${connection.connected ? "" : "primary"} onClick=${() => setAsked("connect")}>
        ${connection.connected ? "Connect again…" : "Connect…"}</button>
      ${connection.api_key_from === "wizard" && html`<button type="button" class="danger" onClick=${() => setAsked("disconnect")}>Disconnect…</button>`}
    </div>
    ${asked === "connect" && html`<${Start} ...${{ api, rail, connection }} onClose=${() => setAsked(null)} />`}
    ${asked === "disconnect" && html`<${Disconnect} ...${{ api, rail, changed }} onClose=${() => setAsked(null)} />`}`;
}

function Stores({ api, rail, stores, changed }) {
  const [store, setStore] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const choose = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      changed((await api.post(`/admin/${encodeURIComponent(rail)}/choose`, { store })).done);
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  return html`<form onSubmit=${choose}>
    <fieldset>
      <legend>Which store is to receive the payments?</legend>
      ${Object.entries(stores).map(([id, name]) => html`<label key=${id} class="check">
        <input type="radio" name="store" value=${id} checked=${store === id} onChange=${() => setStore(id)} /> ${name}
      </label>`)}
    </fieldset>
    ${error && html`<${Failure} error=${error} />`}
    <div class="actions"><button type="submit" class="primary" disabled=${!store || busy}>${busy ? "Connecting…" : "Use this store"}</button></div>
  </form>`;
}

export function Start({ api, rail, connection, onClose }) {
  const begin = async () => {
    const { redirect } = await api.post(`/admin/${encodeURIComponent(rail)}/connect`);
    if (!/^https?:\/\//.test(redirect)) throw new Error(`${rail} named no page to go to; look at its address in the settings.`);
    location.assign(redirect);
    await new Promise(() => {}); // this page is about to go away
  };
  const again = connection?.connected
    ? " Connecting again ends the present key. Orders that are still open at another store can then not be seen any more."
    : "";
  return html`<${ActionDialog} title=${`Connect ${rail}`} action="Go on" onSubmit=${begin} onClose=${onClose}
    text=${`You leave for ${connection?.public_url ?? rail}: log in there, pick the store and consent. It then sends you back here, and the relay makes its webhook by itself. You have half an hour.${again}`} />`;
}

function Disconnect({ api, rail, changed, onClose }) {
  const submit = async () => changed((await api.post(`/admin/${encodeURIComponent(rail)}/disconnect`)).done);
  return html`<${ActionDialog} title=${`Disconnect ${rail}`} danger action="Disconnect" typed="disconnect"
    text="Nobody can buy through it any more, and payments of open orders can not be seen. The relay's webhook and key there are removed."
    onSubmit=${submit} onClose=${onClose} />`;
}
