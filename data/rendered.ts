import { setImmediate as breathe } from 'node:timers/promises';
import { Random } from '../core/random.ts';
import type { Split } from './dataset.ts';

/**
 * A generated classification task: which figure, striped which way?
 *
 * The class is the pair (shape, pattern) of the largest figure in view. Shape is global and
 * survives downsampling; the pattern is fine detail whose period is drawn log-uniformly from 2.3 to
 * 6.5 native pixels, so every step in resolution resolves some more of the examples (at 16 px hardly
 * any, at 64 px all). Position, size, tilt, colours, contrast, background and noise say nothing, and
 * smaller figures of any shape and pattern stand around it, so that measuring shapes or stripes over the
 * whole image does not suffice. Mirroring left to right keeps the class; turning by 90° does not.
 */
export interface RenderedTask {
  /** 2 … {@link maxRenderedClasses}. */
  readonly classes: number;
  /** Height and width in pixels; the scene is the same at every resolution, box-filtered to the pixel. */
  readonly resolution: number;
  readonly seed: number;
}

/** Extent of the scene's own coordinates: one unit is one pixel at the native 64 px. */
const sceneExtent = 64;

/** Implicit shape in its own frame: negative inside, slope about one at the outline. */
type SignedDistance = (x: number, y: number) => number;

const root3 = Math.sqrt(3);
/** Outward normals of the pentagram's five lines. */
const starNormals = Array.from({ length: 5 }, (_, side) => {
  const angle = Math.PI / 2 + (2 * Math.PI * side) / 5;
  return [Math.cos(angle), Math.sin(angle)] as const;
});

/** Inside the pentagram at most one of its five lines is crossed: the second largest distance is negative. */
function starDistance(x: number, y: number): number {
  let largest = -Infinity;
  let second = -Infinity;
  for (const [normalX, normalY] of starNormals) {
    const distance = normalX * x + normalY * y;
    if (distance > largest) {
      second = largest;
      largest = distance;
    } else if (distance > second) second = distance;
  }
  return second - 0.385;
}

/** Shapes of about equal area (1.75), so that size is no cue; the first ones serve small class counts. */
const shapes: readonly { readonly name: string; readonly distance: SignedDistance }[] = [
  { name: 'disc', distance: (x, y) => Math.sqrt(x * x + y * y) - 0.75 },
  { name: 'triangle', distance: (x, y) => Math.max(-y, (root3 * Math.abs(x) + y) / 2) - 0.58 },
  { name: 'square', distance: (x, y) => Math.max(Math.abs(x), Math.abs(y)) - 0.66 },
  {
    name: 'cross',
    distance: (x, y) => Math.max(Math.min(Math.abs(x), Math.abs(y)) - 0.3, Math.max(Math.abs(x), Math.abs(y)) - 0.89),
  },
  { name: 'star', distance: starDistance },
  { name: 'ring', distance: (x, y) => Math.abs(Math.sqrt(x * x + y * y) - 0.7) - 0.2 },
  { name: 'bar', distance: (x, y) => Math.max(Math.abs(x) - 1.1, Math.abs(y) - 0.4) },
  {
    name: 'crescent',
    distance: (x, y) => Math.max(Math.sqrt(x * x + y * y) - 0.95, 0.62 - Math.sqrt((x - 0.5) ** 2 + y * y)),
  },
];
/** No point of any shape is farther from its centre. */
const shapeReach = 1.28;

/** Stripes along either axis, give or take the tilt. */
const patterns = ['rows', 'columns'] as const;

/** Most classes the task can tell apart: every shape with every pattern. */
export const maxRenderedClasses: number = shapes.length * patterns.length;

/** Class names such as `disc-rows`, in label order. @param classes 2 … {@link maxRenderedClasses}. */
export function renderedClassNames(classes: number): string[] {
  return Array.from({ length: classes }, (_, label) => {
    const { shape, pattern } = figureOf(label);
    return `${(shapes[shape] as { name: string }).name}-${patterns[pattern]}`;
  });
}

function figureOf(label: number): { shape: number; pattern: number } {
  return { shape: Math.floor(label / patterns.length) % shapes.length, pattern: label % patterns.length };
}

type Colour = readonly [number, number, number];

