import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../../core/errors.ts';
import { renderReport } from '../../../report/html.ts';
import { remainingWorkMs } from '../../../study/estimate.ts';
import { countSpec } from '../../../study/evaluation/evaluate.ts';
import { finalCount, finalMacsPerExample } from '../../../study/train/final-training.ts';
import { planStudy } from '../../../study/plan.ts';
import { resolveStudy, type StudyConfig } from '../../../study/study-file.ts';
import { describeSchedule, loadSchedule, scheduleName } from '../../../study/evaluation/training-schedule.ts';
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
    ['stages: [{share: 1, precision: fp16}]', /expected fp32: .*no convolution in 16 bits/],
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
    const written = finalCount(staged, tableSpec).activations / countSpec(tableSpec).activations;
    expect(written).toBeGreaterThan(0.6);
    expect(written).toBeLessThan(0.75);
    const workload = { done: 1e9, open: 0, issued: {}, base: tableSpec };
    const etaOf = (config: StudyConfig) => remainingWorkMs(config, workload, 1000, () => false) ?? 0;
    expect(etaOf(staged)).toBeLessThan(etaOf(plain));
  });
});
