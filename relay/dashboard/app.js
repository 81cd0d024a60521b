// The shell: who is logged in, the header, the tabs. Each tab is a module, loaded when it is first opened. Its component
// gets { api, notify, query, setQuery, go }: the API, messages, what the address says, and ways to change it.

import { html, render, useCallback, useEffect, useMemo, useState } from "./lib/html.js";
import { createApi } from "./lib/api.js";
import { adoptSearch, useRoute } from "./lib/router.js";
import { Tabs } from "./lib/tabs.js";
import { applyTheme, useTheme } from "./lib/theme.js";
import { Toasts, useToasts } from "./lib/toast.js";
import { Failure, Loading } from "./lib/ui.js";
import { Login } from "./login.js";

const TABS = [
  { id: "overview", label: "Overview", load: async () => (await import("./tabs/overview.js")).Overview },
  { id: "jobs", label: "Jobs", load: async () => (await import("./tabs/jobs.js")).Jobs },
  { id: "users", label: "Users", load: async () => (await import("./tabs/users.js")).Users },
  { id: "payments", label: "Payments", load: async () => (await import("./tabs/payments.js")).Payments },
  { id: "internal-meetings", label: "Internal Meetings", load: async () => (await import("./tabs/meetings.js")).Meetings },
  { id: "settings", label: "Settings", load: async () => (await import("./tabs/settings.js")).Settings },
];
const IDS = TABS.map((tab) => tab.id);

function App() {
  const [session, setSession] = useState({ state: "asking" });
  const { toasts, notify, close } = useToasts();
  const route = useRoute(IDS);
  const api = useMemo(() => createApi({ onExpired: () => setSession((old) => ({ ...old, state: "expired" })) }), []);

  const ask = useCallback(async () => {
    setSession({ state: "asking" });
    try {
      const status = await api.status();
      setSession({ state: status.authenticated ? "in" : "out", version: status.version });
    } catch (error) {
      setSession({ state: "unreachable", error });
    }
  }, []);
  useEffect(() => {
    ask();
  }, []);
  const logout = async () => {
    try {
      await api.logout();
      setSession((old) => ({ ...old, state: "left" }));
    } catch (error) {
      notify(error);
    }
  };
  const entered = () => setSession((old) => ({ ...old, state: "in" }));

  if (session.state === "asking") return html`<main class="lone"><${Loading} text="Asking the relay…" /></main>`;
  if (session.state === "unreachable") {
    return html`<main class="lone"><${Failure} error=${session.error} onRetry=${ask} /></main>`;
  }
  if (session.state !== "in") return html`<${Login} api=${api} why=${session.state} onEntered=${entered} />`;
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <${Header} version=${session.version} current=${route.tab} onSelect=${(id) => route.go(id)} onLogout=${logout} />
    <${Panel} key=${route.tab} tab=${TABS.find((tab) => tab.id === route.tab)} ...${{ api, notify }}
      query=${route.query} setQuery=${route.setQuery} go=${route.go} />
    <${Toasts} toasts=${toasts} close=${close} />`;
}

function skip(event) {
  event.preventDefault(); // the hash belongs to the router
  document.getElementById("main").focus();
}

function Header({ version, current, onSelect, onLogout }) {
  return html`<header class="top">
    <div class="brand">
      <img src=${new URL("icon.svg", import.meta.url).href} alt="" width="26" height="26" />
      <h1>Relay</h1>
      ${version && html`<span class="muted">${version}</span>`}
    </div>
    <${Tabs} tabs=${TABS} current=${current} onSelect=${onSelect} />
    <div class="tools">
      <${ThemeSwitch} />
      <button type="button" class="quiet" onClick=${onLogout}>Log out</button>
    </div>
  </header>`;
}

const NEXT_THEME = { auto: "light", light: "dark", dark: "auto" };
const SIGN = { auto: "◐", light: "☀", dark: "☾" };

function ThemeSwitch() {
  const [theme, setTheme] = useTheme();
  return html`<button type="button" class="quiet" title="Colours: automatic, light or dark"
    onClick=${() => setTheme(NEXT_THEME[theme])}><span aria-hidden="true">${SIGN[theme]}</span><span class="hidden">Colours: </span>${theme}</button>`;
}

function Panel({ tab, ...given }) {
  const [view, setView] = useState({ Component: null, error: null });
  const load = useCallback(async () => {
    setView({ Component: null, error: null });
    try {
      setView({ Component: await tab.load(), error: null });
    } catch {
      const text = "This part could not be loaded. If the relay was upgraded or restarted just now, load the page again.";
      setView({ Component: null, error: new Error(text) });
    }
  }, []);
  useEffect(() => {
    load();
    document.title = `${tab.label} · Relay`;
  }, []);
  return html`<main id="main" role="tabpanel" tabindex="-1" aria-labelledby=${`tab-${tab.id}`}>
    ${view.error && html`<${Failure} error=${view.error} onRetry=${() => location.reload()} />`}
    ${!view.error && !view.Component && html`<${Loading} />`}
    ${view.Component && html`<${view.Component} ...${given} />`}
  </main>`;
}

applyTheme();
adoptSearch(IDS);
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
