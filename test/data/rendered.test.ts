import { describe, expect, it } from 'vitest';
import { maxRenderedClasses, renderedClassNames, renderSplit } from '../../data/rendered.ts';
import { resizePlanes } from '../../data/resize.ts';

const task = { classes: 10, resolution: 64, seed: 3 };
const values = 3 * 64 * 64;

/** Variance of brightness differences between neighbours along x minus along y, around the image's middle. */
function stripedness(pixels: Uint8Array, example: number, side: number): number {
  let sum = 0;
  const at = (x: number, y: number) => pixels[example * 3 * side * side + y * side + x] as number;
  for (let y = Math.floor(side / 4); y < (3 * side) / 4; y++)
    for (let x = Math.floor(side / 4); x < (3 * side) / 4; x++)
      sum += (at(x + 1, y) - at(x, y)) ** 2 - (at(x, y + 1) - at(x, y)) ** 2;
  return sum;
}

/** Share of examples whose pattern the sign of {@link stripedness} tells. */
function patternAccuracy(pixels: Uint8Array, labels: Uint16Array, side: number): number {
  const right = Array.from(labels, (label, example) => stripedness(pixels, example, side) > 0 === (label % 2 === 1));
  return right.filter(Boolean).length / right.length;
}

describe('rendered images', () => {
  it('are the same whatever else is rendered', async () => {
    const few = await renderSplit(task, 'train', 7);
    const many = await renderSplit(task, 'train', 20);
    expect(many.pixels.subarray(0, 7 * values)).toEqual(few.pixels);
    expect(many.labels.subarray(0, 7)).toEqual(few.labels);
  });

  it('differ between seeds, splits and examples', async () => {
    const first = await renderSplit(task, 'train', 11);
    const otherSeed = await renderSplit({ ...task, seed: 4 }, 'train', 1);
    const otherStream = await renderSplit(task, 'test', 1);
    const image = first.pixels.slice(0, values);
    for (const other of [otherSeed.pixels, otherStream.pixels, first.pixels.slice(10 * values)])
      expect(Buffer.compare(image, other)).not.toBe(0);
  });

  it('have every class equally often', async () => {
    const { labels } = await renderSplit({ ...task, resolution: 8 }, 'train', 50);
    expect(Array.from({ length: 10 }, (_, label) => labels.filter((l) => l === label).length)).toEqual(
      Array.from({ length: 10 }, () => 5),
    );
  });

  it('have a distinct name for each of as many classes as they allow', () => {
    const names = renderedClassNames(maxRenderedClasses);
    expect(new Set(names).size).toBe(maxRenderedClasses);
    expect(names.slice(0, 3)).toEqual(['disc-rows', 'disc-columns', 'triangle-rows']);
  });

  it('show their pattern at 64 px, less of it at 32 px and none at 16 px', async () => {
    const { pixels, labels } = await renderSplit(task, 'train', 300);
    const at = (side: number) =>
      patternAccuracy(resizePlanes(pixels, { height: 64, width: 64 }, { height: side, width: side }), labels, side);
    expect(at(64)).toBeGreaterThan(0.9);
    expect(at(32)).toBeLessThan(at(64) - 0.05);
    // 300 fair coins: 0.5 ± 4 sigma.
    expect(Math.abs(at(16) - 0.5)).toBeLessThan(4 * Math.sqrt(0.25 / 300));
  });

  it('stop when aborted', async () => {
    await expect(renderSplit(task, 'train', 3, AbortSignal.abort())).rejects.toThrow(/abort/i);
  });
});
