import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import { exportOnnx } from '../../models/export.ts';
import { foldForInference } from '../../models/fold.ts';
import { initialWeights } from '../../models/initialise.ts';
import { type ModelSpec, parseTransformerSpec } from '../../models/transformer.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { blockKinds, endKinds, networkOf } from './block-kinds.ts';
import { everyBlock } from './fixture.ts';

// The format's own checker and shape inference, where Python has the package `onnx`.
/** A Python with the package `onnx`: the user's, or the system's, where Debian's python3-onnx is. */
const python = ['python3', '/usr/bin/python3'].find(
  (command) => spawnSync(command, ['-c', 'import onnx']).status === 0,
);
if (!python) console.warn('skipped: exported files against the ONNX checker (no python3 has the package onnx)');

/** Checks files; prints, for each, the shape that it infers of every tensor. */
const checker = `
import json, sys, onnx
for path in sys.argv[1:]:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    values = list(inferred.graph.value_info) + list(inferred.graph.output)
    print(json.dumps({v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}))
`;

const transformer = (changes: object): ModelSpec =>
  parseTransformerSpec(
    { kind: 'transformer', vocabulary: 9, context: 5, layers: 2, width: 8, heads: 2, ...changes },
    'test',
  );

describe.skipIf(python === undefined)('the ONNX checker', () => {
  const folder = fileFolder();

  it('accepts an exported file of every kind of block, stem and head, and of transformers, and infers the shapes that it was built with', () => {
    const specs: ModelSpec[] = [
      everyBlock,
      ...[...blockKinds, ...endKinds].flatMap((kind) => [networkOf(kind, 12), networkOf(kind, 15)]),
      transformer({ biases: true }),
      transformer({ gated: true, norm: 'rms-norm', tiedHead: false }),
    ];
    const graphs = specs.map((spec) => {
      const graph = buildNetwork(spec, 'batch');
      return foldForInference({ graph, weights: initialWeights(graph, new Random(0)) }).graph;
    });
    const files = specs.map((spec, index) => {
      const file = join(folder, `${index}.onnx`);
      writeFileSync(file, exportOnnx(spec, initialWeights(buildNetwork(spec, 1), new Random(0)), 'batch'));
      return file;
    });
    const lines = execFileSync(python as string, ['-c', checker, ...files], { encoding: 'utf8' })
      .trim()
      .split('\n');
    expect(lines).toHaveLength(specs.length);
    lines.forEach((line, index) => {
      const inferred = JSON.parse(line) as Record<string, readonly (number | string)[]>;
      for (const { outputs } of graphs[index]?.nodes ?? [])
        for (const name of outputs) expect(inferred[name], name).toEqual(graphs[index]?.tensors.get(name)?.shape);
    });
  });
});
