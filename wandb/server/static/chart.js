// One curve on a canvas: axes, the line, what is under the pointer, and dragging a range.

import { number, duration } from "./dom.js";

const MARGIN = { left: 56, right: 10, top: 10, bottom: 22 };

export class Chart {
  // onRange(low, high) is called when a range of x was dragged, onRange(null, null) at a double click.
  constructor(canvas, { onRange, onHover }) {
    this.canvas = canvas;
    this.x = [];
    this.y = [];
    this.options = { xKey: "_step", smoothing: 0, logY: false };
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
      if (Math.abs(to - from) > 6) onRange(this.dataX(Math.min(from, to)), this.dataX(Math.max(from, to)));
      this.draw();
    });
    canvas.addEventListener("dblclick", () => onRange(null, null));
  }

  set(curve, options) {
    if (curve) { this.x = curve.x; this.y = curve.y; }
    this.options = { ...this.options, ...options };
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const width = canvas.clientWidth, height = canvas.clientHeight, scale = window.devicePixelRatio || 1;
    if (!width || !height) return;
    if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
    if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    const css = getComputedStyle(canvas);
    const colour = (name) => css.getPropertyValue(name).trim();
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "11px system-ui, sans-serif";
    this.box = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
    if (!this.x.length) {
      pen.fillStyle = colour("--quiet");
      pen.fillText("no numbers", MARGIN.left, height / 2);
      return;
    }
    this.scales();
    this.grid(pen, colour);
    pen.save();
    pen.beginPath();
    pen.rect(this.box.left, this.box.top - 2, this.box.right - this.box.left, this.box.bottom - this.box.top + 4);
    pen.clip();
    const smooth = this.options.smoothing > 0 ? smoothed(this.y, this.options.smoothing) : null;
    this.line(pen, this.y, colour("--curve"), smooth ? 0.25 : 1);
    if (smooth) this.line(pen, smooth, colour("--curve"), 1);
    pen.restore();
    if (this.drag) {
      pen.fillStyle = colour("--accent");
      pen.globalAlpha = 0.15;
      pen.fillRect(this.drag[0], this.box.top, this.drag[1] - this.drag[0], this.box.bottom - this.box.top);
      pen.globalAlpha = 1;
    }
    if (this.hover !== null && this.hover < this.x.length) {
      const px = this.pixelX(this.x[this.hover]), py = this.pixelY(this.y[this.hover]);
      pen.strokeStyle = colour("--quiet");
      pen.setLineDash([3, 3]);
      pen.beginPath(); pen.moveTo(px, this.box.top); pen.lineTo(px, this.box.bottom); pen.stroke();
      pen.setLineDash([]);
      pen.fillStyle = colour("--curve");
      pen.beginPath(); pen.arc(px, py, 3.5, 0, 7); pen.fill();
    }
  }

  scales() {
    let [xl, xh, yl, yh] = [Infinity, -Infinity, Infinity, -Infinity];
    const positive = this.options.logY;
    for (let i = 0; i < this.x.length; i += 1) {
      const x = this.x[i], y = this.y[i];
      if (x < xl) xl = x;
      if (x > xh) xh = x;
      if (positive && y <= 0) continue;
      if (y < yl) yl = y;
      if (y > yh) yh = y;
    }
    if (xl === xh) { xl -= 0.5; xh += 0.5; }
    this.log = positive && yl > 0 && yl !== Infinity;
    if (yl === Infinity) { yl = 0; yh = 1; }
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
    const v = this.log ? Math.log10(y > 0 ? y : 10 ** yl) : y;
    return this.box.bottom - ((v - yl) / (yh - yl)) * (this.box.bottom - this.box.top);
  }

  dataX(pixel) {
    const { xl, xh } = this.range;
    return xl + ((pixel - this.box.left) / (this.box.right - this.box.left)) * (xh - xl);
  }

  grid(pen, colour) {
    const { box, range } = this;
    pen.strokeStyle = colour("--line");
    pen.fillStyle = colour("--quiet");
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const tick of ticks(range.yl, range.yh, Math.max(2, (box.bottom - box.top) / 45))) {
      const y = Math.round(box.bottom - ((tick - range.yl) / (range.yh - range.yl)) * (box.bottom - box.top)) + 0.5;
      pen.beginPath(); pen.moveTo(box.left, y); pen.lineTo(box.right, y); pen.stroke();
      pen.fillText(number(this.log ? 10 ** tick : tick), box.left - 6, y);
    }
    pen.textBaseline = "top";
    const all = ticks(range.xl, range.xh, Math.max(2, (box.right - box.left) / 90));
    for (const tick of all) {
      const x = this.pixelX(tick);
      pen.textAlign = x > box.right - 20 ? "right" : "center";
      pen.fillText(this.xText(tick), x, box.bottom + 6);
    }
  }

  xText(x) {
    if (this.options.xKey === "_timestamp") return new Date(x * 1000).toLocaleTimeString();
    return this.options.xKey === "_runtime" && x >= 60 ? duration(x) : number(x);
  }

  line(pen, values, colour, alpha) {
    pen.strokeStyle = colour;
    pen.fillStyle = colour;
    pen.globalAlpha = alpha;
    pen.lineWidth = 1.5;
    pen.lineJoin = "round";
    if (values.length === 1) {
      pen.beginPath(); pen.arc(this.pixelX(this.x[0]), this.pixelY(values[0]), 3, 0, 7); pen.fill();
    } else {
      pen.beginPath();
      for (let i = 0; i < values.length; i += 1) pen.lineTo(this.pixelX(this.x[i]), this.pixelY(values[i]));
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  move(event) {
    if (!this.x.length || !this.range) return;
    if (this.drag) this.drag[1] = event.offsetX;
    const wanted = this.dataX(event.offsetX);
    let best = 0;
    for (let i = 1; i < this.x.length; i += 1) {
      if (Math.abs(this.x[i] - wanted) < Math.abs(this.x[best] - wanted)) best = i;
    }
    this.hover = best;
    this.onHover(`${this.xText(this.x[best])} : ${number(this.y[best])}`);
    this.draw();
  }
}

// Exponential moving average that starts at the first value without leaning on it (debiased).
export function smoothed(values, weight) {
  let last = 0, norm = 0;
  return values.map((value) => {
    last = last * weight + (1 - weight) * value;
    norm = norm * weight + (1 - weight);
    return last / norm;
  });
}

// Round numbers between low and high, about n of them.
export function ticks(low, high, n) {
  const raw = (high - low) / Math.max(1, n);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw) || power * 10;
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high && found.length < 50; i += 1) found.push(Number((i * step).toPrecision(12)));
  return found;
}
