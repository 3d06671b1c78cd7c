// An answer's text cut into what is shown: plain words, phrases bound to objects, and spans of time.

const SECONDS = "(\\d+(?:\\.\\d+)?)";
const UNIT = "\\s?(?:s|sec|secs|seconds?)\\b";
const BETWEEN = "\\s?(?:to|until|till|and|through|–|—|-)\\s?";
const TIMES = new RegExp(
  `${SECONDS}(?:${UNIT})?${BETWEEN}${SECONDS}${UNIT}|${SECONDS}${UNIT}`,
  "gi",
);

/**
 * Parts of a text in order: {text}, {text, phrase} or {text, from, to}. Phrases count characters as Python does, by code
 * points. A phrase that overlaps an earlier one is left out, its words stay.
 */
export function partsOf(text, phrases = []) {
  const points = Array.from(text);
  const between = (start, end) => points.slice(start, end).join("");
  const parts = [];
  let done = 0;
  for (const phrase of [...phrases].sort((a, b) => a.start - b.start)) {
    if (phrase.start < done || phrase.end <= phrase.start || phrase.end > points.length) continue;
    parts.push(...withTimes(between(done, phrase.start)), { text: between(phrase.start, phrase.end), phrase });
    done = phrase.end;
  }
  parts.push(...withTimes(between(done, points.length)));
  return parts;
}

/** Plain text cut at its times: "from 1.2 s to 2.8 s", "1.2-2.8 s", "at 1.2 s". */
export function withTimes(text) {
  const parts = [];
  let done = 0;
  for (const found of text.matchAll(TIMES)) {
    const [from, to] = found[1] === undefined ? [Number(found[3]), null] : [Number(found[1]), Number(found[2])];
    if (to !== null && to < from) continue;
    if (found.index > done) parts.push({ text: text.slice(done, found.index) });
    parts.push({ text: found[0], from, to });
    done = found.index + found[0].length;
  }
  if (done < text.length) parts.push({ text: text.slice(done) });
  return parts;
}

/** What to call an object after the words that an answer used for it: "The red star" -> "red star". */
export function nameFrom(phrase) {
  const name = phrase.trim().replace(/^(the|a|an|this|that)\s+/i, "").slice(0, 80);
  return name || phrase.trim().slice(0, 80);
}
