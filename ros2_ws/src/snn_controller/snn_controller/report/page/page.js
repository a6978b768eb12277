"use strict";
// Unpacks plotly and the figures, draws them in the reader's colours and ties their times together.

const root = document.documentElement;
const scheme = matchMedia("(prefers-color-scheme: dark)");

function complain(words) {
  const place = document.getElementById("trouble");
  place.hidden = false;
  place.textContent = words;
  root.dataset.trouble = words;
}

async function unpack(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) =>
    c.charCodeAt(0)
  );
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(plain).text();
}

function colour(token) {
  const [name, alpha] = token.slice(1).split("/");
  const value = getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  if (!value || alpha === undefined) return value || token;
  const parts = [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16));
  return `rgba(${parts.join(",")},${alpha})`;
}

// Returns a copy of a figure in which `@name/alpha` is a colour; long lists of numbers are shared,
// short ones are not: plotly writes into ranges.
function painted(value) {
  if (typeof value === "string") return value[0] === "@" ? colour(value) : value;
  if (Array.isArray(value)) {
    const shared = value.length > 8 && !value.some((x) => x !== null && typeof x !== "number");
    return shared ? value : value.map(painted);
  }
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, x]) => [key, painted(x)]));
}

function axisLook() {
  return {
    gridcolor: colour("@faint"),
    zerolinecolor: colour("@faint"),
    linecolor: colour("@grey"),
    tickcolor: colour("@grey"),
    tickfont: { size: 11 },
  };
}

function dressed(figure) {
  const layout = painted(figure.layout);
  const legend = { orientation: "h", x: 1, xanchor: "right", y: 1, yanchor: "bottom" };
  const look = {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("@ink"), family: getComputedStyle(document.body).fontFamily, size: 12 },
    hoverlabel: {
      bgcolor: colour("@surface"), bordercolor: colour("@grey"), font: { color: colour("@ink") },
      align: "left", namelength: -1,
    },
    dragmode: figure.layout.scene ? "turntable" : "zoom",
    autosize: true,
    ...layout,
  };
  look.legend = { ...legend, ...look.legend };
  for (const key of Object.keys(look)) {
    if (/^[xy]axis\d*$/.test(key)) look[key] = { ...axisLook(), ...look[key] };
  }
  if (!look.xaxis) look.xaxis = axisLook();
  if (look.scene) {
    for (const key of ["xaxis", "yaxis", "zaxis"]) {
      look.scene[key] = { ...axisLook(), backgroundcolor: colour("@surface"), ...look.scene[key] };
    }
  }
  return look;
}

const CONFIG = {
  displayModeBar: false,
  responsive: true,
  doubleClick: false, // which the page's common axis of time answers itself
};

function draw(figure) {
  return Plotly.react(figure.name, painted(figure.traces), dressed(figure), CONFIG);
}

const place = (figure) => document.getElementById(figure.name);

function showSpan(figures, span) {
  return Promise.all(
    figures
      .filter((figure) => figure.timed)
      .map((figure) => {
        const range = span || figure.home || figure.layout.xaxis.range;
        return Plotly.relayout(place(figure), { "xaxis.range": [...range] });
      })
  );
}

// What one panel over time shows, all of them show; a double click goes back to the whole flight.
function tieSpans(figures) {
  let tying = false;
  const tie = async (span) => {
    if (tying) return;
    tying = true;
    await showSpan(figures, span);
    tying = false;
  };
  for (const figure of figures.filter((x) => x.timed)) {
    place(figure).on("plotly_relayout", (change) => {
      const low = change["xaxis.range[0]"];
      if (low !== undefined) tie([low, change["xaxis.range[1]"]]);
      else if (change["xaxis.autorange"]) tie(null);
    });
    place(figure).on("plotly_doubleclick", () => tie(null));
  }
  for (const figure of figures.filter((x) => !x.timed && !x.layout.scene)) {
    place(figure).on("plotly_doubleclick", () =>
      Plotly.relayout(place(figure), { "xaxis.autorange": true, "yaxis.autorange": true })
    );
  }
}

// Returns the row of a sorted list with nulls whose value is nearest.
function nearest(times, time) {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

// A line through all panels over time at the time under the pointer, and a dot on the path there.
function tieCursors(figures) {
  const timed = figures.filter((x) => x.timed);
  for (const figure of timed) {
    const mark = document.createElement("div");
    mark.className = "cursor";
    place(figure).append(mark);
  }
  const show = (time) => {
    for (const figure of timed) moveCursor(place(figure), time);
    moveDot(figures, time);
  };
  for (const figure of timed) {
    place(figure).addEventListener("pointermove", (event) => show(timeAt(place(figure), event)));
    place(figure).addEventListener("pointerleave", () => show(null));
  }
}

function timeAt(panel, event) {
  const box = panel.getBoundingClientRect();
  const { l, r } = panel.layout.margin;
  const share = (event.clientX - box.left - l) / (box.width - l - r);
  const [low, high] = panel.layout.xaxis.range;
  return share < 0 || share > 1 ? null : low + share * (high - low);
}

function moveCursor(panel, time) {
  const mark = panel.querySelector(".cursor");
  const [low, high] = panel.layout.xaxis.range;
  const share = time === null ? -1 : (time - low) / (high - low);
  mark.style.display = share < 0 || share > 1 ? "none" : "block";
  const { l, r, t, b } = panel.layout.margin;
  mark.style.left = `${l + share * (panel.clientWidth - l - r)}px`;
  mark.style.top = `${t}px`;
  mark.style.height = `${panel.clientHeight - t - b}px`;
}

let dotMoving = false;

async function moveDot(figures, time) {
  const path = figures.find((x) => x.clock);
  if (!path || dotMoving) return;
  dotMoving = true;
  const row = time === null ? null : nearest(path.clock.time, time);
  const at = (axis) => [row === null ? [] : [path.clock[axis][row]]];
  const dot = path.traces.findIndex((x) => x.name === "now");
  await Plotly.restyle(place(path), { x: at("x"), y: at("y"), z: at("z") }, [dot]);
  dotMoving = false;
}

async function main() {
  if (typeof DecompressionStream === "undefined") {
    complain("This browser is too old to unpack the figures; use one of 2023 or later.");
    return;
  }
  const script = document.createElement("script");
  script.textContent = await unpack("plotly");
  document.head.append(script);
  const figures = JSON.parse(await unpack("figures"));
  for (const figure of figures) {
    await draw(figure);
    root.dataset.drawn = [root.dataset.drawn, figure.name].filter(Boolean).join(" ");
  }
  tieSpans(figures);
  tieCursors(figures);
  scheme.addEventListener("change", () => figures.forEach(draw));
  root.dataset.ready = "yes";
}

addEventListener("error", (event) => complain(`The page could not be drawn: ${event.message}`));
main().catch((error) => complain(`The page could not be drawn: ${error.message}`));
