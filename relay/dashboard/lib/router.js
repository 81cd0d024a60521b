// The address says what is shown: #users?q=anna&sort=total. Back and forward work, and a link can be shared.
//
//   const { tab, query, go, setQuery } = useRoute(["overview", "jobs", …]);
//   go("users", { q: "anna" })                   another tab
//   setQuery({ q: "anna", offset: null })        merges; null, undefined and "" remove a word
//   setQuery({ q }, { replace: true })           without a step in the browser's history (typing)
//   href("users", { q: "anna" })                 the same as a link

import { useCallback, useEffect, useState } from "./html.js";
import { url } from "./api.js";

export const href = (tab, query) => url(`#${tab}`, query);

export function readHash(tabs) {
  const [name, words] = location.hash.slice(1).split("?", 2);
  return { tab: tabs.includes(name) ? name : tabs[0], query: Object.fromEntries(new URLSearchParams(words ?? "")) };
}

export function useRoute(tabs) {
  const [route, setRoute] = useState(() => readHash(tabs));
  useEffect(() => {
    const follow = () => setRoute(readHash(tabs));
    addEventListener("hashchange", follow);
    addEventListener("popstate", follow);
    return () => {
      removeEventListener("hashchange", follow);
      removeEventListener("popstate", follow);
    };
  }, []);

  const move = useCallback((target, replace) => {
    history[replace ? "replaceState" : "pushState"](null, "", target);
    setRoute(readHash(tabs));
  }, []);
  const go = useCallback((tab, query = {}) => move(href(tab, query), false), []);
  const setQuery = useCallback((patch, { replace = false } = {}) => {
    const now = readHash(tabs);
    move(href(now.tab, { ...now.query, ...patch }), replace);
  }, []);
  return { ...route, go, setQuery };
}

/** What a payment service's way back left in the query (/dashboard?btcpay=connected#payments) moves into the hash. */
export function adoptSearch(tabs) {
  if (!location.search) return;
  const { tab, query } = readHash(tabs);
  const found = Object.fromEntries(new URLSearchParams(location.search));
  history.replaceState(null, "", location.pathname + href(tab, { ...query, ...found }));
}
