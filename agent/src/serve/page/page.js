'use strict';
// Draws what /status.json says, once a second. Everything is put in as text, nothing as markup.

const INTERVAL = 1000;
const PATIENCE = 4000;
const KEPT = 121; // pictures: two minutes
const WINDOW = 10; // seconds that rates are averaged over
const STREAMS = ['watch', 'session']; // they last as long as their client likes
const TAIL = 60; // seconds that latencies are taken from

const $ = (id) => document.getElementById(id);
const pictures = [];

function element(name, properties, ...children) {
  const made = document.createElement(name);
  Object.assign(made, properties);
  made.append(...children);
  return made;
}

function drawn(name, attributes, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Words and units.

const whole = (n) => Math.round(n).toLocaleString('en');

function rate(n) {
  if (n >= 100) return whole(n);
  return n === 0 ? '0' : n.toPrecision(2);
}

function size(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit += 1; }
  return `${unit === 0 ? n : n.toFixed(1)} ${units[unit]}`;
}

function span(seconds) {
  const [d, h, m] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (d > 1) return `${d} days`;
  if (d === 1) return `1 day ${h} h`;
  if (h > 0) return `${h} h ${m} min`;
  return m > 0 ? `${m} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}

function duration(seconds) {
  if (seconds === null) return 'over 10 s';
  if (seconds < 0.001) return `${whole(seconds * 1e6)} µs`;
  return seconds < 1 ? `${(seconds * 1000).toPrecision(2)} ms` : `${seconds.toFixed(1)} s`;
}

const shortName = (slot) => {
  const [host, port] = [slot.replace(/:\d+$/, ''), slot.match(/\d+$/)];
  const first = /^[\d.]+$/.test(host) || host.startsWith('[') ? host : host.split('.')[0];
  return first === 'localhost' || first === '127.0.0.1' || first === '[::1]' ? `${first}:${port}` : first;
};

// Figures out of sums.

const key = (kind) => `${kind.operation} ${kind.level}`;

// What came since `seconds` ago, by kind.
function since(seconds) {
  const now = pictures[pictures.length - 1];
  const then = pictures.find((p) => now.at - p.at <= seconds * 1000 + 500) ?? now;
  const before = new Map(then.figures.operations.map((kind) => [key(kind), kind]));
  const kinds = now.figures.operations.map((kind) => {
    const old = before.get(key(kind));
    const buckets = kind.buckets.map(([le, n], i) => [le, n - (old ? old.buckets[i][1] : 0)]);
    return { ...kind, came: kind.count - (old ? old.count : 0), lost: kind.failed - (old ? old.failed : 0), buckets };
  });
  return { kinds, seconds: Math.max((now.at - then.at) / 1000, 0.001) };
}

// The limit below which this part of the calls lies; undefined: there were none.
function quantile(kinds, part) {
  if (kinds.length === 0) return undefined;
  const sums = kinds[0].buckets.map(([le], i) => [le, kinds.reduce((sum, kind) => sum + kind.buckets[i][1], 0)]);
  const all = sums.reduce((sum, [, n]) => sum + n, 0);
  if (all === 0) return undefined;
  let below = 0;
  for (const [le, n] of sums) {
    below += n;
    if (below >= all * part) return le;
  }
  return null;
}

// The drawing.

function stateOf(node, member) {
  if (node.leader === member.slot && node.ready) return 'leads';
  if (member.me) return node.ready ? 'well' : 'poor';
  if (!member.connected) return 'gone';
  if (node.role === 'leader') return member.caught_up ? 'well' : 'poor';
  return member.report && member.report.ready ? 'well' : 'poor';
}

function noteOf(node, member) {
  if (!member.me && !member.connected) return 'not connected';
  const role = node.leader === member.slot ? 'leader' : member.me ? node.role : member.report ? member.report.role : 'member';
  const lag = member.lag > 0 ? `, ${whole(member.lag)} behind` : '';
  return `${role}${member.me ? ', this node' : ''}${lag}`;
}

// Whether there is a link between two: what this node sees counts, else what they say.
function linkOf(one, other) {
  for (const [a, b] of [[one, other], [other, one]]) if (a.me) return b.connected ? '' : ' down';
  // Of whom nothing is heard, what was said before means nothing.
  const says = [[one, other], [other, one]].filter(([a]) => a.connected && a.report).map(([a, b]) => a.report.connected.includes(b.slot));
  if (says.length === 0) return ' unknown';
  return says.every(Boolean) ? '' : ' down';
}

function map(node) {
  const members = node.members;
  const narrow = window.matchMedia('(max-width: 820px)').matches;
  const [cx, cy, rx, ry, r] = [260, 0, members.length > 1 ? 168 : 0, members.length > 1 ? 112 : 0, narrow ? 32 : 27];
  const [label, note] = narrow ? [28, 52] : [25, 43];
  const places = members.map((_, i) => {
    const angle = -Math.PI / 2 + (2 * Math.PI * i) / members.length;
    return [cx + rx * Math.cos(angle), cy + ry * Math.sin(angle)];
  });
  const lines = [];
  for (let i = 0; i < members.length; i += 1) {
    for (let j = i + 1; j < members.length; j += 1) {
      const [[x1, y1], [x2, y2]] = [places[i], places[j]];
      lines.push(drawn('line', { x1, y1, x2, y2, class: `link${linkOf(members[i], members[j])}` }));
    }
  }
  let [top, bottom] = [Infinity, -Infinity];
  const nodes = members.map((member, i) => {
    const [x, y] = places[i];
    const group = drawn('g', { class: `node ${stateOf(node, member)}`, 'data-slot': member.slot });
    if (member.me) group.append(drawn('circle', { cx: x, cy: y, r: r + 7, class: 'halo' }));
    // Names stand outside the ring, where no line is.
    const [above, lines] = y < -1 ? [true, [-r - note + label - 14, -r - 14]] : [false, [r + label, r + note]];
    top = Math.min(top, y - r - (above ? note + 14 : 16));
    bottom = Math.max(bottom, y + r + (above ? 16 : note + 12));
    const letter = { leads: 'L', gone: '×' }[stateOf(node, member)] ?? (noteOf(node, member)[0] ?? '').toUpperCase();
    group.append(
      drawn('title', {}, `${member.slot}: ${noteOf(node, member)}`),
      drawn('circle', { cx: x, cy: y, r }),
      drawn('text', { x, y: y + 7, class: 'letter' }, letter),
      drawn('text', { x, y: y + lines[0], class: 'label' }, shortName(member.slot)),
      drawn('text', { x, y: y + lines[1], class: 'note' }, noteOf(node, member)),
    );
    return group;
  });
  $('map').setAttribute('viewBox', `0 ${top} 520 ${bottom - top}`);
  $('map').replaceChildren(...lines, ...nodes);
  const linked = members.filter((m) => m.me || m.connected).length;
  const leader = node.leader && node.ready ? `${shortName(node.leader)} leads` : 'no leader with a quorum is known here';
  $('map-words').textContent = members.length > 1 ? `${leader}; this node sees ${linked} of ${members.length} members` : 'a single node';
}

// Tables.

function table(id, head, rows, nothing) {
  const cell = (name) => ([text, style]) => element(name, { className: style ?? '', textContent: text });
  const body = rows.map((row) => element('tr', {}, ...row.map(cell('td'))));
  const top = element('tr', {}, ...head.map(cell('th')));
  if (body.length > 0) $(id).replaceChildren(top, ...body);
  else $(id).replaceChildren(element('tr', {}, element('td', { className: 'faint', textContent: nothing })));
}

const SOON = 14 * 86400;

function certificate(left) {
  if (left === null || left === undefined) return ['none', 'faint'];
  if (left < 0) return ['expired', 'bad'];
  return [span(left), left < SOON ? 'poor' : ''];
}

function members(node) {
  const rows = node.members.map((m) => {
    const said = m.me ? node : m.connected ? m.report : null;
    const state = stateOf(node, m);
    const link = m.me ? ['–', 'faint'] : m.connected ? ['connected', 'good'] : [m.link_error ?? 'not connected', 'bad long'];
    const equal = m.me || !m.connected ? ['–', 'faint'] : m.equal === null ? ['not compared yet', 'faint'] : m.equal ? ['equal', 'good'] : [`differs at ${m.compared_at}`, 'bad'];
    const lag = m.lag === null || !(m.me || m.connected) ? (said ? [`at ${whole(said.applied)}`, ''] : ['not known', 'faint']) : m.lag === 0 ? ['everything', ''] : [`${whole(m.lag)} behind`, 'poor'];
    return [
      [m.slot], [noteOf(node, m).split(',')[0], state === 'gone' ? 'bad' : state === 'poor' ? 'poor' : ''], link, lag, equal,
      said ? certificate(said.certificate_expires_in_s) : ['not known', 'faint'],
      [said ? span(said.uptime_ms / 1000) : '–', said ? '' : 'faint'], [said ? said.version : '–', said ? '' : 'faint'],
    ];
  });
  table('members', [['member'], ['role'], ['link'], ['data'], ['compared'], ['certificate left'], ['up'], ['version']], rows, 'none');
}

function refusals(node) {
  $('refused').hidden = node.refusals.length === 0;
  const rows = node.refusals.map((r) => [[r.from], [r.claimed ?? '–'], [r.reason, 'bad'], [whole(r.count), 'n'], [`${span(r.age_s)} ago`]]);
  table('refusals', [['from'], ['says it is'], ['why'], ['times', 'n'], ['last']], rows, 'nobody');
}

function calls() {
  const recent = since(WINDOW);
  const tail = since(TAIL);
  const rows = recent.kinds.map((kind, i) => {
    const [p50, p99] = [0.5, 0.99].map((part) => quantile([tail.kinds[i]], part));
    const failed = kind.lost / recent.seconds;
    return [
      [key(kind)], [rate(kind.came / recent.seconds), 'n'], [rate(failed), failed > 0 ? 'n bad' : 'n'],
      [p50 === undefined ? '–' : duration(p50), 'n'], [p99 === undefined ? '–' : duration(p99), 'n'], [whole(kind.count), 'n faint'],
    ];
  });
  table('calls', [['call, level'], ['per second', 'n'], ['failed', 'n'], ['half within', 'n'], ['99 % within', 'n'], ['in all', 'n']], rows, 'none since this agent began');
}

function caches(figures) {
  const rows = [...figures.caches].sort((a, b) => b.bytes - a.bytes)
    .map((c) => [[c.cache], [whole(c.entries), 'n'], [size(c.bytes), 'n']]);
  table('caches', [['cache'], ['values', 'n'], ['bytes', 'n']], rows, 'nothing is stored');
}

// Tiles.

function tiles(node, figures) {
  const { kinds, seconds } = since(WINDOW);
  const isCall = (kind) => !STREAMS.includes(kind.operation);
  const came = (some) => some.reduce((sum, kind) => sum + kind.came, 0) / seconds;
  const isRead = (kind) => kind.operation === 'get';
  $('rate').textContent = rate(came(kinds.filter(isCall)));
  const tail = since(TAIL).kinds;
  for (const [id, some, late] of [
    ['reads', kinds.filter(isRead), tail.filter(isRead)],
    ['writes', kinds.filter((k) => isCall(k) && !isRead(k)), tail.filter((k) => isCall(k) && !isRead(k))],
  ]) {
    $(id).textContent = `${rate(came(some))} /s`;
    const [p50, p99] = [0.5, 0.99].map((part) => quantile(late, part));
    $(`${id}-tail`).textContent = p99 === undefined ? 'none in the last minute' : `half within ${duration(p50)}, 99 % within ${duration(p99)}`;
  }
  $('bytes').textContent = size(node.bytes);
  $('limit').textContent = `of ${size(figures.limit_bytes)}`;
  const part = figures.limit_bytes > 0 ? node.bytes / figures.limit_bytes : 0;
  $('fill').style.width = `${Math.min(part * 100, 100)}%`;
  $('fill').parentElement.classList.toggle('full', part > 0.9);
  const gone = figures.evicted > 0 ? `, ${whole(figures.evicted)} evicted since the start` : '';
  $('values').textContent = `${whole(node.entries)} values${gone}`;
}

function spark() {
  const points = [];
  const all = pictures.map((p) => p.figures.operations.reduce((sum, kind) => sum + (STREAMS.includes(kind.operation) ? 0 : kind.count), 0));
  for (let i = 1; i < pictures.length; i += 1) {
    points.push((all[i] - all[i - 1]) / Math.max((pictures[i].at - pictures[i - 1].at) / 1000, 0.001));
  }
  const top = Math.max(1, ...points);
  const x = (i) => 240 - (points.length - 1 - i) * (240 / (KEPT - 2));
  const line = points.map((n, i) => `${x(i).toFixed(1)},${(46 - (n / top) * 42).toFixed(1)}`);
  if (line.length < 2) { $('spark').replaceChildren(); return; }
  $('spark').replaceChildren(
    drawn('polygon', { points: [`${x(0).toFixed(1)},48`, ...line, '240,48'].join(' ') }),
    drawn('polyline', { points: line.join(' ') }),
  );
}

function facts(node) {
  const rows = [
    ['cluster', node.cluster], ['generation', node.generation ?? 'none'], ['term', whole(node.term)],
    ['position', `${whole(node.applied)} applied, ${whole(node.commit)} committed`],
    ['read lease', node.lease_ms > 0 ? `${whole(node.lease_ms)} ms left` : 'none'],
    ['digest', node.digest ?? 'none while a copy is installed'],
    ['host list', `number ${whole(node.host_epoch)}${node.configuration && node.configuration.resizing ? ', the size is being changed' : ''}`],
    ['elections, wipes', `${whole(node.elections)} campaigns, ${whole(node.wipes)} wipes since the start`],
    ['incarnation', node.incarnation], ['up', span(node.uptime_ms / 1000)], ['version', node.version],
  ];
  $('facts').replaceChildren(...rows.flatMap(([name, text]) => [element('dt', { textContent: name }), element('dd', { textContent: text })]));
}

function verdict({ health, summary, problems }) {
  document.body.dataset.health = health;
  // Only when it changes, so that it is read out once.
  if ($('summary').textContent !== summary) $('summary').textContent = summary;
  $('problems').replaceChildren(...problems.map((p) =>
    element('li', {}, p.what, ...(p.advice ? [element('span', { textContent: `→ ${p.advice}` })] : []))));
}

function show(picture) {
  const last = pictures[pictures.length - 1];
  if (last && last.node.incarnation !== picture.node.incarnation && last.node.uptime_ms > picture.node.uptime_ms) pictures.length = 0;
  pictures.push(picture);
  if (pictures.length > KEPT) pictures.shift();
  const { node, figures } = picture;
  $('slot').textContent = node.slot;
  document.title = `${{ good: '●', poor: '▲', bad: '✕' }[picture.verdict.health] ?? ''} ${shortName(node.slot)}, rauthy cache`;
  verdict(picture.verdict);
  map(node);
  tiles(node, figures);
  spark();
  members(node);
  refusals(node);
  calls();
  caches(figures);
  facts(node);
}

let heard = Date.now();

function live(on) {
  $('live').className = `live ${on ? 'on' : 'off'}`;
  $('live').textContent = on ? 'live' : `no answer for ${span((Date.now() - heard) / 1000)}`;
}

async function ask() {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), PATIENCE);
  try {
    const response = await fetch('/status.json', { signal: abort.signal, cache: 'no-store' });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const picture = await response.json();
    heard = Date.now();
    show({ ...picture, at: heard });
    live(true);
  } catch {
    live(false);
    if (Date.now() - heard > PATIENCE) verdict({ health: 'bad', summary: 'This agent does not answer', problems: [{ what: 'what is shown below is old', advice: 'is the agent running, and is the network there?' }] });
  } finally {
    clearTimeout(timer);
  }
}

async function forever() {
  for (;;) {
    // Nobody looks: nothing is asked.
    if (!document.hidden) await ask();
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}

forever();
