import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { EnvironmentError, InvalidFileError } from '../core/errors.ts';
import type { Accelerator, Session, SessionOptions } from './accelerator.ts';

const extentsSchema = z.array(z.record(z.string(), z.array(z.number())));
const eventSchema = z.object({
  cat: z.string(),
  name: z.string(),
  ts: z.number().optional(),
  dur: z.number().optional(),
  args: z
    .object({
      op_name: z.string(),
      provider: z.string(),
      node_index: z.string(),
      input_type_shape: extentsSchema,
      output_type_shape: extentsSchema,
      activation_size: z.string(),
      parameter_size: z.string(),
      output_size: z.string(),
    })
    .partial()
    .default({}),
});

/** One run of one node, after the runtime's fusions. */
export interface NodeRun {
  readonly name: string;
  /** Place in the runtime's order; nodes of a loop have it once. */
  readonly index: string;
  readonly opType: string;
  /** What `--on` calls the provider, e.g. `webgpu`; undefined where the event does not say. */
  readonly provider: string | undefined;
  /** Since the profile's beginning; with {@link durationUs} in microseconds. */
  readonly startUs: number;
  readonly durationUs: number;
  /** Extents of inputs and outputs. Weights that the runtime repacked are not among them. */
  readonly inputs: readonly (readonly number[])[];
  readonly outputs: readonly (readonly number[])[];
  /** Read and written: inputs, weights and outputs, once each. */
  readonly bytes: number;
}

/** What the runtime noted of a session. */
export interface RuntimeProfile {
  readonly nodeRuns: readonly NodeRun[];
  /** When each run of the whole model began, in microseconds. */
  readonly modelStartsUs: readonly number[];
}

const suffix = '_kernel_time';

/**
 * A profile of onnxruntime (Chrome's trace events): a node's run is an event of the category `Node` whose name ends in
 * `_kernel_time`.
 * @param text JSON, the whole file. @throws {InvalidFileError} when it is none.
 */
export function readRuntimeProfile(text: string): RuntimeProfile {
  const events = parseEvents(text);
  const nodeRuns = events.flatMap(({ cat, name, ts = 0, dur = 0, args }): NodeRun[] => {
    if (cat !== 'Node' || !name.endsWith(suffix) || args.op_name === undefined) return [];
    const { activation_size: read = 0, parameter_size: constant = 0, output_size: written = 0 } = args;
    return [
      {
        name: name.slice(0, -suffix.length),
        index: args.node_index ?? '',
        opType: args.op_name,
        provider: args.provider === undefined ? undefined : idOf(args.provider),
        startUs: ts,
        durationUs: dur,
        inputs: extentsOf(args.input_type_shape),
        outputs: extentsOf(args.output_type_shape),
        bytes: Number(read) + Number(constant) + Number(written),
      },
    ];
  });
  return { nodeRuns, modelStartsUs: events.flatMap(({ name, ts = 0 }) => (name === 'model_run' ? [ts] : [])) };
}

/**
 * Opens a model with the runtime's profile on, has it used and reads what the runtime noted, in no file that stays.
 * @throws {EnvironmentError} when the runtime wrote no profile. @throws {RidgepointError} what opening and `use` throw.
 */
export async function profiled(
  accelerator: Accelerator,
  model: Uint8Array,
  options: Omit<SessionOptions, 'profilePrefix'>,
  use: (session: Session) => Promise<void>,
): Promise<RuntimeProfile> {
  const folder = await mkdtemp(join(tmpdir(), 'ridgepoint-profile-'));
  try {
    const session = await accelerator.open(model, { ...options, profilePrefix: join(folder, 'profile') });
    try {
      await use(session);
    } finally {
      await session.close(); // Writes the profile.
    }
    const [file] = await readdir(folder);
    if (!file) throw new EnvironmentError('expected the runtime to write a profile, got none');
    return readRuntimeProfile(await readFile(join(folder, file), 'utf8'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function parseEvents(text: string): readonly z.infer<typeof eventSchema>[] {
  try {
    return z.array(eventSchema).parse(JSON.parse(text));
  } catch (cause) {
    throw new InvalidFileError("expected the runtime's profile, an array of trace events, got something else", {
      cause,
    });
  }
}

function extentsOf(shapes: z.infer<typeof extentsSchema> = []): readonly (readonly number[])[] {
  return shapes.map((shape) => Object.values(shape)[0] ?? []);
}

/** `WebGpuExecutionProvider` → `webgpu`. */
function idOf(provider: string): string {
  return provider.replace(/ExecutionProvider$/, '').toLowerCase();
}
