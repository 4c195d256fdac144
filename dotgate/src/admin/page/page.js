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
})();
