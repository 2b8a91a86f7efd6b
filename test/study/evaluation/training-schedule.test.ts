import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { ConfigError, InterruptedError } from '../../../core/errors.ts';
import type { NetworkSpec, Stage } from '../../../models/spec.ts';
import { renderReport } from '../../../report/html.ts';
import { partOf } from '../../../scaling/apply.ts';
import { remainingWorkMs } from '../../../study/estimate.ts';
import { countSpec } from '../../../study/evaluation/evaluate.ts';
import { finalWork, finalMacsPerExample } from '../../../study/train/final-training.ts';
import { planStudy } from '../../../study/plan.ts';
import { resolveStudy } from '../../../study/resolve-study.ts';
import type { StudyConfig } from '../../../study/study-file.ts';
import {
  describeSchedule,
  growthRefusal,
  loadSchedule,
  scheduleName,
} from '../../../study/evaluation/training-schedule.ts';
import { trainNetwork } from '../../../study/train/train-network.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { tableSpec } from '../../jobs/chaos/table-evaluator.ts';
import { eventsOf, newFolder, runFake, smallStudy, smallStudyFile } from '../small-study.ts';
import { networkRequest } from '../small-training.ts';

const stages = [{ share: 1, resolution: 0.5 }, { share: 3 }];

/** A file of a schedule, and where it lies. */
function scheduleFile(text: string): { readonly folder: string; readonly path: string } {
  const folder = fileFolder();
  const path = join(folder, 'mine.yaml');
  writeFileSync(path, text);
  return { folder, path };
}

describe('a training schedule', () => {
  it('is a heuristic by name, a file, or stages', () => {
    const { folder, path } = scheduleFile('stages: [{share: 1, resolution: 0.5}, {share: 3}]');
    expect(loadSchedule('multigrid', folder)).toBe('multigrid');
    expect(loadSchedule('mine.yaml', folder)).toEqual({ stages });
    expect(loadSchedule(path, '/elsewhere')).toEqual({ stages });
    expect(loadSchedule({ stages }, folder)).toEqual({ stages });
  });

  it.each([
    ['stages: [', /mine\.yaml: expected a training schedule in YAML: /],
    ['', /mine\.yaml: not a training schedule/],
    ['stages: [{share: 1, widht: 0.5}]', /mine\.yaml: not a training schedule\n.*widht.*\n.*stages\[0\]/],
    ['stages: [{share: 1, precision: fp16}]', /expected fp32: weights, gradients .* 32 bits/],
  ])('of a file that says %j is refused, naming the file', (text, message) => {
    const { folder } = scheduleFile(text);
    expect(() => loadSchedule('mine.yaml', folder)).toThrow(ConfigError);
    expect(() => loadSchedule('mine.yaml', folder)).toThrow(message);
  });

  it('has a name and words of its own', () => {
    expect(scheduleName('efficientnetv2')).toBe('efficientnetv2');
    expect(scheduleName({ stages })).toMatch(/^stages-[0-9a-f]{12}$/);
    expect(describeSchedule({ stages })).toBe('stages of 25 % with resolution 0.5; 75 %');
  });

  it('trains one network in fewer multiply-adds, and is written beside its result', async () => {
    const folder = fileFolder();
    const fixed = await trainNetwork(networkRequest(join(folder, 'fixed')));
    const out = join(folder, 'staged');
    const progress: (number | undefined)[] = [];
    const staged = await trainNetwork(
      networkRequest(out, { schedule: { stages }, onProgress: ({ etaMs }) => progress.push(etaMs) }),
    );
    expect(staged.cost.examples).toBe(fixed.cost.examples);
    expect(staged.cost.flops / fixed.cost.flops).toBeGreaterThan(0.8);
    expect(staged.cost.flops / fixed.cost.flops).toBeLessThan(0.83);
    expect(progress.at(-1)).toBe(0);
    expect(JSON.parse(readFileSync(join(out, 'metrics.json'), 'utf8'))).toMatchObject({ schedule: { stages } });
  });
});

