import { elements } from '../models/graph.ts';
import type { OnnxNode } from '../models/onnx.ts';
import { shapesOf } from '../models/onnx-shapes.ts';
import type { OrderedStep } from './lowering.ts';

/** Segments that a forward pass is tried in. */
const segmentCounts = [2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16];

/** Values of this share of the largest one or less are kept: what a pass over a map is summed up to costs no memory. */
const smallShare = 1 / 64;

/** What counts as the same peak: fewer segments compute less again. */
const samePeak = 1.02;

/**
 * A step that keeps less of its forward pass: of the pass in segments, only what later segments read is kept, small values
 * and all of the last segment; the rest is computed a second time, right before its first reader on the way back. The same kernels on the
 * same values give the same bits. Segments are cut where least crosses, which in a residual network is between blocks, and
 * their number is the one with the lowest peak.
 * @param targets name of the input whose first reader ends the forward pass.
 * @returns nodes in their order; the same ones where nothing would be saved.
 * @see Chen et al. (2016), "Training deep nets with sublinear memory cost", section 4; we differ: the number of segments is
 * searched for, and segments hold equal bytes and not equally many layers.
 */
export function rematerialised(step: OrderedStep, targets: string): readonly OnnxNode[] {
  const flow = new Flow(step, targets);
  let best = { nodes: step.nodes, peakBytes: flow.peakBytes(step.nodes) };
  for (const count of segmentCounts) {
    const nodes = flow.recomputing(flow.cuts(count));
    const peakBytes = flow.peakBytes(nodes);
    if (samePeak * peakBytes < best.peakBytes) best = { nodes, peakBytes };
  }
  return best.nodes;
}

/** How values flow through a step: who makes them, who reads them on which way, and how large they are. */
class Flow {
  readonly #nodes: readonly OnnxNode[];
  /** Nodes before this one are of the forward pass. */
  readonly #forward: number;
  readonly #outputs: ReadonlySet<string>;
  readonly #makers = new Map<string, number>();
  readonly #bytes = new Map<string, number>();
  /** Of a value made forward, the last node of the forward pass that reads it or a view of it. */
  readonly #lastReaders = new Map<string, number>();
  /** Bytes that each forward node makes for the way back. */
  readonly #saved: number[];
  /** Bytes that cross from the nodes before each forward node to it and those after it. */
  readonly #crossing: number[];
  readonly #smallBytes: number;

