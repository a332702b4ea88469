// Tables of best steps, copied and sorted.

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

// The text in pieces after which a line may break: behind a comma, a plus or a bracket within a word.
const breakable = text => text.split(/(?<=[,+]|\w\()/).flatMap(part => [part, make("wbr")]);

function titleOf(where, rows) {
  const starts = [...new Set(rows.map(row => row.starts))].sort((a, b) => a - b);
  const many = starts.length === 1 ? starts[0] : `${starts[0]} to ${starts.at(-1)}`;
  const base = rows.find(row => row.baseline);
  const told = `To ${toTarget()}, medians over ${many} ` +
    `start${many === 1 ? "" : "s"}; KB per worker`;
  return [where, told, base ? `base is ${base.name}` : ""].filter(Boolean);
}

const bestTable = (where, rows) => tableOf(`best ${where}`, titleOf(where, rows), rows, columns(rows));

// The rows below the lines of a title, with what copies them; `key` tells its order from that of other tables.
function tableOf(key, title, rows, told) {
  const table = make("table"), box = make("div", "", {className: "scroll"});
  const head = table.createTHead().insertRow();
  for (const header of ["method", ...told.map(one => one.header)]) head.append(make("th", header));
  const body = table.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    line.dataset.name = row.name;
    line.append(make("th", "", {scope: "row"}));
    line.firstChild.append(...breakable(row.name + row.group.mark));
    line.firstChild.style.setProperty("--color", colorOf(row));
    for (const column of told) {
      line.append(make("td", cellText(column, row)));
      line.lastChild.dataset.value = column.value(row) ?? "";
    }
    line.onmouseenter = () => light(row.name);
    line.onmouseleave = () => light(null);
  }
  box.append(table);
  sortable(table, key);
  const copies = make("p", "", {className: "copies"});
  copies.append(copier("Copy CSV", () => asCsv(rows, told)), copier("Copy LaTeX", () => asLatex(title, rows, told)));
  return [make("p", title.join("\n"), {className: "caption"}), box, copies];
}

function asCsv(rows, told) {
  const quoted = text => /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const lines = rows.map(row => [row.name, ...told.map(one => String(one.value(row) ?? ""))]);
  return [["method", ...told.map(one => one.key)], ...lines].map(line => line.map(quoted).join(",")).join("\n");
}

const SPECIAL = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "|": "\\textbar{}", "<": "\\textless{}", ">": "\\textgreater{}"};
const escaped = text => text.replace(/[\\~^|<>&%$#_{}]/g, sign => SPECIAL[sign] ?? `\\${sign}`);

function asLatex(title, rows, told) {
  const lines = rows.map(row => [row.name + row.group.mark, ...told.map(one => cellText(one, row))]);
  const [head, ...body] = [["method", ...told.map(one => one.header)], ...lines].map(line => `${line.map(escaped).join(" & ")} \\\\`);
  return [...title.map(line => `% ${line}`), `\\begin{tabular}{l${"r".repeat(told.length)}}`,
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
