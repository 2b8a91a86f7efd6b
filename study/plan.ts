import { stringify as toYaml } from 'yaml';
import { Random } from '../core/random.ts';
import { loadDataset } from '../data/load.ts';
import { decode, sampleChoices, spaceSize } from '../search/space.ts';
import { countSpec } from './evaluate.ts';
import { describeData } from './prepare.ts';
import { openProfiles } from './profiles.ts';
import { studySpace } from './search-phase.ts';
import { portableStudy, type StudyConfig } from './study-file.ts';

/** What a study would do, without doing it. */
export interface StudyPlan {
  readonly config: ReturnType<typeof portableStudy>;
  readonly spaceSize: string;
  /** Median over 64 candidates drawn at random. */
  readonly candidate: { readonly params: number; readonly macs: number };
  /** Networks trained and examples seen, by phase; an upper bound where candidates fall to a limit first. */
  readonly trainings: Readonly<
    Record<
      'search' | 'scale' | 'train',
      { readonly networks: number; readonly examples: number; readonly flops: number }
    >
  >;
  readonly flops: number;
}

const drawn = 64;
/** Training costs a forward and twice as much backward, 2 FLOPs a multiply-add. */
const flopsPerMac = 6;

/** The resolved study, the size of its space and what it costs in training. @throws {ConfigError} when the data cannot be read. */
export async function planStudy(config: StudyConfig): Promise<StudyPlan> {
  await openProfiles(config);
  const dataset = await loadDataset(config.data, { baseDirectory: config.baseDirectory });
  const space = await studySpace(config, { ...describeData(dataset, config.data), file: '' });
  const counts = Array.from({ length: drawn }, (_, index) =>
    countSpec(decode(space, sampleChoices(space, new Random(config.seed).child('plan', index)))),
  );
  const median = (values: number[]) => values.toSorted((a, b) => a - b)[drawn / 2] ?? 0;
  const candidate = {
    params: median(counts.map(({ params }) => params)),
    macs: median(counts.map(({ macs }) => macs)),
  };
  const { search, scale, final } = config;
  const part = (networks: number, examples: number, relativeMacs: number) => ({
    networks,
    examples,
    flops: networks * examples * candidate.macs * relativeMacs * flopsPerMac,
  });
  const sizes = Object.values(config.family).flat();
  const grown = sizes.filter(({ multiple }) => multiple !== 1);
  // Latency grows about as multiply-adds do, near enough for an estimate.
  const meanMultiple = (of: typeof sizes) =>
    of.length === 0 ? 1 : of.reduce((sum, { multiple }) => sum + (multiple ?? 2), 0) / of.length;
  const rules = final.baselines.filter((baseline) => 'rule' in baseline).length;
  const trainings = {
    search: part(search.trials + search.finalists * (search.seeds - 1), search.examples, 1),
    scale: part(grown.length * scale.trials, scale.examples, meanMultiple(grown)),
    train: part(
      (sizes.length + grown.length * (scale.finalists - 1 + rules)) * final.seeds,
      final.examples,
      meanMultiple(sizes),
    ),
  };
  return {
    config: portableStudy(config),
    spaceSize: spaceSize(space).toString(),
    candidate,
    trainings,
    flops: Object.values(trainings).reduce((sum, { flops }) => sum + flops, 0),
  };
}

/** {@link planStudy} as text, or as JSON. */
export async function describePlan(config: StudyConfig, { json }: { readonly json: boolean }): Promise<string> {
  const plan = await planStudy(config);
  if (json) return JSON.stringify({ schema: 1, ...plan });
  const rows = Object.entries(plan.trainings).map(
    ([phase, { networks, examples, flops }]) =>
      `  ${phase.padEnd(7)} up to ${String(networks).padStart(4)} trainings of ${examples} examples   ${flops.toExponential(1)} FLOPs`,
  );
  const { time } = config.budget;
  return [
    toYaml(plan.config).trimEnd(),
    '---',
    `space: ${plan.spaceSize} networks; a typical one has ${plan.candidate.params} parameters and ${plan.candidate.macs} multiply-adds`,
    ...rows,
    `in all ${plan.flops.toExponential(1)} training FLOPs${time === undefined ? '' : `, cut to fit ${time / 1e3} s of wall time`}`,
  ].join('\n');
}