/** A shape placed in the scene and filled with two inks in a pattern. */
interface Figure {
  readonly distance: SignedDistance;
  readonly x: number;
  readonly y: number;
  /** Scene units per unit of the shape's frame. */
  readonly size: number;
  readonly rotation: number;
  /** Scene units per cycle across the stripes. */
  readonly period: number;
  /** Direction across the stripes. */
  readonly across: number;
  readonly phase: number;
  readonly colour: Colour;
  /** Added for one ink, subtracted for the other. */
  readonly ink: Colour;
}

interface Scene {
  /** Background colours at the two ends of `slope`. */
  readonly from: Colour;
  readonly to: Colour;
  readonly slope: readonly [number, number];
  /** Drawn in order. */
  readonly figures: readonly Figure[];
  /** Half range of the uniform noise of each byte. */
  readonly noise: number;
  readonly noiseSeed: number;
}

function between(random: Random, low: number, high: number): number {
  return low + (high - low) * random.uniform();
}

function drawColour(random: Random, low: number, high: number): Colour {
  return [between(random, low, high), between(random, low, high), between(random, low, high)];
}

/** The inks differ mostly in brightness, a little in hue; the sign decides nothing. */
function drawInk(random: Random): Colour {
  const contrast = between(random, 28, 55);
  return [contrast * between(random, 0.7, 1), contrast * between(random, 0.7, 1), contrast * between(random, 0.7, 1)];
}

/** Periods of stripes in native pixels; 2 is the least that pixels can carry. */
const shortestPeriod = 2.3;
const longestPeriod = 6.5;

function drawFigure(
  random: Random,
  kind: { shape: number; pattern: number },
  place: { x: number; y: number; size: number },
): Figure {
  const period = shortestPeriod * (longestPeriod / shortestPeriod) ** random.uniform();
  return {
    ...place,
    distance: (shapes[kind.shape] as { distance: SignedDistance }).distance,
    rotation: between(random, -0.5, 0.5),
    period,
    across: (patterns[kind.pattern] === 'rows' ? Math.PI / 2 : 0) + between(random, -0.35, 0.35),
    phase: between(random, 0, period),
    colour: drawColour(random, 125, 200),
    ink: drawInk(random),
  };
}

function drawScene(random: Random, label: number): Scene {
  const from = drawColour(random, 15, 90);
  const to = drawColour(random, 15, 90);
  const angle = between(random, 0, 2 * Math.PI);

  const size = between(random, 16, 24);
  const slack = Math.max(0, sceneExtent / 2 - size * 1.05);
  const place = {
    x: sceneExtent / 2 + between(random, -slack, slack),
    y: sceneExtent / 2 + between(random, -slack, slack),
    size,
  };
  const bystanders = Array.from({ length: 1 + random.integer(3) }, () => {
    const kind = { shape: random.integer(shapes.length), pattern: random.integer(patterns.length) };
    const at = {
      x: between(random, 2, sceneExtent - 2),
      y: between(random, 2, sceneExtent - 2),
      size: between(random, 4, 8),
    };
    return drawFigure(random, kind, at);
  });
  return {
    from,
    to,
    slope: [Math.cos(angle) / sceneExtent, Math.sin(angle) / sceneExtent],
    figures: [...bystanders, drawFigure(random, figureOf(label), place)],
    noise: between(random, 4, 12),
    noiseSeed: random.integer(2 ** 32),
  };
}

/** Mean over a window of a ±1 square wave: the difference of its integral, a triangle wave, at the window's ends. */
function squareWave(position: number, period: number, window: number): number {
  return (waveIntegral(position + window / 2, period) - waveIntegral(position - window / 2, period)) / window;
}

function waveIntegral(position: number, period: number): number {
  const cycle = position / period;
  const phase = cycle - Math.floor(cycle);
  return period * (phase < 0.5 ? phase : 1 - phase);
}

