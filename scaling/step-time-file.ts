import { parse as parseYaml, stringify as writeYaml } from 'yaml';
import { z } from 'zod';
import { InvalidFileError } from '../core/errors.ts';
import type { StepTimeModel } from './step-time.ts';

const rate = z.number().positive().nullable();

const fileSchema = z
  .strictObject({
    schema: z.literal(1),
    kind: z.literal('step-time'),
    elementsPerS: rate,
    attentionFlopsPerS: rate,
    matrixFlopsPerS: rate,
    /** Steps behind it, and the mean relative error on those. */
    steps: z.int().positive().optional(),
    error: z.number().nonnegative().optional(),
  })
  .refine(
    ({ elementsPerS, matrixFlopsPerS }) => elementsPerS !== null || matrixFlopsPerS !== null,
    'expected at least one of elementsPerS and matrixFlopsPerS',
  );

/** Measured rates as a YAML file that `ridgepoint plan --profile` reads. */
export function writeStepTimeFile(
  model: StepTimeModel,
  about: { readonly steps: number; readonly error: number },
): string {
  return writeYaml({ schema: 1, kind: 'step-time', ...model, ...about } satisfies z.input<typeof fileSchema>);
}

/** Reads such a file. @param where names it in errors. @throws {InvalidFileError} naming every offending key. */
export function parseStepTimeFile(text: string, where: string): StepTimeModel {
  let data: unknown;
  try {
    data = parseYaml(text);
  } catch (cause) {
    throw new InvalidFileError(`${where}: not YAML: ${(cause as Error).message}`, { cause });
  }
  const parsed = fileSchema.safeParse(data);
  if (!parsed.success)
    throw new InvalidFileError(`${where}: not a step-time profile\n${z.prettifyError(parsed.error)}`);
  const { elementsPerS, attentionFlopsPerS, matrixFlopsPerS } = parsed.data;
  return { elementsPerS, attentionFlopsPerS, matrixFlopsPerS };
}
