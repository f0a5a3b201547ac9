// Where the marks of an axis stand, and what is written at them.
//
// Rule: neighbouring marks never have the same text: its digits come from the distance of the marks.

import { number } from "./dom.js";

const CLOCK = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

// Round distances from `least` on, ascending: 1, 2, 5 times powers of ten; of time, what clocks have.
export function* steps(least, isTime = false) {
  if (isTime) yield* CLOCK.filter((step) => least > 0.5 && step >= least);
  const unit = isTime && least > 0.5 ? 86400 : 1;
  let power = Math.floor(Math.log10(least / unit));
  if (unit > 1) power = Math.max(0, power);
  for (let n = 0; n < 40; n += 1, power += 1) {
    for (const factor of [1, 2, 5]) {
      const step = unit * Number(`${factor}e${power}`);
      if (step >= least && (unit === 1 || step > unit)) yield step;
    }
  }
}

// The multiples of step between low and high.
export function ticks(low, high, step) {
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high && found.length < 100; i += 1) found.push(i * step || 0);
  return found;
}

// A function that writes multiples of step between low and high: plainly if that is short, else as 1.5e9.
export function texts(step, low, high) {
  const power = (value) => Math.floor(Math.log10(value) + 1e-9);
  const size = Math.max(Math.abs(low), Math.abs(high), step);
  const decimals = Math.max(0, -power(step));
  const digits = Math.min(20, Math.max(0, power(size) - power(step)));
  const brief = (value) => (value === 0 ? "0" : value.toExponential(digits).replace(/\.?0+e/, "e").replace("e+", "e"));
  const plain = (value) => value.toFixed(decimals);
  const isShort = decimals <= 12 && size < 1e21 && plain(size).length <= Math.max(7, brief(size).length);
  return isShort ? plain : brief;
}

// A function that writes seconds since 1970 as a time of day, with the date where that is needed.
export function clockTexts(step, span) {
  const day = { month: "short", day: "numeric" };
  const time = { hour: "2-digit", minute: "2-digit", ...(step < 60 ? { second: "2-digit" } : {}) };
  const options = step >= 86400 ? day : span > 86400 ? { ...day, ...time } : time;
  return (x) => new Date(x * 1000).toLocaleString(undefined, options);
}

// Marks of a logarithmic axis, about n: 1, 2, 5 times powers of ten, or powers of ten only if that is enough.
export function logTicks(low, high, n) {
  const decades = Math.log10(high / low);
  const factors = 3 * decades <= 1.5 * n ? [1, 2, 5] : [1];
  const stride = Math.max(1, Math.ceil(decades / n));
  const found = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += 1) {
    if (factors.length === 1 && power % stride) continue;
    for (const factor of factors) {
      const at = Number(`${factor}e${power}`);
      if (at >= low && at <= high) found.push({ at, text: number(at) });
    }
  }
  if (found.length > 1) return found;
  const step = steps((high - low) / n).next().value, show = texts(step, low, high);
  return ticks(low, high, step).map((at) => ({ at, text: show(at) }));
}
