// What is chosen, and what follows from it.

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
  find("told").textContent = toTarget();
  find("stop").setAttribute("aria-valuetext", find("told").textContent);
  find("verdict").textContent = found.length ? found.map(([, best]) => sentence(placeOf(best, found), best)).join("\n") : "No case is chosen.";
  find("best").replaceChildren(...found.flatMap(([where, best]) => bestTable(where, best)));
  shown = find("all").checked ? rows : found.flatMap(([, best]) => best);
  find("bands").hidden = !shown.some(row => row.cases.length > 1) || find("each").checked;
  draw();
  drawFrontier(found);
  showNetwork(found);
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
  find("seeds").hidden = data.groups.every(group => group.cases.length < 2);
  toggles();
  startNetwork();
  for (const id of ["stop", "by", "baseline", "all", "each", "x", "y"]) find(id).oninput = update;
  find("metric").oninput = () => { find("y").value = find("metric").value; begin(find("metric").value, metric().stops[metric().stops.length >> 1]); update(); };
  document.querySelectorAll("#cases table").forEach((table, i) => sortable(table, `cases ${i}`));
  document.querySelectorAll("pre.copied").forEach(text => text.before(copier("Copy", () => text.textContent)));
  dark.onchange = update;
  update();
  let width = find("chart").clientWidth;
  new ResizeObserver(() => { if (find("chart").clientWidth !== width) { width = find("chart").clientWidth; update(); } }).observe(find("chart"));
}

start();
