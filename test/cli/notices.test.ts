import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { handOver } from '../../handover/export.ts';
import { folderSubjects } from '../../handover/subject.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { smallBase } from '../scaling/base.ts';
import { runFake, smallStudy, smallStudyFile } from '../study/small-study.ts';
import { ridgepoint } from './ridgepoint.ts';

const cwd = fileFolder();
const spec = smallBase(16);

/** Of one class only is there an example in the hold-out. */
const dataOf = (classes: number): string => JSON.stringify({ ...smallStudyFile.data, classes, holdout: 1 });
const { classes } = smallStudyFile.data;

beforeAll(async () => {
  const study = join(cwd, 'delivered');
  await runFake(smallStudy({ final: { ...smallStudyFile.final, baselines: [] } }), study);
  await handOver({ subjects: await folderSubjects(study, {}), format: 'bundle', to: join(cwd, 'bundles') });
  writeFileSync(join(cwd, 'base.yaml'), stringify(spec));
  writeFileSync(join(cwd, 'study.yaml'), stringify({ study: 'told', data: JSON.parse(dataOf(classes)) as object }));
});

// Data of another number of classes than the network's ends the work as soon as it is read.
it.each([
  ['quantize', ['delivered', '--data', dataOf(classes), '--precision', 'fp16', '--on', 'none'], 0],
  ['verify', ['bundles', '--data', dataOf(classes + 1)], 2],
  ['proxies', ['base.yaml', '--data', dataOf(spec.classes - 1)], 2],
  ['schedule', ['search', 'base.yaml', '--data', dataOf(spec.classes - 1)], 2],
  ['search', ['study.yaml', '--dry-run'], 0],
])('ridgepoint %s tells what a person should know of the data, once', async (command, args, code) => {
  const ended = await ridgepoint([command, ...args], cwd);
  expect(
    ended.stderr.match(/^data: expected examples of all \d+ classes .*, got no holdout example of/gm),
  ).toHaveLength(1);
  expect(ended.code).toBe(code);
});
