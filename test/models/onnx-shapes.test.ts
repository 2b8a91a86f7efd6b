import { describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { encodeOnnx, type OnnxAttribute, type OnnxNode, type OnnxTensor, readOnnx } from '../../models/onnx.ts';
import { inferShapes, type ShapeBindings } from '../../models/onnx-shapes.ts';

type Attributes = Readonly<Record<string, OnnxAttribute>>;

const node = (opType: string, inputs: string[], outputs: string[], attributes: Attributes = {}): OnnxNode => ({
  opType,
  name: `${opType} of ${inputs[0] ?? 'nothing'}`,
  inputs,
  outputs,
  attributes,
});
const floats = (name: string, dims: number[]): OnnxTensor => ({
  name,
  dims,
  data: new Float32Array(dims.reduce((product, extent) => product * extent, 1)).fill(0.1),
});
const integers = (name: string, ...values: number[]): OnnxTensor => ({
  name,
  dims: [values.length],
  data: BigInt64Array.from(values, BigInt),
});
const scalar = (name: string, value: number): OnnxTensor => ({ name, dims: [], data: BigInt64Array.of(BigInt(value)) });

interface Case {
  readonly nodes: readonly OnnxNode[];
  readonly constants?: readonly OnnxTensor[];
  readonly input?: readonly number[];
  readonly outputs?: readonly string[];
}

/** One operator, or a few, on an image `x` of 2 × 6 × 7 × 9 unless said otherwise. */
const cases: Readonly<Record<string, Case>> = {
  'a strided, padded, dilated convolution': {
    nodes: [
      node('Conv', ['x', 'w'], ['y'], {
        strides: { ints: [2, 3] },
        pads: { ints: [1, 0, 2, 1] },
        dilations: { ints: [2, 1] },
      }),
    ],
    constants: [floats('w', [4, 6, 3, 2])],
  },
  'a grouped convolution that keeps the size': {
    nodes: [
      node('Conv', ['x', 'w'], ['y'], {
        auto_pad: { string: 'SAME_UPPER' },
        strides: { ints: [2, 2] },
        group: { int: 3 },
      }),
    ],
    constants: [floats('w', [9, 2, 3, 3])],
  },
  'a convolution without padding': {
    nodes: [node('Conv', ['x', 'w'], ['y'], { auto_pad: { string: 'VALID' } })],
    constants: [floats('w', [4, 6, 3, 3])],
  },
  'a transposed convolution': {
    nodes: [
      node('ConvTranspose', ['x', 'w'], ['y'], {
        strides: { ints: [2, 2] },
        pads: { ints: [1, 1, 1, 1] },
        output_padding: { ints: [1, 0] },
        group: { int: 2 },
      }),
    ],
    constants: [floats('w', [6, 4, 3, 3])],
  },
  'pooling that rounds up': {
    nodes: [
      node('MaxPool', ['x'], ['y'], {
        kernel_shape: { ints: [2, 2] },
        strides: { ints: [2, 2] },
        ceil_mode: { int: 1 },
      }),
    ],
  },
  'pooling that rounds down': {
    nodes: [
      node('AveragePool', ['x'], ['y'], {
        kernel_shape: { ints: [3, 3] },
        strides: { ints: [2, 2] },
        pads: { ints: [1, 1, 1, 1] },
      }),
    ],
  },
  'pooling of the whole plane, flattened, and a dense layer': {
    nodes: [
      node('GlobalAveragePool', ['x'], ['p']),
      node('Flatten', ['p'], ['f']),
      node('Gemm', ['f', 'w', 'b'], ['y'], { transB: { int: 1 } }),
    ],
    constants: [floats('w', [5, 6]), floats('b', [5])],
  },
  'batch norm and activations': {
    nodes: [
      node('BatchNormalization', ['x', 's', 's', 's', 's'], ['n']),
      node('Clip', ['n'], ['c']),
      node('HardSwish', ['c'], ['h']),
      node('LeakyRelu', ['h'], ['l']),
      node('Sigmoid', ['l'], ['g']),
      node('Mul', ['l', 'g'], ['y']),
    ],
    constants: [floats('s', [6])],
  },
  'arithmetic that broadcasts': {
    nodes: [node('Add', ['x', 'row'], ['a']), node('Div', ['column', 'a'], ['b']), node('Pow', ['b', 'one'], ['y'])],
    constants: [floats('row', [9]), floats('column', [6, 1, 1]), floats('one', [])],
  },
  'matrix products of stacks': {
    nodes: [node('MatMul', ['x', 'w'], ['a']), node('MatMul', ['v', 'a'], ['y'])],
    constants: [floats('w', [9, 4]), floats('v', [6, 3, 7])],
  },
  'a product of stacks of matrices that are transposed': {
    nodes: [
      {
        ...node('FusedMatMul', ['x', 'w'], ['y'], { transA: { int: 1 }, transB: { int: 1 } }),
        domain: 'com.microsoft',
      },
    ],
    constants: [floats('w', [6, 5, 7])],
  },
  'a sigmoid times its input': { nodes: [{ ...node('QuickGelu', ['x'], ['y']), domain: 'com.microsoft' }] },
  'one-hot rows along an axis between': {
    nodes: [node('OneHot', ['labels', 'depth', 'values'], ['y'], { axis: { int: 1 } })],
    constants: [
      { name: 'labels', dims: [2, 3], data: BigInt64Array.from([0, 1, 2, 3, 4, 5], BigInt) },
      scalar('depth', 6),
      floats('values', [2]),
    ],
  },
  'a mean over axes given as an attribute': {
    nodes: [node('ReduceMean', ['x'], ['y'], { axes: { ints: [-1, 2] }, keepdims: { int: 0 } })],
  },
  'a sum over axes given as an input': {
    nodes: [node('ReduceSum', ['x', 'axes'], ['y'], { keepdims: { int: 1 } })],
    constants: [integers('axes', 1, -1)],
  },
  'a maximum over everything': { nodes: [node('ReduceMax', ['x'], ['y'], { keepdims: { int: 0 } })] },
  'the place of the largest': { nodes: [node('ArgMax', ['x'], ['y'], { axis: { int: 1 }, keepdims: { int: 0 } })] },
  'concatenation with itself': { nodes: [node('Concat', ['x', 'x'], ['y'], { axis: { int: -3 } })] },
  'uneven parts': {
    nodes: [node('Split', ['x', 'sizes'], ['y', 'z'], { axis: { int: 1 } })],
    constants: [integers('sizes', 2, 4)],
    outputs: ['y', 'z'],
  },
  'slices forwards and backwards': {
    nodes: [node('Slice', ['x', 'starts', 'ends', 'axes', 'steps'], ['y'])],
    constants: [
      integers('starts', 1, -1, 2),
      integers('ends', Number.MAX_SAFE_INTEGER, -100, -1),
      integers('axes', 1, 2, 3),
      integers('steps', 2, -2, 1),
    ],
  },
  padding: { nodes: [node('Pad', ['x', 'pads'], ['y'])], constants: [integers('pads', 0, 0, 1, 2, 0, 1, 0, 3)] },
  'enlarging by scales': {
    nodes: [node('Resize', ['x', '', 'scales'], ['y'], { mode: { string: 'nearest' } })],
    constants: [{ name: 'scales', dims: [4], data: Float32Array.of(1, 1, 2, 1.5) }],
  },
  'shrinking to sizes': {
    nodes: [node('Resize', ['x', '', '', 'sizes'], ['y'], { mode: { string: 'nearest' } })],
    constants: [integers('sizes', 2, 6, 3, 4)],
  },
  'reshapes that copy and infer': {
    nodes: [node('Reshape', ['x', 'shape'], ['y'])],
    constants: [integers('shape', 0, 2, -1, 9)],
  },
  'another order of axes': { nodes: [node('Transpose', ['x'], ['y'], { perm: { ints: [0, 2, 3, 1] } })] },
  'axes of one that come and go': {
    nodes: [node('Unsqueeze', ['x', 'axes'], ['u']), node('Squeeze', ['u', 'first'], ['y'])],
    constants: [integers('axes', 0, -1), integers('first', 0)],
  },
  'space to depth and back': {
    input: [1, 2, 4, 6],
    nodes: [
      node('SpaceToDepth', ['x'], ['s'], { blocksize: { int: 2 } }),
      node('DepthToSpace', ['s'], ['y'], { blocksize: { int: 2 } }),
      node('Identity', ['s'], ['z']),
    ],
    outputs: ['y', 'z'],
  },
  'expanding and tiling': {
    nodes: [node('Expand', ['x', 'shape'], ['e']), node('Tile', ['e', 'repeats'], ['y'])],
    constants: [integers('shape', 3, 1, 6, 1, 1), integers('repeats', 1, 2, 1, 1, 3)],
  },
  'softmax and layer norm': {
    nodes: [node('Softmax', ['x'], ['p'], { axis: { int: 1 } }), node('LayerNormalization', ['p', 's'], ['y'])],
    constants: [floats('s', [9])],
  },
  'a view as PyTorch exports it: its shape computed from the input': {
    nodes: [
      node('Shape', ['x'], ['shape']),
      node('Gather', ['shape', 'first'], ['batch']),
      node('Unsqueeze', ['batch', 'front'], ['head']),
      node('Constant', [], ['rest'], { value_ints: { ints: [-1] } }),
      node('Concat', ['head', 'rest'], ['target'], { axis: { int: 0 } }),
      node('Reshape', ['x', 'target'], ['y']),
    ],
    constants: [scalar('first', 0), integers('front', 0)],
  },
  'an expansion as PyTorch exports it: -1 replaced where a mask says so': {
    nodes: [
      node('ConstantOfShape', ['rank'], ['ones'], { value: { tensor: { dims: [1], data: BigInt64Array.of(1n) } } }),
      node('Mul', ['ones', 'minus'], ['unset']),
      node('Equal', ['wanted', 'unset'], ['mask']),
      node('Where', ['mask', 'ones', 'wanted'], ['target']),
      node('Expand', ['x', 'target'], ['y']),
    ],
    constants: [integers('rank', 5), integers('minus', -1), integers('wanted', 3, -1, -1, -1, -1)],
  },
  'a part whose end is a remainder': {
    nodes: [node('Mod', ['two', 'three'], ['end']), node('Slice', ['x', 'zero', 'end', 'axis'], ['y'])],
    constants: [integers('two', -1), integers('three', 3), integers('zero', 0), integers('axis', 3)],
  },
  'the larger and the smaller of two extents': {
    nodes: [
      node('Shape', ['x'], ['shape']),
      node('Max', ['shape', 'eight'], ['target']),
      node('Min', ['target', 'nine'], ['sizes']),
      node('Resize', ['x', '', '', 'sizes'], ['y'], { mode: { string: 'nearest' } }),
    ],
    constants: [integers('eight', 2, 6, 8, 8), integers('nine', 9)],
  },
  'a size halved as shape arithmetic': {
    nodes: [
      node('Shape', ['x'], ['shape']),
      node('Slice', ['shape', 'two', 'four'], ['side']),
      node('Div', ['side', 'half'], ['halved']),
      node('Concat', ['kept', 'halved'], ['sizes'], { axis: { int: 0 } }),
      node('Resize', ['x', '', '', 'sizes'], ['y'], { mode: { string: 'nearest' } }),
    ],
    constants: [integers('two', 2), integers('four', 4), integers('half', 2), integers('kept', 2, 6)],
  },
};

function encode({ nodes, constants = [], outputs = ['y'], input = [2, 6, 7, 9] }: Case): Uint8Array {
  return encodeOnnx({
    name: 'case',
    inputs: [{ name: 'x', dtype: 'float32', shape: input }],
    outputs: outputs.map((name) => ({
      name,
      dtype: nodes.some(({ opType }) => opType === 'ArgMax') ? 'int64' : 'float32',
      shape: [],
    })),
    nodes,
    initializers: constants,
  });
}

/** The same file without declared output extents: the runtime checks declared ones. */
async function runtimeDims(model: Uint8Array, input: readonly number[]): Promise<Record<string, readonly number[]>> {
  const session = await onnxRuntimeAccelerator('cpu').open(model, { threads: 1 });
  const data = new Float32Array(input.reduce((product, extent) => product * extent, 1)).fill(0.5);
  const results = await session.run({ x: { dtype: 'float32', dims: input, data } });
  await session.close();
  return Object.fromEntries(Object.entries(results).map(([name, { dims }]) => [name, dims]));
}

describe('extents', () => {
  it.each(Object.entries(cases))('of %s are those ONNX Runtime computes', async (_, one) => {
    const model = encode(one);
    const expected = await runtimeDims(model, one.input ?? [2, 6, 7, 9]);
    const inferred = inferShapes(readOnnx(model, 'case'), {}, 'case');
    expect(Object.keys(expected)).toEqual(one.outputs ?? ['y']);
    for (const [name, dims] of Object.entries(expected)) expect(inferred.get(name)?.dims, name).toEqual(dims);
  });
});

describe('an input that a file leaves open', () => {
  const model = encodeOnnx({
    name: 'open',
    inputs: [{ name: 'image', dtype: 'float32', shape: ['batch', 3, 'height', 'width'] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: [] }],
    nodes: [node('Relu', ['image'], ['y'])],
    initializers: [],
  });
  const infer = (bindings: ShapeBindings) =>
    inferShapes(readOnnx(model, 'open.onnx'), bindings, 'open.onnx').get('y')?.dims;

  it('takes the batch and the resolution asked for, or all extents by its name', () => {
    expect(infer({ resolution: 32 })).toEqual([1, 3, 32, 32]);
    expect(infer({ batch: 8, resolution: 32 })).toEqual([8, 3, 32, 32]);
    expect(infer({ batch: 8, resolution: 32, inputs: { image: [2, 3, 40, 50] } })).toEqual([2, 3, 40, 50]);
  });

  it('is named, with how to give it', () => {
    expect(() => infer({ batch: 4 })).toThrow(
      "open.onnx: input 'image': expected every extent but the batch to be known, got batch × 3 × height × width; give them as --shape image=4x3x<n>x<n>",
    );
    expect(() => infer({ inputs: { image: [1, 4, 8, 8] } })).toThrow(
      /input 'image': expected extents that fit batch × 3/,
    );
  });

  it('is refused where the file fixes another batch', () => {
    const fixed = encode(cases['a maximum over everything'] as Case);
    expect(() => inferShapes(readOnnx(fixed, 'fixed.onnx'), { batch: 8 }, 'fixed.onnx')).toThrow(
      "fixed.onnx: input 'x': expected batch 8, got a file whose first axis is fixed at 2",
    );
  });
});

const follow = (nodes: readonly OnnxNode[], constants: readonly OnnxTensor[] = []) =>
  inferShapes(readOnnx(encode({ nodes, constants }), 'm.onnx'), {}, 'm.onnx');

describe('a graph that cannot be followed', () => {
  it('is refused with the operator and the node', () => {
    expect(() => follow([node('NonZero', ['x'], ['y'])])).toThrow(
      "m.onnx: node 'NonZero of x': expected an operator whose shapes are known here, got NonZero",
    );
    const foreign = { ...node('Relu', ['x'], ['y']), domain: 'com.example' };
    expect(() => follow([foreign])).toThrow(/got com\.example\.Relu/);
    expect(() => follow([foreign])).toThrow(expect.objectContaining({ code: 'unsupported-operator' }));
  });

  it('is refused with the node where extents do not fit', () => {
    expect(() => follow([node('Conv', ['x', 'w'], ['y'])], [floats('w', [4, 5, 3, 3])])).toThrow(
      "m.onnx: node 'Conv of x' (Conv): expected 5 input channels (5 in each of 1 groups), got 6",
    );
    expect(() => follow([node('Add', ['x', 'w'], ['y'])], [floats('w', [4])])).toThrow(
      /expected extents that broadcast/,
    );
    expect(() => follow([node('Relu', ['nothing'], ['y'])])).toThrow(/expected a value computed before, got 'nothing'/);
    expect(() => follow([node('Reshape', ['x', 'w'], ['y'])], [integers('w', 5, -1)])).toThrow(/expected/);
  });
});
