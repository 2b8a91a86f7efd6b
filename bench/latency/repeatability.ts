import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { measureInChild } from '../../latency/isolate.ts';
import type { Latency } from '../../latency/latency.ts';
import { candidateModel } from '../../latency/model-file.ts';
import { protocolPresets, protocols } from '../../latency/protocol.ts';
import { quantile } from '../../core/quantile.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { loadNetwork } from '../../scaling/built-in-networks.ts';

// Does a measurement repeat, and does it say so when it does not? Every network is measured twice with nothing
// started beside it, then with a process that keeps another core busy: arithmetic, then memory. Each measurement is a
// process of its own, as `ridgepoint measure` is. What is promised: quiet pairs within 5 %, or one of them said
// `unstable`; loaded ones `unstable`, or within 5 % of the quiet figure.

const { values } = parseArgs({
  options: {
    protocol: { type: 'string', default: 'thorough' },
    rounds: { type: 'string', default: '2' },
    only: { type: 'string', multiple: true },
    /** Loads to start; none leaves the quiet pairs only. */
    loads: { type: 'string', default: 'convolutions,copies' },
    /** Compare the reference kernel with its time in quiet measurements so far, as a ledger does. */
    remember: { type: 'boolean', default: false },
  },
});
const preset = protocolPresets.find((name) => name === values.protocol) ?? 'thorough';
const protocol = protocols[preset];
const loads = values.loads.split(',').filter((name) => name !== '');

const networks = [
  { name: 'mobilenet-v3-small', resolution: 64 },
  { name: 'mobilenet-v2', resolution: 96 },
  { name: 'efficientnet-b0', resolution: 128 },
  { name: 'regnet-y-400mf', resolution: 128 },
  { name: 'resnet-18', resolution: 128 },
]
  .filter(({ name }) => values.only?.includes(name) ?? true)
  .map(({ name, resolution }) => {
    const spec = loadNetwork(name);
    const resized = parseNetworkSpec({ ...spec, input: { ...spec.input, resolution } }, name);
    return { name: `${name}@${resolution}`, model: candidateModel(resized, 1) };
  });

const within = 0.05;
const apart = (a: number, b: number): number => Math.exp(Math.abs(Math.log(a / b))) - 1;
const referencesMs: number[] = [];

async function measured(model: Uint8Array): Promise<Latency> {
  const known = values.remember && referencesMs.length >= 3;
  const setting = { accelerator: 'cpu', batch: 1, threads: 1 };
  return measureInChild({
    model,
    setting,
    protocol,
    ...(known ? { quietReferenceMs: quantile(Float64Array.from(referencesMs).sort(), 0.1) } : {}),
  });
}

async function startLoad(kind: string): Promise<ChildProcess> {
  const loader = import.meta.resolve('tsx');
  const entry = fileURLToPath(new URL('./load-child.ts', import.meta.url));
  const child = fork(entry, [kind], { execArgv: ['--import', loader] });
  await once(child, 'message');
  await sleep(300);
  return child;
}

async function endLoad(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

const tell = (name: string, condition: string, { p50Ms, intervalMs, stable, drift, otherLoad, ...latency }: Latency) =>
  console.log(
    [
      name.padEnd(22),
      condition.padEnd(13),
      `p50 ${p50Ms.toPrecision(4)} ms`.padEnd(14),
      `±${(100 * (intervalMs.hi / p50Ms - 1)).toFixed(1)} %`.padEnd(8),
      stable ? 'stable  ' : 'unstable',
      `others ${(100 * (otherLoad ?? Number.NaN)).toFixed(0)} % of the host`,
      `drift ${(100 * drift).toFixed(0)} %, reference ${latency.referenceMs?.toPrecision(3)} ms`,
      `${latency.sessions} sessions, ${latency.rejectedBlocks} rejected`,
    ].join('  '),
  );

interface Outcome {
  readonly name: string;
  readonly quiet: Latency[];
  readonly loaded: { readonly kind: string; readonly latency: Latency }[];
}
const outcomes: Outcome[] = networks.map(({ name }) => ({ name, quiet: [], loaded: [] }));

for (let round = 0; round < Number(values.rounds); round++)
  for (const kind of ['none', 'none', ...loads]) {
    const load = kind === 'none' ? undefined : await startLoad(kind);
    for (const [index, { name, model }] of networks.entries()) {
      const latency = await measured(model);
      tell(name, kind, latency);
      const outcome = outcomes[index];
      if (kind === 'none') {
        outcome?.quiet.push(latency);
        if (latency.referenceMs !== undefined) referencesMs.push(latency.referenceMs);
      } else outcome?.loaded.push({ kind, latency });
    }
    if (load) await endLoad(load);
  }

// Every two quiet measurements of one network are a pair.
const pairs = outcomes.flatMap(({ quiet }) =>
  quiet.flatMap((a, index) => quiet.slice(index + 1).map((b) => [a, b] as const)),
);
const bothStable = pairs.filter(([a, b]) => a.stable && b.stable);
const repeated = bothStable.filter(([a, b]) => apart(a.p50Ms, b.p50Ms) <= within);
const share = (part: number, of: number): string =>
  `${part} of ${of} (${of === 0 ? '–' : ((100 * part) / of).toFixed(0)} %)`;
console.log(`\n${preset}, ${networks.length} networks`);
console.log(
  `quiet pairs within 5 %, or one said unstable: ${share(pairs.length - bothStable.length + repeated.length, pairs.length)}`,
);
console.log(`  of pairs that both said stable, within 5 %: ${share(repeated.length, bothStable.length)}`);
const quiet = outcomes.flatMap((outcome) => outcome.quiet);
console.log(
  `  quiet measurements that said stable: ${share(quiet.filter(({ stable }) => stable).length, quiet.length)}`,
);

for (const kind of loads) {
  // The quiet figure: the median of stable quiet ones, or of all where none was.
  const loaded = outcomes.flatMap((outcome) => {
    const stable = outcome.quiet.filter((latency) => latency.stable);
    const known = (stable.length > 0 ? stable : outcome.quiet).map(({ p50Ms }) => p50Ms).toSorted((a, b) => a - b);
    const figureMs = quantile(known, 0.5);
    return outcome.loaded
      .filter((one) => one.kind === kind)
      .map(({ latency }) => ({ latency, apart: apart(latency.p50Ms, figureMs) }));
  });
  const unstable = loaded.filter(({ latency }) => !latency.stable);
  const near = loaded.filter((one) => one.latency.stable && one.apart <= within);
  console.log(
    `beside ${kind}: unstable, or within 5 % of the quiet figure: ${share(unstable.length + near.length, loaded.length)}; ` +
      `${unstable.length} unstable, ${near.length} stable and within; off by more than 5 % whatever they said: ${loaded.filter((one) => one.apart > within).length}`,
  );
}
