// Keeps the page current. The server sends each part of it that differs, as HTML; nothing is drawn here.
'use strict';
(() => {
  const RETRY = 5000;
  const live = document.getElementById('live');

  // Makes `own` like `other` and leaves what is equal, so that the focus, selected text and open details stay.
  const morph = (own, other) => {
    for (const { name, value } of other.attributes) {
      if (own.getAttribute(name) !== value) own.setAttribute(name, value);
    }
    for (const { name } of [...own.attributes]) {
      if (!other.hasAttribute(name) && name !== 'open') own.removeAttribute(name);
    }
    const [mine, others] = [[...own.childNodes], [...other.childNodes]];
    mine.slice(others.length).forEach((node) => node.remove());
    others.forEach((next, place) => {
      const node = mine[place];
      if (!node) own.append(next);
      else if (node.nodeType !== next.nodeType || node.nodeName !== next.nodeName) node.replaceWith(next);
      else if (node.nodeType === Node.ELEMENT_NODE) morph(node, next);
      else if (node.data !== next.data) node.data = next.data;
    });
  };

  const show = (html) => {
    const template = document.createElement('template');
    template.innerHTML = html;
    const part = template.content.firstElementChild;
    const own = part && document.getElementById(part.id);
    if (!own) return;
    morph(own, part);
    if (part.dataset.title) document.title = part.dataset.title;
  };

  const say = (text) => { if (live.textContent !== text) live.textContent = text; };

  const follow = () => {
    const events = new EventSource('/events' + location.search);
    events.addEventListener('part', (event) => {
      say('live');
      show(JSON.parse(event.data));
    });
    events.addEventListener('error', () => {
      // A stream that ends in time is opened again by the browser; one that is refused is not.
      if (events.readyState === EventSource.CONNECTING) return;
      say('not live: there is no connection');
      setTimeout(follow, RETRY);
    });
  };
  follow();

  // The rest needs the token, which is nowhere but in its field.
  const actions = document.getElementById('actions');
  const field = (id) => document.getElementById(id).value.trim();
  actions.hidden = false;
  const post = async (path, body, said) => {
    const done = document.getElementById('done');
    try {
      const headers = { Authorization: `Bearer ${field('token')}` };
      const response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
      const result = await response.json();
      done.textContent = response.ok ? said(result) : `Not done: ${result.error}.`;
    } catch (error) {
      done.textContent = `Not done: ${error.message}.`;
    }
  };
  const on = (id, act) => document.getElementById(id)?.addEventListener('submit', (event) => {
    event.preventDefault();
    act(event.submitter?.value);
  });
  on('access', () => {});
  on('flush', (what) => {
    const body = what === 'all' ? { all: true } : { [what]: field('name') };
    post('/api/v1/cache/flush', body, (result) => `Flushed from the cache: ${result.flushed}.`);
  });
  on('level', () => {
    post('/api/v1/log-level', { level: field('log-level') }, (result) => `The log level is ${result.level} now.`);
  });
  on('portal', (what) => {
    const resolver = document.getElementById('portal-resolver')?.value.trim() || null;
    const all = document.getElementById('portal-all').checked;
    const body = what === 'close' ? { close: true } : { open: { seconds: 60 * field('portal-minutes'), all, resolver } };
    post('/api/v1/portal', body, (result) => (result.open
      ? `The portal window is open for ${Math.round(result.seconds_left)} s: ${result.names} go to ${result.resolver}, not encrypted.`
      : 'No portal window is open.'));
  });

  // Queries as they end. Their text is set as text, never as HTML.
  const ROWS = 200;
  const watch = document.getElementById('watch');
  if (!watch) return;
  const list = document.getElementById('queries');
  const [button, watched, seen] = ['watch-button', 'watched', 'seen'].map((id) => document.getElementById(id));
  let [stop, filter, shown, lost] = [null, '', 0, 0];

  const cell = (row, text, detail) => {
    const td = document.createElement('td');
    // Its layout on a phone takes the roles of a table away, which are given back.
    td.setAttribute('role', 'cell');
    td.textContent = text;
    if (detail) {
      const span = document.createElement('span');
      span.textContent = ` ${detail}`;
      td.append(span);
    }
    row.append(td);
    return td;
  };

  const row = (query) => {
    const tr = document.createElement('tr');
    tr.setAttribute('role', 'row');
    const isBad = ['failed', 'cached_failure', 'shed'].includes(query.outcome) || query.rcode === 'SERVFAIL';
    if (isBad) tr.className = 'bad';
    cell(tr, query.time.slice(11, 23));
    cell(tr, query.client ?? '-', query.transport);
    cell(tr, query.name ?? '-', query.type);
    const details = [
      query.rcode === 'NOERROR' ? '' : query.rcode,
      query.cache_age === undefined ? '' : `for ${query.cache_age} s`,
      query.reason ?? '',
      query.upstream === undefined ? '' : `${isBad ? 'at' : 'by'} ${query.upstream}`,
      query.attempts > 1 ? `${query.attempts} attempts` : '',
    ];
    cell(tr, query.outcome.replaceAll('_', ' '), details.filter(Boolean).join(', '));
    cell(tr, query.ms < 0.1 ? '< 0.1 ms' : `${query.ms.toFixed(query.ms < 10 ? 1 : 0)} ms`).className = 'number';
    return tr;
  };

  const take = (events) => {
    const queries = [];
    for (const event of events) {
      const [, kind, data] = event.match(/^event: (\w+)\ndata: (.*)$/) ?? [];
      if (kind === 'query') queries.push(data);
      if (kind === 'lost') lost += JSON.parse(data).lost;
    }
    shown += queries.length;
    const body = list.querySelector('tbody');
    body.prepend(...queries.slice(-ROWS).reverse().map((query) => row(JSON.parse(query))));
    while (body.rows.length > ROWS) body.lastChild.remove();
    const here = shown > ROWS ? `, of which the last ${ROWS} are here` : '';
    const left = lost ? `; ${lost} more came too fast to be shown` : '';
    seen.textContent = shown + lost ? `${shown} queries${here}${left}.` : '';
  };

  const read = async (signal) => {
    const headers = { Authorization: `Bearer ${field('token')}` };
    filter = field('filter');
    const path = `/api/v1/queries?filter=${encodeURIComponent(filter)}`;
    const response = await fetch(path, { headers, signal });
    if (!response.ok) throw new Error((await response.json()).error);
    watched.textContent = 'Queries are shown as they end.';
    list.hidden = false;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Error('the stream has ended');
      const events = (rest + value).split('\n\n');
      rest = events.pop();
      take(events);
    }
  };

  const end = (why) => {
    stop?.abort();
    stop = null;
    button.textContent = 'Show';
    watched.textContent = why;
  };

  watch.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (stop && filter === field('filter')) return end('Paused. Queries until it continues are not shown.');
    stop?.abort();
    const own = new AbortController();
    stop = own;
    button.textContent = 'Pause';
    try {
      await read(own.signal);
    } catch (error) {
      if (stop === own) end(`Not shown: ${error.message}.`);
    }
  });
})();
