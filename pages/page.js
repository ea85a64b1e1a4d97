"use strict";

// What a page's script starts from: page.start((models, values, arrays) => ...).
//   models   the models of all figures that have a name, by that name
//   values   what was handed over as JSON
//   arrays   by name {shape, data}, with data a typed array in C order
const page = {
  dark: window.matchMedia("(prefers-color-scheme: dark)"),
  listeners: [],

  // A colour of the style sheet, such as "ink", as it is on this screen.
  colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  },

  async start(run) {
    try {
      const models = await embedded(JSON.parse(text("page-figures")));
      const arrays = await unpacked(JSON.parse(text("page-index")), text("page-block"));
      run(models, JSON.parse(text("page-values")), arrays);
      document.documentElement.dataset.ready = "yes";
    } catch (error) {
      const note = document.createElement("p");
      note.setAttribute("role", "alert");
      note.textContent = `The page cannot be shown: ${error.message}`;
      document.querySelector("main").prepend(note);
      throw error;
    }
  },
};

function text(id) {
  return document.getElementById(id).textContent;
}

async function embedded(items) {
  const named = {};
  Bokeh.set_log_level("error");  // it would warn of every source that is empty until the page's script fills it
  for (const [id, item] of Object.entries(items)) {
    const [view] = await Bokeh.embed.embed_item(item, id);
    const figure = view.model;
    view.canvas_view.events_el.tabIndex = -1;  // the Tab key has nothing to do in a figure
    const paint = () => colour(figure);
    page.dark.addEventListener("change", paint);
    paint();
    for (const model of figure.references()) if (model.name) named[model.name] = model;
  }
  return named;
}

// Axes, grids and words take the colours of the page; curves keep theirs, which are chosen to be seen on both.
function colour(figure) {
  const ink = page.colour("ink"), line = page.colour("line");
  for (const model of figure.references()) {
    if (model.type.endsWith("Axis"))
      model.setv({axis_line_color: ink, major_tick_line_color: ink, minor_tick_line_color: null,
                  major_label_text_color: ink, axis_label_text_color: ink});
    else if (model.type === "Grid") model.setv({grid_line_color: line});
    else if (model.type === "Title" || model.type === "Label") model.setv({text_color: ink});
    else if (model.tags.includes("ink")) model.setv({line_color: ink});
    else if (model.tags.includes("line")) model.setv({line_color: line});
  }
}

const TYPES = {int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array,
               float32: Float32Array, float64: Float64Array};

async function unpacked(index, block) {
  if (!index.length) return {};
  const packed = Uint8Array.from(atob(block), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = await new Response(stream).arrayBuffer();
  return Object.fromEntries(index.map(([name, type, shape, first]) => {
    const size = shape.reduce((product, length) => product * length, 1);
    return [name, {shape, data: new TYPES[type](bytes, first, size)}];
  }));
}
