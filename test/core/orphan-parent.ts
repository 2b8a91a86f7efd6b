import { childEntry, openChild } from '../../core/child.ts';
import type { Task } from './tasks-child.ts';

// A parent for child.test.ts to kill: tells its own parent the pid of its child, then waits.
const child = openChild<Task, number>({ entry: childEntry(import.meta.url, './tasks-child') });
const { output } = await child.call({ do: 'pid' });
process.send?.(output);
