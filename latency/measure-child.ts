import { onnxRuntimeAccelerator, type ProviderId, providerIds } from '../accelerators/onnxruntime.ts';
import { serveChild } from '../core/child.ts';
import { systemClock } from '../core/clock.ts';
import { ConfigError } from '../core/errors.ts';
import { precisionOn } from './file-precision.ts';
import { fingerprint } from './fingerprint.ts';
import type { Latency } from './latency.ts';
import { measure, type MeasureProgress, type MeasureRequest, steadyClock } from './measure.ts';
import { modelBytes } from './model-file.ts';
import { placementIn, type PlacementRequest } from './placed-nodes.ts';
import { openReference, type Reference } from './reference.ts';

/** A measurement whose model may be named by its path. */
export type MeasureTask = Omit<MeasureRequest, 'model'> &
  Pick<PlacementRequest, 'allowFallback'> & { readonly model: string | Uint8Array };

const clock = steadyClock(systemClock);
const references = new Map<string, Reference>();

serveChild<MeasureTask, Latency, MeasureProgress>(async (task, { emit, signal }) => {
  const { accelerator: id, threads } = task.setting;
  if (!isProvider(id)) throw new ConfigError(`expected an accelerator among ${providerIds.join(', ')}, got '${id}'`);
  const accelerator = onnxRuntimeAccelerator(id, task);
  const model = await modelBytes(task.model);
  const precision = precisionOn(id, model, task.precision);
  const reference = references.get(`${id} ${threads}`) ?? (await openReference(accelerator, threads, clock));
  references.set(`${id} ${threads}`, reference);
  const placement = await placementIn(accelerator, model, task);
  const context = { accelerator, reference, clock, fingerprint: fingerprint(id), signal, onProgress: emit };
  return { ...(await measure({ ...task, model, precision }, context)), ...placement };
});

function isProvider(id: string): id is ProviderId {
  return (providerIds as readonly string[]).includes(id);
}
