import type { Json } from '../core/digest.ts';
import { ConfigError } from '../core/errors.ts';
import type { Latency } from '../latency/latency.ts';
import { limitDoubt, type LimitMet } from '../latency/setting.ts';
import { fitElasticity } from '../scaling/elasticity.ts';
import type { Multipliers } from '../scaling/multipliers.ts';
import type { DataDescription } from './context.ts';
import { deliveredLatencyId } from './deliver/deliver-phase.ts';
import { dataSummary } from './deliver/summarise.ts';
import { profileBehind } from './evaluation/profiles.ts';
import type { MemberSummary, OverSeeds, StudySummary, TargetSummary } from './deliver/summary.ts';
import { activeMs } from './journal/active-time.ts';
import type { JournalEvent } from './journal/events.ts';
import { StudyRecord } from './journal/record.ts';
import type { StudyConfig } from './study-file.ts';

/** A network of a factory's that is delivered: what is known of it is what was asked for, and its file. */
export interface FactoryMember {
  readonly size: string;
  readonly targetMs: number;
  readonly multipliers: Multipliers;
  readonly resolution: number;
  /** Path below the folder, and digest. */
  readonly file: string;
  readonly digest: string;
  /** Of the file's weights, the best of the seeds on the hold-out. */
  readonly seed: number;
  readonly holdoutAccuracy: OverSeeds;
  readonly testAccuracy: OverSeeds;
  readonly latency: Latency;
  readonly limitMet: LimitMet | null;
  /** Scalings trained within this size before it was chosen; 0 for the base. */
  readonly trained: number;
}

/** A network that a factory was asked for while its base was scaled. */
export interface TriedScaling {
  readonly multipliers: Multipliers;
  readonly resolution: number;
  /** Of the untrained file; null where the factory or the target has no such network. */
  readonly p50Ms: number | null;
  /** On the hold-out, after the examples of scaling; null where it was not trained so far, or diverged. */
  readonly accuracy: number | null;
}

/** What was found for one target. */
export interface FactoryTargetFamily {
  readonly target: string;
  readonly baseMs: number;
  readonly members: readonly FactoryMember[];
  /** Sizes that no network was found for. */
  readonly unserved: readonly string[];
  readonly scalings: readonly TriedScaling[];
}

/** What `family.json` holds. */
export interface FactoryFamily {
  readonly schema: 1;
  readonly name: string;
  readonly targets: readonly FactoryTargetFamily[];
}

/** The journal of a factory's scaling, within its folder. */
export const factoryJournal = 'scaling.jsonl';

/** Id of the decision that holds what was found for a target. */
export function familyId(target: string): string {
  return `family ${target}`;
}

/** A family as its journal has it: each latency is an event of its own. */
export function journalled({ members, ...family }: FactoryTargetFamily): Json {
  const without = members.map(({ latency: _latency, ...member }) => member);
  return JSON.parse(JSON.stringify({ ...family, members: without })) as Json;
}

/** Everything that the report of a factory's scaling shows, computed from its journal alone. */
export interface FactorySummary extends Pick<
  StudySummary,
  'name' | 'seed' | 'createdMs' | 'activeS' | 'data' | 'environment' | 'targets' | 'warnings'
> {
  readonly families: readonly FactoryTargetFamily[];
  /** Training examples of a scaling and of a delivered network. */
  readonly examples: { readonly scaling: number; readonly final: number };
  /** What was declared of the programs, but what starts them. */
  readonly programs: Readonly<Record<string, Json>>;
}

/** What of a summary is the family itself. */
export function factoryFamily({ name, families }: FactorySummary): FactoryFamily {
  return { schema: 1, name, targets: families };
}

/** What a factory's scaling was asked for, as its journal has it. */
type Asked = Pick<StudyConfig, 'seed' | 'targets' | 'scale' | 'final'> & { readonly base: Record<string, Json> };

