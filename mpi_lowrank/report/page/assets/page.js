"use strict";
// Of what the page embeds: each method at the best step of its grid, for the target, the cost and
// the cases that are chosen, as `mpi-lowrank best` has it; and the curves.
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const find = id => document.getElementById(id);
const COSTS = ["rounds", "uplink_bytes", "total_bytes", "seconds"];
const COST_NAMES = {rounds: "rounds", uplink_bytes: "uplink", total_bytes: "uplink + downlink", seconds: "seconds"};
const HEADERS = {rounds: "rounds", uplink_bytes: "up", total_bytes: "up+down", seconds: "seconds"};
const KINDS = {method: "method", compressor: "compressor", seed: "seed"};
const hidden = {method: new Set(), compressor: new Set(), seed: new Set()};
const sorting = {};
let shown = [], chart = null, curves = [];

// ---- numbers as tables show them -----------------------------------------------------------

// Ties to the even digit, as Python has them; toFixed is exact in all else.
function fixed(value, decimals) {
  const scaled = Math.abs(value) * 10 ** decimals;
  const tie = scaled % 1 === 0.5 && Number.isInteger(value * 2 ** (decimals + 1));
  const down = Math.floor(scaled);
  return tie ? (Math.sign(value) * (down + down % 2) / 10 ** decimals).toFixed(decimals) : value.toFixed(decimals);
}

const scientific = (value, decimals = 1) =>
  value === null ? "-" : value.toExponential(decimals).replace(/e([+-])(\d)$/, "e$10$2");

function short(value, digits = 3) {
  if (value === null) return "-";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-6 || size >= 1e9) return scientific(value, digits - 1);
  return fixed(value, Math.max(digits - 1 - Math.floor(Math.log10(size)), 0));
}

const whole = value => value === null ? "-" : String(+value.toPrecision(12));
const kilobytes = value => short(value === null ? null : value / 1e3);
const general = value => {
  const [digits, power] = value.toExponential(5).split("e").map(Number);
  return power < -4 || power > 5 ? `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}` : String(+value.toPrecision(6));
};
const SHOW = {rounds: whole, uplink_bytes: kilobytes, total_bytes: kilobytes, seconds: short};
const AMOUNTS = {
  rounds: value => `${whole(value)} rounds`,
  uplink_bytes: value => `${kilobytes(value)} KB up per worker`,
  total_bytes: value => `${kilobytes(value)} KB up and down per worker`,
  seconds: value => `${short(value)} s`,
};

// ---- best steps ----------------------------------------------------------------------------

const metric = () => data.metrics[find("metric").value];
const stop = () => metric().stops[+find("stop").value];
const setting = group => Object.entries(group.setting).filter(([, v]) => v).map(([k, v]) => `${k} ${v}`).join(", ");

function columnOf(one, cost) {
  if (cost === "rounds") return one.columns.round;
  if (cost !== "total_bytes") return one.columns[cost];
  const down = one.columns.downlink_bytes;
  return one.columns.uplink_bytes.map((up, i) => up + down[i]);
}

