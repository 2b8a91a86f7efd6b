import { describe, expect, it } from 'vitest';
import { ConfigError, EnvironmentError, InfeasibleModelError } from '../../core/errors.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import {
  failureOf,
  failureText,
  jobId,
  JobContractError,
  measureQueue,
  received,
  trainerNeeded,
  trainJobSchema,
  trainQueue,
  trainTaskSchema,
} from '../../jobs/contract.ts';
import { resolveRecipe } from '../../study/evaluation/recipe.ts';
import { resolveStudy } from '../../study/resolve-study.ts';

const digest = `sha256:${'0'.repeat(64)}`;
const spec = parseNetworkSpec(
  {
    input: { channels: 3, resolution: 32 },
    classes: 10,
    stem: { kernel: 3, stride: 2, width: 16 },
    stages: [{ operator: 'mbconv', kernel: 3, stride: 2, expansion: 4, width: 24, repeats: 2, squeezeExcite: 0.25 }],
    head: { width: 64 },
  },
  'test network',
);

describe('names of queues and jobs', () => {
  it('are such as BullMQ takes: without ":", and never integers', () => {
    for (const name of [trainQueue('torch-train@3'), measureQueue('trt-a100@1'), jobId('retail.v3-0a1b', 't0147', 2)]) {
      expect(name).not.toContain(':');
      expect(name).not.toMatch(/^\d+$/);
    }
    expect(jobId('retail.v3-0a1b', 't0147', 2)).toBe('retail.v3-0a1b.t0147.2');
  });

  it.each(['a:b', '', '../x', 'a b'])('are refused when made of %j', (text) => {
    expect(() => trainQueue(text)).toThrow();
    expect(() => measureQueue(text)).toThrow();
    expect(() => jobId(text, 't0001', 1)).toThrow();
    expect(() => jobId('study', text, 1)).toThrow();
  });
});

describe('what travels', () => {
  it('arrives as it was sent', () => {
    const job = {
      schema: 1,
      study: 's-1',
      trial: 't0001',
      attempt: 1,
      task: digest,
      spec,
      keepWeights: true,
      fidelity: {
        examples: 100,
        seed: 3,
      },
    };
    expect(received(trainJobSchema, JSON.parse(JSON.stringify(job)), 'job')).toEqual(job);
  });

  it.each([
    { batchSize: 32, learningRate: 0.1 },
    { augmentation: { crop: {} } },
    { augmentation: { cutout: 0.25, mixup: 0.2 }, schedule: { kind: 'cosine' } },
  ])('means the same training to a worker as to the study: %j', (trainer) => {
    const config = resolveStudy({ study: 'x', trainer }, 'x.yaml');
    const { trainer: sent } = trainTaskSchema.shape;
    const arrived = sent.parse(JSON.parse(JSON.stringify(config.trainer)));
    if ('command' in arrived) throw new Error('unreachable');
    expect(resolveRecipe(arrived)).toEqual(resolveRecipe(config.trainer));
  });

  it('goes to those who have the trainer: the built-in one, TensorFlow.js, or a command', () => {
    const needed = [{}, { kind: 'onnx' as const }, { kind: 'tfjs' as const }, { command: 'torch@3', params: {} }];
    expect(needed.map((trainer) => trainQueue(trainerNeeded(trainer)))).toEqual([
      'train.built-in',
      'train.built-in',
      'train.tfjs',
      'train.torch@3',
    ]);
    expect(() => trainerNeeded({ command: 'tfjs', params: {} })).toThrow(
      /^trainer\.command: expected another name than those of Ridgepoint's own trainers, got tfjs$/,
    );
  });

  it('is refused with keys that this version does not know, and with anything to run', () => {
    expect(() => received(trainJobSchema, { schema: 2 }, 'job s.t.1')).toThrow(JobContractError);
    expect(() => received(trainJobSchema, { schema: 2 }, 'job s.t.1')).toThrow(
      /^job s\.t\.1: expected what this version/,
    );
    const command = { command: 'torch-train@3', params: {}, argv: ['sh', '-c', 'true'] };
    expect(trainTaskSchema.shape.trainer.safeParse(command).success).toBe(false);
  });

  it('keeps the codes of failures, and knows BullMQ’s own', () => {
    const failure = new EnvironmentError('no space', { code: 'disk-full', retry: true });
    expect(failureOf(failureText(failure))).toMatchObject({ code: 'disk-full', retry: true, message: 'no space' });
    expect(failureOf(failureText(new ConfigError('bad')))).toBeInstanceOf(ConfigError);
    const unable = new InfeasibleModelError('too large', { reason: 'memory', limit: 10, observed: 20 });
    expect(failureOf(failureText(unable))).toMatchObject({ reason: 'memory', limit: 10, observed: 20, retry: false });
    expect(failureOf(failureText(unable))).toBeInstanceOf(InfeasibleModelError);
    expect(failureOf('job stalled more than allowable limit')).toMatchObject({ code: 'quarantined', retry: false });
  });
});
