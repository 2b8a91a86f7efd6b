import { expect, it } from 'vitest';
import { pictureWords, sequenceWords, trainingProgress } from '../../../study/train/told-training.ts';

it('where a training stands is told in the words of its data: pictures, or sequences and their tokens', () => {
  const point = { examples: 640, loss: 2.4567, imagesPerS: 99.6, remainingS: 12.5 };
  expect(trainingProgress(point, 6000, pictureWords)).toEqual({
    phase: 'train',
    text: '640/6000 examples, loss 2.457, 100 images/s',
    etaMs: 12_500,
  });
  expect(trainingProgress(point, 6000, sequenceWords(64))).toEqual({
    phase: 'train',
    text: '640/6000 sequences, loss 2.457, 6374 tokens/s',
    etaMs: 12_500,
  });
});
