import { describe, expect, it } from 'vitest';
import { parseNetworkSpec } from '../../models/spec.ts';
import { augmentationIdentity, identityOf } from '../../training/run-identity.ts';
import type { ScheduleStage } from '../../training/training-schedule.ts';
import { augmentation, dataset, stagedRequest } from './staged-training.ts';

const spec = parseNetworkSpec(
  {
    input: { channels: dataset.channels, resolution: 16 },
    classes: 3,
    stem: { kernel: 3, stride: 2, width: 8 },
    stages: [{ operator: 'mbconv', kernel: 3, stride: 2, expansion: 2, width: 8, repeats: 1 }],
    head: { width: 8 },
  },
  'test network',
);
const workOf = (stages?: readonly ScheduleStage[]) => identityOf(stagedRequest(spec, stages), {}).work;

describe('the identity of a run', () => {
  it('is the same with one stage that changes nothing that is computed as without stages', () => {
    expect(workOf([{ share: 1 }])).toEqual(workOf());
    expect(workOf([{ share: 1, threads: 2, provider: 'webgpu', rematerialise: true }])).toEqual(workOf());
    expect(workOf()).not.toHaveProperty('stages');
  });

  it.each<[string, Omit<ScheduleStage, 'share'>]>([
    ['weight decay', { weightDecay: 0.05 }],
    ['label smoothing', { labelSmoothing: 0.3 }],
    ['learning rate', { learningRateScale: 2 }],
    ['batch', { batchSize: 16 }],
    ['micro-batches', { microBatches: 2 }],
    ['resolution', { resolution: 8 }],
    ['dropout', { dropout: 0.4 }],
    ['graph rewriting', { graphOptimization: 'all' }],
  ])('is of its own where a single stage changes the %s', (_, change) => {
    const work = workOf([{ share: 1, ...change }]);
    expect(work.stages).toMatch(/^sha256:/);
    expect(work.stages).not.toBe(workOf([{ share: 1 }, { share: 1 }]).stages);
  });

  it('is of its own where a single stage changes the augmentation', () => {
    const changed = { ...augmentation, mixup: 0.5 };
    const plain = augmentationIdentity(augmentation);
    expect(augmentationIdentity(augmentation, [{ augmentation: { ...augmentation } }])).toEqual(plain);
    expect(augmentationIdentity(augmentation, [{ augmentation: changed }])).not.toEqual(plain);
    expect(augmentationIdentity(augmentation, [{ augmentation }, { augmentation: changed }])).toHaveProperty(
      'augmentations',
    );
  });
});
