import type { RidgepointError } from '../core/errors.ts';

/** What a worker tells of its jobs and of Redis, for logs and metrics. */
export type WorkerEvent =
  | { readonly type: 'begun'; readonly queue: string; readonly job: string; readonly waitedMs: number }
  | {
      readonly type: 'ended';
      readonly queue: string;
      readonly job: string;
      /** `given-back` jobs are done by others, or later. */
      readonly how: 'completed' | 'failed' | 'given-back';
      readonly tookMs: number;
      readonly error?: Pick<RidgepointError, 'code' | 'message'>;
    }
  | { readonly type: 'redis'; readonly up: boolean };

/** What a study tells of the jobs that it asks for. */
export interface AskEvent {
  readonly type: 'asked' | 'answered' | 'failed' | 'taken back';
  readonly queue: string;
  readonly job: string;
  /** Why it failed. */
  readonly error?: Pick<RidgepointError, 'code' | 'message'>;
}
