// Calls of the admin API.
//
//   const api = createApi({ onExpired });          onExpired(): called when the session has ended (a 401)
//   await api.get("/admin/credits", { q, limit }, { signal, timeout })      -> the answer's object
//   await api.post(path, body) · api.put(path, body) · api.patch(path, body) · api.del(path, body)
//   await api.send(method, path, { query, body, raw, headers, signal, timeout })    raw: a Blob, File or FormData
//   await api.stream(path, body, onEvent, { signal })       server-sent events: onEvent({ event, data }); data is parsed
//   api.url(path, query)                                    for links and downloads; empty values are left out
//   await api.status() · api.login(password) · api.logout(everywhere)
//
// A failure throws ApiError { message, status, code, details, requestId, retryAfter }; status 0: no answer came.
// A 409 carries what differs in `details`. An AbortError of the caller's own signal is thrown as it is.

const TIMEOUT_MS = 30_000;

export class ApiError extends Error {
  constructor(message, { status = 0, code = "no_answer", details = {}, requestId = null, retryAfter = null } = {}) {
    super(message);
    this.name = "ApiError";
    Object.assign(this, { status, code, details, requestId, retryAfter });
  }
}

export function createApi({ onExpired }) {
  let csrf = null;

  async function exchange(method, path, { query, body, raw, headers = {}, signal, timeout = TIMEOUT_MS } = {}) {
    const { clock, stop } = deadline(signal, timeout);
    const sent = { ...headers };
    if (csrf && method !== "GET") sent["X-CSRF-Token"] = csrf;
    if (raw === undefined && body !== undefined) sent["Content-Type"] = "application/json";
    try {
      const response = await fetch(url(path, query), {
        method,
        headers: sent,
        body: raw ?? (body === undefined ? undefined : JSON.stringify(body)),
        signal: clock.signal,
        cache: "no-store",
        credentials: "same-origin",
      });
      return await read(response);
    } catch (error) {
      if (error instanceof ApiError || signal?.aborted) throw error;
      throw new ApiError(
        clock.signal.aborted
          ? `The relay did not answer within ${Math.round(timeout / 1000)} seconds. Try again.`
          : "The relay cannot be reached. Is it running, and are you still on its network?",
      );
    } finally {
      stop();
    }
  }

  async function send(method, path, options = {}) {
    try {
      return await exchange(method, path, options);
    } catch (error) {
      if (error.status === 401 && error.code !== "bad_password") onExpired();
      // Another tab has logged in again: its token is ours too. A refused call did nothing, so it may be repeated.
      if (error.status === 403 && method !== "GET" && (await renewed())) return exchange(method, path, options);
      throw error;
    }
  }

  async function renewed() {
    const before = csrf;
    const now = await status();
    return now.authenticated && csrf !== before;
  }

  async function status() {
    const answer = await exchange("GET", "/admin/status");
    csrf = answer.csrf_token ?? null;
    return answer;
  }

  async function login(password) {
    const answer = await exchange("POST", "/admin/login", { body: { password } });
    csrf = answer.csrf_token;
    return answer;
  }

  async function logout(everywhere = false) {
    await send("POST", "/admin/logout", { body: everywhere ? { everywhere: true } : {} });
    csrf = null;
  }

  async function stream(path, body, onEvent, { signal } = {}) {
    const headers = { Accept: "text/event-stream", "Content-Type": "application/json", "X-CSRF-Token": csrf ?? "" };
    const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
    if (!response.ok) return read(response);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      const blocks = (rest + (value ?? "")).split("\n\n");
      rest = blocks.pop();
      blocks.map(parseEvent).filter(Boolean).forEach(onEvent);
      if (done) return null;
    }
  }

  return {
    send,
    stream,
    status,
    login,
    logout,
    url,
    get: (path, query, options) => send("GET", path, { ...options, query }),
    post: (path, body = {}, options) => send("POST", path, { ...options, body }),
    put: (path, body = {}, options) => send("PUT", path, { ...options, body }),
    patch: (path, body = {}, options) => send("PATCH", path, { ...options, body }),
    del: (path, body, options) => send("DELETE", path, { ...options, body }),
  };
}

export function url(path, query) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") words.set(name, value);
  }
  const text = words.toString();
  return text ? `${path}?${text}` : path;
}

async function read(response) {
  const requestId = response.headers.get("X-Request-Id");
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  let answer = null;
  try {
    answer = await response.json();
  } catch {
    throw new ApiError(`The relay's answer (${response.status}) could not be read.`, { status: response.status, requestId });
  }
  if (response.ok) return answer;
  const { code = "unknown", message = `The relay answered ${response.status}.`, details = {} } = answer?.error ?? {};
  throw new ApiError(message, { status: response.status, code, details, requestId, retryAfter });
}

function deadline(signal, timeout) {
  const clock = new AbortController();
  const abort = () => clock.abort();
  const timer = setTimeout(abort, timeout);
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort);
  const stop = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  };
  return { clock, stop };
}

function parseEvent(block) {
  const event = { event: "message", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) event.event = line.slice(6).trim();
    if (line.startsWith("data:")) event.data += line.slice(5).trim();
  }
  return event.data ? { ...event, data: JSON.parse(event.data) } : null;
}
