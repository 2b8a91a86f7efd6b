import { describe, expect, it } from 'vitest';
import type { Presence } from '../../jobs/presence.ts';
import { type QueueState, whyNotTaken, whyQueued } from '../../jobs/waiting.ts';

const worker = (host: string, offers: Partial<Presence>): Presence => ({
  schema: 1,
  id: host,
  host,
  pid: 1,
  version: '0',
  trainers: [],
  slots: 0,
  devices: [],
  memoryBytes: 0,
  jobs: [],
  ...offers,
});
const queue = (name: string, state: Partial<QueueState> = {}): QueueState => ({
  queue: name,
  waiting: 37,
  delayed: 0,
  active: 0,
  failed: 0,
  precisions: {},
  ...state,
});

describe('why jobs wait', () => {
  const node7 = worker('node7', { devices: ['trt-a100'], precisions: { 'trt-a100': ['fp32'] } });
  const node9 = worker('node9', { devices: ['cpu'], trainers: ['built-in'], slots: 4 });

  it('names the nearest worker where a device measures in another precision', () => {
    expect(whyQueued(queue('measure.trt-a100', { precisions: { fp16: 37 } }), [node9, node7])).toEqual([
      '37 wait: nobody offers trt-a100/fp16; nearest: node7, fp32',
    ]);
  });

  it('are given alone by whoever asks only whether somebody can do them', () => {
    expect(whyNotTaken(queue('train.built-in', { active: 4 }), [node9])).toBeUndefined();
    expect(whyNotTaken(queue('measure.trt-a100'), [node9, node7])).toBeUndefined();
    expect(whyNotTaken(queue('measure.tpu'), [node9])).toBe('nobody offers tpu; nearest: node9, cpu');
    expect(whyNotTaken(queue('train.built-in'), [])).toContain('there is no worker');
  });

  it('takes a program that does not tell for one that can', () => {
    const untold = worker('node8', { devices: ['trt-a100'] });
    expect(whyQueued(queue('measure.trt-a100', { precisions: { fp16: 1 } }), [node7, untold])).toEqual([
      '37 wait: 2 workers with 2 slots do 0 now and take more',
    ]);
  });

  it('names the nearest device where nobody has it', () => {
    expect(whyQueued(queue('measure.trt-h100', { precisions: { fp16: 37 } }), [node9, node7])).toEqual([
      '37 wait: nobody offers trt-h100/fp16; nearest: node7, trt-a100 in fp32',
    ]);
    expect(whyQueued(queue('measure.tpu'), [worker('node1', { trainers: ['built-in'], slots: 1 })])).toEqual([
      '37 wait: nobody offers tpu; no worker offers any device',
    ]);
  });

  it('tells those who are busy from those who cannot', () => {
    expect(whyQueued(queue('train.built-in', { active: 4 }), [node9])).toEqual([
      '37 wait: 1 worker with 4 slots is busy with 4',
    ]);
    expect(whyQueued(queue('train.torch@3'), [node9])).toEqual([
      '37 wait: nobody trains with torch@3; workers train with built-in',
    ]);
    expect(whyQueued(queue('train.tfjs'), [node9])).toEqual([
      '37 wait: nobody trains with tfjs; workers train with built-in',
    ]);
    expect(whyQueued(queue('train.torch@3', { waiting: 0, delayed: 2 }), [node9])).toEqual([
      '2 put off: further attempts, after a pause',
    ]);
    expect(whyQueued(queue('train.torch@3'), [])).toEqual([
      '37 wait: there is no worker; start one with "ridgepoint worker --redis …"',
    ]);
  });
});
