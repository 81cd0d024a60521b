// The tab Settings: values, backends on trial, plugins, the configuration, who may get in, and what was done.

import { html } from "../lib/html.js";
import { Access } from "./settings/access.js";
import { Audit } from "./settings/audit.js";
import { Backends } from "./settings/backends.js";
import { Config } from "./settings/config.js";
import { Form } from "./settings/form.js";
import { Plugins } from "./settings/plugins.js";
import { Wipe } from "./settings/wipe.js";
import { Subviews, chosen } from "./subviews.js";

const VIEWS = [
  ["values", "Values", Form],
  ["plugins", "Plugins", Plugins],
  ["backends", "Test run", Backends],
  ["access", "Keys and sessions", Access],
  ["audit", "Audit log", Audit],
  ["config", "Configuration", Config],
  ["wipe", "Wipe", Wipe],
];

export function Settings(given) {
  const current = chosen(VIEWS, given.query.view);
  const [, , View] = VIEWS.find(([id]) => id === current);
  return html`
    <${Subviews} tab="settings" label="Parts of Settings" current=${current} views=${VIEWS.map(([id, text]) => [id, text])} />
    <${View} ...${given} />`;
}
