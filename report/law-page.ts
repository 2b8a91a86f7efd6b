import { pageStyle } from './html.ts';
import { type Content, element, htmlDocument, type Markup, stylesheet } from './markup.ts';
import { tableHead } from './page-parts.ts';
import { chartStyle } from './svg.ts';

/** A table as text. */
export interface PageTable {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A part of a page: a heading, and what stands below it. */
export interface PageSection {
  readonly title: string;
  readonly note?: string;
  readonly table?: PageTable;
  readonly figures?: readonly (Markup | null)[];
}

/** A self-contained HTML page of tables and charts, in the report's style. */
export function tablePage(page: {
  readonly title: string;
  readonly facts: readonly string[];
  readonly sections: readonly PageSection[];
  readonly warnings: readonly string[];
}): string {
  return htmlDocument(
    'en',
    element(
      'head',
      {},
      element('meta', { charset: 'utf-8' }),
      element('meta', { name: 'viewport', content: 'width=device-width, initial-scale=1' }),
      element('meta', { name: 'color-scheme', content: 'light dark' }),
      element('title', {}, `${page.title}: Ridgepoint`),
      stylesheet(chartStyle + pageStyle),
    ),
    element(
      'body',
      {},
      element(
        'main',
        {},
        element('header', {}, element('p', { class: 'facts' }, page.facts.join(' · ')), element('h1', {}, page.title)),
        page.warnings.length > 0 &&
          element(
            'section',
            { id: 'warnings' },
            element('h2', {}, 'Warnings'),
            element(
              'ul',
              {},
              page.warnings.map((text) => element('li', {}, text)),
            ),
          ),
        page.sections.map(section),
      ),
    ),
  );
}

function section({ title, note, table, figures = [] }: PageSection): Content {
  const drawn = figures.filter((figure) => figure !== null);
  return element(
    'section',
    {},
    element('h2', {}, title),
    note !== undefined && element('p', { class: 'note' }, note),
    table && element('div', { class: 'scroll' }, tableOf(table)),
    drawn.length > 0 &&
      element(
        'div',
        { class: 'figures' },
        drawn.map((figure) => element('figure', {}, figure)),
      ),
  );
}

function tableOf({ columns, rows }: PageTable): Markup {
  return element(
    'table',
    {},
    tableHead(columns),
    element(
      'tbody',
      {},
      rows.map((row) =>
        element(
          'tr',
          {},
          row.map((cell) => element('td', {}, cell)),
        ),
      ),
    ),
  );
}
