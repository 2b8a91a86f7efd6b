import { describe, expect, it } from 'vitest';
import { minimise, minimiseScalar, type Objective } from '../../core/minimise.ts';

const tight = { gradientTolerance: 1e-10, valueTolerance: 0, valueScale: 0 };

const rosenbrock: Objective = (x, gradient) => {
  let value = 0;
  gradient.fill(0);
  for (let i = 0; i + 1 < x.length; i++) {
    const [a, b] = [x[i] as number, x[i + 1] as number];
    value += 100 * (b - a * a) ** 2 + (1 - a) ** 2;
    gradient[i] = (gradient[i] as number) - 400 * a * (b - a * a) - 2 * (1 - a);
    gradient[i + 1] = (gradient[i + 1] as number) + 200 * (b - a * a);
  }
  return value;
};

/** x − ln x: lowest at 1, not defined below 0. */
const wall: Objective = (x, gradient) => {
  const at = x[0] as number;
  gradient[0] = 1 - 1 / at;
  return at - Math.log(at);
};

describe('L-BFGS', () => {
  it.each([[[-1.2, 1]], [[-1.2, 1, -1.2, 1]], [[0, 0, 0, 0, 0, 0, 0, 0]], [[5, -3]]])(
    'finds the bottom of the curved valley of Rosenbrock from %j',
    (start) => {
      const { x, value, gradientNorm, evaluations } = minimise(rosenbrock, start, tight);
      for (const coordinate of x) expect(coordinate).toBeCloseTo(1, 8);
      expect(value).toBeLessThan(1e-16);
      expect(gradientNorm).toBeLessThan(1e-7);
      expect(evaluations).toBeLessThan(200);
    },
  );

  it('solves a quadratic whose axes differ a millionfold', () => {
    const scales = [1, 1e2, 1e4, 1e6];
    const objective: Objective = (x, gradient) => {
      let value = 0;
      for (const [i, scale] of scales.entries()) {
        const off = (x[i] as number) - i;
        value += 0.5 * scale * off * off;
        gradient[i] = scale * off;
      }
      return value;
    };
    const { x } = minimise(objective, [9, 9, 9, 9], tight);
    for (const [i, coordinate] of x.entries()) expect(coordinate).toBeCloseTo(i, 8);
  });

  it('steps back from where the objective is not a number', () => {
    expect(minimise(wall, [1e-3], tight).x[0]).toBeCloseTo(1, 8);
  });

  it('stops by each of its rules and says which', () => {
    expect(minimise(rosenbrock, [1, 1]).stopped).toBe('gradient');
    expect(minimise(rosenbrock, [-1.2, 1], { maxIterations: 3 })).toMatchObject({
      stopped: 'iterations',
      iterations: 3,
    });
    expect(minimise(rosenbrock, [-1.2, 1], { gradientTolerance: 0, valueTolerance: 0.5 }).stopped).toBe('value');
  });

  it('leaves the start as it was and refuses one without a value', () => {
    const start = [-1.2, 1];
    minimise(rosenbrock, start);
    expect(start).toEqual([-1.2, 1]);
    expect(() => minimise(() => Number.NaN, [0])).toThrow(/expected a finite objective at the start/);
  });
});

describe('the minimum of a function of one variable', () => {
  it('is found to eight digits, at an end too', () => {
    expect(minimiseScalar((x) => (x - 0.3) ** 2, -5, 5)).toBeCloseTo(0.3, 7);
    expect(minimiseScalar((x) => x, 2, 5)).toBeCloseTo(2, 7);
  });

  it('is the lower of two, where the grid sees both', () => {
    expect(minimiseScalar((x) => Math.min((x + 2) ** 2, (x - 2) ** 2 - 1), -4, 4)).toBeCloseTo(2, 7);
  });
});
