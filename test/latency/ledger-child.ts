import { readFileSync } from 'node:fs';
import { latencySchema } from '../../latency/latency.ts';
import { Ledger } from '../../latency/ledger.ts';
import { protocols } from '../../latency/protocol.ts';

// Adds many latencies to a ledger that others write, too.

const [path, count] = process.argv.slice(2) as [string, string];
const latency = latencySchema.parse(
  JSON.parse(readFileSync(new URL('../fixtures/latency.json', import.meta.url), 'utf8')) as unknown,
);
const ledger = new Ledger(path);
for (let index = 0; index < Number(count); index++)
  ledger.add(
    {
      model: `sha256:${String(index).padStart(64, '0')}`,
      accelerator: 'cpu',
      batch: 1,
      threads: 1,
      precision: 'fp32',
      scenario: 'single-stream',
      percentile: 50,
      protocol: protocols.quick,
    },
    { ...latency, samplesMs: Array.from({ length: 200 }, () => Math.random()) },
    {},
    new Date(0),
  );
