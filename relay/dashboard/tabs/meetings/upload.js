// Sending a recording in pieces: it can be paused, survives a lost connection, and goes on after the page was loaded
// again, when the same file is chosen (by its name and size).

const TRIES = 6;
const WAIT_MS = [1000, 2000, 5000, 10_000, 20_000];
const PIECE_MS = 600_000;

const key = (file) => `relay-upload ${file.size} ${file.name}`;

/** The id of the meeting that this file's earlier, unfinished upload belongs to, or null. */
function remembered(file) {
  try {
    return localStorage.getItem(key(file));
  } catch {
    return null;
  }
}

function remember(file, id) {
  try {
    if (id) localStorage.setItem(key(file), id);
    else localStorage.removeItem(key(file));
  } catch {
    // Without storage an upload cannot go on after a reload; it still goes on after a pause.
  }
}

/** Where a file stands: {id, offset, chunk}, found again or made anew. `known`: the meetings that wait for a file. */
export async function begin(api, file, known = []) {
  const waiting = known.find((row) => row.state === "uploading" && row.bytes === file.size && row.filename === file.name);
  for (const id of [remembered(file), waiting?.id]) {
    const found = id && (await state(api, id));
    if (found && !found.complete) return { id, offset: found.offset, chunk: found.chunk_bytes };
  }
  const title = file.name.replace(/\.[A-Za-z0-9]{1,5}$/, "") || file.name;
  const { meeting, upload } = await api.post("/admin/internal-meetings", { title, filename: file.name, bytes: file.size });
  remember(file, meeting.id);
  return { id: meeting.id, offset: upload.offset, chunk: upload.chunk_bytes };
}

/** null: there is no such meeting any more. */
async function state(api, id) {
  try {
    return (await api.get(`/admin/internal-meetings/${encodeURIComponent(id)}/upload`)).upload;
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** Send the rest. `onProgress(bytes)`. Ends when all is there; throws what cannot be helped, and an abort as it is. */
export async function sendAll(api, file, { id, offset, chunk }, { signal, onProgress }) {
  const path = `/admin/internal-meetings/${encodeURIComponent(id)}/upload`;
  let failures = 0;
  let complete = false;
  // An empty piece at the end ends an upload of which all is there, when the answer to the last piece was lost.
  while (!complete) {
    onProgress(offset);
    const raw = file.slice(offset, offset + chunk);
    try {
      const headers = { "Upload-Offset": String(offset), "Content-Type": "application/octet-stream" };
      const { upload } = await api.send("PUT", path, { raw, headers, signal, timeout: PIECE_MS });
      ({ offset, complete } = upload);
      failures = 0;
    } catch (error) {
      if (signal.aborted) throw error;
      if (error.code === "wrong_offset") offset = error.details.offset;
      else if (error.code === "complete") complete = true;
      else if (!passes(error)) throw readable(error, file);
      failures += 1;
      if (failures >= TRIES) throw readable(error, file);
      if (passes(error)) await pause(WAIT_MS[Math.min(failures, WAIT_MS.length) - 1], signal);
    }
  }
  remember(file, null);
  onProgress(file.size);
}

/** What may be better in a moment: no answer, a restart, too much at once. */
const passes = (error) => error.status === 0 || error.status === 429 || error.status >= 500;

function readable(error, file) {
  if (error.name !== "NotReadableError" && error.name !== "NotFoundError") return error;
  return new Error(`${file.name} cannot be read any more. Was it moved or changed? Choose it again.`);
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
