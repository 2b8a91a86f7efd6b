import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { InvalidFileError } from '../core/errors.ts';
import type { Accelerator, Session, TensorValue } from './accelerator.ts';
import { UnsupportedModelError } from './onnxruntime.ts';

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
  const folder = await mkdtemp(join(tmpdir(), 'ridgepoint-placement-'));
  try {
    const options = { threads, allowFallback: true, profilePrefix: join(folder, 'profile') };
    const session = await accelerator.open(model, options);
    try {
      await session.run(feeds(session.inputs));
    } finally {
      await session.close(); // Writes the profile.
    }
    const [file = 'profile'] = await readdir(folder);
    const placement = readPlacement(await readFile(join(folder, file), 'utf8'));
    const elsewhere = placement.nodes.filter(({ provider }) => provider !== accelerator.id);
    if (elsewhere.length > 0 && !allowFallback)
      throw new UnsupportedModelError(
        `${accelerator.id}: expected to run every node, got ${elsewhere.length} of ${placement.nodes.length} elsewhere: ${listed(elsewhere)}`,
      );
    return placement;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const eventSchema = z.object({
  cat: z.string(),
  name: z.string(),
  args: z.object({ op_name: z.string(), provider: z.string(), node_index: z.string() }).partial().default({}),
});

/**
 * Placement from the text of a profile of onnxruntime (Chrome's trace events): a node's run is an event of the
 * category `Node` whose name ends in `_kernel_time`. Nodes that ran several times, in loops, count once.
 * @throws {InvalidFileError} when the text is none.
 */
export function readPlacement(profile: string): Placement {
  const nodes = new Map<string, PlacedNode>();
  for (const { cat, name, args } of parseEvents(profile)) {
    const { op_name: opType, provider, node_index: index } = args;
    if (cat !== 'Node' || !name.endsWith('_kernel_time') || opType === undefined || provider === undefined) continue;
    if (opType === 'MemcpyFromHost' || opType === 'MemcpyToHost') continue;
    const node = { name: name.slice(0, -'_kernel_time'.length), opType, provider: idOf(provider) };
    nodes.set(`${index} ${node.name}`, node);
  }
  const byProvider: Record<string, number> = {};
  for (const { provider } of nodes.values()) byProvider[provider] = (byProvider[provider] ?? 0) + 1;
  return { nodes: [...nodes.values()], byProvider };
}

function parseEvents(profile: string): readonly z.infer<typeof eventSchema>[] {
  try {
    return z.array(eventSchema).parse(JSON.parse(profile));
  } catch (cause) {
    throw new InvalidFileError("expected the runtime's profile, an array of trace events, got something else", {
      cause,
    });
  }
}

/** `WebGpuExecutionProvider` → `webgpu`: what `--on` calls it. */
function idOf(provider: string): string {
  return provider.replace(/ExecutionProvider$/, '').toLowerCase();
}

function listed(nodes: readonly PlacedNode[]): string {
  const named = nodes.slice(0, namedNodes).map(({ name, opType, provider }) => `'${name}' (${opType}) on ${provider}`);
  const more = nodes.length - named.length;
  return `${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
