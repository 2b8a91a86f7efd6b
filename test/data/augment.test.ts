import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Random } from '../../core/random.ts';
import { augmentationSchema, augmenterOf, defaultAugmentation, noAugmentation } from '../../data/augment.ts';
import { smallDataset } from './small-dataset.ts';

const dataset = smallDataset();
const image = dataset.splits.train.pixels.subarray(192, 384);

describe('augmentationSchema', () => {
  it('has the documented defaults and refuses what it does not know', () => {
    expect(augmentationSchema.parse({})).toEqual(defaultAugmentation);
    expect(augmentationSchema.safeParse({ shift: 0.6 }).success).toBe(false);
    expect(augmentationSchema.safeParse({ mixUp: 0.2 }).success).toBe(false);
    for (const wrong of [{ mixup: -0.1 }, { cutmix: 100 }, { crop: true }, { randAugment: { magnitude: -1 } }])
      expect(augmentationSchema.safeParse(wrong).success).toBe(false);
  });

  it('fills in what is asked for, to a form that parses to itself', () => {
    const asked = { crop: {}, randAugment: { magnitude: 9 }, mixup: 0.2, cutmix: 1 };
    const whole = augmentationSchema.parse(asked);
    expect(whole).toMatchObject({
      flip: true,
      shift: 0,
      cutout: 0,
      crop: { area: [0.08, 1], aspect: [3 / 4, 4 / 3] },
      randAugment: { count: 2, magnitude: 9 },
      mixup: 0.2,
      cutmix: 1,
    });
    expect(augmentationSchema.parse(whole)).toEqual(whole);
  });

  it('refuses a crop and a shift at once, and says why', () => {
    const both = augmentationSchema.safeParse({ crop: {}, shift: 0.1 });
    expect(both.error?.issues).toMatchObject([{ path: ['shift'], message: /either a crop or a shift/ }]);
    expect(augmentationSchema.parse({ crop: {}, shift: 0 }).shift).toBe(0);
  });

  it('can be printed as JSON schema', () => {
    const printed = JSON.stringify(z.toJSONSchema(augmentationSchema, { io: 'input' }));
    for (const key of ['crop', 'randAugment', 'cutmix', 'translate-x']) expect(printed).toContain(`"${key}"`);
  });
});

describe('augmenterOf', () => {
  it('is nothing where nothing is asked for of single images', () => {
    expect(augmenterOf(dataset, noAugmentation, 8)).toBeUndefined();
    expect(augmenterOf(dataset, { ...noAugmentation, mixup: 1 }, 8)).toBeUndefined();
  });

  it('draws the same placement whatever else is drawn, and gives the image itself when nothing alters it', () => {
    const drawn = augmenterOf(dataset, defaultAugmentation, 8)?.(image, new Random(7).child('augment', 0, 3));
    expect(drawn?.image).toBe(image);
    const all = { ...defaultAugmentation, randAugment: augmentationSchema.parse({ randAugment: {} }).randAugment };
    const augmented = augmenterOf(dataset, all, 8)?.(image, new Random(7).child('augment', 0, 3));
    expect(augmented?.placement).toEqual(drawn?.placement);
    expect(augmented?.image).not.toEqual(image);
  });

  it('repeats an example’s changes from its stream, and makes others from another', () => {
    const augmentation = augmentationSchema.parse({ crop: {}, randAugment: { count: 3 }, cutout: 0.2 });
    const augment = augmenterOf(dataset, augmentation, 6);
    const twice = [5, 6, 5].map((seed) => {
      const drawn = augment?.(image, new Random(seed));
      return { ...drawn, image: drawn?.image.slice() };
    });
    expect(twice[2]).toEqual(twice[0]);
    expect(twice[1]).not.toEqual(twice[0]);
    expect(twice[0]?.image).toHaveLength(3 * 36);
  });

  it('leaves the stored image alone', () => {
    const before = image.slice();
    const augment = augmenterOf(dataset, augmentationSchema.parse({ randAugment: { count: 8 } }), 8);
    for (let seed = 0; seed < 20; seed++) augment?.(image, new Random(seed));
    expect(image).toEqual(before);
  });
});
