import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { Outcome } from '../../core/trial.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { realisedMultipliers } from '../../scaling/apply.ts';
import type { Multipliers } from '../../scaling/multipliers.ts';
import type { EventOf, JournalEvent } from '../../study/journal/events.ts';
import type { StudyConfig } from '../../study/study-file.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { smallBase } from '../scaling/base.ts';
import { FakeMeter } from './fake-meter.ts';
import { eventsUntil, smallStudy } from './small-study.ts';

/** The base of the studies here, at half the data's side. */
export const base: NetworkSpec = { ...smallBase(24), classes: 4 };
const basePath = join(fileFolder(), 'base.yaml');
writeFileSync(basePath, stringify(base));

/** A study that scales {@link base} for targets whose latency a test makes up. */
export function scalingStudy(changes: object = {}): StudyConfig {
  return smallStudy({
    data: { format: 'rendered', classes: 4, train: 200, test: 50, resolution: 48 },
    base: basePath,
    targets: { edge: { device: 'cpu' } },
    family: { edge: ['1x', '2x'] },
    scale: { trials: 4, round: 2, examples: 100, finalists: 1, seeds: 1 },
    final: { examples: 200, seeds: 1, baselines: [] },
    ...changes,
  });
}

/** Multipliers of a network to {@link base}. */
export function multipliersOf(spec: NetworkSpec): Multipliers {
  return realisedMultipliers(base, spec);
}

/** A power law of multipliers, `scale` at the base. */
export function powerLaw(scale: number, exponents: Multipliers): (spec: NetworkSpec) => number {
  return (spec) => {
    const { depth, width, resolution } = multipliersOf(spec);
    return scale * depth ** exponents.depth * width ** exponents.width * resolution ** exponents.resolution;
  };
}

/** A training that ended with this accuracy. */
export function trainedTo(accuracy: number): Outcome {
  const cost = { trainS: 1, measureS: 0, examples: 100, flops: 1e9, peakRssBytes: 0 };
  return { status: 'ok', metrics: { accuracy, crossEntropy: 1 }, cost };
}

/** Runs a study until scaling is over, or until `last`; its events. */
export function scaledEvents(
  config: StudyConfig,
  meter: ConstructorParameters<typeof FakeMeter>[0],
  options: {
    readonly accuracyOf?: (spec: NetworkSpec, id: string) => number;
    readonly folder?: string;
    last?: (event: JournalEvent) => boolean;
  } = {},
): Promise<readonly JournalEvent[]> {
  const { accuracyOf, last = ({ type, id }) => type === 'phase' && id === 'train' } = options;
  return eventsUntil(config, last, {
    ...(options.folder === undefined ? {} : { folder: options.folder }),
    makeMeter: () => new FakeMeter(meter),
    ...(accuracyOf && { answer: (_, { spec, id }) => trainedTo(accuracyOf(spec, id)) }),
  });
}

/** What a `scaling` decision holds. */
export interface ScalingDecision {
  readonly targetMs: number;
  readonly finalists: readonly (Multipliers & { readonly latencyMs: number; readonly digest: string })[];
}

/** The scaling decisions of a journal by their id less the word. */
export function scalingDecisions(events: readonly JournalEvent[]): ReadonlyMap<string, ScalingDecision> {
  return new Map(
    events.flatMap((event) =>
      event.type === 'decision' && event.id.startsWith('scaling ')
        ? [[event.id.slice('scaling '.length), event.value as ScalingDecision] as const]
        : [],
    ),
  );
}

/** Trials of a phase, in order. */
export function issuedIn(events: readonly JournalEvent[], phase: string): readonly EventOf<'issued'>[] {
  return events.filter((event): event is EventOf<'issued'> => event.type === 'issued' && event.phase === phase);
}
