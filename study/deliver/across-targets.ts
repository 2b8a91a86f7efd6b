import { deviceFront, type DeviceMeasures, deviceTransfer } from '../../search/regret.ts';
import { deliveredLatencyId, scoreId } from './deliver-phase.ts';
import { keepsLimit } from '../../latency/setting.ts';
import { countSpec } from '../evaluation/evaluate.ts';
import { overSeeds } from './over-seeds.ts';
import type { StudyRecord } from '../journal/record.ts';
import type { Score } from '../evaluation/score.ts';
import { type SharedDecision, sharedId } from './shared-family.ts';
import type { StudyConfig } from '../study-file.ts';
import type { AcrossTargets, SharedMemberSummary, TargetSummary, TrialSummary } from './summary.ts';

/** What a journal tells of several targets together; null where there is one. */
export function acrossTargetsOf(
  config: StudyConfig,
  record: StudyRecord,
  trials: readonly TrialSummary[],
  targets: readonly TargetSummary[],
): AcrossTargets | null {
  if (targets.length < 2) return null;
  const names = targets.map(({ name }) => name);
  const compared = comparedTrials(config, trials, names);
  const networks = compared.map(({ measures }) => measures);
  const levels = [...record.events].flatMap((event) =>
    event.type === 'decision' && event.id.startsWith(sharedId('')) ? [event.id.slice(sharedId('').length)] : [],
  );
  const members = levels.map((level) => sharedMember({ config, record }, level, targets));
  return {
    networks: networks.length,
    fronts: Object.fromEntries(
      names.map((name, device) => [name, deviceFront(networks, device).flatMap((index) => compared[index]?.id ?? [])]),
    ),
    transfer: networks.length > 0 ? deviceTransfer(networks) : [],
    shared: members.flatMap((member) => member ?? []),
    unshared: levels.filter((level) => record.decision(sharedId(level)) === null),
  };
}

/** Search trials of the first seed and the highest fidelity with an accuracy and a latency on every target. */
function comparedTrials(
  { seed }: StudyConfig,
  trials: readonly TrialSummary[],
  names: readonly string[],
): readonly { readonly id: string; readonly measures: DeviceMeasures }[] {
  const searched = trials.filter(
    (trial) => trial.phase === 'search' && trial.seed === seed && trial.accuracy !== undefined,
  );
  const highest = Math.max(...searched.map(({ fidelityExamples }) => fidelityExamples));
  return searched.flatMap(({ id, fidelityExamples, accuracy = NaN, latencyMs }) => {
    const latencies = names.flatMap((name) => latencyMs[name] ?? []);
    const isCompared = fidelityExamples === highest && latencies.length === names.length;
    return isCompared ? [{ id, measures: { accuracy, latencies } }] : [];
  });
}

/** Undefined where nothing is within the size on every target, and while it is not delivered yet. */
function sharedMember(
  { config, record }: { readonly config: StudyConfig; readonly record: StudyRecord },
  name: string,
  targets: readonly TargetSummary[],
): SharedMemberSummary | undefined {
  const decision = record.decision(sharedId(name)) as SharedDecision | undefined;
  const delivered = decision && record.trial(decision.delivered);
  if (!decision || !delivered) return undefined;
  const score = (split: 'test' | 'holdout', run: string): number | undefined =>
    (record.decision(scoreId(split, run)) as Score | undefined)?.accuracy;
  const accuracies = (split: 'test' | 'holdout') => overSeeds(decision.runs.flatMap((run) => score(split, run) ?? []));
  const onTargets = targets.flatMap((target) => {
    const latency = record.latency(deliveredLatencyId(target.name, delivered.id));
    const level = decision.sizes[target.name];
    if (!latency || !level) return [];
    const limit = config.targets[target.name]?.limit;
    const own = target.lines.find(({ kind }) => kind === 'family')?.members.find(({ size }) => size === level.size);
    return [
      {
        target: target.name,
        ...level,
        latency,
        limitMet: limit ? keepsLimit(latency, limit) : null,
        regret: decision.regrets[target.name] ?? NaN,
        ownTestAccuracy: own?.testAccuracy.mean ?? null,
      },
    ];
  });
  if (onTargets.length < targets.length) return undefined;
  return {
    name,
    spec: delivered.spec,
    count: countSpec(delivered.spec),
    testAccuracy: accuracies('test'),
    holdoutAccuracy: accuracies('holdout'),
    delivered: {
      seed: delivered.fidelity.seed,
      testAccuracy: score('test', delivered.id) ?? NaN,
      holdoutAccuracy: score('holdout', delivered.id) ?? NaN,
    },
    divergedSeeds: decision.diverged,
    files: [sharedId(name), `${sharedId(name)} fp16`].flatMap((id) => record.artefact(id)?.path ?? []),
    targets: onTargets,
  };
}
