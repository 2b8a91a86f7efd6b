import { describe, expect, test } from 'vitest';
import { buildNetwork } from '../../models/build.ts';
import type { Graph } from '../../models/graph.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { graphIdentity, networkIdentity } from '../../search/network-identity.ts';
import { oneOf, type SpaceNode } from '../../search/space.ts';

const block = { operator: 'mbconv', kernel: 3, stride: 1, expansion: 2, width: 8 } as const;
const network = (stages: readonly object[]) =>
  buildNetwork(
    parseNetworkSpec(
      {
        input: { channels: 1, resolution: 8 },
        classes: 3,
        stem: { kernel: 3, stride: 1, width: 8 },
        stages,
        head: { width: 16 },
      },
      'test',
    ),
    1,
  );

const renamed = (name: string): string => `other/${name}`;

describe('a network by its graph', () => {
  const twice = network([{ ...block, repeats: 2 }]);

  test('is one whether two equal blocks are one stage or two', () => {
    expect(
      graphIdentity(
        network([
          { ...block, repeats: 1 },
          { ...block, repeats: 1 },
        ]),
      ),
    ).toBe(graphIdentity(twice));
  });

  test('is another with one more block, another kernel, stride or activation', () => {
    const others = [
      network([{ ...block, repeats: 3 }]),
      network([{ ...block, kernel: 5, repeats: 2 }]),
      network([{ ...block, stride: 2, repeats: 2 }]),
      network([{ ...block, activation: 'relu6', repeats: 2 }]),
    ];
    expect(new Set([twice, ...others].map(graphIdentity)).size).toBe(5);
  });

  test('does not depend on names, on the order of a sum, nor on nodes that nothing needs', () => {
    const swapped = twice.nodes.map((node) =>
      node.op === 'add' ? { ...node, inputs: node.inputs.toReversed() } : node,
    );
    const graph: Graph = {
      inputs: twice.inputs.map((input) => ({ ...input, name: renamed(input.name) })),
      outputs: twice.outputs.map(renamed),
      parameters: twice.parameters.map((parameter) => ({ ...parameter, name: renamed(parameter.name) })),
      nodes: swapped.map((node) => ({
        ...node,
        name: renamed(node.name),
        inputs: node.inputs.map(renamed),
        outputs: node.outputs.map(renamed),
      })),
      tensors: new Map([...twice.tensors].map(([name, type]) => [renamed(name), { ...type, name: renamed(name) }])),
    };
    expect(twice.nodes.some(({ op }) => op === 'add')).toBe(true);
    expect(graphIdentity(graph)).toBe(graphIdentity(twice));
    const [first] = twice.nodes;
    if (!first) throw new Error('unreachable');
    const dead = { ...first, name: 'dead', outputs: ['dead'] };
    expect(graphIdentity({ ...twice, nodes: [...twice.nodes, dead] })).toBe(graphIdentity(twice));
  });

  test('one branch used twice is not two branches of equal form', () => {
    const conv = { op: 'relu', attributes: {}, inputs: ['x'] } as const;
    const add = { op: 'add', name: 'sum', attributes: {}, outputs: ['y'] } as const;
    const x = { name: 'x', dtype: 'float32', shape: [1, 2, 4, 4] } as const;
    const tensors = new Map(['x', 'a', 'b', 'y'].map((name) => [name, { ...x, name }]));
    const graph = (inputs: readonly string[]): Graph => ({
      inputs: [x],
      outputs: ['y'],
      parameters: [],
      nodes: [
        { ...conv, name: 'a', outputs: ['a'] },
        { ...conv, name: 'b', outputs: ['b'] },
        { ...add, inputs },
      ],
      tensors,
    });
    expect(graphIdentity(graph(['a', 'a']))).not.toBe(graphIdentity(graph(['a', 'b'])));
  });

  test('choices that differ only in what the network does not show are one network', () => {
    const space: SpaceNode = {
      input: { channels: 1, resolution: 8 },
      classes: 3,
      stem: { kernel: 3, stride: 1, width: 8 },
      head: { width: 16 },
      stages: oneOf(
        [
          [{ ...block, repeats: oneOf([1, 2], 'repeats') }],
          [
            { ...block, repeats: 1 },
            { ...block, repeats: 1 },
          ],
        ],
        'stages',
      ),
    };
    const identity = networkIdentity(space);
    expect(identity({ stages: 1 })).toBe(identity({ stages: 0, repeats: 2 }));
    expect(identity({ stages: 1 })).not.toBe(identity({ stages: 0, repeats: 1 }));
  });
});
