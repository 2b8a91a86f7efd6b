import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { digestBytes } from '../../../core/digest.ts';
import type { NetworkSpec } from '../../../models/spec.ts';
import { exportFamily } from '../../../study/deliver/export.ts';
import { countSpec } from '../../../study/evaluation/evaluate.ts';
import { rebuildResults } from '../../../study/deliver/results.ts';
import { type SharedDecision, sharedLevels } from '../../../study/deliver/shared-family.ts';
import type { StudySummary } from '../../../study/deliver/summary.ts';
import type { Member } from '../../../study/train/train-phase.ts';
import { summaryTable } from '../../../report/terminal.ts';
import { FakeMeter } from '../fake-meter.ts';
import { eventsOf, newFolder, runFake, smallStudy, story } from '../small-study.ts';

/** One device that is slow by multiply-adds, one by weights: the same scalings cost them differently. */
const latencyMs = (spec: NetworkSpec, device: string): number => {
  const { macs, params } = countSpec(spec);
  return device === 'cpu' ? 0.05 + macs / 1e7 : 0.02 + params / 1e6;
};

class TwoDeviceMeter extends FakeMeter {
  constructor() {
    super(() => 1);
  }
  override async measureSpec(...[spec, target]: Parameters<FakeMeter['measureSpec']>) {
    const latency = await super.measureSpec(spec, target);
    const p50Ms = latencyMs(spec, target.device);
    return {
      ...latency,
      p50Ms,
      p90Ms: p50Ms,
      p99Ms: p50Ms,
      intervalMs: { ...latency.intervalMs, lo: p50Ms, hi: p50Ms },
    };
  }
}

const file = {
  targets: { cpu: { device: 'cpu', limit: 'p50 < 40ms' }, gpu: { device: 'webgpu' } },
  family: { cpu: ['1x', '2x'], gpu: ['1x', '2x'] },
  scale: { trials: 2, round: 2, examples: 100, finalists: 2 },
  final: { examples: 200, seeds: 1, baselines: [] },
};
const config = smallStudy(file);
const folder = newFolder();
let summary: StudySummary;

beforeAll(async () => {
  ({ summary } = await runFake(config, folder, { makeMeter: () => new TwoDeviceMeter() }));
});

const decisionOf = (level: string) =>
  eventsOf(folder).flatMap((event) =>
    event.type === 'decision' && event.id === `shared ${level}` ? [event.value as NonNullable<SharedDecision>] : [],
  )[0];

/** Every network that was trained fully, by digest, with its mean hold-out accuracy. */
function trained() {
  const events = eventsOf(folder);
  const accuracies = new Map<string, { spec: NetworkSpec; values: number[]; ids: string[] }>();
  for (const event of events) {
    if (event.type !== 'issued' || event.phase !== 'train') continue;
    const outcome = events.findLast((other) => other.type === 'outcome' && other.id === event.id);
    if (outcome?.type !== 'outcome' || outcome.outcome.status !== 'ok') continue;
    const known = accuracies.get(event.specDigest) ?? { spec: event.spec as NetworkSpec, values: [], ids: [] };
    known.values.push(outcome.outcome.metrics['accuracy'] ?? NaN);
    known.ids.push(event.id);
    accuracies.set(event.specDigest, known);
  }
  return [...accuracies.values()].map(({ spec, values, ids }) => ({
    spec,
    ids,
    accuracy: values.reduce((a, b) => a + b, 0) / values.length,
  }));
}

