// Bytes (or seconds) to the target against rounds: what no other method undercuts in both.

let frontier = null, marks = [];
const NEAR = 18;  // pixels within which a mark is pointed at

const priceOf = () => find("by").value === "rounds" ? "total_bytes" : find("by").value;

// The rows that arrive, of which none has as few rounds at as low a price.
function undominated(rows, price) {
  const better = (a, b) => a.rounds <= b.rounds && a[price] <= b[price] && (a.rounds < b.rounds || a[price] < b[price]);
  return rows.filter(row => !rows.some(other => better(other, row)));
}

const scaled = (row, price) => row[price] / (price === "seconds" ? 1 : 1e3);

function drawFrontier(found) {
  const price = priceOf(), box = find("frontier");
  const arrived = found.map(([where, rows]) => [where, rows.filter(row => row.rounds > 0 && row[price] > 0)]).filter(([, rows]) => rows.length);
  frontier?.destroy();
  frontier = null;
  marks = arrived.flatMap(([, rows]) => rows.map(row => ({row, x: row.rounds, y: scaled(row, price)}))).sort((a, b) => a.x - b.x);
  const lines = arrived.map(([where, rows]) => [where, undominated(rows, price).sort((a, b) => a.rounds - b.rounds)]);
  find("undominated").textContent = lines.map(([, rows]) =>
    `${placeOf(rows, lines)}on the frontier ${rows.length === 1 ? "is" : "are"} ${rows.map(row => row.name).join(", ")}.`).join("\n") || "No method arrives.";
  if (!marks.length) return;
  const wide = values => [Math.min(...values) / 1.4, Math.max(...values) * 1.25];
  const long = `${X_LABELS[price].replace(" (KB)", "")} to the target (KB)`;
  const label = price === "seconds" ? "seconds to the target" : box.clientWidth < 600 ? "KB to the target" : long;
  frontier = new uPlot({
    width: box.clientWidth, height: Math.max(280, Math.min(460, box.clientWidth * 0.5)),
    legend: {show: false}, cursor: {points: {show: false}, drag: {x: true, y: true}},
    scales: {x: {time: false, distr: 3, range: () => wide(marks.map(mark => mark.x))}, y: {distr: 3, range: () => wide(marks.map(mark => mark.y))}},
    axes: [axisOf("rounds to the target", true), {...axisOf(label, true), size: 62}],
    series: [{}, {paths: () => null, points: {show: false}}],
    hooks: {draw: [u => drawMarks(u, lines, price)], setCursor: [pointAtMark]},
  }, [marks.map(mark => mark.x), marks.map(mark => mark.y)], box);
}

function drawMarks(u, lines, price) {
  const {ctx} = u, at = row => [u.valToPos(row.rounds, "x", true), u.valToPos(scaled(row, price), "y", true)];
  ctx.save();
  ctx.strokeStyle = style("--faint");
  ctx.lineWidth = devicePixelRatio;
  for (const [, rows] of lines) {
    ctx.beginPath();
    rows.map(at).forEach(([x, y], i, all) => { if (i) ctx.lineTo(x, all[i - 1][1]); ctx.lineTo(x, y); });
    ctx.stroke();
  }
  for (const {row} of marks) {
    ctx.beginPath();
    ctx.arc(...at(row), 5 * devicePixelRatio, 0, 2 * Math.PI);
    ctx.fillStyle = colorOf(row);
    ctx.fill();
  }
  const taken = [];
  if (u.width > 600) lines.forEach(([, rows]) => rows.forEach(row => nameMark(u, taken, row.name, ...at(row))));
  ctx.restore();
}

// Below its mark, where by definition no other mark is, or above; where names are in the way, nowhere.
function nameMark({ctx, bbox}, taken, name, x, y) {
  const gap = 5 * devicePixelRatio, high = 3 * gap;
  ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.fillStyle = style("--ink");
  ctx.textAlign = "left";
  const {width} = ctx.measureText(name), left = x > bbox.left + bbox.width / 2 ? x + gap - width : x - gap;
  const meet = ([a, b, wide], place) => a < left + width + gap && left < a + wide + gap && Math.abs(b - place) < high;
  const place = [y + 4 * gap, y - 2 * gap].find(place => !taken.some(box => meet(box, place)));
  if (place === undefined) return;
  taken.push([left, place, width]);
  ctx.fillText(name, left, place);
}

function pointAtMark(u) {
  const {left, top} = u.cursor;
  const far = mark => Math.hypot(u.valToPos(mark.x, "x") - left, u.valToPos(mark.y, "y") - top);
  const nearest = marks.reduce((a, b) => far(b) < far(a) ? b : a);
  const row = far(nearest) < NEAR ? nearest.row : null, price = priceOf();
  lightRow(row?.name);
  find("marked").textContent = row ? `${row.name} at step ${row.group.stepsize}: ${whole(row.rounds)} rounds, ${AMOUNTS[price](row[price])}` : "Point at a mark to read it.";
}
