import { describe, expect, test } from 'vitest';
import { parseCsv } from '../../core/csv.ts';
import { InvalidFileError } from '../../core/errors.ts';

describe('a CSV table', () => {
  test('has cells in quotes, CR LF, blank lines, empty cells and a byte order mark as RFC 4180 has them', () => {
    const text = '\uFEFFname,"a, b",c\r\n"say ""hi""",1,\r\n\r\n"two\nlines",,3\n';
    expect(parseCsv(text, 't.csv')).toEqual({
      columns: ['name', 'a, b', 'c'],
      rows: [
        { line: 2, cells: { name: 'say "hi"', 'a, b': '1', c: '' } },
        { line: 4, cells: { name: 'two\nlines', 'a, b': '', c: '3' } },
      ],
    });
    expect(parseCsv('a,b\n1,', 't.csv').rows).toEqual([{ line: 2, cells: { a: '1', b: '' } }]);
    expect(parseCsv('a\n""\n1', 't.csv').rows.map(({ cells }) => cells)).toEqual([{ a: '' }, { a: '1' }]);
  });

  test('names the line of what is wrong', () => {
    expect(() => parseCsv('a,b\n1,2\n"x\ny",3\n4', 't.csv')).toThrow(/t\.csv: line 5: expected 2 cells, got 1/);
    expect(() => parseCsv('a,b\n1,"2', 't.csv')).toThrow(/line 2/);
    expect(() => parseCsv('a,b\n1,"2"x', 't.csv')).toThrow(/line 2/);
    expect(() => parseCsv('a,a\n1,2', 't.csv')).toThrow(/got a twice/);
    expect(() => parseCsv('', 't.csv')).toThrow(InvalidFileError);
  });
});
