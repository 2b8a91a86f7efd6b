import { expect, it } from 'vitest';
import { InfeasibleModelError } from '../../core/errors.ts';
import { randomInputs } from '../../latency/inputs.ts';

// What else inputs are is in measure.test.ts.

const inputs = (dtype: string) => [{ name: 'image', dtype, dims: ['batch', 3, 5, 5] }];

it.each([
  ['float32', 4],
  ['float16', 2],
  ['uint8', 1],
  ['int64', 8],
])('%s inputs larger than the memory are infeasible, by name and size, before anything is allocated', (dtype, size) => {
  const bytes = 1e9 * 75 * size;
  const fill = () => randomInputs(inputs(dtype), 1e9, 8e9);
  expect(fill).toThrow(InfeasibleModelError);
  expect(fill).toThrow(
    `input 'image': expected values that fit in 8000000000 bytes of memory, got [1000000000, 3, 5, 5], ${bytes} bytes`,
  );
  expect(randomInputs(inputs(dtype), 2, 150 * size)['image']?.data).toHaveLength(150);
});

it('inputs fit in what this machine has, unless told otherwise', () => {
  expect(() => randomInputs(inputs('float32'), 1e15)).toThrow(InfeasibleModelError);
});
