import { Root, type Type } from 'protobufjs/light.js';
import { crc32c } from './crc32c.ts';
import type { RunEnd, RunParameter, RunPoint, RunStart } from './run-log.ts';

// TensorBoard's event files: TFRecords, each an `Event` message. Field numbers are those of TensorBoard's event.proto,
// summary.proto, tensor.proto and plugins/hparams/plugin_data.proto; fields we do not write are left out.

const optional = (type: string, id: number) => ({ type, id });
const repeated = (type: string, id: number) => ({ type, id, rule: 'repeated' });

const root = Root.fromJSON({
  nested: {
    Dimension: { fields: { size: optional('int64', 1) } },
    TensorShape: { fields: { dim: repeated('Dimension', 2) } },
    Tensor: { fields: { dtype: optional('int32', 1), shape: optional('TensorShape', 2) } },
    PluginData: { fields: { pluginName: optional('string', 1), content: optional('bytes', 2) } },
    Metadata: { fields: { pluginData: optional('PluginData', 1) } },
    Value: {
      fields: {
        tag: optional('string', 1),
        simpleValue: optional('float', 2),
        tensor: optional('Tensor', 8),
        metadata: optional('Metadata', 9),
      },
    },
    Summary: { fields: { value: repeated('Value', 1) } },
    Event: {
      fields: {
        wallTime: optional('double', 1),
        step: optional('int64', 2),
        fileVersion: optional('string', 3),
        summary: optional('Summary', 5),
      },
    },
    Parameter: {
      oneofs: { kind: { oneof: ['number', 'text', 'truth'] } },
      fields: { number: optional('double', 2), text: optional('string', 3), truth: optional('bool', 4) },
    },
    Entry: { fields: { key: optional('string', 1), value: optional('Parameter', 2) } },
    SessionStart: {
      fields: {
        // A map, which is stored as its entries.
        parameters: repeated('Entry', 1),
        startedS: optional('double', 5),
      },
    },
    SessionEnd: { fields: { status: optional('int32', 1), endedS: optional('double', 2) } },
    SessionData: { fields: { start: optional('SessionStart', 3), end: optional('SessionEnd', 4) } },
  },
});
const message = (name: string): Type => root.lookupType(name);
const encode = (name: string, value: object): Uint8Array => message(name).encode(message(name).create(value)).finish();

/** What a file begins with: its version, and the run's parameters as TensorBoard's HParams page reads them. */
export function startRecords({ parameters, startedMs }: RunStart): Uint8Array {
  const entries = Object.entries(parameters).map(([key, value]) => ({ key, value: parameterOf(value) }));
  const start = { parameters: entries, startedS: startedMs / 1000 };
  return Buffer.concat([
    event(startedMs, { fileVersion: 'brain.Event:2' }),
    sessionEvent(startedMs, '_hparams_/session_start_info', { start }),
  ]);
}

/** Scalars of one moment; those that are not finite are left out, for nothing can be drawn of them. */
export function pointRecord({ step, atMs, values }: RunPoint): Uint8Array {
  const finite = Object.entries(values).filter(([, value]) => Number.isFinite(value));
  return event(atMs, { step, summary: { value: finite.map(([tag, simpleValue]) => ({ tag, simpleValue })) } });
}

/** How the run ended. */
export function endRecord({ status, endedMs }: RunEnd): Uint8Array {
  const statuses = { finished: 1, failed: 2, killed: 0 } as const;
  const end = { status: statuses[status], endedS: endedMs / 1000 };
  return sessionEvent(endedMs, '_hparams_/session_end_info', { end });
}

function parameterOf(value: RunParameter): object {
  if (typeof value === 'number') return { number: value };
  return typeof value === 'boolean' ? { truth: value } : { text: value };
}

/** The HParams page keeps its data in a summary's metadata, beside an empty tensor. */
function sessionEvent(atMs: number, tag: string, data: object): Uint8Array {
  const tensor = { dtype: 1, shape: { dim: [{ size: 0 }] } };
  const metadata = { pluginData: { pluginName: 'hparams', content: encode('SessionData', data) } };
  return event(atMs, { summary: { value: [{ tag, tensor, metadata }] } });
}

function event(atMs: number, content: object): Uint8Array {
  return tfRecord(encode('Event', { wallTime: atMs / 1000, ...content }));
}

/**
 * One TFRecord: length (uint64, little-endian), masked CRC-32C of it, data, masked CRC-32C of the data.
 * @see TensorFlow, "TFRecord and tf.train.Example", TFRecords format details.
 */
export function tfRecord(data: Uint8Array): Uint8Array {
  const header = Buffer.alloc(12);
  header.writeBigUInt64LE(BigInt(data.length));
  header.writeUInt32LE(maskedCrc(header.subarray(0, 8)), 8);
  const footer = Buffer.alloc(4);
  footer.writeUInt32LE(maskedCrc(data));
  return Buffer.concat([header, data, footer]);
}

/** Rotated and shifted, so that a CRC of data that holds CRCs is no special case. */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
