// The metric against what it cost: of several seeds the median, between the least and the most.

const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const X_LABELS = {rounds: "rounds", uplink_bytes: "uplink per worker (KB)", total_bytes: "uplink + downlink per worker (KB)", seconds: "seconds"};

// The points of a case that the axes can show; what diverges leaves the panel, and stays at its edge
// where it is one of several.
function pointsOf(one, x, y, ceiling, several) {
  const scale = x.endsWith("bytes") ? 1e-3 : 1, percent = data.metrics[y].percent ? 100 : 1;
  const [xs, ys] = [columnOf(one, x), one.columns[y] ?? []];
  return ys.map((value, i) => [xs[i] * scale, value === null ? null : several ? Math.min(value * percent, ceiling) : value * percent])
    .filter(([a, b]) => b !== null && b <= ceiling && (x === "rounds" || x === "seconds" || a > 0) && (!data.metrics[y].log || b > 0));
}

function ceilingOf(y) {
  if (!data.metrics[y].falls) return Infinity;
  const starts = shown.flatMap(row => row.cases).map(one => one.columns[y]?.find(value => value !== null) ?? 0);
  return 10 * Math.max(...starts);
}

function curvesShown() {
  const [x, y] = [find("x").value, find("y").value], ceiling = ceilingOf(y);
  const told = shown.flatMap(row => row.cases.length > 1 && !find("each").checked ? [bandOf(row, x, y, ceiling)]
    : row.cases.map(one => ({row, one, points: pointsOf(one, x, y, ceiling)})));
  return told.filter(curve => curve.points.length > 1);
}

// Seeds together, from where all have begun to where all have ended; the last value of one stands.
function bandOf(row, x, y, ceiling) {
  const seeds = row.cases.map(one => pointsOf(one, x, y, ceiling, true)).filter(points => points.length);
  const first = Math.max(...seeds.map(points => points[0][0])), log = [x.endsWith("bytes"), data.metrics[y].log];
  const places = [...new Set(seeds.flat().map(point => point[0]))].filter(place => place >= first).sort((a, b) => a - b);
  const values = seeds.map(points => between(points, places, log));
  const of = choose => places.map((place, i) => [place, choose(values.map(seed => seed[i]))]);
  return {row, points: of(median), low: of(all => Math.min(...all)), high: of(all => Math.max(...all))};
}

// The values of a line through the points, straight on these axes, at rising places.
function between(points, places, [logX, logY]) {
  let i = 0;
  return places.map(place => {
    while (i < points.length - 1 && points[i + 1][0] <= place) i++;
    const [[a, from], [b, to]] = [points[i], points[i + 1] ?? [Infinity, points[i][1]]];
    const share = b === Infinity ? 0 : logX ? Math.log(place / a) / Math.log(b / a) : (place - a) / (b - a);
    return share === 0 ? from : logY ? from * (to / from) ** share : from + share * (to - from);
  });
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

// A log axis has a tick at each digit, and numbers at powers of ten; where those are few, at 2 and 5.
function ticksOf(low, high) {
  const first = Math.floor(Math.log10(low)), count = Math.ceil(Math.log10(high)) - first;
  const ticks = Array.from({length: 9 * count}, (_, i) => +`${i % 9 + 1}e${first + Math.floor(i / 9)}`);
  return ticks.filter(tick => tick >= low && tick <= high);
}

const digitOf = tick => +tick.toExponential().split("e")[0];

function numbered(ticks) {
  const few = ticks.filter(tick => digitOf(tick) === 1).length < 3;
  return ticks.map(tick => (few ? [1, 2, 5] : [1]).includes(digitOf(tick)) ? tick : null);
}

function path(u, index) {
  const {points, low, high} = curves[index - 1];
  const through = all => {
    const line = new Path2D();
    for (const [x, y] of all) line.lineTo(u.valToPos(x, "x", true), u.valToPos(y, "y", true));
    return line;
  };
  return {stroke: through(points), fill: low ? through([...low, ...high.toReversed()]) : null, clip: null, band: null, gaps: null, flags: 1};
}

function axisOf(label, log) {
  const line = {stroke: style("--line"), width: 1}, ink = style("--ink");
  const decades = {splits: (u, place, low, high) => ticksOf(low, high), filter: (u, ticks) => numbered(ticks)};
  return {
    label, labelSize: 22, stroke: ink, ticks: line, ...(log ? decades : {}),
    grid: log ? {...line, filter: decades.filter} : line,
    font: "12px system-ui, sans-serif", labelFont: "13px system-ui, sans-serif",
    values: (u, splits) => splits.map(split => split === null ? "" : general(split)),
  };
}

const dark = matchMedia("(prefers-color-scheme: dark)");

// Of a baseline that of text; a grey is as far from black in the dark as it is from white by day.
function colorOf({group: {color}}) {
  if (!color) return style("--ink");
  const parts = [1, 3, 5].map(i => parseInt(color.slice(i, i + 2), 16));
  const grey = Math.max(...parts) - Math.min(...parts) < 20;
  return grey && dark.matches ? `#${parts.map(part => (255 - part).toString(16).padStart(2, "0")).join("")}` : color;
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
  const ys = curves.flatMap(({points, low = [], high = []}) => [...points, ...low, ...high].map(point => point[1]));
  const [low, high] = [ys.reduce((a, b) => Math.min(a, b)), ys.reduce((a, b) => Math.max(a, b))];
  const grid = gridOf(Math.min(...xs), Math.max(...xs), logX);
  const margin = (high - low) / 20 || 1;
  const options = {
    width: box.clientWidth, height: Math.max(280, Math.min(520, box.clientWidth * 0.55)),
    legend: {show: false}, focus: {alpha: 0.2}, cursor: {focus: {prox: 24}, drag: {x: true, y: true}},
    scales: {x: {time: false, distr: logX ? 3 : 1, range: (u, a, b) => [a, b]},
      y: {distr: logY ? 3 : 1, range: () => logY ? [low / 1.3, high * 1.3] : [low - margin, high + margin]}},
    axes: [axisOf(X_LABELS[x], logX), {...axisOf(y + (data.metrics[y].percent ? " (%)" : ""), logY), size: 62}],
    series: [{}, ...curves.map(({row, low}) => ({stroke: colorOf(row), fill: low && `${colorOf(row)}26`,
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

// The curve pointed at is named, and its row is lit.
function point(index) {
  const curve = curves[index - 1];
  lightRow(curve?.row.name);
  if (!curve) return;
  const {row, one} = curve, by = find("by").value, cost = one ? took(one, by) : row[by] ?? Infinity;
  const reached = cost < Infinity ? `${AMOUNTS[by](cost)} to the target` : "does not reach the target";
  const name = one ? one.label : `${row.name}, median of ${row.cases.length} seeds`;
  find("pointed").textContent = `${name}: step ${row.group.stepsize}, ${reached}`;
}

function lightRow(name) {
  for (const row of document.querySelectorAll("tr[data-name]")) row.classList.toggle("lit", row.dataset.name === name);
}

function light(name) {
  if (!chart) return;
  curves.forEach(({row}, i) => { chart.series[i + 1].alpha = name === null || row.name === name ? 1 : 0.12; });
  chart.redraw(false, false);
}
