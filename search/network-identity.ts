import { digestBytes, canonicalJson } from '../core/digest.ts';
import type { Choices } from '../core/trial.ts';
import { buildNetwork } from '../models/build.ts';
import type { Graph } from '../models/graph.ts';
import { decode, type SpaceNode } from './space.ts';

/**
 * Digest of what a graph computes, whatever its tensors are called and in whichever order its nodes and sums are written:
 * each tensor is the hash of its operator, attributes and inputs; inputs of a sum are sorted; parameters count by shape and
 * role. Nodes that no output needs do not count. Two nodes with equal hashes have weights of their own, so the number of each
 * counts as well. Equal graphs have equal digests; unequal ones differ, but for contrived sharing of equal branches.
 */
export function graphIdentity(graph: Graph): string {
  const producers = new Map(
    graph.nodes.flatMap((node) => node.outputs.map((output, index) => [output, { node, index }] as const)),
  );
  const parameters = new Map(graph.parameters.map((parameter) => [parameter.name, parameter]));
  const hashes = new Map<string, string>();
  const needed = new Set<string>();
  const visit = (tensor: string): void => {
    const producer = producers.get(tensor);
    if (needed.has(tensor) || !producer) return;
    needed.add(tensor);
    for (const input of producer.node.inputs) visit(input);
  };
  for (const output of graph.outputs) visit(output);
  const hashOf = (tensor: string): string => {
    const known = hashes.get(tensor);
    if (known !== undefined) return known;
    const parameter = parameters.get(tensor);
    const type = graph.tensors.get(tensor);
    return parameter
      ? canonicalJson(['parameter', parameter.role, parameter.shape])
      : canonicalJson(['input', type?.dtype, type?.shape]);
  };
  // Nodes stand in topological order, so inputs are hashed before what uses them.
  for (const node of graph.nodes) {
    const inputs = node.inputs.map(hashOf);
    if (node.op === 'add') inputs.sort();
    for (const [index, output] of node.outputs.entries())
      hashes.set(output, digestBytes(canonicalJson([node.op, node.attributes, inputs, index])));
  }
  const everything = [...needed].map(hashOf).sort();
  return digestBytes(canonicalJson([graph.outputs.map(hashOf), everything]));
}

/** Choices whose network is remembered: more than are proposed at once. */
const remembered = 2048;

/**
 * Names the network that choices of a space build, for {@link SearchOptions.identity}: choices that differ only in what
 * the network does not show, such as a kernel of a stage without blocks, have one name. Remembers what it was asked last.
 */
export function networkIdentity(space: SpaceNode): (choices: Choices) => string {
  const known = new Map<string, string>();
  return (choices) => {
    const key = canonicalJson(choices);
    const identity = known.get(key) ?? graphIdentity(buildNetwork(decode(space, choices), 1));
    known.set(key, identity);
    const [oldest] = known.keys();
    if (known.size > remembered && oldest !== undefined) known.delete(oldest);
    return identity;
  };
}
