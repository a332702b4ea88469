// Each method at the best step of its grid, for the target, the cost and the cases that are chosen,
// as `mpi-lowrank best` has it.

const data = JSON.parse(document.getElementById("data").textContent);
const find = id => document.getElementById(id);
const COSTS = ["rounds", "uplink_bytes", "total_bytes", "seconds"];
const COST_NAMES = {rounds: "rounds", uplink_bytes: "uplink", total_bytes: "uplink + downlink", seconds: "seconds"};
const HEADERS = {rounds: "rounds", uplink_bytes: "up", total_bytes: "up+down", seconds: "seconds"};
const KINDS = {method: "method", compressor: "compressor", seed: "seed"};
const hidden = {method: new Set(), compressor: new Set(), seed: new Set()};
const sorting = {};
let shown = [], chart = null, curves = [];

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

// By what a setting is told from the others: the keys in which they differ.
function placeOf(rows, found) {
  const settings = found.map(([, [row]]) => row.group.setting), mine = rows[0].group.setting;
  const differ = Object.keys(mine).filter(key => settings.some(one => one[key] !== mine[key]));
  return differ.length ? `With ${differ.map(key => `${key} ${mine[key]}`).join(", ")}: ` : "";
}

const toTarget = () => `${find("metric").value} ${metric().sign} ${general(stop())}`;

function sentence(place, rows) {
  const by = find("by").value, first = rows[0], base = rows.find(row => row.baseline), told = toTarget();
  if (first[by] === null) return `${place}no method reaches ${told}; ${first.name} comes nearest.`;
  const ratio = first[`${by}_ratio`];
  const against = ratio === null || first.baseline ? "" : `, ${short(ratio)} of ${base.name}'s`;
  const arrived = rows.filter(row => row[by] !== null).length;
  return `${place}${first.name} at step ${first.group.stepsize} is the cheapest to ${told}: ` +
    `${AMOUNTS[by](first[by])}${against}; ${arrived} of ${rows.length} methods arrive.`;
}
