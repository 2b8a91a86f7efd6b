import { join } from 'node:path';
import { InfeasibleModelError } from '../../core/errors.ts';
import { type DeviceMeasures, leastRegretWithin } from '../../search/regret.ts';
import type { StudyContext } from '../context.ts';
import { exportRun, measureDelivered, type Place, placeFile, precisionFor, scoreRun } from './deliver-phase.ts';
import { accuracyOf, countSpec, latencyOf, leastRunBytes, measureAgain, mayMeetLimit } from '../evaluation/evaluate.ts';
import type { Trial } from '../journal/record.ts';
import { familyLine } from '../scale/scalings.ts';
import type { Member } from '../train/train-phase.ts';

/** A size of the family that all targets share: every target's own size of the same rank. */
export interface SharedLevel {
  /** The size's name where it is one for all targets, else `size-1`, `size-2`, …. */
  readonly name: string;
  /** By target; a target with fewer sizes stays at its largest. */
  readonly sizes: Readonly<Record<string, { readonly size: string; readonly targetMs: number }>>;
}

/** What the journal says of a shared size; null where no trained network is within it on every target. */
export type SharedDecision = {
  readonly sizes: SharedLevel['sizes'];
  readonly runs: readonly string[];
  /** Seeds whose training diverged; they are not among the runs. */
  readonly diverged: number;
  readonly delivered: string;
  /** By target: mean hold-out accuracy lost against the best trained network within that target's size; ≥ 0. */
  readonly regrets: Readonly<Record<string, number>>;
  /** Networks that were chosen from. */
  readonly candidates: number;
} | null;

/** Id of the decision on a shared size. */
export function sharedId(level: string): string {
  return `shared ${level}`;
}

/** Path of a shared member below the study's folder. */
export function sharedFolder(level: string): string {
  return join('shared', level);
}

/** What a shared member's file is called: one for each precision that some target runs it in. */
export const sharedFiles = { fp32: 'model.onnx', fp16: 'model-fp16.onnx' } as const;

/** The sizes that targets share, by rank; none with one target. */
export function sharedLevels(members: readonly Member[]): SharedLevel[] {
  const sizes = new Map<string, Member[]>();
  for (const member of members)
    if (member.line === familyLine) sizes.set(member.target, [...(sizes.get(member.target) ?? []), member]);
  if (sizes.size < 2) return [];
  const ranked = [...sizes].map(([target, own]) => [target, own.toSorted((a, b) => a.targetMs - b.targetMs)] as const);
  const count = Math.max(...ranked.map(([, own]) => own.length));
  return Array.from({ length: count }, (_, rank) => {
    const chosen = ranked.flatMap(([target, own]) => {
      const member = own[Math.min(rank, own.length - 1)];
      return member ? [[target, { size: member.size, targetMs: member.targetMs }] as const] : [];
    });
    const names = new Set(chosen.map(([, { size }]) => size));
    const [only] = names;
    return { name: names.size === 1 && only ? only : `size-${rank + 1}`, sizes: Object.fromEntries(chosen) };
  });
}

/** A network that was trained fully, for whichever target. */
interface Candidate {
  readonly trial: Trial;
  readonly runs: readonly Trial[];
  readonly diverged: number;
  /** Mean hold-out accuracy; a seed that diverged has learned nothing. */
  readonly accuracy: number;
}

/**
 * One family for all targets, beside each target's own: at each size the network that is least bad on all, chosen
 * from what was trained for any target, so nothing more is trained. Candidates are measured on the targets they were not made
 * for, the chosen one's file is delivered once and measured on every target.
 */
export async function deliverShared(context: StudyContext, members: readonly Member[]): Promise<void> {
  const levels = sharedLevels(members);
  if (levels.length === 0) return;
  const candidates = candidatesOf(context);
  const targets = Object.keys(context.config.targets);
  const latencies: number[][] = [];
  for (const [index, { trial }] of candidates.entries()) {
    context.onProgress({
      phase: 'deliver',
      text: `${index + 1}/${candidates.length} measuring trained networks on every target`,
    });
    const row: number[] = [];
    for (const target of targets) row.push(await latencyMsOn(context, trial, target));
    latencies.push(row);
  }
  const networks = candidates.map(({ accuracy }, index) => ({ accuracy, latencies: latencies[index] ?? [] }));
  for (const level of levels) await deliverLevel(context, level, candidates, networks);
}

function candidatesOf(context: StudyContext): Candidate[] {
  const { record } = context;
  const trained = record.trials.filter(({ phase }) => phase === 'train');
  const digests = [...new Set(trained.map(({ specDigest }) => specDigest))];
  return digests.flatMap((digest) => {
    const own = trained.filter(({ specDigest }) => specDigest === digest);
    const runs = own.filter(({ id }) => accuracyOf(context, id) !== undefined);
    const diverged = own.filter(({ id }) => record.outcome(id)?.status === 'infeasible').length;
    const [trial] = runs;
    if (!trial) return [];
    const sum = runs.reduce((total, { id }) => total + (accuracyOf(context, id) ?? 0), 0);
    return [{ trial, runs, diverged, accuracy: sum / (runs.length + diverged) }];
  });
}

