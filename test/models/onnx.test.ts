import { describe, expect, it } from 'vitest';
import { InvalidFileError } from '../../core/errors.ts';
import { decodeOnnx, encodeOnnx, keptValues, type OnnxModel, type OnnxTensor, readOnnx } from '../../models/onnx.ts';

const model = encodeOnnx({
  name: 'reading',
  inputs: [
    { name: 'x', dtype: 'float16', shape: ['batch', 3, '', 8] },
    // Files of IR version 3 and older repeat stored constants among the inputs.
    { name: 'axes', dtype: 'int64', shape: [2] },
  ],
  outputs: [{ name: 'y', dtype: 'float32', shape: ['batch'] }],
  nodes: [
    {
      opType: 'Constant',
      name: 'scale',
      inputs: [],
      outputs: ['scale'],
      attributes: { value: { tensor: { dims: [2], data: Float32Array.of(0.5, -1) } } },
    },
    {
      opType: 'Thing',
      name: '',
      domain: 'com.example',
      inputs: ['x', '', 'axes'],
      outputs: ['y'],
      attributes: {
        count: { int: -2 },
        list: { ints: [1, 0, -3] },
        share: { float: 0.25 },
        shares: { floats: [0.5, 2] },
        mode: { string: 'linear' },
      },
    },
  ],
  initializers: [
    { name: 'axes', dims: [2], data: BigInt64Array.of(-1n, 2n ** 40n) },
    { name: 'weights', dims: [keptValues + 1], data: new Float32Array(keptValues + 1) },
  ],
});

describe('reading an ONNX file', () => {
  const graph = readOnnx(model, 'file.onnx');

  it('gives inputs with their open extents, without stored constants', () => {
    expect(graph.inputs).toEqual([{ name: 'x', dtype: 'float16', shape: ['batch', 3, '', 8] }]);
    expect(graph.outputs).toEqual(['y']);
  });

  it('gives nodes with every kind of attribute, a node without a name called after its output', () => {
    expect(graph.nodes).toEqual([
      {
        opType: 'Thing',
        name: 'y',
        domain: 'com.example',
        inputs: ['x', '', 'axes'],
        outputs: ['y'],
        attributes: {
          count: { int: -2 },
          list: { ints: [1, 0, -3] },
          share: { float: 0.25 },
          shares: { floats: [0.5, 2] },
          mode: { string: 'linear' },
        },
      },
    ]);
  });

  it('keeps the values of small constants, stored or of constant nodes, and leaves weights behind', () => {
    expect(graph.constants).toEqual(
      new Map([
        ['axes', { dtype: 'int64', dims: [2], values: [-1, 2 ** 40] }],
        ['weights', { dtype: 'float32', dims: [keptValues + 1] }],
        ['scale', { dtype: 'float32', dims: [2], values: [0.5, -1] }],
      ]),
    );
  });

  it('is refused with the file and its size when the bytes are no model', () => {
    expect(() => readOnnx(new TextEncoder().encode('not a model'), 'models/x.onnx')).toThrow(
      /models\/x\.onnx: expected an ONNX model, got 11 bytes/,
    );
    expect(() => readOnnx(model.subarray(0, model.length - 3), 'cut.onnx')).toThrow(
      /cut\.onnx: expected an ONNX model/,
    );
  });
});

describe('reading an ONNX file whole', () => {
  const data: readonly OnnxTensor['data'][] = [
    Float32Array.of(0.5, -1),
    BigInt64Array.of(-1n, 2n ** 62n),
    Int32Array.of(-5, 2 ** 30),
    Int8Array.of(-128, 127),
    Uint8Array.of(0, 255),
    Uint16Array.of(0x3c00, 0xfbff),
  ];
  const whole: OnnxModel = {
    name: 'whole',
    inputs: [{ name: 'x', dtype: 'float32', shape: ['batch', 3] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: ['batch', 3] }],
    nodes: [
      {
        opType: 'Thing',
        name: 'thing',
        domain: 'com.example',
        inputs: ['x', '', 'c0'],
        outputs: ['y'],
        attributes: {
          count: { int: -2 },
          list: { ints: [1, 0, -3] },
          share: { float: 0.25 },
          shares: { floats: [0.5, 2] },
          mode: { string: 'linear' },
          value: { tensor: { dims: [2], data: Float32Array.of(3, 4) } },
        },
      },
    ],
    initializers: data.map((values, index) => ({ name: `c${index}`, dims: [2], data: values })),
    metadata: { key: 'value' },
    opsets: { '': 17, 'com.example': 1 },
  };

  it('gives what was written, weights of every type and tensors of attributes included', () => {
    expect(decodeOnnx(encodeOnnx(whole), 'file.onnx')).toEqual(whole);
  });

  it('and writing that again gives the same bytes', () => {
    const bytes = encodeOnnx(whole);
    expect(encodeOnnx(decodeOnnx(bytes, 'file.onnx'))).toEqual(bytes);
  });

  it('refuses what it would lose', () => {
    const [first] = whole.initializers;
    const short = { ...whole, initializers: [{ ...(first as OnnxTensor), dims: [3] }] };
    expect(() => decodeOnnx(encodeOnnx(short), 'file.onnx')).toThrow(InvalidFileError);
    expect(() => decodeOnnx(encodeOnnx(short), 'file.onnx')).toThrow(/constant 'c0': expected 3 values, got 2/);
    expect(() => decodeOnnx(new Uint8Array(9), 'file.onnx')).toThrow(/file\.onnx: expected an ONNX model/);
  });
});