/** Paints onto float RGB planes; `pixel` is the extent of a pixel in scene units. */
function paintFigure(canvas: Float32Array, resolution: number, figure: Figure): void {
  const pixel = sceneExtent / resolution;
  const plane = resolution * resolution;
  const reach = figure.size * shapeReach + pixel;
  const first = (centre: number) => Math.max(0, Math.floor((centre - reach) / pixel));
  const last = (centre: number) => Math.min(resolution, Math.ceil((centre + reach) / pixel));
  const [left, right, top, bottom] = [first(figure.x), last(figure.x), first(figure.y), last(figure.y)];
  const [cos, sin] = [Math.cos(figure.rotation) / figure.size, Math.sin(figure.rotation) / figure.size];
  const [acrossX, acrossY] = [Math.cos(figure.across), Math.sin(figure.across)];
  const { distance, period, phase } = figure;
  const [red, green, blue] = figure.colour;
  const [inkRed, inkGreen, inkBlue] = figure.ink;
  for (let row = top; row < bottom; row++) {
    const y = (row + 0.5) * pixel - figure.y;
    for (let column = left; column < right; column++) {
      const x = (column + 0.5) * pixel - figure.x;
      const outside = (distance(cos * x + sin * y, cos * y - sin * x) * figure.size) / pixel;
      if (outside >= 0.5) continue;
      const coverage = outside <= -0.5 ? 1 : 0.5 - outside;
      const wave = squareWave(acrossX * x + acrossY * y + phase, period, pixel);
      const at = row * resolution + column;
      canvas[at] = (canvas[at] as number) * (1 - coverage) + coverage * (red + wave * inkRed);
      canvas[at + plane] = (canvas[at + plane] as number) * (1 - coverage) + coverage * (green + wave * inkGreen);
      canvas[at + 2 * plane] = (canvas[at + 2 * plane] as number) * (1 - coverage) + coverage * (blue + wave * inkBlue);
    }
  }
}

function paintBackground(canvas: Float32Array, resolution: number, scene: Scene): void {
  const pixel = sceneExtent / resolution;
  const [slopeX, slopeY] = scene.slope;
  for (let channel = 0; channel < 3; channel++) {
    const from = scene.from[channel] as number;
    const range = (scene.to[channel] as number) - from;
    for (let row = 0, at = channel * resolution * resolution; row < resolution; row++) {
      const y = (row + 0.5) * pixel - sceneExtent / 2;
      for (let column = 0; column < resolution; column++, at++) {
        const x = (column + 0.5) * pixel - sceneExtent / 2;
        canvas[at] = from + range * (0.5 + slopeX * x + slopeY * y);
      }
    }
  }
}

/** Adds sensor noise and stores bytes; clamped assignment rounds. The generator is xorshift32 (Marsaglia 2003). */
function develop(canvas: Float32Array, scene: Scene, pixels: Uint8ClampedArray): void {
  let state = scene.noiseSeed | 1;
  const scale = scene.noise / 2 ** 31;
  for (let at = 0; at < canvas.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    pixels[at] = (canvas[at] as number) + state * scale;
  }
}

/** Class of each of the first `count` examples of a stream: classes take turns, so that every split is balanced. */
export function renderedLabels(classes: number, count: number): Uint16Array {
  return Uint16Array.from({ length: count }, (_, index) => index % classes);
}

/**
 * The first `count` examples of a stream, bytes `[count, 3, resolution, resolution]`. Example `index`
 * depends on (task, stream, index) alone, never on how many are rendered.
 * @param stream `train` and `test` are unrelated streams.
 * @param signal checked every few hundred examples; the promise rejects with its reason.
 */
export async function renderSplit(
  task: RenderedTask,
  stream: 'train' | 'test',
  count: number,
  signal?: AbortSignal,
): Promise<Split> {
  const values = 3 * task.resolution * task.resolution;
  const pixels = new Uint8Array(count * values);
  const labels = renderedLabels(task.classes, count);
  const canvas = new Float32Array(values);
  const random = new Random(task.seed).child('rendered', stream);
  for (let index = 0; index < count; index++) {
    if (index % 256 === 255) await breathe();
    signal?.throwIfAborted();
    const scene = drawScene(random.child(index), labels[index] as number);
    paintBackground(canvas, task.resolution, scene);
    for (const figure of scene.figures) paintFigure(canvas, task.resolution, figure);
    develop(canvas, scene, new Uint8ClampedArray(pixels.buffer, index * values, values));
  }
  return { count, pixels, labels };
}
