import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const builtChild = fileURLToPath(new URL('test/built-child.ts', import.meta.url));

/** Where the sources start child processes, tests start them compiled: test/built.ts says why. */
const compiledChildren = {
  name: 'compiled-children',
  enforce: 'pre',
  resolveId(source: string, importer: string | undefined) {
    if (!source.endsWith('core/child.ts') || !importer || importer === builtChild) return undefined;
    return builtChild;
  },
} as const;

const slow = 'test/**/*.slow.test.ts';

export default defineConfig({
  test: {
    maxWorkers: 2,
    reporters: ['default', './test/count-reporter.ts'],
    projects: [
      {
        plugins: [compiledChildren],
        test: {
          name: 'plain',
          include: ['test/**/*.test.ts'],
          exclude: [slow],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          // What is waited for comes when the machine comes to it; by default one second is all.
          expect: { poll: { timeout: 60_000 } },
          setupFiles: ['test/setup.ts'],
          globalSetup: ['test/built.ts'],
          pool: 'forks',
          maxWorkers: 2,
        },
      },
      {
        plugins: [compiledChildren],
        test: {
          name: 'slow',
          include: process.env['RIDGEPOINT_SLOW'] ? [slow] : [],
          globalSetup: ['test/built.ts'],
          testTimeout: 1_200_000,
          pool: 'forks',
          maxWorkers: 1,
        },
      },
    ],
    passWithNoTests: true,
  },
});
