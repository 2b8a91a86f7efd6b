import { Document, isMap, isSeq, parse as parseYaml, visit } from 'yaml';
import { z } from 'zod';
import { InvalidFileError } from '../core/errors.ts';
import type { FitReport } from './fit-report.ts';
import { lossLaw } from './laws/laws.ts';
import { type LossLaw, naturalValues, type ParamsCount, thetaOf } from './laws/law.ts';
import type { PowerLaw } from './laws/power-law.ts';

const number = z.number();

const fileSchema = z.strictObject({
  schema: z.literal(1),
  kind: z.literal('scaling-laws'),
  convention: z.string(),
  paramsCount: z.enum(['total', 'non-embedding']),
  fittedFlops: z.tuple([z.number().positive(), z.number().positive()]),
  selected: z.string().nullable(),
  laws: z.array(
    z.strictObject({
      law: z.string(),
      values: z.record(z.string(), number),
      holdOutError: number.nullable(),
      draws: z.array(z.array(number)),
    }),
  ),
  // Files of before they were kept have none.
  mappings: z
    .array(
      z.strictObject({
        law: z.string(),
        values: z.strictObject({
          paramsCoefficient: z.number().positive(),
          paramsExponent: number,
          dataCoefficient: z.number().positive(),
          dataExponent: number,
        }),
      }),
    )
    .default([]),
});

/** What a plan needs to know of a fit, whatever its form. */
interface Fitted {
  readonly paramsCount: ParamsCount;
  readonly fittedFlops: readonly [number, number];
  readonly selected: boolean;
}

/** A law of the loss from a file of fits. */
export interface FileLaw extends Fitted {
  readonly law: LossLaw;
  readonly theta: readonly number[];
  /** Refits to resamples, for intervals. */
  readonly draws: readonly (readonly number[])[];
}

/** Power laws through optima, of 6·N·D, from a file of fits: approach 1 or 2. */
export interface FilePowerLaw extends Fitted {
  readonly law: PowerLaw & { readonly name: string };
}

/**
 * The fitted laws of a report as a YAML file that `ridgepoint plan --law` reads. Power laws and the runs' range are of 6·N·D there, as
 * plans count, whatever FLOPs the runs had.
 */
export function writeFitFile(report: FitReport): string {
  const { flopsRatio } = report.runs;
  const file = {
    schema: 1,
    kind: 'scaling-laws',
    convention: `${report.convention}; mappings and fittedFlops are of 6·N·D`,
    paramsCount: report.paramsCount,
    fittedFlops: [report.runs.flops[0] / flopsRatio, report.runs.flops[1] / flopsRatio],
    selected: report.selected,
    laws: report.laws.map(({ law, theta, holdOut, draws }) => ({
      law,
      values: naturalValues(lossLaw(law), theta),
      holdOutError: holdOut?.error ?? null,
      draws: draws.map((draw) => draw.map((value) => Number(value.toPrecision(9)))),
    })),
    mappings: report.mappings.map(({ law, mapping }) => ({
      law,
      values: {
        ...mapping,
        paramsCoefficient: mapping.paramsCoefficient * flopsRatio ** mapping.paramsExponent,
        dataCoefficient: mapping.dataCoefficient * flopsRatio ** mapping.dataExponent,
      },
    })),
  } satisfies z.input<typeof fileSchema>;
  const document = new Document(file);
  // A resample a line.
  visit(document, {
    Seq: (_, node) => {
      if (node.items.every((item) => !isSeq(item) && !isMap(item))) node.flow = true;
    },
  });
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}

/**
 * Reads such a file, laws of the loss first. @param where names it in errors.
 * @throws {InvalidFileError} naming every offending key, and for a file without a law.
 */
export function parseFitFile(text: string, where: string): readonly (FileLaw | FilePowerLaw)[] {
  let data: unknown;
  try {
    data = parseYaml(text);
  } catch (cause) {
    throw new InvalidFileError(`${where}: not YAML: ${(cause as Error).message}`, { cause });
  }
  const parsed = fileSchema.safeParse(data);
  if (!parsed.success)
    throw new InvalidFileError(`${where}: not a file of fitted laws\n${z.prettifyError(parsed.error)}`);
  const { laws, mappings, paramsCount, fittedFlops, selected } = parsed.data;
  if (laws.length + mappings.length === 0)
    throw new InvalidFileError(`${where}: expected at least one fitted law, got none`);
  const common = { paramsCount, fittedFlops };
  return [
    ...laws.map(({ law: name, values, draws }) => {
      try {
        const law = lossLaw(name);
        return { law, theta: thetaOf(law, values), draws, ...common, selected: name === selected };
      } catch (cause) {
        throw new InvalidFileError(`${where}: ${(cause as Error).message}`, { cause });
      }
    }),
    ...mappings.map(({ law: name, values }) => ({ law: { name, ...values }, ...common, selected: false })),
  ];
}