/** @param where names the journal in errors. @throws {ConfigError} when the scaling is not finished. */
export function summariseFactory(events: readonly JournalEvent[], where: string): FactorySummary {
  const record = StudyRecord.replay(events);
  const created = events.find((event) => event.type === 'study' && event.action === 'created');
  const asked = record.decision('scaling') as Asked | undefined;
  const data = record.decision('data') as DataDescription | undefined;
  const families = Object.keys(asked?.targets ?? {}).flatMap((target) => familyIn(record, target) ?? []);
  if (!asked || !data || created?.type !== 'study' || families.length < Object.keys(asked.targets).length)
    throw new ConfigError(
      `${where}: expected a scaling that is finished; the command that began it goes on with it, and writes the report`,
    );
  return {
    name: created.id,
    seed: asked.seed,
    createdMs: events[0]?.tMs ?? 0,
    activeS: activeMs(events) / 1e3,
    data: dataSummary(data),
    environment: created.environment as Record<string, string>,
    targets: families.map((family) => targetOf(record, asked, family)),
    families,
    examples: { scaling: asked.scale.examples, final: asked.final.examples },
    programs: asked.base,
    warnings: families.flatMap((family) => warningsOf(family, families.length > 1, asked.final.seeds)),
  };
}

function familyIn(record: StudyRecord, target: string): FactoryTargetFamily | undefined {
  const family = record.decision(familyId(target)) as FactoryTargetFamily | undefined;
  if (!family) return undefined;
  const members = family.members.map((member) => ({
    ...member,
    latency: record.latency(deliveredLatencyId(target, member.digest)) as Latency,
  }));
  return { ...family, members };
}

function targetOf(
  record: StudyRecord,
  { targets, final }: Asked,
  { target: name, members, scalings }: FactoryTargetFamily,
): TargetSummary {
  const config = targets[name] as StudyConfig['targets'][string];
  const { device, batch, threads, limit } = config;
  const measured = scalings.flatMap(({ multipliers, p50Ms }) =>
    p50Ms === null ? [] : [{ multipliers, latencyMs: p50Ms }],
  );
  return {
    name,
    device,
    predictedBy: profileBehind(record, device, config),
    prediction: null,
    elasticity: measured.length > 1 ? fitElasticity(measured) : null,
    batch,
    settings: [],
    threads,
    limit: limit ?? null,
    lines: [{ kind: 'family', name: 'ridgepoint', members: members.map((member) => memberOf(member, final)) }],
  };
}

function memberOf(member: FactoryMember, { examples, seeds }: Asked['final']): MemberSummary {
  const { size, targetMs, multipliers, file, seed, latency, limitMet, testAccuracy, holdoutAccuracy } = member;
  const best = holdoutAccuracy.values.indexOf(Math.max(...holdoutAccuracy.values));
  return {
    size,
    targetMs,
    multipliers,
    spec: null,
    count: null,
    testAccuracy,
    holdoutAccuracy,
    delivered: {
      seed,
      testAccuracy: testAccuracy.values[best] ?? Number.NaN,
      holdoutAccuracy: holdoutAccuracy.values[best] ?? Number.NaN,
    },
    divergedSeeds: seeds - testAccuracy.values.length,
    trainingExamples: examples,
    latency,
    limitMet,
    chosenFrom: [],
    file,
    variants: [],
  };
}

/** A network that is slower than its size by so much in its final measurement is told of. */
const tolerated = 0.05;

function warningsOf({ target, members, unserved }: FactoryTargetFamily, several: boolean, seeds: number): string[] {
  const on = several ? ` on ${target}` : '';
  return [
    ...members.flatMap(({ size, targetMs, latency, limitMet, testAccuracy }) => {
      const over = latency.p50Ms / targetMs - 1;
      const better = members.find(
        (other) => other.latency.p50Ms < latency.p50Ms && other.testAccuracy.mean > testAccuracy.mean,
      );
      const diverged = seeds - testAccuracy.values.length;
      return [
        ...(diverged > 0 ? [`${diverged} of the seeds of ${size}${on} diverged; its accuracy is over the others`] : []),
        ...(latency.stable || latency.source === 'predicted' ? [] : [`the latency of ${size}${on} is unstable`]),
        ...(limitMet === false ? [`${size}${on} does not meet the limit in its final measurement`] : []),
        ...(limitMet === 'unknown'
          ? [`whether ${size}${on} meets the limit is not known: ${limitDoubt(latency)}`]
          : []),
        ...(over > tolerated
          ? [`${size}${on} took ${(100 * over).toFixed(0)} % longer than its size in its final measurement`]
          : []),
        ...(better ? [`${size}${on} is slower than ${better.size} and less accurate`] : []),
      ];
    }),
    ...unserved.map((size) => `no network was found for ${size}${on}`),
  ];
}
