import { ridgepointVersion } from '../core/version.ts';
import { pageStyle } from '../report/page.ts';
import { element, htmlDocument, type Attributes, type Content, type Markup } from '../report/markup.ts';
import { chartStyle } from '../report/svg.ts';
import type { StudyState } from './runs.ts';

/** A page of the dashboard. */
export interface Page {
  readonly title: string;
  /** Address of the stream that tells of changes, and what it would say now; absent where nothing changes. */
  readonly live?: { readonly events: string; readonly version: string };
  readonly body: readonly Content[];
}

/** What every page offers. */
export interface Frame {
  readonly hasFleet: boolean;
  readonly hasQueues: boolean;
  /** The address that was asked for. */
  readonly path: string;
}

/** A whole document: links to the parts, the page, and where the script says whether it is live. */
export function renderPage({ title, live, body }: Page, { hasFleet, hasQueues, path }: Frame): string {
  const links = [
    ['/', 'Studies'],
    ...(hasFleet ? [['/fleet', 'Fleet']] : []),
    ...(hasQueues ? [['/queues', 'Queues']] : []),
  ] as const;
  const isHere = (href: string | undefined): boolean => href === path || (href === '/' && path.startsWith('/studies/'));
  return htmlDocument(
    'en',
    element(
      'head',
      {},
      element('meta', { charset: 'utf-8' }),
      element('meta', { name: 'viewport', content: 'width=device-width, initial-scale=1' }),
      element('meta', { name: 'color-scheme', content: 'light dark' }),
      element('title', {}, `${title} · Ridgepoint`),
      element('link', { rel: 'stylesheet', href: '/style.css' }),
      element('link', { rel: 'icon', type: 'image/svg+xml', href: '/icon.svg' }),
      element('script', { src: '/client.js', type: 'module' }),
    ),
    element(
      'body',
      live ? { 'data-events': live.events, 'data-version': live.version } : {},
      element('a', { href: '#main', class: 'skip' }, 'Skip to the content'),
      element(
        'nav',
        { 'aria-label': 'Pages' },
        element('b', {}, 'Ridgepoint'),
        links.map(([href, name]) => element('a', { href, 'aria-current': isHere(href) ? 'page' : null }, name)),
        live && element('span', { id: 'connection', role: 'status' }),
      ),
      element('main', { id: 'main', tabindex: -1 }, body),
      element('footer', { class: 'note' }, `ridgepoint ${ridgepointVersion()} · read-only`),
    ),
  );
}

/** A part of a page that the script replaces when it has changed. */
export function livePart(id: string, attributes: Attributes, ...content: readonly Content[]): Markup {
  return element('section', { id, 'data-live': true, ...attributes }, ...content);
}

/** A table that scrolls sideways where it must, by keyboard as well. */
export function scrolling(name: string, ...content: readonly Content[]): Markup {
  return element('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': name }, ...content);
}

/** A table with a heading row; the first cell of each row names it. */
export function dataTable(name: string, columns: readonly Content[], rows: readonly (readonly Content[])[]): Markup {
  return scrolling(
    name,
    element(
      'table',
      {},
      element(
        'thead',
        {},
        element(
          'tr',
          {},
          columns.map((column) => element('th', { scope: 'col' }, column)),
        ),
      ),
      element(
        'tbody',
        {},
        rows.map(([first, ...rest]) =>
          element(
            'tr',
            {},
            element('th', { scope: 'row' }, first),
            rest.map((cell) => element('td', {}, cell)),
          ),
        ),
      ),
    ),
  );
}

/** Soft text below a title. */
export function note(...content: readonly Content[]): Markup {
  return element('p', { class: 'note' }, ...content);
}

/** Names with their values, in columns as many as fit. */
export function facts(entries: readonly (readonly [string, Content])[]): Markup {
  return element(
    'dl',
    { class: 'tiles' },
    entries.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))),
  );
}

const states = {
  reading: ['…', 'soft'],
  running: ['▶', 'good'],
  stopped: ['❚❚', 'warn'],
  finished: ['✓', 'good'],
  damaged: ['✗', 'bad'],
} as const satisfies Record<StudyState, readonly [string, string]>;

/** A study's state: a sign, a colour and the word. */
export function stateMark(state: StudyState): Markup {
  const [sign, tone] = states[state];
  return element('span', { class: `mark ${tone}` }, element('span', { 'aria-hidden': 'true' }, sign), ` ${state}`);
}

/** Address of a study's page. */
export function studyPath(study: string, ...parts: readonly string[]): string {
  return `/studies/${[study, ...parts].map(encodeURIComponent).join('/')}`;
}

/** `17:42:05 UTC`, with the day in what machines read and the tooltip. */
export function timeOfDay(ms: number): Markup {
  const iso = new Date(ms).toISOString();
  return element('time', { datetime: iso, title: iso }, iso.slice(11, 19), element('small', {}, ' UTC'));
}