function took(one, cost) {
  const at = one.at[find("metric").value], row = at ? at[+find("stop").value] : null;
  return row === null ? Infinity : columnOf(one, cost)[row];
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

const known = value => Number.isFinite(value) ? value : null;

// The group's seeds together: medians, extremes, how many arrived, how near the others came.
function rowOf(group, cases) {
  const row = {group, cases, name: group.name, starts: cases.length};
  for (const cost of COSTS) {
    const values = cases.map(one => took(one, cost));
    row[cost] = known(median(values));
    row[`${cost}_least`] = known(Math.min(...values));
    row[`${cost}_most`] = known(Math.max(...values));
  }
  row.arrived = cases.filter(one => took(one, "rounds") < Infinity).length;
  const bests = cases.map(one => one.best[find("metric").value]).filter(best => best !== undefined);
  row.lowest = bests.length ? known(median(bests)) : null;
  return row;
}

function rank(row) {
  const lowest = row.lowest === null ? Infinity : metric().falls ? row.lowest : -row.lowest;
  return [row[find("by").value] ?? Infinity, -row.arrived, lowest];
}

function before(a, b) {
  const [one, other] = [rank(a), rank(b)];
  const differ = one.findIndex((value, i) => value !== other[i]);
  return differ < 0 ? 0 : one[differ] < other[differ] ? -1 : 1;
}

const isShown = (group, one) => !hidden.method.has(String(group.method)) &&
  !hidden.compressor.has(String(group.compressor)) && !hidden.seed.has(String(one.seed));

function rowsShown() {
  return data.groups.map(group => [group, group.cases.filter(one => isShown(group, one))])
    .filter(([, cases]) => cases.length).map(([group, cases]) => rowOf(group, cases));
}

// Settings, each with the rows of its methods at their best steps, the cheapest first.
function blocks(rows) {
  const found = new Map();
  for (const row of rows) {
    const where = setting(row.group), best = found.get(where) ?? new Map();
    found.set(where, best);
    if (!best.has(row.name) || before(row, best.get(row.name)) < 0) best.set(row.name, row);
  }
  return [...found].map(([where, best]) => [where, withRatios([...best.values()]).sort(before)]);
}

function withRatios(rows) {
  const base = rows.find(row => row.name === find("baseline").value);
  for (const row of rows) {
    row.baseline = row === base;
    for (const cost of COSTS)
      row[`${cost}_ratio`] = base?.[cost] && row[cost] !== null ? row[cost] / base[cost] : null;
  }
  return rows;
}

function sentence(where, rows, several) {
  const by = find("by").value, first = rows[0], base = rows.find(row => row.baseline);
  const told = `${find("metric").value} ${metric().sign} ${general(stop())}`;
  const place = several ? `With ${where}: ` : "";
  if (first[by] === null) return `${place}no method reaches ${told}; ${first.name} comes nearest.`;
  const ratio = first[`${by}_ratio`];
  const against = ratio === null || first.baseline ? "" : `, ${short(ratio)} of ${base.name}'s`;
  const arrived = rows.filter(row => row[by] !== null).length;
  return `${place}${first.name} at step ${first.group.stepsize} is the cheapest to ${told}: ` +
    `${AMOUNTS[by](first[by])}${against}; ${arrived} of ${rows.length} methods arrive.`;
}

// ---- tables --------------------------------------------------------------------------------

function columns(rows) {
  const by = find("by").value, several = Math.max(...rows.map(row => row.starts)) > 1;
  const cost = (key, header, of, timing) => ({key, header, value: row => row[key], show: SHOW[of], timing: of === "seconds"});
  const medians = COSTS.filter(one => one !== "seconds" || by === "seconds").map(one => cost(one, HEADERS[one], one));
  const ends = several ? ["least", "most"].map(end => cost(`${by}_${end}`, end, by)) : [];
  const ratios = COSTS.filter(one => one === by || one === "total_bytes")
    .map(one => ({key: `${one}_ratio`, header: `${HEADERS[one]}/base`, value: row => row[`${one}_ratio`], show: short}));
  return [
    {key: "stepsize", header: "step", value: row => row.group.stepsize, show: String},
    ...medians, ...ends, ...ratios,
    {key: "arrived", header: "arrived", value: row => `${row.arrived}/${row.starts}`, show: String},
    {key: "lowest", header: "lowest", value: row => row[by] === null ? row.lowest : null, show: scientific},
  ].filter(column => rows.some(row => column.value(row) !== null));
}

function cellText(column, row) {
  const value = column.value(row);
  return column.show(value) + (column.timing && row.group.timing_valid === false && value !== null ? "~" : "");
}

function make(tag, text = "", more = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  return Object.assign(element, more);
}

function titleOf(where, rows) {
  const starts = [...new Set(rows.map(row => row.starts))].sort((a, b) => a - b);
  const many = starts.length === 1 ? starts[0] : `${starts[0]} to ${starts.at(-1)}`;
  const base = rows.find(row => row.baseline);
  const told = `To ${find("metric").value} ${metric().sign} ${general(stop())}, medians over ${many} ` +
    `start${many === 1 ? "" : "s"}; KB per worker`;
  return [where, told, base ? `base is ${base.name}` : ""].filter(Boolean);
}

function bestTable(where, rows) {
  const told = columns(rows), table = make("table"), box = make("div", "", {className: "scroll"});
  const head = table.createTHead().insertRow();
  for (const header of ["method", ...told.map(one => one.header)]) head.append(make("th", header));
  const body = table.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    line.dataset.name = row.name;
    line.append(make("th", row.name + row.group.mark, {scope: "row"}));
    line.firstChild.style.setProperty("--color", row.group.color || "var(--ink)");
    for (const column of told) {
      line.append(make("td", cellText(column, row)));
      line.lastChild.dataset.value = column.value(row) ?? "";
    }
    line.onmouseenter = () => light(row.name);
    line.onmouseleave = () => light(null);
  }
  box.append(table);
  sortable(table, `best ${where}`);
  const copies = make("p", "", {className: "copies"});
  copies.append(copier("Copy CSV", () => asCsv(rows, told)), copier("Copy LaTeX", () => asLatex(where, rows, told)));
  return [make("p", titleOf(where, rows).join("\n"), {className: "caption"}), box, copies];
}

