import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../../core/errors.ts';
import { readRecipeFile, resolveRecipe } from '../../../study/evaluation/recipe.ts';
import { resolveStudy } from '../../../study/resolve-study.ts';
import { fileFolder } from '../../cases/file-folder.ts';

const trainerOf = (trainer: object) => resolveStudy({ study: 'x', trainer }, '/somewhere/x.yaml').trainer;
const recipeOf = (trainer: object) => resolveRecipe(trainerOf(trainer)).recipe;

describe('the trainer section', () => {
  it('is SGD with momentum under a cosine when nothing is said', () => {
    expect(recipeOf({})).toEqual({
      optimizer: 'sgd-momentum',
      batchSize: 32,
      learningRate: 0.1,
      momentum: 0.9,
      weightDecay: 5e-4,
      labelSmoothing: 0.1,
      warmup: 0.2,
    });
  });

  it('adds no key to what a file says, so that studies of before are resumed', () => {
    const said = { optimizer: 'adamw', batchSize: 64, learningRate: 0.01, warmup: 0.1, parallel: 2 };
    expect(trainerOf(said)).toEqual(said);
    expect(Object.keys(trainerOf({}))).toEqual([]);
  });

  it('reaches every option of the optimizers and schedules', () => {
    expect(recipeOf({ nesterov: true, clipNorm: 2, emaDecay: 0.999, schedule: 'constant' })).toMatchObject({
      nesterov: true,
      clipNorm: 2,
      emaDecay: 0.999,
      schedule: { kind: 'constant' },
    });
    const decay = { kind: 'warmup-stable-decay', decay: 0.1, shape: 'linear' };
    expect(recipeOf({ schedule: decay }).schedule).toEqual(decay);
    expect(recipeOf({ schedule: { kind: 'exponential' } }).schedule).toMatchObject({ factor: 0.97 });
  });

  it('takes EfficientNet’s rate and penalty for RMSprop, at any batch', () => {
    expect(recipeOf({ optimizer: 'rmsprop', batchSize: 4096 })).toMatchObject({
      learningRate: 0.256,
      weightDecay: 1e-5,
    });
    expect(recipeOf({ optimizer: 'rmsprop', batchSize: 256, microBatches: 4 }).learningRate).toBeCloseTo(0.016, 12);
  });

  it.each([
    [{ nesterov: true, optimizer: 'adamw' }, /trainer: nesterov: expected the optimizer sgd-momentum, got adamw/],
    [{ batchSize: 48, microBatches: 5 }, /trainer: microBatches: expected a divisor of the batch of 48, got 5/],
    [{ kind: 'tfjs', rematerialise: true }, /trainer: rematerialise: expected none for the trainer tfjs, whose tape/],
    [{ kind: 'tfjs', provider: 'cpu' }, /trainer: provider: expected none for the trainer tfjs, .* got cpu/],
    [{ provider: 'tpu' }, /trainer\.provider/],
    [{ microBatches: 3 }, /trainer: microBatches: expected a divisor of the batch of 32, got 3/],
    [{ schedule: 'linear' }, /trainer\.schedule/],
    [{ schedule: { kind: 'exponential', factor: 1.5 } }, /trainer\.schedule/],
    [{ clipNorm: 0 }, /trainer\.clipNorm/],
    [{ emaDecay: 1 }, /trainer\.emaDecay/],
    [{ optimizer: 'lion' }, /trainer\.optimizer/],
    [{ kind: 'torch' }, /trainer\.kind/],
  ])('names what is wrong in %j', (trainer, message) => {
    expect(() => trainerOf(trainer)).toThrow(ConfigError);
    expect(() => trainerOf(trainer)).toThrow(message);
  });
});

function fileOf(text: string): string {
  const file = join(fileFolder(), 'recipe.yaml');
  writeFileSync(file, text);
  return file;
}

describe('a recipe file', () => {
  it('holds the keys that say how one network is trained', () => {
    const file = fileOf('optimizer: rmsprop\nschedule: { kind: exponential, every: 0.1 }\nemaDecay: 0.9999\n');
    expect(readRecipeFile(file)).toEqual({
      optimizer: 'rmsprop',
      schedule: { kind: 'exponential', factor: 0.97, every: 0.1 },
      emaDecay: 0.9999,
    });
    expect(readRecipeFile(fileOf(''))).toEqual({});
  });

  it('refuses others, naming them and the file', () => {
    expect(() => readRecipeFile(fileOf('parallel: 2'))).toThrow(/recipe\.yaml: not a recipe[\s\S]*parallel/);
    expect(() => readRecipeFile(fileOf('a: [b'))).toThrow(/recipe\.yaml: expected a recipe in YAML/);
    expect(() => readRecipeFile('/nowhere/recipe.yaml')).toThrow(/\/nowhere\/recipe\.yaml: expected a recipe in YAML/);
  });
});
