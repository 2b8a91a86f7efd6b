import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../../accelerators/onnxruntime.ts';
import { excessOf, type Lesson, trainLearner } from '../../../bench/laws/learner.ts';
import {
  drawExamples,
  drawTeacher,
  meanEntropy,
  type Teacher,
  teacherLogit,
} from '../../../bench/laws/teacher-network.ts';
import { allocationOf, byTeacher, describeAllocations } from '../../../bench/laws/teacher-report.ts';
import {
  completeRuns,
  type Design,
  drawLesson,
  type LearnerRow,
  parseRows,
  plannedRuns,
  type Progress,
} from '../../../bench/laws/teacher-runs.ts';
import { InterruptedError } from '../../../core/errors.ts';
import { Random } from '../../../core/random.ts';
import { fileFolder } from '../../cases/file-folder.ts';

const cpu = onnxRuntimeAccelerator('cpu');
const prior = { dimension: 2, width: 64, complexity: 8, logitScale: 3 };

/** Entropy of a coin in nats, by its log odds. */
function coinEntropy(logit: number): number {
  const p = 1 / (1 + Math.exp(-logit));
  return p === 0 || p === 1 ? 0 : -p * Math.log(p) - (1 - p) * Math.log(1 - p);
}

/** Mean over standard normal inputs of the plane, by the midpoint rule in polar coordinates. */
function planeMean(of: (input: readonly [number, number]) => number): number {
  const [radii, angles, end] = [400, 720, 9];
  let sum = 0;
  for (let i = 0; i < radii; i++)
    for (let j = 0; j < angles; j++) {
      const [r, angle] = [((i + 0.5) * end) / radii, (2 * Math.PI * (j + 0.5)) / angles];
      sum += r * Math.exp(-(r ** 2) / 2) * of([r * Math.cos(angle), r * Math.sin(angle)]);
    }
  return (sum * end) / radii / angles;
}

/** The teacher's own parameters as a learner's: its logit against one that is 0. */
function asLearner({ dimension, directions, weights }: Teacher, factor = 1) {
  const hidden = new Float32Array(directions.length);
  for (let unit = 0; unit < weights.length; unit++)
    for (let axis = 0; axis < dimension; axis++)
      hidden[axis * weights.length + unit] = directions[unit * dimension + axis] as number;
  const logits = Float32Array.from({ length: 2 * weights.length }, (_, at) =>
    at % 2 === 0 ? 0 : factor * (weights[(at - 1) / 2] as number),
  );
  const values = new Map([
    ['hidden.weight', hidden],
    ['logits.weight', logits],
  ]);
  return { dimension, width: weights.length, weights: values };
}

describe('a teacher', () => {
  const teacher = drawTeacher(prior, new Random('teacher'));

  it('has the entropy that integration over the plane finds (5 sigma)', () => {
    const count = 100_000;
    const integral = planeMean((input) => coinEntropy(teacherLogit(teacher, input)));
    const second = planeMean((input) => coinEntropy(teacherLogit(teacher, input)) ** 2);
    const sigma = Math.sqrt((second - integral ** 2) / count);
    const found = meanEntropy(drawExamples(teacher, count, 'probabilities', new Random('scoring')));
    expect(Math.abs(found - integral)).toBeLessThan(5 * sigma);
    expect(sigma).toBeLessThan(0.002);
  });

  it('has logits of the scale asked for, over many teachers (5 sigma)', () => {
    const squares = Array.from({ length: 2000 }, (_, k) => {
      const random = new Random('scale').child(k);
      const drawn = drawTeacher({ ...prior, dimension: 5 }, random);
      return (
        teacherLogit(
          drawn,
          Array.from({ length: 5 }, () => random.normal()),
        ) ** 2
      );
    });
    const mean = squares.reduce((sum, square) => sum + square, 0) / squares.length;
    const deviation = Math.sqrt(squares.reduce((sum, square) => sum + (square - mean) ** 2, 0) / squares.length ** 2);
    const exact = prior.logitScale ** 2 * (1 + prior.complexity / prior.width);
    expect(Math.abs(mean - exact)).toBeLessThan(5 * deviation);
  });

  it('draws labels with its own probabilities (5 sigma)', () => {
    const count = 20_000;
    const [labels, probabilities] = (['labels', 'probabilities'] as const).map((targets) =>
      drawExamples(teacher, count, targets, new Random('labels')),
    );
    expect(labels?.inputs).toEqual(probabilities?.inputs);
    // Σ (label − p) · (p − ½): labels that ignored p would leave a sum of Σ p · (½ − p) in its place.
    let [sum, variance] = [0, 0];
    for (let row = 0; row < count; row++) {
      const [label, p] = [labels?.targets[2 * row + 1] as number, probabilities?.targets[2 * row + 1] as number];
      expect([0, 1]).toContain(label);
      sum += (label - p) * (p - 0.5);
      variance += p * (1 - p) * (p - 0.5) ** 2;
    }
    expect(Math.abs(sum)).toBeLessThan(5 * Math.sqrt(variance));
  });

  it('exceeds itself by nothing, and a louder one by their divergence', async () => {
    const scoring = drawExamples(teacher, 4096, 'probabilities', new Random('own'));
    const lesson: Lesson = { training: scoring, scoring };
    expect(Math.abs(await excessOf(asLearner(teacher), lesson, cpu))).toBeLessThan(1e-6);
    let divergence = 0;
    for (let row = 0; row < scoring.count; row++) {
      const logit = teacherLogit(teacher, scoring.inputs.subarray(2 * row, 2 * row + 2));
      const p = 1 / (1 + Math.exp(-logit));
      const [own, louder] = [logit, 2 * logit].map(
        (z) => p * Math.log1p(Math.exp(-z)) + (1 - p) * Math.log1p(Math.exp(z)),
      );
      divergence += ((louder as number) - (own as number)) / scoring.count;
    }
    expect(divergence).toBeGreaterThan(0.01);
    expect(await excessOf(asLearner(teacher, 2), lesson, cpu)).toBeCloseTo(divergence, 5);
  });
});

