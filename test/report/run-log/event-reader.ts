import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

// Reads event files back without what wrote them: TFRecords by hand, messages by protobuf's wire format, CRCs bit by bit.

/** Values of one event: its step, time in seconds and scalars. */
export interface ReadEvent {
  readonly step: number;
  readonly wallTimeS: number;
  readonly fileVersion?: string;
  readonly scalars: Readonly<Record<string, number>>;
  /** Tags that hold data of a plug-in, with that data's bytes. */
  readonly plugins: Readonly<Record<string, Buffer>>;
}

/** Events of all files of a run's folder, by file name. */
export function readRun(folder: string): ReadEvent[] {
  const files = readdirSync(folder).toSorted();
  return files.flatMap((file) => readRecords(readFileSync(join(folder, file))).map(readEvent));
}

function readRecords(bytes: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(at));
    const data = bytes.subarray(at + 12, at + 12 + length);
    const crcs = [bytes.readUInt32LE(at + 8), bytes.readUInt32LE(at + 12 + length)];
    const expected = [slowCrc(bytes.subarray(at, at + 8)), slowCrc(data)].map(mask);
    if (crcs.join() !== expected.join()) throw new Error(`record at ${at}: expected CRCs ${expected}, got ${crcs}`);
    records.push(data);
    at += 16 + length;
  }
  return records;
}

function mask(crc: bigint): bigint {
  return (((crc >> 15n) | (crc << 17n)) + 0xa282ead8n) & 0xffffffffn;
}

/** CRC-32C as polynomial division, the polynomial unreflected, bits of a byte from the lowest. */
function slowCrc(bytes: Uint8Array): bigint {
  let remainder = 0xffffffffn;
  for (const byte of bytes)
    for (let bit = 0; bit < 8; bit++) {
      const isOut = ((remainder >> 31n) & 1n) !== BigInt((byte >> bit) & 1);
      remainder = ((remainder << 1n) & 0xffffffffn) ^ (isOut ? 0x1edc6f41n : 0n);
    }
  const bits = (remainder ^ 0xffffffffn).toString(2).padStart(32, '0');
  return BigInt(`0b${[...bits].toReversed().join('')}`);
}

type Field = { readonly id: number; readonly value: bigint | Buffer };

function fieldsOf(message: Buffer): Field[] {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++] as number;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number): Buffer => message.subarray(at, (at += length));
  const fields: Field[] = [];
  while (at < message.length) {
    const key = Number(varint());
    const [id, wire] = [key >> 3, key & 7];
    if (wire === 0) fields.push({ id, value: varint() });
    else fields.push({ id, value: take(wire === 1 ? 8 : wire === 5 ? 4 : Number(varint())) });
  }
  return fields;
}

function readEvent(record: Buffer): ReadEvent {
  const fields = new Map(fieldsOf(record).map(({ id, value }) => [id, value]));
  const values = fieldsOf((fields.get(5) ?? Buffer.alloc(0)) as Buffer).map(({ value }) => {
    const found = new Map(fieldsOf(value as Buffer).map((field) => [field.id, field.value]));
    return { tag: String(found.get(1)), scalar: found.get(2) as Buffer | undefined, metadata: found.get(9) };
  });
  const version = fields.get(3);
  return {
    step: Number(fields.get(2) ?? 0n),
    wallTimeS: (fields.get(1) as Buffer).readDoubleLE(),
    ...(version !== undefined && { fileVersion: String(version) }),
    scalars: Object.fromEntries(
      values.flatMap(({ tag, scalar }) => (scalar ? [[tag, scalar.readFloatLE()] as const] : [])),
    ),
    plugins: Object.fromEntries(
      values.flatMap(({ tag, metadata }) => (metadata ? [[tag, metadata as Buffer] as const] : [])),
    ),
  };
}