  constructor(step: OrderedStep, targets: string) {
    const { nodes } = step;
    this.#nodes = nodes;
    this.#forward = nodes.findIndex(({ inputs }) => inputs.includes(targets));
    this.#outputs = new Set(step.outputs.map(({ name }) => name));
    for (const [name, bytes] of bytesOf(step)) this.#bytes.set(name, bytes);
    nodes.forEach(({ outputs }, index) => outputs.forEach((output) => this.#makers.set(output, index)));

    const saved = new Set<string>();
    nodes.forEach(({ inputs }, index) => {
      for (const value of inputs.map((input) => this.#source(input))) {
        if (this.#forwardMaker(value) === undefined) continue;
        if (index < this.#forward) this.#lastReaders.set(value, index);
        else saved.add(value);
      }
    });
    this.#saved = Array.from({ length: this.#forward }, () => 0);
    for (const value of saved) addAt(this.#saved, this.#makers.get(value) as number, this.#size(value));
    this.#smallBytes = smallShare * Math.max(0, ...[...saved].map((value) => this.#size(value)));
    this.#crossing = this.#bytesCrossing();
  }

  /** The value that a view is of; any other value itself. */
  #source(value: string): string {
    const maker = this.#makers.get(value);
    const node = maker === undefined ? undefined : this.#nodes[maker];
    return node && isView(node) ? this.#source(node.inputs[0] as string) : value;
  }

  /** The forward node that makes a value; none of a parameter, which is split off the vector of all. */
  #forwardMaker(value: string): number | undefined {
    const maker = this.#makers.get(value);
    return maker !== undefined && maker < this.#forward && this.#nodes[maker]?.opType !== 'Split' ? maker : undefined;
  }

  #size(value: string): number {
    return this.#bytes.get(value) ?? 0;
  }

  #bytesCrossing(): number[] {
    const changes = Array.from({ length: this.#forward + 1 }, () => 0);
    for (const [value, last] of this.#lastReaders) {
      addAt(changes, (this.#makers.get(value) as number) + 1, this.#size(value));
      addAt(changes, last + 1, -this.#size(value));
    }
    let live = 0;
    return changes.map((change) => (live += change));
  }

  /** First nodes of all segments but the first, of about as many segments of equal bytes. */
  cuts(count: number): readonly number[] {
    const share = this.#saved.reduce((sum, bytes) => sum + bytes, 0) / count;
    const cuts: number[] = [];
    let [start, bytes] = [0, 0];
    for (let node = 0; node < this.#forward; node++) {
      bytes += this.#saved[node] as number;
      if (bytes <= share) continue;
      const cut = this.#narrowest(start, node, share / 2);
      if (cut === undefined) continue;
      cuts.push(cut);
      bytes = this.#saved.slice(cut, node + 1).reduce((sum, each) => sum + each, 0);
      start = cut;
    }
    return cuts;
  }

  /** Where least crosses, after at least so many bytes from a segment's start; the last of equal places. */
  #narrowest(start: number, last: number, leastBytes: number): number | undefined {
    let best: number | undefined;
    let bytes = 0;
    for (let cut = start + 1; cut <= last + 1 && cut < this.#forward; cut++) {
      bytes += this.#saved[cut - 1] as number;
      const crossing = this.#crossing[cut] as number;
      if (bytes >= leastBytes && crossing <= (best === undefined ? Infinity : (this.#crossing[best] as number)))
        best = cut;
    }
    return best;
  }

  /** The step with what segments keep to themselves made again on the way back. */
  recomputing(cuts: readonly number[]): readonly OnnxNode[] {
    const segmentOf = (node: number): number => cuts.filter((cut) => cut <= node).length;
    const isKept = (value: string): boolean => {
      const maker = this.#makers.get(value) as number;
      const segment = segmentOf(maker);
      const isRead = segmentOf(this.#lastReaders.get(value) ?? maker) > segment;
      return isRead || segment === cuts.length || this.#size(value) <= this.#smallBytes;
    };
    const nodes = this.#nodes.slice(0, this.#forward);
    const made = new Map<string, string>();
    const again = (value: string): string => {
      const known = made.get(value);
      if (known !== undefined) return known;
      const maker = this.#forwardMaker(value);
      const node = maker === undefined ? undefined : (this.#nodes[maker] as OnnxNode);
      if (!node || (!isView(node) && isKept(value))) return value;
      const inputs = node.inputs.map(again);
      if (isView(node) && inputs[0] === node.inputs[0]) return value;
      const output = `${value}'`;
      this.#bytes.set(output, this.#size(value));
      made.set(value, output);
      nodes.push({ ...node, name: `${node.name} again`, inputs, outputs: [output] });
      return output;
    };
    for (const node of this.#nodes.slice(this.#forward)) {
      const inputs = node.inputs.map(again);
      nodes.push({ ...node, inputs });
    }
    return nodes;
  }

  /** Most bytes of values that are alive at once, each from its maker to its last reader; views take none. */
  peakBytes(nodes: readonly OnnxNode[]): number {
    const sources = new Map<string, string>();
    const sourceOf = (value: string): string => sources.get(value) ?? value;
    const lasts = new Map<string, number>();
    nodes.forEach((node, index) => {
      for (const input of node.inputs) lasts.set(sourceOf(input), index);
      for (const output of node.outputs) {
        if (isView(node)) sources.set(output, sourceOf(node.inputs[0] as string));
        if (this.#outputs.has(output)) lasts.set(sourceOf(output), Infinity);
      }
    });
    const freed = nodes.map(() => 0);
    let [live, peak] = [0, 0];
    nodes.forEach((node, index) => {
      for (const output of isView(node) ? [] : node.outputs) {
        const last = lasts.get(output) ?? index;
        live += this.#size(output);
        if (last < nodes.length) addAt(freed, last, this.#size(output));
      }
      peak = Math.max(peak, live);
      live -= freed[index] as number;
    });
    return peak;
  }
}

function addAt(sums: number[], index: number, amount: number): void {
  sums[index] = (sums[index] ?? 0) + amount;
}

/** Reshaping moves nothing in onnxruntime. */
const isView = ({ opType }: OnnxNode): boolean => opType === 'Reshape';

/** Bytes of every value of a step, taken for float32. */
function bytesOf(step: OrderedStep): Map<string, number> {
  const shapes = shapesOf(step, 'training step');
  return new Map([...shapes].map(([name, { dims }]) => [name, Float32Array.BYTES_PER_ELEMENT * elements(dims)]));
}
