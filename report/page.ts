import { type Content, element, htmlDocument, type Markup, stylesheet } from './markup.ts';
import { chartStyle } from './svg.ts';

/** A page that needs no network and no script, in the style that all reports have. @param title what a browser calls it. */
export function page(title: string, ...content: readonly Content[]): string {
  return htmlDocument(
    'en',
    element(
      'head',
      {},
      element('meta', { charset: 'utf-8' }),
      element('meta', { name: 'viewport', content: 'width=device-width, initial-scale=1' }),
      element('meta', { name: 'color-scheme', content: 'light dark' }),
      element('title', {}, title),
      stylesheet(chartStyle + pageStyle),
    ),
    element('body', {}, element('main', {}, content)),
  );
}

/** A chart as an SVG file of its own: the styles that it has from its page go into it. */
export function chartFile(chart: Markup): string {
  const style = stylesheet(`${chartStyle}svg.chart { background: var(--paper); }`).markup;
  return `${chart.markup.replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" ').replace('>', `>${style}`)}\n`;
}

/** Rules of the report’s pages, beside those of its charts. */
export const pageStyle = `
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink); color-scheme: light dark; }
body { margin: 0; font: 14px/1.45 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 1260px; margin: 0 auto; padding: 18px 24px 48px; }
h1 span { display: block; }
h1.several span { margin-bottom: 4px; }
h1 { font-size: 20px; line-height: 1.35; font-weight: 600; margin: 2px 0 12px; text-wrap: pretty; }
h1.several { font-size: 16px; }
h2 { font-size: 17px; margin: 0 0 8px; }
h2 small { font-weight: 400; font-size: 13px; color: var(--soft); }
h3 { font-size: 14px; margin: 12px 0 6px; }
a { color: var(--blue); }
section { margin: 0 0 16px; padding-top: 14px; border-top: 1px solid var(--line); break-inside: avoid; }
.facts, .note { color: var(--soft); font-size: 12.5px; margin: 0 0 8px; max-width: 110em; }
.warn { color: var(--vermillion); font-weight: 600; }
.result { display: grid; grid-template-columns: minmax(0, 1.42fr) minmax(0, 1fr); gap: 4px 22px; align-items: start; }
.figures { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 12px 24px; }
.figures > :only-child { max-width: 760px; grid-column: 1 / -1; width: 100%; }
.thirds { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 12px 18px; }
figure { margin: 0; min-width: 0; break-inside: avoid; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 0 0 10px; font-size: 12.5px; }
th, td { text-align: right; padding: 3px 5px; white-space: nowrap; font-weight: 400; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
main > section:not(.result) th, main > section:not(.result) td { padding-right: 12px; padding-left: 12px; }
main > section:not(.result) :is(th, td):first-child { padding-left: 0; }
.result table { width: 100%; }
.result tbody th:not([colspan]) { max-width: 88px; overflow: hidden; text-overflow: ellipsis; }
td:last-child, thead th:last-child { padding-right: 0; }
thead th { color: var(--soft); border-bottom: 1px solid var(--soft); }
tbody tr + tr > * { border-top: 1px solid var(--line); }
tbody.family th { font-weight: 700; color: var(--blue); }
tbody.rule, tbody.user-model { color: var(--soft); }
tbody.rule th[colspan], tbody.user-model th[colspan] { padding-top: 8px; font-style: italic; border-bottom: 1px solid var(--line); }
td small { color: var(--soft); font-size: 11.5px; }
.good { color: var(--green); } .bad { color: var(--vermillion); }
.comparisons { margin: 4px 0 6px; padding-left: 18px; font-size: 13px; }
details { margin: 8px 0; } summary { cursor: pointer; margin-bottom: 4px; }
details td:last-child, details td:last-child { white-space: normal; text-align: left; }
.wrapping :is(th, td) { white-space: normal; }
.wrapping :is(th, td):nth-last-child(-n + 2) { min-width: 7em; text-align: left; }
.wrapping :is(th, td):nth-child(4) { white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 3px 16px; margin: 0; font-size: 13px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 1160px) { .result { grid-template-columns: minmax(0, 1fr); } .result figure { max-width: 560px; } }
@media (max-width: 980px) { .figures, .thirds { grid-template-columns: minmax(0, 1fr); } .figures figure { max-width: 560px; } .thirds figure { max-width: 380px; } }
@media print { main { padding: 0; max-width: none; } body { font-size: 11px; } a { color: inherit; text-decoration: none; }
  .result { grid-template-columns: minmax(0, 1fr); } .result figure { max-width: 560px; } .scroll { overflow: visible; }
  details::details-content { content-visibility: visible; block-size: auto; } }
`;
