// Numbers as tables show them.

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
const general = (value, most = 6) => {
  const [digits, power] = value.toExponential(most - 1).split("e").map(Number);
  return power < -4 || power >= most ? `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}` : String(+value.toPrecision(most));
};
const SHOW = {rounds: whole, uplink_bytes: kilobytes, total_bytes: kilobytes, seconds: short};
const AMOUNTS = {
  rounds: value => `${whole(value)} rounds`,
  uplink_bytes: value => `${kilobytes(value)} KB up per worker`,
  total_bytes: value => `${kilobytes(value)} KB up and down per worker`,
  seconds: value => `${short(value)} s`,
};
