import type { PhaseName } from './journal/events.ts';
import { isBase, scalingWork } from './scale/scalings.ts';
import { searchTrainings, type StudyConfig } from './study-file.ts';

/** A phase that trains. */
export type PlannedPhase = Extract<PhaseName, 'search' | 'scale' | 'train'>;

/** Trainings of equally many examples. */
export interface PlannedTrainings {
  readonly networks: number;
  readonly examples: number;
  /** Multiply-adds an example of all of them, in those of the base; latency is taken to grow as they do. */
  readonly cost: number;
}

/** The trainings that a study asks for in each phase, at most; of a search over several rungs, about those of each. */
export function plannedTrainings(config: StudyConfig): Readonly<Record<PlannedPhase, readonly PlannedTrainings[]>> {
  const { scale, final } = config;
  const { sizes, grown, rules } = familyOf(config);
  const ofSize = scalingWork(scale);
  const others = ofSize.finalists - 1 + rules;
  return {
    search: searchTrainings(config).map((rung) => ({ ...rung, cost: rung.networks })),
    // The base is trained beside its scalings.
    scale: [
      {
        networks: 1 + grown.length * ofSize.trainings,
        examples: scale.examples,
        cost: 1 + costOf(grown) * ofSize.trainings,
      },
    ],
    train: [
      {
        networks: (sizes.length + grown.length * others) * final.seeds,
        examples: final.examples,
        cost: (costOf(sizes) + costOf(grown) * others) * final.seeds,
      },
    ],
  };
}

/** Networks that a study delivers or compares, at most. */
export function plannedDeliveries(config: StudyConfig): number {
  const { sizes, grown, rules } = familyOf(config);
  return sizes.length + grown.length * rules;
}

/** Sizes over all targets, those of them that are not the base, and fixed rules to compare with. */
function familyOf({ family, final }: StudyConfig) {
  const sizes = Object.values(family).flat();
  const grown = sizes.filter((size) => !isBase({ size }));
  return { sizes, grown, rules: final.baselines.filter((baseline) => 'rule' in baseline).length };
}

/** A size in milliseconds is taken for twice the base. */
function costOf(sizes: StudyConfig['family'][string]): number {
  return sizes.reduce((sum, { multiple }) => sum + (multiple ?? 2), 0);
}
