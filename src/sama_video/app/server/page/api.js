// The server's doors. Every failure becomes an ApiError with one line that can be shown as it is.

import { events } from "./sse.js";

const KEY = "sama.key";
const LONGEST_WAIT_SECONDS = 30;
const TRIES_WHEN_BUSY = 4;

/** What went wrong. `status` is 0 when the server cannot be reached. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
  }

  get lost() {
    return this.status === 0;
  }
}

/**
 * A client of one server.
 *
 * @param askForKey called when the server wants a key; resolves with one, and whether to remember it, or null
 * @param onState told "lost" when the server does not answer and "back" when it does again
 */
export function createApi({ askForKey, onState }) {
  let key = sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY);
  let asking = null;
  let lost = false;

  function url(path) {
    return new URL(path, document.baseURI);
  }

  function headers(extra = {}) {
    return key ? { ...extra, Authorization: `Bearer ${key}` } : extra;
  }

  async function newKey() {
    asking ??= askForKey().finally(() => (asking = null));
    const given = await asking;
    if (!given) throw new ApiError("This server needs a key; enter it to go on.", { status: 401 });
    key = given.key;
    (given.remember ? localStorage : sessionStorage).setItem(KEY, key);
  }

  async function send(path, options = {}) {
    for (let tries = 1; ; tries++) {
      const used = key;
      const response = await reach(() => fetch(url(path), { ...options, headers: headers(options.headers) }));
      if (response.ok) return response;
      if (response.status === 401) {
        if (key === used) await newKey();
        continue;
      }
      const busy = response.status === 429 || (response.status === 503 && response.headers.has("Retry-After"));
      if (!busy || tries === TRIES_WHEN_BUSY) throw await failure(response);
      const seconds = Math.min(Number(response.headers.get("Retry-After")) || 1, LONGEST_WAIT_SECONDS);
      options.onWait?.(seconds);
      await pause(seconds * 1000, options.signal);
    }
  }

  async function reach(attempt) {
    try {
      const result = await attempt();
      if (lost) setLost(false);
      return result;
    } catch (error) {
      if (error.name === "AbortError") throw error;
      setLost(true);
      throw gone();
    }
  }

  function setLost(now) {
    if (lost === now) return;
    lost = now;
    onState(now ? "lost" : "back");
    if (now) knock();
  }

  /** Look now and then whether the server is back. */
  function knock(wait = 500) {
    setTimeout(async () => {
      if (!lost) return;
      const there = await fetch(url("health")).then((response) => response.ok, () => false);
      if (there) setLost(false);
      else knock(Math.min(wait * 1.5, 10000));
    }, wait);
  }

  /** A server that refuses early closes the line while the browser still sends: not lost, if it answers elsewhere. */
  async function cutOff(error) {
    if (error.name === "AbortError") throw error;
    const there = await fetch(url("health")).then((response) => response.ok, () => false);
    if (!there) throw error;
    return { status: 413, text: "" };
  }

  const asJson = (body, options = {}) => ({
    ...options,
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });

  return {
    key: () => key,
    url,
    json: async (path, options) => (await send(path, options)).json(),
    post: async (path, body, options) => (await send(path, asJson(body, options))).json(),
    blob: async (path, options) => (await send(path, options)).blob(),
    postForFile: async (path, body) => {
      const response = await send(path, asJson(body));
      return { blob: await response.blob(), name: fileName(response) };
    },
    /** The documents of an event stream; one that breaks off is a lost server. */
    async *stream(path, body, options) {
      const response = await send(path, asJson(body, options));
      const source = events(response);
      for (;;) {
        const step = await reach(() => source.next());
        if (step.done) return;
        if (step.value.error) throw new ApiError(step.value.error.message, { status: 500, code: step.value.error.code });
        yield step.value;
      }
    },
    /** Send a file and hear how far it is. */
    async upload(file, onProgress, signal) {
      for (;;) {
        const used = key;
        const reply = await reach(() => uploadOnce(url("v1/files"), headers(), file, onProgress, signal).catch(cutOff));
        if (reply.status !== 401) return readUpload(reply);
        if (key === used) await newKey();
      }
    },
  };
}

function uploadOnce(address, headers, file, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () => resolve({ status: request.status, text: request.responseText });
    request.onerror = () => reject(new TypeError("upload failed"));
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    const form = new FormData();
    form.append("purpose", "user_data");
    form.append("file", file, file.name);
    request.send(form);
  });
}

function readUpload({ status, text }) {
  const document = parsed(text);
  if (status >= 200 && status < 300 && document) return document;
  throw new ApiError(document?.error?.message ?? plainReason(status), { status, code: document?.error?.code ?? null });
}

async function failure(response) {
  const document = parsed(await response.text().catch(() => ""));
  const told = document?.error;
  return new ApiError(told?.message ?? plainReason(response.status), { status: response.status, code: told?.code ?? null });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function plainReason(status) {
  const reasons = { 413: "The file is larger than this server takes.", 503: "The server is stopping or still starting." };
  return reasons[status] ?? `The server answered with status ${status} and no reason.`;
}

function gone() {
  return new ApiError("The server does not answer. What you wrote and drew is kept.");
}

function fileName(response) {
  const disposition = response.headers.get("Content-Disposition") ?? "";
  const encoded = /filename\*=UTF-8''([^;]+)/i.exec(disposition);
  return encoded ? decodeURIComponent(encoded[1]) : (/filename="?([^";]+)"?/i.exec(disposition)?.[1] ?? null);
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    });
  });
}
