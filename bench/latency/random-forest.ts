import type { Random } from '../../core/random.ts';
import type { KernelFeatures } from '../../latency/kernel-features.ts';

// The peer: a random forest of regression trees for each group of kernels (Breiman 2001), as nn-Meter has it
// (Zhang et al. 2021), on the same features and the logarithms of the same times.

interface Example {
  readonly x: readonly number[];
  readonly y: number;
}
type Tree = number | { readonly at: number; readonly below: number; readonly left: Tree; readonly right: Tree };

const trees = 30;
const minLeaf = 2;
const maxDepth = 14;

const mean = (examples: readonly Example[]): number => examples.reduce((sum, { y }) => sum + y, 0) / examples.length;

function grow(examples: readonly Example[], random: Random, depth: number): Tree {
  const size = examples[0]?.x.length ?? 0;
  if (examples.length < 2 * minLeaf || depth >= maxDepth) return mean(examples);
  let best: { at: number; below: number; gain: number } | undefined;
  const tried = [...random.permutation(size)].slice(0, Math.ceil((2 * size) / 3));
  for (const at of tried) {
    const sorted = examples.toSorted((a, b) => (a.x[at] ?? 0) - (b.x[at] ?? 0));
    const total = sorted.reduce((sum, { y }) => sum + y, 0);
    let left = 0;
    for (let index = 0; index < sorted.length - minLeaf; index++) {
      left += sorted[index]?.y ?? 0;
      const [here, next] = [sorted[index]?.x[at] ?? 0, sorted[index + 1]?.x[at] ?? 0];
      if (index + 1 < minLeaf || here === next) continue;
      const [n, m] = [index + 1, sorted.length - index - 1];
      const gain = left ** 2 / n + (total - left) ** 2 / m;
      if (!best || gain > best.gain) best = { at, below: (here + next) / 2, gain };
    }
  }
  if (!best) return mean(examples);
  const { at, below } = best;
  const isLeft = ({ x }: Example) => (x[at] ?? 0) < below;
  return {
    at,
    below,
    left: grow(examples.filter(isLeft), random, depth + 1),
    right: grow(
      examples.filter((example) => !isLeft(example)),
      random,
      depth + 1,
    ),
  };
}

const ask = (tree: Tree, x: readonly number[]): number =>
  typeof tree === 'number' ? tree : ask((x[tree.at] ?? 0) < tree.below ? tree.left : tree.right, x);

/** @returns milliseconds of a kernel; of a group never seen, nothing. */
export function fitForest(
  observations: readonly { readonly features: KernelFeatures; readonly ms: number }[],
  random: Random,
): (features: KernelFeatures) => number {
  const groups = new Map<string, (typeof observations)[number][]>();
  for (const observation of observations) {
    const { group } = observation.features;
    groups.set(group, [...(groups.get(group) ?? []), observation]);
  }
  const forests = new Map<string, readonly Tree[]>();
  for (const [group, own] of groups) {
    const examples = own.map(({ features, ms }) => ({ x: features.x, y: Math.log(ms) }));
    const grown = Array.from({ length: trees }, (_, index) => {
      const stream = random.child(group, index);
      return grow(
        Array.from({ length: examples.length }, () => stream.pick(examples)),
        stream,
        0,
      );
    });
    forests.set(group, grown);
  }
  return ({ group, x }) => {
    const own = forests.get(group);
    return own ? Math.exp(own.reduce<number>((sum, tree) => sum + ask(tree, x), 0) / own.length) : 0;
  };
}
