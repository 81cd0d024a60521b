// Loading with states, and looking again.
//
//   const list = useLoad((signal) => api.get("/admin/jobs", {}, { signal }), [api, q], { every: 5000 });
//   list.data      the newest answer, or null; the old one stays while the next is on its way
//   list.error     why the newest attempt failed, or null
//   list.loading   an attempt is on its way
//   list.reload()  ask again now
//
// A change of the dependencies cancels what is on its way. `every` (ms) looks again, never while the tab is hidden, and
// at once when it is shown again. With `every: null` it looks only when asked.

import { useCallback, useEffect, useRef, useState } from "./html.js";

export function useLoad(load, deps, { every = null } = {}) {
  const [state, setState] = useState({ data: null, error: null, loading: true });
  const running = useRef(null);

  const reload = useCallback(async () => {
    running.current?.abort();
    const turn = new AbortController();
    running.current = turn;
    setState((old) => ({ ...old, loading: true }));
    try {
      const data = await load(turn.signal);
      if (running.current === turn) setState({ data, error: null, loading: false });
    } catch (error) {
      if (running.current === turn) setState((old) => ({ ...old, error, loading: false }));
    }
  }, deps);

  useEffect(() => {
    reload();
    return () => {
      running.current?.abort();
      running.current = null;
    };
  }, [reload]);

  useEffect(() => {
    if (every === null) return undefined;
    const look = () => document.hidden || reload();
    const timer = setInterval(look, every);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [reload, every]);

  return { ...state, reload };
}
