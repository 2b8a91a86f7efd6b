import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { latencySchema } from '../../latency/latency.ts';

it.each(['latency', 'latency-witnessed'])('a record is read as it was written (%s.json)', (name) => {
  const text = readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), 'utf8');
  const record = JSON.parse(text) as unknown;
  expect(latencySchema.parse(record)).toEqual(record);
});