describe('the family that targets share', () => {
  it.each(['1x', '2x'])('%s holds the least bad of all trained networks within the size on every target', (level) => {
    const decision = decisionOf(level);
    const names = Object.keys(config.targets);
    const base = summary.base?.spec as NetworkSpec;
    const msOn = (spec: NetworkSpec, target: string): number => latencyMs(spec, config.targets[target]?.device ?? '');
    const networks = trained();
    expect(decision?.candidates).toBe(networks.length);
    // By hand: what each target alone could have, and the smallest largest loss against it.
    const within = (spec: NetworkSpec, target: string): boolean =>
      msOn(spec, target) <= (decision?.sizes[target]?.targetMs ?? 0) || JSON.stringify(spec) === JSON.stringify(base);
    const best = names.map((name) =>
      Math.max(...networks.filter(({ spec }) => within(spec, name)).map(({ accuracy }) => accuracy)),
    );
    const worst = ({ accuracy }: { accuracy: number }): number => Math.max(...best.map((one) => one - accuracy));
    const allowed = networks.filter(({ spec }) => names.every((name) => within(spec, name)));
    const chosen = networks.find(({ ids }) => ids.includes(decision?.delivered ?? ''));
    expect(allowed).toContain(chosen);
    expect(worst(chosen ?? { accuracy: NaN })).toBe(Math.min(...allowed.map(worst)));
    expect(Object.values(decision?.regrets ?? {}).every((regret) => regret >= 0)).toBe(true);
  });

  it('is delivered once, measured on every target, and told of with its regret on each', () => {
    const shared = summary.acrossTargets?.shared ?? [];
    expect(shared.map(({ name }) => name)).toEqual(['1x', '2x']);
    for (const member of shared) {
      expect(member.files).toEqual([`shared/${member.name}/model.onnx`]);
      for (const path of member.files) expect(existsSync(join(folder, path))).toBe(true);
      expect(member.targets.map(({ target }) => target)).toEqual(['cpu', 'gpu']);
      for (const { target, latency, regret, targetMs } of member.targets) {
        expect(latency.p50Ms).toBe(latencyMs(member.spec, config.targets[target]?.device ?? ''));
        expect(regret).toBe(decisionOf(member.name)?.regrets[target]);
        expect(latency.p50Ms).toBeLessThanOrEqual(targetMs);
      }
    }
    const table = summaryTable(summary);
    expect(table).toContain('one family for all targets');
    expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('One family for all targets');
    const csv = readFileSync(join(folder, 'shared.csv'), 'utf8').trimEnd().split('\n');
    expect(csv).toHaveLength(1 + 2 * 2);
    expect(csv[1]).toMatch(/^1x,cpu,1x,/);
  });

  it('costs no training of its own', () => {
    const issued = eventsOf(folder).flatMap((event) => (event.type === 'issued' ? [event] : []));
    const phaseEnd = eventsOf(folder).findIndex((event) => event.type === 'phase' && event.id === 'deliver');
    const after = eventsOf(folder).slice(phaseEnd);
    expect(issued.length).toBeGreaterThan(0);
    expect(after.filter(({ type }) => type === 'issued')).toEqual([]);
    expect(after.filter(({ type }) => type === 'outcome')).toEqual([]);
  });

  it('is in the manifest and leaves the study with export', async () => {
    const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as {
      files: Record<string, string>;
    };
    for (const name of ['model.onnx', 'spec.yaml', 'metrics.json'])
      expect(manifest.files[`shared/2x/${name}`]).toBe(digestBytes(readFileSync(join(folder, 'shared/2x', name))));
    expect(manifest.files).toHaveProperty(['across-targets.json']);
    const to = join(newFolder(), 'out');
    expect((await exportFamily(folder, to, { target: 'shared', size: '2x' })).toSorted()).toEqual([
      'shared/2x/metrics.json',
      'shared/2x/model.onnx',
      'shared/2x/spec.yaml',
    ]);
  });

  it('tells fronts and what one costs on the other of the search’s networks', () => {
    const { networks, fronts, transfer } = summary.acrossTargets ?? { networks: 0, fronts: {}, transfer: [] };
    expect(networks).toBe(
      summary.trials.filter(({ phase, seed, status }) => phase === 'search' && seed === 0 && status === 'ok').length,
    );
    expect(Object.keys(fronts)).toEqual(['cpu', 'gpu']);
    for (const [from, row] of transfer.entries())
      expect(row[from]).toMatchObject({ overlap: 1, meanLoss: 0, worstLoss: 0 });
    // The front over all targets holds each target's own.
    const all = new Set(summary.trials.filter(({ onFront }) => onFront).map(({ id }) => id));
    for (const ids of Object.values(fronts)) for (const id of ids) expect([...all]).toContain(id);
  });

  it('is the same when the study is resumed, and rebuilt from the journal', async () => {
    const before = story(eventsOf(folder));
    const report = readFileSync(join(folder, 'report.html'), 'utf8');
    await runFake(config, folder, { makeMeter: () => new TwoDeviceMeter() });
    expect(story(eventsOf(folder))).toEqual(before);
    const rebuilt = await rebuildResults(folder);
    expect(rebuilt.acrossTargets).toEqual(summary.acrossTargets);
    expect(readFileSync(join(folder, 'report.html'), 'utf8').length).toBeGreaterThan(0.9 * report.length);
  });
});

const member = (target: string, size: string, targetMs: number): Member => ({
  target,
  line: 'family',
  size,
  targetMs,
  multipliers: { depth: 1, width: 1, resolution: 1 },
  runs: [],
  delivered: {} as Member['delivered'],
});

describe('sizes that targets share', () => {
  it('have the targets’ own name where it is one, and are matched by rank', () => {
    const levels = sharedLevels([
      member('b', '9ms', 9),
      member('a', '1x', 1),
      member('a', '2x', 2),
      member('b', '1x', 3),
      { ...member('a', '1x', 1), line: 'dWr' },
    ]);
    expect(levels).toEqual([
      { name: '1x', sizes: { b: { size: '1x', targetMs: 3 }, a: { size: '1x', targetMs: 1 } } },
      { name: 'size-2', sizes: { b: { size: '9ms', targetMs: 9 }, a: { size: '2x', targetMs: 2 } } },
    ]);
  });

  it('stay at the largest of a target that has fewer', () => {
    const levels = sharedLevels([member('a', '1x', 1), member('a', '2x', 2), member('b', '1x', 3)]);
    expect(levels.map(({ name, sizes }) => [name, sizes['b']?.size])).toEqual([
      ['1x', '1x'],
      ['size-2', '1x'],
    ]);
  });

  it('there are none with one target', () => {
    expect(sharedLevels([member('a', '1x', 1), member('a', '2x', 2)])).toEqual([]);
  });
});
