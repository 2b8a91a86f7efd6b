import { Root, type Type } from 'protobufjs/light.js';
import { InvalidFileError } from '../core/errors.ts';

/**
 * ONNX files as plain data. The only protobuf import.
 * Field numbers are those of the ONNX IR (onnx.proto, IR version 8); fields we neither write nor read are left out.
 */
export type OnnxAttribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly string: string }
  /** {@link readOnnx} gives the few numbers of a small one as `floats`, and stored constants apart. */
  | { readonly tensor: Omit<OnnxTensor, 'name'> };

export interface OnnxNode {
  readonly opType: string;
  readonly name: string;
  /** Empty for standard operators. */
  readonly domain?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
}

const dataTypes = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
} as const;
export type OnnxDataType = keyof typeof dataTypes;

/** Declared type of a graph input or output; a text extent is a symbolic axis. */
export interface OnnxValue {
  readonly name: string;
  readonly dtype: OnnxDataType;
  readonly shape: readonly (number | string)[];
}

/** What a network gives; its extents are left to inference where they are not declared. */
export type OnnxOutput = Pick<OnnxValue, 'name' | 'dtype'> & Partial<Pick<OnnxValue, 'shape'>>;

/** A constant stored in the file. */
export interface OnnxTensor {
  readonly name: string;
  readonly dims: readonly number[];
  /** Its class is the element type; 16-bit values are the bits of float16. */
  readonly data: TensorData;
  /** A default that a caller may override: a runtime then derives nothing from its values before a run. Constant when absent. */
  readonly isDefault?: boolean;
}
type TensorData = Float32Array | BigInt64Array | Int32Array | Int8Array | Uint8Array | Uint16Array;

export interface OnnxModel {
  /** Engine caches key on it: give every distinct graph a distinct name. */
  readonly name: string;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxOutput[];
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  /** `metadata_props`: text by key, readable by every ONNX tool. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Operator-set version by domain; `''` is the standard domain, {@link onnxOpset} by default. */
  readonly opsets?: Readonly<Record<string, number>>;
}

