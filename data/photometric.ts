// Changes of brightness and colour, as Pillow's ImageOps and ImageEnhance define them and equal to it in every bit.
// Most are a table of 256 bytes; those that mix channels or neighbours work on an image `[channels, side, side]`.

/** A table of what becomes of every byte. A loop, because `Uint8Array.from` takes longer than looking an image up. */
function tableOf(change: (byte: number) => number): Uint8Array {
  const table = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) table[byte] = change(byte);
  return table;
}

/** Keeps the `bits` highest bits of every byte. */
export function posterizeTable(bits: number): Uint8Array {
  const mask = 256 - 2 ** (8 - bits);
  return tableOf((byte) => byte & mask);
}

/** Inverts every byte from `threshold` on: all of them at 0, none at 256. */
export function solarizeTable(threshold: number): Uint8Array {
  return tableOf((byte) => (byte < threshold ? byte : 255 - byte));
}

/**
 * Moves every byte away from `grey` (factor above 1) or towards it: contrast about the mean luminance, brightness
 * about 0.
 */
export function contrastTable(grey: number, factor: number): Uint8Array {
  return tableOf((byte) => blend(grey, byte, factor));
}

/** Stretches a channel so that its darkest byte becomes 0 and its lightest 255. */
export function autoContrastTable(plane: Uint8Array): Uint8Array {
  let low = 255;
  let high = 0;
  for (let at = 0; at < plane.length; at++) {
    const byte = plane[at] as number;
    if (byte < low) low = byte;
    if (byte > high) high = byte;
  }
  const scale = high > low ? 255 / (high - low) : 1;
  const offset = high > low ? -low * scale : 0;
  return tableOf((byte) => Math.max(0, Math.min(255, Math.trunc(byte * scale + offset))));
}

/** Spreads a channel's bytes so that about as many fall into every interval (histogram equalisation). */
export function equalizeTable(plane: Uint8Array): Uint8Array {
  const histogram = new Uint32Array(256);
  for (let at = 0; at < plane.length; at++) {
    const byte = plane[at] as number;
    histogram[byte] = (histogram[byte] as number) + 1;
  }
  const lightest = histogram.findLastIndex((count) => count > 0);
  const step = Math.floor((plane.length - (histogram[lightest] as number)) / 255);
  const table = new Uint8Array(256);
  let below = Math.floor(step / 2);
  for (let byte = 0; byte < 256; byte++) {
    table[byte] = step === 0 ? byte : Math.min(255, Math.floor(below / step));
    below += histogram[byte] as number;
  }
  return table;
}

/** Looks every byte of a plane up, where it lies. */
export function applyTable(plane: Uint8Array, table: Uint8Array): void {
  for (let at = 0; at < plane.length; at++) plane[at] = table[plane[at] as number] as number;
}

/** Mean luminance (ITU-R BT.601) of RGB, or of the one channel of a grey image; the plain mean of other channels. */
export function meanGrey(image: Uint8Array, channels: number): number {
  const plane = image.length / channels;
  let sum = 0;
  if (channels === 3) for (let at = 0; at < plane; at++) sum += luminance(image, at, plane);
  else for (let at = 0; at < image.length; at++) sum += image[at] as number;
  return Math.floor(sum / (channels === 3 ? plane : image.length) + 0.5);
}

/** Moves the colours of RGB away from grey (factor above 1) or towards it, pixel by pixel. Other images stay. */
export function saturate(image: Uint8Array, channels: number, factor: number): void {
  if (channels !== 3) return;
  const plane = image.length / 3;
  for (let at = 0; at < plane; at++) {
    const grey = luminance(image, at, plane);
    for (let place = at; place < image.length; place += plane)
      image[place] = blend(grey, image[place] as number, factor);
  }
}

/**
 * Moves an image away from its smoothed self (factor above 1) or towards it. Smoothed: the mean of 3×3 pixels, the
 * middle one counted five times; pixels at the edge stay.
 */
export function sharpen(image: Uint8Array, side: number, factor: number, scratch: Uint8Array): void {
  scratch.set(image);
  for (let plane = 0; plane < image.length; plane += side * side)
    for (let row = 1; row < side - 1; row++) {
      const start = plane + row * side;
      // Sums of three rows, carried along, so that a pixel is read three times rather than nine.
      let before = columnSum(scratch, start, side);
      let here = columnSum(scratch, start + 1, side);
      for (let at = start + 1; at < start + side - 1; at++) {
        const after = columnSum(scratch, at + 1, side);
        const middle = scratch[at] as number;
        image[at] = blend(Math.floor((before + here + after + 4 * middle) / 13 + 0.5), middle, factor);
        before = here;
        here = after;
      }
    }
}

function columnSum(image: Uint8Array, at: number, side: number): number {
  return (image[at - side] as number) + (image[at] as number) + (image[at + side] as number);
}

function luminance(image: Uint8Array, at: number, plane: number): number {
  const red = image[at] as number;
  const green = image[at + plane] as number;
  const blue = image[at + 2 * plane] as number;
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

/** `from` + factor × (`to` − `from`) in single precision, cut to a byte: Pillow's Image.blend. */
function blend(from: number, to: number, factor: number): number {
  const value = Math.fround(from + Math.fround(Math.fround(factor) * (to - from)));
  return value <= 0 ? 0 : value >= 255 ? 255 : Math.trunc(value);
}