function asCsv(rows, told) {
  const quoted = text => /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const lines = rows.map(row => [row.name, ...told.map(one => String(one.value(row) ?? ""))]);
  return [["method", ...told.map(one => one.key)], ...lines].map(line => line.map(quoted).join(",")).join("\n");
}

const SPECIAL = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "|": "\\textbar{}", "<": "\\textless{}", ">": "\\textgreater{}"};
const escaped = text => text.replace(/[\\~^|<>&%$#_{}]/g, sign => SPECIAL[sign] ?? `\\${sign}`);

function asLatex(where, rows, told) {
  const lines = rows.map(row => [row.name + row.group.mark, ...told.map(one => cellText(one, row))]);
  const [head, ...body] = [["method", ...told.map(one => one.header)], ...lines].map(line => `${line.map(escaped).join(" & ")} \\\\`);
  return [...titleOf(where, rows).map(line => `% ${line}`), `\\begin{tabular}{l${"r".repeat(told.length)}}`,
    "\\hline", head, "\\hline", ...body, "\\hline", "\\end{tabular}"].join("\n");
}

function copier(title, text) {
  const button = make("button", title, {type: "button"});
  button.onclick = async () => {
    await copy(text());
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = title; }, 1200);
  };
  return button;
}

async function copy(text) {
  try { await navigator.clipboard.writeText(text); } catch {
    const area = make("textarea", text);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

// Numbers before texts before nothing; a second click turns the order.
function sortable(table, key) {
  [...table.tHead.rows[0].cells].forEach((head, place) => {
    head.tabIndex = 0;
    const sort = () => {
      const down = sorting[key]?.place === place && !sorting[key].down;
      sorting[key] = {place, down};
      sortBy(table, place, down);
    };
    head.onclick = sort;
    head.onkeydown = event => { if (event.key === "Enter") sort(); };
  });
  if (sorting[key]) sortBy(table, sorting[key].place, sorting[key].down);
}

function sortBy(table, place, down) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, i) => head.setAttribute("aria-sort", i !== place ? "none" : down ? "descending" : "ascending"));
  const keyed = [...body.rows].map(row => [row.cells[place].dataset.value ?? row.cells[place].textContent, row]);
  const number = ([text]) => text === "" ? NaN : Number(text);
  const order = (a, b) => {
    if (a[0] === "" || b[0] === "") return (a[0] === "") - (b[0] === "");
    const [x, y] = [number(a), number(b)];
    const less = isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) || a[0].localeCompare(b[0]) : x - y;
    return down ? -less : less;
  };
  body.append(...keyed.sort(order).map(([, row]) => row));
}

// ---- curves --------------------------------------------------------------------------------

const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const X_LABELS = {rounds: "rounds", uplink_bytes: "uplink per worker (KB)", total_bytes: "uplink + downlink per worker (KB)", seconds: "seconds"};

// The points of a case that the axes can show; what diverges leaves the panel.
function pointsOf(one, x, y, ceiling) {
  const scale = x.endsWith("bytes") ? 1e-3 : 1, percent = data.metrics[y].percent ? 100 : 1;
  const [xs, ys] = [columnOf(one, x), one.columns[y] ?? []];
  return ys.map((value, i) => [xs[i] * scale, value === null ? null : value * percent])
    .filter(([a, b]) => b !== null && b <= ceiling && (x === "rounds" || x === "seconds" || a > 0) && (!data.metrics[y].log || b > 0));
}

function ceilingOf(y) {
  if (!data.metrics[y].falls) return Infinity;
  const starts = shown.flatMap(row => row.cases).map(one => one.columns[y]?.find(value => value !== null) ?? 0);
  return 10 * Math.max(...starts);
}

