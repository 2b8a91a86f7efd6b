import { ConfigError } from '../../core/errors.ts';
import { serveChild } from '../../core/child.ts';

/** What child.test.ts asks its child to do. */
export type Task =
  | { readonly do: 'double'; readonly values: Float32Array }
  | { readonly do: 'count'; readonly to: number }
  | { readonly do: 'reject' }
  | { readonly do: 'exit'; readonly code: number }
  | { readonly do: 'abort' }
  | { readonly do: 'wait'; readonly cooperative: boolean }
  | { readonly do: 'allocate'; readonly bytes: number }
  | { readonly do: 'pid' };

serveChild<Task, unknown, number | string>(async (task, { emit, signal }) => {
  switch (task.do) {
    case 'double':
      return task.values.map((value) => value * 2);
    case 'count':
      for (let step = 1; step <= task.to; step++) emit(step);
      return task.to;
    case 'reject':
      throw new ConfigError('expected a width above 0, got -1');
    case 'exit':
      process.stderr.write('the driver is not amused\n', () => process.exit(task.code));
      return new Promise(() => {});
    case 'abort':
      return process.abort();
    case 'wait':
      emit('waiting');
      return new Promise((resolve) => {
        if (task.cooperative) signal.addEventListener('abort', () => resolve('stopped'));
      });
    case 'allocate':
      return new Uint8Array(task.bytes).fill(1).length;
    case 'pid':
      return process.pid;
    default:
      throw new Error(`expected a known task, got ${JSON.stringify(task satisfies never)}`);
  }
});
