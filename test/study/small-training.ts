import { dataSourceSchema } from '../../data/source.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import type { TrainNetworkRequest } from '../../study/train/train-network.ts';

const network = parseNetworkSpec(
  {
    input: { channels: 3, resolution: 16 },
    classes: 2,
    stem: { kernel: 3, stride: 2, width: 8 },
    stages: [{ operator: 'fused-mbconv', kernel: 3, stride: 2, expansion: 2, width: 8, repeats: 1 }],
    head: { width: 0 },
  },
  'test network',
);

/** A network that trains in a second. */
export function networkRequest(folder: string, overrides: Partial<TrainNetworkRequest> = {}): TrainNetworkRequest {
  return {
    network,
    data: dataSourceSchema.parse({ format: 'rendered', classes: 2, train: 60, test: 20, resolution: 16 }),
    baseDirectory: folder,
    trainer: { batchSize: 8 },
    fidelity: { examples: 960, seed: 1 },
    threads: 1,
    folder,
    ...overrides,
  };
}
