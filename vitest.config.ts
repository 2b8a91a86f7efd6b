import { defineConfig } from 'vitest/config';

const slow = 'test/**/*.slow.test.ts';

export default defineConfig({
  test: {
    maxWorkers: 2,
    reporters: ['default', './test/count-reporter.ts'],
    projects: [
      {
        test: {
          name: 'plain',
          include: ['test/**/*.test.ts'],
          exclude: [slow],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          // What is waited for comes when the machine comes to it; by default one second is all.
          expect: { poll: { timeout: 60_000 } },
          setupFiles: ['test/setup.ts'],
          pool: 'forks',
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'slow',
          include: process.env['RIDGEPOINT_SLOW'] ? [slow] : [],
          testTimeout: 1_200_000,
          pool: 'forks',
          maxWorkers: 1,
        },
      },
    ],
    passWithNoTests: true,
  },
});
