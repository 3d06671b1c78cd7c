// Colours of objects: those of regions/ink.py, so that the page and the files it gives away look alike.

const BASE = [
  [230, 159, 0],
  [86, 180, 233],
  [0, 158, 115],
  [204, 121, 167],
  [240, 228, 66],
  [0, 114, 178],
  [213, 94, 0],
  [170, 255, 195],
  [120, 28, 129],
  [255, 200, 221],
  [102, 78, 20],
  [40, 50, 90],
  [190, 190, 190],
];
const GOLDEN_ANGLE = 0.381966;
const LIGHTNESS = [0.62, 0.38, 0.75, 0.5, 0.28];

/** [red, green, blue] of the object with a number, counted from 1. */
export function palette(number) {
  const place = number - 1;
  if (place < BASE.length) return BASE[place];
  const hue = (0.07 + place * GOLDEN_ANGLE) % 1;
  return fromHls(hue, LIGHTNESS[place % LIGHTNESS.length], 0.85);
}

/** Black or white, whichever reads better on a colour. */
export function textOn(colour) {
  const [red, green, blue] = colour.map((channel) => linear(channel / 255));
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return (luminance + 0.05) ** 2 > 1.05 * 0.05 ? [0, 0, 0] : [255, 255, 255];
}

/** A colour for style sheets and canvases. */
export function css([red, green, blue], alpha = 1) {
  return alpha === 1 ? `rgb(${red} ${green} ${blue})` : `rgb(${red} ${green} ${blue} / ${alpha})`;
}

/** Give an element its object's colours, as --ink and --on-ink. */
export function colour(element, number) {
  const ink = palette(number);
  element.style.setProperty("--ink", css(ink));
  element.style.setProperty("--on-ink", css(textOn(ink)));
  return element;
}

function linear(channel) {
  return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
}

function fromHls(hue, lightness, saturation) {
  const high = lightness <= 0.5 ? lightness * (1 + saturation) : lightness + saturation - lightness * saturation;
  const low = 2 * lightness - high;
  return [hue + 1 / 3, hue, hue - 1 / 3].map((turn) => Math.round(255 * channelAt(low, high, turn)));
}

function channelAt(low, high, turn) {
  const at = ((turn % 1) + 1) % 1;
  if (at < 1 / 6) return low + (high - low) * at * 6;
  if (at < 1 / 2) return high;
  return at < 2 / 3 ? low + (high - low) * (2 / 3 - at) * 6 : low;
}
