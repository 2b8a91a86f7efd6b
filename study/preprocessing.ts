import { resizeFilter } from '../data/resize.ts';
import type { Preprocessing } from '../models/export.ts';
import type { DataDescription } from './context.ts';

/** How pixels of this study's data become a network's input. */
export function preprocessingOf(
  data: Pick<DataDescription, 'channels' | 'mean' | 'std' | 'classNames' | 'fit'>,
): Preprocessing {
  const channelOrder = data.channels === 3 ? 'RGB' : data.channels === 1 ? 'grey' : 'as-stored';
  return { channelOrder, fit: data.fit, mean: data.mean, std: data.std, resizeFilter, classNames: data.classNames };
}
