// The one place that knows the vendored libraries. Every module takes what it needs from here:
//   import { html, useState, useEffect } from "../lib/html.js";
// html`<p class=${name}>${text}</p>` makes Preact elements; text is always text, never markup.

import { Fragment, h, render } from "../vendor/preact.js";
import htm from "../vendor/htm.js";

export { useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "../vendor/hooks.js";
export { Fragment, h, render };
export const html = htm.bind(h);
