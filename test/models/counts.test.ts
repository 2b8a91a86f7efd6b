import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { elements, type Graph } from '../../models/graph.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { arbitrarySpec } from './arbitrary-spec.ts';
import { everyBlock, shapeOf } from './fixture.ts';

/** A stem that leaves its input alone, stages, no head. */
function countOf(stages: readonly object[], rest: object = {}) {
  const spec = {
    input: { channels: 1, resolution: 8 },
    classes: 2,
    stem: { kernel: 1, stride: 1, width: 4 },
    stages,
    head: { width: 0 },
    ...rest,
  };
  return countGraph(buildNetwork(parseNetworkSpec(spec, 'tiny'), 1));
}

describe('counts', () => {
  it('by group sum to the total', () => {
    const { groups, params, macs, activations } = countGraph(buildNetwork(everyBlock, 1));
    const sum = (key: 'params' | 'macs' | 'activations') =>
      Object.values(groups).reduce((total, group) => total + group[key], 0);
    expect([sum('params'), sum('macs'), sum('activations')]).toEqual([params, macs, activations]);
    expect(Object.keys(groups)).toEqual(['stem', 'stage0', 'stage1', 'stage2', 'stage3', 'head', 'classifier']);
  });

  it('do not depend on the batch', () => {
    expect(countGraph(buildNetwork(everyBlock, 7))).toEqual(countGraph(buildNetwork(everyBlock, 'batch')));
  });

  it('of a dense, a grouped and a dilated convolution: inputs of each output, once for each tap', () => {
    const bottleneck = { operator: 'bottleneck', kernel: 3, stride: 1, width: 8, repeats: 1, bottleneckRatio: 1 };
    const { macs, params, activations } = countOf([bottleneck]).groups['stage0'] ?? expect.fail();
    // reduce, spatial, expand, shortcut, over 8 × 8 pixels
    expect(macs).toBe(64 * (4 * 8 + 9 * 8 * 8 + 8 * 8 + 4 * 8));
    expect(params).toBe(4 * 8 + 9 * 8 * 8 + 8 * 8 + 4 * 8 + 4 * (8 + 8));
    expect(activations).toBe(64 * 4 * 8);
    expect(countOf([{ ...bottleneck, groupWidth: 2 }]).groups['stage0']).toEqual({
      macs: macs - 64 * 9 * 8 * (8 - 2),
      params: params - 9 * 8 * (8 - 2),
      activations,
    });
    expect(countOf([{ ...bottleneck, dilation: 2 }]).groups['stage0']).toEqual({ macs, params, activations });
  });

  it('of pooling, rearranging and joining are nothing', () => {
    const stage = { operator: 'fused-mbconv', kernel: 1, stride: 1, expansion: 1, width: 4, repeats: 1 };
    const plain = countOf([stage]);
    const pooled = countOf([stage], { stem: { kernel: 1, stride: 1, width: 4, maxPool: { kernel: 3, stride: 1 } } });
    expect(pooled.groups).toEqual(plain.groups);
    const joined = countOf([stage], { head: { width: 0, pooling: 'average-max' } });
    expect(joined.groups).toEqual({ ...plain.groups, classifier: { params: 8 * 2 + 2, macs: 8 * 2, activations: 0 } });
    const rearranged = countOf([stage], { stem: { kernel: 1, stride: 1, width: 4, spaceToDepth: 2 } });
    expect(rearranged.groups['stem']).toEqual({ params: 4 * 4 + 8, macs: 16 * 4 * 4, activations: 16 * 4 });
  });

  it('give the peak of the widest moment: a stem whose input and output are alive together', () => {
    const stage = { operator: 'fused-mbconv', kernel: 1, stride: 4, expansion: 1, width: 2, repeats: 1 };
    expect(countOf([stage]).peakBytes).toBe(4 * 8 * 8 * (1 + 4));
  });

  it('keep a shortcut alive across its block', () => {
    const stage = { operator: 'basic', kernel: 3, stride: 1, width: 4, repeats: 1 };
    // The input, which the sum still needs, the first convolution's output and the second's.
    expect(countOf([stage]).peakBytes).toBe(4 * 8 * 8 * (4 + 4 + 4));
  });

  it('agree on the peak with buffers laid out as intervals, for any network', () => {
    fc.assert(
      fc.property(arbitrarySpec, (input) => {
        const graph = buildNetwork(parseNetworkSpec(input, 'arbitrary'), 1);
        expect(countGraph(graph).peakBytes).toBe(peakOfIntervals(graph));
      }),
    );
  });
});

/**
 * The peak by another way: every tensor is an interval from the node that makes it to the last that reads it; a
 * result that overwrites an input prolongs that input's interval.
 */
function peakOfIntervals(graph: Graph): number {
  const { inputs, nodes, outputs, parameters } = graph;
  const stored = new Set(parameters.map(({ name }) => name));
  const bytes = (name: string) => 4 * elements(shapeOf(graph, name));
  const lastRead = (name: string) =>
    outputs.includes(name) ? nodes.length : nodes.findLastIndex((node) => node.inputs.includes(name));
  const copies = new Set([
    'conv',
    'dense',
    'max-pool',
    'average-pool',
    'global-average-pool',
    'concat',
    'space-to-depth',
  ]);
  const buffers = new Map<string, { from: number; to: number; bytes: number }>();
  for (const { name } of inputs) buffers.set(name, { from: 0, to: lastRead(name), bytes: bytes(name) });
  nodes.forEach((node, index) => {
    const [output] = node.outputs as [string];
    const dying = node.inputs.filter((name) => !stored.has(name) && lastRead(name) === index);
    const overwritten = copies.has(node.op) ? undefined : dying.find((name) => bytes(name) === bytes(output));
    const buffer = overwritten === undefined ? undefined : buffers.get(overwritten);
    if (buffer) buffer.to = Math.max(index, lastRead(output));
    buffers.set(output, buffer ?? { from: index, to: Math.max(index, lastRead(output)), bytes: bytes(output) });
  });
  const alive = [...new Set(buffers.values())];
  return Math.max(
    ...nodes.map((_, index) =>
      alive.filter(({ from, to }) => from <= index && index <= to).reduce((sum, buffer) => sum + buffer.bytes, 0),
    ),
  );
}
