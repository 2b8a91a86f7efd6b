import { describe, expect, it } from 'vitest';
import { outlying, parseColumns, parseRuns } from '../../scaling/fit-runs.ts';

describe('a table of runs', () => {
  it('is read by its usual headings, FLOPs from 6·N·D', () => {
    const [run] = parseRuns('params,tokens,loss\n1e8,2e9,3.1\n\n', 'runs.csv');
    expect(run).toMatchObject({ params: 1e8, data: 2e9, loss: 3.1, flops: 1.2e18, line: 2 });
  });

  it('is read by the headings named, data from FLOPs, cells in quotes and Windows lines too', () => {
    const text = 'name,"Model ""Size""",Training FLOP,final\r\n"a,b",1e8,1.2e18,3.1\r\n';
    const [run] = parseRuns(text, 'runs.csv', parseColumns('n=Model "Size", c=Training FLOP,loss=final'));
    expect(run).toMatchObject({ params: 1e8, data: 2e9, flops: 1.2e18, loss: 3.1 });
  });

  it('takes distinct data, curves and horizons where there are such columns', () => {
    const [run] = parseRuns('n,d,loss,unique,curve,horizon\n1,2,3,1.5,a,8\n', 'runs.csv');
    expect(run).toMatchObject({ uniqueData: 1.5, curve: 'a', horizon: 8 });
  });

  it('has no curve, and no horizon, where that cell is blank', () => {
    const runs = parseRuns('n,d,loss,run_id,horizon\n1,2,3,,\n1,4,3,,\n1,8,3, a ,9\n', 'runs.csv');
    expect(runs.map(({ curve }) => curve)).toEqual([undefined, undefined, 'a']);
    expect(runs.map(({ horizon }) => horizon)).toEqual([undefined, undefined, 9]);
  });

  it('refuses a curve of several model sizes, which is no curve', () => {
    expect(() => parseRuns('n,d,loss,run_id\n1,2,3,a\n1,4,3,a\n2,4,3,a\n', 'runs.csv')).toThrow(
      'runs.csv: line 4, run_id: expected one model size a training curve, got 2 where "a" has 1',
    );
  });

  it('names columns that are missing, with those there are', () => {
    expect(() => parseRuns('size,loss\n1,2\n', 'runs.csv')).toThrow(
      'runs.csv: expected columns of model size (n=…) and data (d=…) or FLOPs (c=…), got size, loss; name them with --columns',
    );
    expect(() => parseRuns('n,d,loss\n', 'runs.csv', { n: 'N' })).toThrow(/expected a column "N", got n, d, loss/);
  });

  it('names lines and columns of values that are no positive numbers, the first five', () => {
    const text = `n,d,loss\n${['1,2,x', '-1,2,3', '1,,3', '1,2,NaN', '1,inf,2', '0,2,3'].join('\n')}\n`;
    expect(() => parseRuns(text, 'runs.csv')).toThrow(
      /line 2, loss: expected a positive number, got "x"\n {2}line 3, n: .*"-1"[^]*and 1 more/,
    );
  });

  it('refuses roles there are not', () => {
    expect(() => parseColumns('n=a,size=b')).toThrow(/expected n=…, .*got "size=b"/);
    expect(() => parseColumns('n')).toThrow(/got "n"/);
  });
});

describe('outliers', () => {
  it('lie so many robust deviations out', () => {
    expect(outlying([0.01, -0.01, 0.012, -0.009, 0.5, 0.011], 6)).toEqual([4]);
    expect(outlying([1, -1, 1, -1], 6)).toEqual([]);
  });
});
