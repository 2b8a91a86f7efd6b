import { Root, type Type } from 'protobufjs/light.js';
import { InvalidFileError } from '../core/errors.ts';

/**
 * ONNX files as plain data. The only protobuf import.
 * Field numbers are those of the ONNX IR (onnx.proto, IR version 8); fields we never write are left out.
 */
export type OnnxAttribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly string: string };

export interface OnnxNode {
  readonly opType: string;
  readonly name: string;
  /** Empty for standard operators. */
  readonly domain?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
}

export type OnnxDataType = 'float32' | 'int64' | 'bool' | 'uint8' | 'int32';

/** Declared type of a graph input or output; a text extent is a symbolic axis. */
export interface OnnxValue {
  readonly name: string;
  readonly dtype: OnnxDataType;
  readonly shape: readonly (number | string)[];
}

/** A constant stored in the file. */
export interface OnnxTensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

export interface OnnxModel {
  /** Engine caches key on it: give every distinct graph a distinct name. */
  readonly name: string;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  /** `metadata_props`: text by key, readable by every ONNX tool. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Operator-set version by domain; `''` is the standard domain, 17 by default. */
  readonly opsets?: Readonly<Record<string, number>>;
}

const irVersion = 8;
const dataTypes: Readonly<Record<OnnxDataType, number>> = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9 };
const attributeTypes = { float: 1, int: 2, string: 3, floats: 6, ints: 7 } as const;

const field = (type: string, id: number) => ({ type, id });
const list = (type: string, id: number) => ({ rule: 'repeated', type, id });
const modelProto: Type = Root.fromJSON({
  nested: {
    StringStringEntryProto: { fields: { key: field('string', 1), value: field('string', 2) } },
    OperatorSetIdProto: { fields: { domain: field('string', 1), version: field('int64', 2) } },
    TensorProto: {
      fields: {
        dims: list('int64', 1),
        dataType: field('int32', 2),
        name: field('string', 8),
        rawData: field('bytes', 9),
      },
    },
    Dimension: { fields: { dimValue: field('int64', 1), dimParam: field('string', 2) } },
    TensorShapeProto: { fields: { dim: list('Dimension', 1) } },
    TensorTypeProto: { fields: { elemType: field('int32', 1), shape: field('TensorShapeProto', 2) } },
    TypeProto: { fields: { tensorType: field('TensorTypeProto', 1) } },
    ValueInfoProto: { fields: { name: field('string', 1), type: field('TypeProto', 2) } },
    AttributeProto: {
      fields: {
        name: field('string', 1),
        f: field('float', 2),
        i: field('int64', 3),
        s: field('bytes', 4),
        floats: list('float', 7),
        ints: list('int64', 8),
        type: field('int32', 20),
      },
    },
    NodeProto: {
      fields: {
        input: list('string', 1),
        output: list('string', 2),
        name: field('string', 3),
        opType: field('string', 4),
        attribute: list('AttributeProto', 5),
        domain: field('string', 7),
      },
    },
    GraphProto: {
      fields: {
        node: list('NodeProto', 1),
        name: field('string', 2),
        initializer: list('TensorProto', 5),
        input: list('ValueInfoProto', 11),
        output: list('ValueInfoProto', 12),
      },
    },
    ModelProto: {
      fields: {
        irVersion: field('int64', 1),
        producerName: field('string', 2),
        graph: field('GraphProto', 7),
        opsetImport: list('OperatorSetIdProto', 8),
        metadataProps: list('StringStringEntryProto', 14),
      },
    },
  },
}).lookupType('ModelProto');

function attributeProto(name: string, attribute: OnnxAttribute) {
  if ('int' in attribute) return { name, type: attributeTypes.int, i: attribute.int };
  if ('ints' in attribute) return { name, type: attributeTypes.ints, ints: attribute.ints };
  if ('float' in attribute) return { name, type: attributeTypes.float, f: attribute.float };
  if ('floats' in attribute) return { name, type: attributeTypes.floats, floats: attribute.floats };
  return { name, type: attributeTypes.string, s: new TextEncoder().encode(attribute.string) };
}

function valueProto({ name, dtype, shape }: OnnxValue) {
  const dim = shape.map((extent) => (typeof extent === 'number' ? { dimValue: extent } : { dimParam: extent }));
  return { name, type: { tensorType: { elemType: dataTypes[dtype], shape: { dim } } } };
}

function tensorProto({ name, dims, data }: OnnxTensor) {
  const dataType = data instanceof Float32Array ? dataTypes.float32 : dataTypes.int64;
  return { name, dims, dataType, rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

/** The bytes of an `.onnx` file. Nodes must be in topological order. */
export function encodeOnnx(model: OnnxModel): Uint8Array {
  const opsets = { '': 17, ...model.opsets };
  return modelProto
    .encode({
      irVersion,
      producerName: 'ridgepoint',
      opsetImport: Object.entries(opsets).map(([domain, version]) => ({ domain, version })),
      metadataProps: Object.entries(model.metadata ?? {}).map(([key, value]) => ({ key, value })),
      graph: {
        name: model.name,
        node: model.nodes.map((node) => ({
          name: node.name,
          opType: node.opType,
          ...(node.domain ? { domain: node.domain } : {}),
          input: node.inputs,
          output: node.outputs,
          attribute: Object.entries(node.attributes ?? {}).map(([name, attribute]) => attributeProto(name, attribute)),
        })),
        initializer: model.initializers.map(tensorProto),
        input: model.inputs.map(valueProto),
        output: model.outputs.map(valueProto),
      },
    })
    .finish();
}

/** What a file says of itself, without its weights. */
export interface OnnxDescription {
  readonly graphName: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly opTypes: readonly string[];
}

/**
 * Reads name, metadata and operators of an ONNX file.
 * @throws {InvalidFileError} when the bytes are not an ONNX model.
 */
export function describeOnnx(bytes: Uint8Array, where: string): OnnxDescription {
  try {
    const model = modelProto.toObject(modelProto.decode(bytes), { defaults: true }) as {
      graph?: { name: string; node?: { opType: string }[] };
      metadataProps?: { key: string; value: string }[];
    };
    if (!model.graph?.node?.length) throw new Error('no graph in it');
    return {
      graphName: model.graph.name,
      metadata: Object.fromEntries((model.metadataProps ?? []).map(({ key, value }) => [key, value])),
      opTypes: model.graph.node.map((node) => node.opType),
    };
  } catch (cause) {
    throw new InvalidFileError(
      `${where}: expected an ONNX model, got ${bytes.length} bytes that are not one (${(cause as Error).message})`,
      { cause },
    );
  }
}