describe('final.schedule of a study', () => {
  const where = '/somewhere/study.yaml';

  it('may be left out, and the study is then what it was', () => {
    expect(resolveStudy({ study: 'x' }, where).final).not.toHaveProperty('schedule');
  });

  it('is kept as stages, wherever its file lies', () => {
    const { folder } = scheduleFile('stages: [{share: 1, resolution: 0.5}, {share: 3}]');
    const { final } = resolveStudy({ study: 'x', final: { schedule: 'mine.yaml' } }, join(folder, 'study.yaml'));
    expect(final.schedule).toEqual({ stages });
  });

  it.each([
    [{ final: { schedule: 'progressive' } }, /final\.schedule/],
    [{ final: { schedule: 'progressive' } }, /expected fixed, efficientnetv2, .* got "progressive"/],
    [{ final: { schedule: 'gone.yaml' } }, /final\.schedule: \/somewhere\/gone\.yaml: .*ENOENT/],
    [
      { final: { schedule: { stages: [{ share: 1, microBatches: 5 }] } } },
      /final\.schedule: stages\[0\]: microBatches/,
    ],
    [{ final: { schedule: { stages: [{ share: 1, threads: 2 }] } } }, /stages\[0\]\.threads: expected none in a study/],
    [
      { final: { schedule: { stages: [{ share: 1 }, { share: 1, resolution: 24 }] } } },
      /stages\[1\]\.resolution: expected a share of the network's side in a study, .* got 24 pixels/,
    ],
    [
      { final: { schedule: { stages: [{ share: 1, graphOptimization: 'all' }] } }, trainer: { kind: 'tfjs' } },
      /stages\[0\]\.graphOptimization: expected none for the trainer tfjs, .* got all/,
    ],
    [
      { final: { schedule: { stages: [{ share: 1, rematerialise: true }] } }, trainer: { kind: 'tfjs' } },
      /stages\[0\]\.rematerialise: expected none for the trainer tfjs, .* got true/,
    ],
    [
      { final: { schedule: 'fixed' }, trainer: { command: ['trainer', '{request}'] } },
      /final\.schedule: expected none beside trainer\.command/,
    ],
  ])('is refused before anything runs in %j', (data, message) => {
    expect(() => resolveStudy({ study: 'x', ...data }, where)).toThrow(ConfigError);
    expect(() => resolveStudy({ study: 'x', ...data }, where)).toThrow(message);
  });

  it('is what the final trainings, and they alone, are asked for, and the report says so', async () => {
    const final = { ...smallStudyFile.final, schedule: { stages } };
    const folder = newFolder();
    const { summary } = await runFake(smallStudy({ final }), folder);
    const issued = eventsOf(folder).filter((event) => event.type === 'issued');
    for (const { phase, fidelity } of issued)
      expect(fidelity.schedule).toBe(phase === 'train' ? scheduleName({ stages }) : undefined);
    expect(issued.some(({ phase }) => phase === 'train')).toBe(true);
    expect(summary.schedule).toBe('stages of 25 % with resolution 0.5; 75 %');
    expect(renderReport(summary)).toContain('trained by the schedule stages of 25 % with resolution 0.5; 75 %');
  });

  it('makes estimates of time and work as much smaller as it is', async () => {
    const schedule = { stages: [{ share: 1, resolution: 0.5 }, { share: 1 }] };
    const plain = smallStudy();
    const staged = smallStudy({ final: { ...smallStudyFile.final, schedule } });
    expect(finalMacsPerExample(plain, tableSpec)).toBe(countSpec(tableSpec).macs);
    const share = finalMacsPerExample(staged, tableSpec) / countSpec(tableSpec).macs;
    expect(share).toBeGreaterThan(0.6);
    expect(share).toBeLessThan(0.75);
    const [before, after] = [await planStudy(plain), await planStudy(staged)];
    expect(after.trainings.search).toEqual(before.trainings.search);
    const ratio = after.trainings.train.flops / before.trainings.train.flops;
    expect(ratio).toBeGreaterThan(0.6);
    expect(ratio).toBeLessThan(0.75);
    // Where writing takes the time, a smaller picture is as much faster.
    const written = finalWork(staged, tableSpec).activations / countSpec(tableSpec).activations;
    expect(written).toBeGreaterThan(0.6);
    expect(written).toBeLessThan(0.75);
    const workload = { done: 1e9, open: 0, issued: {}, lostExamples: {}, base: tableSpec };
    const etaOf = (config: StudyConfig) => remainingWorkMs(config, workload, 1000, () => false) ?? 0;
    expect(etaOf(staged)).toBeLessThan(etaOf(plain));
  });
});

