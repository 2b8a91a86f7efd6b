import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import type { Accelerator } from '../../accelerators/accelerator.ts';
import { parseCsv } from '../../core/csv.ts';
import { InvalidFileError } from '../../core/errors.ts';
import { Random } from '../../core/random.ts';
import { type LearnerRun, type Lesson, trainLearner } from './learner.ts';
import { drawExamples, drawTeacher } from './teacher-network.ts';

/** Which learners are trained on how much. */
export interface Design {
  readonly teachers: readonly Pick<LearnerRun, 'dimension' | 'complexity'>[];
  readonly seeds: number;
  /** Hidden units times examples: compute without the input dimension. */
  readonly budgets: readonly number[];
  readonly widths: readonly number[];
  /** The least and the most examples that a width may have for a budget. */
  readonly examples: readonly [number, number];
}

/** 2^from to 2^to, every `step`-th power. */
function powers(from: number, to: number, step = 1): readonly number[] {
  return Array.from({ length: (to - from) / step + 1 }, (_, index) => 2 ** (from + index * step));
}

/** Ten minutes of one core: 64 times as much compute at the end as at the beginning, for each kind of teacher. */
export const fullDesign: Design = {
  teachers: [
    { dimension: 4, complexity: 16 },
    { dimension: 16, complexity: 16 },
    { dimension: 64, complexity: 16 },
    { dimension: 16, complexity: 64 },
  ],
  seeds: 10,
  budgets: powers(16, 22, 2),
  widths: powers(0, 9),
  examples: [2 ** 10, 2 ** 19],
};

/** Less than a minute, and too little to tell an exponent. A run that the full design has, too, gives the same row. */
export const quickDesign: Design = {
  ...fullDesign,
  teachers: fullDesign.teachers.slice(0, 2),
  seeds: 2,
  budgets: powers(14, 18, 2),
  examples: [2 ** 9, 2 ** 16],
};

/** 64 units for each that counts. */
const unitsPerComplexity = 64;
/** So that most labels are likely and few are sure. */
const logitScale = 3;
const scored = 4096;

/** Times .01 · √(32 ÷ width): narrow networks want larger steps. Three times the largest is worse where widths are best (docs/log.md). */
const rates = [0.3, 1, 3];

/** Seed by seed, so that what is there after an interruption is of all teachers and budgets. */
export function plannedRuns({
  teachers,
  seeds,
  budgets,
  widths,
  examples: [least, most],
}: Design): readonly LearnerRun[] {
  const cells = budgets.flatMap((budget) =>
    widths
      .map((width) => ({ width, examples: budget / width }))
      .filter(({ examples }) => examples >= least && examples <= most),
  );
  return Array.from({ length: seeds }, (_, seed) => seed).flatMap((seed) =>
    teachers.flatMap(({ dimension, complexity }) =>
      cells.flatMap(({ width, examples }) =>
        rates.map((share) => {
          const learningRate = Number((0.01 * share * Math.sqrt(32 / width)).toPrecision(3));
          return { dimension, complexity, width, examples, learningRate, seed };
        }),
      ),
    ),
  );
}

/**
 * A teacher and its examples. Those of a seed and kind of teacher are the same however many are drawn: learners of one
 * teacher see beginnings of one stream.
 */
export function drawLesson(
  { dimension, complexity, seed }: Pick<LearnerRun, 'dimension' | 'complexity' | 'seed'>,
  examples: number,
): Lesson {
  const random = new Random('teacher').child(dimension, seed);
  const prior = { dimension, complexity, width: unitsPerComplexity * complexity, logitScale };
  const teacher = drawTeacher(prior, random.child('teacher'));
  return {
    training: drawExamples(teacher, examples, 'labels', random.child('training')),
    scoring: drawExamples(teacher, scored, 'probabilities', random.child('scoring')),
  };
}

const rowSchema = z.strictObject({
  dimension: z.coerce.number().int().positive(),
  complexity: z.coerce.number().int().positive(),
  width: z.coerce.number().int().positive(),
  examples: z.coerce.number().int().positive(),
  learningRate: z.coerce.number().positive(),
  seed: z.coerce.number().int().nonnegative(),
  /** Nats above the teacher's own cross-entropy; infinite for a run that diverged. */
  excess: z.union([z.literal('Infinity').transform(() => Infinity), z.coerce.number()]),
});
/** A finished run. */
export type LearnerRow = z.output<typeof rowSchema>;
const columns = Object.keys(rowSchema.shape) as (keyof LearnerRow)[];

/** Rows of a table of finished runs. @throws {InvalidFileError} when it has other columns; naming the line that is no run. */
export function parseRows(text: string, where: string): readonly LearnerRow[] {
  const table = parseCsv(text, where);
  if (table.columns.join() !== columns.join())
    throw new InvalidFileError(`${where}: expected the columns ${columns.join()}, got ${table.columns.join()}`);
  return table.rows.map(({ cells, line }) => {
    const parsed = rowSchema.safeParse(cells);
    if (parsed.success) return parsed.data;
    throw new InvalidFileError(`${where}: line ${line}: ${z.prettifyError(parsed.error)}`);
  });
}

/** How far it is. */
export interface Progress {
  readonly done: number;
  readonly of: number;
  readonly run: LearnerRun;
  readonly excess: number;
}

/**
 * Trains what the file has not, a row for each as it ends.
 * @throws {InterruptedError} once the signal has aborted; the file then has every run that ended.
 */
export async function completeRuns(
  file: string,
  runs: readonly LearnerRun[],
  options: {
    readonly accelerator: Accelerator;
    readonly signal?: AbortSignal;
    readonly onRun?: (progress: Progress) => void;
  },
): Promise<void> {
  if (!existsSync(file)) writeFileSync(file, `${columns.join(',')}\n`);
  const known = new Set(parseRows(readFileSync(file, 'utf8'), file).map(keyOf));
  const missing = runs.filter((run) => !known.has(keyOf(run)));
  let drawn: { readonly of: string; readonly lesson: Lesson } | undefined;
  for (const [index, run] of missing.entries()) {
    if (drawn?.of !== lessonOf(run)) {
      const sharing = missing.filter((other) => lessonOf(other) === lessonOf(run));
      const most = Math.max(...sharing.map(({ examples }) => examples));
      drawn = { of: lessonOf(run), lesson: drawLesson(run, most) };
    }
    const excess = Number((await trainLearner(run, drawn.lesson, options)).toPrecision(6));
    const row: LearnerRow = { ...run, excess };
    appendFileSync(file, `${columns.map((column) => row[column]).join(',')}\n`);
    options.onRun?.({ done: index + 1, of: missing.length, run, excess });
  }
}

function lessonOf({ dimension, complexity, seed }: LearnerRun): string {
  return [dimension, complexity, seed].join('/');
}

function keyOf(run: LearnerRun): string {
  return [lessonOf(run), run.width, run.examples, run.learningRate].join('/');
}
