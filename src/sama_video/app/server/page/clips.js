// How a session begins: a clip is sent, the demo is picked, a saved session is opened, or one in this browser goes on.

import { newSession, objectOf, withObject } from "./document.js";
import { sessionFrom } from "./exports.js";
import { ApiError } from "./api.js";

const LARGEST_SESSION = 512 * 2 ** 20;

/**
 * @param show puts a document on the page
 * @param onProgress told {name, share} while a clip is sent, and null when that is over
 */
export function createClips({ api, storage, messages, show, onProgress, chooseVideo }) {
  let wanted = null;
  let stop = null;

  async function guarded(what, work, again) {
    try {
      await work();
    } catch (error) {
      if (error.name === "AbortError") return;
      const text = error instanceof ApiError || error instanceof SessionError ? error.message : `${what} failed: ${error.message}`;
      messages.error(text, { id: "opening", action: again && error.lost ? again : null });
    }
  }

  async function send(blob) {
    stop?.abort();
    stop = new AbortController();
    onProgress({ name: blob.name, share: 0, cancel: () => stop.abort() });
    try {
      const sent = await api.upload(blob, (share) => onProgress({ name: blob.name, share, cancel: () => stop.abort() }), stop.signal);
      storage.keepClip(sent.id, blob);
      return sent;
    } finally {
      onProgress(null);
    }
  }

  const clips = {
    /** A video from this computer. */
    video: (blob) =>
      guarded("Opening the video", async () => {
        // The server may know the same clip by another name.
        const file = { ...(await send(blob)), filename: blob.name };
        const session = wanted;
        if (session && session.video.sha256 === file.id) {
          wanted = null;
          show(sessionFrom(file, await api.post("v1/sessions", session)), blob);
        } else show(newSession(file), blob);
      }, () => clips.video(blob)),

    /** The clip that comes with the server, and what to ask about it. */
    demo: () =>
      guarded("Opening the demo", async () => {
        const { file, questions } = await api.json("v1/demo");
        show({ ...newSession(file), suggestions: questions });
      }, () => clips.demo()),

    /** A session that was downloaded. */
    saved: (blob) =>
      guarded("Opening the session", async () => {
        if (blob.size > LARGEST_SESSION) throw new SessionError(`${blob.name} is too large for a session; choose the JSON file that was downloaded here.`);
        const session = readSession(await blob.text(), blob.name);
        try {
          const checked = await api.post("v1/sessions", session);
          const file = await api.json(`v1/files/${session.video.sha256}`);
          show(sessionFrom(file, { names: session.names, ...checked }));
        } catch (error) {
          if (error.code !== "file_missing") throw error;
          wanted = session;
          messages.error(`This session is about ${session.video.source ?? "a clip"}, which the server does not have. Choose that video to go on.`, {
            id: "opening",
            action: chooseVideo,
            label: "Choose the video",
          });
        }
      }, () => clips.saved(blob)),

    /** Anything that was dropped: a session is JSON, all else should be a video. */
    dropped: (blob) => (/\.json$/i.test(blob.name) ? clips.saved(blob) : clips.video(blob)),

    /** Whether the server still has a session's clip; gives it back from what this browser kept. */
    async ensure(file) {
      try {
        return await api.json(`v1/files/${file.id}`);
      } catch (error) {
        if (error.status !== 404) throw error;
        const blob = await storage.clip(file.id);
        if (!blob) throw new ApiError(`The server does not have ${file.filename} any more; open that video again.`, { status: 404, code: "file_missing" });
        return send(new File([blob], file.filename));
      }
    },
  };
  return clips;
}

/** A suggested question as what a person would have drawn and written: the document, and the pieces of the question. */
export function suggested(doc, { question, regions = [] }) {
  let next = doc;
  const pieces = [];
  const shown = [...regions];
  for (const text of question.split(/(<region>)/)) {
    if (text !== "<region>") {
      if (text) pieces.push({ text });
      continue;
    }
    const region = shown.shift();
    const known = next.objects.find((object) => object.suggested === JSON.stringify(region));
    if (known && objectOf(next, known.key)) {
      pieces.push({ object: known.key });
      continue;
    }
    let object;
    [next, object] = withObject(next, { suggested: JSON.stringify(region), revision: 1, sightings: [sighting(region)] });
    pieces.push({ object: object.key });
  }
  return [next, pieces];
}

function sighting({ frame = 0, points = [], labels = points.map(() => 1), box = null, mask = null }) {
  return { frame, points, labels, box, hint: mask, mask, stale: mask === null, trouble: null };
}

class SessionError extends Error {}

function readSession(text, name) {
  let session;
  try {
    session = JSON.parse(text);
  } catch {
    throw new SessionError(`${name} is no JSON; choose a session that was downloaded here.`);
  }
  if (session?.schema !== "sama-session/1" || typeof session.video?.sha256 !== "string") {
    throw new SessionError(`${name} is not of the form sama-session/1; choose a session that was downloaded here.`);
  }
  return session;
}
