import { describe, expect, it } from 'vitest';
import { report, type Run } from '../../../bench/progressive/report.ts';

function runsOf(schedule: string, equal: Run['equal'], cpuS: number | null, accuracies: readonly number[]): Run[] {
  return accuracies.map((accuracy, seed) => {
    const id = `${schedule} ${equal} ${seed}`;
    return { id, task: 'signs', seed, schedule, equal, examples: 100, accuracy, trainS: 10, cpuS, flops: 1e9 };
  });
}

const fixed = runsOf('fixed', 'examples', 20, [0.8, 0.8]);

describe('the report of schedules', () => {
  it('interpolates the time to equal accuracy between a schedule’s lengths', () => {
    // Half way from .7 to .9 in accuracy is half way from 8 to 12.5 s in ln time: 10 s.
    const runs = [
      ...fixed,
      ...runsOf('a', 'examples', 8, [0.7, 0.7]),
      ...runsOf('a', 'multiply-adds', 12.5, [0.9, 0.9]),
    ];
    expect(report(runs)).toContain('a: the accuracy without a schedule in 2.00 times less CPU (95 %: 2.00–2.00)');
  });

  it('gives a bound where a schedule is more accurate at all of its lengths, or less', () => {
    const better = runsOf('better', 'examples', 10, [0.9, 0.9]);
    const worse = runsOf('worse', 'examples', 10, [0.7, 0.7]);
    const text = report([...fixed, ...better, ...worse]);
    expect(text).toContain('better: the accuracy without a schedule in ≥ 2.00 times');
    expect(text).toContain('worse: the accuracy without a schedule in ≤ 2.00 times');
  });

  it('says nothing of a schedule whose processor times are not known', () => {
    expect(report([...fixed, ...runsOf('resumed', 'examples', null, [0.9, 0.9])])).not.toContain('resumed:');
  });
});
