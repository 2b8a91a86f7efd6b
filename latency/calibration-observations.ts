import { appendFile, readFile, truncate } from 'node:fs/promises';
import { z } from 'zod';
import { precisions } from '../accelerators/device-profile.ts';
import { ConfigError } from '../core/errors.ts';
import { networkSpecSchema } from '../models/spec.ts';
import { fingerprintSchema } from './latency.ts';

const positive = z.number().positive();

const common = { threads: z.int().positive(), seed: z.string(), fingerprint: fingerprintSchema };

/** First line of a file of observations: what all of them have in common. */
export const observationsHeaderSchema = z.strictObject({
  schema: z.literal(2),
  precision: z.enum(precisions),
  /** Digest of the search space of the user's own that networks are drawn from too, or `built-in`. */
  space: z.string(),
  ...common,
});
export type ObservationsHeader = z.infer<typeof observationsHeaderSchema>;

/** Of files without precision and space: those of the CPU are in fp32, and may be of any space; those of commands could be in any precision. */
const firstHeaderSchema = z.strictObject({ schema: z.literal(1), ...common });

/** A network that was measured, from outside and from inside. */
export const observationSchema = z.strictObject({
  /** `random` draws judge the model, `chosen` ones teach it most, a `repeat` is an earlier network once more. */
  role: z.enum(['random', 'chosen', 'repeat']),
  spec: networkSpecSchema,
  batch: z.int().positive(),
  p50Ms: positive,
  sessionP50Ms: z.array(positive),
  stable: z.boolean(),
  /** What the reference kernel took in the same seconds. */
  referenceMs: positive,
  /** Key, kernels of it in a run, milliseconds of one. Empty in repeats. */
  kernels: z.array(z.tuple([z.string(), z.int().positive(), z.number().nonnegative()])),
  /** Time it cost, everything included. */
  costMs: z.number().nonnegative(),
});
export type Observation = z.infer<typeof observationSchema>;

/** A file of observations: written line by line, so that nothing is lost when a calibration is interrupted. */
export interface ObservationFile {
  readonly path: string;
  readonly observations: readonly Observation[];
  append(observation: Observation): Promise<void>;
}

/**
 * Opens the file, or begins it. A last line that was cut off is dropped.
 * @throws {ConfigError} when it can be neither read nor begun, naming the line that cannot be read, or what differs where
 * the file is of another host, runtime, precision, number of threads, seed or space.
 */
export async function openObservations(path: string, header: ObservationsHeader): Promise<ObservationFile> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw new ConfigError(`${path}: expected a readable file of observations, got ${error.code}`, { cause: error });
  });
  const observations: Observation[] = [];
  const lines = text.split('\n');
  // What follows the last line break is empty, or was cut off while it was written.
  const cut = lines.pop() ?? '';
  if (lines.length === 0) {
    await appendFile(path, `${JSON.stringify(header)}\n`).catch((cause: NodeJS.ErrnoException) => {
      throw new ConfigError(`${path}: expected a file that can be written, got ${cause.code}`, { cause });
    });
  } else {
    expectSame(parseHeader(lines[0] as string, `${path}, line 1`, header), header, path);
    for (const [index, line] of lines.slice(1).entries())
      observations.push(parseLine(observationSchema, line, `${path}, line ${index + 2}`));
    if (cut !== '') await truncate(path, Buffer.byteLength(text) - Buffer.byteLength(cut));
  }
  return {
    path,
    observations,
    async append(observation) {
      observations.push(observation);
      await appendFile(path, `${JSON.stringify(observation)}\n`);
    },
  };
}

/** @param expected whose space a file of the first schema is taken to be of. */
function parseHeader(line: string, where: string, expected: ObservationsHeader): ObservationsHeader {
  const header = parseLine(z.discriminatedUnion('schema', [observationsHeaderSchema, firstHeaderSchema]), line, where);
  if (header.schema === 2) return header;
  if (header.fingerprint.provider !== 'cpu')
    throw new ConfigError(
      `${where}: expected the precision that was measured in, got none, for an earlier version wrote it; calibrate into another file`,
    );
  return { ...header, schema: 2, precision: 'fp32', space: expected.space };
}

function parseLine<T>(schema: z.ZodType<T>, line: string, where: string): T {
  let data: unknown;
  try {
    data = JSON.parse(line);
  } catch (cause) {
    throw new ConfigError(`${where}: expected JSON, got ${JSON.stringify(line.slice(0, 40))}`, { cause });
  }
  const parsed = schema.safeParse(data);
  if (!parsed.success) throw new ConfigError(`${where}: ${z.prettifyError(parsed.error)}`, { cause: parsed.error });
  return parsed.data;
}

function expectSame(found: ObservationsHeader, expected: ObservationsHeader, path: string): void {
  const { fingerprint: was, ...rest } = found;
  const { fingerprint: now, ...others } = expected;
  for (const [key, value] of Object.entries({ ...others, ...now })) {
    const old = ({ ...rest, ...was } as Readonly<Record<string, unknown>>)[key];
    if (old !== value)
      throw new ConfigError(
        `${path}: expected observations of this ${key} (${String(value)}), got ${String(old)}; calibrate into another file`,
      );
  }
}
