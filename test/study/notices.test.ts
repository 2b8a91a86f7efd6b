import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { InterruptedError } from '../../core/errors.ts';
import { SimulatedClock } from '../../core/clock.ts';
import { checkStudy } from '../../study/check.ts';
import { FakeEvaluator } from './fake-evaluator.ts';
import { newFolder, runFake, smallStudy } from './small-study.ts';

it('a study tells what its trainer tells, no text twice, with the trial it is of', async () => {
  const controller = new AbortController();
  const told: string[] = [];
  const running = runFake(smallStudy(), newFolder(), {
    notices: (trial) => ['the slower lowering is used', `${trial} goes on`],
    onNotice: (text) => told.push(text),
    onEvent: (event) => {
      if (event.type === 'outcome' && event.id === 't0003') controller.abort();
    },
    signal: controller.signal,
  });
  await expect(running).rejects.toThrow(InterruptedError);
  expect(told).toEqual([
    't0001: the slower lowering is used',
    't0001: t0001 goes on',
    't0002: t0002 goes on',
    't0003: t0003 goes on',
  ]);
});

it('a check finds nothing wrong with sizes in milliseconds that its one candidate is above', async () => {
  const controller = new AbortController();
  const clock = new SimulatedClock(Date.UTC(2026, 0, 1));
  const statuses: string[] = [];
  const changes = { targets: { edge: { device: 'simulated', allow: 'predicted' } }, family: { edge: ['1us', '2us'] } };
  const checking = checkStudy(smallStudy(changes), {
    clock,
    signal: controller.signal,
    onEvent: (event) => {
      if (event.type !== 'outcome') return;
      statuses.push(event.outcome.status);
      controller.abort();
    },
    makeEvaluator: (data, artefacts) => new FakeEvaluator({ data, artefacts, clock }),
  });
  await expect(checking).rejects.toThrow(InterruptedError);
  expect(statuses).toEqual(['ok']);
});

it('a check tells what its trainer tells, before hours are spent on it', async () => {
  const controller = new AbortController();
  const told: string[] = [];
  const clock = new SimulatedClock(Date.UTC(2026, 0, 1));
  const checking = checkStudy(smallStudy(), {
    clock,
    signal: controller.signal,
    onNotice: (text) => told.push(text),
    onEvent: ({ type }) => {
      if (type === 'outcome') controller.abort();
    },
    makeEvaluator: (data, artefacts) =>
      new FakeEvaluator({ data, artefacts, clock, notices: () => ['the slower lowering is used'] }),
  });
  await expect(checking).rejects.toThrow(InterruptedError);
  expect(told).toEqual(['t0001: the slower lowering is used']);
});

it('a study that is finished leaves no trainings to go on with, and no place to ask it', async () => {
  const folder = newFolder();
  const checkpoints = join(folder, 'checkpoints');
  mkdirSync(checkpoints, { recursive: true });
  writeFileSync(join(checkpoints, 't0001.safetensors'), 'of a trial that was given up');
  writeFileSync(join(checkpoints, 'notes.txt'), 'of somebody else');
  await runFake(smallStudy(), folder);
  expect(readdirSync(checkpoints)).toEqual(['notes.txt']);
  expect(readdirSync(folder)).not.toContain('requests');
});
