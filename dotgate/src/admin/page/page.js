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
})();
