// One curve on a canvas: axes, the line, what is under the pointer, and dragging a range.
//
// Rule: a point without y is a gap.  The line stops before it and begins anew behind it.

import { duration, number } from "./dom.js";
import { clockTexts, logTicks, steps, texts, ticks } from "./ticks.js";

const MARGIN = { left: 12, right: 10, top: 10, bottom: 22 };

export class Chart {
  // onRange(low, high) is called when a range of x was dragged, onRange(null, null) at a double click.
  constructor(canvas, { onRange, onHover }) {
    this.canvas = canvas;
    this.loaded = false;
    this.x = [];
    this.y = []; // as it came; null is a gap
    this.options = { xKey: "_step", smoothing: 0, logY: false, range: [null, null] };
    this.hover = null;
    this.drag = null;
    this.onHover = onHover;
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerleave", () => { this.hover = null; onHover(null); this.draw(); });
    canvas.addEventListener("pointerdown", (event) => {
      this.drag = [event.offsetX, event.offsetX];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointerup", () => {
      const [from, to] = this.drag || [0, 0];
      this.drag = null;
      if (this.range && Math.abs(to - from) > 6) onRange(this.dataX(Math.min(from, to)), this.dataX(Math.max(from, to)));
      this.draw();
    });
    canvas.addEventListener("dblclick", () => onRange(null, null));
  }

  set(curve, options) {
    if (curve) { this.x = curve.x; this.y = curve.y; this.loaded = true; }
    this.options = { ...this.options, ...options };
    this.draw();
  }

