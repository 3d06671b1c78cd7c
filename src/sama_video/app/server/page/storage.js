// What the browser keeps: sessions and clips in IndexedDB, what is being written in localStorage, which is saved at once.

const NAME = "sama-video";
const LARGEST_CLIP = 256 * 2 ** 20;
const MOST_SESSIONS = 30;
const MOST_CLIPS = 8;
const SAVE_MILLISECONDS = 250;

/**
 * Where sessions live. Without IndexedDB (private windows of some browsers) the page works and forgets.
 *
 * @param onFull called when a session cannot be saved for want of room
 */
export async function openStorage(onFull) {
  const database = await openDatabase().catch(() => null);
  const waiting = new Map();
  let timer = null;
  let pause = SAVE_MILLISECONDS;
  let leaving = false;

  async function flush() {
    clearTimeout(timer);
    timer = null;
    if (leaving) return;
    const rows = [...waiting.values()];
    waiting.clear();
    const begun = performance.now();
    const writing = rows.map((doc) => put("sessions", { ...doc, savedAt: Date.now() }));
    // A session with many masks takes long to copy: then it is saved less often.
    pause = Math.max(SAVE_MILLISECONDS, 10 * (performance.now() - begun));
    await Promise.all(writing);
  }

  // Committed at once: a transaction that is still open when the page goes away is lost.
  function write(store, act) {
    const transaction = database.transaction(store, "readwrite");
    const done = settled(act(transaction.objectStore(store)));
    transaction.commit();
    return done;
  }

  async function put(store, row) {
    if (!database) return;
    const isFull = (error) => {
      if (error?.name !== "QuotaExceededError") throw error;
      return true;
    };
    const full = await write(store, (rows) => rows.put(row)).catch(isFull);
    if (full !== true || store === "clips") return;
    // Clips can be sent again, sessions cannot be held again.
    await write("clips", (rows) => rows.clear());
    if ((await write(store, (rows) => rows.put(row)).catch(isFull)) === true) onFull();
  }

  const read = (store, id) => (database ? settled(database.transaction(store).objectStore(store).get(id)) : null);
  const all = (store) => (database ? settled(database.transaction(store).objectStore(store).getAll()) : []);

  async function remove(store, id) {
    if (database) await write(store, (rows) => rows.delete(id));
  }

  // What a page that goes away still sees, like its own requests breaking off, is not what happened in the session.
  window.addEventListener("pagehide", () => {
    flush();
    leaving = true;
  });
  window.addEventListener("pageshow", () => {
    leaving = false;
    if (waiting.size) flush();
  });
  document.addEventListener("visibilitychange", () => document.hidden && flush());

  return {
    works: database !== null,
    /** Save a session soon; the last state counts. */
    save(doc) {
      waiting.set(doc.id, doc);
      timer ??= setTimeout(flush, pause);
    },
    flush,
    session: (id) => read("sessions", id),
    async recent() {
      const rows = (await all("sessions")).sort((a, b) => b.savedAt - a.savedAt);
      for (const old of rows.slice(MOST_SESSIONS)) remove("sessions", old.id);
      const used = new Set(rows.slice(0, MOST_CLIPS).map((doc) => doc.file.id));
      const clips = database ? await settled(database.transaction("clips").objectStore("clips").getAllKeys()) : [];
      for (const id of clips) if (!used.has(id)) remove("clips", id);
      return rows.slice(0, MOST_SESSIONS);
    },
    forget(id) {
      waiting.delete(id);
      return remove("sessions", id);
    },
    /** Keep a clip's bytes, so that a server which has lost it can be given it again. */
    async keepClip(id, blob) {
      if (blob.size <= LARGEST_CLIP) await put("clips", { id, blob });
    },
    clip: async (id) => (await read("clips", id))?.blob ?? null,
  };
}

/** What is being written, saved as it is typed. */
export const drafts = {
  save(id, draft) {
    try {
      if (draft.length) localStorage.setItem(`sama.draft.${id}`, JSON.stringify(draft));
      else localStorage.removeItem(`sama.draft.${id}`);
    } catch {
      // A full store: the session itself is saved elsewhere, a moment later.
    }
  },
  read(id) {
    try {
      return JSON.parse(localStorage.getItem(`sama.draft.${id}`)) ?? [];
    } catch {
      return [];
    }
  },
};

/** Which session this tab shows; it outlives a reload, and a copied tab learns that another has it. */
export const tab = {
  session: () => sessionStorage.getItem("sama.session"),
  show(id) {
    if (id) sessionStorage.setItem("sama.session", id);
    else sessionStorage.removeItem("sama.session");
  },
};

let release = null;

/** Hold a session for this tab; false when another tab has it. Browsers offer locks on safe origins only. */
export async function holdSession(id) {
  release?.();
  release = null;
  if (!navigator.locks || !id) return true;
  // A page that is being left gives its lock back a moment after the next one has begun.
  return (await grab(id)) || (await new Promise((done) => setTimeout(done, 300))) || grab(id);
}

function grab(id) {
  return new Promise((resolve) => {
    navigator.locks.request(`sama.session.${id}`, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock ? new Promise((done) => (release = done)) : undefined;
    });
  });
}

function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("sessions", { keyPath: "id" });
      request.result.createObjectStore("clips", { keyPath: "id" });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
