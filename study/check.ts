import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openProfiles } from './evaluation/profiles.ts';
import { runStudy, type StudyOptions } from './study.ts';
import type { Size } from './sizes.ts';
import type { StudyConfig } from './study-file.ts';
import type { StudySummary } from './deliver/summary.ts';

/** Examples of every training in a check: enough to step, not to learn. */
const checkExamples = 256;

/**
 * Runs the smallest study that goes through every step of the given one: same data, targets,
 * trainer and space, one candidate, two sizes at most, no limits: sizes in milliseconds, which the candidate would have to
 * be below, are multiples of it instead. Leaves nothing behind.
 */
export async function checkStudy(
  config: StudyConfig,
  options: Omit<StudyOptions, 'folder'> = {},
): Promise<StudySummary> {
  await openProfiles(config); // With its limits, which the tiny study has none of.
  const folder = mkdtempSync(join(tmpdir(), 'ridgepoint-check-'));
  const targets = Object.fromEntries(
    Object.entries(config.targets).map(([name, target]) => [name, { ...target, limit: undefined, memory: undefined }]),
  );
  const tiny: StudyConfig = {
    ...config,
    targets,
    family: Object.fromEntries(
      Object.entries(config.family).map(([name, sizes]) => [name, sizes.slice(0, 2).map(withinReach)]),
    ),
    search: { ...config.search, reward: 'product', trials: 1, examples: checkExamples, finalists: 1, seeds: 1 },
    scale: { ...config.scale, trials: 1, round: 1, examples: checkExamples, finalists: 1 },
    final: {
      ...config.final,
      examples: checkExamples,
      seeds: 1,
      baselines: config.final.baselines.filter((baseline) => 'onnx' in baseline),
    },
    // What a budget leaves would make long trainings of the final ones.
    budget: { ...config.budget, time: undefined, deviceHours: undefined, flops: undefined },
  };
  try {
    return await runStudy(tiny, { folder, ...options });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A size that any base can be scaled to, above the base's own so that there is something to scale. */
function withinReach(size: Size, index: number): Size {
  return size.ms === undefined ? size : { ...size, ms: undefined, multiple: index + 2 };
}
