/**
 * Where a pixel comes from: the pixel at (x, y) from the middle shows what was at
 * (`xx`·x + `xy`·y + `right`, `yx`·x + `yy`·y + `down`) from the middle, in pixels, y downwards.
 */
export interface Warp {
  readonly xx: number;
  readonly xy: number;
  readonly yx: number;
  readonly yy: number;
  readonly right: number;
  readonly down: number;
}

const inPlace: Warp = { xx: 1, xy: 0, yx: 0, yy: 1, right: 0, down: 0 };

/** Columns lean by `slope` pixels a row. */
export function shearX(slope: number): Warp {
  return { ...inPlace, xy: slope };
}

/** Rows lean by `slope` pixels a column. */
export function shearY(slope: number): Warp {
  return { ...inPlace, yx: slope };
}

/** What is `pixels` to the right moves to where it is looked for. */
export function translateX(pixels: number): Warp {
  return { ...inPlace, right: pixels };
}

/** What is `pixels` below moves to where it is looked for. */
export function translateY(pixels: number): Warp {
  return { ...inPlace, down: pixels };
}

/** Counter-clockwise about the middle. */
export function rotate(degrees: number): Warp {
  const angle = (degrees * Math.PI) / 180;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return { ...inPlace, xx: cos, xy: -sin, yx: sin, yy: cos };
}

/** One pixel, in the fixed-point coordinates that are the same on every machine. */
const unit = 65_536;

/**
 * Moves the pixels of a square image, where it lies, by bilinear interpolation. Outside the image lies `fill`, one byte
 * a channel, with which pixels at the edge are interpolated too.
 * @param image bytes `[channels, side, side]`.
 * @param scratch as long as the image; overwritten.
 */
export function warpImage(
  image: Uint8Array,
  side: number,
  { xx, xy, yx, yy, right, down }: Warp,
  fill: ArrayLike<number>,
  scratch: Uint8Array,
): void {
  scratch.set(image);
  const plane = side * side;
  const middle = (side - 1) / 2;
  const [stepX, stepY] = [Math.round(xx * unit), Math.round(yx * unit)];
  for (let row = 0, at = 0; row < side; row++) {
    const below = row - middle;
    let x = Math.round((xy * below - xx * middle + middle + right) * unit);
    let y = Math.round((yy * below - yx * middle + middle + down) * unit);
    for (let column = 0; column < side; column++, at++, x += stepX, y += stepY) {
      const left = x >> 16;
      const top = y >> 16;
      const shareX = (x >> 8) & 255;
      const shareY = (y >> 8) & 255;
      const lower = (256 - shareX) * shareY;
      const lowerRight = shareX * shareY;
      const upper = (256 - shareX) * (256 - shareY);
      const upperRight = shareX * (256 - shareY);
      const isInside = left >= 0 && top >= 0 && left < side - 1 && top < side - 1;
      for (let channel = 0, start = 0; start < image.length; channel++, start += plane) {
        let sum = unit / 2;
        if (isInside) {
          const corner = start + top * side + left;
          sum += upper * (scratch[corner] as number) + upperRight * (scratch[corner + 1] as number);
          sum += lower * (scratch[corner + side] as number) + lowerRight * (scratch[corner + side + 1] as number);
        } else {
          const outside = fill[channel] as number;
          sum += upper * pixelOr(outside, scratch, start, side, left, top);
          sum += upperRight * pixelOr(outside, scratch, start, side, left + 1, top);
          sum += lower * pixelOr(outside, scratch, start, side, left, top + 1);
          sum += lowerRight * pixelOr(outside, scratch, start, side, left + 1, top + 1);
        }
        image[start + at] = sum >> 16;
      }
    }
  }
}

function pixelOr(fill: number, image: Uint8Array, start: number, side: number, x: number, y: number): number {
  return x >= 0 && y >= 0 && x < side && y < side ? (image[start + y * side + x] as number) : fill;
}