function curvesShown() {
  const [x, y] = [find("x").value, find("y").value], ceiling = ceilingOf(y);
  return shown.flatMap(row => row.cases.map(one => ({row, one, points: pointsOf(one, x, y, ceiling)})))
    .filter(curve => curve.points.length > 1);
}

// Values on one grid, which the cursor reads; lines themselves are drawn through their points.
function onGrid(points, grid) {
  let i = 0;
  return grid.map(x => {
    while (i < points.length - 1 && points[i + 1][0] <= x) i++;
    return x < points[0][0] || x > points.at(-1)[0] ? null : points[i][1];
  });
}

function gridOf(low, high, log) {
  const n = 240, place = i => log ? low * (high / low) ** (i / n) : low + (high - low) * i / n;
  return high > low ? Array.from({length: n + 1}, (_, i) => i === n ? high : place(i)) : [low, low + 1];
}

// Of a log axis powers of ten alone have grid lines.
const powers = log => (u, splits) => splits.map(split => !log || Number.isInteger(+Math.log10(split).toFixed(9)) ? split : null);

function path(u, index) {
  const line = new Path2D();
  for (const [x, y] of curves[index - 1].points) line.lineTo(u.valToPos(x, "x", true), u.valToPos(y, "y", true));
  return {stroke: line, fill: null, clip: null, band: null, gaps: null, flags: 1};
}

function draw() {
  const x = find("x").value, y = find("y").value, box = find("chart");
  const logX = x.endsWith("bytes"), logY = data.metrics[y].log;
  chart?.destroy();
  chart = null;
  curves = curvesShown();
  find("pointed").textContent = curves.length ? "Point at a curve to read it." : "No case has these two.";
  if (!curves.length) return;
  const xs = curves.flatMap(({points}) => [points[0][0], points.at(-1)[0]]);
  const ys = curves.flatMap(({points}) => points.map(point => point[1]));
  const [low, high] = [ys.reduce((a, b) => Math.min(a, b)), ys.reduce((a, b) => Math.max(a, b))];
  const grid = gridOf(Math.min(...xs), Math.max(...xs), logX);
  const axis = (label, log) => ({label, stroke: style("--ink"), grid: {stroke: style("--line"), width: 1, filter: powers(log)},
    ticks: {stroke: style("--line"), width: 1}, font: "12px system-ui, sans-serif", labelFont: "13px system-ui, sans-serif", labelSize: 22,
    values: (u, splits) => splits.map(split => split === null ? "" : general(split))});
  const margin = (high - low) / 20 || 1;
  const options = {
    width: box.clientWidth, height: Math.max(280, Math.min(520, box.clientWidth * 0.55)),
    legend: {show: false}, focus: {alpha: 0.2}, cursor: {focus: {prox: 24}, drag: {x: true, y: true}},
    scales: {x: {time: false, distr: logX ? 3 : 1, range: (u, a, b) => [a, b]},
      y: {distr: logY ? 3 : 1, range: () => logY ? [low / 1.3, high * 1.3] : [low - margin, high + margin]}},
    axes: [axis(X_LABELS[x], logX), {...axis(y + (data.metrics[y].percent ? " (%)" : ""), logY), size: 62}],
    series: [{}, ...curves.map(({row, one}) => ({label: one.label, stroke: row.group.color || style("--ink"),
      dash: row.group.dash, width: row.baseline ? 2 : 1.4, paths: path, points: {show: false}}))],
    hooks: {setSeries: [(u, index) => point(index)], draw: [drawTarget]},
  };
  chart = new uPlot(options, [grid, ...curves.map(({points}) => onGrid(points, grid))], box);
}

