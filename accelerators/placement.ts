import type { Accelerator, Session, TensorValue } from './accelerator.ts';
import { UnsupportedModelError } from './onnxruntime.ts';
import { profiled, type RuntimeProfile } from './runtime-profile.ts';

/** A node as the runtime ran it, after its fusions, and the provider that ran it, e.g. `webgpu`. */
export interface PlacedNode {
  readonly name: string;
  readonly opType: string;
  readonly provider: string;
}

/** Where the nodes of a model ran. Copies that the runtime put between providers are no nodes of the model's. */
export interface Placement {
  readonly nodes: readonly PlacedNode[];
  /** Numbers of nodes. */
  readonly byProvider: Readonly<Record<string, number>>;
}

/** One run of a model. */
export interface PlacementRun {
  readonly feeds: (inputs: Session['inputs']) => Readonly<Record<string, TensorValue>>;
  readonly threads: number;
  /** Tell where nodes ran rather than refuse a model that did not run whole on the accelerator. */
  readonly allowFallback?: boolean | undefined;
}

/** Nodes that a message names before it only counts. */
const namedNodes = 5;

/**
 * Runs a model once and reads from the runtime's own profile which provider ran each node. The CPU may fall in
 * for what the accelerator lacks, so that the missing operators have names; with one session more than a refusal
 * would take. Arithmetic of shapes counts like any other node: the runtime refuses it on the CPU, too, and a file
 * of fixed shapes has none.
 * @throws {UnsupportedModelError} naming the nodes that ran elsewhere, unless that is allowed.
 * @throws {RidgepointError} what opening and running throw.
 */
export async function verifyPlacement(
  accelerator: Accelerator,
  model: Uint8Array,
  { feeds, threads, allowFallback = false }: PlacementRun,
): Promise<Placement> {
  const profile = await profiled(accelerator, model, { threads, allowFallback: true }, async (session) => {
    await session.run(feeds(session.inputs));
  });
  const placement = placementOf(profile);
  const elsewhere = placement.nodes.filter(({ provider }) => provider !== accelerator.id);
  if (elsewhere.length > 0 && !allowFallback)
    throw new UnsupportedModelError(
      `${accelerator.id}: expected to run every node, got ${elsewhere.length} of ${placement.nodes.length} elsewhere: ${listed(elsewhere)}`,
    );
  return placement;
}

/** Placement by a profile. Nodes that ran several times, in loops, count once. */
export function placementOf({ nodeRuns }: RuntimeProfile): Placement {
  const nodes = new Map<string, PlacedNode>();
  for (const { name, index, opType, provider } of nodeRuns) {
    if (provider === undefined || opType === 'MemcpyFromHost' || opType === 'MemcpyToHost') continue;
    nodes.set(`${index} ${name}`, { name, opType, provider });
  }
  const byProvider: Record<string, number> = {};
  for (const { provider } of nodes.values()) byProvider[provider] = (byProvider[provider] ?? 0) + 1;
  return { nodes: [...nodes.values()], byProvider };
}

function listed(nodes: readonly PlacedNode[]): string {
  const named = nodes.slice(0, namedNodes).map(({ name, opType, provider }) => `'${name}' (${opType}) on ${provider}`);
  const more = nodes.length - named.length;
  return `${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