  draw() {
    const { canvas, options } = this;
    const width = canvas.clientWidth, height = canvas.clientHeight, scale = window.devicePixelRatio || 1;
    if (!width || !height) return;
    if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
    if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    const css = getComputedStyle(canvas);
    const colour = (name) => css.getPropertyValue(name).trim();
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    if (!this.loaded) return;
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = colour("--quiet");
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    const plain = drawable(this.y, options.logY);
    const smooth = options.smoothing > 0 ? drawable(smoothed(this.y, options.smoothing), options.logY) : null;
    if (plain.every((y) => y === null)) {
      this.range = null;
      pen.fillText(why(this.y), MARGIN.left, height / 2);
      return;
    }
    this.box = { right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
    this.scales(plain);
    this.axes(pen, colour);
    const { box } = this;
    pen.save();
    pen.beginPath();
    pen.rect(box.left, box.top - 2, box.right - box.left, box.bottom - box.top + 4);
    pen.clip();
    this.line(pen, plain, colour("--curve"), smooth ? 0.25 : 1);
    if (smooth) this.line(pen, smooth, colour("--curve"), 1);
    pen.restore();
    if (plain.some((y, i) => y === null && this.y[i] !== null)) {
      pen.fillStyle = colour("--warn");
      pen.textAlign = "right";
      pen.textBaseline = "top";
      pen.fillText("values ≤ 0 are not shown", box.right, 0);
    }
    if (this.drag) {
      pen.fillStyle = colour("--accent");
      pen.globalAlpha = 0.15;
      pen.fillRect(this.drag[0], box.top, this.drag[1] - this.drag[0], box.bottom - box.top);
      pen.globalAlpha = 1;
    }
    if (this.hover !== null && this.hover < this.x.length) {
      const px = this.pixelX(this.x[this.hover]);
      pen.strokeStyle = colour("--quiet");
      pen.setLineDash([3, 3]);
      pen.beginPath(); pen.moveTo(px, box.top); pen.lineTo(px, box.bottom); pen.stroke();
      pen.setLineDash([]);
      if (plain[this.hover] !== null) this.dot(pen, colour("--curve"), px, this.pixelY(plain[this.hover]), 3.5);
    }
  }

  // What the axes span: the x that were asked for (all charts the same), else those that there are.
  scales(values) {
    let [xl, xh, yl, yh] = [Infinity, -Infinity, Infinity, -Infinity];
    const [low, high] = this.options.range;
    for (let i = 0; i < this.x.length; i += 1) {
      const x = this.x[i], y = values[i];
      if (low !== null && (x < low || x > high)) continue;
      if (x < xl) xl = x;
      if (x > xh) xh = x;
      if (y === null) continue;
      if (y < yl) yl = y;
      if (y > yh) yh = y;
    }
    if (low !== null) { xl = low; xh = high; }
    if (xl === xh) { xl -= 0.5; xh += 0.5; }
    if (yl === Infinity) { yl = this.options.logY ? 1 : 0; yh = yl * 10 || 1; }
    this.log = this.options.logY;
    if (this.log) { yl = Math.log10(yl); yh = Math.log10(yh); }
    if (yl === yh) { const d = Math.abs(yl) * 0.1 || 0.5; yl -= d; yh += d; }
    const space = (yh - yl) * 0.04;
    this.range = { xl, xh, yl: yl - space, yh: yh + space };
  }

  pixelX(x) {
    const { xl, xh } = this.range;
    return this.box.left + ((x - xl) / (xh - xl)) * (this.box.right - this.box.left);
  }

  pixelY(y) {
    const { yl, yh } = this.range;
    return this.box.bottom - (((this.log ? Math.log10(y) : y) - yl) / (yh - yl)) * (this.box.bottom - this.box.top);
  }

  // The x under a pixel, at most at the ends of the axis.
  dataX(pixel) {
    const { xl, xh } = this.range;
    const part = (pixel - this.box.left) / (this.box.right - this.box.left);
    return xl + Math.min(1, Math.max(0, part)) * (xh - xl);
  }

  axes(pen, colour) {
    const { box } = this;
    const rows = this.yTicks((box.bottom - box.top) / 32);
    const widest = Math.max(...rows.map(({ text }) => pen.measureText(text).width));
    box.left = Math.min(MARGIN.left + widest, box.right / 2);
    pen.strokeStyle = colour("--line");
    pen.fillStyle = colour("--quiet");
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const { at, text } of rows) {
      const y = Math.round(this.pixelY(at)) + 0.5;
      pen.beginPath(); pen.moveTo(box.left, y); pen.lineTo(box.right, y); pen.stroke();
      pen.fillText(text, box.left - 6, y);
    }
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const { at, text, width } of this.xTicks((label) => pen.measureText(label).width)) {
      const inside = Math.max(width / 2, Math.min(this.pixelX(at), box.right + MARGIN.right - width / 2));
      pen.fillText(text, inside, box.bottom + 6);
    }
  }

  yTicks(n) {
    const { yl, yh } = this.range;
    if (this.log) return logTicks(10 ** yl, 10 ** yh, n);
    const step = steps((yh - yl) / n).next().value;
    const found = ticks(yl, yh, step), show = texts(step, yl, yh);
    return found.map((at) => ({ at, text: show(at) }));
  }

  // As many as have room.
  xTicks(measure) {
    const { xl, xh } = this.range, { xKey } = this.options;
    const pixels = (this.box.right - this.box.left) / (xh - xl);
    const isTime = xKey === "_timestamp" || xKey === "_runtime";
    let found = [];
    for (const step of steps(Math.max(24 / pixels, xKey === "_step" || xKey === "_timestamp" ? 1 : 0), isTime)) {
      const show = xKey === "_timestamp" ? clockTexts(step, xh - xl)
        : xKey === "_runtime" && step >= 1 && xh >= 60 ? (at) => duration(at).replace(/ 0 \w+$/, "") : texts(step, xl, xh);
      found = ticks(xl, xh, step).map((at) => ({ at, text: show(at), width: measure(show(at)) }));
      if (Math.max(0, ...found.map(({ width }) => width)) + 14 <= step * pixels || found.length < 2) return found;
    }
    return found;
  }

  xText(x) {
    if (this.options.xKey === "_timestamp") return new Date(x * 1000).toLocaleString();
    return this.options.xKey === "_runtime" && x >= 60 ? duration(x) : number(x);
  }

  line(pen, values, colour, alpha) {
    pen.strokeStyle = colour;
    pen.globalAlpha = alpha;
    pen.lineWidth = 1.5;
    pen.lineJoin = "round";
    pen.beginPath();
    const whole = strokes(values);
    for (const stroke of whole) {
      stroke.forEach((i, n) => {
        const px = this.pixelX(this.x[i]), py = this.pixelY(values[i]);
        if (n === 0) pen.moveTo(px, py); else pen.lineTo(px, py);
      });
    }
    pen.stroke();
    for (const [i, next] of whole) {
      if (next === undefined) this.dot(pen, colour, this.pixelX(this.x[i]), this.pixelY(values[i]), 2);
    }
    pen.globalAlpha = 1;
  }

  dot(pen, colour, px, py, radius) {
    pen.fillStyle = colour;
    pen.beginPath(); pen.arc(px, py, radius, 0, 7); pen.fill();
  }

  move(event) {
    if (!this.x.length || !this.range) return;
    if (this.drag) this.drag[1] = Math.min(Math.max(event.offsetX, this.box.left), this.box.right);
    const wanted = this.dataX(event.offsetX);
    let best = 0;
    for (let i = 1; i < this.x.length; i += 1) {
      if (Math.abs(this.x[i] - wanted) < Math.abs(this.x[best] - wanted)) best = i;
    }
    this.hover = best;
    const y = this.y[best];
    this.onHover(`${this.xText(this.x[best])} : ${y === null ? "not finite" : number(y)}`);
    this.draw();
  }
}

// The values with gaps also where a logarithmic axis has no place for them.
function drawable(values, logY) {
  return logY ? values.map((y) => (y !== null && y > 0 ? y : null)) : values;
}

function why(values) {
  if (!values.length) return "no numbers";
  return values.every((y) => y === null) ? "only NaN or Infinity" : "nothing above 0 for a logarithmic axis";
}

// The indices of what is drawn in one go each: [[0, 1], [3]] of [5, 6, null, 7].
export function strokes(values) {
  const found = [];
  let gap = true;
  for (let i = 0; i < values.length; i += 1) {
    if (values[i] !== null) {
      if (gap) found.push([]);
      found[found.length - 1].push(i);
    }
    gap = values[i] === null;
  }
  return found;
}

// Exponential moving average that starts at the first value without leaning on it (debiased); gaps stay gaps.
export function smoothed(values, weight) {
  let last = 0, norm = 0;
  return values.map((value) => {
    if (value === null) return null;
    last = last * weight + (1 - weight) * value;
    norm = norm * weight + (1 - weight);
    return last / norm;
  });
}