/** A sign for browsers' tabs: a Pareto front. */
export const icon =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M2 14V2M2 14h12" stroke="#888" stroke-width="1.5"/>' +
  '<path d="M4 12V9h3V6h3V3h4" fill="none" stroke="#0072b2" stroke-width="2"/></svg>';

/** Every rule of the pages: those of the report, and what only a live page has. */
export const styleSheet = `${chartStyle}${pageStyle}
body { display: flex; flex-direction: column; min-height: 100vh; }
main { flex: 1; width: 100%; outline: none; }
footer { padding: 0 24px; }
body > nav { display: flex; flex-wrap: wrap; gap: 4px 18px; align-items: baseline; padding: 10px 24px; border-bottom: 1px solid var(--line);
  background: var(--panel); }
body > nav a { text-decoration: none; padding: 4px 0; }
body > nav a[aria-current] { color: var(--ink); border-bottom: 2px solid var(--blue); }
#connection { margin-left: auto; color: var(--soft); font-size: 12.5px; }
#connection.lost { color: var(--vermillion); font-weight: 600; }
.skip { position: absolute; left: -999px; } .skip:focus { left: 8px; top: 8px; background: var(--paper); padding: 6px; z-index: 1; }
:focus-visible { outline: 3px solid var(--blue); outline-offset: 2px; }
main > section:first-child { border-top: none; padding-top: 0; }
section.head { border-top: none; padding-top: 0; }
h1 .mark { font-size: 14px; font-weight: 600; margin-left: 12px; } h1 .mark, h1 .mark span { display: inline; }
.mark { white-space: nowrap; } .soft { color: var(--soft); }
.mark.warn { color: var(--orange); } .mark.good { color: var(--green); } .mark.bad { color: var(--vermillion); }
@media (prefers-color-scheme: light) { .mark.warn { color: #8a5a00; } .mark.good, .good { color: #00775a; } .mark.bad, .bad { color: #b34700; } }
dl.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); gap: 8px; margin: 0 0 12px; }
dl.tiles > div { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 7px 10px; }
dl.tiles dd { font-size: 16px; font-weight: 600; } dl.tiles small { font-weight: 400; font-size: 12px; color: var(--soft); }
ol.steps { display: flex; flex-wrap: wrap; gap: 6px 8px; list-style: none; padding: 0; margin: 0 0 12px; }
ol.steps li { padding: 3px 10px; border: 1px solid var(--line); border-radius: 14px; color: var(--soft); font-size: 13px; }
ol.steps .finished { color: var(--ink); } ol.steps .started { color: var(--ink); border: 2px solid var(--blue); font-weight: 600; }
progress { width: 100%; max-width: 340px; height: 10px; accent-color: var(--blue); vertical-align: middle; }
form.filter { display: flex; flex-wrap: wrap; gap: 8px 12px; align-items: end; margin: 0 0 10px; }
form.filter label { display: flex; flex-direction: column; font-size: 12.5px; color: var(--soft); gap: 2px; }
form.filter label.check { flex-direction: row; align-items: center; gap: 6px; padding-bottom: 7px; }
input, select, button { font: inherit; font-size: 14px; color: var(--ink); background: var(--paper); border: 1px solid var(--soft); border-radius: 4px;
  padding: 5px 8px; min-height: 32px; } input[type=checkbox] { min-height: 0; width: 18px; height: 18px; } button { background: var(--panel); cursor: pointer; }
figure.network > svg.chart { max-width: 860px; } .figures svg.chart { max-width: 620px; } .scroll { border-radius: 4px; } .scroll > table { min-width: max-content; }
.scroll tbody th:first-child, .scroll thead th:first-child { position: sticky; left: 0; background: var(--paper); }
.scroll td { height: 28px; } th.text { text-align: left; } td.text { text-align: left; max-width: 34em; overflow: hidden; text-overflow: ellipsis; }
th a { color: inherit; } tbody th a { color: var(--blue); } th[aria-sort] a { font-weight: 700; color: var(--ink); }
tr.changed > * { background: color-mix(in srgb, var(--blue) 16%, var(--paper)) !important; }
@media (prefers-reduced-motion: no-preference) { tbody tr > * { transition: background-color 1.2s; } }
.pager { display: flex; gap: 14px; align-items: center; font-size: 13px; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 10px 12px; overflow-x: auto; font-size: 12.5px;
  line-height: 1.5; max-height: 34em; } pre.wrapped { white-space: pre-wrap; overflow-wrap: anywhere; }
.problem { border-left: 4px solid var(--vermillion); padding: 6px 12px; background: var(--panel); overflow-wrap: anywhere; white-space: pre-wrap; }
ul.links { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 6px 16px; }
@media (max-width: 640px) { main { padding: 12px 14px 32px; } body > nav, footer { padding-left: 14px; padding-right: 14px; }
  figure { overflow-x: auto; } figure > svg.chart { min-width: 500px; } figure.wide > svg.chart { min-width: 860px; } dl.tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  h1 { overflow-wrap: anywhere; } body > nav a { padding: 8px 0; } #connection { width: 100%; margin: 0; } }
`;
