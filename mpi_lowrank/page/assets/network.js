// A round on a network that is not there, and where compression pays, as `mpi-lowrank predict` has it.

const net = data.network, WIRES = ["float32", "float16"];
const PER_MESSAGE = latency => `${general(latency * 1e6)} us per message`;

function bitsPerSecond(bandwidth) {
  const bits = 8 * bandwidth, [unit, name] = bits >= 1e9 ? [1e9, "Gbit/s"] : bits >= 1e6 ? [1e6, "Mbit/s"] : [1e3, "kbit/s"];
  return `${general(bits / unit, 4)} ${name}`;
}

const link = () => ({
  bandwidth: net.bandwidths[+find("bandwidth").value],
  latency: net.latencies[+find("latency").value],
  at: +find("ranks").value,
});

// The mean round of some seeds: seconds of kernels, messages that wait for one another, and bytes
// through the busiest link.
function roundOf(cases, at) {
  const models = cases.map(one => one.model).filter(Boolean), sum = {fixed: 0, steps: 0, load: 0};
  for (const {each, decode, gathered, traffic} of models) {
    sum.fixed += (each + decode * (gathered ? net.ranks[at] : 1)) / models.length;
    for (const [op, times, nbytes] of traffic) {
      sum.steps += times * net.calls[op].steps[at] / models.length;
      sum.load += nbytes * net.calls[op].load[at] / models.length;
    }
  }
  return models.length ? sum : null;
}

const secondsOn = ({fixed, steps, load}, {bandwidth, latency}) => fixed + steps * latency + load / bandwidth;

// The bandwidths between which one takes less time to the target than another; null: nowhere.
function pays(one, other, latency) {
  if (one.rounds === null) return null;
  const saved = key => other.rounds * other.round[key] - one.rounds * one.round[key];
  const atOnce = saved("fixed") + saved("steps") * latency, perByte = saved("load");
  if (atOnce <= 0 && perByte <= 0) return null;
  if (atOnce >= 0 && perByte >= 0) return [0, Infinity];
  const even = -perByte / atOnce;
  return perByte > 0 ? [0, even] : [even, Infinity];
}

function wherePays(between) {
  if (!between) return "never";
  const [low, high] = between;
  if (low) return `above ${bitsPerSecond(low)}`;
  return high === Infinity ? "always" : `below ${bitsPerSecond(high)}`;
}

// Of each wire the row that sends whole gradients in the fewest rounds.
function denseOf(rows) {
  const found = {};
  for (const row of rows) {
    const {wire} = row.group;
    if (wire && row.rounds !== null && !(row.rounds >= found[wire]?.rounds)) found[wire] = row;
  }
  return found;
}

function predicted(rows, on) {
  const known = rows.map(row => ({...row, round: roundOf(row.cases, on.at)})).filter(row => row.round);
  const dense = denseOf(known);
  for (const row of known) {
    row.round_seconds = secondsOn(row.round, on);
    row.target_seconds = row.rounds === null ? null : row.rounds * row.round_seconds;
    for (const wire of Object.keys(dense)) row[wire] = pays(row, dense[wire], on.latency);
  }
  return [known, WIRES.filter(wire => dense[wire]), dense];
}

function predictedColumns(wires) {
  return [
    {key: "rounds", header: "rounds", value: row => row.rounds, show: whole},
    {key: "round_seconds", header: "ms per round", value: row => row.round_seconds * 1e3, show: short},
    {key: "target_seconds", header: "seconds to the target", value: row => row.target_seconds, show: short},
    ...wires.map(wire => ({key: wire, header: `beats ${wire}`, value: row => wherePays(row[wire]), show: String})),
  ];
}

// From where on no compression is faster than whole gradients.
function nothingPays(rows, wire) {
  const highs = rows.filter(row => !row.group.whole).map(row => row[wire]).filter(Boolean).map(([, high]) => high);
  if (highs.includes(Infinity) || rows.every(row => row.group.whole)) return [];
  const start = highs.length ? `From ${bitsPerSecond(Math.max(...highs))} on nothing` : "Nothing";
  return [`${start} beats dense ${wire} here.`];
}

function showNetwork(found) {
  if (!net) return;
  const on = link(), told = [bitsPerSecond(on.bandwidth), PER_MESSAGE(on.latency), `${net.ranks[on.at]} ranks with a worker each`];
  ["bandwidth", "latency", "ranks"].forEach((id, i) => {
    find(`${id}-told`).textContent = told[i];
    find(id).setAttribute("aria-valuetext", told[i]);
  });
  find("predicted").replaceChildren(...found.flatMap(([where, best]) => {
    const [rows, wires, dense] = predicted(best, on);
    if (!rows.length) return [];
    const title = [where, `To ${toTarget()}, predicted for ${told[2]}, ${told[0]}, ${told[1]}`,
      ...wires.map(wire => `${wire} is ${dense[wire].name}`)].filter(Boolean);
    const notes = wires.flatMap(wire => nothingPays(rows, wire));
    return [...tableOf(`predicted ${where}`, title, rows, predictedColumns(wires)), make("p", notes.join(" "), {className: "note"})];
  }));
}

function startNetwork() {
  if (!net) return;
  const stops = {bandwidth: [net.bandwidths, net.bandwidth], latency: [net.latencies, net.latency], ranks: [net.ranks, net.rank]};
  for (const [id, [values, first]] of Object.entries(stops)) {
    find(id).max = values.length - 1;
    find(id).value = values.indexOf(first);
    find(id).oninput = () => showNetwork(blocks(rowsShown()));
  }
}
