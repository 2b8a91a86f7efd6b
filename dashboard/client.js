// The page's script: keeps what is marked as live up to date, and filters and sorts without leaving the page. Everything it
// does, a visit to the same address does, too: without it the page is complete, only still.

/** Shortest time between two readings of the page, in milliseconds. */
const leastBetweenMs = 1000;
/** A stream that was refused is asked for again after so long. */
const refusedMs = 5000;
/** A row that changed is marked for so long. */
const markedMs = 4000;

const connection = document.getElementById('connection');
let readMs = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let waiting;
/** @type {Set<string>} */
let changed = new Set();
/** @type {AbortController | undefined} */
let reading;

/** @param {string} text @param {boolean} isLost */
function tell(text, isLost) {
  if (!connection || connection.textContent === text) return;
  connection.textContent = text;
  connection.classList.toggle('lost', isLost);
}

/** Reads an address and puts what is new of it in the place of the old. @param {string} address */
async function swap(address) {
  reading?.abort();
  reading = new AbortController();
  const { signal } = reading;
  const response = await fetch(address, { signal, headers: { accept: 'text/html' } });
  if (response.redirected && new URL(response.url).pathname === '/sign-in') return location.reload();
  if (!response.ok) throw new Error(`${response.status}`);
  const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
  readMs = Date.now();
  const wanted = [...fresh.querySelectorAll('[data-live]')];
  for (const part of wanted) replace(part, fresh);
  const ids = new Set(wanted.map(({ id }) => id));
  for (const part of document.querySelectorAll('[data-live]')) if (!ids.has(part.id)) part.remove();
}

/** @param {Element} fresh @param {Document} page */
function replace(fresh, page) {
  const old = document.getElementById(fresh.id);
  if (!old) return insert(fresh, page);
  if (old.isEqualNode(fresh)) return;
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const open = [...old.querySelectorAll('details[open][id]')].map(({ id }) => id);
  const scrolled = [...old.querySelectorAll('.scroll, figure, pre')].map(({ scrollLeft, scrollTop }) => [
    scrollLeft,
    scrollTop,
  ]);
  const path = focused && placeOf(focused, old);
  old.replaceWith(fresh);
  for (const id of open) document.getElementById(id)?.setAttribute('open', '');
  fresh.querySelectorAll('.scroll, figure, pre').forEach((element, index) => {
    const [left = 0, top = 0] = scrolled[index] ?? [];
    element.scrollLeft = left;
    element.scrollTop = top;
  });
  if (focused && path) refocus(focused, path, fresh);
}

/** A part that was not there before stands where the fresh page has it. @param {Element} fresh @param {Document} page */
function insert(fresh, page) {
  const after = [...page.querySelectorAll('[data-live]')];
  const next = after.slice(after.indexOf(fresh) + 1).find(({ id }) => document.getElementById(id));
  const place = next && document.getElementById(next.id);
  if (place?.parentElement) place.parentElement.insertBefore(fresh, place);
  else document.querySelector('main')?.append(fresh);
}

/** @param {Element} element @param {Element} root */
function placeOf(element, root) {
  const path = [];
  for (let at = element; at !== root && at.parentElement; at = at.parentElement)
    path.unshift([...at.parentElement.children].indexOf(at));
  return path;
}

/** Who was at a link of a row stays at it, wherever the row is now. @param {Element} old @param {number[]} path @param {Element} root */
function refocus(old, path, root) {
  const href = old.getAttribute('href');
  const same = old.id
    ? document.getElementById(old.id)
    : href && [...root.querySelectorAll('a')].find((link) => link.getAttribute('href') === href);
  /** @type {Element | null | undefined} */
  let found = same || root;
  if (!same) for (const index of path) found = found?.children[index];
  if (found instanceof HTMLElement) found.focus({ preventScroll: true });
}

function mark() {
  for (const id of changed) document.getElementById(id)?.classList.add('changed');
  changed = new Set();
  setTimeout(() => {
    for (const row of document.querySelectorAll('tr.changed')) row.classList.remove('changed');
  }, markedMs);
}

/** Reads the page again, soon and not too often; nobody looks at a hidden one. */
function refresh() {
  if (waiting !== undefined || document.hidden) return;
  waiting = setTimeout(
    () => {
      waiting = undefined;
      swap(location.href).then(
        mark,
        (error) => error.name !== 'AbortError' && tell('not up to date: reading failed', true),
      );
    },
    Math.max(0, readMs + leastBetweenMs - Date.now()),
  );
}

/** @type {EventSource | undefined} */
let source;

/** Hears of changes from the version that the page was made of. */
function follow() {
  const { events, version = '' } = document.body.dataset;
  if (!events) return;
  source?.close();
  source = new EventSource(`${events}?since=${encodeURIComponent(version)}`);
  source.addEventListener('open', () => tell('● live', false));
  source.addEventListener('change', ({ data, lastEventId }) => {
    document.body.dataset['version'] = lastEventId;
    for (const id of JSON.parse(data).changed ?? []) changed.add(id);
    refresh();
  });
  source.addEventListener('error', ({ target }) => {
    tell('connection lost, trying again', true);
    // The browser tries again by itself unless it was refused.
    if (target === source && source?.readyState === EventSource.CLOSED) setTimeout(follow, refusedMs);
  });
}

/** @param {string} address */
function go(address) {
  history.replaceState(null, '', address);
  swap(address).catch((error) => error.name !== 'AbortError' && location.assign(address));
}

/** @param {HTMLFormElement} form */
function filter(form) {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value !== '') query.set(name, String(value));
  const hidden = form.querySelector('input[name=sort]');
  const sort = new URLSearchParams(location.search).get('sort');
  if (!hidden && sort) query.set('sort', sort);
  go(`${location.pathname}${query.size > 0 ? `?${query}` : ''}`);
}

document.addEventListener('submit', (event) => {
  if (!(event.target instanceof HTMLFormElement) || !event.target.matches('form.filter')) return;
  event.preventDefault();
  filter(event.target);
});
/** @type {ReturnType<typeof setTimeout> | undefined} */
let typing;
document.addEventListener('input', ({ target }) => {
  const form = target instanceof HTMLElement ? target.closest('form.filter') : null;
  if (!(form instanceof HTMLFormElement)) return;
  clearTimeout(typing);
  typing = setTimeout(() => filter(form), target instanceof HTMLInputElement && target.type === 'search' ? 250 : 0);
});
document.addEventListener('click', (event) => {
  const link = event.target instanceof Element ? event.target.closest('a[data-swap]') : null;
  if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0)
    return;
  event.preventDefault();
  go(link.href.replace(/#.*$/, ''));
});
// Browsers open six connections to a server, for all of its pages: one that nobody looks at gives its own back.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return source?.close();
  follow();
  refresh();
});
window.addEventListener('popstate', () => refresh());
follow();