function drawTarget(u) {
  if (find("y").value !== find("metric").value) return;
  const {ctx, bbox} = u, y = u.valToPos(stop() * (metric().percent ? 100 : 1), "y", true);
  if (!(y >= bbox.top && y <= bbox.top + bbox.height)) return;
  ctx.save();
  ctx.strokeStyle = style("--faint");
  ctx.setLineDash([6, 5]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}

// The case pointed at is named, and its row is lit.
function point(index) {
  const curve = curves[index - 1];
  for (const row of document.querySelectorAll("#best tr[data-name]")) row.classList.toggle("lit", row.dataset.name === curve?.row.name);
  if (!curve) return;
  const {row, one} = curve, cost = took(one, find("by").value);
  const reached = cost < Infinity ? `${AMOUNTS[find("by").value](cost)} to the target` : "does not reach the target";
  find("pointed").textContent = `${one.label}: step ${row.group.stepsize}, ${reached}`;
}

function light(name) {
  if (!chart) return;
  curves.forEach(({row}, i) => { chart.series[i + 1].alpha = name === null || row.name === name ? 1 : 0.12; });
  chart.redraw(false, false);
}

// ---- what is chosen ------------------------------------------------------------------------

function choose(id, entries, value) {
  find(id).append(...entries.map(([key, text]) => make("option", text, {value: key})));
  find(id).value = value;
}

function toggles() {
  for (const kind of Object.keys(KINDS)) {
    const of = kind === "seed" ? data.groups.flatMap(group => group.cases.map(one => one.seed)) : data.groups.map(group => group[kind]);
    const values = [...new Set(of.map(String))];
    if (values.length < 2) continue;
    const list = make("details", "", {open: values.length <= 12});
    list.append(make("summary", `${KINDS[kind]}s`), ...values.map(value => toggle(kind, value)));
    list.append(chooser(list, kind, "all", true), chooser(list, kind, "none", false));
    find("toggles").append(list);
  }
  find("toggles").hidden = !find("toggles").children.length;
}

function toggle(kind, value) {
  const label = make("label", "", {className: "toggle"}), box = make("input", "", {type: "checkbox", checked: true});
  box.dataset.kind = kind;
  box.dataset.value = value;
  box.onchange = () => { hidden[kind][box.checked ? "delete" : "add"](value); update(); };
  label.append(box, value === "null" ? "none" : value);
  return label;
}

function chooser(list, kind, title, on) {
  const button = make("button", title, {type: "button"});
  button.onclick = () => {
    for (const box of list.querySelectorAll("input")) {
      box.checked = on;
      hidden[kind][on ? "delete" : "add"](box.dataset.value);
    }
    update();
  };
  return button;
}

function begin(name, value) {
  const {stops} = data.metrics[name];
  find("stop").max = stops.length - 1;
  find("stop").value = Math.max(stops.indexOf(value), 0);
}

function update() {
  const rows = rowsShown(), found = blocks(rows);
  find("told").textContent = `${find("metric").value} ${metric().sign} ${general(stop())}`;
  find("stop").setAttribute("aria-valuetext", find("told").textContent);
  find("verdict").textContent = found.length ? found.map(([where, best]) => sentence(where, best, found.length > 1)).join(" ") : "No case is chosen.";
  find("best").replaceChildren(...found.flatMap(([where, best]) => bestTable(where, best)));
  shown = find("all").checked ? rows : found.flatMap(([, best]) => best);
  draw();
}

function start() {
  document.documentElement.classList.add("js");
  const metrics = Object.keys(data.metrics), names = [...new Set(data.groups.map(group => group.name))];
  choose("metric", metrics.map(name => [name, name]), data.target.metric);
  choose("by", COSTS.map(cost => [cost, COST_NAMES[cost]]), data.by);
  choose("baseline", [["", "none"], ...names.map(name => [name, name])], data.baseline ?? "");
  choose("x", COSTS.map(cost => [cost, COST_NAMES[cost]]), data.by);
  choose("y", metrics.map(name => [name, name]), data.target.metric);
  begin(data.target.metric, data.target.value);
  toggles();
  for (const id of ["stop", "by", "baseline", "all", "x", "y"]) find(id).oninput = update;
  find("metric").oninput = () => { find("y").value = find("metric").value; begin(find("metric").value, metric().stops[metric().stops.length >> 1]); update(); };
  document.querySelectorAll("#cases table").forEach((table, i) => sortable(table, `cases ${i}`));
  document.querySelectorAll("pre.copied").forEach(text => text.before(copier("Copy", () => text.textContent)));
  matchMedia("(prefers-color-scheme: dark)").onchange = draw;
  update();
  let width = find("chart").clientWidth;
  new ResizeObserver(() => { if (find("chart").clientWidth !== width) { width = find("chart").clientWidth; draw(); } }).observe(find("chart"));
}

start();
})();