describe('learners of a teacher', () => {
  it('see beginnings of one stream', () => {
    const of = { dimension: 3, complexity: 4, seed: 1 };
    const [few, many] = [drawLesson(of, 100), drawLesson(of, 300)];
    expect(many.training.inputs.subarray(0, 300)).toEqual(few.training.inputs);
    expect(many.training.targets.subarray(0, 200)).toEqual(few.training.targets);
    expect(many.scoring).toEqual(few.scoring);
  });

  it('come nearer to it with more data', async () => {
    const lesson = drawLesson({ dimension: 4, complexity: 16, seed: 0 }, 8192);
    const excess = (examples: number) =>
      trainLearner({ dimension: 4, width: 16, examples, learningRate: 0.014, seed: 0 }, lesson, { accelerator: cpu });
    const [few, many] = [await excess(512), await excess(8192)];
    expect(many).toBeLessThan(few / 2);
    expect(many).toBeGreaterThan(0);
    // Knowing nothing, a coin for every input, is worse than either.
    expect(few).toBeLessThan(Math.LN2 - meanEntropy(lesson.scoring));
  });
});

describe('a table of runs', () => {
  const teachers = [2, 3].map((dimension) => ({ dimension, complexity: 4 }));
  const design: Design = { teachers, seeds: 1, budgets: [1024], widths: [1, 2], examples: [512, 1024] };

  it('is the same when it is interrupted and gone on with', async () => {
    const folder = fileFolder();
    const [whole, parts] = [join(folder, 'whole.csv'), join(folder, 'parts.csv')];
    const runs = plannedRuns(design);
    expect(runs).toHaveLength(12);
    await completeRuns(whole, runs, { accelerator: cpu });

    const stop = new AbortController();
    const onRun = ({ done }: Progress) => done === 5 && stop.abort();
    const interrupted = completeRuns(parts, runs, { accelerator: cpu, signal: stop.signal, onRun });
    await expect(interrupted).rejects.toBeInstanceOf(InterruptedError);
    expect(parseRows(readFileSync(parts, 'utf8'), parts)).toHaveLength(5);

    const trained: Progress[] = [];
    await completeRuns(parts, runs, { accelerator: cpu, onRun: (progress) => trained.push(progress) });
    expect(trained).toHaveLength(7);
    expect(readFileSync(parts, 'utf8')).toBe(readFileSync(whole, 'utf8'));
  });

  it('is refused with other columns, and with the line that is no run', () => {
    expect(() => parseRows('width,loss\n', 'runs.csv')).toThrow(
      /runs\.csv: expected the columns dimension,.* got width,loss/,
    );
    const text =
      'dimension,complexity,width,examples,learningRate,seed,excess\n4,16,1,1024,0.1,0,0.2\n4,16,one,1024,0.1,0,0.2\n';
    expect(() => parseRows(text, 'runs.csv')).toThrow(/runs\.csv: line 3: .*width/s);
  });
});

describe('the best allocation', () => {
  const [alpha, beta] = [1.2, 0.8];

  /** Excess 3 ÷ N^α + 50 ÷ T^β at the second rate and more at the first, seeds differing by a factor. */
  function surface(dimension: number): readonly LearnerRow[] {
    return [16, 18, 20, 22].flatMap((budget) =>
      Array.from({ length: 12 }, (_, k) => 2 ** k).flatMap((width) =>
        [0.01, 0.02].flatMap((learningRate) =>
          [0, 1, 2].map((seed) => {
            const [params, examples] = [width * (dimension + 1), 2 ** budget / width];
            const excess =
              (0.8 + 0.2 * seed) * (3 / params ** alpha + 50 / examples ** beta) * (learningRate === 0.01 ? 1.3 : 1);
            return { dimension, complexity: 16, width, examples, learningRate, seed, excess };
          }),
        ),
      ),
    );
  }

  it('is that of the surface the runs come from', () => {
    const [trained] = byTeacher(surface(4));
    if (!trained) throw new Error('expected a teacher');
    expect(trained.seeds).toBe(3);
    const { law, optima, warnings } = allocationOf(trained);
    expect(warnings).toEqual([]);
    expect(optima).toHaveLength(4);
    expect(law.paramsExponent).toBeCloseTo(beta / (alpha + beta), 1);
    for (const { flops, params } of optima) {
      const exact = ((alpha * 3) / (beta * 50)) ** (1 / (alpha + beta)) * flops ** (beta / (alpha + beta));
      expect(params / exact).toBeGreaterThan(0.8);
      expect(params / exact).toBeLessThan(1.25);
    }
  });

  it('leaves out a seed that was not finished', () => {
    const rows = surface(4);
    const last = rows.findLastIndex(({ seed }) => seed === 2);
    expect(byTeacher(rows.filter((_, index) => index !== last))[0]?.seeds).toBe(2);
  });

  it('is told for each kind of teacher beside the bound, with its trend', () => {
    const text = describeAllocations([...surface(4), ...surface(16)], 20);
    expect(text).toMatch(/^\| 4 \| 16 \| 3 \| .* \| 0\.4\d\d \(0\.4\d\d to 0\.4\d\d\) \| /m);
    expect(text).toMatch(/complexity 16, with each doubling of the dimension: the exponent of N rises by -?0\.0\d\d /);
  });
});
