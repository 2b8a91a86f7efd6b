import { parseCsv } from '../core/csv.ts';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import type { TimedStep } from './step-time.ts';

const needed = ['layers', 'width', 'vocabulary', 'context', 'tokens', 'seconds'] as const;
const optional = ['heads', 'feedforward', 'gated', 'tied', 'recomputes', 'microbatches'] as const;

/**
 * Timed training steps of transformers from a CSV file: `layers, width, vocabulary, context, tokens` (of one device in a step),
 * `seconds`, and where they differ from the default `heads`, `feedforward` (4·width), `gated`, `tied`, `recomputes` (0 or 1) and
 * `microbatches` (1).
 * @throws {ConfigError} for columns that are not there; {InvalidFileError} naming line and column of values that are not numbers.
 */
export function parseTimedSteps(text: string, where: string): readonly TimedStep[] {
  const { columns, rows } = parseCsv(text, where);
  const headings = new Map(columns.map((name) => [name.trim().toLowerCase(), name]));
  const missing = needed.filter((name) => !headings.has(name));
  if (missing.length > 0)
    throw new ConfigError(`${where}: expected columns ${missing.join(', ')}, got ${columns.join(', ')}`);
  return rows.map(({ cells, line }) => {
    const number = (name: (typeof needed)[number] | (typeof optional)[number], fallback?: number): number => {
      const cell = cells[headings.get(name) ?? '']?.trim();
      if ((cell === undefined || cell === '') && fallback !== undefined) return fallback;
      const value = Number(cell);
      const flag = name === 'gated' || name === 'tied' || name === 'recomputes';
      if (cell === '' || !Number.isFinite(value) || (flag ? value !== 0 && value !== 1 : value <= 0))
        throw new InvalidFileError(
          `${where}: line ${line}, ${name}: expected ${flag ? '0 or 1' : 'a positive number'}, got ${JSON.stringify(cell)}`,
        );
      return value;
    };
    const width = number('width');
    return {
      shape: {
        layers: number('layers'),
        width,
        heads: number('heads', Math.max(1, width / 128)),
        feedForward: number('feedforward', 4 * width),
        gated: number('gated', 0) === 1,
        vocabulary: number('vocabulary'),
        context: number('context'),
        tiedHead: number('tied', 1) === 1,
        learnedPositions: false,
        biases: false,
      },
      tokens: number('tokens'),
      seconds: number('seconds'),
      recomputes: number('recomputes', 0) === 1,
      microBatches: number('microbatches', 1),
    };
  });
}