/** Infinite where the target cannot run it, or has too little memory for it. */
async function latencyMsOn(context: StudyContext, { spec, specDigest }: Trial, target: string): Promise<number> {
  const config = context.config.targets[target];
  if (config?.memory !== undefined && leastRunBytes(countSpec(spec), config) > config.memory) return Infinity;
  try {
    return (await latencyOf(context, spec, specDigest, target)).p50Ms;
  } catch (error) {
    if (error instanceof InfeasibleModelError) return Infinity;
    throw error;
  }
}

async function deliverLevel(
  context: StudyContext,
  level: SharedLevel,
  candidates: readonly Candidate[],
  networks: readonly DeviceMeasures[],
): Promise<void> {
  const { record } = context;
  const targets = Object.keys(context.config.targets);
  const chosen = await leastRegretMember(context, level, candidates, networks);
  if (!chosen) {
    record.decideAgain(
      sharedId(level.name),
      null,
      `none of ${candidates.length} trained networks is within it on all targets`,
    );
    return;
  }
  const { runs, diverged } = chosen.candidate;
  const delivered = runs.reduce((a, b) =>
    (accuracyOf(context, b.id) ?? 0) > (accuracyOf(context, a.id) ?? 0) ? b : a,
  );
  const worst = Math.max(...chosen.regrets);
  record.decideAgain(
    sharedId(level.name),
    {
      sizes: { ...level.sizes },
      runs: runs.map(({ id }) => id),
      diverged,
      delivered: delivered.id,
      regrets: Object.fromEntries(targets.map((target, index) => [target, chosen.regrets[index] ?? 0])),
      candidates: candidates.length,
    },
    `least worst regret over the targets, ${(100 * worst).toFixed(1)} points on the hold-out, of ${candidates.length} trained networks`,
  );
  context.onProgress({ phase: 'deliver', text: `the shared ${level.name}: exporting and measuring on every target` });
  for (const run of runs) await scoreRun(context, run);
  for (const target of targets) await measureDelivered(context, delivered, target);
  const precisions = new Set(targets.map((target) => precisionFor(context, delivered, target)));
  for (const precision of precisions) {
    const file = await exportRun(context, delivered, precision);
    placeFile(context, placeOf(context, level.name, precision), delivered.spec, file);
  }
}

function placeOf({ config }: StudyContext, level: string, precision: 'fp32' | 'fp16'): Place {
  const file = sharedFiles[precision];
  const id = precision === 'fp32' ? sharedId(level) : `${sharedId(level)} ${precision}`;
  return { folder: sharedFolder(level), file, name: `${config.study}-shared-${level}`, id };
}

/**
 * The least bad candidate within a level that keeps every limit when measured as thoroughly as what is delivered. The
 * base is within every size: 1x is the base itself, whatever a later measurement of it says.
 */
async function leastRegretMember(
  context: StudyContext,
  { sizes }: SharedLevel,
  candidates: readonly Candidate[],
  networks: readonly DeviceMeasures[],
): Promise<{ readonly candidate: Candidate; readonly regrets: readonly number[] } | undefined> {
  const { config, record } = context;
  const targets = Object.keys(config.targets);
  const budgets = targets.map((target) => sizes[target]?.targetMs ?? 0);
  const { trial: baseTrial } = record.decision('base') as { readonly trial: string };
  const baseDigest = record.trial(baseTrial)?.specDigest;
  const judged = networks.map(({ accuracy, latencies }, index) => {
    const isBase = candidates[index]?.trial.specDigest === baseDigest;
    return { accuracy, latencies: latencies.map((ms, at) => (isBase ? Math.min(ms, budgets[at] ?? ms) : ms)) };
  });
  for (;;) {
    const chosen = leastRegretWithin(judged, budgets);
    const candidate = candidates[chosen?.network ?? -1];
    const latencies = judged[chosen?.network ?? -1]?.latencies;
    if (!chosen || !candidate || !latencies) return undefined;
    const broken = await brokenLimit(context, candidate.trial);
    if (broken === undefined) return { candidate, regrets: chosen.regrets };
    latencies[targets.indexOf(broken)] = Infinity;
  }
}

/** The first target whose limit a network does not keep in a thorough measurement. */
async function brokenLimit(context: StudyContext, trial: Trial): Promise<string | undefined> {
  const { config, meter } = context;
  for (const [name, { limit }] of Object.entries(config.targets)) {
    if (!limit) continue;
    const known = { id: `thorough ${name} ${trial.specDigest}`, target: name, digest: trial.specDigest };
    const latency = await measureAgain(context, known, (target) => meter.measureSpec(trial.spec, target, 'thorough'));
    if (!mayMeetLimit(latency, limit)) return name;
  }
  return undefined;
}
