import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from '../../core/quantile.ts';
import { Random } from '../../core/random.ts';
import { openMeter } from '../../latency/isolate.ts';
import { candidateModel } from '../../latency/model-file.ts';
import { protocols } from '../../latency/protocol.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { xyChart } from '../../report/xy-chart.ts';
import { runStudy } from '../../study/study.ts';
import type { StudySummary } from '../../study/deliver/summary.ts';
import { mean, type Point, pooledDeviation, speedUpAtEqualAccuracy } from './speed-up.ts';
import { headlineStudies, publishedRule, type Scale } from './studies.ts';

// At equal accuracy, how much faster is a searched base scaled by measured latency than EfficientNet's own base and rule?
// See bench/README.md. Interrupted, the same command goes on.

const { values } = parseArgs({
  options: {
    /** Folder of CIFAR-10 records. */
    data: { type: 'string' },
    runs: { type: 'string', default: 'runs' },
    examples: { type: 'string', default: '160000' },
    proxy: { type: 'string', default: '48000' },
    trials: { type: 'string', default: '60' },
    seeds: { type: 'string', default: '3' },
    /** Times that every network is measured, all of them in turn. */
    rounds: { type: 'string', default: '3' },
  },
});
if (values.data === undefined) throw new Error('--data: expected a folder of CIFAR-10 records, got none');
const scale: Scale = {
  finalExamples: Number(values.examples),
  proxyExamples: Number(values.proxy),
  trials: Number(values.trials),
  seeds: Number(values.seeds),
};

/** A network of a line, with its latency measured together with all others. */
interface Member extends Point {
  readonly size: string;
  readonly spec: NetworkSpec;
  readonly macs: number;
  readonly params: number;
  readonly multipliers: string;
  readonly unstable: number;
}

async function runToEnd(config: ReturnType<typeof headlineStudies>['searched']): Promise<StudySummary> {
  const say = (text: string): void => console.error(`${config.study}: ${text}`);
  let toldMs = 0;
  return runStudy(config, {
    folder: join(values.runs, config.study),
    onNotice: say,
    onProgress: ({ phase, text }) => {
      if (Date.now() - toldMs < 30_000) return;
      toldMs = Date.now();
      say(`${phase}: ${text}`);
    },
  });
}

function lineOf({ targets }: StudySummary, kind: 'family' | 'rule'): Omit<Member, 'latencyMs' | 'unstable'>[] {
  const members = targets[0]?.lines.find((line) => line.kind === kind)?.members ?? [];
  return members.flatMap(({ size, spec, count, testAccuracy, multipliers }) => {
    if (!spec || !count) return [];
    const { depth = 1, width = 1, resolution = 1 } = multipliers ?? {};
    const text = [depth, width, resolution].map((multiplier) => multiplier.toFixed(2)).join(' · ');
    const { macs, params } = count;
    return [{ size, spec, macs, params, accuracies: testAccuracy.values, multipliers: text }];
  });
}

const studies = headlineStudies(resolve(values.data), fileURLToPath(new URL('.', import.meta.url)), scale);
const searched = await runToEnd(studies.searched);
const published = await runToEnd(studies.published);
const lines = [
  { id: 'a', name: 'searched base, scaled by latency', members: lineOf(searched, 'family') },
  { id: 'b', name: `EfficientNet-B0's stages, ${publishedRule}`, members: lineOf(published, 'family') },
  { id: 'c', name: "EfficientNet-B0's stages, dWr", members: lineOf(published, 'rule') },
  { id: 'd', name: `searched base, ${publishedRule}`, members: lineOf(searched, 'rule') },
];

const meter = openMeter();
const timed = lines.map(({ members, ...line }) => ({
  ...line,
  members: members.map((member) => ({ ...member, rounds: [] as number[], unstable: 0 })),
}));
const everyone = timed.flatMap(({ members }) => members);
for (let round = 0; round < Number(values.rounds); round++)
  for (const [index, member] of everyone.entries()) {
    console.error(`measuring ${index + 1}/${everyone.length} in round ${round + 1}`);
    const setting = { accelerator: 'cpu', batch: 1, threads: 1 };
    const { p50Ms, stable } = await meter.measure({
      model: candidateModel(member.spec, 1),
      setting,
      protocol: protocols.thorough,
    });
    member.rounds.push(p50Ms);
    if (!stable) member.unstable++;
  }
await meter.close();
const measured = timed.map(({ members, ...line }) => ({
  ...line,
  members: members.map((member): Member => ({ ...member, latencyMs: median(member.rounds) })),
}));

const { train, holdout, test } = searched.data;
console.log(
  `${train} to train, ${holdout} hold-out, ${test} test; ${scale.finalExamples} examples a final training, ${scale.seeds} seeds; ` +
    `${scale.trials} bases tried; search and everything that follows it ${(searched.activeS / 60).toFixed(0)} min, the published base ` +
    `${(published.activeS / 60).toFixed(0)} min; seeds' deviation ${(100 * pooledDeviation(measured.flatMap(({ members }) => members))).toFixed(2)} points\n`,
);
console.log(
  '| | size | depth · width · resolution | params | MMACs | p50 ms | test top-1 % | against (b) at equal accuracy |',
);
console.log('|---|---|---|---|---|---|---|---|');
const reference = measured.find(({ id }) => id === 'b')?.members ?? [];
for (const { id, name, members } of measured)
  for (const member of members) {
    const { ratio, interval, beyond } = speedUpAtEqualAccuracy(member, reference, new Random(`${id} ${member.size}`));
    const sign = beyond === 'above' ? '≥ ' : beyond === 'below' ? '≤ ' : '';
    const against = id === 'b' ? '' : `${sign}${ratio.toFixed(2)} (${interval.map((end) => end.toFixed(2)).join('–')})`;
    const latency = `${member.latencyMs.toPrecision(3)}${member.unstable > 0 ? ` (${member.unstable} of ${values.rounds} unstable)` : ''}`;
    console.log(
      `| (${id}) ${name} | ${member.size} | ${member.multipliers} | ${(member.params / 1e3).toFixed(0)} k | ${(member.macs / 1e6).toFixed(2)} | ${latency} | ${(100 * mean(member.accuracies)).toFixed(1)} | ${against} |`,
    );
  }

const plot = xyChart(
  'Test accuracy against latency, measured together',
  { title: 'p50, ms, batch 1', log: true },
  { title: 'test top-1, %', log: false },
  measured.map(({ id, name, members }) => ({
    name: `(${id}) ${name}`,
    kind: 'line',
    points: members
      .toSorted((a, b) => a.latencyMs - b.latencyMs)
      .map(({ latencyMs, accuracies }) => [latencyMs, 100 * mean(accuracies)] as const),
  })),
);
mkdirSync(join(values.runs, 'headline'), { recursive: true });
writeFileSync(join(values.runs, 'headline', 'headline.json'), `${JSON.stringify(measured, null, 2)}\n`);
if (plot) writeFileSync(join(values.runs, 'headline', 'headline.svg'), plot.markup);
console.error(`\nwritten to ${join(values.runs, 'headline')}`);
