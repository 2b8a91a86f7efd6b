import { onnxRuntimeAccelerator } from '../accelerators/onnxruntime.ts';
import { serveChild } from '../core/child.ts';
import { readDatasetFile } from '../data/cache.ts';
import type { Dataset } from '../data/dataset.ts';
import { scoreUntrained, type ZeroCostAssignment, type ZeroCostScores } from './zero-cost-proxies.ts';

let read: { readonly file: string; readonly dataset: Dataset } | undefined;

serveChild<ZeroCostAssignment, ZeroCostScores>(async ({ spec, dataFile, ...options }) => {
  if (read?.file !== dataFile) read = { file: dataFile, dataset: await readDatasetFile(dataFile) };
  return scoreUntrained(onnxRuntimeAccelerator('cpu'), spec, read.dataset, options);
});
