// Who may get in: scoped keys, sessions, and the password.

import { html } from "../../lib/html.js";
import { Keys } from "./keys.js";
import { Password } from "./password.js";
import { Sessions } from "./sessions.js";

export const Access = ({ api, notify }) => html`
  <${Keys} ...${{ api, notify }} />
  <${Sessions} ...${{ api, notify }} />
  <${Password} ...${{ api, notify }} />`;
