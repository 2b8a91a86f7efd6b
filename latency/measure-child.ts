import { onnxRuntimeAccelerator, type ProviderId, providerIds } from '../accelerators/onnxruntime.ts';
import { convolutionKernel } from '../accelerators/probe.ts';
import { serveChild } from '../core/child.ts';
import { systemClock } from '../core/clock.ts';
import { ConfigError } from '../core/errors.ts';
import { precisionOn } from './file-precision.ts';
import { fingerprint } from './fingerprint.ts';
import { hostLoad } from './host-load.ts';
import type { Fingerprint, Latency } from './latency.ts';
import { measure, type MeasureProgress, type MeasureRequest, steadyClock } from './measure.ts';
import { modelBytes } from './model-file.ts';
import { measureOffline } from './offline.ts';
import { placementIn, type PlacementRequest } from './placed-nodes.ts';
import { openReference, type Reference } from './reference.ts';
import type { Offline, Server, ServerQuestion } from './scenario.ts';
import { measureServer } from './server.ts';

/** A measurement whose model may be named by its path. */
export type MeasureTask = Omit<MeasureRequest, 'model'> &
  Pick<PlacementRequest, 'allowFallback'> & {
    readonly model: string | Uint8Array;
    /** The reference's time in earlier quiet measurements, where a ledger knows it. */
    readonly quietReferenceMs?: number;
    /** A single stream when left out. */
    readonly scenario?: 'offline' | ServerQuestion;
  };

/** The question what a measurement of a provider would be stamped with. */
export interface FingerprintTask {
  readonly fingerprintOf: string;
}

const load = hostLoad();
const clock = steadyClock(systemClock);
const references = new Map<string, Reference>();

type Answer = Latency | Offline | Server | Fingerprint;

serveChild<MeasureTask | FingerprintTask, Answer, MeasureProgress>(async (task, { emit, signal }) => {
  if ('fingerprintOf' in task) return fingerprintOf(providerOf(task.fingerprintOf));
  const { threads } = task.setting;
  const id = providerOf(task.setting.accelerator);
  const accelerator = onnxRuntimeAccelerator(id, task);
  const model = await modelBytes(task.model);
  const precision = precisionOn(id, model, task.precision);
  const reference = references.get(`${id} ${threads}`) ?? (await openReference(accelerator, threads, clock));
  references.set(`${id} ${threads}`, reference);
  const placement = await placementIn(accelerator, model, task);
  const { quietReferenceMs, scenario, allowFallback: _, ...request } = { ...task, model, precision };
  const quiet = quietReferenceMs === undefined ? {} : { quietReferenceMs };
  const witnesses = { reference, ...(load ? { load } : {}), clock, signal, ...quiet };
  const context = { ...witnesses, accelerator, fingerprint: fingerprint(id), onProgress: emit };
  if (scenario === undefined) return { ...(await measure(request, context)), ...placement };
  if (scenario === 'offline') {
    const offline = await measureOffline(request, context);
    return { ...offline, latency: { ...offline.latency, ...placement } };
  }
  const server = await measureServer(request, context, scenario);
  return { ...server, service: { ...server.service, ...placement } };
});

/** With a session open; its device is the one that measurements get. */
async function fingerprintOf(id: ProviderId): Promise<Fingerprint> {
  const session = await onnxRuntimeAccelerator(id).open(convolutionKernel(16, 12).model, { threads: 1 });
  try {
    return fingerprint(id);
  } finally {
    await session.close();
  }
}

function providerOf(id: string): ProviderId {
  if (!isProvider(id)) throw new ConfigError(`expected an accelerator among ${providerIds.join(', ')}, got '${id}'`);
  return id;
}

function isProvider(id: string): id is ProviderId {
  return (providerIds as readonly string[]).includes(id);
}
