// Jobs: what runs and waits now (looked at every 5 s), what was, and one job in detail. All in the address.

import { html } from "../lib/html.js";
import { DetailPanel } from "./jobs/detail.js";
import { History } from "./jobs/history.js";
import { LiveJobs } from "./jobs/live.js";

export function Jobs({ api, notify, query, setQuery }) {
  const open = (job) => setQuery({ job });
  return html`
    <h2 class="hidden">Jobs</h2>
    <${LiveJobs} api=${api} onOpen=${open} />
    <${History} api=${api} query=${query} setQuery=${setQuery} onOpen=${open} />
    ${query.job && html`<${DetailPanel} key=${query.job} id=${query.job} api=${api} notify=${notify} onClose=${() => setQuery({ job: null })} />`}`;
}
