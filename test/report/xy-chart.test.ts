import { describe, expect, it } from 'vitest';
import { tablePage } from '../../report/law-page.ts';
import { xyChart } from '../../report/xy-chart.ts';

const x = { title: 'FLOPs', log: true };
const y = { title: 'loss', log: false };

function joined(points: readonly (readonly [number, number])[]): string {
  return xyChart('c', x, y, [{ name: 'networks', kind: 'joined', points }])?.markup ?? '';
}

describe('a chart of series', () => {
  it('draws lines, and points with their tooltips, under a legend', () => {
    const drawing = xyChart('Loss over compute', x, y, [
      {
        name: 'law',
        kind: 'line',
        points: [
          [1e18, 3],
          [1e20, 2],
        ],
      },
      { name: 'runs', kind: 'points', points: [[1e19, 2.4]], titles: ['line 7'] },
    ])?.markup;
    expect(drawing).toContain('aria-label="Loss over compute"');
    // The line, and its swatch in the legend.
    expect(drawing?.match(/<polyline /g)).toHaveLength(2);
    expect(drawing).toContain('<title>line 7</title>');
    expect(drawing).toContain('>1e19<');
    expect(drawing).toContain('>law<');
  });

  it('joins points by a line, and shows one that is alone', () => {
    // The swatch in the legend has a title, too.
    expect(joined([[1, 2]]).match(/<title>networks<\/title>/g)).toHaveLength(2);
    const two = joined([
      [1, 2],
      [3, 4],
    ]);
    expect(two.match(/<title>networks<\/title>/g)).toHaveLength(3);
    expect(two).toContain('<polyline ');
  });

  it('leaves out what its axes cannot show, and is nothing without points', () => {
    const series = {
      name: 'runs',
      kind: 'points' as const,
      points: [
        [0, 1],
        [1, Number.NaN],
        [2, 3],
      ] as [number, number][],
    };
    expect(xyChart('c', x, y, [series])?.markup.match(/<path /g)).toHaveLength(2);
    expect(xyChart('c', x, y, [{ ...series, points: [[-1, 2]] }])).toBeNull();
  });
});

describe('a page of tables and charts', () => {
  it('is one document whose texts cannot be markup', () => {
    const html = tablePage({
      title: 'Laws of <runs>',
      facts: ['5 runs'],
      warnings: ['V is 0 & that is bad'],
      sections: [{ title: 'Laws', table: { columns: ['law'], rows: [['<b>']] }, figures: [null] }],
    });
    expect(html).toContain('<title>Laws of &lt;runs&gt;: Ridgepoint</title>');
    expect(html).toContain('<td>&lt;b&gt;</td>');
    expect(html).toContain('V is 0 &amp; that is bad');
    expect(html).not.toMatch(/<script|http:|https:/);
  });
});