describe('a study whose final trainings grow their networks', () => {
  const growing = { stages: [{ share: 1, depth: 0.5, width: 0.5 }, { share: 1 }] };
  const study = (changes: object = {}) =>
    smallStudy({ final: { ...smallStudyFile.final, schedule: growing }, ...changes });
  const [first, ...others] = tableSpec.stages as [Stage, ...Stage[]];
  const stuck: NetworkSpec = {
    ...tableSpec,
    stages: [{ ...first, operator: 'mbconv', expansion: 2, squeezeExcite: 0, skip: false, repeats: 4 }, ...others],
  };

  it('counts the smaller networks of their stages', () => {
    const deep = { ...tableSpec, stages: tableSpec.stages.map((stage) => ({ ...stage, repeats: 4, width: 32 })) };
    const [part, whole] = [partOf(deep, { depth: 0.5, width: 0.5 }), deep].map((spec) => countSpec(spec).macs) as [
      number,
      number,
    ];
    // 200 examples in batches of 32: 3 updates of the part, 4 of the whole.
    expect(finalMacsPerExample(study(), deep)).toBeCloseTo((3 * part + 4 * whole) / 7, 3);
    expect(part / whole).toBeLessThan(0.2);
  });

  it('says which networks cannot grow so, and why', () => {
    expect(growthRefusal(study(), tableSpec)).toBeUndefined();
    expect(growthRefusal(study(), stuck)).toMatch(
      /^final\.schedule: stages\[0\]: the network cannot grow from here: .* got none around stage0\.block3\.project\.norm$/,
    );
    expect(growthRefusal(smallStudy(), stuck)).toBeUndefined();
    // Estimates go on, of what will not be trained.
    expect(finalMacsPerExample(study(), stuck)).toBe(countSpec(stuck).macs);
  });

  it('says before it runs that none of its networks can', async () => {
    const { path: space } = scheduleFile(`
      input: {resolution: 16}
      stem: {kernel: 3, stride: 2, width: {oneOf: [8, 16, 24], tag: stem}}
      stages: [{operator: basic, activation: silu, kernel: 3, stride: 1, width: 16, repeats: 2}]
      head: {width: 0}`);
    const search = { ...smallStudyFile.search, scale: undefined, space };
    await expect(planStudy(study({ search }))).rejects.toThrow(
      /^none of 64 networks drawn at random can be trained: final\.schedule: stages\[0\]: .*stage0\.block1\.activation$/,
    );
  });

  it('refuses such a base before it is trained', async () => {
    const { path } = scheduleFile(stringify({ ...stuck, classes: 4, input: { channels: 3, resolution: 16 } }));
    const calls: string[] = [];
    const answer = (_call: number, { id }: { readonly id: string }) => {
      calls.push(id);
      return undefined;
    };
    const run = runFake(study({ base: path }), newFolder(), { answer });
    await expect(run).rejects.toThrow(ConfigError);
    await expect(run).rejects.toThrow(/mine\.yaml: final\.schedule: stages\[0\]: the network cannot grow from here/);
    expect(calls).toEqual([]);
  });

  it('calls such candidates infeasible, trains none of them and goes on', async () => {
    const { path: space } = scheduleFile(`
      input: {resolution: 16}
      stem: {kernel: 3, stride: 2, width: {oneOf: [8, 16, 24], tag: stem}}
      stages:
        - {operator: mbconv, kernel: {oneOf: [3, 5], tag: kernel}, stride: 1, expansion: 2, width: 16, repeats: 2, skip: {oneOf: [true, false], tag: skip}}
      head: {width: 0}`);
    const folder = newFolder();
    const search = { ...smallStudyFile.search, scale: undefined, space, trials: 12, controller: 'random' };
    const controller = new AbortController();
    const onEvent = ({ type, id }: { type: string; id: string }) => {
      if (type === 'decision' && id === 'base') controller.abort();
    };
    const run = runFake(study({ search }), folder, { signal: controller.signal, onEvent });
    await expect(run).rejects.toThrow(InterruptedError);
    const events = eventsOf(folder);
    const skips = new Map(
      events.flatMap((event) => {
        if (event.type !== 'issued') return [];
        const [stage] = event.spec.stages;
        return [[event.id, stage?.operator === 'mbconv' && stage.skip] as const];
      }),
    );
    expect(new Set(skips.values())).toEqual(new Set([true, false]));
    for (const event of events) {
      if (event.type !== 'outcome') continue;
      const expected = skips.get(event.id) ? { status: 'ok' } : { status: 'infeasible', reason: 'unsupported' };
      expect(event.outcome).toMatchObject(expected);
    }
  });
});
