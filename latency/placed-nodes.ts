import type { Accelerator, Session } from '../accelerators/accelerator.ts';
import { verifyPlacement } from '../accelerators/placement.ts';
import { randomInputs } from './inputs.ts';
import type { Latency, LatencySetting } from './latency.ts';

export interface PlacementRequest {
  readonly setting: LatencySetting;
  /** Measure a model that does not run whole on the accelerator; its record says which share ran where. */
  readonly allowFallback?: boolean | undefined;
}

/**
 * What the record of a measurement says of where its nodes ran, from one run before it; nothing on the CPU, which
 * nothing falls back from.
 * @throws {ConfigError} when the model's axes do not fit the batch.
 * @throws {UnsupportedModelError} naming the nodes that the accelerator does not run, unless that is allowed.
 * @throws {RidgepointError} what opening and running throw.
 */
export async function placementIn(
  accelerator: Accelerator,
  model: Uint8Array,
  { setting, allowFallback }: PlacementRequest,
): Promise<Pick<Latency, 'placement'>> {
  if (accelerator.id === 'cpu') return {};
  const { batch, threads } = setting;
  const feeds = (inputs: Session['inputs']) => randomInputs(inputs, batch);
  return { placement: (await verifyPlacement(accelerator, model, { feeds, threads, allowFallback })).byProvider };
}
