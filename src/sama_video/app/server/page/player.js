// Time: which frame is shown. Paused, it is the server's own picture of that frame; playing, the browser's video, each of
// whose pictures says when it is, so that masks fit to the frame. A video that the browser cannot play runs as pictures.

const AHEAD = 24;

/** The frame shown at a time: the one that begins nearest, for a player's times are rounded. */
export function frameAt(times, seconds) {
  let [low, high] = [0, times.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= seconds) low = middle;
    else high = middle - 1;
  }
  const later = times[low + 1];
  return later !== undefined && later - seconds < seconds - times[low] ? low + 1 : low;
}

/**
 * Plays one clip.
 *
 * @param video a video element, seen by nobody: its pictures are painted on the stage
 * @param show called with (frame, picture) whenever another picture is to be seen
 * @param onState called with {playing, frame} when either changes
 */
export function createPlayer({ file, frames, video, show, onState, onTrouble }) {
  const { times, seconds: duration } = file.video;
  let frame = 0;
  let wanted = 0;
  let playing = false;
  let until = null;
  let rate = 1;
  let run = 0;
  let videoWorks = false;

  const closing = new AbortController();

  const listen = (type, act) => video.addEventListener(type, act, { signal: closing.signal });
  listen("loadeddata", () => (videoWorks = Boolean(video.requestVideoFrameCallback)));
  listen("error", () => (videoWorks = false));
  listen("ended", () => playing && pauseAt(times.length - 1));

  function tell() {
    onState({ playing, frame: wanted });
  }

  async function showFrame(index) {
    wanted = Math.max(0, Math.min(times.length - 1, index));
    tell();
    const mine = wanted;
    const ready = frames.ready(mine);
    try {
      const picture = ready ?? (await frames.get(mine));
      if (mine !== wanted || playing) return;
      frame = mine;
      frames.hold(frame);
      show(frame, picture);
      frames.expect(mine - 2, mine + 4);
    } catch (error) {
      if (error.name !== "AbortError" && mine === wanted) onTrouble(error, () => showFrame(mine));
    }
  }

  function pauseAt(index) {
    run++;
    playing = false;
    until = null;
    video.pause();
    return showFrame(index);
  }

  function play(to = null) {
    if (wanted >= times.length - 1) wanted = 0;
    playing = true;
    until = to;
    tell();
    const mine = ++run;
    if (videoWorks) playVideo(mine);
    else playPictures(mine);
  }

  function isOver(index) {
    return until !== null && times[index] >= until - 1e-6;
  }

  function playVideo(mine) {
    const onPicture = (_, { mediaTime }) => {
      if (mine !== run) return;
      const { picture, seconds } = taken(mediaTime);
      const index = frameAt(times, seconds);
      if (isOver(index)) {
        if (picture !== video) picture.close();
        return void pauseAt(frameAt(times, until));
      }
      frame = wanted = index;
      show(index, picture);
      tell();
      video.requestVideoFrameCallback(onPicture);
    };
    video.playbackRate = rate;
    // The middle of a frame is safely inside it, however times were rounded.
    video.currentTime = (times[wanted] + (times[wanted + 1] ?? duration)) / 2;
    video.requestVideoFrameCallback(onPicture);
    video.play().catch(() => {
      if (mine !== run) return;
      videoWorks = false;
      playPictures(mine);
    });
  }

  /** The picture of this moment with its own time: the video may have gone on since it told of one. */
  function taken(mediaTime) {
    // Not every browser has VideoFrame; without it, the time that was told must do.
    if (typeof VideoFrame !== "function") return { picture: video, seconds: mediaTime };
    const picture = new VideoFrame(video);
    return { picture, seconds: picture.timestamp / 1e6 };
  }

  /** Wait for pictures rather than leave some out. */
  async function playPictures(mine) {
    let [start, from] = [performance.now(), times[wanted]];
    while (mine === run) {
      frames.expect(wanted, wanted + AHEAD);
      const ready = frames.ready(wanted);
      let picture;
      try {
        picture = ready ?? (await frames.get(wanted));
      } catch (error) {
        if (mine === run) pauseAt(frame);
        return;
      }
      if (mine !== run) return;
      if (!ready) [start, from] = [performance.now(), times[wanted]];
      frame = wanted;
      frames.hold(frame);
      show(frame, picture);
      tell();
      if (isOver(frame) || frame === times.length - 1) return void pauseAt(frame);
      const due = start + ((times[frame + 1] - from) / rate) * 1000;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
      if (mine !== run) return;
      const now = from + ((performance.now() - start) / 1000) * rate;
      wanted = Math.max(frame + 1, Math.min(times.length - 1, frameAt(times, now)));
    }
  }

  return {
    frame: () => frame,
    wanted: () => wanted,
    playing: () => playing,
    seek: (index) => pauseAt(index),
    step: (by) => pauseAt(wanted + by),
    toggle: () => (playing ? pauseAt(wanted) : play()),
    pause: () => playing && pauseAt(wanted),
    /** From one time to another, then stop. */
    playSpan(from, to) {
      pauseAt(frameAt(times, from));
      play(to);
    },
    setRate(value) {
      rate = value;
      video.playbackRate = value;
      if (playing && !videoWorks) play(until);
    },
    close() {
      run++;
      playing = false;
      closing.abort();
      video.pause();
      video.removeAttribute("src");
      video.load();
    },
  };
}
