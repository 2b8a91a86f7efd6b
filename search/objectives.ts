import type { Metrics } from '../core/trial.ts';
import type { Direction } from './pareto.ts';

/** One thing to optimise, as data. */
export interface Objective {
  /** Name of a metric, e.g. `accuracy` or `latencyMs.gpu`. */
  readonly metric: string;
  readonly direction: Direction;
  /** `log` where ratios matter rather than differences, as for latencies; the metric must then be positive. Default `linear`. */
  readonly scale?: 'linear' | 'log';
}

/** Accuracy against latency on every target: what a search for a base optimises. */
export function accuracyAndLatencies(targets: readonly string[]): readonly Objective[] {
  return [
    { metric: 'accuracy', direction: 'max' },
    ...targets.map((target) => ({ metric: `latencyMs.${target}`, direction: 'min', scale: 'log' }) as const),
  ];
}

/** What a trial is worth in each objective, less being better; undefined where it is not known. */
export type Losses = readonly (number | undefined)[];

/**
 * Losses of a trial, `[objective]`: of its metrics, or of its `reward` when there are no objectives. A metric that is
 * not a finite number (or not positive, on a log scale) is not known.
 */
export function lossesOf(
  trial: { readonly reward?: number | undefined; readonly metrics?: Metrics | undefined },
  objectives: readonly Objective[] | undefined,
): Losses {
  if (objectives === undefined) return [finite(trial.reward === undefined ? undefined : -trial.reward)];
  return objectives.map(({ metric, direction, scale }) => {
    const value = trial.metrics?.[metric];
    if (value === undefined) return undefined;
    const scaled = scale === 'log' ? Math.log(value) : value;
    return finite(direction === 'max' ? -scaled : scaled);
  });
}

/** Losses of which every one is known, or undefined. */
export function completeLosses(losses: Losses): readonly number[] | undefined {
  return losses.every((loss) => loss !== undefined) ? losses : undefined;
}

function finite(value: number | undefined): number | undefined {
  return value !== undefined && Number.isFinite(value) ? value : undefined;
}