const irVersion = 8;
const attributeTypes = { float: 1, int: 2, string: 3, tensor: 4, floats: 6, ints: 7 } as const;
/** Where a tensor's values are: `data_location` of a tensor kept in a file of its own. */
const externalLocation = 1;

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
        floatData: list('float', 4),
        int32Data: list('int32', 5),
        int64Data: list('int64', 7),
        name: field('string', 8),
        rawData: field('bytes', 9),
        doubleData: list('double', 10),
        dataLocation: field('int32', 14),
      },
    },
    Dimension: { fields: { dimValue: field('int64', 1), dimParam: field('string', 2) } },
    TensorShapeProto: { fields: { dim: list('Dimension', 1) } },
    TensorTypeProto: { fields: { elemType: field('int32', 1), shape: field('TensorShapeProto', 2) } },
    TypeProto: { fields: { tensorType: field('TensorTypeProto', 1) } },
    ValueInfoProto: { fields: { name: field('string', 1), type: field('TypeProto', 2) } },
    AttributeProto: {
      // As in proto2, which ONNX is: a value of 0 is written too, or strict readers find none.
      options: { features: { field_presence: 'EXPLICIT' } },
      fields: {
        name: field('string', 1),
        f: field('float', 2),
        i: field('int64', 3),
        s: field('bytes', 4),
        t: field('TensorProto', 5),
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
  if ('tensor' in attribute)
    return { name, type: attributeTypes.tensor, t: tensorProto({ name: '', ...attribute.tensor }) };
  return { name, type: attributeTypes.string, s: new TextEncoder().encode(attribute.string) };
}

function valueProto({ name, dtype, shape }: OnnxOutput) {
  const dim = shape?.map((extent) => (typeof extent === 'number' ? { dimValue: extent } : { dimParam: extent }));
  return { name, type: { tensorType: { elemType: dataTypes[dtype], ...(dim && { shape: { dim } }) } } };
}

function tensorProto({ name, dims, data }: OnnxTensor) {
  const dataType = dataTypes[elementType(data)];
  return { name, dims, dataType, rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

const valueOfTensor = ({ name, dims, data }: OnnxTensor): OnnxValue => ({
  name,
  dtype: elementType(data),
  shape: dims,
});

/** Version of the standard operators that files are written in. */
export const onnxOpset = 17;

function elementType(data: TensorData): OnnxDataType {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof BigInt64Array) return 'int64';
  if (data instanceof Int32Array) return 'int32';
  if (data instanceof Int8Array) return 'int8';
  return data instanceof Uint8Array ? 'uint8' : 'float16';
}

/** The bytes of an `.onnx` file. Nodes must be in topological order if others than onnxruntime are to read it. */
export function encodeOnnx(model: OnnxModel): Uint8Array {
  const opsets = { '': onnxOpset, ...model.opsets };
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
        // An initializer among the inputs is one that may be overridden.
        input: [...model.inputs, ...model.initializers.filter(({ isDefault }) => isDefault).map(valueOfTensor)].map(
          valueProto,
        ),
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
  const { graph, metadataProps = [] } = decodeModel(bytes, where);
  return {
    graphName: graph.name ?? '',
    metadata: Object.fromEntries(metadataProps.map(({ key = '', value = '' }) => [key, value])),
    opTypes: (graph.node ?? []).map(({ opType = '' }) => opType),
  };
}

/** A stored constant as shapes and costs need it: values only where they are few. */
export interface OnnxConstant {
  readonly dtype: OnnxDataType;
  readonly dims: readonly number[];
  /** Of a constant of at most {@link keptValues} elements that the file itself holds: extents, axes, scales. */
  readonly values?: readonly number[];
}

/** Constants of more elements are weights: nobody reads a shape from them. */
export const keptValues = 64;

/** A graph as a file describes it, without the values of its weights. */
export interface OnnxGraph {
  readonly name: string;
  /** What a caller feeds; stored constants that older files repeat among the inputs are left out. */
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly string[];
  /** In topological order, as the format demands. */
  readonly nodes: readonly OnnxNode[];
  readonly constants: ReadonlyMap<string, OnnxConstant>;
}

interface TensorMessage {
  readonly dims?: number[];
  readonly dataType?: number;
  readonly floatData?: number[];
  readonly int32Data?: number[];
  readonly int64Data?: number[];
  readonly doubleData?: number[];
  readonly name?: string;
  readonly rawData?: Uint8Array;
  readonly dataLocation?: number;
}

interface AttributeMessage {
  readonly name: string;
  readonly f?: number;
  readonly i?: number;
  readonly s?: Uint8Array;
  readonly t?: TensorMessage;
  readonly floats?: number[];
  readonly ints?: number[];
  readonly type?: number;
}

interface ValueMessage {
  readonly name: string;
  readonly type?: {
    readonly tensorType?: {
      readonly elemType?: number;
      readonly shape?: { readonly dim?: { readonly dimValue?: number; readonly dimParam?: string }[] };
    };
  };
}

interface GraphMessage {
  readonly name?: string;
  readonly node?: {
    readonly input?: string[];
    readonly output?: string[];
    readonly name?: string;
    readonly opType?: string;
    readonly attribute?: AttributeMessage[];
    readonly domain?: string;
  }[];
  readonly initializer?: TensorMessage[];
  readonly input?: ValueMessage[];
  readonly output?: ValueMessage[];
}

/**
 * Reads an ONNX file's graph. Weights stay behind: constants keep their type and extents, and their
 * values only where a shape may depend on them, so files whose weights lie elsewhere are read too.
 * @param where names the file in errors.
 * @throws {InvalidFileError} when the bytes are not an ONNX model, or one with an input that is no tensor.
 */
export function readOnnx(bytes: Uint8Array, where: string): OnnxGraph {
  const { graph } = decodeModel(bytes, where);
  const constants = new Map<string, OnnxConstant>();
  for (const tensor of graph.initializer ?? []) constants.set(tensor.name ?? '', constantOf(tensor, where));
  const nodes: OnnxNode[] = [];
  for (const { opType = '', name = '', domain = '', input = [], output = [], attribute = [] } of graph.node ?? []) {
    const stored = opType === 'Constant' ? attribute.find(({ t }) => t)?.t : undefined;
    if (stored) constants.set(output[0] ?? '', constantOf(stored, where));
    else
      nodes.push({
        opType,
        name: name || (output[0] ?? ''),
        domain,
        inputs: input,
        outputs: output,
        attributes: attributesOf(attribute, where),
      });
  }
  return {
    name: graph.name ?? '',
    inputs: (graph.input ?? []).filter(({ name }) => !constants.has(name)).map((input) => valueOf(input, where)),
    outputs: (graph.output ?? []).map(({ name }) => name),
    nodes,
    constants,
  };
}

/**
 * Reads an ONNX file whole, weights and all, as {@link encodeOnnx} would write it again. Names of intermediate
 * shapes and texts for people are left behind.
 * @param where names the file in errors.
 * @throws {InvalidFileError} when the bytes are not an ONNX model, keep weights elsewhere, or hold what is not
 * carried over: nested graphs, and constants of other types than float32, float16, int64, int32, int8 and uint8.
 */
export function decodeOnnx(bytes: Uint8Array, where: string): OnnxModel {
  const { graph, metadataProps = [], opsetImport = [] } = decodeModel(bytes, where);
  const initializers = (graph.initializer ?? []).map((tensor) => wholeTensor(tensor, where));
  const stored = new Set(initializers.map(({ name }) => name));
  return {
    name: graph.name ?? '',
    inputs: (graph.input ?? []).filter(({ name }) => !stored.has(name)).map((input) => valueOf(input, where)),
    outputs: (graph.output ?? []).map((output) => valueOf(output, where, 'output')),
    nodes: (graph.node ?? []).map(
      ({ opType = '', name = '', domain = '', input = [], output = [], attribute = [] }) => ({
        opType,
        name: name || (output[0] ?? ''),
        ...(domain ? { domain } : {}),
        inputs: input,
        outputs: output,
        attributes: Object.fromEntries(attribute.map((each) => [each.name, wholeAttribute(each, where)])),
      }),
    ),
    initializers,
    metadata: Object.fromEntries(metadataProps.map(({ key = '', value = '' }) => [key, value])),
    opsets: Object.fromEntries(opsetImport.map(({ domain = '', version = 0 }) => [domain, version])),
  };
}

function wholeTensor(tensor: TensorMessage, where: string): OnnxTensor {
  const { name = '', dims = [], dataType, dataLocation } = tensor;
  const what = `${where}: constant '${name}'`;
  if (dataLocation === externalLocation)
    throw new InvalidFileError(`${what}: expected its values in the file, got them in a file of their own`);
  const data = wholeData(tensor, dataTypeOf(dataType, what), what);
  const count = dims.reduce((product, extent) => product * extent, 1);
  if (data.length !== count) throw new InvalidFileError(`${what}: expected ${count} values, got ${data.length}`);
  return { name, dims, data };
}

/** Values in either of the two places a file may keep them. */
function wholeData(tensor: TensorMessage, dtype: OnnxDataType, what: string): TensorData {
  const { rawData, floatData = [], int32Data = [], int64Data = [] } = tensor;
  // A copy: views of more than a byte must begin at a multiple of their size.
  const raw = rawData?.length ? Uint8Array.from(rawData).buffer : undefined;
  switch (dtype) {
    case 'float32':
      return raw ? new Float32Array(raw) : Float32Array.from(floatData);
    case 'int64':
      return raw ? new BigInt64Array(raw) : BigInt64Array.from(int64Data, exactInt64);
    case 'int32':
      return raw ? new Int32Array(raw) : Int32Array.from(int32Data);
    case 'int8':
      return raw ? new Int8Array(raw) : Int8Array.from(int32Data);
    case 'uint8':
      return raw ? new Uint8Array(raw) : Uint8Array.from(int32Data);
    case 'float16':
      return raw ? new Uint16Array(raw) : Uint16Array.from(int32Data);
    default:
      throw new InvalidFileError(`${what}: expected float32, float16, int64, int32, int8 or uint8, got ${dtype}`);
  }
}

/** Numbers beyond 2⁵³ are ends of ranges such as the largest integer there is. */
function exactInt64(value: number): bigint {
  const most = 2n ** 63n - 1n;
  const exact = BigInt(value);
  return exact > most ? most : exact;
}

function wholeAttribute(
  { name, type, f = 0, i = 0, s, t, floats = [], ints = [] }: AttributeMessage,
  where: string,
): OnnxAttribute {
  switch (type) {
    case attributeTypes.float:
      return { float: f };
    case attributeTypes.int:
      return { int: i };
    case attributeTypes.string:
      return { string: new TextDecoder().decode(s) };
    case attributeTypes.floats:
      return { floats };
    case attributeTypes.ints:
      return { ints };
    case attributeTypes.tensor: {
      const { dims, data } = wholeTensor(t ?? {}, where);
      return { tensor: { dims, data } };
    }
    default:
      throw new InvalidFileError(
        `${where}: attribute '${name}': expected numbers, text or a tensor, got a nested graph or a list of ONNX type ${type ?? 0}`,
      );
  }
}

interface ModelMessage {
  readonly graph: GraphMessage;
  readonly opsetImport?: readonly { readonly domain?: string; readonly version?: number }[];
  readonly metadataProps?: readonly { readonly key?: string; readonly value?: string }[];
}

function decodeModel(bytes: Uint8Array, where: string): ModelMessage {
  try {
    const model = modelProto.toObject(modelProto.decode(bytes), { longs: Number }) as Partial<ModelMessage>;
    const { graph } = model;
    if (!graph?.node?.length) throw new Error('no graph in it');
    return { ...model, graph };
  } catch (cause) {
    throw new InvalidFileError(
      `${where}: expected an ONNX model, got ${bytes.length} bytes that are not one (${(cause as Error).message})`,
      { cause },
    );
  }
}

const dataTypeNames = new Map(Object.entries(dataTypes).map(([name, id]) => [id as number, name as OnnxDataType]));

function dataTypeOf(id: number | undefined, what: string): OnnxDataType {
  const name = dataTypeNames.get(id ?? 0);
  if (!name) throw new InvalidFileError(`${what}: expected a numeric element type of ONNX, got number ${id ?? 0}`);
  return name;
}

function valueOf({ name, type }: ValueMessage, where: string, role: 'input' | 'output' = 'input'): OnnxValue {
  const tensor = type?.tensorType;
  if (!tensor?.shape)
    throw new InvalidFileError(`${where}: ${role} '${name}': expected a tensor of declared rank, got none declared`);
  return {
    name,
    dtype: dataTypeOf(tensor.elemType, `${where}: ${role} '${name}'`),
    shape: (tensor.shape.dim ?? []).map(({ dimValue, dimParam }) => dimValue ?? dimParam ?? ''),
  };
}

function constantOf(tensor: TensorMessage, where: string): OnnxConstant {
  const dims = tensor.dims ?? [];
  const dtype = dataTypeOf(tensor.dataType, `${where}: constant '${tensor.name ?? ''}'`);
  const count = dims.reduce((product, extent) => product * extent, 1);
  const values = count <= keptValues && tensor.dataLocation !== externalLocation ? valuesOf(tensor, dtype) : undefined;
  return values?.length === count ? { dtype, dims, values } : { dtype, dims };
}

/** Values in either of the two places a file may keep them; none of types that no shape is made of. */
function valuesOf(tensor: TensorMessage, dtype: OnnxDataType): readonly number[] | undefined {
  const raw = tensor.rawData;
  if (!raw?.length) return tensor.int64Data ?? tensor.int32Data ?? tensor.floatData ?? tensor.doubleData ?? [];
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const each = (size: number, read: (offset: number) => number) =>
    Array.from({ length: Math.floor(raw.byteLength / size) }, (_, index) => read(index * size));
  switch (dtype) {
    case 'float32':
      return each(4, (offset) => view.getFloat32(offset, true));
    case 'float64':
      return each(8, (offset) => view.getFloat64(offset, true));
    case 'int64':
      return each(8, (offset) => Number(view.getBigInt64(offset, true)));
    case 'int32':
      return each(4, (offset) => view.getInt32(offset, true));
    case 'uint8':
    case 'bool':
      return each(1, (offset) => view.getUint8(offset));
    default:
      return undefined;
  }
}

function attributesOf(messages: readonly AttributeMessage[], where: string): Readonly<Record<string, OnnxAttribute>> {
  return Object.fromEntries(
    messages.flatMap(({ name, type, f = 0, i = 0, s, t, floats = [], ints = [] }): [string, OnnxAttribute][] => {
      switch (type) {
        case attributeTypes.float:
          return [[name, { float: f }]];
        case attributeTypes.int:
          return [[name, { int: i }]];
        case attributeTypes.string:
          return [[name, { string: new TextDecoder().decode(s) }]];
        case attributeTypes.floats:
          return [[name, { floats }]];
        case attributeTypes.ints:
          return [[name, { ints }]];
        case attributeTypes.tensor:
          return [[name, { floats: (t && constantOf(t, where).values) ?? [] }]];
        default:
          // Graphs are attributes of operators that are refused by name, not here.
          return [];
      }
    }),
  );
}
