// Terminal colours -> spans.  What is not a colour (cursor moves and the like) is left out.

const NORMAL = ["#6b7682", "#ff7b72", "#4ac26b", "#d9a520", "#6ea8ff", "#d2a8ff", "#56d4dd", "#e4e7eb"];
const BRIGHT = ["#8b949e", "#ffa198", "#7ee787", "#f2cc60", "#a5d0ff", "#e2c5ff", "#9beff5", "#ffffff"];
const SEQUENCE = /\x1b\[([0-9;:]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]/g;

// Nodes for one line; `style` carries over to the next line, as on a terminal.
export function ansi(text, style) {
  const nodes = [];
  let last = 0;
  const put = (piece) => {
    if (!piece) return;
    if (!style.colour && !style.ground && !style.bold && !style.italic && !style.underline) {
      nodes.push(document.createTextNode(piece));
      return;
    }
    const span = document.createElement("span");
    span.textContent = piece;
    if (style.colour) span.style.color = style.colour;
    if (style.ground) span.style.backgroundColor = style.ground;
    if (style.bold) span.style.fontWeight = "bold";
    if (style.italic) span.style.fontStyle = "italic";
    if (style.underline) span.style.textDecoration = "underline";
    nodes.push(span);
  };
  for (const match of text.matchAll(SEQUENCE)) {
    put(text.slice(last, match.index));
    last = match.index + match[0].length;
    if (match[2] === "m") apply(style, match[1].split(/[;:]/).map(Number));
  }
  put(text.slice(last));
  return nodes;
}

function apply(style, codes) {
  for (let i = 0; i < codes.length; i += 1) {
    const code = codes[i];
    if (code === 0) Object.assign(style, { colour: "", ground: "", bold: false, italic: false, underline: false });
    else if (code === 1) style.bold = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 22) style.bold = false;
    else if (code === 23) style.italic = false;
    else if (code === 24) style.underline = false;
    else if (code >= 30 && code <= 37) style.colour = NORMAL[code - 30];
    else if (code >= 90 && code <= 97) style.colour = BRIGHT[code - 90];
    else if (code === 39) style.colour = "";
    else if (code >= 40 && code <= 47) style.ground = NORMAL[code - 40];
    else if (code >= 100 && code <= 107) style.ground = BRIGHT[code - 100];
    else if (code === 49) style.ground = "";
    else if (code === 38 || code === 48) {
      const colour = codes[i + 1] === 5 ? indexed(codes[i + 2]) : rgb(codes[i + 2], codes[i + 3], codes[i + 4]);
      style[code === 38 ? "colour" : "ground"] = colour;
      i += codes[i + 1] === 5 ? 2 : 4;
    }
  }
}

const rgb = (r, g, b) => `rgb(${r & 255}, ${g & 255}, ${b & 255})`;

function indexed(n) {
  if (n < 8) return NORMAL[n];
  if (n < 16) return BRIGHT[n - 8];
  if (n >= 232) return rgb(8 + (n - 232) * 10, 8 + (n - 232) * 10, 8 + (n - 232) * 10);
  const level = (v) => (v ? 55 + v * 40 : 0);
  return rgb(level(Math.floor((n - 16) / 36)), level(Math.floor((n - 16) / 6) % 6), level((n - 16) % 6));
}
