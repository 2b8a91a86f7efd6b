import { describe, expect, it } from 'vitest';
import { Random } from '../../../core/random.ts';
import { readOnnx } from '../../../models/onnx.ts';
import { builtInNetwork, builtInNetworkNames } from '../../../scaling/built-in-networks.ts';
import { networkSpecSchema } from '../../../models/spec.ts';
import { buildNetwork } from '../../../models/build.ts';
import { countGraph } from '../../../models/counts.ts';
import { drawNetwork, networkModel } from '../../../study/evaluation/calibration-networks.ts';

const random = new Random('networks');
const drawn = Array.from({ length: 60 }, (_, index) => drawNetwork(random.child(index)));

/** All of a network but its name and its resolution. */
const shapes = (spec: unknown) => JSON.stringify({ ...(spec as object), name: undefined, input: undefined });

describe('networks to calibrate by', () => {
  it('are valid, of every kind of block, several batches and sizes, and cost little', () => {
    for (const { spec, batch } of drawn) {
      expect(networkSpecSchema.parse(spec)).toEqual(spec);
      expect(countGraph(buildNetwork(spec, 1)).macs * batch).toBeLessThanOrEqual(5e9);
    }
    const operators = new Set(drawn.flatMap(({ spec }) => spec.stages.map(({ operator }) => operator)));
    expect(operators).toEqual(new Set(['mbconv', 'fused-mbconv', 'basic', 'bottleneck']));
    expect(new Set(drawn.map(({ batch }) => batch)).size).toBeGreaterThan(3);
    const sides = drawn.map(({ spec }) => spec.input.resolution);
    expect(Math.min(...sides)).toBeLessThan(40);
    expect(Math.max(...sides)).toBeGreaterThan(200);
  });

  it('are the same for the same stream, and none of the literature', () => {
    expect(drawNetwork(random.child(7))).toEqual(drawn[7]);
    const published = new Set(builtInNetworkNames.map((name) => shapes(builtInNetwork(name))));
    for (const { spec } of drawn) expect(published).not.toContain(shapes(spec));
  });

  it('come from the space given too', () => {
    const space = {
      input: { channels: 3, resolution: 32 },
      classes: 7,
      stem: { kernel: 3, stride: 2, width: 8 },
      stages: [
        { operator: 'mbconv', kernel: { oneOf: [3, 5], tag: 'k' }, stride: 1, expansion: 2, width: 8, repeats: 1 },
      ],
      head: { width: 16 },
    };
    const classes = Array.from({ length: 40 }, (_, index) => drawNetwork(random.child(index), space).spec.classes);
    const own = classes.filter((count) => count === 7).length;
    expect(own).toBeGreaterThan(3);
    expect(own).toBeLessThan(25);
  });

  it('have files with weights for every parameter', () => {
    const { spec } = drawn[0] ?? drawNetwork(random);
    const model = readOnnx(networkModel(spec), 'model.onnx');
    expect(model.nodes.filter(({ opType }) => opType === 'Conv').length).toBeGreaterThan(5);
    expect([...model.constants.values()].some(({ dims }) => dims.length === 4)).toBe(true);
  });
});
