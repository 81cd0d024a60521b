// What a job answered, as text that can be copied. It is fetched when somebody asks for it: it belongs to the caller.

import { html, useState } from "../../lib/html.js";
import { bytes, moment } from "../../lib/format.js";
import { useLoad } from "../../lib/load.js";
import { Copy, Failure, Loading } from "../../lib/ui.js";

export function Outputs({ id, outputs, api }) {
  const [shown, setShown] = useState(false);
  if (outputs.length === 0) return html`<p class="muted">Nothing is stored: there was no answer, or it was deleted by age or by hand.</p>`;
  const size = outputs.reduce((sum, one) => sum + (one.bytes ?? 0), 0);
  if (!shown) return html`<div><button type="button" onClick=${() => setShown(true)}>Show the output (${bytes(size)})</button></div>`;
  return html`<${Stored} id=${id} api=${api} />`;
}

function Stored({ id, api }) {
  const found = useLoad((signal) => api.get(`/admin/job-output/${encodeURIComponent(id)}`, {}, { signal }), [api, id]);
  if (found.error) return html`<${Failure} error=${found.error} onRetry=${found.reload} />`;
  if (!found.data) return html`<${Loading} />`;
  return found.data.outputs.map((one) => {
    const text = words(one.output);
    return html`<div key=${one.id}>
      <div class="bar"><span class="muted">${one.task}, ${moment(one.at)}, ${bytes(one.bytes)}</span><span class="end"><${Copy} text=${text} /></span></div>
      <pre class="output" tabindex="0" role="region" aria-label=${`Output of ${one.task}`}>${text}</pre>
    </div>`;
  });
}

function words(output) {
  if (typeof output === "string") return output;
  if (typeof output?.text === "string" && output.text) return output.text;
  return JSON.stringify(output, null, 2);
}
